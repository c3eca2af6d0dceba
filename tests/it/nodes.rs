//! Several processes on one database: a key that rotates in mid-traffic (F16), a change by another node or the command
//! line that is in force within a second (P3, S-L11).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cnx::app::{App, Role};
use cnx::base::algorithm::Algorithm;
use cnx::base::entropy::Entropy;
use cnx::base::id::ClientId;
use cnx::flow::{clients, people, signing_keys};
use cnx::store::clients as client_rows;
use cnx::{Running, serve};
use serde_json::json;

use crate::offline::{self, key_set_of, kid, kids};
use crate::world::{Reply, TestClient, Tokens, World, authorize_path, by, free_port, on_both};

/// The command line, or whatever else looks at the same database.
pub async fn tool(world: &World) -> Arc<App> {
    App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), Role::Tool).await.unwrap()
}

/// A second node of the same issuer. An SQLite file has one node (F24), so there it stands in for one as a tool that listens.
pub async fn second_node(world: &World) -> (Running, String) {
    let mut settings = world.settings.clone();
    settings.listen.set_port(free_port());
    let base = format!("http://localhost:{}", settings.listen.port());
    let role = if settings.database_url.is_sqlite() { Role::Tool } else { Role::Server };
    let app = App::open(settings, world.clock.clone(), Entropy::system(), role).await.unwrap();
    (serve(app, None).await.unwrap(), base)
}

