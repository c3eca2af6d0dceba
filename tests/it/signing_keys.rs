//! The life of a signing key, by the clock: published, signing, retired, gone; revoked at once (OIDC Core §10.1.1).

use cnx::base::algorithm::Algorithm;
use cnx::base::seal::Purpose;
use cnx::flow::signing_keys;
use cnx::jose::keyring::KeyState;
use serde_json::json;

use crate::offline::{self, key_set, kid, kids};
use crate::world::{TestClient, Tokens, World, authorize_path, by, on_both};

const ES: Algorithm = Algorithm::Es256;

/// A client's own access token, signed with ES256.
async fn token(world: &World, client: &TestClient) -> String {
    let reply = world.token(client, &[("grant_type", "client_credentials")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Tokens::of(&reply).access
}

fn state(world: &World, kid: &str) -> Option<KeyState> {
    let ring = world.app().keyring(world.app().now()).unwrap();
    ring.describe().iter().find(|key| key.kid == kid).map(|key| key.state)
}

async fn rotate(world: &World, alg: Algorithm, at_once: bool) -> String {
    signing_keys::rotate(world.app(), by(), alg, at_once).await.unwrap()
}

async fn is_active(world: &World, client: &TestClient, token: &str) -> bool {
    world.introspect(client, token).await["active"] == true
}

on_both! {
    async fn a_new_key_is_published_before_it_signs_and_an_old_one_after_r68_s_m6(world: World) {
        let client = world.web_client().await;
        let propagation = world.settings.key_propagation_seconds();
        let old = kid(&token(&world, &client).await);
        let new = rotate(&world, ES, false).await;
        assert_ne!(old, new);
        let published = kids(&key_set(&world).await);
        let place = |kids: &[String], kid: &str| kids.iter().position(|k| k == kid).unwrap();
        // Some clients take the first key that fits: the one that signs comes first.
        assert!(place(&published, &old) < place(&published, &new));
        assert_eq!(state(&world, &new), Some(KeyState::Published));
        assert_eq!(kid(&token(&world, &client).await), old);

        world.advance(propagation - 1);
        let last = token(&world, &client).await;
        assert_eq!(kid(&last), old, "one second too early");
        world.advance(1);
        let first = token(&world, &client).await;
        assert_eq!(kid(&first), new);
        assert_eq!(
            (state(&world, &old), state(&world, &new)),
            (Some(KeyState::Retired), Some(KeyState::Signing))
        );
        let keys = key_set(&world).await;
        assert!(place(&kids(&keys), &new) < place(&kids(&keys), &old));
        for token in [&last, &first] {
            assert!(offline::verify_access_token(&keys, token).is_some(), "both verify");
            assert!(is_active(&world, &client, token).await);
        }
        // What is of no more use for signing is wiped; its public half stays until the last token has died everywhere.
        signing_keys::keep_current(world.app()).await.unwrap();
        let stored = world.app().stored_keys();
        assert!(stored.iter().any(|key| key.kid == old && key.private_der.is_none()));
        assert!(stored.iter().any(|key| key.kid == new && key.private_der.is_some()));
        world.advance(3600 + 60 - 1);
        assert!(kids(&key_set(&world).await).contains(&old));
        world.advance(1);
        assert!(!kids(&key_set(&world).await).contains(&old));
        assert_eq!(state(&world, &old), Some(KeyState::Remembered));
        world.advance(400 * 86_400);
        signing_keys::keep_current(world.app()).await.unwrap();
        assert!(world.app().stored_keys().iter().all(|key| key.kid != old), "forgotten at last");
    }

    async fn keys_rotate_by_themselves_and_no_id_is_used_twice_s_m6(world: World) {
        let every = world.settings.signing.rotate_seconds;
        let propagation = world.settings.key_propagation_seconds();
        let mut seen = kids(&key_set(&world).await);
        assert_eq!(seen.len(), 3);
        for turn in 1..=2 {
            let before: Vec<Option<String>> = Algorithm::ALL.map(|alg| signer(&world, alg)).to_vec();
            world.advance(every - propagation - 1);
            signing_keys::keep_current(world.app()).await.unwrap();
            assert!(
                kids(&key_set(&world).await).iter().all(|kid| seen.contains(kid)),
                "turn {turn}: nothing is due yet"
            );
            world.advance(1);
            signing_keys::keep_current(world.app()).await.unwrap();
            signing_keys::keep_current(world.app()).await.unwrap();
            let published = kids(&key_set(&world).await);
            let new: Vec<String> = published.iter().filter(|kid| !seen.contains(kid)).cloned().collect();
            assert_eq!(new.len(), 3, "turn {turn}: one of each algorithm, made once: {published:?}");
            assert_eq!(
                Algorithm::ALL.map(|alg| signer(&world, alg)).to_vec(),
                before,
                "turn {turn}: not signing yet"
            );
            world.advance(propagation);
            for alg in Algorithm::ALL {
                assert!(new.contains(&signer(&world, alg).unwrap()), "turn {turn}: {alg}");
            }
            seen.extend(new);
        }
    }

    async fn the_hint_of_a_retired_key_is_still_good_and_of_a_revoked_one_never(world: World) {
        world.add_user("ada").await;
        let client =
            world.add_client(json!({"post_logout_redirect_uris": ["https://app.example/bye"]})).await;
        let browser = world.browser();
        let old = browser.tokens(&world, &client, &[], "ada").await;
        let retired = kid(old.id());
        rotate(&world, Algorithm::Rs256, false).await;
        world.advance(world.settings.key_propagation_seconds() + 3600 + 60);
        signing_keys::keep_current(world.app()).await.unwrap();
        assert!(!kids(&key_set(&world).await).contains(&retired));
        assert_eq!(state(&world, &retired), Some(KeyState::Remembered));

        let silent = |hint: &str| authorize_path(&client, &[("prompt", "none"), ("id_token_hint", hint)]);
        assert!(!browser.open(&silent(old.id())).await.callback().code().is_empty());
        let revoked = browser.tokens(&world, &client, &[], "ada").await;
        assert_ne!(kid(revoked.id()), retired);
        assert!(signing_keys::revoke(world.app(), by(), &kid(revoked.id())).await.unwrap());
        let refused = browser.open(&silent(revoked.id())).await.callback();
        assert_eq!((refused.error(), refused.get("code")), ("login_required", None));
        let logout = |hint: &str| {
            format!(
                "/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye"
            )
        };
        let page = browser.get(&logout(revoked.id())).await;
        assert_eq!((page.status, page.location()), (400, None));
        let led_back = browser.get(&logout(old.id())).await;
        assert_eq!((led_back.status, led_back.location().as_deref()), (303, Some("https://app.example/bye")));
    }

    async fn a_key_that_may_not_wait_signs_at_once_and_its_predecessor_still_verifies(world: World) {
        let client = world.web_client().await;
        let before = token(&world, &client).await;
        let new = rotate(&world, ES, true).await;
        let after = token(&world, &client).await;
        assert_eq!(kid(&after), new);
        let keys = key_set(&world).await;
        for token in [&before, &after] {
            assert!(offline::verify_access_token(&keys, token).is_some());
            assert!(is_active(&world, &client, token).await);
        }
        assert_eq!(state(&world, &kid(&before)), Some(KeyState::Retired));
    }

    async fn a_key_that_waits_for_its_turn_is_the_next_one_and_none_is_made_beside_it(world: World) {
        let client = world.web_client().await;
        let propagation = world.settings.key_propagation_seconds();
        let old = kid(&token(&world, &client).await);
        let waiting = rotate(&world, ES, false).await;
        world.advance(propagation / 2);
        assert_eq!(rotate(&world, ES, false).await, waiting, "asked again");
        assert_eq!(kids(&key_set(&world).await).len(), 4, "three algorithms, and the one that waits");
        assert_eq!(kid(&token(&world, &client).await), old, "asking again brings nothing forward");
        // In a hurry, the one that waits signs: caches may know it already.
        assert_eq!(rotate(&world, ES, true).await, waiting);
        assert_eq!(kids(&key_set(&world).await).len(), 4);
        assert_eq!(kid(&token(&world, &client).await), waiting);
        assert_eq!(
            (state(&world, &old), state(&world, &waiting)),
            (Some(KeyState::Retired), Some(KeyState::Signing))
        );
        for key in world.app().keyring(world.app().now()).unwrap().describe() {
            assert!(key.retires_at.is_none_or(|end| end > key.sign_from), "{key:?} never signs");
        }
        // Its turn is over: the next one is another.
        let next = rotate(&world, ES, false).await;
        assert!(next != waiting && next != old);
        world.advance(propagation);
        assert_eq!(kid(&token(&world, &client).await), next);
    }

    async fn a_revoked_key_verifies_nothing_from_that_moment_on(world: World) {
        world.add_user("ada").await;
        let client = world.web_client().await;
        let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
        let own = token(&world, &client).await;
        let revoked = kid(&own);
        assert_eq!(kid(&tokens.access), revoked);
        assert!(is_active(&world, &client, &own).await);
        assert!(signing_keys::revoke(world.app(), by(), &revoked).await.unwrap());

        let keys = key_set(&world).await;
        assert!(!kids(&keys).contains(&revoked) && kids(&keys).len() == 3, "a successor is there");
        assert!(offline::verify_access_token(&keys, &own).is_none());
        assert!(!is_active(&world, &client, &own).await && !is_active(&world, &client, &tokens.access).await);
        assert_eq!(world.user_info(&tokens.access).await.status, 401);
        let next = token(&world, &client).await;
        assert_ne!(kid(&next), revoked);
        assert!(
            is_active(&world, &client, &next).await && offline::verify_access_token(&keys, &next).is_some()
        );
        // The grant is not the key's: a refresh gives tokens that are good.
        let reply = world
            .token(&client, &[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())])
            .await;
        assert_eq!(world.user_info(&Tokens::of(&reply).access).await.status, 200);

        assert!(!signing_keys::revoke(world.app(), by(), "nobody").await.unwrap());
        assert!(!signing_keys::revoke(world.app(), by(), &revoked).await.unwrap(), "once");
        // Revoking one that was only published leaves the signing one alone.
        let waiting = rotate(&world, ES, false).await;
        assert!(signing_keys::revoke(world.app(), by(), &waiting).await.unwrap());
        assert_eq!(kid(&token(&world, &client).await), kid(&next));
        assert!(!kids(&key_set(&world).await).contains(&waiting));
        // Revoking the one that signs brings the one that waits in before its turn, and the list says so.
        let waiting = rotate(&world, ES, false).await;
        assert!(signing_keys::revoke(world.app(), by(), &kid(&next)).await.unwrap());
        assert_eq!(kid(&token(&world, &client).await), waiting);
        let last = rotate(&world, ES, true).await;
        assert_eq!(kid(&token(&world, &client).await), last);
        let ring = world.app().keyring(world.app().now()).unwrap();
        let early = ring.describe().iter().find(|key| key.kid == waiting).unwrap();
        assert!(early.retires_at.is_none_or(|end| end >= early.sign_from), "{early:?}");
    }

    async fn a_restart_keeps_the_keys(world: World) {
        let mut world = world;
        let client = world.web_client().await;
        rotate(&world, ES, false).await;
        let before = world.get("/.well-known/jwks.json").await;
        let token_before = token(&world, &client).await;
        world.restart().await;
        let after = world.get("/.well-known/jwks.json").await;
        assert_eq!(
            (after.text.as_str(), after.header("etag")),
            (before.text.as_str(), before.header("etag"))
        );
        assert!(is_active(&world, &client, &token_before).await);
        assert_eq!(kid(&token(&world, &client).await), kid(&token_before));
    }

    async fn private_halves_are_sealed_in_the_database_and_shown_nowhere_s_m7(world: World) {
        let app = world.app();
        let rows = app.store.read(cnx::store::signing_keys::all).await.unwrap();
        assert_eq!(rows.len(), 3);
        let mut raw = Vec::new();
        if let Some(path) = world.settings.database_url.sqlite_path() {
            for suffix in ["", "-wal"] {
                raw.extend(std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default());
            }
            assert!(
                raw.windows(8).any(|w| w == &rows[0].kid.as_bytes()[..8]),
                "the rows are in what was read"
            );
        }
        let shown =
            [world.get("/.well-known/jwks.json").await.text, format!("{:?} {app:?}", app.stored_keys())]
                .concat();
        for row in &rows {
            let sealed = row.private_sealed.clone().unwrap();
            let private = app.vault.open_bytes(Purpose::PrivateKey, &sealed).unwrap();
            assert_eq!(private[0], 0x30, "PKCS#8");
            // Any sixteen bytes of the secret part would be too many.
            let secret = &private[private.len() - 16..];
            assert!(!sealed.windows(16).any(|w| w == secret));
            assert!(!raw.windows(16).any(|w| w == secret), "{} lies open in the file", row.kid);
            assert!(!row.public_jwk.contains("\"d\"") && !shown.contains(&format!("{:?}", &private[..8])));
            // Sealed for one purpose, under this master key: no other opens it, and a changed byte is noticed.
            assert!(app.vault.open_bytes(Purpose::Code, &sealed).is_none());
            let mut changed = sealed.clone();
            changed[20] ^= 1;
            assert!(app.vault.open_bytes(Purpose::PrivateKey, &changed).is_none());
            let other = cnx::base::seal::Vault::new(&cnx::base::secret::Secret::new([1; 32]));
            assert!(other.open_bytes(Purpose::PrivateKey, &sealed).is_none());
        }
        let sealed: Vec<_> = rows.iter().map(|row| row.private_sealed.clone().unwrap()).collect();
        assert!(
            sealed[0][..12] != sealed[1][..12] && sealed[1][..12] != sealed[2][..12],
            "a nonce of its own each"
        );
    }
}

fn signer(world: &World, alg: Algorithm) -> Option<String> {
    let ring = world.app().keyring(world.app().now()).unwrap();
    ring.describe()
        .iter()
        .find(|key| key.alg == alg && key.state == KeyState::Signing)
        .map(|key| key.kid.clone())
}
