//! Organizations: whose service accounts and keys these are, and what they pay for. There is one until somebody makes another.

use std::collections::HashMap;

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::must;
use super::schema::organizations;
use crate::api_key::plan::{Plan, Tier};
use crate::base::id::OrganizationId;
use crate::base::time::Timestamp;

/// The name of the first one.
pub const FIRST: &str = "default";

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// What people call it; no other has the same name.
    pub name: String,
    /// What it has.
    pub plan: Plan,
    /// When it was made.
    pub created_at: Timestamp,
}

type Row = (Vec<u8>, String, String, i64, Option<i32>);

const COLUMNS: (
    organizations::id,
    organizations::name,
    organizations::tier,
    organizations::created_at,
    organizations::burst,
) = (
    organizations::id,
    organizations::name,
    organizations::tier,
    organizations::created_at,
    organizations::burst,
);

/// Every organization, oldest first.
pub fn all(conn: &mut Conn) -> Result<Vec<Organization>, StoreError> {
    let rows = organizations::table
        .order((organizations::created_at, organizations::id))
        .select(COLUMNS)
        .load::<Row>(conn)?;
    rows.into_iter().map(organization).collect()
}

/// What every organization has.
pub fn plans(conn: &mut Conn) -> Result<HashMap<OrganizationId, Plan>, StoreError> {
    Ok(all(conn)?.into_iter().map(|organization| (organization.id, organization.plan)).collect())
}

/// What the first organization has, which may not be there yet.
pub fn first_plan(conn: &mut Conn) -> Result<Plan, StoreError> {
    let row = organizations::table
        .filter(organizations::name.eq(FIRST))
        .select(COLUMNS)
        .get_result::<Row>(conn)
        .optional()?;
    Ok(row.map(organization).transpose()?.map(|first| first.plan).unwrap_or_default())
}

/// The first organization; `new` is its id when there is none yet. Of any number of callers at the same moment one makes it.
pub fn first(conn: &mut Conn, new: OrganizationId, now: Timestamp) -> Result<OrganizationId, StoreError> {
    let row = (
        organizations::id.eq(new.to_vec()),
        organizations::name.eq(FIRST),
        organizations::tier.eq(Tier::Standard.name()),
        organizations::created_at.eq(now.as_secs()),
    );
    on_both!(conn, c => diesel::insert_into(organizations::table).values(row).on_conflict_do_nothing().execute(c))?;
    let id = organizations::table
        .filter(organizations::name.eq(FIRST))
        .select(organizations::id)
        .get_result::<Vec<u8>>(conn)?;
    must(OrganizationId::from_slice(&id), "organizations.id has not 16 bytes")
}

/// Gives an organization what it pays for; whether it exists.
pub fn set_plan(conn: &mut Conn, id: OrganizationId, plan: Plan, now: Timestamp) -> Result<bool, StoreError> {
    let burst =
        plan.burst.map(|burst| must(i32::try_from(burst).ok(), "a burst is too large")).transpose()?;
    let rows = diesel::update(organizations::table.find(id.to_vec()))
        .set((organizations::tier.eq(plan.tier.name()), organizations::burst.eq(burst)))
        .execute(conn)?;
    if rows == 1 {
        changes::record(conn, ChangeKind::Organization, &id.to_string(), now)?;
    }
    Ok(rows == 1)
}

fn organization((id, name, tier, created_at, burst): Row) -> Result<Organization, StoreError> {
    let burst =
        burst.map(|burst| must(u32::try_from(burst).ok(), "organizations.burst is below 0")).transpose()?;
    Ok(Organization {
        id: must(OrganizationId::from_slice(&id), "organizations.id has not 16 bytes")?,
        name,
        plan: Plan { tier: must(tier.parse().ok(), "organizations.tier is none")?, burst },
        created_at: Timestamp::from_secs(created_at),
    })
}
