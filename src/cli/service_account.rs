//! `cnx service-account`: machines' identities and their public keys. They are found by name or by id.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, duration, print, stdin};
use crate::base::algorithm::Algorithm;
use crate::base::time::Timestamp;
use crate::flow::service_accounts::{self, AccountError};
use crate::oauth::client::AccessTokenFormat;
use crate::oauth::scope::Scope;
use crate::oauth::service_account::{AccountKey, AccountPolicy, ServiceAccount};
use crate::store;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a service account
    Add(Add),
    /// List every service account
    List,
    /// Show what an account may, its keys and its trust rules
    Show(One),
    /// Disable an account: its tokens stop working
    Disable(One),
    /// Enable a disabled account
    Enable(One),
    /// Its keys: add, list, revoke
    #[command(subcommand)]
    Key(Key),
}

#[derive(Args)]
pub(super) struct Add {
    /// What people call it
    name: String,
    /// The most that it may ask for; repeat for more
    #[arg(long, value_name = "S")]
    scope: Vec<String>,
    /// What its tokens may be for (their aud); the issuer when absent; repeat for more
    #[arg(long, value_name = "A")]
    audience: Vec<String>,
    /// Take the assertions of stock google-auth libraries: their fixed aud, no sub, no jti
    #[arg(long)]
    google_auth: bool,
    /// An https address that publishes its public keys, beside those that are registered
    #[arg(long, value_name = "U")]
    jwks_uri: Option<String>,
    /// The longest life of an assertion: 1h, 5m
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::seconds)]
    max_assertion_age: i64,
    /// The life of its access tokens; the server's when absent, never longer
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    token_lifetime: Option<i64>,
    /// Opaque access tokens in place of JWTs
    #[arg(long)]
    opaque: bool,
}

#[derive(Args)]
pub(super) struct One {
    /// Name or id
    account: String,
}

#[derive(Subcommand)]
pub(super) enum Key {
    /// Make a key pair and print a JSON key file, once; or register a public key
    Add(KeyAdd),
    /// List the keys of an account
    List(One),
    /// Revoke a key: nothing that it signs is taken any more, and its tokens stop working
    Revoke(KeyRevoke),
}

#[derive(Args)]
pub(super) struct KeyAdd {
    /// Name or id of the account
    account: String,
    /// The algorithm of the key that is made; ES256 when absent, RS256 for an account with --google-auth
    #[arg(long, value_name = "A", value_parser = algorithm(), conflicts_with = "public_key")]
    alg: Option<Algorithm>,
    /// A public key to register, PEM or JWK, of which this server never has the private half
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// When it stops working: 90d, 24h; at the greatest age that the settings allow when absent
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    expires: Option<i64>,
}

#[derive(Args)]
pub(super) struct KeyRevoke {
    /// Name or id of the account
    account: String,
    /// The key's id, as `list` shows it
    #[arg(allow_hyphen_values = true)] // base64url may begin with one
    kid: String,
}

fn algorithm() -> impl clap::builder::TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name)).try_map(|text| text.parse::<Algorithm>())
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Add(arguments) => add(context, arguments),
        Command::List => list(context),
        Command::Show(one) => context
            .with_app(|app| async move { show(context, &service_accounts::find(&app, &one.account).await?) }),
        Command::Disable(one) => set_disabled(context, &one.account, true),
        Command::Enable(one) => set_disabled(context, &one.account, false),
        Command::Key(Key::Add(arguments)) => add_key(context, &arguments),
        Command::Key(Key::List(one)) => list_keys(context, &one.account),
        Command::Key(Key::Revoke(arguments)) => revoke_key(context, &arguments),
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

fn add(context: &Context, arguments: Add) -> Result<(), Refused> {
    let scope = Scope::parse(&arguments.scope.join(" ")).map_err(Refused::because)?;
    let policy = AccountPolicy {
        scope,
        audience: arguments.audience,
        google_auth: arguments.google_auth,
        assertion_seconds: arguments.max_assertion_age,
        token_seconds: arguments.token_lifetime,
        access_token_format: if arguments.opaque {
            AccessTokenFormat::Opaque
        } else {
            AccessTokenFormat::Jwt
        },
        jwks_uri: arguments.jwks_uri,
    };
    context.with_app(|app| async move {
        let account = service_accounts::add(&app, &by(), &arguments.name, policy).await?;
        show(context, &account)
    })
}

fn list(context: &Context) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let all = app.store.read(store::service_accounts::all).await?;
        let now = app.now();
        let document = json!({ "service_accounts": all.iter().map(described).collect::<Vec<_>>() });
        context.show(&document, || {
            let rows: Vec<[String; 5]> = all
                .iter()
                .map(|account| {
                    let live = account.keys.iter().filter(|key| key.is_live(now)).count();
                    [
                        account.name.clone(),
                        account.id.to_string(),
                        state(account).to_owned(),
                        format!("{live} keys, {} rules", account.rules.len()),
                        print::or_dash(Some(account.policy.scope.to_string()).filter(|s| !s.is_empty())),
                    ]
                })
                .collect();
            print::table(["name", "service_account_id", "state", "proves itself by", "scope"], &rows)
        })
    })
}

fn set_disabled(context: &Context, account: &str, disabled: bool) -> Result<(), Refused> {
    context.with_app(|app| async move {
        let account = service_accounts::set_disabled(&app, &by(), account, disabled).await?;
        show(context, &account)
    })
}

