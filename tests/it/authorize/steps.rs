//! Between the request and the answer: the sealed request that goes from page to page, and where these pages lead.

use cnx::oauth::client_registration;
use serde_json::json;

use super::{
    EXPIRED, INVALID, UNKNOWN, UNTRUSTED, assert_asked, assert_code, assert_page, attribute, count, pending,
    signed_in, texts,
};
use crate::world::{CALLBACK, PASSWORD, authorize_path, by, on_both};

/// Addresses that an attacker would like people to be sent to.
const ELSEWHERE: [&str; 9] = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "\r\nLocation: https://evil.example/",
    "x&request=y#z",
    "\u{2028}",
];

on_both! {
    async fn the_way_out_of_a_posted_password_is_a_303_s_a29(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let form = page.form(&[("username", "ada"), ("password", PASSWORD)]);
        let reply = browser.post(&form.action, &form.fields).await;
        assert_eq!((reply.status, reply.text.as_str()), (303, ""));
        let page = browser.follow(reply).await;
        for decision in ["switch", "allow"] {
            let form = page.form(&[("decision", decision)]);
            let reply = browser.post(&form.action, &form.fields).await;
            assert_eq!((reply.status, reply.text.as_str()), (303, ""), "{decision}");
        }
        let page = browser.open(&authorize_path(&client, &[("prompt", "select_account")])).await;
        for account in ["current", "other"] {
            let form = page.form(&[("account", account)]);
            assert_eq!(browser.post(&form.action, &form.fields).await.status, 303, "{account}");
        }
    }

    async fn a_request_belongs_to_the_browser_that_began_it_s_l8(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        world.add_user("mallory").await;
        let ada = world.browser();
        let page = ada.open(&authorize_path(&client, &[])).await;
        let request = pending(&page);
        let mallory = signed_in(&world, &client, &authorize_path(&client, &[]), "mallory").await;
        for browser in [&mallory, &world.browser()] {
            for path in ["/sign-in?request=", "/consent?request=", "/select-account?request=", "/oauth2/authorize?pending="] {
                assert_page(&browser.open(&format!("{path}{request}")).await, 400, EXPIRED);
            }
        }
        // Nor can it be slipped into a form of another browser's own.
        for (path, wanted) in [
            (authorize_path(&client, &[("prompt", "consent")]), ("decision", "allow")),
            (authorize_path(&client, &[("prompt", "consent")]), ("decision", "deny")),
            (authorize_path(&client, &[("prompt", "select_account")]), ("account", "current")),
            (authorize_path(&client, &[("prompt", "login")]), ("username", "mallory")),
        ] {
            let page = mallory.open(&path).await;
            let mut form = page.form(&[wanted]);
            for (name, value) in &mut form.fields {
                match name.as_str() {
                    "request" => value.clone_from(&request),
                    "password" => PASSWORD.clone_into(value),
                    _ => {}
                }
            }
            assert_page(&mallory.post(&form.action, &form.fields).await, 400, EXPIRED);
        }
        let page = ada.sign_in(&page, "ada").await;
        assert_code(&world, &ada.consent(&page, "allow").await.callback());
    }

    async fn a_request_that_was_changed_is_no_request_s_l8(world: World) {
        let client = world.web_client().await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let request = pending(&page);
        let flipped = format!("{}{}", if request.starts_with('A') { 'B' } else { 'A' }, &request[1..]);
        for wrong in [&request[1..], &request[..request.len() - 2], &flipped, "x", "cnx_ac_x", "..", "%00"] {
            assert_page(&browser.get(&format!("/sign-in?request={wrong}")).await, 400, if wrong == "%00" { INVALID } else { EXPIRED });
        }
        for path in ["/consent", "/select-account", "/consent?request=", "/select-account?request="] {
            assert_page(&browser.get(path).await, 400, EXPIRED);
        }
        assert_eq!(browser.get(&format!("/sign-in?request={request}")).await.status, 200);
    }

    async fn a_request_waits_an_hour_s_l8(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        world.advance(3600);
        let consent = browser.sign_in(&page, "ada").await;
        assert_eq!(count(&consent, "#consent-allow"), 1, "{}", consent.text);
        world.advance(1);
        assert_page(&browser.consent(&consent, "allow").await, 400, EXPIRED);
        assert_page(&browser.sign_in(&page, "ada").await, 400, EXPIRED);
    }

    async fn what_was_changed_meanwhile_counts_s_a9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let page = browser.sign_in(&page, "ada").await;
        world.change_client(&client.id, |m| m.redirect_uris = vec!["https://app.example/new".to_owned()]).await;
        assert_page(&browser.consent(&page, "allow").await, 400, UNTRUSTED);
        cnx::flow::clients::delete(world.app(), by(), &client.id).await.unwrap();
        assert_page(&browser.consent(&page, "allow").await, 400, UNKNOWN);
    }

    async fn nobody_who_was_disabled_meanwhile_gets_an_answer_s_a30(world: World) {
        let client = world.web_client().await;
        let user = world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let page = browser.sign_in(&page, "ada").await;
        cnx::flow::people::set_disabled(world.app(), by(), user.id, true).await.unwrap();
        let form = page.form(&[("decision", "allow")]);
        let reply = browser.post(&form.action, &form.fields).await;
        let page = browser.follow(reply).await;
        assert_eq!(count(&page, "#sign-in-submit"), 1, "{:?} {}", page.location(), page.text);
        assert_eq!(browser.sign_in(&page, "ada").await.status, 422);
    }

    async fn parameters_of_other_servers_send_nobody_anywhere_s_a35(world: World) {
        world.add_user("ada").await;
        for target in ELSEWHERE {
            let query: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
            let names = ["return_to", "next", "redirect", "redirect_uri", "redirect_url", "continue", "rd", "url", "target", "back"];
            let all = names.map(|name| format!("{name}={query}")).join("&");
            let browser = world.browser();
            let page = browser.get(&format!("/sign-in?{all}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            assert!(!page.text.contains("evil.example"), "{}", page.text);
            let mut form = page.form(&[("username", "ada"), ("password", PASSWORD)]);
            form.fields.extend(names.map(|name| (name.to_owned(), target.to_owned())));
            let reply = browser.post(&form.action, &form.fields).await;
            assert_eq!((reply.status, reply.location().as_deref()), (303, Some("/account")));
            assert_eq!(browser.get(&format!("/?{all}")).await.location().as_deref(), Some("/account"));
        }
    }

    async fn a_forged_request_leads_to_a_page_of_ours_and_nowhere_else_s_a35(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for target in ELSEWHERE {
            let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
            let query: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
            for path in ["/sign-in?request=", "/consent?request=", "/select-account?request=", "/oauth2/authorize?pending="] {
                assert_page(&browser.get(&format!("{path}{query}")).await, 400, EXPIRED);
            }
            for (path, wanted) in [
                (authorize_path(&client, &[("prompt", "login")]), ("username", "ada")),
                (authorize_path(&client, &[("prompt", "consent")]), ("decision", "allow")),
                (authorize_path(&client, &[("prompt", "consent")]), ("decision", "deny")),
                (authorize_path(&client, &[("prompt", "consent")]), ("decision", "switch")),
                (authorize_path(&client, &[("prompt", "select_account")]), ("account", "current")),
                (authorize_path(&client, &[("prompt", "select_account")]), ("account", "other")),
            ] {
                let page = browser.open(&path).await;
                let mut form = page.form(&[wanted]);
                for (name, value) in &mut form.fields {
                    match name.as_str() {
                        "request" => target.clone_into(value),
                        "password" => PASSWORD.clone_into(value),
                        _ => {}
                    }
                }
                let reply = browser.post(&form.action, &form.fields).await;
                assert_page(&browser.follow(reply).await, 400, EXPIRED);
            }
        }
    }

    async fn links_to_an_apps_own_pages_are_https_s_a35_s_g5(world: World) {
        for field in ["policy_uri", "tos_uri", "client_uri", "logo_uri", "initiate_login_uri"] {
            for link in ["http://app.example/", "javascript:alert(1)", "data:text/html,x", "//app.example/", "/privacy", "https://a@app.example/"] {
                let file = json!({"client_name": "App", "redirect_uris": [CALLBACK], field: link}).to_string();
                assert_eq!(client_registration::from_json(&file).unwrap_err().field, field, "{link}");
            }
        }
        assert_eq!(world.get("/healthz").await.status, 200);
    }

    /// The logo would be a picture from elsewhere (S-H11); the app's first letter stands for it.
    async fn the_sign_in_page_shows_the_app_and_its_policies_r64(world: World) {
        let client = world.add_client(json!({
            "client_name": "Field notes", "logo_uri": "https://notes.example/logo.png", "client_uri": "https://notes.example/",
            "policy_uri": "https://notes.example/privacy", "tos_uri": "https://notes.example/terms?a=b&c=d",
        })).await;
        let page = world.browser().open(&authorize_path(&client, &[])).await;
        assert!(texts(&page, ".asking p").contains(&"to continue to Field notes".to_owned()), "{}", page.text);
        assert_eq!(texts(&page, ".tile"), ["F"]);
        for (link, words) in [("https://notes.example/privacy", "Privacy policy"), ("https://notes.example/terms?a=b&c=d", "Terms of service")] {
            let found = format!("a[href='{link}']");
            assert!(texts(&page, &found)[0].starts_with(words), "{}", page.text);
            assert_eq!(attribute(&page, &found, "rel").as_deref(), Some("noopener noreferrer"));
            assert_eq!(attribute(&page, &found, "target").as_deref(), Some("_blank"));
        }
        assert!(!page.text.contains("logo.png"), "{}", page.text);
        let plain = world.web_client().await;
        let page = world.browser().open(&authorize_path(&plain, &[])).await;
        assert_eq!(count(&page, "main a"), 0);
        assert_asked(&world.get(&authorize_path(&plain, &[])).await, "/sign-in");
    }
}
