//! Passwords and names: what may be chosen, how it is kept, and that nobody can tell who has an account (S-L1 to S-L5).

use std::time::{Duration, Instant};

use cnx::base::id::UserId;
use cnx::base::secret::Secret;
use cnx::base::time::{Clock, Timestamp};
use cnx::flow::people::{self, NewPerson};
use cnx::flow::sign_in::link;
use cnx::store::users;

use crate::world::{On, PASSWORD, Reply, START, World, by, on_both};

async fn new_link(world: &World, user: UserId) -> String {
    format!("/set-password?token={}", link::for_password(world.app(), by(), user).await.unwrap().reveal())
}

/// Opens a new link of this person and types a password.
async fn choose(world: &World, user: UserId, password: &str) -> Reply {
    let browser = world.browser();
    let page = browser.open(&new_link(world, user).await).await;
    let form = page.form(&[("password", password)]);
    browser.post(&form.action, &form.fields).await
}

/// Types a name and a password on the sign-in page; the answer to the form itself.
async fn try_sign_in(world: &World, username: &str, password: &str) -> Reply {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    let form = page.form(&[("username", username), ("password", password)]);
    browser.post(&form.action, &form.fields).await
}

async fn hash_of(world: &World, user: UserId) -> String {
    let user = world.app().store.read(move |conn| users::find(conn, user)).await.unwrap().unwrap();
    user.password.unwrap().as_str().to_owned()
}

fn person(username: &str) -> NewPerson {
    NewPerson {
        email: None,
        username: Some(username.to_owned()),
        name: None,
        email_verified: false,
        role: cnx::account::role::Role::Member,
        claims: serde_json::Map::new(),
        password: None,
    }
}

