//! Signing out (OpenID Connect RP-Initiated Logout 1.0): whose word ends a session, and where the browser may go after.

use serde_json::json;

use crate::offline;
use crate::world::{Browser, Reply, TestClient, Tokens, World, authorize_path, on_both};

const BYE: &str = "https://app.example/bye";
const BYE_WITH_QUERY: &str = "https://app.example/bye?from=id&x=%20y";

async fn client(world: &World) -> TestClient {
    world.add_client(json!({"post_logout_redirect_uris": [BYE, BYE_WITH_QUERY]})).await
}

fn logout(params: &[(&str, &str)]) -> String {
    format!(
        "/oauth2/logout?{}",
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
    )
}

/// Whether the browser's session still answers without a page.
async fn is_signed_in(browser: &Browser, client: &TestClient) -> bool {
    let callback = browser.open(&authorize_path(client, &[("prompt", "none")])).await.callback();
    match callback.error() {
        // Consent to more than was given is another question.
        "" | "consent_required" => true,
        "login_required" => false,
        other => panic!("{other}"),
    }
}

fn assert_refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 400, "{what}: {}", reply.text);
    assert_eq!(reply.location(), None, "{what}");
    assert!(reply.header("content-type").unwrap().starts_with("text/html"), "{what}");
}

/// The page names what is wrong, and the person signs out here all the same.
async fn leads_to_our_own_page(browser: &Browser, params: &[(&str, &str)], heading: &str) {
    let page = browser.open(&logout(params)).await;
    assert_refused(&page, heading);
    assert!(page.text.contains(&format!("<h1>{heading}</h1>")), "{heading}: {}", page.text);
    assert!(page.text.contains("href=\"/sign-out\""), "{heading}: {}", page.text);
    assert!(is_question(&browser.open("/sign-out").await), "{heading}");
}

fn is_signed_out_page(reply: &Reply) -> bool {
    reply.status == 200 && reply.text.contains("You are signed out")
}

fn is_question(reply: &Reply) -> bool {
    reply.status == 200 && reply.text.contains("sign-out-confirm")
}

async fn start(world: &World, client: &TestClient) -> (Browser, Tokens) {
    let browser = world.browser();
    let tokens = browser.tokens(world, client, &[], "ada").await;
    (browser, tokens)
}

