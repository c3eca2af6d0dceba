//! People. A write that changes what servers keep in memory of them (whether they are active) leaves a change in the feed.

use std::collections::HashMap;

use diesel::prelude::*;
use serde_json::{Map, Value};

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::{StoreError, duplicate};
use super::row::{Rows, must, time};
use super::schema::{passkeys, recovery_codes, sessions, totp_secrets, users};
use crate::account::password::PasswordHash;
use crate::account::role::Role;
use crate::account::user::User;
use crate::account::username::Login;
use crate::base::fault::Fault;
use crate::base::id::UserId;
use crate::base::time::Timestamp;

type Row = (
    Vec<u8>,
    String,
    Option<String>,
    bool,
    Option<String>,
    String,
    bool,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
);

macro_rules! columns {
    () => {
        (
            users::id,
            users::username,
            users::email,
            users::email_verified,
            users::name,
            users::claims,
            users::is_admin,
            users::password_hash,
            users::created_at,
            users::updated_at,
            users::disabled_at,
            users::role,
            users::locale,
        )
    };
}

/// Adds a person; `Duplicate("username")` or `Duplicate("email")` when somebody has it.
pub fn insert(conn: &mut Conn, user: &User) -> Result<(), StoreError> {
    let password = user.password.as_ref().map(PasswordHash::as_str);
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id.to_vec()),
            users::username.eq(&user.username),
            users::email.eq(user.email.as_deref()),
            users::email_verified.eq(user.email_verified),
            users::name.eq(user.name.as_deref()),
            users::claims.eq(text(&user.claims)?),
            users::is_admin.eq(user.is_admin()),
            users::role.eq(user.role.word()),
            users::locale.eq(user.locale.as_deref()),
            users::password_hash.eq(password),
            users::password_changed_at.eq(password.map(|_| user.created_at.as_secs())),
            users::created_at.eq(user.created_at.as_secs()),
            users::updated_at.eq(user.updated_at.as_secs()),
            users::disabled_at.eq(user.disabled_at.map(Timestamp::as_secs)),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["username", "email"]))?;
    changes::record(conn, ChangeKind::User, &user.id.to_string(), user.created_at)
}

/// One person.
pub fn find(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row = on_both!(conn, c => users::table.find(id.to_vec()).select(columns!()).get_result::<Row>(c).optional()?);
    row.map(user).transpose()
}

/// The person who signs in like this: by canonical user name, or by canonical e-mail address.
pub fn find_by_login(conn: &mut Conn, login: &Login) -> Result<Option<User>, StoreError> {
    let row = match login {
        Login::Username(name) => users::table
            .filter(users::username.eq(name))
            .select(columns!())
            .get_result::<Row>(conn)
            .optional()?,
        Login::Email(address) => users::table
            .filter(users::email.eq(address))
            .select(columns!())
            .get_result::<Row>(conn)
            .optional()?,
    };
    row.map(user).transpose()
}

/// Whose address this is, where they showed that it is theirs.
pub fn find_by_verified_email(conn: &mut Conn, address: &str) -> Result<Option<User>, StoreError> {
    let found = find_by_login(conn, &Login::Email(address.to_owned()))?;
    Ok(found.filter(|user| user.email_verified))
}

/// Up to `limit` people in the order of their user names, those after `after`.
pub fn list(conn: &mut Conn, after: Option<&str>, limit: i64) -> Result<Vec<User>, StoreError> {
    let rows: Rows<Row> = users::table
        .filter(users::username.gt(after.unwrap_or("")))
        .order(users::username)
        .limit(limit)
        .select(columns!())
        .load(conn);
    rows?.into_iter().map(user).collect()
}

/// The ids of everybody who is disabled: what a server keeps in memory of people.
pub fn disabled(conn: &mut Conn) -> Result<Vec<UserId>, StoreError> {
    let rows =
        users::table.filter(users::disabled_at.is_not_null()).select(users::id).load::<Vec<u8>>(conn)?;
    rows.iter().map(|bytes| id(bytes)).collect()
}

