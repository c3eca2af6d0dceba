//! Client secrets: made, kept, compared, rotated, and how fast they may be guessed (S-T8 to S-T12).

use std::time::{Duration, Instant};

use cnx::base::seal::MacPurpose;
use cnx::flow::clients;
use serde_json::json;

use crate::token_requests::{basic, granted, post_raw, refused, tokens};
use crate::world::{Reply, TestClient, World, by, on_both};

const TOKEN: &str = "/oauth2/token";
const GRANT: &str = "grant_type=client_credentials";

async fn by_basic(world: &World, id: &str, secret: &str) -> Reply {
    post_raw(world, TOKEN, Some(&basic(&format!("{id}:{secret}"))), GRANT).await
}

async fn by_body(world: &World, id: &str, secret: &str) -> Reply {
    world
        .post(
            TOKEN,
            None,
            &[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)],
        )
        .await
}

/// An answer without what differs from request to request anyway.
fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let per_request = ["date", "x-request-id", "request-id"];
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| !per_request.contains(&name.as_str()))
        .collect();
    headers.sort();
    (reply.status, headers, reply.text.clone())
}

async fn disable(world: &World, client: &TestClient, disabled: bool) {
    let (id, now) = (client.id.parse().unwrap(), world.clock.now());
    let app = world.app();
    app.store
        .write(move |conn| cnx::store::clients::set_disabled(conn, &id, disabled.then_some(now), now))
        .await
        .unwrap();
    app.catch_up().await.unwrap();
}

