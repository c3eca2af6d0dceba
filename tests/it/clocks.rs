//! Clocks that are turned while the server runs (F10), and clocks of two nodes that differ (F11).

use std::sync::Arc;
use std::time::{Duration, Instant};

use cnx::app::{App, Role};
use cnx::base::algorithm::Algorithm;
use cnx::base::entropy::Entropy;
use cnx::base::time::{Clock, Timestamp};
use cnx::{Running, serve};
use serde_json::json;

use crate::backup::settled;
use crate::command_line::Person;
use crate::process::{Node, Place};
use crate::world::{
    Browser, CALLBACK, JWT_BEARER, On, Reply, START, TestClient, Tokens, VERIFIER, World, authorize_path,
    environment, free_port, http,
};

/// A place whose server goes by a clock that the test turns; `None` where `tests/run` found no libfaketime.
fn place_with_clock() -> Option<Place> {
    let library = environment("TEST_FAKETIME")?;
    let mut place = Place::new();
    let file = place.dir().join("clock").display().to_string();
    place.set("LD_PRELOAD", &library).set("FAKETIME_TIMESTAMP_FILE", &file).set("FAKETIME_NO_CACHE", "1");
    // Only what a person can turn: a watch goes on as it did.
    place.set("FAKETIME_DONT_FAKE_MONOTONIC", "1").set("DONT_FAKE_MONOTONIC", "1");
    turn(&place, "+0");
    Some(place)
}

/// Sets the clock this far from the right time.
fn turn(place: &Place, by: &str) {
    // In one step: the server may read it at any moment.
    let new = place.dir().join("clock.new");
    std::fs::write(&new, by).unwrap();
    std::fs::rename(new, place.dir().join("clock")).unwrap();
}