/// Whether anybody who is not disabled administrates this server.
pub fn has_admin(conn: &mut Conn) -> Result<bool, StoreError> {
    let found = users::table
        .filter(users::is_admin.eq(true))
        .filter(users::disabled_at.is_null())
        .select(users::id)
        .get_result::<Vec<u8>>(conn)
        .optional()?;
    Ok(found.is_some())
}

/// Whether anybody who is not disabled is an owner.
pub fn has_owner(conn: &mut Conn) -> Result<bool, StoreError> {
    Ok(!owners(conn, false)?.is_empty())
}

/// Every owner who is not disabled; held for the rest of the transaction, so that two owners who disable each other do not both go.
pub fn hold_owners(conn: &mut Conn) -> Result<Vec<UserId>, StoreError> {
    owners(conn, true)
}

fn owners(conn: &mut Conn, hold: bool) -> Result<Vec<UserId>, StoreError> {
    let owner = users::role.eq(Role::Owner.word());
    // A node of before wrote those without a role.
    let of_before = users::role.is_null().and(users::is_admin.eq(true));
    let all = users::table
        .filter(users::disabled_at.is_null())
        .filter(owner.or(of_before.assume_not_null()))
        .order(users::id)
        .select(users::id);
    let rows = match conn {
        Conn::Postgres(c) if hold => all.for_update().load::<Vec<u8>>(c)?,
        conn => all.load::<Vec<u8>>(conn)?,
    };
    rows.iter().map(|bytes| id(bytes)).collect()
}

/// Writes everything that is told of a person (names, address, claims, role, language, `updated_at`), not the password and not whether they
/// are disabled; whether they exist.
pub fn update(conn: &mut Conn, user: &User) -> Result<bool, StoreError> {
    let rows = diesel::update(users::table.find(user.id.to_vec()))
        .set((
            users::username.eq(&user.username),
            users::email.eq(user.email.as_deref()),
            users::email_verified.eq(user.email_verified),
            users::name.eq(user.name.as_deref()),
            users::claims.eq(text(&user.claims)?),
            users::is_admin.eq(user.is_admin()),
            users::role.eq(user.role.word()),
            users::locale.eq(user.locale.as_deref()),
            users::updated_at.eq(user.updated_at.as_secs()),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["username", "email"]))?;
    changed(conn, user.id, rows, user.updated_at)
}

/// Sets a person's address, and whether it was shown to be theirs; whether they exist.
pub fn set_email(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    verified: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(users::table.find(id.to_vec()))
        .set((
            users::email.eq(email),
            users::email_verified.eq(verified),
            users::updated_at.eq(now.as_secs()),
        ))
        .execute(conn)
        .map_err(|e| duplicate(e, &["username", "email"]))?;
    changed(conn, id, rows, now)
}

