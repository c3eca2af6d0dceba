//! Organizations, as the command line and the console show and change them: what they pay for, what they look like, what they ask of people.

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use crate::account::factor_policy::FactorPolicy;
use crate::account::look::{self, Colour};
use crate::account::role::Role;
use crate::account::user::User;
use crate::api_key::plan::{MOST_BURST, Plan, Tier};
use crate::app::App;
use crate::base::id::OrganizationId;
use crate::oauth::error::OAuthError;
use crate::store::organizations::{self, FIRST, Organization};
use crate::store::{Conn, StoreError, users};

/// Why an organization was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// No organization of that id or name.
    #[error("no organization has the id or name {0}; `cnx organization list` shows them")]
    Unknown(String),
    /// A burst that cannot be.
    #[error("burst: {0}")]
    Burst(String),
    /// A field says no.
    #[error("{field}: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is allowed.
        problem: String,
    },
    /// Only an owner may.
    #[error("only an owner changes the organization")]
    NotAllowed,
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

/// Gives the first organization its name and its colour, on every page within a second; `None` and an empty name are those of the product.
pub async fn set_look(
    app: &App,
    by: &By,
    title: &str,
    colour: Option<&str>,
) -> Result<(), OrganizationError> {
    let refuse = |field| move |problem: &str| OrganizationError::Field { field, problem: problem.to_owned() };
    let title = look::title(title).map_err(refuse("title"))?;
    let colour = colour.map(str::parse::<Colour>).transpose().map_err(refuse("colour"))?;
    let about = json!({ "title": title, "colour": colour.map(|colour| colour.to_string()) });
    let now = app.now();
    change(app, by, about, move |conn, id| organizations::set_look(conn, id, title.as_deref(), colour, now))
        .await
}

/// Gives the first organization a logo, or takes it away.
pub async fn set_logo(app: &App, by: &By, logo: Option<Vec<u8>>) -> Result<(), OrganizationError> {
    let media = match &logo {
        None => None,
        Some(bytes) => Some(
            look::logo(bytes)
                .map_err(|problem| OrganizationError::Field { field: "logo", problem: problem.to_owned() })?,
        ),
    };
    let about = json!({ "logo": media, "logo_bytes": logo.as_ref().map(Vec::len) });
    let now = app.now();
    change(app, by, about, move |conn, id| organizations::set_logo(conn, id, media.zip(logo.as_deref()), now))
        .await
}

/// Says whether people of the first organization need a second factor.
pub async fn set_second_factor(app: &App, by: &By, policy: FactorPolicy) -> Result<(), OrganizationError> {
    let now = app.now();
    let about = json!({ "second_factor": policy.word() });
    change(app, by, about, move |conn, id| organizations::set_second_factor(conn, id, policy, now)).await
}

/// Changes the first organization, which is made when it is not there yet; of people, owners may.
async fn change<F>(app: &App, by: &By, about: Value, mut act: F) -> Result<(), OrganizationError>
where
    F: FnMut(&mut Conn, OrganizationId) -> Result<(), StoreError> + Send + 'static,
{
    let (now, new) = (app.now(), OrganizationId::new(&app.clock, &app.entropy));
    let (vault, by) = (app.vault.clone(), by.clone());
    let written = app
        .store
        .write(move |conn| {
            if let Some(who) = by.who() {
                let role = users::find(conn, who)?.filter(User::is_active).map(|user| user.role);
                if role != Some(Role::Owner) {
                    return Ok(None);
                }
            }
            let id = organizations::first(conn, new, now)?;
            act(conn, id)?;
            let act = Act::Did(Name::OrganizationChanged, id.to_string().into(), about.clone());
            let record = Record::within(&vault, &act, &by, now);
            record.write(conn)?;
            Ok(Some(record))
        })
        .await?;
    written.ok_or(OrganizationError::NotAllowed)?.log();
    app.catch_up().await?;
    Ok(())
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
