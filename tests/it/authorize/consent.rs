//! Consent: what the page says, what is remembered, and that a no stays a no.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    EXPIRED, assert_asked, assert_code, assert_error, assert_page, attribute, count, pending, signed_in,
    texts,
};
use crate::world::{Browser, Reply, World, authorize_path, on_both};

fn is_consent(reply: &Reply) -> bool {
    reply.status == 200 && count(reply, "#consent-allow") == 1
}

/// The consent page of a request, for a browser in which nobody is signed in yet.
async fn consent_page(browser: &Browser, path: &str) -> Reply {
    let page = browser.open(path).await;
    let page = browser.sign_in(&page, "ada").await;
    assert!(is_consent(&page), "{:?} {}", page.location(), page.text);
    page
}

/// The page asks every time for this client at this address; silently it never answers.
async fn asks_every_time(world: &World, client: &crate::world::TestClient, redirect_uri: &str) {
    let path = authorize_path(client, &[("redirect_uri", redirect_uri)]);
    let browser = signed_in(world, client, &path, "ada").await;
    for _ in 0..2 {
        let page = browser.open(&path).await;
        assert!(is_consent(&page), "{redirect_uri}: {:?}", page.location());
        assert!(page.text.contains("Not verified."), "{}", page.text);
        let answer = browser.consent(&page, "allow").await.callback();
        assert!(
            answer.location.starts_with(redirect_uri) && answer.get("code").is_some(),
            "{}",
            answer.location
        );
    }
    let silent =
        browser.get(&authorize_path(client, &[("redirect_uri", redirect_uri), ("prompt", "none")])).await;
    super::assert_error_at(world, &silent, "consent_required", redirect_uri);
}

