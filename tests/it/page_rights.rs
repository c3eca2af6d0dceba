//! Every page × nobody, member, admin, owner: who gets it, and what the others see (issue: "a member tries every admin address by hand").

use cnx::account::role::Role;

use crate::api_keys::minted_as;
use crate::page_forms::last_done;
use crate::page_table::{House, ROWS, Row, Thing, filled, pages, posting, row, token_of};
use crate::world::{Browser, Reply, World, on_both};

/// What a page says to somebody who may not have it, without what differs each time.
fn refusal(reply: &Reply) -> String {
    let id = reply.header("x-request-id").unwrap();
    assert!(reply.text.contains(id), "{}", reply.text);
    reply.text.replace(id, "")
}

async fn ask(world: &World, browser: &Browser, method: &str, path: &str, token: &str) -> Reply {
    if method == "GET" {
        return browser.get(path).await;
    }
    let request = posting(world, path, &[("csrf_token", token)]);
    browser.send(request.header("sec-fetch-site", "same-origin")).await
}

#[test]
fn every_page_has_its_row_and_every_row_its_page() {
    let pages = pages();
    for (path, _, least) in &pages {
        let row = row(path);
        assert_eq!(row.least, *least, "{path}: who may have it, by the table of tests and by that of routes");
        let has_id = path.contains('{');
        assert_eq!(row.thing != Thing::Nothing, has_id, "{path}: what its {{id}} names");
    }
    for row in ROWS {
        assert!(pages.iter().any(|(path, ..)| *path == row.path), "{} is no address", row.path);
        assert_eq!(
            ROWS.iter().filter(|other| other.path == row.path).count(),
            1,
            "{} stands twice",
            row.path
        );
    }
    assert!(
        pages.iter().all(|(path, _, least)| least.is_some()
            || !(path.starts_with("/console/") || path.starts_with("/account"))),
        "nobody without a session comes into the console or an account"
    );
}

/// The page at or above an address that a browser can ask for.
fn nearest_page<'a>(pattern: &str, path: &'a str) -> &'a str {
    let is_shown =
        |wanted: &str| pages().iter().any(|(path, methods, _)| *path == wanted && methods.contains(&"GET"));
    let (mut pattern, mut path) = (pattern, path);
    while !is_shown(pattern) {
        pattern = pattern.rsplit_once('/').unwrap().0;
        path = path.rsplit_once('/').unwrap().0;
    }
    path
}

/// One address as nobody, and as everybody with an account.
async fn try_everybody(house: &House, row: &Row, method: &str, refused: &mut Option<String>) {
    let Some(least) = row.least else { return };
    let stranger = house.world.browser();
    let path = house.address(row, Role::Owner).await;
    let reply = ask(&house.world, &stranger, method, &path, "").await;
    // A form that was posted has no page of its own where it cannot be shown: then the nearest one above it.
    let shown = nearest_page(row.path, &path);
    let next: String = url::form_urlencoded::byte_serialize(shown.as_bytes()).collect();
    assert_eq!(
        (reply.status, reply.location()),
        (303, Some(format!("/sign-in?next={next}"))),
        "nobody at {method} {path}: {}",
        reply.text
    );
    for role in Role::ALL {
        let path = house.address(row, role).await;
        let browser = house.browser(role).await;
        let token = token_of(&browser.get("/account").await);
        let reply = ask(&house.world, &browser, method, &path, &token).await;
        if role < least {
            assert_eq!(reply.status, 403, "{role:?} at {method} {path}: {}", reply.text);
            let told = refusal(&reply);
            let same = refused.get_or_insert_with(|| told.clone());
            assert_eq!(*same, told, "{role:?} at {method} {path}: the page tells what is there");
        } else {
            let fits = !matches!(reply.status, 401 | 403 | 405) && reply.status < 500;
            assert!(fits, "{role:?} at {method} {path}: {} {}", reply.status, reply.text);
            let leads_away = reply.location().is_some_and(|to| to.starts_with("/sign-in"));
            assert!(!leads_away, "{role:?} at {method} {path} is sent to sign in");
            let missing = reply.status == 404 && row.thing != Thing::Unmade;
            assert!(!missing, "{role:?} at {method} {path}: nothing is there");
        }
    }
}

on_both! {
    async fn everybody_gets_the_pages_of_their_role_and_no_word_of_the_others(world: World) {
        let house = House::new(world).await;
        let mut refused = None;
        for (path, methods, _) in pages() {
            for method in methods {
                try_everybody(&house, &row(path), method, &mut refused).await;
            }
        }
    }

    async fn a_person_who_lost_their_role_or_account_is_out_of_the_open_page(world: World) {
        let house = House::new(world).await;
        let browser = house.browser(Role::Admin).await;
        assert_eq!(browser.get("/account").await.status, 200);
        cnx::flow::people::set_disabled(house.world.app(), crate::world::by(), house.admin.id, true).await.unwrap();
        for (path, methods, least) in pages() {
            if least.is_some() && methods.contains(&"GET") {
                let path = house.address(&row(path), Role::Owner).await;
                assert_eq!(browser.get(&path).await.status, 303, "{path}");
            }
        }
    }

    async fn what_is_dangerous_wants_a_proof_of_the_last_five_minutes_s_l12(world: World) {
        let house = House::new(world).await;
        for (path, methods, least) in pages() {
            if least.is_none() || !methods.contains(&"POST") {
                continue;
            }
            let row = row(path);
            let path = house.address(&row, Role::Owner).await;
            let browser = house.browser(Role::Owner).await;
            let token = token_of(&browser.get("/account").await);
            house.world.advance(301);
            let before = last_done(&house.world).await;
            let reply = ask(&house.world, &browser, "POST", &path, &token).await;
            // A file cannot be kept on the page that asks.
            let asks = reply.text.contains("id=\"confirm-submit\"")
                || reply.location().is_some_and(|to| to.starts_with("/sign-in?next="));
            assert_eq!(asks, row.fresh, "POST {path}: {} {:?} {}", reply.status, reply.location(), reply.text);
            if row.fresh {
                assert_eq!(last_done(&house.world).await, before, "POST {path}: it was done");
            }
        }
    }

    async fn the_console_keeps_no_page_and_never_shows_a_live_key_s_k12(world: World) {
        let house = House::new(world).await;
        let (_, key) = minted_as(house.world.app(), &house.by(Role::Owner), |_| {}).await;
        let secret = &key[19..];
        let browser = house.browser(Role::Owner).await;
        for (path, methods, least) in pages() {
            if least.is_some() && methods.contains(&"GET") {
                let row = row(path);
                let path = if row.thing == Thing::Key { filled(row.path, &key[9..19]) } else { house.address(&row, Role::Owner).await };
                let reply = browser.get(&path).await;
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
                assert!(!reply.text.contains(secret), "{path} shows a key that works: {}", reply.text);
            }
        }
    }
}