on_both! {
    async fn a_valid_request_ends_the_session_and_leads_back_with_state_and_nothing_else_r74(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let odd = "a b+c/d=e&f%20\u{fc}";
        for (target, state, expected) in [
            (BYE, None, BYE.to_owned()),
            (BYE, Some("abc"), format!("{BYE}?state=abc")),
            (BYE_WITH_QUERY, None, BYE_WITH_QUERY.to_owned()),
            (BYE_WITH_QUERY, Some("abc"), format!("{BYE_WITH_QUERY}&state=abc")),
            (BYE, Some(odd), format!("{BYE}?state=a+b%2Bc%2Fd%3De%26f%2520%C3%BC")),
        ] {
            let (browser, tokens) = start(&world, &client).await;
            let mut params = vec![("id_token_hint", tokens.id()), ("post_logout_redirect_uri", target)];
            params.extend(state.map(|state| ("state", state)));
            let reply = browser.get(&logout(&params)).await;
            assert_eq!((reply.status, reply.location()), (303, Some(expected.clone())), "{}", reply.text);
            if let Some(state) = state {
                let back = url::Url::parse(&expected).unwrap();
                assert!(back.query_pairs().any(|(name, value)| name == "state" && value == state));
            }
            assert!(browser.cookie("cnx_session").is_none(), "the cookie is taken away");
            assert!(!is_signed_in(&browser, &client).await);
        }
        // By POST as well.
        let (browser, tokens) = start(&world, &client).await;
        let form = [("id_token_hint", tokens.id()), ("post_logout_redirect_uri", BYE)]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let reply = browser.post("/oauth2/logout", &form).await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some(BYE)));
        assert!(!is_signed_in(&browser, &client).await);
    }

    async fn only_registered_targets_of_the_named_client_are_led_to_r75_r77_s_o2_c34(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let other =
            world.add_client(json!({"post_logout_redirect_uris": ["https://other.example/bye"]})).await;
        let (browser, tokens) = start(&world, &client).await;
        let id = tokens.id();
        for target in [
            "https://evil.example/",
            "https://app.example/",
            "https://app.example/bye/",
            "https://app.example/bye?x=y",
            "https://app.example/bye?",
            "https://app.example/bye#x",
            "https://app.example/Bye",
            "HTTPS://app.example/bye",
            "https://app.example/bye/../bye",
            "https://app.example/%62ye",
            "https://app.example@evil.example/bye",
            "https://app.example.evil.example/bye",
            "http://app.example/bye",
            "//app.example/bye",
            "/bye",
            "javascript:alert(1)",
            "https://app.example/bye\r\nX: y",
            "https://app.example/bye?from=id&x=%20y&z",
            "https://other.example/bye",
            crate::world::CALLBACK,
        ] {
            let with_hint = browser
                .open(&logout(&[("id_token_hint", id), ("post_logout_redirect_uri", target), ("state", "s")]))
                .await;
            assert_refused(&with_hint, target);
            let by_id = browser
                .open(&logout(&[("client_id", &client.id), ("post_logout_redirect_uri", target)]))
                .await;
            assert_refused(&by_id, target);
        }
        for (what, params) in [
            ("R77: a target and nobody named", vec![("post_logout_redirect_uri", BYE)]),
            ("with state", vec![("post_logout_redirect_uri", BYE), ("state", "s")]),
            ("an unknown client", vec![("client_id", "nobody"), ("post_logout_redirect_uri", BYE)]),
            ("an unknown client alone", vec![("client_id", "nobody")]),
            (
                "another client than the hint's",
                vec![
                    ("id_token_hint", id),
                    ("client_id", &other.id),
                    ("post_logout_redirect_uri", "https://other.example/bye"),
                ],
            ),
            (
                "two targets",
                vec![
                    ("id_token_hint", id),
                    ("post_logout_redirect_uri", BYE),
                    ("post_logout_redirect_uri", BYE),
                ],
            ),
        ] {
            assert_refused(&browser.open(&logout(&params)).await, what);
        }
        assert!(is_signed_in(&browser, &client).await, "none of these ended anything");
        // R75 without a session: no redirect either.
        let nobody = world.browser();
        assert_refused(
            &nobody
                .open(&logout(&[
                    ("client_id", &client.id),
                    ("post_logout_redirect_uri", "https://evil.example/"),
                ]))
                .await,
            "no session",
        );
    }

    async fn a_forged_hint_leads_nowhere_r76(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let (browser, tokens) = start(&world, &client).await;
        let keys = offline::key_set(&world).await;
        let mut bad = offline::forgeries(&keys, tokens.id());
        bad.push(("an access token", tokens.access.clone()));
        bad.push(("garbage", "garbage".to_owned()));
        for (what, hint) in bad {
            for params in [
                vec![("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", BYE)],
                vec![
                    ("id_token_hint", hint.as_str()),
                    ("client_id", &client.id),
                    ("post_logout_redirect_uri", BYE),
                ],
                vec![("id_token_hint", hint.as_str())],
            ] {
                assert_refused(&browser.open(&logout(&params)).await, what);
            }
        }
        assert!(is_signed_in(&browser, &client).await);
    }

    async fn a_refused_request_says_what_is_wrong_and_is_no_dead_end(world: World) {
        world.add_user("ada").await;
        let other = client(&world).await;
        let client = client(&world).await;
        let (browser, tokens) = start(&world, &client).await;
        let hint = ("id_token_hint", tokens.id());
        let no_proof = "We cannot tell who asks to sign you out";
        leads_to_our_own_page(&browser, &[("id_token_hint", "x.y.z")], no_proof).await;
        leads_to_our_own_page(&browser, &[hint, ("client_id", &other.id)], no_proof).await;
        let target = ("post_logout_redirect_uri", "https://evil.example/");
        leads_to_our_own_page(&browser, &[hint, target], "We cannot send you back to the app").await;
        leads_to_our_own_page(&browser, &[("client_id", "nobody")], "This app is not known here").await;
        leads_to_our_own_page(&browser, &[hint, hint], "This request is not valid").await;
        // Other pages lead nowhere.
        assert!(!browser.open("/oauth2/authorize").await.text.contains("/sign-out"));
    }

    async fn without_a_target_a_page_says_so_r78(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        for params in [vec![], vec![("state", "s")]] {
            let (browser, _) = start(&world, &client).await;
            let question = browser.open(&logout(&params)).await;
            assert!(is_question(&question), "{}", question.text);
            let page = browser
                .submit(
                    &question,
                    &[(
                        "csrf_token",
                        &question.form(&[]).fields.iter().find(|(n, _)| n == "csrf_token").unwrap().1,
                    )],
                )
                .await;
            assert!(is_signed_out_page(&page), "{}", page.text);
            assert!(!is_signed_in(&browser, &client).await);
        }
        let (browser, tokens) = start(&world, &client).await;
        let page = browser.open(&logout(&[("id_token_hint", tokens.id())])).await;
        assert!(is_signed_out_page(&page), "{}", page.text);
        assert!(!is_signed_in(&browser, &client).await);
        // Nobody is signed in: the page says so at once, and again.
        for params in [vec![], vec![("state", "s")], vec![("id_token_hint", tokens.id())]] {
            assert!(is_signed_out_page(&browser.open(&logout(&params)).await), "{params:?}");
        }
    }

    async fn nobody_is_signed_out_by_another_site_s_o1_c34(world: World) {
        world.add_user("ada").await;
        world.add_user("bob").await;
        let client = client(&world).await;
        let (browser, _) = start(&world, &client).await;
        let bobs = world.browser().tokens(&world, &client, &[], "bob").await;
        let earlier = world.browser().tokens(&world, &client, &[], "ada").await;
        let question_of = |params: Vec<(&'static str, String)>| {
            let browser = browser.clone();
            async move {
                let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).collect();
                browser.open(&logout(&params)).await
            }
        };
        for (what, params) in [
            ("a bare request", vec![]),
            ("a client's name", vec![("client_id", client.id.clone())]),
            (
                "a client's name and target",
                vec![("client_id", client.id.clone()), ("post_logout_redirect_uri", BYE.to_owned())],
            ),
            (
                "another person's hint",
                vec![("id_token_hint", bobs.id().to_owned()), ("post_logout_redirect_uri", BYE.to_owned())],
            ),
            ("a hint of another session", vec![("id_token_hint", earlier.id().to_owned())]),
        ] {
            let reply = question_of(params).await;
            assert!(is_question(&reply), "{what}: {} {}", reply.status, reply.text);
            assert!(is_signed_in(&browser, &client).await, "{what}: asked, not done");
        }
        // The button needs the page's own token: a form of another site does nothing.
        let question = question_of(vec![]).await;
        let form = question.form(&[]);
        let without: Vec<(String, String)> =
            form.fields.iter().filter(|(n, _)| n != "csrf_token").cloned().collect();
        assert_eq!(browser.post(&form.action, &without).await.status, 403);
        let cross = world
            .http
            .post(world.url(&form.action))
            .header("origin", "https://evil.example")
            .header("sec-fetch-site", "cross-site");
        assert_eq!(browser.send(cross.form(&form.fields)).await.status, 403);
        assert!(is_signed_in(&browser, &client).await);

        // C34: `client_id` and a target, confirmed, leads back; state is optional.
        let question =
            question_of(vec![("client_id", client.id.clone()), ("post_logout_redirect_uri", BYE.to_owned())])
                .await;
        assert!(question.text.contains("Test app"), "the page names the app");
        assert!(
            question
                .header("content-security-policy")
                .unwrap()
                .contains("form-action 'self' https://app.example;")
        );
        let form = question.form(&[]);
        let reply = browser.post(&form.action, &form.fields).await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some(BYE)));
        assert!(!is_signed_in(&browser, &client).await);
    }

    async fn an_expired_hint_still_counts_c34(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let (browser, tokens) = start(&world, &client).await;
        world.advance(3 * 3600);
        let reply = browser
            .get(&logout(&[
                ("id_token_hint", tokens.id()),
                ("post_logout_redirect_uri", BYE),
                ("client_id", &client.id),
            ]))
            .await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some(BYE)), "{}", reply.text);
        assert!(!is_signed_in(&browser, &client).await);
    }

    async fn a_form_of_another_site_signs_out_although_it_brings_no_cookie_r74(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        for by_header in [("sec-fetch-site", "cross-site"), ("origin", "https://app.example")] {
            let (browser, tokens) = start(&world, &client).await;
            let form = [("id_token_hint", tokens.id()), ("post_logout_redirect_uri", BYE), ("state", "a b")];
            let request = world.http.post(world.url("/oauth2/logout")).header(by_header.0, by_header.1);
            let sent_on = Reply::of(request.form(&form).send().await.unwrap()).await;
            assert_eq!(sent_on.status, 303);
            let again = sent_on.location().unwrap();
            assert!(again.starts_with("/oauth2/logout?"), "{again}");
            assert!(is_signed_in(&browser, &client).await);
            // The browser follows by GET, and that brings its cookies.
            let reply = browser.get(&again).await;
            assert_eq!((reply.status, reply.location()), (303, Some(format!("{BYE}?state=a+b"))));
            assert!(!is_signed_in(&browser, &client).await);
        }
    }

    async fn an_app_that_gave_its_tokens_back_first_signs_out_all_the_same_c34(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let (browser, tokens) = start(&world, &client).await;
        for (hint, token) in [("refresh_token", tokens.refresh()), ("access_token", &tokens.access)] {
            let reply = world
                .post("/oauth2/revoke", Some(&client), &[("token_type_hint", hint), ("token", token)])
                .await;
            assert_eq!(reply.status, 200);
        }
        assert!(is_signed_in(&browser, &client).await, "tokens are not the session");
        let reply =
            browser.get(&logout(&[("id_token_hint", tokens.id()), ("post_logout_redirect_uri", BYE)])).await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some(BYE)));
        assert!(!is_signed_in(&browser, &client).await);
    }

    /// The back-channel part of S-O3 belongs to a later piece of work.
    async fn afterwards_old_cookies_and_online_tokens_are_dead_s_o3(world: World) {
        world.add_user("ada").await;
        let client = client(&world).await;
        let browser = world.browser();
        let online = browser.tokens(&world, &client, &[("scope", "openid email")], "ada").await;
        let offline =
            browser.tokens(&world, &client, &[("scope", "openid email offline_access")], "ada").await;
        let elsewhere = world.browser();
        let of_another = elsewhere.tokens(&world, &client, &[("scope", "openid email")], "ada").await;
        let stolen = Browser::new(&world.base, &world.http);
        stolen.cookies.lock().unwrap().clone_from(&browser.cookies.lock().unwrap());
        assert!(is_signed_in(&stolen, &client).await);

        browser.open(&logout(&[("id_token_hint", online.id())])).await;
        assert!(!is_signed_in(&browser, &client).await);
        assert!(!is_signed_in(&stolen, &client).await, "the old cookie is dead, not only forgotten");
        assert_eq!(stolen.get("/account").await.location().as_deref(), Some("/sign-in?next=%2Faccount"));
        assert_eq!(world.user_info(&online.access).await.status, 401);
        let reply = world
            .token(&client, &[("grant_type", "refresh_token"), ("refresh_token", online.refresh())])
            .await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"));
        // What was asked for offline goes on, and so does a session in another browser.
        assert_eq!(world.user_info(&offline.access).await.status, 200);
        let reply = world
            .token(&client, &[("grant_type", "refresh_token"), ("refresh_token", offline.refresh())])
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(is_signed_in(&elsewhere, &client).await);
        assert_eq!(world.user_info(&of_another.access).await.status, 200);
    }
}
