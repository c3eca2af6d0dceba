//! The headers of what the authorization endpoint and its pages answer.

use cnx::base::time::{Clock, Timestamp};
use cnx::config::Issuer;

use super::hostile::assert_inert;
use super::{client_at, form_action, signed_in};
use crate::world::{Browser, CALLBACK, On, Reply, START, TestClient, World, authorize_path, on_both};

/// One answer of each kind that a person meets on the way, with a name.
async fn answers(world: &World, client: &TestClient) -> Vec<(&'static str, Reply)> {
    world.add_user("ada").await;
    let browser = world.browser();
    let path = authorize_path(client, &[("prompt", "select_account consent")]);
    let redirect = browser.get(&path).await;
    let sign_in = browser.follow(redirect.clone()).await;
    let wrong = browser.submit(&sign_in, &[("username", "ada"), ("password", "wrong")]).await;
    let consent = browser.sign_in(&sign_in, "ada").await;
    let choice = browser.open(&path).await;
    let delivered = browser.consent(&consent, "allow").await;
    vec![
        ("redirect", redirect),
        ("sign-in", sign_in),
        ("wrong password", wrong),
        ("consent", consent),
        ("choice", choice),
        ("delivered", delivered),
        ("form_post", browser.get(&authorize_path(client, &[("response_mode", "form_post")])).await),
        (
            "error by form_post",
            world.get(&authorize_path(client, &[("response_mode", "form_post"), ("prompt", "none")])).await,
        ),
        ("error by redirect", world.get(&authorize_path(client, &[("prompt", "none")])).await),
        ("error page", world.get("/oauth2/authorize").await),
        ("forged form", Browser::new(&world.base, &world.http).post("/sign-in", &[]).await),
        ("account", browser.get("/account").await),
        ("sign-out", browser.get("/sign-out").await),
        (
            "wrong method",
            Reply::of(world.http.delete(world.url("/oauth2/authorize")).send().await.unwrap()).await,
        ),
    ]
}

fn is_page(reply: &Reply) -> bool {
    reply.location().is_none()
}

on_both! {
    async fn every_answer_is_guarded_s_h10(world: World) {
        let client = world.web_client().await;
        for (what, reply) in answers(&world, &client).await {
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{what}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
            assert_eq!(reply.header("strict-transport-security"), None, "{what}: plain http on loopback");
            assert_eq!(reply.header("server"), None, "{what}");
            if is_page(&reply) {
                assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{what}");
                assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{what}");
                assert!(reply.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{what}");
            } else {
                assert_eq!((reply.header("content-type"), reply.text.as_str()), (None, ""), "{what}");
            }
        }
    }

    async fn every_page_runs_and_loads_only_what_is_ours_s_h11(world: World) {
        let client = client_at(&world, &[CALLBACK, "https://app.example/cb"]).await;
        let own = "'self'";
        for (what, reply) in answers(&world, &client).await {
            if !is_page(&reply) {
                continue;
            }
            // Forms may lead to this request's client, and to no other that is registered.
            let leads = ["sign-in", "wrong password", "consent", "choice", "form_post", "error by form_post"].contains(&what);
            let wanted = if leads { format!("{own} http://127.0.0.1:9") } else { own.to_owned() };
            assert_eq!(form_action(&reply), wanted, "{what}");
            assert_eq!(reply.header("content-security-policy").unwrap(), format!(
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action {wanted}; \
                 frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
            ), "{what}");
            assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"), "{what}");
            assert_inert(&reply);
        }
    }

    async fn no_other_origin_may_read_the_endpoint_or_its_pages_s_h12(world: World) {
        let client = client_at(&world, &[CALLBACK, "https://app.example/cb"]).await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let paths = [authorize_path(&client, &[]), "/sign-in".to_owned(), "/consent".to_owned(), "/select-account".to_owned(), "/account".to_owned()];
        for origin in ["https://app.example", "https://evil.example", "null", world.base.as_str()] {
            for path in &paths {
                let reply = browser.send(world.http.get(world.url(path)).header("origin", origin)).await;
                let request = world.http.request(reqwest::Method::OPTIONS, world.url(path)).header("origin", origin);
                let preflight = browser.send(request.header("access-control-request-method", "GET")).await;
                assert_eq!(preflight.status, 405, "{path}");
                for reply in [reply, preflight] {
                    let open = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
                    assert_eq!(open, None, "{origin} {path}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_https_every_answer_says_to_stay_there_s_h10() {
    let clock = Clock::manual(Timestamp::from_secs(START));
    let https = |s: &mut cnx::config::Settings| s.public_url = Issuer::parse("https://id.example").unwrap();
    let world = World::with(On::Sqlite, clock, https).await.unwrap();
    let client = world.web_client().await;
    for (what, reply) in answers(&world, &client).await {
        let hsts = reply.header("strict-transport-security");
        assert_eq!(hsts, Some("max-age=63072000"), "{what}");
    }
}
