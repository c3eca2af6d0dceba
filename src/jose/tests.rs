//! Keys, ring, tokens together: what is issued verifies, and nothing else does.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::issue::issue;
use super::keyring::{KeyPolicy, KeyState, Keyring, StoredKey, heir};
use super::signing_key::SigningKey;
use super::verify::{Among, verify};
use crate::base::algorithm::Algorithm;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::entropy::Entropy;
use crate::base::time::Timestamp;

const POLICY: KeyPolicy =
    KeyPolicy { rotate_every: 10_000, propagation: 600, longest_token_life: 3_600, hint_memory: 50_000 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn stored(alg: Algorithm, generation: i64, sign_from: i64) -> StoredKey {
    let new = SigningKey::generate(alg, 2048, &Entropy::system()).unwrap();
    StoredKey {
        kid: new.kid,
        alg,
        generation,
        private_der: Some(new.private_der),
        public_jwk: new.public_jwk,
        created_at: at(sign_from),
        sign_from: at(sign_from),
        revoked_at: None,
    }
}

fn ring(keys: &[StoredKey], now: i64) -> Keyring {
    Keyring::build(keys, &POLICY, at(now)).unwrap()
}

/// Every worker reads the same ring.
fn is_shared<T: Send + Sync>(_: &T) {}

fn claims_of(keyring: &Keyring, token: &str, among: Among) -> Option<Value> {
    verify::<Value>(keyring, token, "at+jwt", among).map(crate::base::proof::Verified::into_claims)
}

/// A token with any header, signed properly by the ring's ES256 key.
fn forged(keyring: &Keyring, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = keyring.signing(Algorithm::Es256).unwrap().sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url(&signature))
}

#[test]
fn what_is_issued_verifies_with_every_algorithm_and_for_its_type_only() {
    let keys = Algorithm::ALL.map(|alg| stored(alg, 1, 0));
    let keyring = ring(&keys, 0);
    is_shared(&keyring);
    assert_eq!(keyring.algorithms(), Algorithm::ALL);
    for alg in Algorithm::ALL {
        let token = issue(&keyring, alg, "at+jwt", &json!({"sub": "ada"})).unwrap();
        let header: Value =
            serde_json::from_slice(&from_base64url(token.split('.').next().unwrap()).unwrap()).unwrap();
        let kid = keyring.signing(alg).unwrap().kid();
        assert_eq!(header, json!({"alg": alg.name(), "kid": kid, "typ": "at+jwt"}));
        assert_eq!(claims_of(&keyring, &token, Among::Published), Some(json!({"sub": "ada"})));
        assert!(verify::<Value>(&keyring, &token, "JWT", Among::Published).is_none());
        assert!(verify::<Value>(&keyring, &token, "AT+JWT", Among::Published).is_some());
    }
}

#[test]
fn josekit_and_openidconnect_read_what_we_write() {
    use openidconnect::JsonWebKey as _;
    use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
    let keys = Algorithm::ALL.map(|alg| stored(alg, 1, 0));
    let keyring = ring(&keys, 0);
    let set: CoreJsonWebKeySet = serde_json::from_slice(&keyring.jwks().json).unwrap();
    assert_eq!(set.keys().len(), 3);
    for alg in Algorithm::ALL {
        let token = issue(&keyring, alg, "JWT", &json!({"sub": "ada"})).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let kid = keyring.signing(alg).unwrap().kid();
        let key = set.keys().iter().find(|k| k.key_id().is_some_and(|id| id.as_str() == kid)).unwrap();
        let name: CoreJwsSigningAlgorithm = serde_json::from_value(json!(alg.name())).unwrap();
        key.verify_signature(&name, signed.as_bytes(), &from_base64url(signature).unwrap()).unwrap();
    }
}