fn add_key(context: &Context, arguments: &KeyAdd) -> Result<(), Refused> {
    let public = arguments.public_key.as_ref().map(|path| stdin::file("--public-key", path)).transpose()?;
    context.with_app(|app| async move {
        let account = service_accounts::find(&app, &arguments.account).await?;
        if let Some(text) = public {
            let key = service_accounts::register_key(&app, &by(), &account, &text, arguments.expires).await?;
            let document = described_key(&account, &key);
            return context.show(&document, || key_lines(&account, &key));
        }
        let usual = if account.policy.google_auth { Algorithm::Rs256 } else { Algorithm::Es256 };
        let alg = arguments.alg.unwrap_or(usual);
        let (key, pem) = service_accounts::make_key(&app, &by(), &account, alg, arguments.expires).await?;
        let file = service_accounts::key_file(&app, &account, &key, &pem);
        // The file itself, with and without --json, so that it can be sent where it is to lie.
        context.show(&file, || serde_json::to_string_pretty(&file).unwrap_or_default())
    })
}

fn list_keys(context: &Context, account: &str) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let account = service_accounts::find(&app, account).await?;
        let now = app.now();
        let documents: Vec<Value> = account.keys.iter().map(|key| described_key(&account, key)).collect();
        context.show(&json!({ "keys": documents }), || {
            let rows: Vec<[String; 6]> = account
                .keys
                .iter()
                .map(|key| {
                    let state = match (key.revoked_at, key.is_live(now)) {
                        (Some(_), _) => "revoked",
                        (None, true) => "live",
                        (None, false) => "expired",
                    };
                    let at = |time: Option<Timestamp>| print::or_dash(time.map(Timestamp::to_rfc3339));
                    [
                        key.kid.clone(),
                        key.alg.to_string(),
                        state.to_owned(),
                        key.created_at.to_rfc3339(),
                        at(key.expires_at),
                        at(key.last_used_at),
                    ]
                })
                .collect();
            print::table(["kid", "alg", "state", "created_at", "expires_at", "last_used_at"], &rows)
        })
    })
}

fn revoke_key(context: &Context, arguments: &KeyRevoke) -> Result<(), Refused> {
    context.with_app(|app| async move {
        let account = service_accounts::find(&app, &arguments.account).await?;
        service_accounts::revoke_key(&app, &by(), &account, &arguments.kid).await?;
        show(context, &service_accounts::find(&app, account.id.as_str()).await?)
    })
}

fn show(context: &Context, account: &ServiceAccount) -> Result<(), Refused> {
    context.show(&described(account), || {
        let policy = &account.policy;
        let words = |list: &[String]| print::or_dash(Some(list.join(" ")).filter(|s| !s.is_empty()));
        let rules: Vec<String> = account
            .rules
            .iter()
            .map(|rule| format!("{} {} ({})", rule.provider, rule.issuer, rule.id))
            .collect();
        let keys: Vec<String> = account.keys.iter().map(|key| key.kid.clone()).collect();
        print::pairs(&[
            ("service_account_id", account.id.to_string()),
            ("name", account.name.clone()),
            ("state", state(account).to_owned()),
            ("scope", print::or_dash(Some(policy.scope.to_string()).filter(|s| !s.is_empty()))),
            ("audience", words(&policy.audience)),
            ("google_auth", policy.google_auth.to_string()),
            ("jwks_uri", print::or_dash(policy.jwks_uri.as_ref())),
            ("keys", words(&keys)),
            ("trust", words(&rules)),
            ("created_at", account.created_at.to_rfc3339()),
        ])
    })
}

fn state(account: &ServiceAccount) -> &'static str {
    if account.is_active() { "active" } else { "disabled" }
}

fn key_lines(account: &ServiceAccount, key: &AccountKey) -> String {
    print::pairs(&[
        ("service_account_id", account.id.to_string()),
        ("kid", key.kid.clone()),
        ("alg", key.alg.to_string()),
        ("expires_at", print::or_dash(key.expires_at.map(Timestamp::to_rfc3339))),
    ])
}

fn described(account: &ServiceAccount) -> Value {
    json!({
        "service_account_id": account.id,
        "client_id": account.id,
        "organization_id": account.organization,
        "name": account.name,
        "scope": account.policy.scope,
        "audience": account.policy.audience,
        "google_auth": account.policy.google_auth,
        "assertion_seconds": account.policy.assertion_seconds,
        "token_seconds": account.policy.token_seconds,
        "access_token_format": account.policy.access_token_format,
        "jwks_uri": account.policy.jwks_uri,
        "keys": account.keys.iter().map(|key| described_key(account, key)).collect::<Vec<_>>(),
        "trust": account.rules.iter().map(|rule| super::trust::described(account, rule)).collect::<Vec<_>>(),
        "created_at": account.created_at.to_rfc3339(),
        "disabled_at": account.disabled_at.map(Timestamp::to_rfc3339),
    })
}

fn described_key(account: &ServiceAccount, key: &AccountKey) -> Value {
    let at = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    json!({
        "service_account_id": account.id,
        "kid": key.kid,
        "alg": key.alg,
        "created_at": key.created_at.to_rfc3339(),
        "expires_at": at(key.expires_at),
        "revoked_at": at(key.revoked_at),
        "last_used_at": at(key.last_used_at),
    })
}
