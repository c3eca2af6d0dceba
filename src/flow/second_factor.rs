//! The second factor by code: an authenticator app, and recovery codes for the day on which it is lost.

use serde_json::Value;

use super::audit::{Act, By, Name, Record};
use super::caller::Caller;
use super::mail::{self, SecurityChange};
use super::own_account::Refused;
use super::session::{self, Live};
use crate::account::factor_policy::FactorPolicy;
use crate::account::user::User;
use crate::account::{recovery_codes, totp};
use crate::app::App;
use crate::base::id::UserId;
use crate::base::seal::{MacPurpose, Purpose, Vault};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::oauth::id_token::ACR_MFA;
use crate::store::totp::{self as kept, KeptTotp};
use crate::store::{Conn, StoreError, sessions};

/// What somebody has beside their password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Since when they have an authenticator app.
    pub totp_since: Option<Timestamp>,
    /// Recovery codes that are left.
    pub codes_left: i64,
}

/// How somebody met the second step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A code of their app.
    Totp,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

impl Means {
    /// What the session tells of it, behind a password or behind something that the registry has no value for (RFC 8176). It has none for a
    /// code on paper either.
    pub fn amr(self, after_password: bool) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Totp => &["pwd", "otp", "mfa"],
            Self::RecoveryCode => &["pwd", "mfa"],
            Self::Passkey => &["pwd", "pop", "user", "mfa"],
        };
        words.iter().filter(|word| after_password || **word != "pwd").map(|word| (*word).to_owned()).collect()
    }
}

/// What somebody has.
pub async fn of(app: &App, user: UserId) -> Result<Factors, OAuthError> {
    let read = move |conn: &mut Conn| {
        let totp_since = kept::find(conn, user)?.map(|kept| kept.created_at);
        Ok(Factors { totp_since, codes_left: kept::codes_left(conn, user)? })
    };
    Ok(app.store.read(read).await?)
}

/// Whether this session may do nothing but set a second factor up: their organization asks for one.
pub fn is_missing(app: &App, live: &Live) -> bool {
    app.presence().second_factor == FactorPolicy::Required && live.session.acr != ACR_MFA
}

/// A new secret for this person's app, sealed for the form that confirms it.
pub fn draft(app: &App, user: UserId) -> (Secret<Vec<u8>>, String) {
    let secret = app.entropy.bytes::<{ totp::SECRET_BYTES }>().to_vec();
    let sealed = app.vault.seal(Purpose::Totp, &(user, &secret), &app.entropy);
    (Secret::new(secret), sealed)
}

/// The secret in such a form; `None` for that of somebody else.
pub fn drafted(app: &App, sealed: &str, user: UserId) -> Option<Secret<Vec<u8>>> {
    let (of, secret): (UserId, Vec<u8>) = app.vault.open(Purpose::Totp, sealed)?;
    (of == user && secret.len() == totp::SECRET_BYTES).then(|| Secret::new(secret))
}

