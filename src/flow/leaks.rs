//! Keys that were found in public: whoever shows one proves to hold it, and the key's policy says what becomes of it.

use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::ToSchema;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::keys;
use crate::api_key::format::{self, PublicId};
use crate::api_key::key::{ApiKey, KeySecret};
use crate::api_key::leak::LeakPolicy;
use crate::app::{App, KeySource};
use crate::base::digest::sha256_hex;
use crate::base::seal::{MacPurpose, Vault};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::{Conn, StoreError, api_keys};

/// The sliding window in which reports of a place count, in seconds.
const WINDOW: i64 = 60;
/// How many reports one place may make in it.
pub const MOST: u64 = 30;
/// How many batches of GitHub's may come from one place in it, signed or not.
pub const MOST_BATCHES: u64 = 300;
/// How often it is told again that a key that goes on working was found, in seconds.
const TOLD_EVERY: i64 = 3_600;
/// The longest address of a finding that is written down, in characters.
const LONGEST_URL: usize = 500;
/// Why a key was revoked.
const REASON: &str = "found in public";

/// A finding.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// What looks like a key.
    pub text: &'a str,
    /// Where it was found.
    pub url: Option<&'a str>,
    /// Who says so, and in what kind of place it was: `report`, `github content`, …
    pub source: &'a str,
}

/// Refuses a place that reports more often than `most` times a minute.
pub async fn refuse_too_many(app: &App, caller: &Caller, most: u64) -> Result<(), OAuthError> {
    let place = caller.place();
    let parts: [&[u8]; 2] = [b"leaks of a place", place.as_bytes()];
    let key = Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, &parts));
    if app.counters.hit(&key, WINDOW, app.now()).await > most {
        return Err(OAuthError::SlowDown { retry_after: WINDOW });
    }
    Ok(())
}

/// Takes a finding; whether it is a key of ours, present or past. What works still is dealt with as its policy says, before this returns: in
/// one write, so that it is told and done, or neither, and so that a secret that was replaced meanwhile ends nothing.
///
/// Not a use of the key: when it was last used is not touched.
pub async fn report(app: &App, by: &By, found: Found<'_>) -> Result<bool, OAuthError> {
    let Some(written) = format::read(found.text) else { return Ok(false) };
    let (id, now) = (written.id, app.now());
    let Some(key) = app.store.read(move |conn| api_keys::find(conn, id)).await? else { return Ok(false) };
    let text = Secret::new(found.text.to_owned());
    if secret_of(&key, &app.vault, &text).is_none() {
        return Ok(false);
    }
    let finding = Finding {
        text,
        url: found.url.and_then(place_of),
        source: found.source.to_owned(),
        usual: app.settings.leaks.policy,
        by: by.clone(),
        vault: app.vault.clone(),
        now,
    };
    let dealt = app.store.write(move |conn| deal(conn, id, &finding)).await?;
    if !dealt.is_empty() {
        tracing::warn!(key = %id, name = key.name, "an API key was found in public");
        metrics::counter!("cnx_api_keys_leaked_total").increment(1);
        for record in &dealt {
            record.log();
        }
        app.catch_up().await?;
    }
    Ok(true)
}

/// A finding, as the write that deals with it needs it.
struct Finding {
    text: Secret<String>,
    url: Option<String>,
    source: String,
    usual: LeakPolicy,
    by: By,
    vault: Vault,
    now: Timestamp,
}

/// The secret that a text is, of a key that is called so.
fn secret_of<'a>(key: &'a ApiKey, vault: &Vault, text: &Secret<String>) -> Option<&'a KeySecret> {
    key.secrets.iter().find(|secret| secret.fingerprint == keys::hashed(vault, secret.pepper, text.reveal()))
}

