//! One of many who work at once on the same few grants, sessions, assertions and keys, each time at a node of its choice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::chance::Chance;
use super::checker::{Event, Moment, NEVER};
use super::line::{Answer, Heard, Line};
use super::models::{KeyOp, Told};
use super::site::{Grant, Story};
use super::stage::Stage;

/// `application/x-www-form-urlencoded`.
pub fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// When and where something was asked, and what came back; no answer when it was lost.
pub struct Asked {
    called: Moment,
    pub returned: Moment,
    node: u8,
    pub answer: Option<Answer>,
}

pub struct Actor<'a> {
    pub stage: &'a Stage,
    pub chance: Chance,
    lines: Vec<Line>,
}

impl<'a> Actor<'a> {
    pub fn new(stage: &'a Stage, seed: u64, number: u64) -> Self {
        let lines = stage.site.places.iter().map(|_| Line::default()).collect();
        Self { stage, chance: Chance::of(seed, number), lines }
    }

    pub fn act(&mut self) {
        while !self.stage.stop.load(Ordering::Relaxed) {
            match self.chance.below(1000) {
                0..70 => self.verify_key(),
                70..110 => self.present_assertion(),
                _ => self.work_on_a_grant(),
            }
        }
    }

    // --- asking ---

    /// Asks a node that is there; `None` when the run ends before there is one.
    pub fn ask(&mut self, method_and_path: &str, heads: &str, body: &str) -> Option<Asked> {
        let site = &self.stage.site;
        let request = format!(
            "{method_and_path} HTTP/1.1\r\nHost: {}\r\n{heads}Content-Length: {}\r\n\r\n{body}",
            site.host,
            body.len()
        );
        let mut tries = 0;
        loop {
            let node = self.chance.below(self.lines.len());
            let (life, called) = (site.life(node), site.now());
            let heard = self.lines[node].ask(site.places[node].port, life, request.as_bytes());
            let answer = match heard {
                Heard::NotSent => {
                    tries += 1;
                    if self.stage.stop.load(Ordering::Relaxed) && tries > 1000 {
                        return None;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                Heard::Lost => {
                    self.stage.lost.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Heard::Answer(answer) => Some(answer),
            };
            self.stage.done.fetch_add(1, Ordering::Relaxed);
            return Some(Asked { called, returned: site.now(), node: u8::try_from(node).unwrap(), answer });
        }
    }

    fn post(&mut self, path: &str, authorization: &str, body: &str) -> Option<Asked> {
        let authorization = if authorization.is_empty() {
            String::new()
        } else {
            format!("Authorization: {authorization}\r\n")
        };
        let heads = format!("{authorization}Content-Type: application/x-www-form-urlencoded\r\n");
        self.ask(&format!("POST {path}"), &heads, body)
    }

    pub fn as_app(&mut self, grant: &Grant, path: &str, pairs: &[(&str, &str)]) -> Option<Asked> {
        let stage = self.stage;
        self.post(path, &stage.site.apps[grant.app].authorization, &form(pairs))
    }

    /// What `asked` was told, where `read` finds a yes (`Some(true)`) or a no. A 503 says that nobody could decide; anything else that is not
    /// foreseen is kept as a finding.
    pub fn told(&self, asked: &Asked, read: impl FnOnce(&Answer) -> Option<bool>) -> Told<()> {
        let Some(answer) = &asked.answer else { return Told::Nothing };
        if answer.status == 503 {
            self.stage.undecided.fetch_add(1, Ordering::Relaxed);
            return Told::Nothing;
        }
        match read(answer) {
            Some(true) => Told::Yes(()),
            Some(false) => Told::No,
            None => {
                let mut strange = self.stage.strange.lock().unwrap();
                strange.push(format!("node {}: {} {}", asked.node, answer.status, answer.body));
                Told::Nothing
            }
        }
    }

    // --- what is no grant ---

    fn present_assertion(&mut self) {
        let seat = &self.stage.assertions[self.chance.below(self.stage.assertions.len())];
        let presented = Arc::clone(&seat.lock().unwrap());
        let Some(asked) = self.post("/oauth2/token", "", &presented.form) else { return };
        let told = self.told(&asked, |answer| match (answer.status, answer.member("error").as_deref()) {
            (200, None) => Some(true),
            (400, Some("invalid_grant")) => Some(false),
            _ => None,
        });
        write(&presented.story, &asked, told, told != Told::Nothing);
        if presented.story.lock().unwrap().len() > 3 {
            let account = self.chance.below(usize::MAX);
            let fresh = Arc::new(self.stage.site.present(account));
            self.stage.played.assertions.lock().unwrap().push(Arc::clone(&fresh));
            *seat.lock().unwrap() = fresh;
        }
    }

    fn verify_key(&mut self) {
        let seat = &self.stage.keys[self.chance.below(self.stage.keys.len())];
        let key = Arc::clone(&seat.lock().unwrap());
        let heads =
            format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.stage.site.asker);
        let body = format!(r#"{{"key":"{}"}}"#, key.secret);
        let Some(asked) = self.ask("POST /v1/keys/verify", &heads, &body) else { return };
        let told = self.told(&asked, |answer| match answer.member("code").as_deref() {
            Some("VALID") => Some(true),
            Some("REVOKED" | "NOT_FOUND") => Some(false),
            _ => None,
        });
        if told != Told::Nothing {
            write(&key.story, &asked, KeyOp::Verify { good: told == Told::Yes(()) }, true);
        }
    }
}

/// Writes down what was asked, and that it may never have happened when nobody was told.
pub fn write<O>(story: &Story<O>, asked: &Asked, op: O, is_known: bool) {
    let returned = if is_known { asked.returned } else { NEVER };
    story.lock().unwrap().push(Event { called: asked.called, returned, node: asked.node, op });
}
