//! Revocation (RFC 7009): one's own tokens end at once and together, others' are untouched, and 200 means done.

use std::time::Duration;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::world::{Reply, TestClient, Tokens, World, connect, on_both};

const PATH: &str = "/oauth2/revoke";

async fn revoke(world: &World, client: &TestClient, token: &str) -> Reply {
    let reply = world.post(PATH, Some(client), &[("token", token)]).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""), "{}", reply.text);
    reply
}

async fn refresh(world: &World, client: &TestClient, token: &str) -> Reply {
    world.token(client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

async fn assert_dead(world: &World, client: &TestClient, tokens: &Tokens, what: &str) {
    let reply = refresh(world, client, tokens.refresh()).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"), "{what}");
    assert_eq!(world.user_info(&tokens.access).await.status, 401, "{what}");
    if client.secret.is_some() {
        for token in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
            assert_eq!(world.introspect(client, token).await, json!({"active": false}), "{what}");
        }
    }
}

async fn assert_alive(world: &World, client: &TestClient, tokens: &Tokens, what: &str) {
    assert_eq!(world.user_info(&tokens.access).await.status, 200, "{what}");
    if client.secret.is_some() {
        for token in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
            assert_eq!(world.introspect(client, token).await["active"], true, "{what}");
        }
    }
}

/// Holds the database so that nobody else can write, as a backup or a stuck administrator would, until dropped.
#[expect(clippy::disallowed_methods, reason = "a second, foreign connection is what is wanted")]
fn hold(world: &World) -> Box<dyn std::any::Any + Send> {
    let url = &world.settings.database_url;
    if let Some(path) = url.sqlite_path() {
        let mut conn = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute("BEGIN IMMEDIATE").unwrap();
        return Box::new(conn);
    }
    let mut conn = connect(url.as_str());
    conn.batch_execute("BEGIN; LOCK TABLE families IN EXCLUSIVE MODE").unwrap();
    Box::new(conn)
}

