//! Organizations, as the command line shows and changes them: what they pay for.

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use crate::api_key::plan::{MOST_BURST, Plan, Tier};
use crate::app::App;
use crate::base::id::OrganizationId;
use crate::oauth::error::OAuthError;
use crate::store::StoreError;
use crate::store::organizations::{self, FIRST, Organization};

/// Why an organization was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// No organization of that id or name.
    #[error("no organization has the id or name {0}; `cnx organization list` shows them")]
    Unknown(String),
    /// A burst that cannot be.
    #[error("burst: {0}")]
    Burst(String),
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<StoreError> for OrganizationError {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

/// Gives an organization a tier, and a burst of its own or the usual one; in force on every node within a second. `which` is its id or name;
/// the first organization is made when it is not there yet.
pub async fn set_tier(
    app: &App,
    by: &By,
    which: &str,
    tier: Tier,
    burst: Option<u32>,
) -> Result<Organization, OrganizationError> {
    if burst.is_some_and(|burst| burst > MOST_BURST) {
        return Err(OrganizationError::Burst(format!("a whole number from 0 to {MOST_BURST} is allowed")));
    }
    if burst.is_some() && tier == Tier::Standard {
        return Err(OrganizationError::Burst("the standard tier has none; enterprise has".to_owned()));
    }
    let plan = Plan { tier, burst };
    let (now, new) = (app.now(), OrganizationId::new(&app.clock, &app.entropy));
    let (wanted, vault, by) = (which.to_owned(), app.vault.clone(), by.clone());
    let done = app
        .store
        .write(move |conn| {
            if wanted == FIRST {
                organizations::first(conn, new, now)?;
            }
            let all = organizations::all(conn)?;
            let found = all.into_iter().find(|one| one.name == wanted || one.id.to_string() == wanted);
            let Some(found) = found else { return Ok(None) };
            organizations::set_plan(conn, found.id, plan, now)?;
            let id = found.id.to_string();
            let about = json!({ "tier": plan.tier.name(), "burst": plan.burst });
            let act = Act::Did(Name::OrganizationChanged, id.into(), about);
            let record = Record::within(&vault, &act, &by, now);
            record.write(conn)?;
            Ok(Some((Organization { plan, ..found }, record)))
        })
        .await?;
    let Some((organization, record)) = done else {
        return Err(OrganizationError::Unknown(which.to_owned()));
    };
    record.log();
    app.catch_up().await?;
    Ok(organization)
}

/// An organization as the command line describes it. `burst` is its own, `burst_in_force` what its keys have on top of each limit.
pub fn described(organization: &Organization, app: &App) -> Value {
    let plan = organization.plan;
    json!({
        "organization_id": organization.id,
        "name": organization.name,
        "tier": plan.tier.name(),
        "burst": plan.burst,
        "burst_in_force": plan.burst(app.settings.api_keys.enterprise_burst),
        "created_at": organization.created_at.to_rfc3339(),
    })
}
