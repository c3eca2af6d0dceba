//! Assertions (RFC 7523): as strangers send them, and signed with a secret that is known here, so that what stands behind the signature is
//! reached too. What is taken is what a second reading of the same JSON takes, rule by rule.

use std::sync::LazyLock;

use cnx::base::encoding::base64url;
use cnx::base::json;
use cnx::base::secret::Secret;
use cnx::base::time::Timestamp;
use cnx::jose::key_set::KeySet;
use cnx::jose::verify::{Foreign, Signed, kid_of, verify_foreign};
use cnx::oauth::assertion::{AssertionClaims, AudienceRule, Expected, Unverified, check};
use ring::hmac;
use serde_json::Value;

pub(super) const CLAIM_WORDS: &[&str] = &[
    "\"iss\":\"app\"",
    "\"sub\":\"app\"",
    "\"aud\":\"https://id.example\"",
    "[\"https://id.example\"]",
    "\"exp\":1800000300",
    "\"iat\":1800000000",
    "\"nbf\":1800000030",
    "\"jti\":\"a\"",
    "\"scope\":\"read\"",
    "1e300",
    "-1",
    "18446744073709551615",
    "1.5",
    "null",
    "253402300800",
    "1800003600",
    "1800000031",
    "1799999941",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\\u0061",
    "\"",
    "-0.0",
];

pub(super) const HEADER_WORDS: &[&str] = &[
    "\"alg\":\"HS256\"",
    "\"alg\":\"none\"",
    "\"alg\":\"ES256\"",
    "\"kid\":\"k\"",
    "\"typ\":\"JWT\"",
    "application/",
    "client-authentication+jwt",
    "\"crit\":[]",
    "\"b64\":false",
    "\"zip\":null",
    "\"jwk\":{}",
    "\"x5c\":[]",
    ",",
    "{",
    "}",
    "[",
    "null",
    "\\u0061",
    "1e999",
    "\"",
];

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example";
const TYPE: &str = "client-authentication+jwt";
const LONGEST_TOKEN: usize = 16 * 1024;
const GOOD_CLAIMS: &str =
    r#"{"iss":"app","sub":"app","aud":"https://id.example","exp":1800000300,"iat":1800000000,"jti":"a"}"#;

/// The secret that this file signs with.
static SECRETS: LazyLock<[Secret<Vec<u8>>; 1]> = LazyLock::new(|| [Secret::new(vec![7; 32])]);

/// Keys as they could be registered; the private halves are nobody's.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let set = serde_json::json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "k", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]});
    KeySet::registered(&set).expect("these are the keys of RFC 7515 and RFC 8037")
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let said = format!("{}.{}", base64url(header), base64url(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRETS[0].reveal());
    format!("{said}.{}", base64url(hmac::sign(&key, said.as_bytes()).as_ref()))
}

fn verified(token: &str) -> Option<Signed<AssertionClaims>> {
    verify_foreign(Foreign::Shared(&*SECRETS), token, &[TYPE]).ok()
}

/// Nothing that nobody signed is taken.
fn is_forged(token: &str) {
    drop(Unverified::peek(token));
    let public = verify_foreign::<AssertionClaims>(Foreign::Public(&KEYS, None), token, &[TYPE]);
    assert!(public.is_err(), "nobody signed this");
    let others = [Secret::new(vec![8; 32])];
    assert!(
        verify_foreign::<AssertionClaims>(Foreign::Shared(&others), token, &[TYPE]).is_err(),
        "nobody signed this"
    );
}