on_both! {
    async fn a_revoked_token_takes_its_whole_grant_with_it_s_v2(world: World) {
        world.add_user("ada").await;
        let browser = world.browser();
        for client in
            [world.web_client().await, world.add_client(json!({"access_token_format": "opaque"})).await]
        {
            let bystander = browser.tokens(&world, &client, &[], "ada").await;
            let tokens = browser.tokens(&world, &client, &[], "ada").await;
            revoke(&world, &client, tokens.refresh()).await;
            assert_dead(&world, &client, &tokens, "by the refresh token").await;

            let tokens = browser.tokens(&world, &client, &[], "ada").await;
            revoke(&world, &client, &tokens.access).await;
            assert_dead(&world, &client, &tokens, "by the access token").await;

            // By a refresh token that was used already: its successor ends, and what came with it.
            let tokens = browser.tokens(&world, &client, &[], "ada").await;
            let next = Tokens::of(&refresh(&world, &client, tokens.refresh()).await);
            revoke(&world, &client, tokens.refresh()).await;
            assert_dead(&world, &client, &next, "by the predecessor").await;
            assert_dead(&world, &client, &tokens, "by the predecessor").await;
            assert_alive(&world, &client, &bystander, "another grant of the same person").await;
            // Again is no error (RFC 7009 §2.2).
            revoke(&world, &client, tokens.refresh()).await;
            revoke(&world, &client, &tokens.access).await;
        }
        let public = world.public_client().await;
        let tokens = browser.tokens(&world, &public, &[], "ada").await;
        let reply = world.post(PATH, None, &[("client_id", &public.id), ("token", tokens.refresh())]).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, ""));
        assert_dead(&world, &public, &tokens, "a public client's").await;

        let client = world.web_client().await;
        let own = Tokens::of(&world.token(&client, &[("grant_type", "client_credentials")]).await).access;
        let second = Tokens::of(&world.token(&client, &[("grant_type", "client_credentials")]).await).access;
        revoke(&world, &client, &own).await;
        assert_eq!(world.introspect(&client, &own).await, json!({"active": false}));
        assert_eq!(
            world.introspect(&client, &second).await["active"],
            true,
            "the other one of the same client lives"
        );
    }

    async fn others_tokens_are_untouched_s_v1(world: World) {
        world.add_user("ada").await;
        let (owner, other) = (world.web_client().await, world.web_client().await);
        let (public, public_too) = (world.public_client().await, world.public_client().await);
        let tokens = world.browser().tokens(&world, &owner, &[], "ada").await;
        let of_public = world.browser().tokens(&world, &public, &[], "ada").await;
        let own = Tokens::of(&world.token(&owner, &[("grant_type", "client_credentials")]).await).access;
        for token in [
            &tokens.access,
            tokens.refresh.as_ref().unwrap(),
            &of_public.access,
            of_public.refresh.as_ref().unwrap(),
            &own,
        ] {
            revoke(&world, &other, token).await;
            let reply = world.post(PATH, None, &[("client_id", &public_too.id), ("token", token)]).await;
            assert_eq!(reply.status, 200);
        }
        assert_alive(&world, &owner, &tokens, "a confidential client's").await;
        assert_alive(&world, &public, &of_public, "a public client's").await;
        assert_eq!(world.introspect(&owner, &own).await["active"], true);
        // A genuine family with a forged MAC revokes nothing either.
        let mut forged = tokens.refresh().to_owned();
        let last = forged.pop().unwrap();
        forged.push(if last == 'a' { 'b' } else { 'a' });
        revoke(&world, &owner, &forged).await;
        assert_alive(&world, &owner, &tokens, "after a forged refresh token").await;
    }

    async fn who_asks_must_say_who_they_are_s_v1(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let token = ("token", tokens.refresh());
        let wrong = TestClient { secret: Some("wrong-secret".to_owned()), ..client.clone() };
        for (what, reply) in [
            ("nobody", world.post(PATH, None, &[token]).await),
            ("a wrong secret", world.post(PATH, Some(&wrong), &[token]).await),
            ("no secret", world.post(PATH, None, &[("client_id", &client.id), token]).await),
            ("an unknown client", world.post(PATH, None, &[("client_id", "nobody"), token]).await),
        ] {
            assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_client"), "{what}");
        }
        for (what, form) in [
            ("no token", &[][..]),
            ("an empty token", &[("token", "")][..]),
            ("two tokens", &[token, token][..]),
        ] {
            let reply = world.post(PATH, Some(&client), form).await;
            assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_request"), "{what}");
        }
        let reply = world.get(&format!("{PATH}?token={}", tokens.refresh())).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST, OPTIONS")));
        assert_alive(&world, &client, &tokens, "after all these").await;
    }

    async fn an_unknown_token_is_200_and_the_empty_answer_has_no_type_s_v3_c25(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        for token in ["unknown", "cnx_rt_", "cnx_at_nonsense", "a.b.c", tokens.id(), &tokens.access] {
            for hint in [None, Some("access_token"), Some("refresh_token"), Some("nonsense")] {
                let mut form = vec![("token", token)];
                form.extend(hint.map(|hint| ("token_type_hint", hint)));
                let reply = world.post(PATH, Some(&client), &form).await;
                assert_eq!((reply.status, reply.text.as_str()), (200, ""), "{token} {hint:?}");
                assert_eq!(reply.header("content-type"), None, "{token} {hint:?}");
                assert_eq!(reply.header("cache-control"), Some("no-store"));
            }
        }
    }

    async fn a_revocation_that_was_not_written_is_not_answered_200_s_v2(world: World) {
        let mut world = world;
        world.settings.database.busy_seconds = 1;
        world.restart().await;
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let held = hold(&world);
        let url = world.url(PATH);
        let ask = |token: &str| {
            let form = [("token", token.to_owned())];
            world
                .http
                .post(&url)
                .basic_auth(&client.id, client.secret.as_deref())
                .form(&form)
                .timeout(Duration::from_secs(20))
                .send()
        };
        for token in [tokens.refresh(), &tokens.access] {
            let reply = Reply::of(ask(token).await.unwrap()).await;
            assert_eq!(
                (reply.status, reply.error().as_str()),
                (503, "temporarily_unavailable"),
                "{}",
                reply.text
            );
            assert!(reply.header("retry-after").is_some());
        }
        assert_alive(&world, &client, &tokens, "nothing was said to be revoked, and reading goes on").await;
        // Whether a write that was waiting happens after all is open, as the answer said; asked again, it is done.
        drop(held);
        revoke(&world, &client, tokens.refresh()).await;
        assert_dead(&world, &client, &tokens, "now it is").await;
    }
}
