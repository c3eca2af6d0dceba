//! `cnx doctor`: looks at everything that a server needs, changes nothing, and says of each fault how to mend it.
//!
//! The checks of the machine are in `doctor_checks.rs` and `doctor_tls.rs`, those of others in `doctor_neighbours.rs`; here are those of the database and
//! what it holds.

use serde::Serialize;
use serde_json::json;

use super::{Context, Refused, doctor_checks, doctor_neighbours, logs, runtime};
use crate::app::{App, Role, StartError};
use crate::base::algorithm::Algorithm;
use crate::base::entropy::Entropy;
use crate::base::time::{Clock, Timestamp};
use crate::config::{Loaded, Settings};
use crate::jose::keyring::{KeyState, Step, plan};
use crate::store::{OpenError, StoreOptions, migrate, users};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Will not work, or is not safe.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, state: State::Ok, message: message.into(), mend: None }
    }

    pub(super) fn warn(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Warn, message: message.into(), mend: Some(mend.into()) }
    }

    pub(super) fn fail(check: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Fail, message: message.into(), mend: Some(mend.into()) }
    }
}

pub(super) fn run(context: &Context) -> Result<(), Refused> {
    let findings = match context.load() {
        Err(Refused::Because(line)) => {
            vec![Finding::fail(
                "settings",
                line,
                "correct it; `cnx config` shows every setting once it can be read",
            )]
        }
        Err(told @ Refused::Told) => return Err(told),
        Ok(loaded) => {
            let _logs = logs::start(&loaded, logs::For::Tool);
            let mut findings = doctor_checks::machine(&loaded, Clock::System.now());
            runtime()?.block_on(async {
                findings.extend(doctor_neighbours::others(&loaded.settings).await);
                database(&loaded, &mut findings).await;
            });
            findings
        }
    };
    let well = findings.iter().all(|f| f.state != State::Fail);
    context.show(&json!({ "ok": well, "checks": findings }), || as_text(&findings))?;
    if well { Ok(()) } else { Err(Refused::Told) }
}

fn as_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    let line = |f: &Finding| {
        let state = match f.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let mend = f.mend.as_ref().map_or_else(String::new, |m| format!("\n      {:width$}  → {m}", ""));
        format!("{state}  {:width$}  {}{mend}", f.check, f.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The database, the master key that fits it, and what lies in it.
async fn database(loaded: &Loaded, findings: &mut Vec<Finding>) {
    const CHECK: &str = "database";
    let settings = &loaded.settings;
    let name = settings.database_url.masked();
    if settings.database_url.sqlite_path().is_some_and(|path| !path.exists()) {
        findings.push(Finding::ok(CHECK, format!("{name} is not there yet; the first start makes it")));
        return;
    }
    // Sound and ours comes first: a damaged file may tell anything about what it lacks.
    let options = StoreOptions::new(settings.database_url.as_str());
    match migrate::look(&options).and_then(|_| migrate::pending(&options)) {
        Err(error) => {
            findings.push(Finding::fail(CHECK, error.to_string(), mend_of(&error)));
            return;
        }
        Ok(pending) if !pending.is_empty() => {
            let message = format!("{name} lacks migrations: {}", pending.join(", "));
            findings.push(Finding::warn(
                CHECK,
                message,
                "run `cnx migrate`, or start the server, which does it",
            ));
            return;
        }
        Ok(_) => findings.push(Finding::ok(CHECK, format!("{name} answers and is up to date"))),
    }
    // Nothing is missing, so opening changes nothing: it compares the master key and reads what there is.
    match App::open(settings.clone(), Clock::System, Entropy::system(), Role::Tool).await {
        Err(error) => findings.push(Finding::fail("opening", error.to_string(), mend_of_start(&error))),
        Ok(app) => {
            findings.push(Finding::ok("opening", "the master key fits the database"));
            keys(&app, findings);
            people(&app, findings).await;
            app.store.close();
        }
    }
}

/// What to do about a database that cannot be opened.
const fn mend_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Damaged { .. } => {
            "stop the server and keep the file, then `cnx restore BACKUP`; look at the disk before it is used again"
        }
        OpenError::Newer(_) | OpenError::Changed(_) => {
            "install the release that made it, or restore the backup from before that release"
        }
        OpenError::Foreign(_) => "name a new file or an empty database in database_url",
        _ => "check database_url, and that the database runs and lets this user in",
    }
}

