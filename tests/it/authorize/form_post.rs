//! `response_mode=form_post`: a page whose form posts the answer by itself.

use super::hostile::assert_inert;
use super::{UNTRUSTED, assert_page, attribute, client_at, count, form_action, signed_in};
use crate::world::{CALLBACK, Reply, authorize_path, on_both};

/// The page is a form that posts exactly these fields there, with or without scripts, and does nothing else.
fn assert_form(reply: &Reply, action: &str, names: &[&str]) {
    assert_eq!((reply.status, reply.location()), (200, None), "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_inert(reply);
    assert_eq!(count(reply, "form"), 1);
    assert_eq!(attribute(reply, "form", "action").as_deref(), Some(action));
    assert_eq!(attribute(reply, "form", "method").as_deref(), Some("post"));
    assert_eq!(attribute(reply, "form", "enctype"), None, "application/x-www-form-urlencoded (R5)");
    assert_eq!(attribute(reply, "form", "target"), None);
    let found: Vec<String> = reply.form(&[]).fields.into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, names);
    assert_eq!(count(reply, "form input:not([type=hidden])"), 0);
    assert_eq!(count(reply, "form button[type=submit]"), 1, "for browsers without scripts");
    assert_eq!(count(reply, "script"), 1);
    let script = attribute(reply, "script", "src").unwrap();
    assert!(script.starts_with("/assets/form_post."), "{script}");
}

on_both! {
    async fn the_answer_is_a_form_that_posts_itself_r5_s_a26_c31(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = authorize_path(&client, &[("response_mode", "form_post")]);
        // At the end of the pages, and at once where nothing is asked.
        let browser = world.browser();
        let page = browser.open(&path).await;
        let page = browser.sign_in(&page, "ada").await;
        let last = browser.consent(&page, "allow").await;
        for reply in [last, browser.get(&path).await] {
            assert_form(&reply, CALLBACK, &["code", "state", "iss"]);
            let callback = reply.callback();
            assert!(callback.code().starts_with("cnx_ac_"));
            assert_eq!((callback.get("state"), callback.get("iss")), (Some("state-1"), Some(world.base.as_str())));
            let script = world.get(&attribute(&reply, "script", "src").unwrap()).await;
            assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
        }
    }

    async fn the_policy_lets_the_form_go_to_the_client_and_runs_no_inline_script_s_a26_s_h11_c31(world: World) {
        let uris = ["https://app.example:8443/cb?x=1", CALLBACK, "http://[::1]:7/cb"];
        let client = client_at(&world, &uris).await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        // CSP has no spelling for an IPv6 address.
        for (uri, source) in uris.into_iter().zip(["https://app.example:8443", "http://127.0.0.1:9", "http:"]) {
            let reply = browser.get(&authorize_path(&client, &[("redirect_uri", uri), ("response_mode", "form_post")])).await;
            assert_form(&reply, uri, &["code", "state", "iss"]);
            assert_eq!(form_action(&reply), format!("'self' {source}"));
            let policy = reply.header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe-") && !policy.contains('*') && !policy.contains("data:"), "{policy}");
        }
    }

    async fn what_the_client_sent_is_inert_on_the_page_s_a26_s_a27(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        for state in [
            "\"><script>alert(1)</script>", "'><img src=x onerror=alert(1)>", "\" onfocus=alert(1) autofocus x=\"", "</form><form action=https://evil.example>",
            "\r\n\r\n<html>", "\u{2028}\u{202e}\u{0b}&quot;&#34;&lt;", "</title></textarea><svg/onload=alert(1)>", "{{7*7}}{% raw %}",
        ] {
            for prompt in ["", "none"] {
                let extra = [("response_mode", "form_post"), ("state", state), ("prompt", prompt)];
                let reply = browser.get(&authorize_path(&client, &extra)).await;
                assert_form(&reply, CALLBACK, &["code", "state", "iss"]);
                // HTML folds the two characters of a line end into one.
                assert_eq!(reply.callback().get("state"), Some(state.replace("\r\n", "\n").as_str()));
            }
        }
    }

    async fn errors_are_posted_too_r5_s_a26(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for (changes, code) in [
            (&[("prompt", "none")][..], "login_required"),
            (&[("scope", "admin")], "invalid_scope"),
            (&[("response_type", "token")], "unsupported_response_type"),
            (&[("request", "x")], "request_not_supported"),
            (&[("code_challenge_method", "plain")], "invalid_request"),
        ] {
            let extra: Vec<_> = changes.iter().copied().chain([("response_mode", "form_post")]).collect();
            let reply = world.get(&authorize_path(&client, &extra)).await;
            assert_form(&reply, CALLBACK, &["error", "error_description", "state", "iss"]);
            let callback = reply.callback();
            assert_eq!((callback.error(), callback.get("state")), (code, Some("state-1")));
            assert_eq!(callback.get("iss"), Some(world.base.as_str()));
            assert_eq!(form_action(&reply), "'self' http://127.0.0.1:9");
        }
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[("response_mode", "form_post")])).await;
        let page = browser.sign_in(&page, "ada").await;
        let reply = browser.consent(&page, "deny").await;
        assert_form(&reply, CALLBACK, &["error", "error_description", "state", "iss"]);
        assert_eq!(reply.callback().error(), "access_denied");
        // A redirect URI that is not trusted gets no form either.
        let path = authorize_path(&client, &[("response_mode", "form_post"), ("redirect_uri", "https://evil.example/cb")]);
        assert_page(&world.get(&path).await, 400, UNTRUSTED);
    }
}