pub(super) fn run_claims(data: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(data) {
        is_forged(text);
    }
    let token = signed(br#"{"alg":"HS256"}"#, data);
    is_forged(&token);
    let value = std::str::from_utf8(data).ok().and_then(|text| json::strict(text).ok());
    let value = value.filter(|_| token.len() <= LONGEST_TOKEN);
    let Some(read) = verified(&token) else {
        assert!(
            !value.is_some_and(|value| are_claims(&value)),
            "these are claims, and the signature is right"
        );
        return false;
    };
    let value = value.expect("what is taken was read strictly");
    assert!(are_claims(&value), "{value}");
    let peeked = Unverified::peek(&token).expect("what is taken may be looked at first");
    assert_eq!(
        Some(peeked.iss.as_str()),
        value["iss"].as_str(),
        "the keys that were tried are somebody else's"
    );

    let expected = Expected {
        issuer: "app",
        subject: Some("app"),
        subject_optional: false,
        audience: AudienceRule::Sole(&[ISSUER]),
        longest: 3_600,
        jti_optional: false,
    };
    let judged = check(&read.claims, &expected, Timestamp::from_secs(NOW));
    assert_eq!(judged.is_ok(), is_for_us_now(&value), "{value}");
    let Ok(remembered) = judged else { return false };
    let remembered = remembered.expect("without a jti nothing is taken here");
    let exp = seconds(&value["exp"]).expect("it was taken");
    assert_eq!(
        i128::from(remembered.until.as_secs()),
        exp + 60,
        "it is remembered for as long as it would be taken"
    );
    assert_eq!(
        (Some(remembered.issuer.as_str()), Some(remembered.jti.as_str())),
        (value["iss"].as_str(), value["jti"].as_str())
    );
    true
}

/// Whether a value has the form of an assertion's claims.
fn are_claims(value: &Value) -> bool {
    let Value::Object(all) = value else { return false };
    let id =
        |name: &str| all.get(name).is_none_or(|v| v.as_str().is_some_and(|id| (1..=256).contains(&id.len())));
    let text = |name: &str| all.get(name).is_none_or(Value::is_string);
    let time = |name: &str| all.get(name).is_none_or(|v| seconds(v).is_some());
    let audience = all.get("aud").is_none_or(|aud| {
        aud.is_string() || aud.as_array().is_some_and(|many| many.iter().all(Value::is_string))
    });
    all.contains_key("iss")
        && ["iss", "sub", "jti"].into_iter().all(id)
        && ["scope", "target_audience"].into_iter().all(text)
        && ["exp", "nbf", "iat"].into_iter().all(time)
        && audience
}

/// A time between 1970 and the year 9999, cut to seconds.
fn seconds(value: &Value) -> Option<i128> {
    let Value::Number(number) = value else { return None };
    // The digits as they are written, so that nothing is rounded on the way.
    let whole = if let Some(whole) = number.as_i64() {
        i128::from(whole)
    } else {
        let real = number.as_f64().filter(|real| *real >= 0.0 && *real < 1e12)?;
        format!("{:.0}", real.trunc()).trim_start_matches('-').parse().ok()?
    };
    (0..=253_402_300_799).contains(&whole).then_some(whole)
}

/// RFC 7523 §3 for a client that authenticates, with the leeways of the contract.
fn is_for_us_now(value: &Value) -> bool {
    let now = i128::from(NOW);
    let time = |name: &str| value.get(name).and_then(seconds);
    let Some(exp) = time("exp") else { return false };
    value["iss"] == "app"
        && value["sub"] == "app"
        && value["aud"] == ISSUER
        && value["jti"].is_string()
        && exp + 60 > now
        && exp <= now + 3_600 + 30
        && exp - time("iat").unwrap_or(now) <= 3_600
        && [time("iat"), time("nbf")].into_iter().flatten().all(|begin| begin <= now + 30)
}

pub(super) fn run_header(data: &[u8]) -> bool {
    let whole = signed(data, GOOD_CLAIMS.as_bytes());
    is_forged(&whole);
    // A signature of the right shape for the keys that are registered, and none.
    for tail in [base64url(&[7; 64]), String::new()] {
        is_forged(&format!("{}.{}.{tail}", base64url(data), base64url(GOOD_CLAIMS.as_bytes())));
    }
    let taken = verified(&whole).is_some();
    let strictly = std::str::from_utf8(data).ok().and_then(|text| json::strict(text).ok());
    if let Some(header) = strictly.filter(|_| whole.len() <= LONGEST_TOKEN) {
        // serde takes white space in front; a header that begins with anything but its brace is refused.
        assert_eq!(taken, is_header(&header) && data.starts_with(b"{"), "{header}");
    } else if let Ok(header) = serde_json::from_slice::<Value>(data) {
        // Too deep, or with a name twice: taken only where the members that count stand there once.
        assert!(!taken || is_header(&header), "{header}");
    }
    if taken && let Ok(header) = serde_json::from_slice::<Value>(data) {
        assert_eq!(kid_of(&whole).as_deref(), header["kid"].as_str());
    }
    taken
}

fn is_header(header: &Value) -> bool {
    let Value::Object(all) = header else { return false };
    let text = |name: &str| all.get(name).filter(|v| !v.is_null());
    let typ = text("typ").is_none_or(|typ| {
        typ.as_str().is_some_and(|typ| {
            let typ = typ.to_ascii_lowercase();
            ["jwt", TYPE].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
        })
    });
    all.get("alg").is_some_and(|alg| alg == "HS256")
        && text("kid").is_none_or(Value::is_string)
        && typ
        && !["crit", "b64", "zip"].iter().any(|name| all.contains_key(*name))
}
