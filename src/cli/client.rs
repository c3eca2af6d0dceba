//! `cnx client`: OAuth clients, shown to people as apps. `client_add.rs` reads what is to be registered.

#![expect(clippy::doc_markdown, reason = "comments on arguments are their help, printed as they stand")]

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, client_add, duration, print};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::clients::{self, ClientError};
use crate::oauth::client::Client;
use crate::store;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Register a client; its secret is printed once
    Add(Box<client_add::Add>),
    /// List every client
    List,
    /// Show what is registered of a client
    Show(One),
    /// Make a new secret, printed once; the one before goes on working for a while
    RotateSecret(RotateSecret),
    /// Delete a client; everything that it was given ends
    Delete(One),
}

#[derive(Args)]
pub(super) struct One {
    /// The client_id
    #[arg(allow_hyphen_values = true)]
    client_id: String,
}

#[derive(Args)]
pub(super) struct RotateSecret {
    /// The client_id
    #[arg(allow_hyphen_values = true)]
    client_id: String,
    /// How long the secret before goes on working: 24h, 30m, 7d, or 0 to stop it at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration::seconds)]
    overlap: i64,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Add(arguments) => add(context, &arguments),
        Command::List => list(context),
        Command::Show(one) => show(context, &one.client_id),
        Command::RotateSecret(arguments) => rotate_secret(context, &arguments),
        Command::Delete(one) => delete(context, &one.client_id),
    }
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

fn add(context: &Context, arguments: &client_add::Add) -> Result<(), Refused> {
    let (id, secret, metadata) = client_add::registration(arguments)?;
    let brought = secret.is_some();
    context.with_app(|app| async move {
        let (client, secret) = clients::add(&app, &by(), metadata, id, secret).await?;
        let mut document = described(&client)?;
        insert_secret(&mut document, secret.as_ref());
        context.show(&document, || {
            let mut lines = vec![("client_id", client.id.to_string())];
            // Who brought a secret has it.
            let made = secret.as_ref().filter(|_| !brought);
            lines.extend(made.map(|secret| ("client_secret", secret.reveal().clone())));
            lines.extend([
                ("client_name", client.metadata.client_name.clone()),
                ("issuer", app.issuer().to_owned()),
                ("redirect_uris", print::or_dash(join(&client.metadata.redirect_uris))),
                ("scope", client.metadata.scope.to_string()),
            ]);
            format!("{}{}", print::pairs(&lines), made.map_or("", |_| ONCE))
        })
    })
}

const ONCE: &str = "\n\nThe secret is shown this once: keep it now.";

fn list(context: &Context) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let mut all = app.store.read(store::clients::all).await?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let documents = all.iter().map(described).collect::<Result<Vec<_>, _>>()?;
        context.show(&json!({ "clients": documents }), || {
            let rows: Vec<[String; 4]> = all
                .iter()
                .map(|c| {
                    let method = c.metadata.token_endpoint_auth_method.name().to_owned();
                    let redirects = print::or_dash(join(&c.metadata.redirect_uris));
                    [c.id.to_string(), c.metadata.client_name.clone(), method, redirects]
                })
                .collect();
            print::table(["client_id", "name", "auth", "redirect_uris"], &rows)
        })
    })
}

fn show(context: &Context, id: &str) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let client = clients::find(&app, id).await?;
        let document = described(&client)?;
        context.show(&document, || as_lines(&document))
    })
}

fn rotate_secret(context: &Context, arguments: &RotateSecret) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let secret = clients::rotate_secret(&app, &by(), &arguments.client_id, arguments.overlap).await?;
        let client = clients::find(&app, &arguments.client_id).await?;
        let before = client.secrets.iter().find_map(|s| s.expires_at).map(Timestamp::to_rfc3339);
        let document = json!({
            "client_id": client.id,
            "client_secret": secret.reveal(),
            "previous_secret": before.as_ref().map(|at| json!({ "expires_at": at })),
        });
        context.show(&document, || {
            let lines = [
                ("client_id", client.id.to_string()),
                ("client_secret", secret.reveal().clone()),
                (
                    "the one before",
                    before.map_or_else(|| "stopped".to_owned(), |at| format!("works until {at}")),
                ),
            ];
            format!("{}{ONCE}", print::pairs(&lines))
        })
    })
}

fn delete(context: &Context, id: &str) -> Result<(), Refused> {
    context.with_database(|app| async move {
        clients::delete(&app, &by(), id).await?;
        context.show(&json!({ "client_id": id, "deleted": true }), || format!("{id} is deleted"))
    })
}

/// A client as a document: RFC 7591 members and when its secrets were made. The secrets themselves are nowhere.
fn described(client: &Client) -> Result<Value, Refused> {
    let mut document = serde_json::to_value(&client.metadata).map_err(Refused::because)?;
    let secrets: Vec<Value> = client
        .secrets
        .iter()
        .map(|s| json!({ "created_at": s.created_at.to_rfc3339(), "expires_at": s.expires_at.map(Timestamp::to_rfc3339) }))
        .collect();
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), json!(client.id));
        members.insert("created_at".to_owned(), client.created_at.to_rfc3339().into());
        members.insert("disabled_at".to_owned(), json!(client.disabled_at.map(Timestamp::to_rfc3339)));
        members.insert("secrets".to_owned(), secrets.into());
    }
    Ok(document)
}

fn insert_secret(document: &mut Value, secret: Option<&Secret<String>>) {
    if let (Some(members), Some(secret)) = (document.as_object_mut(), secret) {
        members.insert("client_secret".to_owned(), secret.reveal().as_str().into());
    }
}

/// A document's members, one on a line.
fn as_lines(document: &Value) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(moments).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let members = document.as_object().into_iter().flatten();
    print::pairs(&members.map(|(name, value)| (name.as_str(), plain(value))).collect::<Vec<_>>())
}

/// A secret's times, for a person.
fn moments(secret: &Value) -> String {
    let made = secret["created_at"].as_str().unwrap_or("-");
    secret["expires_at"]
        .as_str()
        .map_or_else(|| format!("made {made}"), |until| format!("made {made}, works until {until}"))
}

fn join(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}
