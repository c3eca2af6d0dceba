//! What headers may claim and what they may not: the issuer, the client's address, the path of a file (S-H7, S-H8, S-H9).

use cnx::base::time::{Clock, Timestamp};
use cnx::store::sessions;

use crate::wire::{exchange, get};
use crate::world::{On, PASSWORD, Reply, START, World, authorize_path, on_both};

const EVIL: &str = "evil.example";

/// Every header that some server believes about its own name.
fn claims_of_a_name(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request
        .header("host", EVIL)
        .header("x-forwarded-host", EVIL)
        .header("x-forwarded-server", EVIL)
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-port", "444")
        .header("x-forwarded-prefix", "/evil")
        .header("x-original-url", "/evil")
        .header("x-rewrite-url", "/evil")
        .header("x-host", EVIL)
        .header("forwarded", "for=6.6.6.6;host=evil.example;proto=https")
}

async fn behind_proxies(on: On, proxies: &'static [&'static str]) -> Option<World> {
    World::with(on, Clock::manual(Timestamp::from_secs(START)), |settings| {
        settings.trusted_proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
    })
    .await
}

async fn believes_no_name(world: &World) {
    let client = world.web_client().await;
    world.add_user("ada").await;
    let token = cnx::flow::sign_in::link::first_administrator(world.app()).await.unwrap().unwrap();
    let paths = [
        "/.well-known/openid-configuration".to_owned(),
        "/.well-known/oauth-authorization-server".to_owned(),
        "/sign-in".to_owned(),
        "/nowhere".to_owned(),
        "/".to_owned(),
        "/account".to_owned(),
        "/oauth2/logout".to_owned(),
        "/oauth2/authorize?client_id=nobody".to_owned(),
        authorize_path(&client, &[]),
        authorize_path(&client, &[("prompt", "none")]),
        format!("/set-up?token={}", token.reveal()),
    ];
    for path in paths {
        let path = path.as_str();
        let plain = world.get(path).await;
        let claimed =
            Reply::of(claims_of_a_name(world.http.get(world.url(path))).send().await.unwrap()).await;
        assert_eq!(claimed.status, plain.status, "{path}");
        assert!(!claimed.text.contains("evil"), "{path}: {}", claimed.text);
        for (name, value) in &claimed.headers {
            assert!(!value.to_str().unwrap().contains("evil"), "{path}: {name}: {value:?}");
        }
        for cookie in claimed.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(!cookie.contains("Domain") && !cookie.contains("Secure"), "{path}: {cookie}");
        }
        if path.starts_with("/.well-known/") {
            assert_eq!(claimed.text, plain.text, "{path}");
            assert_eq!(claimed.json()["issuer"], world.base.as_str());
        }
    }
    // The form of a page counts as ours by the configured origin, not by what Host says.
    let form = [("username", "ada"), ("password", PASSWORD)];
    let request =
        world.http.post(world.url("/sign-in")).header("host", EVIL).header("origin", "http://evil.example");
    let reply = Reply::of(request.form(&form).send().await.unwrap()).await;
    assert_eq!(reply.status, 403, "{}", reply.text);
}

on_both! {
    async fn no_header_changes_who_we_are_s_h7(world: World) {
        believes_no_name(&world).await;
    }

    async fn a_link_that_is_sent_to_people_comes_from_the_configuration_s_h7_s_l14(world: World) {
        // What the set-up page's form and the redirect afterwards point to is relative: nothing to be poisoned.
        let token = cnx::flow::sign_in::link::first_administrator(world.app()).await.unwrap().unwrap();
        let request = claims_of_a_name(world.http.get(world.url(&format!("/set-up?token={}", token.reveal()))));
        let page = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(page.form(&[("link", token.reveal())]).action, "/set-up");
    }

    async fn x_forwarded_for_from_a_stranger_is_not_believed_s_h8(world: World) {
        let user = world.add_user("ada").await;
        assert_eq!(address_seen(&world, &user, &[("x-forwarded-for", "6.6.6.6")]).await, "127.0.0.1");
        assert_eq!(address_seen(&world, &user, &[("forwarded", "for=6.6.6.6")]).await, "127.0.0.1");
        assert_eq!(address_seen(&world, &user, &[("x-real-ip", "6.6.6.6")]).await, "127.0.0.1");
    }

    async fn errors_tell_nothing_of_our_inside_s_h9(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        // A fault of ours, made by taking a table away.
        world.app().store.write(|conn| drop_table(conn, "consents")).await.unwrap();
        world.app().store.write(|conn| drop_table(conn, "families")).await.unwrap();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let text = match page.location() {
            Some(location) => location,
            None => page.text.clone(),
        };
        let basic = (client.id.as_str(), client.secret.as_deref());
        let mut answers = vec![(page.status, text)];
        for (path, form) in [
            ("/oauth2/token", vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())]),
            ("/oauth2/introspect", vec![("token", tokens.access.as_str())]),
            ("/oauth2/revoke", vec![("token", tokens.refresh())]),
        ] {
            let request = world.http.post(world.url(path)).basic_auth(basic.0, basic.1).form(&form);
            let reply = Reply::of(request.send().await.unwrap()).await;
            assert_eq!((reply.status, reply.error().as_str()), (500, "server_error"), "{path}: {}", reply.text);
            answers.push((reply.status, reply.text));
        }
        let reply = world.user_info(&tokens.access).await;
        assert_eq!(reply.status, 500, "{}", reply.text);
        answers.push((reply.status, reply.text));
        for (status, text) in answers {
            for inside in ["families", "consents", "table", "relation", "SELECT", "select ", "diesel", "sqlite", "postgres", ".rs", "src/", "panicked", "/tmp"] {
                assert!(!text.contains(inside), "{status} tells {inside:?}: {text}");
            }
        }
    }
}

