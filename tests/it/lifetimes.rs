//! How sessions end by themselves, and what ends with them (S-L11).

use cnx::base::secret::Secret;
use cnx::flow::people;
use serde_json::json;

use crate::world::{Browser, PASSWORD, TestClient, World, authorize_path, by, on_both};

const HOUR: i64 = 3600;

async fn silent(browser: &Browser, client: &TestClient) -> String {
    let path = authorize_path(client, &[("prompt", "none"), ("scope", "openid read")]);
    browser.open(&path).await.callback().error().to_owned()
}

async fn refresh(world: &World, client: &TestClient, token: &str) -> u16 {
    world.token(client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await.status
}

on_both! {
    async fn a_session_ends_when_it_is_idle_or_old_s_l11(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let scope = [("scope", "openid read")];
        let idle = world.browser();
        idle.tokens(&world, &client, &scope, "ada").await;
        world.advance(12 * HOUR - 1);
        assert_eq!(silent(&idle, &client).await, "");
        world.advance(12 * HOUR);
        assert_eq!(silent(&idle, &client).await, "login_required", "twelve hours without a request");

        let busy = world.browser();
        let began = world.now();
        let tokens = busy.tokens(&world, &client, &scope, "ada").await;
        let offline = busy.tokens(&world, &client, &[("scope", "openid read offline_access")], "ada").await;
        while world.now() + 10 * HOUR < began + 14 * 24 * HOUR {
            world.advance(10 * HOUR);
            assert_eq!(silent(&busy, &client).await, "", "{} h", (world.now() - began) / HOUR);
            // A request waits only so long for the session's last-seen time to be written; here it must be.
            world.app().store.write(|_| Ok(())).await.unwrap();
        }
        assert_eq!(world.introspect(&client, tokens.refresh()).await["active"], true);
        world.advance(began + 14 * 24 * HOUR - world.now());
        assert_eq!(silent(&busy, &client).await, "login_required", "fourteen days, however busy");
        assert_eq!(
            world.introspect(&client, tokens.refresh()).await,
            json!({"active": false}),
            "it went with the session"
        );
        assert_eq!(refresh(&world, &client, tokens.refresh()).await, 400);
        assert_eq!(refresh(&world, &client, offline.refresh()).await, 200, "asked for offline");
    }

    async fn a_new_password_ends_every_session_and_token_s_l11(world: World) {
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let browsers = [world.browser(), world.browser()];
        let mut grants = Vec::new();
        for browser in &browsers {
            grants.push(browser.tokens(&world, &client, &[], "ada").await);
        }
        let password = "another-battery-horse-staple-43";
        people::set_password(world.app(), by(), &user, Secret::new(password.to_owned())).await.unwrap();
        for (browser, tokens) in browsers.iter().zip(&grants) {
            assert_eq!(silent(browser, &client).await, "login_required");
            assert_eq!(world.user_info(&tokens.access).await.status, 401);
            assert_eq!(refresh(&world, &client, tokens.refresh()).await, 400);
        }
        let page = browsers[0].open(&authorize_path(&client, &[])).await;
        let old = browsers[0].submit(&page, &[("username", "ada"), ("password", PASSWORD)]).await;
        assert!(old.text.contains("sign-in-submit"), "the old password is dead: {}", old.text);
        let new = browsers[0].submit(&old, &[("username", "ada"), ("password", password)]).await;
        assert!(!new.text.contains("sign-in-submit"), "{}", new.text);
        assert_ne!(silent(&browsers[0], &client).await, "login_required");
    }
}
