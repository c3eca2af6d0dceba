//! Organizations: whose service accounts and keys these are, and what they pay for. There is one until somebody makes another.

use std::collections::HashMap;

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::{Conn, on_both};
use super::error::StoreError;
use super::row::{may, must};
use super::schema::organizations;
use crate::account::factor_policy::FactorPolicy;
use crate::account::look::{self, Colour};
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

/// What an organization shows of itself, and asks of its people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The name on its pages.
    pub title: Option<String>,
    /// The colour of its pages.
    pub colour: Option<Colour>,
    /// Its logo: the type, and the picture.
    pub logo: Option<(&'static str, Vec<u8>)>,
    /// Whether people need a second factor.
    pub second_factor: FactorPolicy,
}

/// What the first organization shows of itself; nothing of its own where it is not there yet.
pub fn presence(conn: &mut Conn) -> Result<Presence, StoreError> {
    type Row = (Option<String>, Option<String>, Option<Vec<u8>>, Option<String>);
    let row = organizations::table
        .filter(organizations::name.eq(FIRST))
        .select((
            organizations::title,
            organizations::colour,
            organizations::logo,
            organizations::second_factor,
        ))
        .get_result::<Row>(conn)
        .optional()?;
    let Some((title, colour, logo, policy)) = row else { return Ok(Presence::default()) };
    Ok(Presence {
        title,
        colour: may(colour, |text| text.parse().ok(), "organizations.colour is none")?,
        // The type is read from the picture itself, as it was when it was taken.
        logo: may(logo, |bytes| Some((look::logo(&bytes).ok()?, bytes)), "organizations.logo is none")?,
        second_factor: may(policy, |word| word.parse().ok(), "organizations.second_factor is none")?
            .unwrap_or_default(),
    })
}

/// Writes the name and the colour of the first organization, which exists.
pub fn set_look(
    conn: &mut Conn,
    id: OrganizationId,
    title: Option<&str>,
    colour: Option<Colour>,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(organizations::table.find(id.to_vec()))
        .set((
            organizations::title.eq(title),
            organizations::colour.eq(colour.map(|colour| colour.to_string())),
        ))
        .execute(conn)?;
    changes::record(conn, ChangeKind::Organization, &id.to_string(), now)
}

/// Writes the logo of an organization, or that it has none.
pub fn set_logo(
    conn: &mut Conn,
    id: OrganizationId,
    logo: Option<(&'static str, &[u8])>,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(organizations::table.find(id.to_vec()))
        .set((
            organizations::logo_type.eq(logo.map(|(media, _)| media)),
            organizations::logo.eq(logo.map(|(_, bytes)| bytes)),
        ))
        .execute(conn)?;
    changes::record(conn, ChangeKind::Organization, &id.to_string(), now)
}

/// Writes whether people of an organization need a second factor.
pub fn set_second_factor(
    conn: &mut Conn,
    id: OrganizationId,
    policy: FactorPolicy,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(organizations::table.find(id.to_vec()))
        .set(organizations::second_factor.eq(policy.word()))
        .execute(conn)?;
    changes::record(conn, ChangeKind::Organization, &id.to_string(), now)
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
