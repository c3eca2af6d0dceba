//! Limits that nodes count together in one Redis, as callers meet them: two nodes whose clocks differ, and a Redis that dies under way and
//! comes back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::base::secret::Secret;
use cnx::base::time::{Clock, Timestamp};
use cnx::serve;
use serde_json::json;

use crate::api_keys::{call, minted, token_with};
use crate::process::Place;
use crate::warnings::Redis;
use crate::wire;
use crate::world::{On, Reply, START, World, environment, free_port, http};

/// Callers at once.
const CALLERS: usize = 16;

/// Asks so often about requests of a method, at these nodes in turn; how many passed.
async fn passed(bases: &[String], key: &str, method: &str, times: usize) -> usize {
    let (left, passed) = (Arc::new(AtomicUsize::new(times)), Arc::new(AtomicUsize::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (left, passed, http, bases) = (left.clone(), passed.clone(), http(), bases.to_vec());
        let (key, method) = (key.to_owned(), reqwest::Method::from_bytes(method.as_bytes()).unwrap());
        callers.spawn(async move {
            while let Ok(n) = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
                let url = format!("{}/gateway/envoy/v1/instances", bases[n % bases.len()]);
                let answer = http.request(method.clone(), url).bearer_auth(&key).send().await.unwrap();
                match answer.status().as_u16() {
                    200 => passed.fetch_add(1, Ordering::SeqCst),
                    429 => 0,
                    other => panic!("{other}"),
                };
            }
        });
    }
    callers.join_all().await;
    passed.load(Ordering::SeqCst)
}

/// A Redis that answers.
async fn started(program: &str, port: u16, folder: &Path) -> Redis {
    let redis = Redis::start(program, port, folder);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis
}

/// Within a hundredth.
#[track_caller]
fn about(seen: usize, limit: usize, what: &str) {
    assert!(seen.abs_diff(limit) * 100 <= limit, "{what}: {seen} of {limit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_give_a_key_its_limits_once_though_their_clocks_differ_s_k6() {
    let Some(program) = environment("TEST_REDIS_SERVER") else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _redis = started(&program, port, folder.path()).await;
    let world = World::with(On::Sqlite, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.redis_url = Some(Secret::new(format!("redis://127.0.0.1:{port}/")));
    })
    .await
    .unwrap();
    let mut settings = world.settings.clone();
    settings.listen.set_port(free_port());
    let other_base = format!("http://localhost:{}", settings.listen.port());
    let late = Clock::manual(Timestamp::from_secs(START - 5));
    let other = App::open(settings, late, Entropy::system(), Role::Tool).await.unwrap();
    let other = serve(other, None).await.unwrap();
    let both = [world.base.clone(), other_base];

    let (_, key) = minted(&world, |_| {}).await;
    let (_, untouched) = minted(&world, |_| {}).await;
    other.app().catch_up().await.unwrap();
    let began = Instant::now();
    about(passed(&both, &key, "GET", 1_400).await, 1_200, "reads");
    about(passed(&both, &key, "POST", 200).await, 120, "writes");
    about(passed(&both, &key, "DELETE", 60).await, 30, "deletes");
    assert!(
        began.elapsed() < Duration::from_secs(50),
        "it took as long as a window, which then says nothing"
    );
    assert_eq!(passed(&both, &untouched, "DELETE", 30).await, 30, "another key has its own");

    let token = token_with(&world, "keys:verify").await;
    other.app().catch_up().await.unwrap();
    let (mut open, mut refused) = (0, 0);
    for n in 0..55 {
        let body = json!({"key": key});
        let request = world.http.post(format!("{}/v1/streams", both[n % 2])).bearer_auth(&token).json(&body);
        match Reply::of(request.send().await.unwrap()).await.status {
            201 => open += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((open, refused), (50, 5));
    assert_eq!(
        call(&world, "POST", "/v1/streams", &token, Some(json!({"key": untouched}))).await.status,
        201
    );
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_under_way_leaves_a_key_limited_and_is_used_again_s_k7_f9() {
    let Some(program) = environment("TEST_REDIS_SERVER") else { return };
    let mut place = Place::new();
    let (port, metrics) = (free_port(), free_port());
    place.set("CNX_REDIS_URL", &format!("redis://127.0.0.1:{port}/"));
    place.set("CNX_METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let redis = started(&program, port, place.dir()).await;
    let node = place.serve(&[]);
    let mint = |name: &str| {
        let made = place.json(&[
            "key",
            "mint",
            "--name",
            name,
            "--env",
            "prod",
            "--scope",
            "*",
            "--limit-read",
            "50",
        ]);
        made["key"].as_str().unwrap().to_owned()
    };
    let (key, later, spare) = (mint("one"), mint("two"), mint("three"));
    let base = [place.base.clone()];
    let fell_back = || {
        let text = wire::get(&format!("http://127.0.0.1:{metrics}"), "/metrics");
        let line =
            text.body().lines().find(|line| line.starts_with("cnx_limits_fallback_total")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    // The server hears of the keys within a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(passed(&base, &key, "GET", 30).await, 30);
    assert!(fell_back() < 0.5, "Redis is there");
    drop(redis);
    // The node goes on by itself, from nothing: a key has its limit once more at most, and never none.
    let alone = passed(&base, &key, "GET", 150).await;
    assert!((1..=50).contains(&alone), "{alone}");
    assert_eq!(passed(&base, &key, "GET", 20).await, 0, "limited");
    assert!(fell_back() > 0.5, "the metric says so");
    let _redis = Redis::start(&program, port, place.dir());
    let began = Instant::now();
    while node.err().matches("Redis is back").count() < 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", node.err());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The line is one connection's; that of the limits comes back by itself as well.
    loop {
        let before = fell_back();
        passed(&base, &spare, "GET", 1).await;
        if (fell_back() - before).abs() < 0.5 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the limits do not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let before = fell_back();
    assert_eq!(passed(&base, &later, "GET", 70).await, 50, "counted in Redis again");
    assert!((fell_back() - before).abs() < 0.5, "and not by the node itself");
}
