//! Facts about the database itself, by name: which master key it belongs to, which migrations made it, how far the change feed was swept.

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::schema::meta;

/// The key under which the check of the master key is kept.
pub const KEY_CHECK: &str = "key_check";

/// The value of `key`.
pub fn find(conn: &mut Conn, key: &str) -> Result<Option<String>, StoreError> {
    Ok(meta::table.find(key).select(meta::value).get_result::<String>(conn).optional()?)
}

/// Writes `key` unless it is there; whether this call was the one that wrote it. One winner of any race.
pub fn set_once(conn: &mut Conn, key: &str, value: &str) -> Result<bool, StoreError> {
    let row = (meta::key.eq(key), meta::value.eq(value));
    let rows = on_both!(conn, c => diesel::insert_into(meta::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(rows == 1)
}

/// Removes `key`; whether it was there.
pub fn take(conn: &mut Conn, key: &str) -> Result<bool, StoreError> {
    Ok(diesel::delete(meta::table.find(key)).execute(conn)? == 1)
}

/// Writes `key`, over an older value.
pub fn set(conn: &mut Conn, key: &str, value: &str) -> Result<(), StoreError> {
    let row = (meta::key.eq(key), meta::value.eq(value));
    on_both!(conn, c => diesel::insert_into(meta::table)
        .values(row)
        .on_conflict(meta::key)
        .do_update()
        .set(meta::value.eq(value))
        .execute(c))?;
    Ok(())
}
