//! The audit log with many events: how long it takes to write them, to look at all of them (`cnx audit verify`), and to read a page.
//!
//!     cargo bench --bench audit_log -- 1000000

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use cnx::base::seal::Vault;
use cnx::base::secret::Secret;
use cnx::base::time::Clock;
use cnx::store::audit::{self, Entry, Filter, From, Outcome};
use cnx::store::audit_look::Look;
use cnx::store::{Store, StoreOptions};

/// Events in one write.
const BATCH: i64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    // Test runners ask for names; there is one bench and it has none.
    if std::env::args().any(|a| a == "--list") {
        return Ok(());
    }
    let count = std::env::args().find_map(|a| a.parse::<i64>().ok()).unwrap_or(1_000_000);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(count))
}

async fn run(count: i64) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.db");
    let store = Arc::new(Store::open(&StoreOptions::new(format!("sqlite:{}", path.display())))?);
    let vault = Vault::new(&Secret::new([7; 32]));
    let now = Clock::System.now();
    let mut out = std::io::stdout();

    let keys = vault.clone();
    store.write(move |conn| audit::begin(conn, &keys, now)).await?;
    let began = Instant::now();
    for batch in 0..count / BATCH {
        let keys = vault.clone();
        let entries: Vec<Entry> = (0..BATCH).map(|n| event(batch * BATCH + n, now)).collect();
        store.write(move |conn| audit::append(conn, &keys, &entries)).await?;
    }
    writeln!(out, "{count} events written in {:.1} s", began.elapsed().as_secs_f64())?;

    let keys = vault.clone();
    let began = Instant::now();
    let mut look = store.read(move |conn| Look::begin(conn, &keys, None)).await?;
    let mut more = true;
    while more {
        (more, look) = store.read(move |conn| look.clone().step(conn)).await?;
    }
    let report = store.read(move |conn| look.clone().end(conn)).await?;
    writeln!(
        out,
        "{} events looked at in {:.1} s, {} findings",
        report.events,
        began.elapsed().as_secs_f64(),
        report.findings.len()
    )?;

    let by_act = Filter { acts: vec!["key.revoked".to_owned()], ..Filter::default() };
    let by_actor = Filter { actor: Some("user:7".to_owned()), ..Filter::default() };
    let by_subject = Filter { subject: Some("key:0000000123".to_owned()), ..Filter::default() };
    let old = Filter { before: Some(count / 2), ..Filter::default() };
    let rare = Filter { outcome: Some(Outcome::Refused), until: Some(now), ..Filter::default() };
    for (name, filter) in [
        ("the newest", Filter::default()),
        ("from the middle", old),
        ("of a rare act", by_act),
        ("of one actor", by_actor),
        ("of one subject", by_subject),
        ("none that fits", rare),
    ] {
        let began = Instant::now();
        let events = store.read(move |conn| audit::page(conn, &filter, From::Newest, 101)).await?;
        writeln!(
            out,
            "a page {name}: {} events in {:.2} ms",
            events.len(),
            began.elapsed().as_secs_f64() * 1e3
        )?;
    }
    store.close();
    Ok(())
}

fn event(n: i64, now: cnx::base::time::Timestamp) -> Entry {
    Entry {
        at: now.plus(n),
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