on_both! {
    async fn the_page_says_who_asks_for_what_how_long_and_where_it_goes_s_a31(world: World) {
        let client = world.add_client(json!({
            "client_name": "Field notes", "client_uri": "https://www.notes.example/about", "redirect_uris": ["https://notes.example:8443/cb"],
            "policy_uri": "https://notes.example/privacy", "tos_uri": "https://notes.example/terms",
        })).await;
        world.add_user("ada").await;
        let all = "openid profile email address phone offline_access read";
        let path = |scope| authorize_path(&client, &[("redirect_uri", "https://notes.example:8443/cb"), ("scope", scope)]);
        let browser = world.browser();
        let page = consent_page(&browser, &path(all)).await;
        assert_eq!(texts(&page, "h1"), ["Field notes asks for access to your account"]);
        assert_eq!(texts(&page, "dt"), ["Publisher", "Sends you to", "Access lasts"]);
        assert_eq!(texts(&page, "dd"), [
            "www.notes.example, registered by the administrator of this server", "notes.example:8443", "For up to 90 days, also after you sign out.",
        ]);
        assert_eq!(texts(&page, ".scopes strong"), [
            "Know that it is you", "See your profile", "See your e-mail address", "See your phone number", "See your postal address",
            "read", "Stay connected",
        ]);
        assert!(texts(&page, ".scopes span").iter().all(|words| words.len() > 20), "each in words: {}", page.text);
        assert_eq!(texts(&page, ".who"), ["Ada Lovelace ada@example.com"]);
        assert_eq!(attribute(&page, "a[href='https://notes.example/privacy']", "rel").as_deref(), Some("noopener noreferrer"));
        assert_eq!(count(&page, "a[href='https://notes.example/terms']"), 1);
        // Saying no is as easy as saying yes.
        assert_eq!(attribute(&page, "#consent-deny", "class"), attribute(&page, "#consent-allow", "class"));
        assert_eq!(attribute(&page, "#consent-deny", "type"), attribute(&page, "#consent-allow", "type"));
        assert_eq!(texts(&page, ".decision button"), ["Deny", "Allow"]);
        let page = browser.open(&path("openid")).await;
        assert_eq!(texts(&page, "dd").last().map(String::as_str), Some("Until you sign out."));
    }

    async fn consent_is_remembered_for_each_client_and_person_s_a31(world: World) {
        let (client, other) = (world.web_client().await, world.web_client().await);
        world.add_user("ada").await;
        world.add_user("grace").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        assert_code(&world, &browser.get(&authorize_path(&client, &[])).await.callback());
        assert_code(&world, &browser.get(&authorize_path(&client, &[("scope", "openid email")])).await.callback());
        let page = browser.open(&authorize_path(&other, &[])).await;
        assert!(is_consent(&page), "another client asks for itself: {:?}", page.location());
        let grace = world.browser();
        let page = grace.open(&authorize_path(&client, &[])).await;
        let page = grace.sign_in(&page, "grace").await;
        assert!(is_consent(&page), "another person answers for themselves: {:?}", page.location());
        // In a new browser it is the same person.
        let elsewhere = world.browser();
        let page = elsewhere.open(&authorize_path(&client, &[])).await;
        assert_code(&world, &elsewhere.sign_in(&page, "ada").await.callback());
    }

    async fn a_wider_scope_is_asked_for_again_and_then_remembered_as_a_whole_s_a31(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = |scope| authorize_path(&client, &[("scope", scope)]);
        let browser = signed_in(&world, &client, &path("openid email"), "ada").await;
        let page = browser.open(&path("openid phone")).await;
        assert!(is_consent(&page), "{:?}", page.location());
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
        assert_code(&world, &browser.get(&path("openid email phone")).await.callback());
        // offline_access is a permission of its own.
        assert_asked(&browser.get(&path("openid email offline_access")).await, "/consent");
    }

    async fn a_denied_wider_scope_leaves_the_narrower_one_s_a32(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = |scope| authorize_path(&client, &[("scope", scope)]);
        let browser = signed_in(&world, &client, &path("openid email"), "ada").await;
        let page = browser.open(&path("openid phone")).await;
        assert_error(&world, &browser.consent(&page, "deny").await, "access_denied");
        assert_asked(&browser.get(&path("openid phone")).await, "/consent");
        assert_code(&world, &browser.get(&path("openid email")).await.callback());
    }

    async fn prompt_consent_asks_although_it_is_remembered_r60(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        for _ in 0..2 {
            let page = browser.open(&authorize_path(&client, &[("prompt", "consent")])).await;
            assert!(is_consent(&page), "{:?}", page.location());
            assert_code(&world, &browser.consent(&page, "allow").await.callback());
        }
    }

    async fn an_app_of_the_house_asks_nothing_unless_it_wants_to_s_a33(world: World) {
        let client = world.add_client(json!({"skip_consent": true})).await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        assert_code(&world, &browser.sign_in(&page, "ada").await.callback());
        assert_code(&world, &browser.get(&authorize_path(&client, &[("prompt", "none"), ("scope", "openid address phone read")])).await.callback());
        let page = browser.open(&authorize_path(&client, &[("prompt", "consent")])).await;
        assert!(is_consent(&page), "{:?}", page.location());
    }

    async fn an_app_that_anyone_could_pose_as_is_asked_about_each_time_s_a33(world: World) {
        world.add_user("ada").await;
        for (members, redirect_uri) in [
            (json!({"redirect_uris": ["com.example.app:/cb"]}), "com.example.app:/cb"),
            (json!({"redirect_uris": ["http://127.0.0.1/cb"]}), "http://127.0.0.1:49152/cb"),
            (json!({"redirect_uris": ["http://[::1]/cb"]}), "http://[::1]:49152/cb"),
            (json!({"redirect_uris": ["https://app.example/cb"], "application_type": "native"}), "https://app.example/cb"),
        ] {
            let mut members = members;
            members["token_endpoint_auth_method"] = "none".into();
            let client = world.add_client(members).await;
            asks_every_time(&world, &client, redirect_uri).await;
            // Not even a row that says so skips the page.
            world.change_client(&client.id, |m| m.skip_consent = true).await;
            asks_every_time(&world, &client, redirect_uri).await;
        }
        // A public client at a web address of its own is told apart from others.
        let client = world.add_client(json!({"token_endpoint_auth_method": "none", "redirect_uris": ["https://app.example/cb"]})).await;
        let path = authorize_path(&client, &[("redirect_uri", "https://app.example/cb")]);
        let browser = signed_in(&world, &client, &path, "ada").await;
        assert!(browser.get(&path).await.callback().get("code").is_some());
    }

    async fn going_back_cannot_turn_a_no_into_a_grant_s_a32(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = consent_page(&browser, &authorize_path(&client, &[])).await;
        let request = pending(&page);
        assert_error(&world, &browser.consent(&page, "deny").await, "access_denied");
        // Back to the page, and the other button.
        assert_page(&browser.consent(&page, "allow").await, 400, EXPIRED);
        assert_page(&browser.consent(&page, "deny").await, 400, EXPIRED);
        // Back to the start of the pages.
        let way = format!("/oauth2/authorize?pending={request}");
        assert_page(&browser.open(&way).await, 400, EXPIRED);
        // By signing in once more for the same request.
        let form = browser.get("/sign-in").await;
        let mut form = form.form(&[("username", "ada"), ("password", crate::world::PASSWORD)]);
        for (name, value) in &mut form.fields {
            if name == "request" {
                value.clone_from(&request);
            }
        }
        let reply = browser.post(&form.action, &form.fields).await;
        assert_page(&browser.follow(reply).await, 400, EXPIRED);
        // And not after the person allowed another request of the same app, either.
        let page = browser.open(&authorize_path(&client, &[("state", "state-1")])).await;
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
        assert_page(&browser.open(&way).await, 400, EXPIRED);
    }

    async fn a_request_is_allowed_once_s_a32(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = consent_page(&browser, &authorize_path(&client, &[])).await;
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
        assert_page(&browser.consent(&page, "allow").await, 400, EXPIRED);
        assert_page(&browser.consent(&page, "deny").await, 400, EXPIRED);
    }

    async fn of_a_yes_and_a_no_at_once_one_counts_s_a32(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = consent_page(&browser, &authorize_path(&client, &[])).await;
        let posts = (0..16).map(|i| {
            let form = page.form(&[("decision", if i % 2 == 0 { "allow" } else { "deny" })]);
            let browser = browser.clone();
            async move { browser.post(&form.action, &form.fields).await }
        });
        let replies = join_all(posts).await;
        let answers: Vec<_> = replies.iter().filter(|r| r.status == 303).map(Reply::callback).collect();
        assert_eq!(answers.len(), 1, "{:?}", replies.iter().map(|r| r.status).collect::<Vec<_>>());
        assert!(answers[0].get("code").is_some() != (answers[0].error() == "access_denied"), "{}", answers[0].location);
        for reply in replies.iter().filter(|r| r.status != 303) {
            assert_page(reply, 400, EXPIRED);
        }
    }

    async fn what_is_no_clear_yes_is_a_no_s_a32(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for decision in ["", "ALLOW", "allow ", "yes"] {
            let browser = world.browser();
            let page = consent_page(&browser, &authorize_path(&client, &[])).await;
            let mut form = page.form(&[("decision", "allow")]);
            form.fields.retain(|(name, _)| name != "decision");
            form.fields.push(("decision".to_owned(), decision.to_owned()));
            assert_error(&world, &browser.post(&form.action, &form.fields).await, "access_denied");
        }
    }

    async fn somebody_else_may_answer_instead_s_a31(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        world.add_user("grace").await;
        let browser = world.browser();
        let page = consent_page(&browser, &authorize_path(&client, &[])).await;
        let page = browser.consent(&page, "switch").await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{}", page.text);
        let page = browser.sign_in(&page, "grace").await;
        assert!(is_consent(&page), "{:?}", page.location());
        let who = texts(&page, ".who").concat();
        assert!(who.contains("grace@example.com") && !page.text.contains("ada@example.com"), "{}", page.text);
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
    }
}
