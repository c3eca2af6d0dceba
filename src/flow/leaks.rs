//! Keys that were found in public: whoever shows one proves to hold it, and the key's policy says what becomes of it.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::keys;
use crate::api_key::format;
use crate::api_key::leak::LeakPolicy;
use crate::app::{App, KeySource};
use crate::base::digest::sha256_hex;
use crate::base::fault::Fault;
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::oauth::error::OAuthError;
use crate::store::api_keys;

/// The sliding window in which reports of a place count, in seconds.
const WINDOW: i64 = 60;
/// How many reports one place may make in it.
const MOST: u64 = 30;
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

/// Refuses a place that reports too often.
pub async fn refuse_too_many(app: &App, caller: &Caller) -> Result<(), OAuthError> {
    let place = caller.place();
    let parts: [&[u8]; 2] = [b"leaks of a place", place.as_bytes()];
    let key = Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, &parts));
    if app.counters.hit(&key, WINDOW, app.now()).await > MOST {
        return Err(OAuthError::SlowDown { retry_after: WINDOW });
    }
    Ok(())
}

/// Takes a finding; whether it is a key of ours, present or past. What works still is dealt with as its policy says, before this returns.
///
/// Not a use of the key: when it was last used is not touched.
pub async fn report(app: &App, by: &By, found: Found<'_>) -> Result<bool, OAuthError> {
    let Some(written) = format::read(found.text) else { return Ok(false) };
    let id = written.id;
    let Some(key) = app.store.read(move |conn| api_keys::find(conn, id)).await? else { return Ok(false) };
    let is_that = |secret: &&crate::api_key::key::KeySecret| {
        secret.fingerprint == keys::fingerprint(app, secret.pepper, found.text)
    };
    let Some(secret) = key.secrets.iter().find(is_that) else { return Ok(false) };
    let now = app.now();
    let works = key.revoked_at.is_none() && secret.expires_at.is_none_or(|at| now < at);
    if !works {
        return Ok(true);
    }
    let policy = key.leak_policy.unwrap_or(app.settings.leaks.policy);
    let url: Option<String> = found.url.map(|url| url.chars().take(LONGEST_URL).collect());
    let about = json!({ "policy": policy, "source": found.source, "url": url });
    let record = Record::new(app, &Act::Did(Name::KeyLeaked, id.as_str().into(), about), by, now);
    record.with(app, move |conn| api_keys::note_leak(conn, id, now)).await?;
    tracing::warn!(key = %id, name = key.name, policy = policy.word(), url, "an API key was found in public");
    metrics::counter!("cnx_api_keys_leaked_total", "policy" => policy.word()).increment(1);
    let done = match policy {
        LeakPolicy::Notify => app.catch_up().await.map_err(keys::KeyError::from).map(drop),
        LeakPolicy::Disable => keys::set_disabled(app, by, id.as_str(), true).await.map(drop),
        LeakPolicy::Revoke => keys::revoke(app, by, id.as_str(), Some(REASON.to_owned())).await.map(drop),
    };
    done.map_err(|error| match error {
        keys::KeyError::Error(error) => error,
        other => OAuthError::Server(Fault::new("dealing with a leaked key", other)),
    })?;
    Ok(true)
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