/// Does what the key's policy says; what was done. Nothing, where the key or that secret of it works no more, and where it was done already.
fn deal(conn: &mut Conn, id: PublicId, finding: &Finding) -> Result<Vec<Record>, StoreError> {
    let now = finding.now;
    let Some(key) = api_keys::hold(conn, id, now)? else { return Ok(Vec::new()) };
    let policy = key.leak_policy.unwrap_or(finding.usual);
    let works = |at: Option<Timestamp>| at.is_none_or(|at| now < at);
    let is_live =
        secret_of(&key, &finding.vault, &finding.text).is_some_and(|secret| works(secret.expires_at));
    let is_done = match policy {
        LeakPolicy::Notify => key.leaked_at.is_some_and(|at| now.since(at) < TOLD_EVERY),
        LeakPolicy::Disable => key.disabled_at.is_some(),
        LeakPolicy::Revoke => false,
    };
    if !is_live || is_done || key.revoked_at.is_some() || !works(key.expires_at) {
        return Ok(Vec::new());
    }
    let record = |name: Name, about: Value| {
        Record::within(&finding.vault, &Act::Did(name, id.as_str().into(), about), &finding.by, now)
    };
    let about = json!({ "policy": policy, "source": finding.source, "url": finding.url });
    let mut records = vec![record(Name::KeyLeaked, about)];
    match policy {
        LeakPolicy::Notify => {}
        LeakPolicy::Disable => {
            api_keys::set_disabled(conn, id, Some(now), now)?;
            records.push(record(Name::KeyDisabled, Value::Null).because(Some(REASON.to_owned())));
        }
        LeakPolicy::Revoke => {
            api_keys::revoke(conn, id, Some(REASON), now)?;
            records.push(record(Name::KeyRevoked, Value::Null).because(Some(REASON.to_owned())));
        }
    }
    api_keys::note_leak(conn, id, now)?;
    for record in &records {
        record.write(conn)?;
    }
    Ok(records)
}

/// What is kept of the address of a finding: host and path, and of a path that may hold a key nothing. What stands in a query is often the
/// very key.
fn place_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let path = if url.path().contains("cnx") || url.path().contains('%') { "/\u{2026}" } else { url.path() };
    let text = format!("{}://{}{path}", url.scheme(), url.host_str()?);
    Some(text.chars().take(LONGEST_URL).collect())
}

/// Whether GitHub signed a report (its secret scanning partner program): `signature` is ECDSA over the body as it came, by a key that GitHub
/// publishes as current.
pub async fn is_from_github(app: &App, identifier: &str, signature: &[u8], body: &[u8]) -> bool {
    let source = KeySource::Scanner(app.settings.leaks.github_keys_url.clone());
    let keys = app.remote_keys(&source, Some(identifier), app.now()).await;
    keys.is_some_and(|keys| keys.has_signed(identifier, body, signature))
}

/// What GitHub is answered about a finding: by the hash of what it sent, so that no key goes over the wire once more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GithubLabel)]
pub struct Label {
    /// SHA-256 of what was sent, in hexadecimal.
    token_hash: String,
    /// The name of the pattern, as it was sent.
    token_type: String,
    /// `true_positive` or `false_positive`.
    #[serde(rename = "label")]
    verdict: &'static str,
}

impl Label {
    /// Of a finding that is one of our keys, or is not.
    pub fn of(text: &str, kind: &str, ours: bool) -> Self {
        Self {
            token_hash: sha256_hex(text.as_bytes()),
            token_type: kind.to_owned(),
            verdict: if ours { "true_positive" } else { "false_positive" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn of_an_address_no_key_is_kept() {
        let key = "cnx_prod_7Hd2f9QzAk0123456789ABCDEFGHIJKLMNOPQRSTUV3Rye8p";
        for (url, kept) in [
            ("https://github.com/o/r/blob/x/.env#L3".to_owned(), Some("https://github.com/o/r/blob/x/.env")),
            (format!("https://api.example.com/v1?api_key={key}"), Some("https://api.example.com/v1")),
            (format!("https://u:{key}@example.com/a"), Some("https://example.com/a")),
            (format!("https://example.com/{key}/a"), Some("https://example.com/\u{2026}")),
            (
                format!("https://example.com/{}", key.replace('_', "%5F")),
                Some("https://example.com/\u{2026}"),
            ),
            (format!("https://example.com/a#{key}"), Some("https://example.com/a")),
            (format!("javascript:{key}"), None),
            (key.to_owned(), None),
        ] {
            assert_eq!(place_of(&url).as_deref(), kept, "{url}");
        }
    }
}
