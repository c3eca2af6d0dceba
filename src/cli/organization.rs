//! `cnx organization`: who owns keys and service accounts, and what they pay for.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, print};
use crate::account::factor_policy::FactorPolicy;
use crate::api_key::plan::Tier;
use crate::app::App;
use crate::flow::organizations::{self, OrganizationError};
use crate::store::organizations::{self as rows, Organization};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List every organization
    List,
    /// Set the tier of an organization; in force within a second
    SetTier(SetTier),
    /// Say whether the people of this server need a second factor; in force within a second
    SetSecondFactor(SetSecondFactor),
}

#[derive(Args)]
pub(super) struct SetTier {
    /// The organization: id or name
    id: String,
    /// What it pays for: standard or enterprise
    #[arg(long, value_name = "TIER")]
    tier: Tier,
    /// What its keys have on top of each limit; what the settings say (`cnx config`) when absent
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
}

#[derive(Args)]
pub(super) struct SetSecondFactor {
    /// off: nobody sets one up; optional: who likes to; required: everybody, before anything else
    #[arg(value_name = "off|optional|required")]
    policy: FactorPolicy,
}

impl From<OrganizationError> for Refused {
    fn from(error: OrganizationError) -> Self {
        match error {
            OrganizationError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::List => context.with_database(|app| async move {
            let all = app.store.read(rows::all).await?;
            let documents: Vec<Value> = all.iter().map(|one| organizations::described(one, &app)).collect();
            context.show(&json!({ "organizations": documents }), || table(&all, &app))
        }),
        Command::SetTier(arguments) => context.with_database(|app| async move {
            let changed =
                organizations::set_tier(&app, &by(), &arguments.id, arguments.tier, arguments.burst).await?;
            context.show(&organizations::described(&changed, &app), || table(&[changed], &app))
        }),
        Command::SetSecondFactor(SetSecondFactor { policy }) => context.with_database(|app| async move {
            organizations::set_second_factor(&app, &by(), policy).await?;
            let word = policy.word();
            context.show(&json!({ "second_factor": word }), || {
                print::pairs(&[("second_factor", word.to_owned())])
            })
        }),
    }
}

fn table(all: &[Organization], app: &App) -> String {
    let usual = app.settings.api_keys.enterprise_burst;
    let rows: Vec<[String; 4]> = all
        .iter()
        .map(|one| {
            let burst = one.plan.burst(usual).to_string();
            [one.id.to_string(), one.name.clone(), one.plan.tier.name().to_owned(), burst]
        })
        .collect();
    print::table(["organization_id", "name", "tier", "burst"], &rows)
}
