//! One-time links: the first-run set-up, setting a password, and showing that an address is one's own. The link's secret is nowhere; its fingerprint is.

use diesel::prelude::*;

use super::conn::Conn;
use super::error::{StoreError, duplicate};
use super::row::{may, must, time};
use super::schema::one_time_links as links;
use crate::base::id::UserId;
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;

/// What a link lets its holder do. Never change a word: rows carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Make the first administrator.
    SetUp,
    /// Set a password; an administrator gave it out.
    SetPassword,
    /// Set the first password of an account that somebody made for them.
    Invite,
    /// Set a new password; they asked for it themselves.
    ResetPassword,
    /// Show that an address is theirs.
    VerifyEmail,
}

impl LinkPurpose {
    const ALL: [Self; 5] =
        [Self::SetUp, Self::SetPassword, Self::Invite, Self::ResetPassword, Self::VerifyEmail];

    /// As rows and the audit log have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::SetPassword => "set-password",
            Self::Invite => "invite",
            Self::ResetPassword => "reset-password",
            Self::VerifyEmail => "verify-email",
        }
    }

    /// Whether it sets a password.
    pub const fn sets_password(self) -> bool {
        matches!(self, Self::SetPassword | Self::Invite | Self::ResetPassword)
    }
}

/// A link that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Of the secret in the link.
    pub fingerprint: Fingerprint,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// Whose it is; nobody's for the set-up.
    pub user: Option<UserId>,
    /// The address that it was sent to; absent where it was given out in another way.
    pub email: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

type Row = (String, Option<Vec<u8>>, i64, i64, Option<i64>, Option<String>);

/// Keeps a new link.
pub fn insert(conn: &mut Conn, link: &Link) -> Result<(), StoreError> {
    diesel::insert_into(links::table)
        .values((
            links::fingerprint.eq(link.fingerprint.as_bytes().as_slice()),
            links::purpose.eq(link.purpose.word()),
            links::user_id.eq(link.user.map(UserId::to_vec)),
            links::created_at.eq(link.created_at.as_secs()),
            links::expires_at.eq(link.expires_at.as_secs()),
            links::used_at.eq(link.used_at.map(Timestamp::as_secs)),
            links::email.eq(link.email.as_deref()),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["link"]))?;
    Ok(())
}

/// The link of a fingerprint, used and expired ones too: the caller judges.
pub fn find(conn: &mut Conn, fingerprint: &Fingerprint) -> Result<Option<Link>, StoreError> {
    let row = links::table
        .find(fingerprint.as_bytes().as_slice())
        .select((
            links::purpose,
            links::user_id,
            links::created_at,
            links::expires_at,
            links::used_at,
            links::email,
        ))
        .get_result::<Row>(conn)
        .optional()?;
    let Some((word, user, created_at, expires_at, used_at, email)) = row else { return Ok(None) };
    let purpose = LinkPurpose::ALL.into_iter().find(|p| p.word() == word);
    Ok(Some(Link {
        fingerprint: *fingerprint,
        purpose: must(purpose, "one_time_links.purpose is unknown")?,
        email,
        user: may(user, |b| UserId::from_slice(&b), "one_time_links.user_id has not 16 bytes")?,
        created_at: Timestamp::from_secs(created_at),
        expires_at: Timestamp::from_secs(expires_at),
        used_at: time(used_at),
    }))
}

/// Uses a link up; whether this call did. Of any number at the same moment one does, and none after its time.
pub fn use_up(conn: &mut Conn, fingerprint: &Fingerprint, now: Timestamp) -> Result<bool, StoreError> {
    let row = links::table
        .find(fingerprint.as_bytes().as_slice())
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(now.as_secs()));
    Ok(diesel::update(row).set(links::used_at.eq(now.as_secs())).execute(conn)? == 1)
}

/// Makes every unused link of this purpose worthless, of one person or (`None`) of nobody in particular; how many.
pub fn void(
    conn: &mut Conn,
    purpose: LinkPurpose,
    user: Option<UserId>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let unused = links::table.filter(links::purpose.eq(purpose.word())).filter(links::used_at.is_null());
    let at = links::used_at.eq(now.as_secs());
    let rows = match user {
        Some(user) => {
            diesel::update(unused.filter(links::user_id.eq(user.to_vec()))).set(at).execute(conn)?
        }
        None => diesel::update(unused.filter(links::user_id.is_null())).set(at).execute(conn)?,
    };
    Ok(rows)
}

/// Makes every unused link of a person worthless, whatever it is for: after a new password or a new address (S-L12); how many.
pub fn void_all(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<usize, StoreError> {
    let unused = links::table.filter(links::user_id.eq(user.to_vec())).filter(links::used_at.is_null());
    Ok(diesel::update(unused).set(links::used_at.eq(now.as_secs())).execute(conn)?)
}

/// The address that a person was asked to show to be theirs, and that waits for it.
pub fn address_in_waiting(
    conn: &mut Conn,
    user: UserId,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let row = links::table
        .filter(links::user_id.eq(user.to_vec()))
        .filter(links::purpose.eq(LinkPurpose::VerifyEmail.word()))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(now.as_secs()))
        .order(links::created_at.desc())
        .limit(1)
        .select(links::email)
        .get_result::<Option<String>>(conn)
        .optional()?;
    Ok(row.flatten())
}