on_both! {
    async fn a_password_is_long_and_unguessable_and_nothing_else_is_asked_s_l1(world: World) {
        let user = world.add_user("ada.lovelace").await;
        for (bad, reason) in [
            ("x7#kQ!zP0vB2mN", "at least 15 characters are needed"),
            ("aaaaaaaaaaaaaaaaaaaa", "easy to guess"),
            ("passwordpassword", "easy to guess"),
            ("qwertyuiopasdfghjkl", "easy to guess"),
            ("123456789012345678", "easy to guess"),
            ("iloveyouiloveyou", "easy to guess"),
            ("ada.lovelace1815!", "easy to guess"),
            ("CloudNexus-Identity-2026", "easy to guess"),
            ("ada.lovelace@example.com", "easy to guess"),
        ] {
            let reply = choose(&world, user.id, bad).await;
            assert_eq!(reply.status, 400, "{bad}");
            assert!(reply.text.contains(reason), "{bad}: {}", reply.text);
            assert!(!reply.text.contains(&format!("value=\"{bad}\"")), "a password is not sent back: {bad}");
            assert_eq!(try_sign_in(&world, "ada.lovelace", PASSWORD).await.status, 303, "the old one still works after {bad}");
        }
        let long = "correct horse battery staple ".repeat(40);
        for good in [
            "otter plank vivid drum",
            "seventeenlonelykettles",
            "猫は夜の屋根で静かに月を見ている",
            "x7#kQ!zP0vB2mN9",
            " spaces are characters too ",
            &"otter plank vivid drum ".repeat(4)[..64],
            &long[..1024],
        ] {
            let reply = choose(&world, user.id, good).await;
            assert_eq!(reply.location().as_deref(), Some("/sign-in?notice=password-set"), "{good}: {}", reply.text);
            assert_eq!(try_sign_in(&world, "ada.lovelace", good).await.status, 303, "{good}");
            assert_eq!(try_sign_in(&world, "ada.lovelace", &good[..good.len() - good.chars().last().unwrap().len_utf8()]).await.status, 422);
        }
        let reply = choose(&world, user.id, &long[..1025]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("at most 1024 bytes are allowed"), "{}", reply.text);
    }

    async fn the_same_keys_are_the_same_password_in_any_unicode_form_s_l1(world: World) {
        let user = world.add_user("ada").await;
        assert_eq!(choose(&world, user.id, "caf\u{e9} au lait \u{e0} \u{212b}rhus").await.status, 303);
        assert_eq!(try_sign_in(&world, "ada", "cafe\u{301} au lait a\u{300} A\u{30a}rhus").await.status, 303);
        for other in ["cafe au lait a Arhus", "CAF\u{c9} au lait \u{e0} \u{c5}rhus", "caf\u{e9} au lait \u{e0} \u{c5}rhus "] {
            assert_eq!(try_sign_in(&world, "ada", other).await.status, 422, "{other}");
        }
    }

    async fn a_password_is_kept_as_argon2id_and_made_anew_when_the_cost_changes_s_l2(world: World) {
        let mut world = world;
        let user = world.add_user("ada").await;
        let before = hash_of(&world, user.id).await;
        assert!(before.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{before}");
        assert_eq!(try_sign_in(&world, "ada", PASSWORD).await.status, 303);
        assert_eq!(hash_of(&world, user.id).await, before, "the same cost, the same hash");
        world.settings.passwords.argon2_passes = 3;
        world.restart().await;
        assert_eq!(try_sign_in(&world, "ada", "a wrong password, certainly").await.status, 422);
        assert_eq!(hash_of(&world, user.id).await, before, "only who knows the password changes the hash");
        assert_eq!(try_sign_in(&world, "ada", PASSWORD).await.status, 303);
        let after = hash_of(&world, user.id).await;
        assert!(after.starts_with("$argon2id$v=19$m=64,t=3,p=1$"), "{after}");
        assert_eq!(try_sign_in(&world, "ada", PASSWORD).await.status, 303);
    }

    async fn a_password_and_its_twin_with_zeros_behind_it_are_two_s_l2(world: World) {
        world.add_user("ada").await;
        // HMAC pads keys with zeros; Argon2 does not. A NUL cannot even be sent, so the nearest is tried as well.
        for twin in [format!("{PASSWORD}\u{1}"), format!("{PASSWORD} "), format!("{PASSWORD}\u{200b}")] {
            assert_eq!(try_sign_in(&world, "ada", &twin).await.status, 422, "{twin:?}");
        }
        let browser = world.browser();
        let form = browser.open("/sign-in").await.form(&[("username", "ada"), ("password", &format!("{PASSWORD}\0"))]);
        assert_eq!(browser.post(&form.action, &form.fields).await.status, 400);
        let user = people::find(world.app(), "ada").await.unwrap();
        let with_zero = Secret::new(format!("{PASSWORD}\0"));
        assert_eq!(world.app().hashing.verify(with_zero, user.password).await.unwrap(), cnx::app::Match::Wrong);
    }

    async fn a_megabyte_is_refused_before_any_hashing_s_l3(world: World) {
        let user = world.add_user("ada").await;
        let megabyte = "x".repeat(1 << 20);
        let link = new_link(&world, user.id).await;
        for path in ["/sign-in", link.as_str()] {
            let browser = world.browser();
            let page = browser.open(path).await;
            let form = page.form(&[("username", "ada"), ("password", &megabyte)]);
            let began = Instant::now();
            let reply = browser.post(&form.action, &form.fields).await;
            assert_eq!(reply.status, 413, "{path}");
            assert!(began.elapsed() < Duration::from_millis(500), "{path}: {:?}", began.elapsed());
        }
        // What fits the form and not the rule: refused like any wrong password.
        assert_eq!(try_sign_in(&world, "ada", &"x".repeat(1025)).await.status, 422);
        assert_eq!(try_sign_in(&world, "nobody", &"x".repeat(1025)).await.status, 422);
    }

    async fn nobody_can_tell_from_an_answer_who_has_an_account_s_l4(world: World) {
        world.add_user("ada").await;
        let gone = world.add_user("gone").await;
        people::set_disabled(world.app(), by(), gone.id, true).await.unwrap();
        people::add(world.app(), by(), person("passwordless")).await.unwrap();
        let wrong = "a wrong password, certainly";
        let known = same_form(&try_sign_in(&world, "ada", wrong).await, "ada");
        for (name, password) in
            [("nobody", wrong), ("gone", wrong), ("gone", PASSWORD), ("passwordless", wrong), ("ada@example.com", wrong), ("no@example.com", wrong), ("not a name at all", wrong)]
        {
            assert_eq!(same_form(&try_sign_in(&world, name, password).await, name), known, "{name}");
        }
        // Throttling begins at the same attempt and answers alike.
        let mut told = Vec::new();
        world.add_user("bob").await;
        for name in ["bob", "nobody2"] {
            let mut statuses = Vec::new();
            for _ in 0..12 {
                statuses.push(try_sign_in(&world, name, wrong).await.status);
            }
            told.push(statuses);
            world.advance(90_000);
        }
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0].iter().filter(|s| **s == 429).count(), 2, "{told:?}");
    }

    async fn a_name_has_one_form_at_creation_look_up_and_throttling_s_l5(world: World) {
        world.add_user("Ada").await;
        for spelling in ["ada", "ADA", "Ada", " ada ", "ａｄａ", "ADA@Example.COM", "ada@example.com"] {
            assert_eq!(try_sign_in(&world, spelling, PASSWORD).await.status, 303, "{spelling}");
        }
        for twin in ["ADA", "ada", "ａｄａ"] {
            let refused = people::add(world.app(), by(), person(twin)).await.unwrap_err().to_string();
            assert_eq!(refused, "username: it is taken", "{twin}");
        }
        for look_alike in ["\u{430}da", "ad\u{430}", "a\u{200b}da", "ada\u{200d}", "\u{feff}ada", "a\u{ad}da", "ad\u{0}a", "ada\u{202e}", "a da", "\u{0391}da", "ada@x"] {
            let refused = people::add(world.app(), by(), person(look_alike)).await;
            assert!(matches!(refused, Err(people::PersonError::Field { field: "username", .. })), "{look_alike:?}");
        }
        // Failures under one spelling count for all of them: ten are free, whoever types them how.
        let spellings = ["ada", "ADA", "aDa", "ａｄａ", " ada", "ada@example.com", "ADA@EXAMPLE.COM", "Ada", "adA", "ada "];
        for spelling in spellings {
            assert_eq!(try_sign_in(&world, spelling, "a wrong password, certainly").await.status, 422, "{spelling}");
        }
        for spelling in ["ada", "Ａda", "ada@Example.com"] {
            assert_eq!(try_sign_in(&world, spelling, PASSWORD).await.status, 429, "{spelling}");
        }
    }
}

