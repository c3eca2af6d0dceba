//! The life of an authorization code: once, for a minute, and only while everything behind it stands (RFC 6749 §4.1.2).

use std::collections::{HashMap, HashSet};

use cnx::base::secret::Secret;
use cnx::flow::{clients, people};
use serde_json::json;

use crate::token_requests::{
    assert_access_dead, assert_alive, assert_dead, code, exchange, exchange_with, granted, refresh, refused,
};
use crate::world::{CALLBACK, TestClient, Tokens, VERIFIER, authorize_path, by, claims, on_both};

/// Bits, as certification measures them: what each character tells, summed over the text.
fn measured_entropy(text: &str) -> f64 {
    let mut counts: HashMap<char, f64> = HashMap::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1.0;
    }
    let length: f64 = counts.values().sum();
    -counts.values().map(|n| n * (n / length).log2()).sum::<f64>()
}

on_both! {
    async fn codes_and_tokens_cannot_be_guessed_r7(world: World) {
        let clients = [world.web_client().await, world.add_client(json!({"access_token_format": "opaque"})).await];
        world.add_user("ada").await;
        let mut seen = HashSet::new();
        for client in &clients {
            let browser = world.browser();
            let mut codes = Vec::new();
            for _ in 0..8 {
                // The same request of the same person in the same second.
                let code = browser.authorize(&authorize_path(client, &[]), "ada").await.code();
                assert!(code.len() >= 22 + "cnx_ac_".len() && measured_entropy(&code) >= 128.0, "{code}");
                let tokens = granted(&exchange(&world, client, &code).await);
                assert!(measured_entropy(&tokens.access) >= 128.0);
                assert!(measured_entropy(tokens.refresh()) >= 128.0);
                for text in [&code, &tokens.access, tokens.refresh()] {
                    assert!(seen.insert(text.to_owned()));
                }
                codes.push(code);
            }
            // What differs between two of them is far more than 128 bits of six each.
            for pair in codes.windows(2) {
                let differing = pair[0].bytes().zip(pair[1].bytes()).filter(|(a, b)| a != b).count();
                assert!(differing > 40, "{differing}");
            }
        }
        assert_eq!(seen.len(), 2 * 8 * 3);
    }

    async fn a_code_is_refused_the_second_time_and_takes_its_tokens_along_r50_r51_s_c1_c10(world: World) {
        for client in [world.web_client().await, world.public_client().await, world.add_client(json!({"access_token_format": "opaque"})).await] {
            let name = format!("u{}", client.id.to_lowercase());
            world.add_user(&name).await;
            let code = code(&world, &client, &[], &name).await;
            let given = granted(&exchange(&world, &client, &code).await);
            let newer = granted(&refresh(&world, &client, given.refresh()).await);
            assert_alive(&world, &newer).await;
            world.advance(30);
            refused(&exchange(&world, &client, &code).await, 400, "invalid_grant");
            assert_access_dead(&world, &given).await;
            assert_dead(&world, &client, &newer).await;
            // And it stays so, within its minute and beyond.
            refused(&exchange(&world, &client, &code).await, 400, "invalid_grant");
            world.advance(86_400);
            refused(&exchange(&world, &client, &code).await, 400, "invalid_grant");
        }
    }

    async fn a_replay_that_proves_nothing_revokes_nothing_s_c2_pitfall_3(world: World) {
        let (client, other, public) = (world.web_client().await, world.web_client().await, world.public_client().await);
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let given = granted(&exchange(&world, &client, &code).await);
        let wrong_verifier = "x".repeat(43);
        for (client, extra, status, error) in [
            (&other, &[][..], 400, "invalid_grant"),
            (&public, &[], 400, "invalid_grant"),
            (&client, &[("code_verifier", "")], 400, "invalid_grant"),
            (&client, &[("code_verifier", wrong_verifier.as_str())], 400, "invalid_grant"),
            (&client, &[("code_verifier", "short")], 400, "invalid_request"),
            (&client, &[("redirect_uri", "http://127.0.0.1:9/other")], 400, "invalid_grant"),
            (&client, &[("redirect_uri", "")], 400, "invalid_grant"),
            (&client.with_secret("wrong-secret"), &[], 401, "invalid_client"),
            (&TestClient { id: client.id.clone(), secret: None }, &[], 401, "invalid_client"),
        ] {
            refused(&exchange_with(&world, client, &code, extra).await, status, error);
            assert_alive(&world, &given).await;
        }
        let newer = granted(&refresh(&world, &client, given.refresh()).await);
        // The expired code is no replay either.
        world.advance(60);
        refused(&exchange(&world, &client, &code).await, 400, "invalid_grant");
        assert_alive(&world, &newer).await;
    }

    async fn a_code_lives_for_a_minute_s_c9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let path = authorize_path(&client, &[]);
        for (waits, works) in [(0, true), (59, true), (60, false), (61, false), (3600, false)] {
            let code = browser.authorize(&path, "ada").await.code();
            world.advance(waits);
            let reply = exchange(&world, &client, &code).await;
            if works { granted(&reply); } else { refused(&reply, 400, "invalid_grant"); }
        }
    }

    async fn a_code_that_we_did_not_make_is_refused_s_c10(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let code = code(&world, &client, &[], "ada").await;
        let body = code.strip_prefix("cnx_ac_").unwrap();
        let middle = body.len() / 2;
        let flip = |at: usize| {
            let other = if body.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("cnx_ac_{}{other}{}", &body[..at], &body[at + 1..])
        };
        let flipped = (0..body.len()).step_by(body.len() / 24).map(flip);
        let forms = ["*", "%", "_", "' OR '1'='1", "..", "null", "undefined", "\u{1f511}", "cnx_ac_", "cnx_ac_*"].map(str::to_owned);
        let cut = [
            body.to_owned(),
            code[..code.len() - 1].to_owned(),
            format!("cnx_ac_{}", &body[1..]),
            format!("cnx_ac_{}", &body[..middle]),
            format!("{code}A"),
            format!("{code}=="),
            format!("{code} "),
            format!(" {code}"),
            format!("{code}{code}"),
            code.to_uppercase(),
            code.to_lowercase(),
            "A".repeat(12_000),
        ];
        for wrong in flipped.chain(forms).chain(cut) {
            refused(&exchange(&world, &client, &wrong).await, 400, "invalid_grant");
        }
        granted(&exchange(&world, &client, &code).await);
    }

    async fn one_kind_of_token_is_never_taken_for_another_s_c11(world: World) {
        let client = world.add_client(json!({"access_token_format": "opaque"})).await;
        let jwt = world.web_client().await;
        world.add_user("ada").await;
        // The request that waits behind the sign-in page is sealed like a code, under another key.
        let page = world.browser().open(&authorize_path(&client, &[])).await;
        let pending = page.form(&[("username", "ada")]).fields.into_iter().find(|(n, _)| n == "request").unwrap().1;
        assert!(pending.len() > 40);
        let given = granted(&exchange(&world, &client, &code(&world, &client, &[], "ada").await).await);
        let signed = granted(&exchange(&world, &jwt, &code(&world, &jwt, &[], "ada").await).await);
        let fresh = code(&world, &client, &[], "ada").await;
        let bare = |text: &str| text.splitn(3, '_').nth(2).unwrap_or(text).to_owned();

        let not_codes = [given.access.clone(), given.refresh().to_owned(), given.id().to_owned(), signed.access.clone(), pending.clone()];
        for wrong in &not_codes {
            for form in [wrong.clone(), format!("cnx_ac_{}", bare(wrong))] {
                refused(&exchange(&world, &client, &form).await, 400, "invalid_grant");
            }
        }
        for wrong in [&fresh, &given.access, &signed.access, &given.id().to_owned(), &pending] {
            for form in [wrong.clone(), format!("cnx_rt_{}", bare(wrong))] {
                refused(&refresh(&world, &client, &form).await, 400, "invalid_grant");
            }
        }
        for wrong in [&fresh, &given.refresh().to_owned(), &given.id().to_owned(), &pending] {
            for form in [wrong.clone(), format!("cnx_at_{}", bare(wrong))] {
                assert_eq!(world.user_info(&form).await.status, 401);
            }
        }
        // Nor does a code open the pages of a waiting request.
        let reply = world.browser().open(&format!("/sign-in?request={}", bare(&fresh))).await;
        assert_eq!((reply.status, reply.location()), (400, None));
        granted(&exchange(&world, &client, &fresh).await);
        assert_alive(&world, &given).await;
    }

    async fn a_code_is_worth_what_its_person_client_and_consent_are_now_s_c12(world: World) {
        let public = world.public_client().await;
        world.add_user("ada").await;
        let client = world.web_client().await;
        granted(&exchange(&world, &client, &code(&world, &client, &[], "ada").await).await);

        for event in ["disabled", "password changed", "signed out", "consent withdrawn", "session too old"] {
            for client in [&client, &public] {
                let user = world.add_user(&format!("{}{}", event.replace(' ', "-"), client.id.to_lowercase())).await;
                let browser = world.browser();
                let hint = browser.tokens(&world, client, &[], &user.username).await;
                let code = browser.authorize(&authorize_path(client, &[]), &user.username).await.code();
                match event {
                    "disabled" => people::set_disabled(world.app(), by(), user.id, true).await.unwrap(),
                    "password changed" => {
                        let password = Secret::new("another-horse-battery-staple-43".to_owned());
                        people::set_password(world.app(), by(), &user, password).await.unwrap();
                    }
                    "signed out" => {
                        let page = browser.open(&format!("/oauth2/logout?id_token_hint={}", hint.id())).await;
                        assert_eq!(page.status, 200);
                    }
                    "consent withdrawn" => {
                        let (id, of): (cnx::base::id::ClientId, _) = (client.id.parse().unwrap(), user.id);
                        let gone = world.app().store.write(move |conn| cnx::store::consents::withdraw(conn, of, &id)).await;
                        assert!(gone.unwrap());
                    }
                    _ => {
                        let of = user.id;
                        let now = world.clock.now();
                        let ended = world.app().store.write(move |conn| cnx::store::sessions::end_of_user(conn, of, now)).await;
                        assert_eq!(ended.unwrap(), 1);
                    }
                }
                refused(&exchange(&world, client, &code).await, 400, "invalid_grant");
                if event == "disabled" {
                    people::set_disabled(world.app(), by(), user.id, false).await.unwrap();
                    refused(&exchange(&world, client, &code).await, 400, "invalid_grant");
                }
            }
        }
    }

    async fn a_code_is_worth_nothing_without_its_client_s_c12(world: World) {
        let client = world.web_client().await;
        let kept = world.web_client().await;
        world.add_user("ada").await;
        let (one, two) = (code(&world, &client, &[], "ada").await, code(&world, &kept, &[], "ada").await);
        clients::delete(world.app(), by(), &client.id).await.unwrap();
        refused(&exchange(&world, &client, &one).await, 401, "invalid_client");
        // The same id registered anew is another client to the consent that was given.
        let again = world.add_client(json!({"client_id": client.id, "client_secret": client.secret()})).await;
        refused(&exchange(&world, &again, &one).await, 400, "invalid_grant");
        world.change_client(&kept.id, |m| m.grant_types.retain(|g| g.name() != "authorization_code")).await;
        refused(&exchange(&world, &kept, &two).await, 400, "unauthorized_client");
    }

    async fn what_a_code_gives_is_what_was_asked_for_r8_c8(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        for (asked, scope, has_id) in [
            ("openid", "openid", true),
            ("read", "read", false),
            ("write openid read", "openid read write", true),
        ] {
            let code = browser.authorize(&authorize_path(&client, &[("scope", asked)]), "ada").await.code();
            let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
            // A scope at the token endpoint of a code is an unknown parameter: it widens nothing.
            let reply = world.token(&client, &[&form[..], &[("scope", "read write admin")]].concat()).await;
            let Tokens { access, id, scope: granted_scope, .. } = granted(&reply);
            assert_eq!(granted_scope, scope);
            assert_eq!(claims(&access)["scope"], scope);
            assert_eq!(id.is_some(), has_id);
        }
    }
}