#[test]
fn the_key_set_has_public_members_distinct_kids_and_a_tag_of_its_content() {
    let mut keys = Algorithm::ALL.map(|alg| stored(alg, 1, 0)).to_vec();
    keys.push(stored(Algorithm::Es256, 2, 10_000));
    // A stored row that holds too much must not show it.
    keys[0].public_jwk["d"] = json!("secret");
    let keyring = ring(&keys, 0);
    let set: Value = serde_json::from_slice(&keyring.jwks().json).unwrap();
    let shown = set["keys"].as_array().unwrap();
    let mut kids: Vec<_> = shown.iter().map(|k| k["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 4);
    for key in shown {
        let mut names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let wanted: &[&str] = match key["kty"].as_str().unwrap() {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            _ => &["alg", "crv", "kid", "kty", "use", "x"],
        };
        assert_eq!((names.as_slice(), key["use"].as_str()), (wanted, Some("sig")));
    }
    let etag = &keyring.jwks().etag;
    assert!(etag.starts_with(b"\"") && etag.ends_with(b"\"") && etag.len() > 20);
    assert_eq!(etag, &ring(&keys, 5).jwks().etag);
    assert_ne!(etag, &ring(&keys[..3], 0).jwks().etag);
}

#[test]
fn a_key_walks_from_published_to_remembered_and_a_revoked_one_verifies_nothing() {
    let alg = Algorithm::Es256;
    let mut keys = vec![stored(alg, 1, 0), stored(alg, 2, 10_000)];
    let states = |keyring: &Keyring| -> Vec<_> {
        let mut states: Vec<_> = keyring.describe().iter().map(|s| (s.generation, s.state)).collect();
        states.sort_unstable();
        states
    };
    let old = issue(&ring(&keys, 0), alg, "at+jwt", &json!({})).unwrap();
    let new = issue(&ring(&keys, 10_000), alg, "at+jwt", &json!({})).unwrap();
    for (now, first, second, next) in [
        (9_999, KeyState::Signing, KeyState::Published, Some(10_000)),
        (10_000, KeyState::Retired, KeyState::Signing, Some(13_660)),
        (13_659, KeyState::Retired, KeyState::Signing, Some(13_660)),
        (13_660, KeyState::Remembered, KeyState::Signing, None),
    ] {
        let keyring = ring(&keys, now);
        assert_eq!(states(&keyring), [(1, first), (2, second)], "{now}");
        assert_eq!(keyring.next_change(), next.map(at), "{now}");
        let published = first != KeyState::Remembered;
        assert_eq!(claims_of(&keyring, &old, Among::Published).is_some(), published, "{now}");
        assert!(claims_of(&keyring, &old, Among::EverKnown).is_some());
        // A node whose clock is ahead signs already: the others know its key.
        assert!(claims_of(&keyring, &new, Among::Published).is_some());
    }
    keys[0].revoked_at = Some(at(9_000));
    let keyring = ring(&keys, 9_000);
    assert_eq!(states(&keyring), [(1, KeyState::Revoked), (2, KeyState::Signing)]);
    assert!(claims_of(&keyring, &old, Among::EverKnown).is_none());
    assert!(!String::from_utf8_lossy(&keyring.jwks().json).contains(&keys[0].kid));
}

#[test]
fn the_heir_is_the_next_key_that_will_sign_and_no_other() {
    let es = Algorithm::Es256;
    let first = stored(es, 1, 0);
    let [second, third, overtaken] = [stored(es, 2, 900), stored(es, 3, 1_200), stored(es, 2, 1_500)];
    let revoked = StoredKey { revoked_at: Some(at(90)), ..second.clone() };
    let wiped = StoredKey { private_der: None, ..second.clone() };
    for (name, keys, expected) in [
        ("nobody waits", vec![&first], None),
        ("one waits", vec![&first, &second], Some(&second)),
        ("the first of several", vec![&first, &second, &third], Some(&second)),
        ("not one that is overtaken", vec![&first, &overtaken, &third], Some(&third)),
        ("not a revoked one", vec![&first, &revoked], None),
        ("not a wiped one", vec![&first, &wiped, &third], Some(&third)),
        ("one that must sign before its turn is the signer, not the heir", vec![&second], None),
        ("nobody signs", vec![], None),
    ] {
        let keys: Vec<StoredKey> = keys.into_iter().cloned().collect();
        let found = heir(&keys, es, at(100)).map(|key| &key.kid);
        assert_eq!(found, expected.map(|key| &key.kid), "{name}");
        assert!(heir(&keys, Algorithm::EdDsa, at(100)).is_none(), "{name}: of another algorithm");
    }
    assert!(heir(&[first, second], es, at(900)).is_none(), "its turn has come");
}

#[test]
fn a_ring_is_not_built_from_rows_that_are_wrong() {
    let alg = Algorithm::EdDsa;
    let (one, two) = (stored(alg, 1, 0), stored(alg, 2, 0));
    let other_half = StoredKey { private_der: one.private_der.clone(), ..two.clone() };
    let no_key = StoredKey { public_jwk: json!({"kty": "oct", "k": "AA"}), ..one.clone() };
    for keys in [vec![one.clone(), one.clone()], vec![other_half], vec![no_key]] {
        assert!(Keyring::build(&keys, &POLICY, at(0)).is_err());
    }
    let wiped = StoredKey { private_der: None, ..one };
    let keyring = ring(&[wiped], 0);
    assert!(keyring.signing(alg).is_err());
    assert!(keyring.algorithms().is_empty());
    assert!(issue(&keyring, alg, "JWT", &json!({})).is_err());
}

#[test]
fn a_header_that_asks_for_more_or_other_is_refused() {
    let keys = [stored(Algorithm::Es256, 1, 0), stored(Algorithm::Rs256, 1, 0)];
    let keyring = ring(&keys, 0);
    let (es, rs) = (&keys[0].kid, &keys[1].kid);
    let jwk = &keys[0].public_jwk;
    for (header, good) in [
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt"}}"#), true),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"application/at+jwt"}}"#), true),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"Application/AT+JWT"}}"#), true),
        // Keys and addresses of keys inside the header are not looked at.
        (
            format!(
                r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt","jwk":{jwk},"jku":"https://x.example","x5c":[]}}"#
            ),
            true,
        ),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"JWT"}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{es}"}}"#), false),
        (r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(), false),
        (format!(r#"{{"alg":"ES256","typ":"at+jwt","jwk":{jwk}}}"#), false),
        (r#"{"alg":"ES256","kid":"unknown","typ":"at+jwt"}"#.to_owned(), false),
        (format!(r#"{{"alg":"none","kid":"{es}","typ":"at+jwt"}}"#), false),
        (format!(r#"{{"alg":"HS256","kid":"{es}","typ":"at+jwt"}}"#), false),
        (format!(r#"{{"alg":"es256","kid":"{es}","typ":"at+jwt"}}"#), false),
        (format!(r#"{{"alg":"RS256","kid":"{es}","typ":"at+jwt"}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{rs}","typ":"at+jwt"}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt","crit":["exp"]}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt","crit":null}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt","b64":true}}"#), false),
        (format!(r#"{{"alg":"ES256","kid":"{es}","typ":"at+jwt","zip":"DEF"}}"#), false),
        (format!(r#"{{"alg":"none","alg":"ES256","kid":"{es}","typ":"at+jwt"}}"#), false),
        (format!(r#"["ES256","{es}","at+jwt"]"#), false),
    ] {
        let token = forged(&keyring, &header, "{}");
        assert_eq!(claims_of(&keyring, &token, Among::Published).is_some(), good, "{header}");
    }
}

#[test]
fn a_token_of_another_form_key_or_length_is_refused() {
    let keys = [stored(Algorithm::Es256, 1, 0)];
    let keyring = ring(&keys, 0);
    let good = issue(&keyring, Algorithm::Es256, "at+jwt", &json!({"sub": "ada"})).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let json_form = json!({"protected": header, "payload": claims, "signature": signature}).to_string();
    let other = base64url(br#"{"sub":"eve"}"#);
    let foreign = issue(&ring(&[stored(Algorithm::Es256, 1, 0)], 0), Algorithm::Es256, "at+jwt", &json!({}));
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}\n"),
        format!(" {good}"),
        format!("{header}.{other}.{signature}"),
        format!("{header}.{claims}.{}", base64url(&[0; 64])),
        json_form,
        foreign.unwrap(),
    ] {
        assert!(claims_of(&keyring, &token, Among::EverKnown).is_none(), "{token}");
    }
    let long = issue(&keyring, Algorithm::Es256, "at+jwt", &json!({"x": "x".repeat(13_000)})).unwrap();
    assert!(long.len() > 16 * 1024 && claims_of(&keyring, &long, Among::Published).is_none());
    // Claims that do not fit what is asked for are no claims, whatever the signature says.
    let huge =
        forged(&keyring, &format!(r#"{{"alg":"ES256","kid":"{}","typ":"at+jwt"}}"#, keys[0].kid), "[1e300]");
    assert!(verify::<Vec<i64>>(&keyring, &huge, "at+jwt", Among::Published).is_none());
}

/// Not measured in CI: `cargo test --release --lib jose::tests::cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, to be read by a person"]
#[expect(clippy::print_stdout, reason = "its result is what it prints")]
fn cost_of_signing_and_verifying() {
    let keyring = ring(&Algorithm::ALL.map(|alg| stored(alg, 1, 0)), 0);
    let claims =
        json!({"iss": "https://id.example", "sub": "ada", "aud": "app", "exp": 1, "jti": "x".repeat(40)});
    for alg in Algorithm::ALL {
        let token = issue(&keyring, alg, "at+jwt", &claims).unwrap();
        let start = std::time::Instant::now();
        (0..500).for_each(|_| drop(issue(&keyring, alg, "at+jwt", &claims).unwrap()));
        let signed = start.elapsed() / 500;
        let start = std::time::Instant::now();
        (0..500).for_each(|_| assert!(claims_of(&keyring, &token, Among::Published).is_some()));
        println!("{alg}: issue {signed:?}, verify {:?}", start.elapsed() / 500);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_or_verifies(texts in prop::collection::vec("[-_.A-Za-z0-9]{0,60}|\\PC{0,80}", 3)) {
        let keyring = ring(&[stored(Algorithm::EdDsa, 1, 0)], 0);
        let encoded = texts.iter().map(|t| base64url(t.as_bytes())).collect::<Vec<_>>().join(".");
        for token in [texts.concat(), texts.join("."), encoded] {
            prop_assert!(claims_of(&keyring, &token, Among::EverKnown).is_none());
        }
    }

    #[test]
    fn no_changed_token_verifies(place in 0_usize..10_000, byte in 0_u8..128, cut in any::<bool>()) {
        let keyring = ring(&[stored(Algorithm::EdDsa, 1, 0), stored(Algorithm::Es256, 1, 0)], 0);
        for alg in [Algorithm::EdDsa, Algorithm::Es256] {
            let good = issue(&keyring, alg, "at+jwt", &json!({"sub": "ada"})).unwrap();
            let mut bytes = good.clone().into_bytes();
            let place = place % bytes.len();
            if cut {
                bytes.remove(place);
            } else {
                bytes[place] = byte;
            }
            let changed = String::from_utf8(bytes).unwrap();
            let verified = claims_of(&keyring, &changed, Among::EverKnown).is_some();
            prop_assert_eq!(verified, changed == good, "{}", changed);
        }
    }
}