/// Sets an app up that showed a right code. Gives the session's new cookie, for it is surer than before (S-L9), and the first recovery
/// codes. Every other session ends (S-L11).
pub async fn add_totp(
    app: &App,
    by: &By,
    live: &Live,
    (sealed, code): (&str, &str),
    caller: &Caller,
) -> Result<(Secret<String>, Vec<Secret<String>>), Refused> {
    let (user, now) = (&live.user, app.now());
    let refuse = |problem: &str| Refused::Field("code", problem.to_owned());
    if app.presence().second_factor == FactorPolicy::Off {
        return Err(refuse("your organization does not use second factors"));
    }
    let secret = drafted(app, sealed, user.id)
        .ok_or_else(|| refuse("start again: this page is of another session"))?;
    let step = totp::step_of(secret.reveal(), code, now, 0)
        .ok_or_else(|| refuse("this is not the code that the app shows now; check the clock of the phone"))?;
    let row = KeptTotp {
        sealed: app.vault.seal_bytes(Purpose::Totp, &of_row(user.id, secret.reveal()), &app.entropy),
        created_at: now,
        last_step: step,
    };
    let (codes, fingerprints) = new_codes(app, user.id);
    let cookie = Secret::generate("", &app.entropy);
    let fingerprint = app.vault.fingerprint(MacPurpose::Session, cookie.reveal());
    let told = mail::tell_security_change(app, user, SecurityChange::TotpAdded, caller, now);
    let (id, session) = (user.id, live.session.id);
    let by_password = live.session.amr.iter().any(|word| word == "pwd");
    let done = record(app, by, user, Name::UserTotpAdded, now)
        .if_done(app, move |conn| {
            let proof = (Means::Totp.amr(by_password), ACR_MFA);
            if !sessions::renew(conn, session, &fingerprint, (&proof.0, proof.1), now)? {
                return Ok(false);
            }
            kept::put(conn, id, &row)?;
            kept::set_codes(conn, id, &fingerprints, now)?;
            session::end_others(conn, id, session, now)?;
            told.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    if done { Ok((cookie, codes)) } else { Err(Refused::Error(OAuthError::Busy)) }
}

/// Takes the app and the recovery codes away; not where the organization asks for a second factor. Every other session ends.
pub async fn remove_totp(app: &App, by: &By, live: &Live, caller: &Caller) -> Result<(), Refused> {
    let (user, now) = (&live.user, app.now());
    if app.presence().second_factor == FactorPolicy::Required {
        let problem = "your organization asks for a second factor; set up another app in its place";
        return Err(Refused::Field("totp", problem.to_owned()));
    }
    let told = mail::tell_security_change(app, user, SecurityChange::TotpRemoved, caller, now);
    let (id, session) = (user.id, live.session.id);
    record(app, by, user, Name::UserTotpRemoved, now)
        .if_done(app, move |conn| {
            let was_there = kept::remove(conn, id)?;
            if was_there {
                kept::remove_codes(conn, id)?;
                session::end_others(conn, id, session, now)?;
                told.put(conn)?;
            }
            Ok(was_there)
        })
        .await?;
    app.mail.wake();
    Ok(())
}

/// New recovery codes in place of those of before; only beside an app.
pub async fn make_codes(
    app: &App,
    by: &By,
    live: &Live,
    caller: &Caller,
) -> Result<Vec<Secret<String>>, Refused> {
    let (user, now) = (&live.user, app.now());
    let (codes, fingerprints) = new_codes(app, user.id);
    let told = mail::tell_security_change(app, user, SecurityChange::RecoveryCodesMade, caller, now);
    let id = user.id;
    let done = record(app, by, user, Name::UserRecoveryCodesMade, now)
        .if_done(app, move |conn| {
            if kept::find(conn, id)?.is_none() {
                return Ok(false);
            }
            kept::set_codes(conn, id, &fingerprints, now)?;
            told.put(conn)?;
            Ok(true)
        })
        .await?;
    app.mail.wake();
    if done { Ok(codes) } else { Err(Refused::Field("totp", "set up an authenticator app first".to_owned())) }
}

/// Looks at what was typed at the second step and uses it up: a code of the app, or a recovery code. The caller throttles.
pub async fn check(
    app: &App,
    user: UserId,
    typed: &str,
    now: Timestamp,
) -> Result<Option<Means>, OAuthError> {
    let (vault, typed) = (app.vault.clone(), typed.chars().take(64).collect::<String>());
    Ok(app.store.write(move |conn| used(conn, &vault, user, &typed, now)).await?)
}

fn used(
    conn: &mut Conn,
    vault: &Vault,
    user: UserId,
    typed: &str,
    now: Timestamp,
) -> Result<Option<Means>, StoreError> {
    let Some(app) = kept::find(conn, user)? else { return Ok(None) };
    let secret = vault.open_bytes(Purpose::Totp, &app.sealed).and_then(|row| of_person(user, &row));
    let step = secret.and_then(|secret| totp::step_of(&secret, typed, now, app.last_step));
    if let Some(step) = step {
        return Ok(kept::use_step(conn, user, step)?.then_some(Means::Totp));
    }
    let Some(code) = recovery_codes::canonical(typed) else { return Ok(None) };
    let done = kept::use_code(conn, user, &fingerprint(vault, user, &code), now)?;
    Ok(done.then_some(Means::RecoveryCode))
}

/// A secret bound to its person: a row that is moved to another one opens nothing.
fn of_row(user: UserId, secret: &[u8]) -> Vec<u8> {
    [user.as_bytes().as_slice(), secret].concat()
}

fn of_person(user: UserId, row: &[u8]) -> Option<Vec<u8>> {
    row.strip_prefix(user.as_bytes().as_slice()).map(<[u8]>::to_vec)
}

fn new_codes(app: &App, user: UserId) -> (Vec<Secret<String>>, Vec<Fingerprint>) {
    (0..recovery_codes::HOW_MANY)
        .map(|_| {
            let code = recovery_codes::written(&app.entropy.bytes::<{ recovery_codes::BYTES }>());
            let plain = code.replace('-', "");
            let kept = fingerprint(&app.vault, user, &plain);
            (Secret::new(code), kept)
        })
        .unzip()
}

fn fingerprint(vault: &Vault, user: UserId, code: &str) -> Fingerprint {
    Fingerprint::from_bytes(vault.mac(MacPurpose::RecoveryCode, &[user.as_bytes(), code.as_bytes()]))
}

fn record(app: &App, by: &By, user: &User, name: Name, now: Timestamp) -> Record {
    Record::new(app, &Act::Did(name, user.id.to_string().into(), Value::Null), by, now)
}
