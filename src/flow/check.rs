//! One decision for an API key, a JWT and an opaque token: may it do this, now, from here? Gateways, `POST /v1/keys/verify` and our own
//! `/v1` ask it. Nothing is written: keys are in memory, and a use is noted for a job to write down.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use super::audit;
use super::caller::place;
use super::introspect::alive;
use super::keys;
use crate::api_key::format::{self, PublicId};
use crate::api_key::key::{ApiKey, KeySecret, Refusal};
use crate::api_key::permission::Permissions;
use crate::api_key::plan::{Budget, Class, budget};
use crate::api_key::window::Standing;
use crate::app::{ALLOWED, App, Counted};
use crate::base::seal::MacPurpose;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::api_keys;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// The key or the token.
    pub credential: &'a str,
    /// What it must be allowed to do; all of it.
    pub scopes: &'a [&'a str],
    /// From where it is used, as far as that is known.
    pub address: Option<IpAddr>,
    /// The environment that a key must be of; any when absent. A token has none.
    pub environment: Option<&'a str>,
    /// What is counted; nothing when absent.
    pub class: Option<Class>,
    /// How many uses of it.
    pub cost: u32,
    /// For what, as a gateway told; for people who look when a key was used last.
    pub resource: Option<&'a str>,
    /// Whether a token for our own issuer will do as well as one for the gateway's audiences.
    pub for_us: bool,
}

/// A budget and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The budget.
    pub budget: Budget,
    /// Where it stands after this request.
    pub standing: Standing,
}

/// Who may.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Whom a token speaks for: a person, a client or a service account. A key speaks for itself.
    pub token_of: Option<String>,
    /// The key; absent for a token.
    pub key: Option<Arc<ApiKey>>,
    /// Which of the key's secrets it was.
    pub secret: Option<Fingerprint>,
    /// What it may do, in words.
    pub scopes: Arc<str>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// The budget that was charged.
    pub limit: Option<Limit>,
}

impl Allowed {
    /// Whom the key or token speaks for.
    pub fn subject(&self) -> Cow<'_, str> {
        match (&self.token_of, &self.key) {
            (Some(subject), _) => subject.into(),
            (None, Some(key)) => ["key:", key.id.as_str()].concat().into(),
            (None, None) => "".into(),
        }
    }
}

/// The decision.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Yes.
    Allowed(Box<Allowed>),
    /// No, and why; with the key where its holder may know that it was recognised.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The key that was recognised by its secret.
        key: Option<Arc<ApiKey>>,
        /// The budget that was asked.
        limit: Option<Limit>,
    },
}

impl Verdict {
    const fn unknown() -> Self {
        Self::Refused { refusal: Refusal::NotFound, key: None, limit: None }
    }
}

/// The sliding window in which failures count, in seconds.
const WINDOW: i64 = 60;
/// How many failures one place may have in it before its guesses cost no look-up any more, as a multiple of a client's.
const PLACE_FACTOR: u64 = 10;

/// Decides.
///
/// What is rare is boxed here and below, so that what every request keeps while it waits stays small: its size costs more than the box.
pub async fn check(app: &App, asked: &Asked<'_>, now: Timestamp) -> Result<Verdict, OAuthError> {
    let verdict = match format::read(asked.credential) {
        Some(written) => key(app, &written, asked, now).await?,
        // What looks like a key and is none costs no look-up (S-K2).
        None if asked.credential.starts_with(format::PREFIX) && !is_opaque(asked.credential) => {
            Verdict::unknown()
        }
        None => Box::pin(token(app, asked, now)).await?,
    };
    if matches!(verdict, Verdict::Refused { refusal: Refusal::NotFound, .. }) {
        Box::pin(app.counters.hit(&failures_of(app, asked), WINDOW, now)).await;
    }
    count(app, asked.class, &verdict, now);
    match &verdict {
        Verdict::Allowed(_) => VALID.increment(1),
        Verdict::Refused { refusal, key, .. } => {
            outcomes(refusal.code()).increment(1);
            let id = key.as_ref().map(|key| key.id);
            audit::check_refused(app, id.as_ref().map(PublicId::as_str), refusal.code(), asked.address, now);
        }
    }
    Ok(verdict)
}

/// Counts a key's request of a class, for people who look at its usage.
fn count(app: &App, class: Option<Class>, verdict: &Verdict, now: Timestamp) {
    let (key, outcome) = match verdict {
        Verdict::Allowed(allowed) => (&allowed.key, ALLOWED),
        Verdict::Refused { refusal, key, .. } => (key, refusal.outcome()),
    };
    if let (Some(key), Some(class)) = (key, class) {
        app.count_key(key.id, class, outcome, now);
    }
}

/// The counter that nearly every check moves, looked up once: whoever gathers metrics is there before a request is.
static VALID: LazyLock<metrics::Counter> = LazyLock::new(|| outcomes("VALID"));

fn outcomes(code: &'static str) -> metrics::Counter {
    metrics::counter!("cnx_checks_total", "code" => code)
}

/// Under what the failures of a place are counted (S-K6: by address, not by key).
fn failures_of(app: &App, asked: &Asked<'_>) -> Fingerprint {
    let place = asked.address.map_or_else(String::new, place);
    let parts: [&[u8]; 2] = [b"keys of a place", place.as_bytes()];
    Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, &parts))
}

