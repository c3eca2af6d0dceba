//! One-time links: the first administrator's set-up, and setting a password (S-L14, S-L16).

use cnx::base::secret::Secret;
use cnx::flow::people;
use cnx::flow::sign_in::link;
use cnx::store::users;

use crate::world::{PASSWORD, Reply, World, authorize_path, by, on_both};

const CHOSEN: &str = "otter plank vivid drum";

async fn set_up_link(world: &World) -> Option<String> {
    let token = link::first_administrator(world.app()).await.unwrap()?;
    Some(format!("/set-up?token={}", token.reveal()))
}

fn typed(email: &str) -> [(&'static str, String); 4] {
    [
        ("email", email.to_owned()),
        ("username", "root-admin".to_owned()),
        ("name", "R".to_owned()),
        ("password", CHOSEN.to_owned()),
    ]
}

/// Opens the link and sends its form; the answer to the form itself.
async fn fill(world: &World, path: &str, fields: &[(&str, String)]) -> Reply {
    let browser = world.browser();
    let page = browser.open(path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let form = page.form(&fields);
    browser.post(&form.action, &form.fields).await
}

async fn is_stale(world: &World, path: &str) {
    let page = world.get(path).await;
    assert_eq!((page.status, page.location()), (400, None), "{path}: {}", page.text);
    assert!(page.text.contains("link_spent"), "{}", page.text);
    // Who has no administrator yet is not sent to one.
    let advice = if path.starts_with("/set-up") { "restarting the server" } else { "Ask your administrator" };
    assert!(page.text.contains(advice), "{path}: {}", page.text);
}

on_both! {
    async fn a_new_server_has_no_accounts_and_one_link_makes_the_first_administrator_s_l16(world: World) {
        let people = world.app().store.read(|conn| users::list(conn, None, 10)).await.unwrap();
        assert!(people.is_empty(), "no default accounts");
        for (name, password) in [("admin", "admin"), ("root", "root"), ("admin", "password"), ("admin", "")] {
            let browser = world.browser();
            let page = browser.open("/sign-in").await;
            let reply = browser.submit(&page, &[("username", name), ("password", password)]).await;
            assert!(reply.text.contains("sign-in-submit") && browser.cookie("cnx_session").is_none(), "{name}");
        }
        let first = set_up_link(&world).await.unwrap();
        let path = set_up_link(&world).await.unwrap();
        is_stale(&world, &first).await;
        // Looking at a link (a mail scanner, a preview) does not use it.
        for _ in 0..3 {
            let page = world.get(&path).await;
            assert_eq!(page.status, 200);
            assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(page.header("cache-control"), Some("no-store"));
        }
        // A field that says no does not use it either.
        let mut short = typed("root@example.com");
        short[3].1 = "short".to_owned();
        let reply = fill(&world, &path, &short).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        let mut odd = typed("not an address");
        odd[1].1 = "\u{430}dmin".to_owned();
        assert_eq!(fill(&world, &path, &odd).await.status, 400);

        let reply = fill(&world, &path, &typed("root@example.com")).await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some("/sign-in?notice=password-set")));
        let made = people::find(world.app(), "root@example.com").await.unwrap();
        assert!(made.role == cnx::account::role::Role::Owner && made.username == "root-admin" && !made.email_verified);
        is_stale(&world, &path).await;
        assert!(set_up_link(&world).await.is_none(), "there is an administrator: no further link");
        let browser = world.browser();
        let page = browser.open("/sign-in").await;
        let page = browser.submit(&page, &[("username", "root-admin"), ("password", CHOSEN)]).await;
        assert_eq!(page.status, 200);
        assert!(browser.cookie("cnx_session").is_some());
    }

    async fn a_set_up_link_dies_after_an_hour_and_with_the_first_administrator_s_l16(world: World) {
        let path = set_up_link(&world).await.unwrap();
        world.advance(3599);
        assert_eq!(world.get(&path).await.status, 200);
        let browser = world.browser();
        let page = browser.open(&path).await;
        world.advance(1);
        is_stale(&world, &path).await;
        let fields = typed("late@example.com");
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let form = page.form(&fields);
        assert_eq!(browser.post(&form.action, &form.fields).await.status, 400, "the form of a link that died meanwhile");
        let path = set_up_link(&world).await.unwrap();
        let person = people::NewPerson {
            email: Some("cli@example.com".to_owned()), username: None, name: None, email_verified: false, role: cnx::account::role::Role::Owner,
            claims: serde_json::Map::new(), password: Some(Secret::new(CHOSEN.to_owned())),
        };
        people::add(world.app(), by(), person).await.unwrap();
        is_stale(&world, &path).await;
        assert!(people::find(world.app(), "second@example.com").await.is_err());
    }

    async fn the_last_administrator_stays_and_no_old_link_makes_another_s_l16(world: World) {
        let path = set_up_link(&world).await.unwrap();
        let browser = world.browser();
        let page = browser.open(&path).await;
        let fields = typed("late@example.com");
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let form = page.form(&fields);
        let administrator = |name: &str| people::NewPerson {
            email: Some(format!("{name}@example.com")), username: None, name: None, email_verified: false, role: cnx::account::role::Role::Owner,
            claims: serde_json::Map::new(), password: Some(Secret::new(CHOSEN.to_owned())),
        };
        let first = people::add(world.app(), by(), administrator("first")).await.unwrap();
        let refused = people::set_disabled(world.app(), by(), first.id, true).await.unwrap_err().to_string();
        assert!(refused.starts_with("nobody else is an owner"), "{refused}");
        let second = people::add(world.app(), by(), administrator("second")).await.unwrap();
        // Each disables the other at the same moment: one stays.
        let (one, other) = tokio::join!(
            people::set_disabled(world.app(), by(), first.id, true),
            people::set_disabled(world.app(), by(), second.id, true)
        );
        assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|done| **done).count(), 1);
        assert_eq!(browser.post(&form.action, &form.fields).await.status, 400);
        is_stale(&world, &path).await;
        assert!(set_up_link(&world).await.is_none());
    }

    async fn a_set_up_link_makes_one_administrator_whoever_is_first_s_l16(world: World) {
        let path = set_up_link(&world).await.unwrap();
        let mut posts = Vec::new();
        for n in 0..8 {
            let browser = world.browser();
            let page = browser.open(&path).await;
            let (email, name) = (format!("a{n}@example.com"), format!("admin-{n}"));
            let form = page.form(&[("email", &email), ("username", &name), ("password", CHOSEN)]);
            posts.push(async move { browser.post(&form.action, &form.fields).await.status });
        }
        let mut statuses = futures_util::future::join_all(posts).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 400, 400, 400, 400, 400, 400, 400]);
        let people = world.app().store.read(|conn| users::list(conn, None, 10)).await.unwrap();
        assert_eq!(people.len(), 1);
    }

    async fn a_password_link_works_once_for_an_hour_and_for_its_person_s_l14(world: World) {
        let ada = world.add_user("ada").await;
        let bob = world.add_user("bob").await;
        let new = async |user| format!("/set-password?token={}", link::for_password(world.app(), by(), user).await.unwrap().reveal());
        let token = link::for_password(world.app(), by(), ada.id).await.unwrap();
        // 256 random bits in base62: 43 characters.
        assert!(token.reveal().len() >= 42 && token.reveal().bytes().all(|b| b.is_ascii_alphanumeric()), "{}", token.reveal());
        let path = format!("/set-password?token={}", token.reveal());
        let page = world.get(&path).await;
        assert_eq!((page.status, page.header("referrer-policy"), page.header("cache-control")), (200, Some("no-referrer"), Some("no-store")));
        assert!(page.text.contains("ada") && !page.text.contains("bob@"));

        let later = new(ada.id).await;
        is_stale(&world, &path).await;
        let reply = fill(&world, &later, &[("password", CHOSEN.to_owned())]).await;
        assert_eq!(reply.location().as_deref(), Some("/sign-in?notice=password-set"));
        is_stale(&world, &later).await;

        let path = new(ada.id).await;
        world.advance(3600);
        is_stale(&world, &path).await;
        let path = new(ada.id).await;
        people::set_password(world.app(), by(), &ada, Secret::new("another otter plank drum".to_owned())).await.unwrap();
        is_stale(&world, &path).await;
        let path = new(bob.id).await;
        people::set_disabled(world.app(), by(), bob.id, true).await.unwrap();
        is_stale(&world, &path).await;
        for wrong in ["", "x", &"A".repeat(43), "' OR 1=1 --", "%25"] {
            is_stale(&world, &format!("/set-password?token={wrong}")).await;
        }
        // A link of one kind opens no other door.
        let set_up = set_up_link(&world).await.unwrap();
        is_stale(&world, &set_up.replace("/set-up", "/set-password")).await;
        let path = new(ada.id).await;
        is_stale(&world, &path.replace("/set-password", "/set-up")).await;
    }

    async fn a_password_link_has_one_winner_s_l14(world: World) {
        let ada = world.add_user("ada").await;
        let token = link::for_password(world.app(), by(), ada.id).await.unwrap();
        let path = format!("/set-password?token={}", token.reveal());
        let mut posts = Vec::new();
        for n in 0..8 {
            let browser = world.browser();
            let page = browser.open(&path).await;
            let form = page.form(&[("password", &format!("{CHOSEN} number {n}"))]);
            posts.push(async move { (n, browser.post(&form.action, &form.fields).await.status) });
        }
        let statuses = futures_util::future::join_all(posts).await;
        let winners: Vec<i32> = statuses.iter().filter(|(_, s)| *s == 303).map(|(n, _)| *n).collect();
        assert_eq!(winners.len(), 1, "{statuses:?}");
        let browser = world.browser();
        let page = browser.open("/sign-in").await;
        browser.submit(&page, &[("username", "ada"), ("password", &format!("{CHOSEN} number {}", winners[0]))]).await;
        assert!(browser.cookie("cnx_session").is_some(), "and its password is the one that counts");
    }

    async fn a_new_password_by_link_ends_every_session_and_token_s_l14(world: World) {
        let client = world.web_client().await;
        let ada = world.add_user("ada").await;
        let before = world.browser();
        let tokens = before.tokens(&world, &client, &[], "ada").await;
        let token = link::for_password(world.app(), by(), ada.id).await.unwrap();
        let reply = fill(&world, &format!("/set-password?token={}", token.reveal()), &[("password", CHOSEN.to_owned())]).await;
        assert_eq!(reply.status, 303);
        assert_eq!(world.user_info(&tokens.access).await.status, 401);
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
        let reply = before.open(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_eq!(reply.callback().error(), "login_required");
        let page = world.browser();
        let reply = page.submit(&page.open("/sign-in").await, &[("username", "ada"), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, 422, "the old password is no more");
    }

    async fn a_form_behind_a_link_is_bound_to_its_browser_s_l14(world: World) {
        let ada = world.add_user("ada").await;
        let token = link::for_password(world.app(), by(), ada.id).await.unwrap();
        let page = world.browser().open(&format!("/set-password?token={}", token.reveal())).await;
        let form = page.form(&[("password", CHOSEN)]);
        let reply = world.browser().post(&form.action, &form.fields).await;
        assert_eq!(reply.status, 403, "{}", reply.text);
        let request = world.http.post(world.url(&form.action)).header("sec-fetch-site", "cross-site").form(&form.fields);
        assert_eq!(Reply::of(request.send().await.unwrap()).await.status, 403);
    }
}

/// What lies in the database is no link: its keyed hash does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_nowhere_in_the_database_s_l14() {
    let world = World::new(crate::world::On::Sqlite).await.unwrap();
    let ada = world.add_user("ada").await;
    let token = link::for_password(world.app(), by(), ada.id).await.unwrap();
    let set_up = link::first_administrator(world.app()).await.unwrap().unwrap();
    world.running.as_ref().unwrap().app().store.close();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(&world.settings.data_dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        looked_at += bytes.len();
        for secret in [token.reveal(), set_up.reveal(), PASSWORD] {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} lies in the data folder");
        }
    }
    assert!(looked_at > 10_000, "{looked_at}");
}
