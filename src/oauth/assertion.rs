//! Assertions (RFC 7521, RFC 7523): JWTs that somebody else signed, to authenticate as a client or to ask for a token.
//!
//! [`Unverified`] holds what may be read before the signature: who to look up and by which key, nothing else. [`check`] takes
//! claims whose signature was checked. A caller never learns which rule said no; the audit does.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Why;
use crate::base::encoding::from_base64url;
use crate::base::json;
use crate::base::proof::Verified;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// The `client_assertion_type` of a JWT (RFC 7523 §2.2).
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest life of an assertion, `exp` less `iat`, in seconds: what authlib and google-auth send (requirements D6).
pub const LONGEST: i64 = 3_600;

/// How long after its `exp` an assertion is still taken, in seconds (S-J6); its `jti` is remembered for as long.
pub const EXPIRY_LEEWAY: i64 = 60;

/// How far ahead of our clock `iat` and `nbf` may be, in seconds (S-J7, F11).
const FUTURE_LEEWAY: i64 = 30;

/// The longest identifier that is looked at, in bytes (S-J3, S-J9).
const LONGEST_ID: usize = 256;

/// 9999-12-31T23:59:59Z: no time of an honest token is later.
const LAST_SECOND: i64 = 253_402_300_799;

/// A compact JWS as it came, and the little that may be read of it before its signature was checked (pitfall 13).
#[derive(Clone)]
pub struct Unverified {
    text: Secret<String>,
    /// Who is said to have made it: whose keys to try.
    pub iss: String,
    /// Which of the keys, where it is said.
    pub kid: Option<String>,
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("iss", &self.iss).field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Unverified {
    /// Reads who is said to have made it. `None` for what is no compact JWS of an object with an `iss`, is too long, or says a
    /// name twice (S-J2, S-J4, S-J12).
    pub fn peek(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            kid: Option<String>,
        }
        let (head, rest) = text.split_once('.')?;
        let (claims, signature) = rest.split_once('.')?;
        if signature.is_empty() || signature.contains('.') {
            return None;
        }
        let head: Head = serde_json::from_value(object(head)?).ok()?;
        let claims = object(claims)?;
        let iss = claims.get("iss")?.as_str().filter(|iss| is_id(iss))?.to_owned();
        if head.kid.as_deref().is_some_and(|kid| !is_id(kid)) {
            return None;
        }
        Some(Self { text: Secret::new(text.to_owned()), iss, kid: head.kid })
    }

    /// The assertion itself, for whoever checks its signature.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }
}

fn object(part: &str) -> Option<Value> {
    let text = String::from_utf8(from_base64url(part)?).ok()?;
    json::strict(&text).ok().filter(Value::is_object)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID
}

/// `aud` (RFC 7519 §4.1.3), as it was written: some rules want it to be one string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A string.
    One(String),
    /// An array of strings.
    Many(Vec<String>),
}

/// The claims of an assertion. Times are whole seconds; a value that is no time, or of the wrong type, is no assertion.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct AssertionClaims {
    /// Who made it.
    pub iss: String,
    /// Whom it is about.
    pub sub: Option<String>,
    /// Whom it is for.
    pub aud: Option<Audience>,
    /// No good from then on.
    pub exp: Option<i64>,
    /// No good before.
    pub nbf: Option<i64>,
    /// When it was made.
    pub iat: Option<i64>,
    /// Its id: accepted once.
    pub jti: Option<String>,
    /// A scope inside the assertion, as google-auth sends it (C13).
    pub scope: Option<String>,
    /// The audience of an ID token, as google-auth asks for one (C13).
    pub target_audience: Option<String>,
    /// Everything that stands there, for trust rules.
    pub all: Map<String, Value>,
}

impl TryFrom<Map<String, Value>> for AssertionClaims {
    type Error = &'static str;

    fn try_from(all: Map<String, Value>) -> Result<Self, Self::Error> {
        let text = |name: &str| match all.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err("a claim that must be text is not"),
        };
        let id = |name: &str| match text(name)? {
            Some(id) if !is_id(&id) => Err("an identifier is empty or too long"),
            id => Ok(id),
        };
        let time = |name: &str| all.get(name).map(numeric_date).transpose();
        Ok(Self {
            iss: id("iss")?.ok_or("iss is missing")?,
            sub: id("sub")?,
            aud: all.get("aud").map(audience).transpose()?,
            exp: time("exp")?,
            nbf: time("nbf")?,
            iat: time("iat")?,
            jti: id("jti")?,
            scope: text("scope")?,
            target_audience: text("target_audience")?,
            all,
        })
    }
}