/// Sets what a person says of themselves: the name to show, and their language; whether they exist.
pub fn set_profile(
    conn: &mut Conn,
    id: UserId,
    name: Option<&str>,
    locale: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(users::table.find(id.to_vec()))
        .set((users::name.eq(name), users::locale.eq(locale), users::updated_at.eq(now.as_secs())))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Sets a new password; whether the person exists.
pub fn set_password(
    conn: &mut Conn,
    id: UserId,
    password: &PasswordHash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(users::table.find(id.to_vec()))
        .set((
            users::password_hash.eq(password.as_str()),
            users::password_changed_at.eq(now.as_secs()),
            users::updated_at.eq(now.as_secs()),
        ))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// Puts a costlier hash of the same password in place of `old`; whether `old` still stood there. No change of the password, none in the feed.
pub fn rehash_password(
    conn: &mut Conn,
    id: UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<bool, StoreError> {
    let row = users::table.find(id.to_vec()).filter(users::password_hash.eq(old.as_str()));
    Ok(diesel::update(row).set(users::password_hash.eq(new.as_str())).execute(conn)? == 1)
}

/// Disables a person, or enables them again; whether they exist.
pub fn set_disabled(
    conn: &mut Conn,
    id: UserId,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = diesel::update(users::table.find(id.to_vec()))
        .set((
            users::disabled_at.eq(disabled_at.map(Timestamp::as_secs)),
            users::updated_at.eq(now.as_secs()),
        ))
        .execute(conn)?;
    changed(conn, id, rows, now)
}

/// What is told of somebody beside their row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether they have a passkey or an authenticator app.
    pub second_factor: bool,
    /// When they last signed in, as far as sessions are kept.
    pub last_sign_in: Option<Timestamp>,
}

/// The facts of some people, by index: call it for a page of them.
pub fn facts(conn: &mut Conn, ids: &[UserId]) -> Result<HashMap<UserId, Facts>, StoreError> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.to_vec()).collect();
    let mut all: HashMap<UserId, Facts> = ids.iter().map(|id| (*id, Facts::default())).collect();
    let (with_passkeys, with_totp, signed_in) = on_both!(conn, c => (
        passkeys::table.filter(passkeys::user_id.eq_any(&keys)).select(passkeys::user_id).distinct().load::<Vec<u8>>(c)?,
        totp_secrets::table.filter(totp_secrets::user_id.eq_any(&keys)).select(totp_secrets::user_id).load::<Vec<u8>>(c)?,
        sessions::table
            .filter(sessions::user_id.eq_any(&keys))
            .group_by(sessions::user_id)
            .select((sessions::user_id, diesel::dsl::max(sessions::auth_time)))
            .load::<(Vec<u8>, Option<i64>)>(c)?,
    ));
    for bytes in with_passkeys.iter().chain(&with_totp) {
        all.entry(id(bytes)?).or_default().second_factor = true;
    }
    for (bytes, at) in signed_in {
        all.entry(id(&bytes)?).or_default().last_sign_in = time(at);
    }
    Ok(all)
}

/// The people of these ids, in no order.
pub fn of_ids(conn: &mut Conn, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.to_vec()).collect();
    let rows: Rows<Row> =
        on_both!(conn, c => users::table.filter(users::id.eq_any(&keys)).select(columns!()).load::<Row>(c));
    rows?.into_iter().map(user).collect()
}

/// Removes every second factor of a person.
pub fn remove_factors(conn: &mut Conn, id: UserId) -> Result<(), StoreError> {
    let key = id.to_vec();
    diesel::delete(passkeys::table.filter(passkeys::user_id.eq(&key))).execute(conn)?;
    diesel::delete(totp_secrets::table.filter(totp_secrets::user_id.eq(&key))).execute(conn)?;
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(&key))).execute(conn)?;
    Ok(())
}

fn changed(conn: &mut Conn, id: UserId, rows: usize, now: Timestamp) -> Result<bool, StoreError> {
    if rows == 1 {
        changes::record(conn, ChangeKind::User, &id.to_string(), now)?;
    }
    Ok(rows == 1)
}

fn text(claims: &Map<String, Value>) -> Result<String, StoreError> {
    serde_json::to_string(claims).map_err(|e| Fault::new("writing a person's claims", e).into())
}

fn id(bytes: &[u8]) -> Result<UserId, StoreError> {
    must(UserId::from_slice(bytes), "users.id has not 16 bytes")
}

fn user(row: Row) -> Result<User, StoreError> {
    let (
        key,
        username,
        email,
        email_verified,
        name,
        claims,
        is_admin,
        password,
        created,
        updated,
        disabled,
        role,
        locale,
    ) = row;
    let role = match role {
        Some(word) => must(word.parse().ok(), "users.role is none")?,
        // A node of before wrote it.
        None if is_admin => Role::Owner,
        None => Role::Member,
    };
    Ok(User {
        id: id(&key)?,
        username,
        email,
        email_verified,
        name,
        claims: must(serde_json::from_str(&claims).ok(), "users.claims is no JSON object")?,
        role,
        locale,
        password: password.map(PasswordHash::from_phc),
        created_at: Timestamp::from_secs(created),
        updated_at: Timestamp::from_secs(updated),
        disabled_at: time(disabled),
    })
}
