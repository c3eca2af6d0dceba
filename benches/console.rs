//! Pages of the console and of an account with 10,000 keys and a million audit events, as their owner gets them from the embedded database:
//! the whole way over HTTP, one request after the other.
//!
//!     cargo bench --bench console                       # or: -- KEYS EVENTS
//!
//! Every page of the route table is asked for, and the pages that its links lead to within the same address: further pages, filters.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use cnx::account::role::Role as PersonRole;
use cnx::api_key::format;
use cnx::api_key::permission::Permissions;
use cnx::api_key::plan::Overrides;
use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::base::secret::{Fingerprint, Secret};
use cnx::base::time::Clock;
use cnx::config;
use cnx::flow::audit::By;
use cnx::flow::keys::{self, NewKey};
use cnx::flow::people::{self, NewPerson};
use cnx::flow::{clients, service_accounts};
use cnx::oauth::client_registration;
use cnx::store::api_keys;
use cnx::store::audit::{self, Entry, Outcome};
use serde_json::{Map, json};

/// Rows in one write.
const BATCH: i64 = 1_000;
/// How often each page is asked for.
const ROUNDS: usize = 50;
const PASSWORD: &str = "correct-horse-battery-staple-42";

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    // Test runners ask for names; there is one bench and it has none.
    if std::env::args().any(|a| a == "--list") {
        return Ok(());
    }
    let mut numbers = std::env::args().filter_map(|a| a.parse::<i64>().ok());
    let (keys, events) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(1_000_000));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run(keys, events))
}

async fn run(keys: i64, events: i64) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let base = format!("http://localhost:{port}");
    let told = vec![
        ("CNX_DATA_DIR".to_owned(), folder.path().join("data").display().to_string()),
        ("CNX_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
        ("CNX_PUBLIC_URL".to_owned(), base.clone()),
    ];
    let settings = config::load(None, told.into_iter(), None).map_err(|error| format!("{error:?}"))?.settings;
    let app = App::open(settings, Clock::System, Entropy::system(), Role::Server).await?;
    let running = cnx::serve(Arc::clone(&app), None).await?;
    let mut out = std::io::stdout();
    let things = fill(&app, keys, events, &mut out).await?;
    let visitor = Visitor::sign_in(&base).await?;

    writeln!(out, "\n| page | median ms | p99 ms | KiB |\n| --- | ---: | ---: | ---: |")?;
    let mut worst = 0.0_f64;
    for address in addresses(&visitor, &things).await? {
        let mut times = Vec::with_capacity(ROUNDS);
        let mut size = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let (status, text) = visitor.get(&address).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            size = text.len();
            if status >= 400 {
                return Err(format!("{address}: {status}").into());
            }
        }
        times.sort_by(f64::total_cmp);
        let of = |share: usize| times.get(ROUNDS * share / 100).copied().unwrap_or_default();
        let (median, p99) = (of(50), of(99));
        worst = worst.max(p99);
        writeln!(out, "| `{address}` | {median:.1} | {p99:.1} | {} |", size / 1024)?;
    }
    writeln!(out, "\nthe slowest p99: {worst:.1} ms")?;
    running.stop().await;
    Ok(())
}

/// What stands in the addresses of pages.
struct Things {
    key: String,
    person: String,
    client: String,
    machine: String,
    kid: String,
}

/// People, apps, keys and events; as many keys and events as wanted.
async fn fill(
    app: &Arc<App>,
    keys: i64,
    events: i64,
    out: &mut impl std::io::Write,
) -> Result<Things, Failed> {
    let by = By::command_line(0);
    let person = NewPerson {
        email: Some("olga@example.com".to_owned()),
        username: Some("olga".to_owned()),
        name: None,
        email_verified: true,
        role: PersonRole::Owner,
        claims: Map::new(),
        password: Some(Secret::new(PASSWORD.to_owned())),
    };
    let person = people::add(app, &by, person).await?;
    let metadata =
        json!({"client_name": "Field Notes", "redirect_uris": ["https://notes.example.com/callback"]});
    let (id, secret, metadata) = client_registration::from_json(&metadata.to_string())?;
    let (client, _) = clients::add(app, &by, metadata, id, secret).await?;
    let policy = serde_json::from_value(json!({"scope": "deploy:read"}))?;
    let machine = service_accounts::add(app, &by, "deploy", policy).await?;

    let began = Instant::now();
    let new = NewKey {
        name: "deploy".to_owned(),
        environment: "prod".parse().map_err(|error| format!("{error:?}"))?,
        scopes: Permissions::parse(["instances:read", "instances:write"].into_iter())
            .map_err(|error| format!("{error:?}"))?,
        description: None,
        lifetime: None,
        not_before: None,
        allow: Vec::new(),
        deny: Vec::new(),
        limits: Overrides::default(),
        leak_policy: None,
    };
    let (pattern, _) = keys::mint(app, &by, new).await?;
    for batch in 0..keys / BATCH {
        let rows: Vec<_> = (0..BATCH)
            .map(|n| {
                let mut key = pattern.clone();
                key.id = format::new_id(&app.entropy);
                key.name = format!("deploy {}", batch * BATCH + n);
                for secret in &mut key.secrets {
                    secret.fingerprint = Fingerprint::from_bytes(app.entropy.bytes::<32>());
                }
                key
            })
            .collect();
        app.store
            .write(move |conn| {
                rows.iter().try_for_each(|key| api_keys::insert(conn, key))?;
                Ok(())
            })
            .await?;
    }
    writeln!(out, "{keys} keys written in {:.1} s", began.elapsed().as_secs_f64())?;

    let began = Instant::now();
    let now = app.now();
    for batch in 0..events / BATCH {
        let entries: Vec<Entry> = (0..BATCH).map(|n| event(batch * BATCH + n, events, now)).collect();
        let vault = app.vault.clone();
        app.store.write(move |conn| audit::append(conn, &vault, &entries)).await?;
    }
    writeln!(out, "{events} events written in {:.1} s", began.elapsed().as_secs_f64())?;
    let kid = reqwest::get(format!("{}/.well-known/jwks.json", app.issuer()))
        .await?
        .json::<serde_json::Value>()
        .await?;
    Ok(Things {
        key: pattern.id.to_string(),
        person: person.id.to_string(),
        client: client.id.to_string(),
        machine: machine.id.to_string(),
        kid: kid.pointer("/keys/0/kid").and_then(|kid| kid.as_str()).unwrap_or_default().to_owned(),
    })
}

