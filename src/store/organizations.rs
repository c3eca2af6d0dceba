//! Organizations: whose service accounts these are. There is one until somebody makes another.

use std::collections::HashMap;

use diesel::prelude::*;

use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::must;
use super::schema::organizations;
use crate::api_key::plan::Tier;
use crate::base::id::OrganizationId;
use crate::base::time::Timestamp;

/// The name of the first one.
const FIRST: &str = "default";
/// The tier that an organization has until it is given another.
const STANDARD: &str = "standard";
/// The tier with a burst.
const ENTERPRISE: &str = "enterprise";

/// The tier of every organization.
pub fn tiers(conn: &mut Conn) -> Result<HashMap<OrganizationId, Tier>, StoreError> {
    let rows = organizations::table
        .select((organizations::id, organizations::tier))
        .load::<(Vec<u8>, String)>(conn)?;
    rows.into_iter()
        .map(|(id, tier)| {
            let id = must(OrganizationId::from_slice(&id), "organizations.id has not 16 bytes")?;
            let tier = match tier.as_str() {
                STANDARD => Tier::Standard,
                ENTERPRISE => Tier::Enterprise,
                _ => return Err(StoreError::row("organizations.tier is none")),
            };
            Ok((id, tier))
        })
        .collect()
}

/// The first organization; `new` is its id when there is none yet. Of any number of callers at the same moment one makes it.
pub fn first(conn: &mut Conn, new: OrganizationId, now: Timestamp) -> Result<OrganizationId, StoreError> {
    let row = (
        organizations::id.eq(new.to_vec()),
        organizations::name.eq(FIRST),
        organizations::tier.eq(STANDARD),
        organizations::created_at.eq(now.as_secs()),
    );
    on_both!(conn, c => diesel::insert_into(organizations::table).values(row).on_conflict_do_nothing().execute(c))?;
    let id = organizations::table
        .filter(organizations::name.eq(FIRST))
        .select(organizations::id)
        .get_result::<Vec<u8>>(conn)?;
    must(OrganizationId::from_slice(&id), "organizations.id has not 16 bytes")
}
