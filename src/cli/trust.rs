//! `cnx trust`: rules that let an outside issuer's tokens speak for a service account, so that a deployment keeps no key at all.

#![expect(clippy::doc_markdown, reason = "comments on arguments are their help, printed as they stand")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, duration, print, stdin};
use crate::flow::trust::{self, NewRule};
use crate::oauth::assertion::LONGEST;
use crate::oauth::service_account::ServiceAccount;
use crate::oauth::trust::{ClaimRule, IssuerKeys, TrustRule};
use crate::store;

/// The issuer of GitHub Actions' tokens.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// The issuer of GitLab CI's tokens.
const GITLAB: &str = "https://gitlab.com";
/// The longest life of a projected Kubernetes token: its extension for old clients lasts a year.
const A_YEAR: i64 = 366 * 86_400;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a rule
    #[command(subcommand)]
    Add(Box<Provider>),
    /// List the rules, of one account or of all
    List(List),
    /// Remove a rule: tokens that came about by it stop working
    Remove(Remove),
}

#[derive(Subcommand)]
pub(super) enum Provider {
    /// Jobs of GitHub Actions
    Github(Github),
    /// Jobs of GitLab CI
    Gitlab(Gitlab),
    /// Pods of a Kubernetes cluster
    Kubernetes(Kubernetes),
    /// Any OpenID Connect issuer
    Oidc(Oidc),
}

