//! The `claims` parameter: single claims by name, at userinfo and in the ID token.

use serde_json::{Value, json};

use super::{assert_code, assert_error, count, signed_in, texts};
use crate::world::{authorize_path, claims, on_both};

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

on_both! {
    async fn claims_by_name_reach_userinfo_and_the_id_token_r49(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let asked = json!({
            "userinfo": {"name": {"essential": true}, "address": null, "phone_number_verified": {"value": false}, "shoe_size": null},
            "id_token": {"email": null, "auth_time": {"essential": true}, "updated_at": null, "iss": {"value": "https://evil.example"}},
        }).to_string();
        let tokens = world.browser().tokens(&world, &client, &[("scope", "openid"), ("claims", &asked)], "ada").await;
        let info = world.user_info(&tokens.access).await.json();
        assert_eq!(names(&info), ["address", "name", "phone_number_verified", "sub"]);
        assert_eq!((&info["name"], &info["phone_number_verified"]), (&json!("Ada Lovelace"), &json!(true)));
        assert_eq!(info["address"]["country"], "UK");
        let id = claims(tokens.id());
        assert_eq!((&id["email"], &id["iss"]), (&json!("ada@example.com"), &json!(world.base)));
        assert!(id["updated_at"].is_i64() && id["auth_time"].is_i64(), "{id}");
        for absent in ["name", "address", "email_verified", "phone_number_verified", "shoe_size"] {
            assert_eq!(id.get(absent), None, "{absent}");
        }
        // They hold for what a refresh gives, too.
        let offline = [("scope", "openid offline_access"), ("claims", asked.as_str())];
        let tokens = world.browser().tokens(&world, &client, &offline, "ada").await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        let refreshed = crate::world::Tokens::of(&world.token(&client, &form).await);
        assert_eq!(names(&world.user_info(&refreshed.access).await.json()), ["address", "name", "phone_number_verified", "sub"]);
    }

    async fn naming_a_claim_reaches_no_further_than_the_clients_scope_s_a23(world: World) {
        let client = world.add_client(json!({"scope": "openid email"})).await;
        world.add_user("ada").await;
        let asked = r#"{"userinfo":{"phone_number":null,"email":null},"id_token":{"name":null}}"#;
        let tokens = world.browser().tokens(&world, &client, &[("scope", "openid"), ("claims", asked)], "ada").await;
        assert_eq!(names(&world.user_info(&tokens.access).await.json()), ["email", "sub"]);
        assert_eq!(claims(tokens.id()).get("name"), None);
    }

    /// What is asked for by name is asked of the person as its scope would be.
    async fn the_person_is_asked_for_claims_by_name_s_a31(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = |claims: &str| authorize_path(&client, &[("scope", "openid"), ("claims", claims)]);
        let browser = signed_in(&world, &client, &path(""), "ada").await;
        let page = browser.open(&path(r#"{"userinfo":{"phone_number":null}}"#)).await;
        assert_eq!(count(&page, "#consent-allow"), 1, "a wider request is asked for: {:?}", page.location());
        assert_eq!(texts(&page, ".scopes strong"), ["Know that it is you", "See your phone number"]);
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
        assert_code(&world, &browser.get(&path(r#"{"id_token":{"phone_number":null}}"#)).await.callback());
    }

    async fn a_named_subject_is_the_only_one_who_gets_an_answer_s_a20(world: World) {
        let client = world.web_client().await;
        let (ada, grace) = (world.add_user("ada").await, world.add_user("grace").await);
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let of = |sub: &str| json!({"id_token": {"sub": {"value": sub}}}).to_string();
        let silent = |claims: &str| authorize_path(&client, &[("prompt", "none"), ("claims", claims)]);
        assert_code(&world, &browser.get(&silent(&of(&ada.id.to_string()))).await.callback());
        for other in [grace.id.to_string(), "nobody".to_owned(), "ada".to_owned()] {
            assert_error(&world, &browser.get(&silent(&of(&other))).await, "login_required");
        }
        let page = browser.open(&authorize_path(&client, &[("claims", &of(&grace.id.to_string()))])).await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{:?}", page.location());
        assert_error(&world, &browser.sign_in(&page, "ada").await, "login_required");
    }

    async fn an_essential_acr_that_we_do_not_have_is_a_failed_sign_in_r48(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let asked = |acr: &str| json!({"id_token": {"acr": {"essential": true, "values": [acr]}}}).to_string();
        let ours = asked(cnx::oauth::id_token::ACR_PASSWORD);
        let browser = signed_in(&world, &client, &authorize_path(&client, &[("claims", &ours)]), "ada").await;
        // Signing in again would prove no more; and who is not signed in does so for nothing, for nobody is known before.
        let unmet = "unmet_authentication_requirements";
        let path = authorize_path(&client, &[("claims", &asked("urn:other"))]);
        assert_error(&world, &browser.get(&path).await, unmet);
        let browser = world.browser();
        let page = browser.open(&path).await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{:?}", page.location());
        assert_error(&world, &browser.sign_in(&page, "ada").await, unmet);
    }
}
