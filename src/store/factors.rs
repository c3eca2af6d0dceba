//! Second factors, as far as others must know of them: whether a person has any.

use diesel::prelude::*;

use super::conn::Conn;
use super::error::StoreError;
use super::schema::{passkeys, totp_secrets};
use crate::base::id::UserId;

/// Whether a person has something beside a password to show who they are: a passkey, or an app that shows codes.
pub fn has_any(conn: &mut Conn, user: UserId) -> Result<bool, StoreError> {
    let totp = totp_secrets::table.find(user.to_vec()).select(totp_secrets::created_at);
    if totp.get_result::<i64>(conn).optional()?.is_some() {
        return Ok(true);
    }
    let passkey = passkeys::table.filter(passkeys::user_id.eq(user.to_vec())).select(passkeys::created_at);
    Ok(passkey.limit(1).get_result::<i64>(conn).optional()?.is_some())
}