/// Whether a place failed so often lately that its unknown keys are not looked up in the database: anybody can make up well-formed ones.
async fn is_guessing(app: &App, asked: &Asked<'_>, now: Timestamp) -> bool {
    let most = u64::from(app.settings.limits.client_failures).saturating_mul(PLACE_FACTOR);
    app.counters.peek(&failures_of(app, asked), WINDOW, now).await >= most
}

fn is_opaque(credential: &str) -> bool {
    credential.starts_with(crate::oauth::access_token::OPAQUE_PREFIX)
}

/// The key in the database: another node may have minted it a moment ago.
async fn look_up(
    app: &App,
    id: PublicId,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<Option<ApiKey>, OAuthError> {
    if is_guessing(app, asked, now).await {
        return Ok(None);
    }
    Ok(app.store.read(move |conn| api_keys::find(conn, id)).await?)
}

async fn key(
    app: &App,
    written: &format::Written,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<Verdict, OAuthError> {
    let judge = |key: &ApiKey| {
        let is_it = |s: &KeySecret| s.fingerprint == keys::fingerprint(app, s.pepper, asked.credential);
        key.judge(is_it, now).map(|s| (s.fingerprint, s.pepper))
    };
    let known = app.api_key(written.id).map(|key| (judge(&key), key));
    let (judged, key) = match known {
        Some(known) if !matches!(known.0, Err(Refusal::NotFound)) => known,
        // Another node may have minted it a moment ago, or given it a new secret.
        _ => match Box::pin(look_up(app, written.id, asked, now)).await? {
            Some(key) => (judge(&key), Arc::new(key)),
            None => return Ok(Verdict::unknown()),
        },
    };
    let (secret, pepper): (Fingerprint, i32) = match judged {
        Ok(of) => of,
        Err(Refusal::NotFound) => return Ok(Verdict::unknown()),
        Err(refusal) => return Ok(Verdict::Refused { refusal, key: Some(key), limit: None }),
    };
    // A key of another environment is none here.
    if asked.environment.is_some_and(|wanted| wanted != key.environment.as_str()) {
        return Ok(Verdict::unknown());
    }
    if let Err(refusal) = key.permits(asked.address, asked.scopes.iter().copied()) {
        return Ok(Verdict::Refused { refusal, key: Some(key), limit: None });
    }
    let mut limit = None;
    if let Some(class) = asked.class {
        let budget = app.budget(&key, class);
        let standing = app.limits.spend(key.id, class, budget.most(), asked.cost, now).await;
        limit = Some(Limit { budget, standing });
        if !standing.allowed {
            return Ok(Verdict::Refused { refusal: Refusal::RateLimited, key: Some(key), limit });
        }
    }
    app.note_use(key.id, secret, (now, asked.address, asked.resource), || {
        keys::renewed(app, pepper, asked.credential)
    });
    Ok(Verdict::Allowed(Box::new(Allowed {
        token_of: None,
        scopes: key.scopes.text(),
        expires_at: key.expires_at,
        key: Some(key),
        secret: Some(secret),
        limit,
    })))
}

/// A JWT or an opaque token: alive, for the gateway's audience, with the scopes. Its words may hold stars as a key's do.
async fn token(app: &App, asked: &Asked<'_>, now: Timestamp) -> Result<Verdict, OAuthError> {
    let Some(alive) = alive(app, asked.credential, now).await? else { return Ok(Verdict::unknown()) };
    let claims = &alive.claims;
    let ours = |aud: &String| {
        aud == app.issuer()
            || (!asked.for_us && app.settings.api_keys.audience.iter().any(|known| known == aud))
    };
    if !claims.aud.iter().any(ours) {
        return Ok(Verdict::unknown());
    }
    let counted = |outcome| {
        if let Some(class) = asked.class {
            app.count(Counted::Client(claims.client_id.clone()), class.name(), outcome, now);
        }
    };
    // An app gets scopes for people; our own `/v1` is for administrators among them.
    if asked.for_us && alive.of.as_ref().is_some_and(|(_, user)| !user.is_admin()) {
        let wanted = asked.scopes.first().copied().unwrap_or_default().to_owned();
        counted("insufficient_scope");
        return Ok(Verdict::Refused { refusal: Refusal::InsufficientScope(wanted), key: None, limit: None });
    }
    let words = claims.scope.to_string();
    let held = Permissions::parse(words.split(' ').filter(|word| crate::api_key::permission::is_word(word)))
        .unwrap_or_default();
    if let Some(word) = held.missing(asked.scopes.iter().copied()) {
        counted("insufficient_scope");
        let refusal = Refusal::InsufficientScope(word.to_owned());
        return Ok(Verdict::Refused { refusal, key: None, limit: None });
    }
    counted(ALLOWED);
    Ok(Verdict::Allowed(Box::new(Allowed {
        token_of: Some(claims.sub.clone()),
        key: None,
        secret: None,
        scopes: words.into(),
        expires_at: Some(Timestamp::from_secs(claims.exp)),
        limit: None,
    })))
}

impl App {
    /// The budget of a key's class: its organization's, or its own where that is lower.
    pub fn budget(&self, key: &ApiKey, class: Class) -> Budget {
        let plan = self.plan(key.organization);
        budget(class, plan, self.settings.api_keys.enterprise_burst, &key.limits)
    }
}
