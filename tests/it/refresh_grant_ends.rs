//! How refresh tokens end: by age, by silence, by revocation, and with the person, the session, the consent, the client.

use cnx::base::secret::Secret;
use cnx::flow::{clients, people};
use serde_json::json;

use crate::token_requests::{
    assert_access_dead, assert_alive, assert_dead, code, exchange, granted, refresh, refreshed, refused,
    tokens,
};
use crate::world::{TestClient, authorize_path, by, on_both};

const DAY: i64 = 86_400;

on_both! {
    async fn a_token_that_we_did_not_make_is_refused_and_harms_nobody_s_r10(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let given = tokens(&world, &client, "ada").await;
        let other = tokens(&world, &client, "ada").await;
        let body = given.refresh().strip_prefix("cnx_rt_").unwrap().to_owned();
        let flip = |at: usize| {
            let other = if body.as_bytes()[at] == b'0' { "1" } else { "0" };
            format!("cnx_rt_{}{other}{}", &body[..at], &body[at + 1..])
        };
        let spliced = format!("cnx_rt_{}{}", &body[..38], &other.refresh()[7 + 38..]);
        let cut = [
            body.clone(),
            given.refresh()[..given.refresh().len() - 1].to_owned(),
            format!("cnx_rt_{}", &body[1..]),
            format!("{}0", given.refresh()),
            format!("cnx_rt_0{body}"),
            format!("{} ", given.refresh()),
            given.refresh().to_uppercase(),
            given.refresh().to_lowercase(),
            format!("cnx_rt_{}", "0".repeat(body.len())),
            format!("cnx_rt_{}", "z".repeat(body.len())),
            spliced,
            "*".to_owned(),
            "cnx_rt_".to_owned(),
            given.access.clone(),
            given.id().to_owned(),
            code(&world, &client, &[], "ada").await,
        ];
        for wrong in (0..body.len()).step_by(3).map(flip).chain(cut) {
            refused(&refresh(&world, &client, &wrong).await, 400, "invalid_grant");
        }
        for tokens in [&given, &other] {
            assert_alive(&world, tokens).await;
            granted(&refresh(&world, &client, tokens.refresh()).await);
        }
    }

    async fn a_family_ends_when_nobody_uses_it_for_thirty_days_s_r11(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        let used = tokens(&world, &client, "ada").await;
        let idle = tokens(&world, &client, "ada").await;
        world.advance(30 * DAY - 1);
        let used = refreshed(&world, &client, used.refresh()).await;
        world.advance(1);
        refused(&refresh(&world, &client, idle.refresh()).await, 400, "invalid_grant");
        world.advance(30 * DAY - 2);
        let used = refreshed(&world, &client, used.refresh()).await;
        world.advance(30 * DAY);
        refused(&refresh(&world, &client, used.refresh()).await, 400, "invalid_grant");
    }

    async fn a_family_ends_after_ninety_days_however_often_it_is_used_s_r11(world: World) {
        let client = world.public_client().await;
        world.add_user("ada").await;
        let mut token = tokens(&world, &client, "ada").await.refresh().to_owned();
        for _ in 0..8 {
            world.advance(11 * DAY);
            token = refreshed(&world, &client, &token).await.refresh().to_owned();
        }
        world.advance(2 * DAY - 1);
        let last = refreshed(&world, &client, &token).await;
        world.advance(1);
        refused(&refresh(&world, &client, last.refresh()).await, 400, "invalid_grant");
        refused(&refresh(&world, &client, &token).await, 400, "invalid_grant");
    }

    async fn a_token_ends_with_the_session_unless_it_was_asked_for_offline_s_r12(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let online = browser.tokens(&world, &client, &[("scope", "openid profile")], "ada").await;
        let offline = browser.tokens(&world, &client, &[], "ada").await;
        let elsewhere = world.browser().tokens(&world, &client, &[("scope", "openid profile")], "ada").await;
        browser.open(&format!("/oauth2/logout?id_token_hint={}", online.id())).await;
        assert_dead(&world, &client, &online).await;
        assert_alive(&world, &offline).await;
        granted(&refresh(&world, &client, offline.refresh()).await);
        assert_alive(&world, &elsewhere).await;
        let elsewhere = refreshed(&world, &client, elsewhere.refresh()).await;
        // And with the session's own end, two weeks after the sign-in.
        world.advance(14 * DAY - 1);
        let elsewhere = refreshed(&world, &client, elsewhere.refresh()).await;
        world.advance(1);
        refused(&refresh(&world, &client, elsewhere.refresh()).await, 400, "invalid_grant");
    }

    async fn a_token_ends_with_its_person_its_consent_or_its_client_s_r12(world: World) {
        for event in ["disabled", "password changed", "consent withdrawn", "client deleted", "offline_access withdrawn", "grant withdrawn"] {
            for client in [world.web_client().await, world.public_client().await] {
                let user = world.add_user(&format!("u{}", client.id.to_lowercase())).await;
                let stranger = world.add_user(&format!("s{}", client.id.to_lowercase())).await;
                let given = tokens(&world, &client, &user.username).await;
                let elsewhere = tokens(&world, &client, &stranger.username).await;
                let (mut status, mut error, mut of_one) = (400, "invalid_grant", true);
                match event {
                    "disabled" => people::set_disabled(world.app(), by(), user.id, true).await.unwrap(),
                    "password changed" => {
                        let password = Secret::new("another-horse-battery-staple-43".to_owned());
                        people::set_password(world.app(), by(), &user, password).await.unwrap();
                    }
                    "consent withdrawn" => {
                        let (id, of, now): (cnx::base::id::ClientId, _, _) = (client.id.parse().unwrap(), user.id, world.clock.now());
                        let act = move |conn: &mut cnx::store::Conn| {
                            cnx::store::consents::withdraw(conn, of, &id)?;
                            cnx::store::families::revoke_of_consent(conn, of, &id, now)
                        };
                        assert_eq!(world.app().store.write(act).await.unwrap(), 1);
                    }
                    "client deleted" => {
                        clients::delete(world.app(), by(), &client.id).await.unwrap();
                        (status, error, of_one) = (401, "invalid_client", false);
                    }
                    "offline_access withdrawn" => {
                        world.change_client(&client.id, |m| m.scope = m.scope.without("offline_access")).await;
                        of_one = false;
                    }
                    _ => {
                        world.change_client(&client.id, |m| m.grant_types.retain(|g| g.name() != "refresh_token")).await;
                        (error, of_one) = ("unauthorized_client", false);
                    }
                }
                refused(&refresh(&world, &client, given.refresh()).await, status, error);
                if !["offline_access withdrawn", "grant withdrawn"].contains(&event) {
                    assert_access_dead(&world, &given).await;
                }
                let reply = refresh(&world, &client, elsewhere.refresh()).await;
                if of_one { granted(&reply); } else { refused(&reply, status, error); }
            }
        }
    }

    async fn an_enabled_person_and_a_client_registered_anew_begin_anew_s_r12(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let given = tokens(&world, &client, "ada").await;
        people::set_disabled(world.app(), by(), user.id, true).await.unwrap();
        people::set_disabled(world.app(), by(), user.id, false).await.unwrap();
        assert_dead(&world, &client, &given).await;
        let given = tokens(&world, &client, "ada").await;
        clients::delete(world.app(), by(), &client.id).await.unwrap();
        let again = world.add_client(json!({"client_id": client.id, "client_secret": client.secret()})).await;
        assert_dead(&world, &again, &given).await;
    }

    async fn no_code_and_no_token_is_stored_s_r13(world: World) {
        let client = world.web_client().await;
        let opaque = world.add_client(json!({"access_token_format": "opaque"})).await;
        world.add_user("ada").await;
        for client in [&client, &opaque] {
            let browser = world.browser();
            let code = browser.authorize(&authorize_path(client, &[]), "ada").await.code();
            let first = granted(&exchange(&world, client, &code).await);
            let second = refreshed(&world, client, first.refresh()).await;
            let session = browser.cookies.lock().unwrap().values().max_by_key(|v| v.len()).cloned().unwrap();
            assert!(world.stores("ada@example.com").await, "the search itself works");
            for secret in [code.as_str(), first.refresh(), second.refresh(), &first.access, &second.access, first.id(), &session] {
                assert!(!world.stores(secret).await);
                let (head, tail) = secret.split_at(secret.len() / 2);
                assert!(!world.stores(tail).await && !world.stores(head).await, "nor half of it");
            }
        }
    }

    async fn a_revoked_refresh_token_takes_the_access_tokens_along_and_the_reverse_r100(world: World) {
        let other = world.web_client().await;
        world.add_user("ada").await;
        for client in [world.web_client().await, world.public_client().await, world.add_client(json!({"access_token_format": "opaque"})).await] {
            for of_access in [false, true] {
                let one = tokens(&world, &client, "ada").await;
                let two = refreshed(&world, &client, one.refresh()).await;
                let token = if of_access { &one.access } else { two.refresh() };
                let revoke = |by: TestClient| {
                    let (world, token) = (&world, token.to_owned());
                    async move {
                        let mut form = vec![("token", token.as_str())];
                        if by.secret.is_none() {
                            form.push(("client_id", &by.id));
                        }
                        world.post("/oauth2/revoke", Some(&by), &form).await
                    }
                };
                // Only who proves to be its client; a stranger learns and ends nothing.
                refused(&world.post("/oauth2/revoke", None, &[("token", token)]).await, 401, "invalid_client");
                if client.secret.is_some() {
                    refused(&revoke(TestClient { id: client.id.clone(), secret: None }).await, 401, "invalid_client");
                    refused(&revoke(client.with_secret("wrong-secret")).await, 401, "invalid_client");
                }
                assert_eq!(revoke(other.clone()).await.status, 200);
                assert_alive(&world, &one).await;
                assert_alive(&world, &two).await;
                let reply = revoke(client.clone()).await;
                assert_eq!((reply.status, reply.text.as_str()), (200, ""));
                assert_access_dead(&world, &one).await;
                assert_dead(&world, &client, &two).await;
                refused(&refresh(&world, &client, one.refresh()).await, 400, "invalid_grant");
            }
        }
    }
}
