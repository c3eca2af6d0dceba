//! What actors do to grants: codes and tokens are issued, used, shown again and again, taken back, and people sign out under them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use super::actor::{Actor, Asked, form, write};
use super::checker::Moment;
use super::line::Answer;
use super::models::{GrantOp, SessionOp, Told};
use super::site::{Grant, Knowledge, Session, Story};
use crate::world::{CALLBACK, CHALLENGE, VERIFIER};

/// No code is presented when it may have expired.
const CODE_SECONDS: Moment = 30;
const SECOND: Moment = 1_000_000;

impl Actor<'_> {
    pub fn work_on_a_grant(&mut self) {
        let slot = &self.stage.slots[self.chance.below(self.stage.slots.len())];
        // Whoever opens a grant keeps its slot for so long; others go on elsewhere.
        let mut held = match slot.try_lock() {
            Ok(held) => held,
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(_)) => panic!("another actor failed"),
        };
        let Some(grant) = held.clone() else {
            *held = self.open();
            return;
        };
        let over = {
            let mut known = grant.known.lock().unwrap();
            known.turns += 1;
            known.mourned += usize::from(known.is_dead);
            known.mourned > 3 || known.turns > 60
        };
        if over {
            *held = None;
            drop(held);
            self.retire(grant);
            return;
        }
        drop(held);
        self.touch(&grant);
    }

    fn retire(&mut self, grant: Arc<Grant>) {
        let mut known = grant.known.lock().unwrap();
        if self.chance.in_thousand(100) {
            drop(known);
            self.stage.parked.lock().unwrap().push(grant);
        } else {
            known.access.clear();
        }
    }

    /// An authorization request without pages; a new session when the old one is over.
    fn open(&mut self) -> Option<Arc<Grant>> {
        let stage = self.stage;
        let seat = &stage.sessions[self.chance.below(stage.sessions.len())];
        let session = Arc::clone(&seat.lock().unwrap());
        let (app, online) = (self.chance.below(stage.site.apps.len()), self.chance.in_thousand(500));
        let client = &stage.site.apps[app];
        let scope = format!("{}{}", client.scope, if online { "" } else { " offline_access" });
        let query = form(&[
            ("client_id", &client.id),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", &scope),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let cookie = format!("Cookie: cnx_session={}\r\n", session.cookie);
        let asked = self.ask(&format!("GET /oauth2/authorize?{query}"), &cookie, "")?;
        let code = asked.answer.as_ref().and_then(|answer| {
            let location = url::Url::parse(answer.header("location")?).ok()?;
            location.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned())
        });
        // To the app, as the protocol has it: nobody could decide.
        if is_told_to_wait(&asked) {
            self.stage.undecided.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let told = self.told(&asked, |answer| {
            let to_sign_in =
                answer.header("location").is_some_and(|location| location.starts_with("/sign-in?"));
            (code.is_some() || to_sign_in).then_some(code.is_some())
        });
        if told != Told::Nothing {
            write(&session.story, &asked, SessionOp::Authorize { signed_in: told == Told::Yes(()) }, true);
        }
        if told == Told::No {
            let person = &stage.site.people[self.chance.below(stage.site.people.len())];
            if let Some(fresh) = stage.site.sign_in(person) {
                stage.played.sessions.lock().unwrap().push(Arc::clone(&fresh));
                *seat.lock().unwrap() = fresh;
            }
        }
        let grant = Arc::new(Grant {
            session,
            app,
            online,
            code: code?,
            code_given: asked.returned,
            known: Mutex::new(Knowledge::default()),
            story: Story::default(),
        });
        stage.played.grants.lock().unwrap().push(Arc::clone(&grant));
        // Most apps redeem their code before anybody else can.
        if self.chance.in_thousand(850) {
            self.redeem(&grant);
        }
        Some(grant)
    }

    fn touch(&mut self, grant: &Arc<Grant>) {
        let (refresh, access) = {
            let known = grant.known.lock().unwrap();
            (known.refresh.len(), known.access.len())
        };
        if refresh == 0 || access == 0 {
            self.redeem(grant);
            return;
        }
        match self.chance.below(1000) {
            0..330 => self.refresh(grant, refresh - 1),
            330..420 => self.refresh(grant, refresh.saturating_sub(2)),
            420..430 => {
                let any = self.chance.below(refresh);
                self.refresh(grant, any);
            }
            430..560 => {
                let back = self.chance.below(3);
                self.ask_refresh(grant, refresh.saturating_sub(back + 1));
            }
            560..960 => {
                let any = self.chance.below(access);
                self.ask_access(grant, any);
            }
            960..972 => self.revoke(grant),
            972..977 => self.redeem(grant),
            977..987 => self.sign_out(&grant.session),
            // Quiet for so long that a predecessor comes too late.
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }

    fn redeem(&mut self, grant: &Grant) {
        if self.stage.site.now() > grant.code_given + CODE_SECONDS * SECOND {
            grant.known.lock().unwrap().is_dead = true;
            return;
        }
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", grant.code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let Some(asked) = self.as_app(grant, "/oauth2/token", &pairs) else { return };
        let told = self.granted(grant, &asked);
        write(&grant.story, &asked, GrantOp::Redeem(told), told != Told::Nothing);
    }

    fn refresh(&mut self, grant: &Grant, token: usize) {
        let text = grant.known.lock().unwrap().refresh[token].clone();
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", text.as_str())];
        let Some(asked) = self.as_app(grant, "/oauth2/token", &pairs) else { return };
        let told = self.granted(grant, &asked);
        let shown = u32::try_from(token).unwrap();
        write(&grant.story, &asked, GrantOp::Refresh { shown, told }, told != Told::Nothing);
    }

    /// What the token endpoint told; new tokens are kept.
    fn granted(&self, grant: &Grant, asked: &Asked) -> Told<u32> {
        let told = self.told(asked, |answer| match (answer.status, answer.member("error").as_deref()) {
            (200, None) => Some(true),
            (400, Some("invalid_grant")) => Some(false),
            _ => None,
        });
        let mut known = grant.known.lock().unwrap();
        match (told, &asked.answer) {
            (Told::Yes(()), Some(answer)) => {
                let (Some(refresh), Some(access)) =
                    (answer.member("refresh_token"), answer.member("access_token"))
                else {
                    panic!("tokens without tokens: {}", answer.body);
                };
                if let Some(id_token) = answer.member("id_token") {
                    grant.session.id_token.lock().unwrap().get_or_insert(id_token);
                }
                known.access.push(access);
                let at = known.refresh.iter().position(|known| *known == refresh).unwrap_or_else(|| {
                    known.refresh.push(refresh);
                    known.refresh.len() - 1
                });
                Told::Yes(u32::try_from(at).unwrap())
            }
            (Told::No, _) => {
                known.is_dead = true;
                Told::No
            }
            _ => Told::Nothing,
        }
    }

    fn introspect(&mut self, grant: &Grant, token: &str) -> Option<(Asked, bool)> {
        let asked = self.as_app(grant, "/oauth2/introspect", &[("token", token)])?;
        let told = self.told(&asked, |answer| {
            let json: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            json["active"].as_bool().filter(|_| answer.status == 200)
        });
        (told != Told::Nothing).then_some((asked, told == Told::Yes(())))
    }

    fn ask_refresh(&mut self, grant: &Grant, token: usize) {
        let text = grant.known.lock().unwrap().refresh[token].clone();
        let Some((asked, alive)) = self.introspect(grant, &text) else { return };
        write(
            &grant.story,
            &asked,
            GrantOp::AskRefresh { shown: u32::try_from(token).unwrap(), alive },
            true,
        );
    }

    fn ask_access(&mut self, grant: &Grant, token: usize) {
        let Some(text) = grant.known.lock().unwrap().access.get(token).cloned() else { return };
        // Only a token with the scope openid is told about a person.
        let asked = if self.stage.site.apps[grant.app].scope == "openid" && self.chance.in_thousand(500) {
            let head = format!("Authorization: Bearer {text}\r\n");
            let Some(asked) = self.ask("GET /oauth2/userinfo", &head, "") else { return };
            match self.told(&asked, |answer| match answer.status {
                200 => Some(true),
                401 => Some(false),
                _ => None,
            }) {
                Told::Nothing => return,
                told => (asked, told == Told::Yes(())),
            }
        } else {
            let Some(asked) = self.introspect(grant, &text) else { return };
            asked
        };
        let (asked, alive) = asked;
        if !alive {
            grant.known.lock().unwrap().is_dead = true;
        }
        write(&grant.story, &asked, GrantOp::AskAccess { alive }, true);
    }

    /// Of whatever token of the grant comes to hand.
    fn revoke(&mut self, grant: &Grant) {
        let text = {
            let known = grant.known.lock().unwrap();
            let (refresh, access) = (known.refresh.len(), known.access.len());
            let any = self.chance.below(refresh + access);
            if any < refresh { known.refresh[any].clone() } else { known.access[any - refresh].clone() }
        };
        let Some(asked) = self.as_app(grant, "/oauth2/revoke", &[("token", &text)]) else { return };
        let told = self.told(&asked, |answer| (answer.status == 200).then_some(true));
        write(&grant.story, &asked, GrantOp::Revoke, told != Told::Nothing);
    }

    fn sign_out(&mut self, session: &Session) {
        let Some(hint) = session.id_token.lock().unwrap().clone() else { return };
        let query = form(&[("id_token_hint", &hint)]);
        let cookie = format!("Cookie: cnx_session={}\r\n", session.cookie);
        let Some(asked) = self.ask(&format!("GET /oauth2/logout?{query}"), &cookie, "") else { return };
        let signed_out = |answer: &Answer| answer.status == 200 && answer.body.contains("You are signed out");
        let told = self.told(&asked, |answer| signed_out(answer).then_some(true));
        write(&session.story, &asked, SessionOp::SignOut, told != Told::Nothing);
    }

    /// What was left alive, or dead, is so at the end as well.
    pub fn look_again(&mut self, grant: &Arc<Grant>) {
        let (refresh, access) = {
            let known = grant.known.lock().unwrap();
            (known.refresh.len(), known.access.len())
        };
        if refresh == 0 || access == 0 {
            return;
        }
        self.ask_access(grant, access - 1);
        self.ask_access(grant, 0);
        self.ask_refresh(grant, refresh - 1);
        self.refresh(grant, refresh - 1);
        self.redeem(grant);
    }
}

fn is_told_to_wait(asked: &Asked) -> bool {
    let location = asked.answer.as_ref().and_then(|answer| answer.header("location"));
    location.is_some_and(|location| location.contains("error=temporarily_unavailable"))
}