on_both! {
    async fn a_secret_is_right_in_every_byte_or_wrong_s_t8(world: World) {
        // Longer than bcrypt's 72 bytes, which share a prefix with another secret.
        let long = format!("{}-tail-A", "p".repeat(80));
        let client = world.add_client(json!({"client_secret": long})).await;
        let made = world.web_client().await;
        for (client, right) in [(&client, long.as_str()), (&made, made.secret())] {
            granted(&by_basic(&world, &client.id, right).await);
            let mut swapped = right.to_owned();
            let last = swapped.pop().unwrap();
            swapped.push(if last.is_ascii_lowercase() { last.to_ascii_uppercase() } else { last.to_ascii_lowercase() });
            if last.is_ascii_digit() {
                swapped.push('x');
            }
            let twins = [
                right[..right.len() - 1].to_owned(),
                right[1..].to_owned(),
                format!("{right}x"),
                format!("x{right}"),
                format!("{right} "),
                format!("{right}\n"),
                right[..72.min(right.len() - 1)].to_owned(),
                right.to_uppercase(),
                swapped,
                right.replacen('-', "%2D", 1).replacen('_', "%5F", 1).replace('%', "%25"),
            ];
            for twin in &twins {
                refused(&by_basic(&world, &client.id, twin).await, 401, "invalid_client");
            }
            // A NUL, and what comes behind it, is part of the secret; in a body it is no legal parameter at all (S-A28).
            refused(&by_basic(&world, &client.id, &format!("{right}\0")).await, 401, "invalid_client");
            refused(&by_basic(&world, &client.id, &format!("{right}%00")).await, 401, "invalid_client");
            refused(&by_body(&world, &client.id, &format!("{right}\0")).await, 400, "invalid_request");
            world.advance(120);
            for twin in &twins {
                refused(&by_body(&world, &client.id, twin).await, 401, "invalid_client");
            }
            world.advance(120);
        }
        // Another client's secret is as wrong as any.
        refused(&by_basic(&world, &made.id, &long).await, 401, "invalid_client");
    }

    async fn a_secret_has_256_random_bits_and_only_its_keyed_hash_is_kept_s_t9_pitfall_5(world: World) {
        let (one, two) = (world.web_client().await, world.web_client().await);
        for client in [&one, &two] {
            let random = client.secret().strip_prefix("cnx_cs_").unwrap();
            assert!(random.bytes().all(|b| b.is_ascii_alphanumeric()), "reads alike escaped or not (C1)");
            assert_eq!(random.len(), 43, "32 bytes in base62");
            assert!(!world.stores(client.secret()).await);
            assert!(!world.stores(random).await);
            // What is kept, and compared, is the hash under the server's key: no length or prefix can be measured.
            let row = world.client_row(&client.id).await;
            let mac = world.app().vault.mac(MacPurpose::ClientSecret, &[client.id.as_bytes(), client.secret().as_bytes()]);
            assert_eq!(row.secrets.len(), 1);
            assert_eq!(row.secrets[0].fingerprint.as_bytes(), &mac);
            assert!(!format!("{row:?}").contains(random));
        }
        assert_ne!(one.secret(), two.secret());
        let same: usize = one.secret().bytes().zip(two.secret().bytes()).skip(7).filter(|(a, b)| a == b).count();
        assert!(same < 12, "two secrets have {same} of 43 characters in common");
    }

    async fn an_unknown_client_reads_like_a_wrong_secret_s_t10(world: World) {
        let (client, public) = (world.web_client().await, world.public_client().await);
        let absent = "app_0000000000000000";
        let wrong = seen(&by_basic(&world, &client.id, "wrong").await);
        assert_eq!(wrong.0, 401);
        assert_eq!(wrong, seen(&by_basic(&world, absent, "wrong").await));
        assert_eq!(wrong, seen(&by_basic(&world, &public.id, "wrong").await));
        let disabled = world.web_client().await;
        disable(&world, &disabled, true).await;
        assert_eq!(wrong, seen(&by_basic(&world, &disabled.id, disabled.secret()).await));
        let wrong = seen(&by_body(&world, &client.id, "wrong").await);
        assert_eq!(wrong, seen(&by_body(&world, absent, "wrong").await));
        assert_eq!(wrong, seen(&by_body(&world, &disabled.id, disabled.secret()).await));
        let nothing = |id: String| { let world = &world; async move {
            seen(&world.post(TOKEN, None, &[("grant_type", "client_credentials"), ("client_id", &id)]).await)
        }};
        assert_eq!(nothing(client.id.clone()).await, nothing(absent.to_owned()).await);

        // Neither does the time tell. Both ways do the same work; the bound is loose for machines that are busy.
        let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
        for round in 0..60 {
            if round % 15 == 0 {
                world.advance(200);
            }
            for (id, times) in [client.id.as_str(), absent].into_iter().zip(&mut times) {
                let begun = Instant::now();
                assert_eq!(by_basic(&world, id, "wrong").await.status, 401);
                times.push(begun.elapsed());
            }
        }
        let [known, unknown] = times.map(|mut all| { all.sort(); all[all.len() / 2] });
        let (less, more) = (known.min(unknown), known.max(unknown));
        assert!(more < less * 2 + Duration::from_millis(1), "known {known:?}, unknown {unknown:?}");
    }

    async fn guessing_secrets_is_slowed_down_s_t11(world: World) {
        let (client, other) = (world.web_client().await, world.web_client().await);
        let encoded = client.id.replacen('_', "%5F", 1);
        // Every spelling of the same client counts as one, at every endpoint, and another client's success wipes nothing.
        for round in 0..5 {
            for reply in [
                by_basic(&world, &client.id, &format!("guess-{round}")).await,
                by_basic(&world, &encoded, &format!("guess-{round}")).await,
                by_body(&world, &client.id, &format!("guess-{round}")).await,
                post_raw(&world, "/oauth2/introspect", Some(&basic(&format!("{}:guess", client.id))), "token=x").await,
            ] {
                refused(&reply, 401, "invalid_client");
            }
            granted(&by_basic(&world, &other.id, other.secret()).await);
        }
        for reply in [
            by_basic(&world, &client.id, "guess").await,
            by_basic(&world, &encoded, "guess").await,
            by_basic(&world, &client.id, client.secret()).await,
            by_body(&world, &client.id, client.secret()).await,
            post_raw(&world, "/oauth2/introspect", Some(&basic(&client.credentials())), "token=x").await,
            post_raw(&world, "/oauth2/revoke", Some(&basic(&client.credentials())), "token=x").await,
        ] {
            refused(&reply, 429, "temporarily_unavailable");
            let wait: i64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=120).contains(&wait), "{wait}");
        }
        // A header that anybody can write is no other place.
        let request = world.http.post(world.url(TOKEN)).basic_auth(&client.id, client.secret.as_ref());
        let request = request.header("x-forwarded-for", "203.0.113.7").form(&[("grant_type", "client_credentials")]);
        refused(&Reply::of(request.send().await.unwrap()).await, 429, "temporarily_unavailable");
        granted(&by_basic(&world, &other.id, other.secret()).await);
        // The window slides: half a minute is not enough, two are.
        world.advance(30);
        refused(&by_basic(&world, &client.id, client.secret()).await, 429, "temporarily_unavailable");
        world.advance(90);
        granted(&by_basic(&world, &client.id, client.secret()).await);
    }

    async fn a_throttled_unknown_client_reads_like_a_known_one_s_t10_s_t11(world: World) {
        let client = world.web_client().await;
        let mut answers = Vec::new();
        for id in [client.id.as_str(), "app_0000000000000000"] {
            for _ in 0..20 {
                refused(&by_basic(&world, id, "guess").await, 401, "invalid_client");
            }
            answers.push(seen(&by_basic(&world, id, "guess").await));
        }
        assert_eq!(answers[0].0, 429);
        assert_eq!(answers[0], answers[1]);
    }

    async fn a_disabled_client_is_no_client_s_t12(world: World) {
        let (client, public) = (world.web_client().await, world.public_client().await);
        world.add_user("ada").await;
        let mut given = Vec::new();
        for client in [&client, &public] {
            given.push((client, tokens(&world, client, "ada").await));
        }
        for (client, _) in &given {
            disable(&world, client, true).await;
        }
        refused(&by_basic(&world, &client.id, client.secret()).await, 401, "invalid_client");
        refused(&by_body(&world, &client.id, client.secret()).await, 401, "invalid_client");
        for (client, tokens) in &given {
            let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
            refused(&world.token(client, &form).await, 401, "invalid_client");
            assert_eq!(world.user_info(&tokens.access).await.status, 401);
        }
        for (client, tokens) in &given {
            disable(&world, client, false).await;
            let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
            granted(&world.token(client, &form).await);
        }
    }

    async fn a_rotated_secret_works_for_its_overlap_and_no_longer_s_t12(world: World) {
        let mut world = world;
        let client = world.web_client().await;
        let first = client.secret().to_owned();
        let rotate = |overlap: i64| {
            let (world, id) = (&world, client.id.clone());
            async move { clients::rotate_secret(world.app(), by(), &id, overlap).await.unwrap().reveal().clone() }
        };
        let second = rotate(3600).await;
        assert_ne!(first, second);
        for secret in [&first, &second] {
            granted(&by_basic(&world, &client.id, secret).await);
        }
        world.advance(3599);
        granted(&by_basic(&world, &client.id, &first).await);
        world.advance(1);
        refused(&by_basic(&world, &client.id, &first).await, 401, "invalid_client");
        granted(&by_basic(&world, &client.id, &second).await);

        // Never more than two, and a promise is kept: no third while the one before works for its overlap.
        let third = rotate(3600).await;
        let early = clients::rotate_secret(world.app(), by(), &client.id, 60).await.unwrap_err().to_string();
        assert!(early.contains("works until") && early.contains("--overlap 0"), "{early}");
        for secret in [&second, &third] {
            granted(&by_basic(&world, &client.id, secret).await);
        }
        world.advance(3600);
        let fourth = rotate(60).await;
        for secret in [&third, &fourth] {
            granted(&by_basic(&world, &client.id, secret).await);
        }
        // Without overlap there is one.
        let fifth = rotate(0).await;
        for old in [&third, &fourth] {
            refused(&by_basic(&world, &client.id, old).await, 401, "invalid_client");
        }
        assert_eq!(world.client_row(&client.id).await.secrets.len(), 1);
        world.restart().await;
        granted(&by_basic(&world, &client.id, &fifth).await);
        refused(&by_basic(&world, &client.id, &fourth).await, 401, "invalid_client");
    }
}