/// An event of the last ninety days.
fn event(n: i64, of: i64, now: cnx::base::time::Timestamp) -> Entry {
    Entry {
        at: now.plus((n - of) * 7),
        act: if n % 10_000 == 0 { "key.revoked" } else { "user.signed_in" }.to_owned(),
        actor: format!("user:{}", n % 5_000),
        subject: Some(format!("key:{:010}", n % 10_000)),
        outcome: Outcome::Done,
        reason: None,
        address: Some("203.0.113.7".to_owned()),
        request_id: Some(format!("{n:017}")),
        details: Some(r#"{"name":"deploy","scopes":["instances:read"]}"#.to_owned()),
        times: 1,
    }
}

/// Every page for somebody who is signed in, and where it leads within the same address.
async fn addresses(visitor: &Visitor, things: &Things) -> Result<Vec<String>, Failed> {
    let mut all = Vec::new();
    for (path, methods, least) in cnx::web::addresses() {
        if least.is_none() || !methods.contains(&"GET") {
            continue;
        }
        let id = match path {
            _ if path.starts_with("/console/keys/") => &things.key,
            _ if path.starts_with("/console/people/") => &things.person,
            _ if path.starts_with("/console/apps/") => &things.client,
            _ if path.starts_with("/console/service-accounts/") => &things.machine,
            _ if path.starts_with("/console/signing-keys/") => &things.kid,
            _ => "",
        };
        if path.contains('{') && id.is_empty() {
            continue;
        }
        let parts = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        let address = parts.collect::<Vec<_>>().join("/");
        let (status, text) = visitor.get(&address).await?;
        // What is no page goes to a file, all of it.
        if status != 200 || path.ends_with("/export") {
            continue;
        }
        let links: BTreeSet<&str> = text
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|to| to.strip_prefix(address.as_str()).is_some_and(|rest| rest.starts_with('?')))
            .collect();
        let further: Vec<String> =
            links.into_iter().take(4).map(|to| to.replace("&#38;", "&").replace("&amp;", "&")).collect();
        all.push(address);
        all.extend(further);
    }
    Ok(all)
}

/// A person with a session.
struct Visitor {
    http: reqwest::Client,
    base: String,
    cookies: String,
}

impl Visitor {
    async fn sign_in(base: &str) -> Result<Self, Failed> {
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
        let page = http.get(format!("{base}/sign-in")).send().await?;
        let mark = cookies(&page);
        let text = page.text().await?;
        let token = text
            .split("name=\"csrf_token\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .ok_or("no form token")?;
        let form = [("csrf_token", token), ("request", ""), ("username", "olga"), ("password", PASSWORD)];
        let sent = http.post(format!("{base}/sign-in")).header("cookie", &mark).form(&form).send().await?;
        let cookies = format!("{mark}; {}", cookies(&sent));
        Ok(Self { http, base: base.to_owned(), cookies })
    }

    async fn get(&self, path: &str) -> Result<(u16, String), Failed> {
        let sent =
            self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookies).send().await?;
        Ok((sent.status().as_u16(), sent.text().await?))
    }
}

fn cookies(answer: &reqwest::Response) -> String {
    let set = answer.headers().get_all("set-cookie").iter();
    let pairs = set.filter_map(|line| line.to_str().ok()?.split(';').next().map(str::to_owned));
    pairs.collect::<Vec<_>>().join("; ")
}
