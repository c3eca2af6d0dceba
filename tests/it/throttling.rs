//! Guessing passwords: counted per account and per place, for every spelling, across restarts, and never a way to lock
//! somebody out of their own device (S-L6).

use cnx::base::time::{Clock, Timestamp};

use crate::world::{Browser, On, PASSWORD, Reply, START, World, on_both};

const WRONG: &str = "a wrong password, certainly";

/// One attempt in this browser, from this address as a trusted proxy tells it.
async fn attempt(world: &World, browser: &Browser, from: &str, username: &str, password: &str) -> Reply {
    let page = browser.open("/sign-in").await;
    let form = page.form(&[("username", username), ("password", password)]);
    let request = world.http.post(world.url(&form.action)).header("x-forwarded-for", from);
    browser.send(request.form(&form.fields)).await
}

async fn attempt_anew(world: &World, from: &str, username: &str, password: &str) -> Reply {
    attempt(world, &world.browser(), from, username, password).await
}

/// A world behind a proxy that tells where each attempt comes from.
async fn proxied(on: On) -> Option<World> {
    World::with(on, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await
}

fn retry_after(reply: &Reply) -> i64 {
    reply.header("retry-after").unwrap().parse().unwrap()
}

async fn on_each(act: impl AsyncFn(World)) {
    act(proxied(On::Sqlite).await.unwrap()).await;
    if let Some(world) = proxied(On::Postgres).await {
        act(world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_on_an_account_wait_longer_and_longer_from_wherever_they_come_s_l6() {
    on_each(async |world| {
        world.add_user("ada").await;
        // Ten are free; each from another address, each spelled another way.
        for n in 0..10 {
            let name = if n % 2 == 0 { "ada" } else { "ADA@example.com" };
            let reply = attempt_anew(&world, &format!("203.0.113.{n}"), name, WRONG).await;
            assert_eq!(reply.status, 422, "attempt {n}: {}", reply.text);
        }
        let mut wait = 0;
        for round in 0..6 {
            let reply = attempt_anew(&world, "198.51.100.1", "ada", PASSWORD).await;
            assert_eq!(reply.status, 429, "round {round}: even the right password waits: {}", reply.text);
            assert!(reply.header("cache-control").is_some_and(|v| v.contains("no-store")));
            assert!(
                retry_after(&reply) > wait || wait == 900,
                "round {round}: {} after {wait}",
                retry_after(&reply)
            );
            wait = retry_after(&reply);
            world.advance(wait - 1);
            assert_eq!(
                attempt_anew(&world, "198.51.100.1", "ada", PASSWORD).await.status,
                429,
                "one second too early"
            );
            world.advance(1);
            assert_eq!(attempt_anew(&world, "198.51.100.2", "ada", WRONG).await.status, 422, "round {round}");
        }
        assert_eq!(wait, 64, "2, 4, 8, … seconds");
        world.advance(900);
        assert_eq!(
            attempt_anew(&world, "198.51.100.1", "ada", PASSWORD).await.status,
            303,
            "the person herself gets in"
        );
        for _ in 0..5 {
            assert_eq!(
                attempt_anew(&world, "198.51.100.1", "ada", WRONG).await.status,
                422,
                "and begins anew"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_hundred_failures_a_day_passes_s_l6() {
    let world = proxied(On::Sqlite).await.unwrap();
    world.add_user("ada").await;
    let mut waited = 0;
    for n in 0..100 {
        let reply = attempt_anew(&world, &format!("10.9.{n}.1"), "ada", WRONG).await;
        if reply.status == 429 {
            waited = retry_after(&reply);
            world.advance(waited);
            assert_eq!(attempt_anew(&world, &format!("10.9.{n}.1"), "ada", WRONG).await.status, 422, "{n}");
        }
    }
    assert_eq!(waited, 900, "the longest wait of somebody who forgot");
    let reply = attempt_anew(&world, "10.10.0.1", "ada", WRONG).await;
    assert_eq!((reply.status, retry_after(&reply)), (429, 86_400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_the_same_moment_all_count_s_l6() {
    on_each(async |world| {
        world.add_user("ada").await;
        let browsers: Vec<_> = (0..40).map(|_| world.browser()).collect();
        let all = browsers.iter().enumerate().map(|(n, browser)| {
            let (world, from) = (&world, format!("203.0.113.{n}"));
            async move { attempt(world, browser, &from, "ada", WRONG).await.status }
        });
        let statuses = futures_util::future::join_all(all).await;
        let tried = statuses.iter().filter(|s| **s == 422).count();
        let waited = statuses.iter().filter(|s| **s == 429).count();
        assert_eq!((tried, waited), (10, 30), "{statuses:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attacker_elsewhere_cannot_lock_a_person_out_of_their_own_device_s_l6() {
    on_each(async |world| {
        world.add_user("ada").await;
        world.add_user("bob").await;
        let hers = world.browser();
        assert_eq!(attempt(&world, &hers, "192.0.2.1", "ada", PASSWORD).await.status, 303);
        for n in 0..30 {
            attempt_anew(&world, &format!("203.0.113.{n}"), "ada", WRONG).await;
        }
        assert_eq!(
            attempt_anew(&world, "192.0.2.1", "ada", PASSWORD).await.status,
            429,
            "a browser that nobody knows waits"
        );
        assert_eq!(attempt(&world, &hers, "192.0.2.1", "ada", PASSWORD).await.status, 303, "hers does not");
        // The device speaks for its own person only, and has a count of its own.
        for n in 0..10 {
            assert_eq!(attempt_anew(&world, &format!("203.0.114.{n}"), "bob", WRONG).await.status, 422);
        }
        assert_eq!(attempt(&world, &hers, "192.0.2.1", "bob", PASSWORD).await.status, 429);
        for _ in 0..10 {
            assert_eq!(attempt(&world, &hers, "192.0.2.2", "ada", WRONG).await.status, 422);
        }
        assert_eq!(
            attempt(&world, &hers, "192.0.2.2", "ada", PASSWORD).await.status,
            429,
            "a stolen device guesses no longer than others"
        );
        // A device cookie that was made up is no device.
        let forged = world.browser();
        forged.cookies.lock().unwrap().insert("cnx_device".to_owned(), "A".repeat(43));
        assert_eq!(attempt(&world, &forged, "192.0.2.3", "ada", PASSWORD).await.status, 429);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_tries_many_accounts_waits_and_an_ipv6_subscriber_is_one_place_s_l6() {
    on_each(async |world| {
        world.add_user("ada").await;
        for n in 0..100 {
            // One subscriber has 2^64 addresses, and an attacker may have an account that works.
            let from = format!("2001:db8:1:2::{n:x}");
            assert_eq!(attempt_anew(&world, &from, &format!("somebody{n}"), WRONG).await.status, 422, "{n}");
            if n == 60 {
                assert_eq!(attempt_anew(&world, "2001:db8:1:2::ffff", "ada", PASSWORD).await.status, 303);
            }
        }
        let reply = attempt_anew(&world, "2001:db8:1:2:ffff::1", "one-more", WRONG).await;
        assert_eq!(reply.status, 429, "{}", reply.text);
        assert!(retry_after(&reply) >= 1);
        assert_eq!(
            attempt_anew(&world, "2001:db8:1:3::1", "one-more", WRONG).await.status,
            422,
            "the neighbour does not wait"
        );
        assert_eq!(attempt_anew(&world, "203.0.113.1", "ada", PASSWORD).await.status, 303);
    })
    .await;
}

on_both! {
    async fn throttling_survives_a_restart_s_l6(world: World) {
        let mut world = world;
        world.add_user("ada").await;
        for _ in 0..10 {
            assert_eq!(attempt_anew(&world, "", "ada", WRONG).await.status, 422);
        }
        assert_eq!(attempt_anew(&world, "", "ada", PASSWORD).await.status, 429);
        world.restart().await;
        let reply = attempt_anew(&world, "", "ada", PASSWORD).await;
        assert_eq!(reply.status, 429, "{}", reply.text);
    }
}
