//! A session begins, or goes on under a new cookie, by whatever means somebody proved who they are.

use crate::account::password::PasswordHash;
use crate::account::user::User;
use crate::app::App;
use crate::base::encoding::base64url;
use crate::base::id::{SessionId, UserId};
use crate::base::seal::MacPurpose;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{Act, By, Record};
use crate::flow::authorize::{self, Pending};
use crate::flow::caller::{Browser, Caller};
use crate::flow::mail::{self, Post, SecurityChange};
use crate::flow::session::is_live;
use crate::flow::sign_in::throttle::{self, Keys};
use crate::oauth::error::OAuthError;
use crate::store::sessions::{self, SessionRow};
use crate::store::{Conn, families, users};

/// So old is an account that its sign-ins may be forgotten, in seconds.
const A_MONTH: i64 = 30 * 86_400;

/// Who proved who they are, and how.
#[derive(Debug)]
pub struct Begin<'a> {
    /// The person.
    pub user: &'a User,
    /// By what means (RFC 8176).
    pub amr: Vec<String>,
    /// How surely (OIDC Core §2 `acr`).
    pub acr: String,
    /// What the attempt was counted under, to be taken back.
    pub keys: Option<Keys>,
    /// A costlier hash of the password that was right.
    pub rehashed: Option<PasswordHash>,
    /// The request that waits.
    pub pending: Option<Pending>,
}

/// A successful sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The new session cookie.
    pub cookie: Secret<String>,
    /// The cookie that marks this device as one of this person.
    pub device: String,
    /// The request that waits, sealed again with the sign-in noted.
    pub request: Option<String>,
    /// Whether they administrate the server.
    pub is_admin: bool,
}

/// One write: the attempt is taken back, the old session of this browser ends or is renewed, the new one begins.
pub async fn begin(
    app: &App,
    begin: Begin<'_>,
    browser: &Browser,
    caller: &Caller,
    now: Timestamp,
) -> Result<SignedIn, OAuthError> {
    let user = begin.user;
    let cookie = Secret::generate("", &app.entropy);
    let sessions_policy = app.settings.sessions.clone();
    let old = browser.session.as_deref().map(|c| app.vault.fingerprint(MacPurpose::Session, c));
    let row = SessionRow {
        id: SessionId::new(&app.clock, &app.entropy),
        fingerprint: app.vault.fingerprint(MacPurpose::Session, cookie.reveal()),
        user: user.id,
        auth_time: now,
        amr: begin.amr,
        acr: begin.acr,
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(sessions_policy.absolute_seconds),
        ended_at: None,
        user_agent: caller.user_agent.clone(),
        address: Some(caller.address.to_string()),
    };
    let (user_id, old_hash) = (user.id, user.password.clone());
    let (keys, new_hash) = (begin.keys, begin.rehashed);
    // As for throttling: a browser that shows no cookie of theirs is not known.
    let is_known = browser.device.as_deref() == Some(device_cookie(app, user.id).as_str());
    let news = if is_known {
        Post::default()
    } else {
        mail::tell_security_change(app, user, SecurityChange::NewDevice, caller, now)
    };
    // Nobody is told of their very first sign-in, for every browser is new then. Sign-ins are not kept for ever: who was away for long is told.
    let is_old = now.since(user.created_at) > A_MONTH;
    let record = Record::new(app, &Act::SignedIn(user.id), &By::anybody(caller), now);
    let write = move |conn: &mut Conn| {
        if let Some(keys) = &keys {
            throttle::forgive(conn, keys)?;
        }
        if let (Some(new), Some(old)) = (&new_hash, &old_hash) {
            users::rehash_password(conn, user_id, old, new)?;
        }
        let before = match &old {
            None => None,
            Some(fingerprint) => sessions::find_by_fingerprint(conn, fingerprint)?,
        };
        match before {
            // Signing in again: the same session, so that apps keep their `sid`, under a new cookie (S-L9).
            Some(before) if before.user == user_id && is_live(&before, sessions_policy.idle_seconds, now) => {
                sessions::renew(conn, before.id, &row.fingerprint, (&row.amr, &row.acr), now)?;
                return Ok(before.id);
            }
            // Another person takes this browser over: the one before is signed out.
            Some(before) => {
                sessions::end(conn, before.id, now)?;
                families::revoke_of_session(conn, before.id, now)?;
            }
            None => {}
        }
        if news.is_some()
            && (is_old || users::facts(conn, &[user_id])?.values().any(|f| f.last_sign_in.is_some()))
        {
            news.put(conn)?;
        }
        sessions::begin(conn, &row)?;
        Ok(row.id)
    };
    let session = record.with(app, write).await?;
    app.mail.wake();
    metrics::counter!("cnx_sign_ins_total", "outcome" => "signed_in").increment(1);
    Ok(SignedIn {
        cookie,
        device: device_cookie(app, user.id),
        request: begin.pending.map(|p| authorize::seal(app, &p.with_sign_in(session))),
        is_admin: user.is_admin(),
    })
}

/// The cookie that says "this person signed in here before": their id and a MAC.
pub(super) fn device_cookie(app: &App, user: UserId) -> String {
    let mac = app.vault.mac(MacPurpose::Browser, &[b"device", user.as_bytes()]);
    base64url(&[user.as_bytes().as_slice(), mac.as_slice()].concat())
}
