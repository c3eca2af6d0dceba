//! The session's cookie: how it is set, when it changes, and what is left of an old one.

use std::collections::BTreeMap;

use cnx::base::time::{Clock, Timestamp};
use cnx::config::Issuer;

use super::{assert_code, assert_error, signed_in};
use crate::world::{Browser, On, Reply, START, World, authorize_path, on_both};

/// A browser with these cookies.
fn with_cookies(world: &World, cookies: &BTreeMap<String, String>) -> Browser {
    let browser = world.browser();
    browser.cookies.lock().unwrap().extend(cookies.clone());
    browser
}

fn cookies(browser: &Browser) -> BTreeMap<String, String> {
    browser.cookies.lock().unwrap().clone()
}

/// Each `Set-Cookie` as name, value and sorted attributes.
fn set_cookies(reply: &Reply) -> Vec<(String, String, String)> {
    let all = reply.headers.get_all("set-cookie").iter();
    all.map(|line| {
        let mut parts = line.to_str().unwrap().split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let mut attributes: Vec<&str> = parts.collect();
        attributes.sort_unstable();
        (name.to_owned(), value.to_owned(), attributes.join("; "))
    })
    .collect()
}

/// The cookies that a first visit and a sign-in set.
async fn all_cookies(world: &World) -> Vec<(String, String, String)> {
    let client = world.web_client().await;
    world.add_user("ada").await;
    let browser = world.browser();
    let first = browser.get(&authorize_path(&client, &[])).await;
    let page = browser.follow(first.clone()).await;
    let form = page.form(&[("username", "ada"), ("password", crate::world::PASSWORD)]);
    let second = browser.post(&form.action, &form.fields).await;
    assert_eq!(second.status, 303, "{}", second.text);
    set_cookies(&first).into_iter().chain(set_cookies(&second)).collect()
}

on_both! {
    async fn a_sign_in_takes_over_no_session_that_was_there_s_l9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let planted = "planted0planted0planted0planted0planted0123";
        let browser = with_cookies(&world, &BTreeMap::from([("cnx_session".to_owned(), planted.to_owned())]));
        browser.authorize(&authorize_path(&client, &[]), "ada").await;
        assert_ne!(browser.cookie("cnx_session").unwrap(), planted);
        let attacker = with_cookies(&world, &BTreeMap::from([("cnx_session".to_owned(), planted.to_owned())]));
        let reply = attacker.get(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_error(&world, &reply, "login_required");
    }

    async fn a_new_sign_in_changes_the_cookie_and_the_old_one_is_dead_s_l9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        world.add_user("grace").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let silent = authorize_path(&client, &[("prompt", "none")]);
        for username in ["ada", "grace"] {
            let before = cookies(&browser);
            assert_code(&world, &with_cookies(&world, &before).get(&silent).await.callback());
            browser.authorize(&authorize_path(&client, &[("prompt", "login")]), username).await;
            assert_ne!(browser.cookie("cnx_session").as_ref(), before.get("cnx_session"), "{username}");
            let old = with_cookies(&world, &before).get(&silent).await;
            assert_error(&world, &old, "login_required");
            assert_code(&world, &browser.get(&silent).await.callback());
        }
    }

    async fn a_sign_out_leaves_a_dead_cookie_s_l9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let before = cookies(&browser);
        let page = browser.get("/sign-out").await;
        let form = page.form(&[]);
        assert_eq!(browser.post(&form.action, &form.fields).await.status, 200);
        assert_eq!(browser.cookie("cnx_session"), None, "and it is taken away");
        let old = with_cookies(&world, &before).get(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_error(&world, &old, "login_required");
    }

    async fn a_session_is_known_by_a_hash_alone_s_l10(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let session = browser.cookie("cnx_session").unwrap();
        let other = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await.cookie("cnx_session").unwrap();
        assert!(session.len() >= 22 && session != other, "128 bits and more: {session}");
        assert!(session.bytes().all(|b| b.is_ascii_alphanumeric()), "{session}");
        assert!(!world.stores(&session).await);
        // Close is not enough, and the id that tokens tell of is no cookie.
        for wrong in [session[..session.len() - 1].to_owned(), format!("{session}0"), session.to_lowercase(), "x".repeat(10_000)] {
            let guess = with_cookies(&world, &BTreeMap::from([("cnx_session".to_owned(), wrong)]));
            assert_error(&world, &guess.get(&authorize_path(&client, &[("prompt", "none")])).await, "login_required");
        }
        let sid = crate::world::claims(browser.tokens(&world, &client, &[], "ada").await.id())["sid"].as_str().unwrap().to_owned();
        let guess = with_cookies(&world, &BTreeMap::from([("cnx_session".to_owned(), sid)]));
        assert_error(&world, &guess.get(&authorize_path(&client, &[("prompt", "none")])).await, "login_required");
    }

    async fn cookies_are_for_this_host_and_no_script_s_l10(world: World) {
        let found = all_cookies(&world).await;
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["cnx_browser", "cnx_session", "cnx_device"]);
        for (name, _, attributes) in &found {
            assert!(attributes.starts_with("HttpOnly; ") && attributes.ends_with("Path=/; SameSite=Lax"), "{name}: {attributes}");
            assert!(!attributes.contains("Domain"), "{name}: {attributes}");
        }
        assert!(found[1].2.contains("Max-Age=1209600"), "as long as a session may last: {}", found[1].2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_https_cookies_are_host_bound_and_secure_s_l10() {
    let clock = Clock::manual(Timestamp::from_secs(START));
    let https = |s: &mut cnx::config::Settings| s.public_url = Issuer::parse("https://id.example").unwrap();
    let world = World::with(On::Sqlite, clock, https).await.unwrap();
    let found = all_cookies(&world).await;
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["__Host-cnx_browser", "__Host-cnx_session", "__Host-cnx_device"]);
    for (name, _, attributes) in found {
        assert!(attributes.ends_with("Path=/; SameSite=Lax; Secure"), "{name}: {attributes}");
        assert!(attributes.contains("HttpOnly") && !attributes.contains("Domain"), "{name}: {attributes}");
    }
}