fn audience(value: &Value) -> Result<Audience, &'static str> {
    match value {
        Value::String(one) => Ok(Audience::One(one.clone())),
        Value::Array(many) => {
            let many = many.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            Ok(Audience::Many(many.ok_or("aud has a member that is no text")?))
        }
        _ => Err("aud is neither text nor a list"),
    }
}

/// `NumericDate` (RFC 7519 §2): a number of seconds, whole or with a fraction, between 1970 and the year 9999.
fn numeric_date(value: &Value) -> Result<i64, &'static str> {
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole,
        #[expect(clippy::cast_possible_truncation, reason = "the range was just looked at")]
        (None, Some(real)) if (0.0..1e12).contains(&real) => real as i64,
        _ => return Err("a time is not a number of seconds"),
    };
    if (0..=LAST_SECOND).contains(&seconds) { Ok(seconds) } else { Err("a time is out of range") }
}

/// What the audience must be.
#[derive(Clone, Copy, Debug)]
pub enum AudienceRule<'a> {
    /// One of these, as the only value and as text: client authentication (RFC 7523bis, requirements D2).
    Sole(&'a [&'a str]),
    /// Nothing but these: an assertion that is for others as well could be sent to us by them.
    Among(&'a [&'a str]),
}

/// What an assertion must be to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whose it must be.
    pub issuer: &'a str,
    /// Whom it must be about. `None`: anybody; trust rules look at that.
    pub subject: Option<&'a str>,
    /// Whether `sub` may be left out, as google-auth does.
    pub subject_optional: bool,
    /// Whom it must be for.
    pub audience: AudienceRule<'a>,
    /// The longest life, in seconds.
    pub longest: i64,
    /// Whether `jti` may be left out (requirements D8).
    pub jti_optional: bool,
}

/// What to remember of an assertion that was taken, so that it is not taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remember {
    /// `iss` and `jti`: one issuer's ids say nothing about another's.
    pub issuer: String,
    /// The `jti`.
    pub jti: String,
    /// Until when: as long as the assertion would be taken (pitfall 11).
    pub until: Timestamp,
}

/// Whether the claims are those of an assertion for us, now (RFC 7523 §3, S-J5 to S-J9). `None`: there is nothing to remember,
/// because it has no `jti` and needs none.
pub fn check(
    claims: &Verified<AssertionClaims>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Option<Remember>, Why> {
    let claims = claims.claims();
    if claims.iss != expected.issuer {
        return Err(Why::WrongIssuer);
    }
    match (expected.subject, &claims.sub) {
        (None, _) => {}
        (Some(_), None) if expected.subject_optional => {}
        (Some(wanted), Some(sub)) if wanted == sub => {}
        _ => return Err(Why::WrongSubject),
    }
    if !is_for_us(claims.aud.as_ref(), expected.audience) {
        return Err(Why::WrongAudience);
    }
    let exp = claims.exp.ok_or(Why::Malformed)?;
    if now.as_secs() >= exp.saturating_add(EXPIRY_LEEWAY) {
        return Err(Why::Expired);
    }
    let latest_start = now.plus(FUTURE_LEEWAY).as_secs();
    if [claims.iat, claims.nbf].into_iter().flatten().any(|at| at > latest_start) {
        return Err(Why::NotYetValid);
    }
    // From its own `iat`, so that a clock that is ahead of ours shortens nothing; and from now, so that a missing or old
    // `iat` stretches nothing.
    let begun = claims.iat.unwrap_or(now.as_secs());
    if exp.saturating_sub(begun) > expected.longest
        || exp > now.plus(expected.longest.saturating_add(FUTURE_LEEWAY)).as_secs()
    {
        return Err(Why::TooLongLived);
    }
    match &claims.jti {
        Some(jti) => Ok(Some(Remember {
            issuer: claims.iss.clone(),
            jti: jti.clone(),
            until: Timestamp::from_secs(exp).plus(EXPIRY_LEEWAY),
        })),
        None if expected.jti_optional => Ok(None),
        None => Err(Why::NoTokenId),
    }
}

fn is_for_us(aud: Option<&Audience>, rule: AudienceRule<'_>) -> bool {
    match (aud, rule) {
        (Some(Audience::One(aud)), AudienceRule::Sole(ours) | AudienceRule::Among(ours)) => {
            ours.contains(&aud.as_str())
        }
        (Some(Audience::Many(all)), AudienceRule::Among(ours)) => {
            !all.is_empty() && all.iter().all(|aud| ours.contains(&aud.as_str()))
        }
        _ => false,
    }
}
