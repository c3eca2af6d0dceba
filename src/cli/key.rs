//! `cnx key`: API keys. A key is shown once, when its secret is made.

use std::cmp::Reverse;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde_json::json;

use super::{Context, Refused, by, duration, print, stdin};
use crate::api_key::allowlist;
use crate::api_key::format::Environment;
use crate::api_key::key::ApiKey;
use crate::api_key::leak::LeakPolicy;
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::check::{self, Asked, Verdict};
use crate::flow::key_view::{KeyView, ShownOnce, State};
use crate::flow::keys::{self, KeyError, NewKey};
use crate::flow::reminders;
use crate::store::api_keys;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Mint a key; it is printed once
    Mint(Box<Mint>),
    /// List every key, masked
    List(List),
    /// Show a key, masked
    Show(One),
    /// Make a new secret for a key, printed once; the one before goes on working for a while
    Rotate(Rotate),
    /// Change what a key is called, from where it may be used and how often
    Change(Box<Change>),
    /// Revoke a key for good
    Revoke(Revoke),
    /// Disable a key
    Disable(One),
    /// Enable a disabled key
    Enable(One),
    /// Say whether a key, read from standard input, is good
    Verify(Verify),
}

#[derive(Args)]
pub(super) struct Mint {
    /// What people call it
    #[arg(long, value_name = "N")]
    name: String,
    /// Its environment: prod, ci, dev, test, …
    #[arg(long, value_name = "ENV")]
    env: Environment,
    /// What it may do: instances:read, instances:*, *; repeat for more
    #[arg(long, value_name = "S", required = true)]
    scope: Vec<String>,
    /// How long it works: 90d, 24h; for good when absent
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    expires: Option<i64>,
    /// From when on it works, as RFC 3339: 2026-12-01T00:00:00Z
    #[arg(long, value_name = "T", value_parser = moment)]
    not_before: Option<Timestamp>,
    /// An address or network from which it may be used; everywhere when absent; repeat for more
    #[arg(long, value_name = "CIDR", value_parser = allowlist::network)]
    allow_ip: Vec<IpNet>,
    /// An address or network from which it may not be used; repeat for more
    #[arg(long, value_name = "CIDR", value_parser = allowlist::network)]
    deny_ip: Vec<IpNet>,
    /// What people say about it
    #[arg(long, value_name = "D")]
    description: Option<String>,
    /// What becomes of it when it is found in public: notify, disable or revoke; as the settings say when absent
    #[arg(long, value_name = "POLICY")]
    leak_policy: Option<LeakPolicy>,
    /// Fewer reads a minute than the tier has
    #[arg(long, value_name = "N")]
    limit_read: Option<u32>,
    /// Fewer writes a minute than the tier has
    #[arg(long, value_name = "N")]
    limit_write: Option<u32>,
    /// Fewer deletes a minute than the tier has
    #[arg(long, value_name = "N")]
    limit_delete: Option<u32>,
    /// Fewer streams at once than the tier has
    #[arg(long, value_name = "N")]
    limit_streams: Option<u32>,
}

#[derive(Args)]
pub(super) struct List {
    /// Only keys whose secret is due to be replaced within 14 days, or overdue
    #[arg(long)]
    due: bool,
}

#[derive(Args)]
pub(super) struct One {
    /// The key's id, the ten characters behind its environment
    id: String,
}

#[derive(Args)]
pub(super) struct Rotate {
    /// The key's id
    id: String,
    /// How long the secret before goes on working: 24h, 7d, or 0 to stop it at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration::seconds)]
    overlap: i64,
}

#[derive(Args)]
pub(super) struct Change {
    /// The key's id
    id: String,
    /// What people call it
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// What people say about it; nothing when empty
    #[arg(long, value_name = "D")]
    description: Option<String>,
    /// An address or network from which it may be used, in place of those of before; repeat for more
    #[arg(long, value_name = "CIDR", value_parser = allowlist::network)]
    allow_ip: Vec<IpNet>,
    /// Let it be used from everywhere
    #[arg(long, conflicts_with = "allow_ip")]
    allow_everywhere: bool,
    /// An address or network from which it may not be used, in place of those of before; repeat for more
    #[arg(long, value_name = "CIDR", value_parser = allowlist::network)]
    deny_ip: Vec<IpNet>,
    /// Deny no address
    #[arg(long, conflicts_with = "deny_ip")]
    deny_nowhere: bool,
}

impl Change {
    fn wanted(self) -> keys::Change {
        let list = |nets: Vec<IpNet>, none: bool| Some(nets).filter(|nets| none || !nets.is_empty());
        keys::Change {
            name: self.name,
            description: self.description,
            allow: list(self.allow_ip, self.allow_everywhere),
            deny: list(self.deny_ip, self.deny_nowhere),
            limits: None,
        }
    }
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The key's id
    id: String,
    /// Why, for whoever looks later
    #[arg(long, value_name = "R")]
    reason: Option<String>,
}

