//! `id_token_hint`: an ID token of ours says who is expected; anything else says nothing.

use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::base64url;
use cnx::base::entropy::Entropy;
use cnx::jose::signing_key::SigningKey;
use serde_json::{Value, json};

use super::{assert_code, assert_error, count, signed_in};
use crate::world::{authorize_path, by, claims, jwt_part, on_both};

/// A JWT with this header and these claims; `sign` makes the signature.
fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = base64url(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

on_both! {
    async fn the_hint_of_the_person_who_is_signed_in_is_silent_success_r47(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        let extra = [("prompt", "none"), ("id_token_hint", tokens.id())];
        assert_code(&world, &browser.get(&authorize_path(&client, &extra)).await.callback());
        // Its age does not matter, nor that its key signs no more.
        world.advance(4000);
        assert!(claims(tokens.id())["exp"].as_i64().unwrap() < world.now());
        cnx::flow::signing_keys::rotate(world.app(), by(), Algorithm::Rs256, true).await.unwrap();
        let fresh = browser.tokens(&world, &client, &[("prompt", "login")], "ada").await;
        assert_ne!(jwt_part(fresh.id(), 0)["kid"], jwt_part(tokens.id(), 0)["kid"]);
        assert_code(&world, &browser.get(&authorize_path(&client, &extra)).await.callback());
    }

    async fn the_hint_of_another_person_never_gets_an_answer_s_a20(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        world.add_user("grace").await;
        let hint = world.browser().tokens(&world, &client, &[], "grace").await.id.unwrap();
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let silent = authorize_path(&client, &[("prompt", "none"), ("id_token_hint", &hint)]);
        assert_error(&world, &browser.get(&silent).await, "login_required");
        assert_error(&world, &world.get(&silent).await, "login_required");
        // Where pages are allowed one may sign in as whom the app expects, and as nobody else.
        let path = authorize_path(&client, &[("id_token_hint", &hint)]);
        let page = browser.open(&path).await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{:?} {}", page.location(), page.text);
        assert_error(&world, &browser.sign_in(&page, "ada").await, "login_required");
        let page = browser.open(&path).await;
        assert_code(&world, &browser.sign_in(&page, "grace").await.callback());
        assert_code(&world, &browser.get(&silent).await.callback());
    }

    async fn a_hint_that_is_not_ours_is_refused_and_never_ignored_s_a20(world: World) {
        let client = world.web_client().await;
        let other = world.web_client().await;
        let user = world.add_user("ada").await;
        let browser = world.browser();
        let good = browser.tokens(&world, &client, &[], "ada").await.id.unwrap();
        let foreign_client = browser.tokens(&world, &other, &[], "ada").await;
        let (header, body) = (jwt_part(&good, 0), claims(&good));

        let made = SigningKey::generate(Algorithm::Rs256, 2048, &Entropy::system()).unwrap();
        let key = SigningKey::from_private(&made.kid, Algorithm::Rs256, made.private_der.reveal()).unwrap();
        let sign = |bytes: &[u8]| key.sign(bytes).unwrap();
        let foreign = jwt(&header, &body, sign);
        let embedded = jwt(&json!({"alg": "RS256", "typ": "JWT", "kid": made.kid, "jwk": made.public_jwk}), &body, sign);
        let none = jwt(&json!({"alg": "none", "typ": "JWT"}), &body, |_| Vec::new());
        let none_with_kid = jwt(&json!({"alg": "None", "typ": "JWT", "kid": header["kid"]}), &body, |_| Vec::new());
        let public = world.get("/.well-known/jwks.json").await.text;
        let confused = jwt(&json!({"alg": "HS256", "typ": "JWT", "kid": header["kid"]}), &body, |bytes| {
            ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes()), bytes).as_ref().to_vec()
        });
        let (start, signature) = good.rsplit_once('.').unwrap();
        let changed = jwt(&header, &json!({"iss": body["iss"], "sub": user.id.to_string(), "aud": client.id}), |_| {
            cnx::base::encoding::from_base64url(signature).unwrap()
        });
        let (unsigned, cut, more) = (format!("{start}."), good[..good.len() - 4].to_owned(), format!("{good}.x"));
        for (what, hint) in [
            ("foreign signature", foreign.as_str()), ("key in the header", &embedded), ("alg none", &none), ("alg None", &none_with_kid),
            ("HS256 with the key set", &confused), ("changed claims", &changed), ("no signature", &unsigned), ("cut", &cut),
            ("four parts", &more), ("of another client", foreign_client.id()), ("an access token", &foreign_client.access),
            ("a refresh token", foreign_client.refresh()), ("garbage", "x"), ("two dots", ".."), ("not ASCII", "\u{1f642}.\u{1f642}."),
        ] {
            let silent = browser.get(&authorize_path(&client, &[("prompt", "none"), ("id_token_hint", hint)])).await;
            assert_eq!(assert_error(&world, &silent, "login_required").get("code"), None, "{what}");
            let shown = browser.get(&authorize_path(&client, &[("id_token_hint", hint)])).await;
            assert_eq!(assert_error(&world, &shown, "invalid_request").get("code"), None, "{what}");
        }
        let silent = browser.get(&authorize_path(&client, &[("prompt", "none"), ("id_token_hint", &good)])).await;
        assert_code(&world, &silent.callback());
    }

    async fn a_hint_signed_by_a_revoked_key_says_nothing_s_a20(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let hint = browser.tokens(&world, &client, &[], "ada").await.id.unwrap();
        let kid = jwt_part(&hint, 0)["kid"].as_str().unwrap().to_owned();
        assert!(cnx::flow::signing_keys::revoke(world.app(), by(), &kid).await.unwrap());
        let silent = browser.get(&authorize_path(&client, &[("prompt", "none"), ("id_token_hint", &hint)])).await;
        assert_error(&world, &silent, "login_required");
    }
}
