//! The authorization endpoint by POST: as good as GET, from other sites too.

use super::{
    INVALID, NOBODY, UNKNOWN, UNTRUSTED, assert_code, assert_error, assert_page, post_raw, signed_in,
};
use crate::world::{Browser, Reply, World, authorize_path, on_both};

/// The request as the body of a form.
fn body(path: &str) -> &str {
    path.split_once('?').unwrap().1
}

async fn post_from(world: &World, browser: &Browser, site: &str, body: &str) -> Reply {
    let request = world.http.post(world.url("/oauth2/authorize")).header("sec-fetch-site", site);
    let request = request
        .header("origin", "https://app.example")
        .header("content-type", "application/x-www-form-urlencoded");
    browser.send(request.body(body.to_owned())).await
}

on_both! {
    async fn a_posted_request_goes_the_whole_way_r19(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = authorize_path(&client, &[]);
        let browser = world.browser();
        let page = post_raw(&world, &browser, "/oauth2/authorize", body(&path)).await;
        assert_eq!(page.status, 303, "the browser goes on by GET: {}", page.text);
        let page = browser.follow(page).await;
        let page = browser.sign_in(&page, "ada").await;
        assert_code(&world, &browser.consent(&page, "allow").await.callback());
        assert_code(&world, &post_raw(&world, &browser, "/oauth2/authorize", body(&path)).await.callback());
    }

    /// A form of another site carries no Lax cookie; the GET that follows does, so the person who is signed in stays so.
    async fn a_form_of_another_site_finds_the_session_r19(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let path = authorize_path(&client, &[("state", "a&b=c \u{fc}\r\n"), ("prompt", "none")]);
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        for site in ["cross-site", "same-site"] {
            let reply = post_from(&world, &world.browser(), site, body(&path)).await;
            assert_eq!(reply.status, 303, "{}", reply.text);
            let location = reply.location().unwrap();
            assert!(location.starts_with("/oauth2/authorize?"), "{location}");
            let read = |query: &str| url::form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
            assert_eq!(read(body(&location)), read(body(&path)), "nothing added, nothing lost");
            let callback = browser.get(&location).await.callback();
            assert_eq!(callback.get("state"), Some("a&b=c \u{fc}\r\n"));
            assert!(callback.get("code").is_some(), "{}", callback.location);
            // Where the cookie came along there is no need to.
            let direct = post_from(&world, &browser, site, body(&path)).await;
            assert!(direct.callback().get("code").is_some(), "{:?}", direct.location());
        }
        // Without a session the second visit is answered as any other.
        let reply = post_from(&world, &world.browser(), "cross-site", body(&path)).await;
        let reply = world.get(&reply.location().unwrap()).await;
        assert_eq!(reply.callback().error(), "login_required");
    }

    async fn errors_of_a_posted_request_take_the_same_ways_r19(world: World) {
        let client = world.web_client().await;
        let browser = world.browser();
        let post = |path: String| {
            let (world, browser) = (&world, &browser);
            async move { post_raw(world, browser, "/oauth2/authorize", body(&path)).await }
        };
        assert_error(&world, &post(authorize_path(&client, &[("prompt", "none")])).await, "login_required");
        assert_error(&world, &post(authorize_path(&client, &[("scope", "admin")])).await, "invalid_scope");
        assert_error(&world, &post(authorize_path(&client, &[("request", "x")])).await, "request_not_supported");
        assert_error(&world, &post(format!("{}&scope=read", authorize_path(&client, &[]))).await, "invalid_request");
        assert_page(&post(authorize_path(&client, &[("redirect_uri", "https://evil.example/cb")])).await, 400, UNTRUSTED);
        assert_page(&post(authorize_path(&client, &[("client_id", "nobody")])).await, 400, UNKNOWN);
        assert_page(&post(format!("{}&x=%ff", authorize_path(&client, &[]))).await, 400, INVALID);
        // What stands in the address of a POST is not part of the form.
        assert_page(&post_raw(&world, &browser, &authorize_path(&client, &[]), "").await, 400, NOBODY);
    }

    async fn a_body_that_is_no_small_form_is_a_page_r19_s_a28(world: World) {
        let client = world.web_client().await;
        let path = authorize_path(&client, &[]);
        let send = |kind: &'static str, text: String| {
            let request = world.http.post(world.url("/oauth2/authorize")).header("content-type", kind).body(text);
            async { Reply::of(request.send().await.unwrap()).await }
        };
        for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
            assert_page(&send(kind, body(&path).to_owned()).await, 400, INVALID);
        }
        let large = format!("{}&x={}", body(&path), "y".repeat(64 * 1024));
        assert_page(&send("application/x-www-form-urlencoded", large).await, 413, "This request is too large");
        let reply = send("application/x-www-form-urlencoded; charset=UTF-8", body(&path).to_owned()).await;
        assert_eq!(reply.status, 303, "{}", reply.text);
    }
}