#[derive(Args)]
pub(super) struct Verify {
    /// What it must be allowed to do; repeat for more
    #[arg(long, value_name = "S")]
    scope: Vec<String>,
    /// From where it is used
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<std::net::IpAddr>,
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::from_rfc3339(text).ok_or("a time as RFC 3339 is needed, such as 2026-12-01T00:00:00Z")
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Mint(arguments) => mint(context, *arguments),
        Command::List(arguments) => list(context, arguments.due),
        Command::Show(one) => context
            .with_database(|app| async move { show(context, &keys::find(&app, &one.id).await?, app.now()) }),
        Command::Rotate(arguments) => context.with_database(|app| async move {
            let (key, secret) = keys::rotate(&app, &by(), &arguments.id, arguments.overlap).await?;
            shown_once(context, &key, &secret, app.now())
        }),
        Command::Change(arguments) => context.with_database(|app| async move {
            let id = arguments.id.clone();
            show(context, &keys::change(&app, &by(), &id, arguments.wanted()).await?, app.now())
        }),
        Command::Revoke(arguments) => context.with_database(|app| async move {
            show(context, &keys::revoke(&app, &by(), &arguments.id, arguments.reason).await?, app.now())
        }),
        Command::Disable(one) => context.with_database(|app| async move {
            show(context, &keys::set_disabled(&app, &by(), &one.id, true).await?, app.now())
        }),
        Command::Enable(one) => context.with_database(|app| async move {
            show(context, &keys::set_disabled(&app, &by(), &one.id, false).await?, app.now())
        }),
        Command::Verify(arguments) => verify(context, &arguments),
    }
}

fn mint(context: &Context, arguments: Mint) -> Result<(), Refused> {
    let scopes = Permissions::parse(arguments.scope.iter().map(String::as_str))
        .map_err(|problem| Refused::Because(format!("scope: {problem}")))?;
    let new = NewKey {
        name: arguments.name,
        environment: arguments.env,
        scopes,
        description: arguments.description,
        lifetime: arguments.expires,
        not_before: arguments.not_before,
        allow: arguments.allow_ip,
        deny: arguments.deny_ip,
        leak_policy: arguments.leak_policy,
        limits: Overrides {
            read: arguments.limit_read,
            write: arguments.limit_write,
            delete: arguments.limit_delete,
            streams: arguments.limit_streams,
        },
    };
    context.with_app(|app| async move {
        let (key, secret) = keys::mint(&app, &by(), new).await?;
        shown_once(context, &key, &secret, app.now())
    })
}

fn list(context: &Context, due: bool) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let now = app.now();
        let mut all = app.store.read(api_keys::all).await?;
        all.sort_by_key(|key| Reverse((key.created_at, key.id)));
        if due {
            all.retain(|key| reminders::is_due(key, now));
        }
        let documents: Vec<KeyView> = all.iter().map(|key| KeyView::of(key, now)).collect();
        let (pepper, others) =
            (app.settings.api_keys.pepper, keys::under_another_pepper(&app, &all, now));
        let document = json!({ "keys": documents, "pepper": pepper, "secrets_under_another_pepper": others });
        context.show(&document, || {
            let rows: Vec<[String; 6]> = all
                .iter()
                .map(|key| {
                    [
                        key.name.clone(),
                        key.masked(),
                        State::of(key, now).word().to_owned(),
                        key.scopes.to_string(),
                        print::or_dash(key.last_use.as_ref().map(|last| last.at.to_rfc3339())),
                        print::or_dash(key.rotation_due_at.map(Timestamp::to_rfc3339)),
                    ]
                })
                .collect();
            let table = print::table(["name", "key", "state", "scopes", "last used", "rotation due"], &rows);
            if others == 0 {
                return table;
            }
            format!("{table}\n\nUnder another pepper than {pepper}: {others}. A secret moves when it is used, or when its key is rotated.")
        })
    })
}

fn verify(context: &Context, arguments: &Verify) -> Result<(), Refused> {
    let key = stdin::secret("key")?;
    context.with_database(|app| async move {
        let now = app.now();
        let scopes: Vec<&str> = arguments.scope.iter().map(String::as_str).collect();
        let asked =
            Asked { credential: key.reveal(), scopes: &scopes, address: arguments.ip, ..Asked::default() };
        let (valid, code, found) = match check::check(&app, &asked, now).await? {
            Verdict::Allowed(allowed) => (true, "VALID", allowed.key),
            Verdict::Refused { refusal, key, .. } => (false, refusal.code(), key),
        };
        let document =
            json!({"valid": valid, "code": code, "key_id": found.as_ref().map(|key| key.id.to_string())});
        context.show(&document, || code.to_owned())?;
        if valid { Ok(()) } else { Err(Refused::Told) }
    })
}

fn shown_once(
    context: &Context,
    key: &ApiKey,
    secret: &Secret<String>,
    now: Timestamp,
) -> Result<(), Refused> {
    context.show(&ShownOnce::of(key, secret, now), || {
        let mut lines = vec![("key", secret.reveal().clone())];
        lines.extend(as_lines(key, now));
        format!("{}\n\nThe key is shown this once: keep it now.", print::pairs(&lines))
    })
}

fn show(context: &Context, key: &ApiKey, now: Timestamp) -> Result<(), Refused> {
    context.show(&KeyView::of(key, now), || {
        let mut lines = vec![("key", key.masked())];
        lines.extend(as_lines(key, now));
        print::pairs(&lines)
    })
}

fn as_lines(key: &ApiKey, now: Timestamp) -> Vec<(&'static str, String)> {
    let at = |time: Option<Timestamp>| print::or_dash(time.map(Timestamp::to_rfc3339));
    let nets = |nets: &[IpNet]| {
        let list: Vec<String> = nets.iter().map(ToString::to_string).collect();
        print::or_dash(Some(list.join(" ")).filter(|text| !text.is_empty()))
    };
    vec![
        ("key_id", key.id.to_string()),
        ("name", key.name.clone()),
        ("state", State::of(key, now).word().to_owned()),
        ("scopes", key.scopes.to_string()),
        ("allow_ips", nets(&key.allow)),
        ("deny_ips", nets(&key.deny)),
        ("expires_at", at(key.expires_at)),
        ("rotation_due_at", at(key.rotation_due_at)),
        ("last_used_at", at(key.last_use.as_ref().map(|last| last.at))),
    ]
}