#[derive(Args)]
struct Common {
    /// The service account that the tokens speak for: name or id
    #[arg(long, value_name = "X")]
    service_account: String,
    /// Whom the tokens must be for (their aud); our issuer when absent; repeat for more
    #[arg(long, value_name = "A")]
    audience: Vec<String>,
    /// Where the issuer's keys are; its metadata says when absent
    #[arg(long, value_name = "U", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// A file with the issuer's keys; nothing is fetched then
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// A further claim that must have this value; repeat for more, the same name for "one of these"
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

#[derive(Args)]
pub(super) struct Github {
    /// The repository: org/app
    #[arg(long, value_name = "ORG/APP")]
    repo: String,
    /// The branch or tag: refs/heads/main, refs/tags/v*; repeat for more
    #[arg(long = "ref", value_name = "REF")]
    reference: Vec<String>,
    /// The deployment environment
    #[arg(long, value_name = "E")]
    environment: Option<String>,
    /// Allow an event that a stranger can cause: pull_request_target, …
    #[arg(long, value_name = "EVENT")]
    allow_event: Vec<String>,
    /// The issuer, for GitHub Enterprise
    #[arg(long, value_name = "U", default_value = GITHUB)]
    issuer: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Gitlab {
    /// The project: group/app
    #[arg(long, value_name = "GROUP/APP", alias = "project")]
    repo: String,
    /// The branch or tag: main, v*; repeat for more
    #[arg(long = "ref", value_name = "REF")]
    reference: Vec<String>,
    /// Only protected branches and tags
    #[arg(long)]
    protected: bool,
    /// The deployment environment
    #[arg(long, value_name = "E")]
    environment: Option<String>,
    /// Allow an event that a stranger can cause: merge_request_event, …
    #[arg(long, value_name = "EVENT")]
    allow_event: Vec<String>,
    /// The issuer, for a GitLab of your own
    #[arg(long, value_name = "U", default_value = GITLAB)]
    issuer: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Kubernetes {
    /// The cluster's issuer, as its tokens have it in iss
    #[arg(long, value_name = "U")]
    issuer: String,
    /// The namespace of the pod's service account
    #[arg(long, value_name = "NS")]
    namespace: String,
    /// The pod's service account
    #[arg(long, value_name = "NAME")]
    account: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Oidc {
    /// The issuer, as its tokens have it in iss
    #[arg(long, value_name = "U")]
    issuer: String,
    /// Take one token more than once; it is taken once by its jti when absent
    #[arg(long)]
    reusable: bool,
    /// The longest life of a token
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::seconds)]
    max_age: i64,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct List {
    /// Name or id
    #[arg(long, value_name = "X")]
    service_account: Option<String>,
}

#[derive(Args)]
pub(super) struct Remove {
    /// The rule's id, as `list` shows it
    id: String,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Add(provider) => add(context, *provider),
        Command::List(arguments) => list(context, arguments.service_account.as_deref()),
        Command::Remove(arguments) => context.with_app(|app| async move {
            if !trust::remove(&app, &by(), &arguments.id).await? {
                return Err(Refused::Because(format!(
                    "{}: there is no such rule; `cnx trust list` shows what there is",
                    arguments.id
                )));
            }
            context.show(&json!({ "id": arguments.id, "removed": true }), || {
                format!("{} is removed", arguments.id)
            })
        }),
    }
}

fn add(context: &Context, provider: Provider) -> Result<(), Refused> {
    let (new, account) = rule(provider)?;
    context.with_app(|app| async move {
        let (account, rule) = trust::add(&app, &by(), &account, new).await?;
        context.show(&described(&account, &rule), || {
            let claims: Vec<String> = rule
                .claims
                .iter()
                .map(|claim| format!("{}={}", claim.name, claim.values.join("|")))
                .collect();
            let audience =
                if rule.audience.is_empty() { app.issuer().to_owned() } else { rule.audience.join(" ") };
            print::pairs(&[
                ("id", rule.id.to_string()),
                ("service_account_id", account.id.to_string()),
                ("provider", rule.provider.clone()),
                ("issuer", rule.issuer.clone()),
                ("audience", audience),
                ("claims", claims.join(" ")),
            ])
        })
    })
}

/// What is to be added, and to which account.
fn rule(provider: Provider) -> Result<(NewRule, String), Refused> {
    let one_or_more = |name: &str, values: Vec<String>| {
        (!values.is_empty()).then(|| ClaimRule { name: name.to_owned(), values })
    };
    let (provider, issuer, mut claims, allowed_events, reusable, longest, common) = match provider {
        Provider::Github(g) => {
            let mut claims = vec![ClaimRule::one("repository", g.repo)];
            claims.extend(one_or_more("ref", g.reference));
            claims.extend(g.environment.map(|e| ClaimRule::one("environment", e)));
            ("github", g.issuer, claims, g.allow_event, false, LONGEST, g.common)
        }
        Provider::Gitlab(g) => {
            let mut claims = vec![ClaimRule::one("project_path", g.repo)];
            claims.extend(one_or_more("ref", g.reference));
            claims.extend(g.environment.map(|e| ClaimRule::one("environment", e)));
            claims.extend(g.protected.then(|| ClaimRule::one("ref_protected", "true")));
            ("gitlab", g.issuer, claims, g.allow_event, false, LONGEST, g.common)
        }
        Provider::Kubernetes(k) => {
            let subject = format!("system:serviceaccount:{}:{}", k.namespace, k.account);
            let claims = vec![ClaimRule::one("sub", subject)];
            // A pod reads the same token from its file until it is renewed, and may present it as often as it likes.
            ("kubernetes", k.issuer, claims, Vec::new(), true, A_YEAR, k.common)
        }
        Provider::Oidc(o) => ("oidc", o.issuer, Vec::new(), Vec::new(), o.reusable, o.max_age, o.common),
    };
    for text in &common.claim {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Refused::Because(format!("--claim {text}: NAME=VALUE is allowed")))?;
        match claims.iter_mut().find(|claim| claim.name == name) {
            Some(claim) => claim.values.push(value.to_owned()),
            None => claims.push(ClaimRule::one(name, value)),
        }
    }
    let keys = match (common.jwks_uri, common.jwks) {
        (Some(uri), _) => IssuerKeys::Uri(uri),
        (None, Some(path)) => {
            let text = stdin::file("--jwks", &path)?;
            let set = serde_json::from_str(&text)
                .map_err(|e| Refused::Because(format!("--jwks {}: it is not JSON: {e}", path.display())))?;
            IssuerKeys::Pinned(set)
        }
        (None, None) => IssuerKeys::Discover,
    };
    let audience = common.audience;
    let new = NewRule { provider, issuer, keys, audience, claims, allowed_events, reusable, longest };
    Ok((new, common.service_account))
}

fn list(context: &Context, account: Option<&str>) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let mut all = app.store.read(store::service_accounts::all).await?;
        all.retain(|a| account.is_none_or(|wanted| a.name == wanted || a.id.as_str() == wanted));
        let rules = || all.iter().flat_map(|account| account.rules.iter().map(move |rule| (account, rule)));
        let documents: Vec<Value> = rules().map(|(account, rule)| described(account, rule)).collect();
        context.show(&json!({ "trust": documents }), || {
            let rows: Vec<[String; 5]> = rules()
                .map(|(account, rule)| {
                    let claims: Vec<String> =
                        rule.claims.iter().map(|c| format!("{}={}", c.name, c.values.join("|"))).collect();
                    [
                        rule.id.to_string(),
                        account.name.clone(),
                        rule.provider.clone(),
                        rule.issuer.clone(),
                        claims.join(" "),
                    ]
                })
                .collect();
            print::table(["id", "service account", "provider", "issuer", "claims"], &rows)
        })
    })
}

pub(super) fn described(account: &ServiceAccount, rule: &TrustRule) -> Value {
    json!({
        "id": rule.id,
        "service_account_id": account.id,
        "provider": rule.provider,
        "issuer": rule.issuer,
        "keys": rule.keys,
        "audience": rule.audience,
        "claims": rule.claims,
        "allowed_events": rule.allowed_events,
        "reusable": rule.reusable,
        "max_age_seconds": rule.longest,
        "created_at": rule.created_at.to_rfc3339(),
    })
}