/// An answer without what differs from any answer to the next: the form's token, the request's id, and what was typed.
fn same_form(reply: &Reply, typed: &str) -> (u16, String, Vec<(String, String)>) {
    let form = reply.form(&[("username", typed)]);
    let token = form.fields.iter().find(|(name, _)| name == "csrf_token").unwrap().1.clone();
    assert!(reply.text.contains("aria-invalid"), "{}", reply.text);
    // A challenge for passkeys is made anew for each page, whoever is named.
    let text = ["name=\"challenge\" value=\"", "challenge&#34;:&#34;"].iter().fold(
        reply.text.clone(),
        |text, before| {
            let (head, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}: {text}"));
            let end = rest.find(['"', '&']).unwrap();
            format!("{head}{before}CHALLENGE{}", &rest[end..])
        },
    );
    let text = text.replace(&token, "TOKEN").replace(&format!("value=\"{typed}\""), "value=\"NAME\"");
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (reply.status, text, headers)
}

/// At the real cost of a hash: an unknown name takes as long as a known one (within what a busy machine varies by itself).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_name_takes_as_long_as_a_known_one_s_l4() {
    let world = World::with(On::Sqlite, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.passwords.argon2_memory_kib = 19_456;
        settings.passwords.argon2_passes = 4;
        settings.limits.login_failures = 1000;
    })
    .await
    .unwrap();
    world.add_user("ada").await;
    let gone = world.add_user("gone").await;
    people::set_disabled(world.app(), by(), gone.id, true).await.unwrap();
    let names = ["ada", "nobody", "gone", "no name at all", "nobody@example.com"];
    // The quickest of many is the work itself, without what the machine did besides; a busy one gets more rounds.
    let mut least = [f64::MAX; 5];
    let mut ratios = [0.0; 5];
    for round in 0..40 {
        for (name, least) in names.iter().zip(&mut least) {
            let browser = world.browser();
            let page = browser.open("/sign-in").await;
            let form = page.form(&[("username", name), ("password", "a wrong password, certainly")]);
            let began = Instant::now();
            assert_eq!(browser.post(&form.action, &form.fields).await.status, 422, "{name}");
            *least = least.min(began.elapsed().as_secs_f64());
        }
        ratios = least.map(|seconds| seconds / least[0]);
        if round >= 8 && ratios.iter().all(|ratio| (0.7..1.43).contains(ratio)) {
            return;
        }
    }
    panic!("{names:?} take {ratios:?} of what a known one takes, which is {} s", least[0]);
}