pub async fn own_token(world: &World, base: &str, client: &TestClient) -> String {
    let request =
        world.http.post(format!("{base}/oauth2/token")).basic_auth(&client.id, client.secret.as_deref());
    let reply = Reply::of(request.form(&[("grant_type", "client_credentials")]).send().await.unwrap()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Tokens::of(&reply).access
}

pub async fn is_active(http: &reqwest::Client, base: &str, client: &TestClient, token: &str) -> bool {
    let request =
        http.post(format!("{base}/oauth2/introspect")).basic_auth(&client.id, client.secret.as_deref());
    let reply = Reply::of(request.form(&[("token", token)]).send().await.unwrap()).await;
    reply.status == 200 && reply.json()["active"] == true
}

/// Waits for at most the promised second, and says what it waited for.
pub async fn within_a_second<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        // Not so often that a client that is not known yet is told to slow down.
        assert!(began.elapsed() < Duration::from_secs(1), "{what}: not in force after a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

on_both! {
    #[expect(clippy::too_many_lines, reason = "one story, told in order")]
    async fn keys_rotate_in_mid_traffic_and_no_token_fails_to_verify_f16(world: World) {
        let client = world.web_client().await;
        let (first, (second, second_base)) = (world.base.clone(), second_node(&world).await);
        let mut second = Some(second);
        let (max_age, propagation) =
            (world.settings.signing.jwks_max_age_seconds, world.settings.key_propagation_seconds());
        // Traffic that never pauses: a token of either node is shown to the first one, which stays up.
        let (done, failed, checked) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let traffic = {
            let (done, failed, checked) = (done.clone(), failed.clone(), checked.clone());
            let (http, base, client) = (world.http.clone(), first.clone(), client.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let request = http
                        .post(format!("{base}/oauth2/token"))
                        .basic_auth(&client.id, client.secret.as_deref());
                    let reply = Reply::of(
                        request.form(&[("grant_type", "client_credentials")]).send().await.unwrap(),
                    )
                    .await;
                    let good = reply.status == 200
                        && is_active(&http, &base, &client, &Tokens::of(&reply).access).await;
                    failed.fetch_add(usize::from(!good), Ordering::SeqCst);
                    checked.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let published_since =
            |seen: &mut HashMap<(usize, String), i64>, node: usize, kids: Vec<String>, now: i64| {
                for kid in kids {
                    seen.entry((node, kid)).or_insert(now);
                }
            };
        let mut seen: HashMap<(usize, String), i64> = HashMap::new();
        let mut alive: Vec<(i64, String)> = Vec::new();
        let mut signers = Vec::new();
        let began = world.now();
        for step in 0..34 {
            let now = world.now();
            if step == 3 {
                // Both nodes ask for the next key at the same moment: one key comes of it.
                let node = second.as_ref().unwrap();
                let (a, b) = tokio::join!(
                    signing_keys::rotate(world.app(), by(), Algorithm::Es256, false),
                    signing_keys::rotate(node.app(), by(), Algorithm::Es256, false)
                );
                assert_eq!(a.unwrap(), b.unwrap());
                within_a_second("both nodes publish the same keys", || async {
                    key_set_of(&world, &first).await == key_set_of(&world, &second_base).await
                })
                .await;
            }
            if step == 12 {
                second.take().unwrap().stop().await;
                let mut settings = world.settings.clone();
                settings.listen.set_port(second_base.rsplit(':').next().unwrap().parse().unwrap());
                let role = if settings.database_url.is_sqlite() { Role::Tool } else { Role::Server };
                let app = App::open(settings, world.clock.clone(), Entropy::system(), role).await.unwrap();
                second = Some(serve(app, None).await.unwrap());
            }
            let sets = [key_set_of(&world, &first).await, key_set_of(&world, &second_base).await];
            for (node, set) in sets.iter().enumerate() {
                published_since(&mut seen, node, kids(set), now);
            }
            for base in [&first, &second_base] {
                let token = own_token(&world, base, &client).await;
                let kid = kid(&token);
                for (node, set) in sets.iter().enumerate() {
                    assert!(
                        offline::verify_access_token(set, &token).is_some(),
                        "step {step}: node {node} does not publish {kid}"
                    );
                    let since = seen[&(node, kid.clone())];
                    assert!(
                        since == began || now - since >= max_age,
                        "step {step}: a cache may not know {kid} yet"
                    );
                }
                if !signers.contains(&kid) {
                    signers.push(kid);
                }
                alive.push((now + 600, token));
            }
            alive.retain(|(until, _)| now < *until);
            for (_, token) in alive.iter().step_by(3) {
                for base in [&first, &second_base] {
                    assert!(
                        is_active(&world.http, base, &client, token).await,
                        "step {step}: {} at {base}",
                        kid(token)
                    );
                }
                assert!(offline::verify_access_token(&sets[0], token).is_some(), "step {step}");
            }
            world.advance(30);
        }
        assert!(world.now() - began > propagation + 90 + 200, "the turn was passed");
        assert!(signers.len() >= 2, "nothing rotated: {signers:?}");
        done.store(true, Ordering::SeqCst);
        traffic.await.unwrap();
        assert_eq!(failed.load(Ordering::SeqCst), 0);
        assert!(checked.load(Ordering::SeqCst) > 30, "there was traffic");
        if let Some(second) = second {
            second.stop().await;
        }
    }

    async fn two_nodes_that_start_or_rotate_together_make_one_key_f16(world: World) {
        let (node, base) = second_node(&world).await;
        world.advance(world.settings.signing.rotate_seconds - world.settings.key_propagation_seconds());
        let (a, b) =
            tokio::join!(signing_keys::keep_current(world.app()), signing_keys::keep_current(node.app()));
        a.unwrap();
        b.unwrap();
        within_a_second("the same six keys", || async {
            let (first, second) = (key_set_of(&world, &world.base).await, key_set_of(&world, &base).await);
            first == second && kids(&first).len() == 6
        })
        .await;
        // One administrator is in a hurry, another is not. Whoever is first: what the hurried one was told signs.
        world.advance(world.settings.key_propagation_seconds());
        let (hurried, patient) = tokio::join!(
            signing_keys::rotate(world.app(), by(), Algorithm::Es256, true),
            signing_keys::rotate(node.app(), by(), Algorithm::Es256, false)
        );
        let (hurried, patient) = (hurried.unwrap(), patient.unwrap());
        let client = world.web_client().await;
        assert_eq!(kid(&own_token(&world, &world.base, &client).await), hurried);
        within_a_second("both nodes sign with it", || async {
            node.app().catch_up().await.unwrap();
            kid(&own_token(&world, &base, &client).await) == hurried
        })
        .await;
        let made = kids(&key_set_of(&world, &base).await);
        assert!(made.contains(&hurried) && made.contains(&patient), "{made:?}");
        node.stop().await;
    }

    async fn what_the_command_line_changes_is_in_force_within_a_second_p3(world: World) {
        let tool = tool(&world).await;
        let client = world.web_client().await;
        let asks = |client: &TestClient| {
            let client = client.clone();
            let world = &world;
            async move { world.token(&client, &[("grant_type", "client_credentials")]).await.status }
        };
        // A client is added.
        let (id, secret, metadata) = cnx::oauth::client_registration::from_json(
            &json!({"client_name": "Late", "redirect_uris": ["https://late.example/cb"], "grant_types": ["client_credentials", "authorization_code"]}).to_string(),
        ).unwrap();
        let (added, secret) = clients::add(&tool, by(), metadata, id, secret).await.unwrap();
        let late = TestClient { id: added.id.to_string(), secret: secret.map(|s| s.reveal().clone()) };
        within_a_second("a new client", || async { asks(&late).await == 200 }).await;
        let preflight = || async {
            let request = world
                .http
                .request(reqwest::Method::OPTIONS, world.url("/oauth2/token"))
                .header("origin", "https://late.example");
            request.send().await.unwrap().headers().contains_key("access-control-allow-origin")
        };
        assert!(preflight().await, "its origin came with it");
        // Its secret is changed, without overlap: the old one is dead.
        let token = own_token(&world, &world.base, &late).await;
        world.advance(61);
        let secret = clients::rotate_secret(&tool, by(), &late.id, 0).await.unwrap();
        let renewed = TestClient { secret: Some(secret.reveal().clone()), ..late.clone() };
        within_a_second("a new secret", || async { asks(&renewed).await == 200 }).await;
        assert_eq!(asks(&late).await, 401);
        // Its registration is changed, it is disabled, enabled, deleted.
        let of_late: ClientId = late.id.parse().unwrap();
        let mut changed = added.metadata.clone();
        changed.redirect_uris = vec!["https://moved.example/cb".to_owned()];
        let (row, now) = (of_late.clone(), tool.now());
        tool.store.write(move |conn| client_rows::update(conn, &row, &changed, now)).await.unwrap();
        within_a_second("a new redirect URI", || async { !preflight().await }).await;
        for disabled in [true, false] {
            world.advance(61);
            let row = of_late.clone();
            tool.store
                .write(move |conn| client_rows::set_disabled(conn, &row, disabled.then_some(now), now))
                .await
                .unwrap();
            let expected = if disabled { 401 } else { 200 };
            within_a_second("disabled or enabled", || async { asks(&renewed).await == expected }).await;
        }
        assert!(is_active(&world.http, &world.base, &renewed, &token).await);
        clients::delete(&tool, by(), &late.id).await.unwrap();
        within_a_second("deleted", || async { asks(&renewed).await == 401 }).await;

        // Keys: a new one is published, signs at once where asked, and is dead when revoked.
        let waiting = signing_keys::rotate(&tool, by(), Algorithm::Es256, false).await.unwrap();
        within_a_second("a new key is published", || async {
            kids(&offline::key_set(&world).await).contains(&waiting)
        })
        .await;
        let urgent = signing_keys::rotate(&tool, by(), Algorithm::Es256, true).await.unwrap();
        assert_eq!(urgent, waiting, "the one that waits is the next one");
        within_a_second("a new key signs", || async {
            kid(&own_token(&world, &world.base, &client).await) == urgent
        })
        .await;
        let token = own_token(&world, &world.base, &client).await;
        assert!(signing_keys::revoke(&tool, by(), &urgent).await.unwrap());
        within_a_second("a revoked key", || async {
            !is_active(&world.http, &world.base, &client, &token).await
        })
        .await;
        assert!(!kids(&offline::key_set(&world).await).contains(&urgent));
        assert_ne!(kid(&own_token(&world, &world.base, &client).await), urgent);
    }

    async fn a_disabled_person_is_out_everywhere_at_once_s_l11_p3(world: World) {
        let (node, base) = second_node(&world).await;
        let tool = tool(&world).await;
        let user = world.add_user("ada").await;
        let client = world.web_client().await;
        let browsers = [world.browser(), world.browser()];
        let mut grants = Vec::new();
        for browser in &browsers {
            for scope in ["openid read", "openid read offline_access"] {
                grants.push(browser.tokens(&world, &client, &[("scope", scope)], "ada").await);
            }
        }
        let code = browsers[0].authorize(&authorize_path(&client, &[]), "ada").await.code();
        node.app().catch_up().await.unwrap();
        people::set_disabled(&tool, by(), user.id, true).await.unwrap();

        for base in [&world.base, &base] {
            for tokens in &grants {
                let info = world
                    .http
                    .get(format!("{base}/oauth2/userinfo"))
                    .bearer_auth(&tokens.access)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(info.status(), 401);
                assert!(!is_active(&world.http, base, &client, &tokens.access).await);
                assert!(!is_active(&world.http, base, &client, tokens.refresh()).await);
                let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
                let request = world
                    .http
                    .post(format!("{base}/oauth2/token"))
                    .basic_auth(&client.id, client.secret.as_deref())
                    .form(&form);
                let reply = Reply::of(request.send().await.unwrap()).await;
                assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_grant"));
            }
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", crate::world::CALLBACK),
            ("code_verifier", crate::world::VERIFIER),
        ];
        let reply = world.token(&client, &form).await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (400, "invalid_grant"),
            "a code that was under way"
        );
        for browser in &browsers {
            let silent = browser.open(&authorize_path(&client, &[("prompt", "none")])).await.callback();
            assert_eq!(silent.error(), "login_required");
            assert_eq!(browser.get("/account").await.location().as_deref(), Some("/sign-in?next=%2Faccount"));
            let page = browser.open(&authorize_path(&client, &[])).await;
            let refused = browser.sign_in(&page, "ada").await;
            assert!(
                refused.location().is_none() && refused.text.contains("sign-in-submit"),
                "{}",
                refused.text
            );
        }
        // Enabled again, the person signs in anew; nothing of before comes back.
        people::set_disabled(&tool, by(), user.id, false).await.unwrap();
        assert!(!is_active(&world.http, &world.base, &client, grants[1].refresh()).await);
        let again = browsers[0].tokens(&world, &client, &[], "ada").await;
        assert_eq!(world.user_info(&again.access).await.status, 200);
        node.stop().await;
    }
}