fn drop_table(conn: &mut cnx::store::Conn, table: &str) -> Result<(), cnx::store::StoreError> {
    use diesel::connection::SimpleConnection as _;
    conn.batch_execute(&format!("DROP TABLE {table}"))?;
    Ok(())
}

/// Signs in with these headers and gives the address that the session's row holds.
async fn address_seen(world: &World, user: &cnx::account::user::User, headers: &[(&str, &str)]) -> String {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    let form = page.form(&[("username", &user.username), ("password", PASSWORD)]);
    let mut request = world.http.post(world.url("/sign-in")).form(&form.fields);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = browser.send(request).await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    let (id, now) = (user.id, world.clock.now());
    let rows = world.app().store.read(move |conn| sessions::of_user(conn, id, now)).await.unwrap();
    let newest = rows.into_iter().max_by_key(|row| row.id.to_vec()).unwrap();
    let (id, at) = (newest.id, world.clock.now());
    world.app().store.write(move |conn| sessions::end(conn, id, at)).await.unwrap();
    newest.address.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_trusted_proxy_the_rightmost_untrusted_hop_is_the_client_s_h8() {
    let world = behind_proxies(On::Sqlite, &["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]).await.unwrap();
    let user = world.add_user("ada").await;
    for (headers, expected) in [
        (&[][..], "127.0.0.1"),
        (&[("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6, 203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.1.2.3")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6,203.0.113.7,10.1.2.3,fd00::1")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "::ffff:203.0.113.7")], "203.0.113.7"),
        (&[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        // Only proxies in the chain: the one that is farthest away.
        (&[("x-forwarded-for", "10.0.0.9, 10.0.0.8")], "10.0.0.9"),
        // What cannot be read ends the walk; nothing to the left of it is believed.
        (&[("x-forwarded-for", "6.6.6.6, garbage, 10.0.0.8")], "0.0.0.0"),
        (&[("x-forwarded-for", "6.6.6.6, 203.0.113.7:1234")], "203.0.113.7"),
        (&[("x-forwarded-for", "6.6.6.6, [2001:db8::7]:1234")], "2001:db8::7"),
        (&[("x-forwarded-for", "6.6.6.6, ")], "0.0.0.0"),
        (&[("x-forwarded-for", "b\u{fc}cher, 203.0.113.7")], "203.0.113.7"),
        // Other headers and other spellings of this one are nobody's word.
        (&[("x_forwarded_for", "6.6.6.6")], "127.0.0.1"),
        (&[("forwarded", "for=6.6.6.6"), ("x-real-ip", "6.6.6.6"), ("client-ip", "6.6.6.6")], "127.0.0.1"),
        (&[("true-client-ip", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
    ] {
        assert_eq!(address_seen(&world, &user, headers).await, expected, "{headers:?}");
    }
}

/// A trusted proxy tells where the client is, and nothing of who we are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_does_not_change_the_issuer_s_h7_s_h8() {
    let world = behind_proxies(On::Sqlite, &["127.0.0.1/32"]).await.unwrap();
    believes_no_name(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_out_of_the_assets_s_h9() {
    let world = World::new(On::Sqlite).await.unwrap();
    for path in [
        "/assets/",
        "/assets",
        "/assets/.",
        "/assets/..",
        "/assets/../Cargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/..%2FCargo.toml",
        "/assets/%2e%2e%2fCargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/assets/..%5cCargo.toml",
        "/assets/..\\Cargo.toml",
        "/assets/%252e%252e%252fCargo.toml",
        "/assets/....//Cargo.toml",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/app.css%00.svg",
        "/assets/app.css/",
        "/assets/.git",
        "/assets/.env",
        "/assets/app.css.bak",
        "/assets/APP.CSS",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.git/config",
        "/.env",
        "/cnx.toml",
        "/data/master.key",
        "/static/app.css",
        "/.well-known/",
        "/.well-known/../healthz/x",
        "/oauth2/../.env",
        "/oauth2/token/../../.env",
    ] {
        let heard = get(&world.base, path);
        assert!(matches!(heard.status(), 400 | 404), "{path}: {}", heard.text);
        assert!(!heard.text.contains("root:") && !heard.text.contains("[package]"), "{path}");
        assert!(
            !heard.body().contains("/tmp") && !heard.body().contains(env!("CARGO_MANIFEST_DIR")),
            "{path}: {}",
            heard.body()
        );
    }
    // An absolute address in the request line names its path and nothing else.
    let absolute = "GET http://evil.example/.well-known/openid-configuration HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let heard = exchange(&world.base, absolute.as_bytes(), std::time::Duration::from_secs(5));
    assert!(!heard.text.contains("evil.example"), "{}", heard.text);
}
