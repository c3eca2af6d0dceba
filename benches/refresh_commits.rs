//! Group commit, as a ratio in one run: refreshes a second of 64 families at once, many to a commit against one to a commit,
//! both with `synchronous=FULL`, on the disk of the folder that `TMPDIR` names.
//!
//! One refresh here is what the token endpoint does with the database: read the family, judge the token, one conditional
//! UPDATE.
//! The two ways run in turn, several times, and the ratio is taken pair by pair: machines are noisy.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cnx::base::entropy::Entropy;
use cnx::base::id::{FamilyId, UserId};
use cnx::base::seal::Vault;
use cnx::base::secret::Secret;
use cnx::base::time::{Clock, Timestamp};
use cnx::oauth::claims_request::ClaimsRequest;
use cnx::oauth::client::Client;
use cnx::oauth::refresh::{self, Family, RefreshPolicy, Verdict, present};
use cnx::oauth::scope::Scope;
use cnx::store::{Store, StoreOptions, families};

const CALLERS: usize = 64;
const WINDOW: Duration = Duration::from_secs(4);
const PAIRS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    // Test runners ask for names; there is one bench and it has none.
    if std::env::args().any(|a| a == "--list") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = std::io::stdout();
    let mut ratios = Vec::new();
    for pair in 1..=PAIRS {
        let grouped = runtime.block_on(rate(128))?;
        let single = runtime.block_on(rate(1))?;
        let ratio = grouped / single;
        writeln!(
            out,
            "pair {pair}: {grouped:.0}/s in groups, {single:.0}/s one to a commit, ratio {ratio:.1}"
        )?;
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(out, "median ratio {:.1}", ratios.get(PAIRS / 2).copied().unwrap_or_default())?;
    Ok(())
}

/// Refreshes a second with at most `max_batch` of them to a commit.
async fn rate(max_batch: usize) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.db");
    let options = StoreOptions { max_batch, ..StoreOptions::new(format!("sqlite:{}", path.display())) };
    let store = Arc::new(Store::open(&options)?);
    let (vault, client, now) = (Vault::new(&Secret::new([7; 32])), client()?, Clock::System.now());
    let owned: Vec<Family> = (0..CALLERS).map(|_| family(&client, now)).collect();
    let rows = owned.clone();
    store.write(move |conn| rows.iter().try_for_each(|f| families::begin(conn, f))).await?;

    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut callers = Vec::new();
    for family in owned {
        let (store, vault, client, done) = (store.clone(), vault.clone(), client.clone(), done.clone());
        callers.push(tokio::spawn(async move {
            let mut token = refresh::mint(&vault, family.id, 1, &family.salt);
            while began.elapsed() < WINDOW {
                let generation = rotate(&store, &vault, &client, &token, now).await?;
                token = refresh::mint(&vault, family.id, generation, &family.salt);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        }));
    }
    for caller in callers {
        caller.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    store.close();
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
    Ok(done.load(Ordering::Relaxed) as f64 / seconds)
}

async fn rotate(
    store: &Store,
    vault: &Vault,
    client: &Client,
    token: &Secret<String>,
    now: Timestamp,
) -> Result<i64, String> {
    let presented = refresh::read(token).ok_or("a token that was minted cannot be read")?;
    let id = presented.0.family;
    let found = store.read(move |conn| families::find(conn, id)).await.map_err(|e| e.to_string())?;
    let family = found.ok_or("a family that was begun is not there")?;
    let policy = RefreshPolicy { retry_seconds: 60, idle_seconds: 86_400 };
    if present(vault, &presented, &family, client, &policy, now) != Verdict::Rotate {
        return Err("a live token is not judged to rotate".to_owned());
    }
    let rotated = store.write(move |conn| families::rotate(conn, family.id, family.generation, now)).await;
    match rotated {
        Ok(true) => Ok(family.generation + 1),
        Ok(false) => Err("a rotation without rival was lost".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn family(client: &Client, now: Timestamp) -> Family {
    let (clock, entropy) = (Clock::System, Entropy::system());
    Family {
        id: FamilyId::new(&clock, &entropy),
        client: client.id.clone(),
        user: UserId::new(&clock, &entropy),
        session: None,
        scope: Scope::of(&["openid", "offline_access"]),
        claims: ClaimsRequest::default(),
        nonce: None,
        auth_time: now,
        acr: "urn:cloudnexus:acr:password".to_owned(),
        amr: vec!["pwd".to_owned()],
        salt: entropy.bytes::<16>().to_vec(),
        generation: 1,
        rotated_at: now,
        created_at: now,
        expires_at: now.plus(86_400),
        refreshable: true,
        offline: true,
        revoked_at: None,
        resources: Vec::new(),
    }
}

fn client() -> Result<Client, Box<dyn Error>> {
    let text = r#"{
        "client_name": "bench", "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": ["http://127.0.0.1/cb"]
    }"#;
    let (_, _, metadata) = cnx::oauth::client_registration::from_json(text).map_err(|e| e.to_string())?;
    let (id, created_at) = ("bench".parse()?, Timestamp::from_secs(0));
    Ok(Client { id, metadata, secrets: Vec::new(), created_at, disabled_at: None })
}
