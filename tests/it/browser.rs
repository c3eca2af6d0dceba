//! The console and people's accounts in headless Chromium, as a person uses them: `tests/clients/*.mjs` drive it.

use std::path::Path;

use cnx::account::role::Role;
use cnx::base::time::Clock;
use cnx::flow::service_accounts;
use cnx::flow::sign_in::link;
use serde_json::{Value, json};

use crate::api_keys::{minted_as, token_with, verify};
use crate::gateway_proxies::site::{Behind, Kind, Site, example, scopes};
use crate::page_table::{House, Thing, filled, pages, row};
use crate::third_party::{present, run, screenshots};
use crate::world::{On, PASSWORD, World, by, free_port};

/// A world whose time goes on by itself, as a browser's does.
async fn world(on: On) -> Option<World> {
    World::with(on, Clock::System, |settings| {
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await
}

/// Node and Chromium, with what scripts are told about them.
fn driver() -> Option<(String, Vec<(&'static str, String)>)> {
    let (node, chromium) = (present("TEST_NODE")?, present("TEST_CHROMIUM")?);
    let mut told = vec![("CNX_TEST_CHROMIUM", chromium), ("CNX_TEST_PASSWORD", PASSWORD.to_owned())];
    told.extend(screenshots());
    Some((node, told))
}

async fn journey(on: On) {
    let (Some((node, mut told)), Some(caddy), Some(api)) = (driver(), present("TEST_CADDY"), example())
    else {
        return;
    };
    let Some(world) = world(on).await else { return };
    let link = link::first_administrator(world.app()).await.unwrap().unwrap();
    let site = Site::around(world, Kind::Caddy, &caddy, &api, Behind::Api).await;
    let host = site.world.base.rsplit_once(':').unwrap().0;
    told.extend([
        ("CNX_TEST_URL", site.world.base.clone()),
        ("CNX_TEST_SET_UP", format!("/set-up?token={}", link.reveal())),
        ("CNX_TEST_API_URL", site.url.clone()),
        ("CNX_TEST_APP_URL", format!("{host}:{}", free_port())),
    ]);
    run(node, "console.mjs", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_runs_keys_and_apps_in_the_console_on_sqlite() {
    journey(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_runs_keys_and_apps_in_the_console_on_postgres() {
    journey(On::Postgres).await;
}

async fn factors(on: On) {
    let (Some((node, mut told)), Some(oathtool)) = (driver(), present("TEST_OATHTOOL")) else { return };
    let Some(world) = world(on).await else { return };
    world.add_person("olga", Role::Owner).await;
    told.extend([
        ("CNX_TEST_URL", world.base.clone()),
        ("CNX_TEST_USER", "olga".to_owned()),
        ("CNX_TEST_OATHTOOL", oathtool),
    ]);
    run(node, "factors.mjs", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passkeys_codes_and_recovery_codes_let_a_person_in_on_sqlite() {
    factors(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passkeys_codes_and_recovery_codes_let_a_person_in_on_postgres() {
    factors(On::Postgres).await;
}

/// Apps, machines, people, keys and some of their use, as a server has them after a while.
/// Gives the id of a key with a past.
async fn furnish(house: &House) -> String {
    let world = &house.world;
    for (name, uri) in [
        ("Field Notes", "https://notes.example.com/callback"),
        ("Status board", "https://status.example.com/cb"),
    ] {
        world.add_client(json!({"client_name": name, "redirect_uris": [uri], "client_uri": uri})).await;
    }
    for name in ["deploy-pipeline", "nightly-backup"] {
        let policy = serde_json::from_value(json!({"scope": "deploy:read deploy:write"})).unwrap();
        service_accounts::add(world.app(), by(), name, policy).await.unwrap();
    }
    for name in ["grace", "linus", "margaret"] {
        world.add_user(name).await;
    }
    let token = token_with(world, "keys:verify").await;
    let owner = house.by(Role::Owner);
    let mut last = String::new();
    for (name, environment, words, days) in [
        ("web frontend", "prod", "instances:read", None),
        ("nightly deploy", "ci", "instances:*", Some(90)),
        ("load balancer", "prod", "instances:read instances:write volumes:read", Some(365)),
        ("Ada's laptop", "dev", "instances:read", Some(30)),
        ("metrics exporter", "prod", "metrics:read", None),
    ] {
        let (id, key) = minted_as(world.app(), &owner, |new| {
            new.name = name.to_owned();
            new.environment = environment.parse().unwrap();
            new.scopes = scopes(words);
            new.lifetime = days.map(|days: i64| days * 86_400);
        })
        .await;
        for n in 0..20 {
            let scope = if n % 7 == 6 { "volumes:delete" } else { "instances:read" };
            verify(
                world,
                &token,
                json!({"key": key, "scopes": [scope], "ip": "203.0.113.9", "method": "GET"}),
            )
            .await;
        }
        last = id;
    }
    last
}

/// Axe-core, both themes, 360 and 1280 px, on what a server with some data shows to its owner.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_good_for_everybody() {
    let Some((node, mut told)) = driver() else { return };
    let house = House::new(world(On::Sqlite).await.unwrap()).await;
    let key = furnish(&house).await;
    for role in Role::ALL {
        drop(house.browser(role).await);
    }
    let mut all: Vec<Value> = Vec::new();
    for (path, methods, _) in pages() {
        // These need a request, a link or `--dev`, and their samples are looked at below; an export is no page.
        let waits = ["/set-up", "/set-password", "/consent", "/select-account", "/verify-email", "/dev/mail"]
            .contains(&path)
            || path.ends_with("/export");
        if methods.contains(&"GET") && !waits && row(path).thing != Thing::Unmade {
            let address = match row(path).thing {
                Thing::Key => filled(path, &key),
                _ => house.address(&row(path), Role::Owner).await,
            };
            let name = path.trim_start_matches('/').replace(['/', '{', '}'], "_");
            all.push(json!([if name.is_empty() { "root" } else { &name }, house.world.url(&address)]));
        }
    }
    told.extend([
        ("CNX_TEST_URL", house.world.base.clone()),
        ("CNX_TEST_USER", "olga".to_owned()),
        ("CNX_TEST_PAGES", Value::from(all).to_string()),
    ]);
    run(node, "pages.mjs", told).await;
}

/// The same on a sample of every page in each state that looks different, in both languages and with hostile values.
#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_every_page_is_good_for_everybody() {
    let (Some((node, mut told)), Some(folder)) = (driver(), present("TEST_PAGES")) else { return };
    let mut all: Vec<(String, String)> = std::fs::read_dir(Path::new(&folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "html"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, format!("file://{}", path.display()))
        })
        .collect();
    all.sort();
    told.push(("CNX_TEST_PAGES", json!(all).to_string()));
    run(node, "pages.mjs", told).await;
}