async fn is_told(node: &Node, words: &str, times: usize) {
    let began = Instant::now();
    while node.err().matches(words).count() < times {
        assert!(began.elapsed() < Duration::from_secs(20), "{words}: {}", node.err());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let line = node.err().lines().rfind(|line| line.contains(words)).unwrap_or_default().to_owned();
    assert!(line.contains(" WARN "), "{line}");
}

async fn code_of(browser: &Browser, client: &TestClient) -> String {
    browser.authorize(&authorize_path(client, &[]), "ada").await.code()
}

fn redeeming(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

fn refreshing(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// Whether the browser is signed in.
async fn is_signed_in(browser: &Browser, client: &TestClient) -> bool {
    match browser.open(&authorize_path(client, &[("prompt", "none")])).await.callback().error() {
        "" => true,
        "login_required" => false,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_turned_back_lets_nothing_live_longer_and_is_told_f10() {
    let Some(place) = place_with_clock() else { return };
    let client = settled(&place);
    let node = place.serve(&[]);
    let person = Person::at(&node);
    let browser = Browser::new(&node.base, &person.http);
    let refresh = async |token: &str| person.post("/oauth2/token", &client, &refreshing(token)).await;

    let first = person.tokens(&client, "ada").await;
    let second = Tokens::of(&refresh(first.refresh()).await);
    let other = person.tokens(&client, "ada").await;
    let code = code_of(&browser, &client).await;
    assert_eq!(person.user_info(&second.access).await, 200);
    // Whom a password was asked of just now is not asked again.
    let lately = authorize_path(&client, &[("prompt", "none"), ("max_age", "600")]);
    assert_eq!(browser.open(&lately).await.callback().error(), "");

    turn(&place, "-3600");
    // An hour from now they would all be as good as now: what was to live for a minute would live for an hour.
    assert_eq!(person.user_info(&second.access).await, 401, "an access token from the future");
    let reply = person.post("/oauth2/token", &client, &redeeming(&code)).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "a code from the future");
    let reply = refresh(first.refresh()).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "its minute is not an hour");
    assert_eq!(browser.open(&lately).await.callback().error(), "login_required");
    is_told(&node, "the clock was turned back", 1).await;

    // Nobody is thrown out: generations have numbers, so their order stays, and what is made now is of now.
    let third = Tokens::of(&refresh(second.refresh()).await);
    let again = Tokens::of(&refresh(second.refresh()).await);
    assert_eq!(third.refresh(), again.refresh(), "a lost answer, asked for again");
    assert_eq!(person.user_info(&third.access).await, 200);
    let fourth = Tokens::of(&refresh(third.refresh()).await);
    let anew = Browser::new(&node.base, &person.http);
    let code = code_of(&anew, &client).await;
    assert_eq!(person.post("/oauth2/token", &client, &redeeming(&code)).await.status, 200);
    // A spent one is a replay, whatever the clock says.
    assert_eq!(refresh(second.refresh()).await.status, 400);
    assert_eq!(refresh(fourth.refresh()).await.status, 400, "and ends the family");

    turn(&place, "+0");
    is_told(&node, "the clock was turned forward", 1).await;
    assert_eq!(person.user_info(&other.access).await, 200, "its time is not over");
    assert_eq!(refresh(other.refresh()).await.status, 200);
    assert!(is_signed_in(&browser, &client).await);
    assert_eq!(place.run(&["audit", "verify"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_a_day_ahead_ends_what_is_over_and_what_was_spent_stays_spent_f10() {
    let Some(place) = place_with_clock() else { return };
    let client = settled(&place);
    let node = place.serve(&[]);
    // What is over is deleted a minute after the start; that is to happen while the clock is wrong.
    tokio::time::sleep(Duration::from_secs(48)).await;
    let person = Person::at(&node);
    let browser = Browser::new(&node.base, &person.http);
    let tokens = person.tokens(&client, "ada").await;
    let code = code_of(&browser, &client).await;
    let of_code = Tokens::of(&person.post("/oauth2/token", &client, &redeeming(&code)).await);
    let ended = person.tokens(&client, "ada").await;
    let revoked = person.post("/oauth2/revoke", &client, &[("token", ended.refresh())]).await;
    assert_eq!(revoked.status, 200);

    turn(&place, "+86400");
    assert_eq!(person.user_info(&tokens.access).await, 401);
    assert!(!is_signed_in(&browser, &client).await, "twelve idle hours are over");
    is_told(&node, "the clock was turned forward", 1).await;
    let anew = Browser::new(&node.base, &http());
    code_of(&anew, &client).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    // The doctor goes by the same clock, and sees the rows of the future once it is turned back.
    turn(&place, "-3600");
    let doctor = place.run(&["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("FAIL  clock"), "{doctor:?}");

    turn(&place, "+0");
    is_told(&node, "the clock was turned back", 1).await;
    assert_eq!(person.user_info(&tokens.access).await, 200, "its time is not over by the right clock");
    assert!(is_signed_in(&browser, &client).await);
    let reply = person.post("/oauth2/token", &client, &refreshing(tokens.refresh())).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = person.post("/oauth2/token", &client, &redeeming(&code)).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "it was spent before");
    let reply = person.post("/oauth2/token", &client, &refreshing(of_code.refresh())).await;
    assert_eq!(reply.status, 400, "and its replay ended what it began");
    let reply = person.post("/oauth2/token", &client, &refreshing(ended.refresh())).await;
    assert_eq!(reply.status, 400, "revoked stays revoked");
}

/// A second node whose clock is ahead of the world's.
async fn node_ahead(world: &World, seconds: i64) -> (Running, String, Clock) {
    let mut settings = world.settings.clone();
    settings.listen.set_port(free_port());
    let base = format!("http://localhost:{}", settings.listen.port());
    let clock = Clock::manual(world.clock.now().plus(seconds));
    let app = App::open(settings, clock.clone(), Entropy::system(), Role::Server).await.unwrap();
    (serve(app, None).await.unwrap(), base, clock)
}

async fn at(base: &str, world: &World, client: Option<&TestClient>, form: &[(&str, &str)]) -> Reply {
    let mut request = world.http.post(format!("{base}/oauth2/token")).form(form);
    if let Some(client) = client {
        request = request.basic_auth(&client.id, client.secret.as_deref());
    }
    Reply::of(request.send().await.unwrap()).await
}

/// Deletes what is over by the clock of this node, as its job does once a minute.
async fn swept(app: &Arc<App>) {
    let now = app.now();
    while app.store.write(move |conn| cnx::store::sweep::batch(conn, now)).await.unwrap() > 0 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_whose_clocks_are_half_a_minute_apart_work_as_one_and_take_nothing_twice_f11() {
    let clock = Clock::manual(Timestamp::from_secs(START));
    // PostgreSQL only: an SQLite file has one node.
    let Some(world) = World::with(On::Postgres, clock, |_| {}).await else { return };
    let client = world.web_client().await;
    let machine = world.machine("robot", Algorithm::Es256, json!({})).await;
    world.add_user("ada").await;
    let (ahead, ahead_base, ahead_clock) = node_ahead(&world, 30).await;
    let nodes = [(&world.base, world.app()), (&ahead_base, ahead.app())];
    for (n, (here, _)) in nodes.iter().enumerate() {
        let (there, _) = nodes[1 - n];
        // A code of one node is good at the other, once.
        let browser = Browser::new(here, &world.http);
        let code = code_of(&browser, &client).await;
        let reply = at(there, &world, Some(&client), &redeeming(&code)).await;
        assert_eq!(reply.status, 200, "{n}: {}", reply.text);
        let tokens = Tokens::of(&reply);
        // So is a refresh token, and what a lost answer held; an access token is taken by both.
        let next = Tokens::of(&at(here, &world, Some(&client), &refreshing(tokens.refresh())).await);
        let again = Tokens::of(&at(there, &world, Some(&client), &refreshing(tokens.refresh())).await);
        assert_eq!(next.refresh(), again.refresh(), "{n}");
        for base in [here, &there] {
            let info = world.http.get(format!("{base}/oauth2/userinfo")).bearer_auth(&next.access);
            assert_eq!(info.send().await.unwrap().status(), 200, "{n}: {base}");
        }
        assert_eq!(at(there, &world, Some(&client), &refreshing(next.refresh())).await.status, 200);
        assert_eq!(at(here, &world, Some(&client), &redeeming(&code)).await.error(), "invalid_grant", "{n}");
    }

    // An assertion is good at either, once, by whichever clock it was written; and that it was taken is remembered until no
    // clock takes it any more.
    for (n, clock) in [&world.clock, &ahead_clock].into_iter().enumerate() {
        let written_at = clock.now().as_secs();
        let mut claims = world.assertion_claims(&machine.id);
        claims["iat"] = written_at.into();
        claims["exp"] = (written_at + 60).into();
        let assertion = machine.signer.assertion(&claims);
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
        let (first, second) = (nodes[n].0, nodes[1 - n].0);
        let reply = at(first, &world, None, &form).await;
        assert_eq!(reply.status, 200, "{n}: {}", reply.text);
        for _ in 0..16 {
            for base in [first, second] {
                let reply = at(base, &world, None, &form).await;
                assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "{n}: {base}");
            }
            world.advance(10);
            ahead_clock.advance(10);
            swept(ahead.app()).await;
        }
    }
    ahead.stop().await;
}