/// What to do about the rest that a start needs.
const fn mend_of_start(error: &StartError) -> &'static str {
    match error {
        StartError::MasterKey { .. } => {
            "put the right master.key back, from the node or the backup that the database came from"
        }
        StartError::Keys(_) => "rows of the database are damaged: `cnx restore BACKUP`",
        StartError::Outbound(_) | StartError::Mail(_) | StartError::Redis(_) => "correct the setting",
        StartError::DataDir { .. } | StartError::Database { .. } => {
            "let the server's user read and write the database's folder and files"
        }
    }
}

fn keys(app: &App, findings: &mut Vec<Finding>) {
    const CHECK: &str = "signing keys";
    let now = app.now();
    let keyring = match app.keyring(now) {
        Ok(keyring) => keyring,
        Err(fault) => {
            let mend = "the rows of signing_keys are damaged: restore a backup";
            findings.push(Finding::fail(CHECK, fault.to_string(), mend));
            return;
        }
    };
    let keys = keyring.describe();
    let signs = |alg: Algorithm| keys.iter().any(|key| key.alg == alg && key.state == KeyState::Signing);
    let missing: Vec<&str> =
        Algorithm::ALL.into_iter().filter(|alg| !signs(*alg)).map(Algorithm::name).collect();
    findings.push(match (keys.is_empty(), missing.as_slice()) {
        (true, _) => Finding::ok(CHECK, "there are none yet; the first start makes them"),
        (false, []) => Finding::ok(CHECK, "one signs for each algorithm"),
        (false, some) => Finding::fail(
            CHECK,
            format!("none signs for {}", some.join(", ")),
            "start the server, or run `cnx signing-key rotate --now`",
        ),
    });
    findings.extend(late(app, now));
    let newest = app.stored_keys().iter().map(|key| key.created_at).max();
    findings.extend(newest.and_then(|newest| clock_behind(newest, now)));
}

/// A next key that a running server would have published by now. Who checks tokens must know it before it signs.
fn late(app: &App, now: Timestamp) -> Option<Finding> {
    const GRACE: i64 = 600;
    let due = plan(&app.stored_keys(), &Algorithm::ALL, &app.key_policy(), now.minus(GRACE));
    let late: Vec<&str> = due
        .iter()
        .filter_map(|step| match step {
            Step::Make { alg, generation, .. } if *generation > 1 => Some(alg.name()),
            _ => None,
        })
        .collect();
    (!late.is_empty()).then(|| {
        Finding::warn(
            "signing keys",
            format!("the next key is late for {}: it should be published by now", late.join(", ")),
            "start the server, which makes it; when it runs, its log says what stops it",
        )
    })
}

/// Rows from the future: this clock, or the one that wrote them, is wrong (F10).
fn clock_behind(newest: Timestamp, now: Timestamp) -> Option<Finding> {
    let ahead = newest.since(now);
    (ahead > 60).then(|| {
        let message =
            format!("the newest signing key was made {ahead} seconds in the future of this machine's clock");
        Finding::fail("clock", message, "set the clock by NTP on every node; tokens live by it")
    })
}

async fn people(app: &App, findings: &mut Vec<Finding>) {
    findings.push(match app.store.read(users::has_admin).await {
        Ok(true) => Finding::ok("people", "there is an administrator"),
        Ok(false) => Finding::warn(
            "people",
            "there is no administrator yet",
            "`cnx serve` prints a link that makes one, or run `cnx user add EMAIL --admin`",
        ),
        Err(error) => Finding::fail("people", error.to_string(), "see the database's own logs"),
    });
}

/// Whether the settings name a place where this server's own listener answers with our issuer.
pub(super) fn answers_as(settings: &Settings, answer: &str) -> bool {
    answer.contains(&format!("\"issuer\":\"{}\"", settings.public_url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_stands_beside_its_mending() {
        let text =
            as_text(&[Finding::ok("clock", "fine"), Finding::fail("master key", "gone", "put it back")]);
        assert_eq!(text, "ok    clock       fine\nFAIL  master key  gone\n                  → put it back");
    }

    #[test]
    fn rows_of_the_future_are_the_clock_s_fault() {
        let now = Timestamp::from_secs(1_800_000_000);
        assert!(clock_behind(now.plus(60), now).is_none());
        assert_eq!(clock_behind(now.plus(61), now).map(|f| f.state), Some(State::Fail));
    }
}
