//! `cnx identity-provider`: other OpenID providers through which people may sign in.

#![expect(clippy::doc_markdown, reason = "comments on arguments are their help, printed as they stand")]

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, print, stdin};
use crate::app::App;
use crate::flow::identity_providers::{self, New, ProviderError, described};
use crate::flow::sign_in::upstream::redirect_uri;
use crate::oauth::upstream::Provider;
use crate::store::identity_providers as rows;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a provider: its button stands on the sign-in page from then on
    Add(Add),
    /// List the providers
    List,
    /// Let nobody sign in through it for now; sessions that began through it stay
    Disable(One),
    /// Let people sign in through it again
    Enable(One),
    /// Take it away
    Remove(One),
}

#[derive(Args)]
pub(super) struct Add {
    /// Its id, which stands in the address that it sends people back to: google, our-entra
    id: String,
    /// What people read on the button; the id when absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its issuer, as its metadata has it: https://accounts.google.com
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Who this server is there: the client id that the provider gave
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// Read the client secret that the provider gave from standard input
    #[arg(long)]
    secret_stdin: bool,
    /// What is asked of it
    #[arg(long, value_name = "SCOPE", default_value = "openid email")]
    scope: String,
    /// Take its word for whose an e-mail address is: it opens the account that has this address, verified. Only for a provider that gives
    /// out these addresses itself, such as the one of your own company
    #[arg(long)]
    trust_addresses: bool,
}

#[derive(Args)]
pub(super) struct One {
    /// Its id
    id: String,
}

impl From<ProviderError> for Refused {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Add(arguments) => add(context, arguments),
        Command::List => context.with_database(|app| async move {
            let all = app.store.read(rows::all).await?;
            let documents: Vec<Value> = all.iter().map(|one| described(&app, one)).collect();
            context.show(&json!({ "identity_providers": documents }), || table(&all))
        }),
        Command::Disable(One { id }) => set_disabled(context, &id, true),
        Command::Enable(One { id }) => set_disabled(context, &id, false),
        Command::Remove(One { id }) => context.with_database(|app| async move {
            identity_providers::remove(&app, &by(), &id).await?;
            context.show(&json!({ "id": id, "removed": true }), || format!("{id} is removed"))
        }),
    }
}

fn add(context: &Context, arguments: Add) -> Result<(), Refused> {
    let secret = if arguments.secret_stdin { Some(stdin::secret("client secret")?) } else { None };
    context.with_app(|app| async move {
        let new = New {
            name: arguments.name.unwrap_or_else(|| arguments.id.clone()),
            id: arguments.id,
            issuer: arguments.issuer,
            client_id: arguments.client_id,
            secret,
            scope: arguments.scope,
            trusted_for_addresses: arguments.trust_addresses,
        };
        let added = identity_providers::add(&app, &by(), new).await?;
        show(context, &app, &added)
    })
}

fn set_disabled(context: &Context, id: &str, disabled: bool) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let changed = identity_providers::set_disabled(&app, &by(), id, disabled).await?;
        show(context, &app, &changed)
    })
}

fn show(context: &Context, app: &App, provider: &Provider) -> Result<(), Refused> {
    let document = described(app, provider);
    context.show(&document, || {
        print::pairs(&[
            ("id", provider.id.clone()),
            ("name", provider.name.clone()),
            ("issuer", provider.issuer.clone()),
            ("client_id", provider.client_id.clone()),
            ("scope", provider.scope.to_string()),
            ("trusted_for_addresses", provider.trusted_for_addresses.to_string()),
            ("redirect_uri", redirect_uri(app, &provider.id)),
            ("state", state(provider).to_owned()),
        ])
    })
}

const fn state(provider: &Provider) -> &'static str {
    if provider.is_active() { "active" } else { "disabled" }
}

fn table(all: &[Provider]) -> String {
    let rows: Vec<[String; 4]> = all
        .iter()
        .map(|one| [one.id.clone(), one.name.clone(), one.issuer.clone(), state(one).to_owned()])
        .collect();
    print::table(["id", "name", "issuer", "state"], &rows)
}
