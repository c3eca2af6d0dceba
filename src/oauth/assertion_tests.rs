//! Tests of `assertion.rs`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::assertion::*;
use super::error::Why;
use crate::base::encoding::base64url;
use crate::base::proof::Verified;
use crate::base::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn fine() -> Value {
    json!({"iss": "ci", "sub": "ci", "aud": "https://id.example", "iat": 1_000_000, "exp": 1_000_300, "jti": "a"})
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "ci",
        subject: Some("ci"),
        subject_optional: false,
        audience: AudienceRule::Sole(&["https://id.example"]),
        longest: LONGEST,
        jti_optional: false,
    }
}

fn judged(claims: Value, expected: &Expected<'_>) -> Result<Option<Remember>, Why> {
    let claims = serde_json::from_value(claims).map_err(|_| Why::Malformed)?;
    check(&Verified::vouch(claims), expected, NOW)
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = fine();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[test]
fn what_is_read_before_the_signature_is_who_and_which_key_pitfall_13() {
    let jws = |head: &str, claims: &str| {
        format!("{}.{}.c2ln", base64url(head.as_bytes()), base64url(claims.as_bytes()))
    };
    let peeked = Unverified::peek(&jws(r#"{"alg":"ES256","kid":"k"}"#, r#"{"iss":"ci","sub":"x"}"#)).unwrap();
    assert_eq!((peeked.iss.as_str(), peeked.kid.as_deref()), ("ci", Some("k")));
    assert!(!format!("{peeked:?}").contains(peeked.reveal()), "an assertion is a secret");
    let long = "x".repeat(257);
    for bad in [
        String::new(),
        "a.b.c".to_owned(),
        jws("{}", "[]"),
        jws("[]", r#"{"iss":"ci"}"#),
        jws("{}", r#"{"iss":7}"#),
        jws("{}", r#"{"iss":""}"#),
        jws("{}", r#"{"iss":"ci","iss":"ci"}"#),
        jws(r#"{"kid":1}"#, r#"{"iss":"ci"}"#),
        jws(r#"{"kid":"a","kid":"b"}"#, r#"{"iss":"ci"}"#),
        jws(&format!(r#"{{"kid":"{long}"}}"#), r#"{"iss":"ci"}"#),
        jws("{}", &format!(r#"{{"iss":"{long}"}}"#)),
        jws("{}", &format!(r#"{{"iss":"ci","deep":{}}}"#, "[".repeat(40) + &"]".repeat(40))),
        jws("{}", r#"{"iss":"ci"}"#).replace("c2ln", ""),
        jws("{}", r#"{"iss":"ci"}"#) + ".x.y",
    ] {
        assert!(Unverified::peek(&bad).is_none(), "{bad}");
    }
}

#[test]
fn an_assertion_for_us_now_is_taken_and_remembered_s_j9() {
    let remember = judged(fine(), &expected()).unwrap().unwrap();
    assert_eq!(remember.until, Timestamp::from_secs(1_000_360), "exp and the leeway, pitfall 11");
    for (name, value) in [
        ("exp", json!(1_003_600)),    // D6: exactly an hour
        ("exp", json!(1_000_300.75)), // RFC 7519 §2: a fraction is allowed
        ("iat", json!(null)),
        ("iat", json!(1_000_010)), // S-J7
        ("nbf", json!(1_000_010)),
    ] {
        assert!(judged(changed(name, value.clone()), &expected()).is_ok(), "{name} {value}");
    }
    let google = Expected { jti_optional: true, subject_optional: true, ..expected() };
    let mut claims = changed("jti", json!(null));
    claims.as_object_mut().unwrap().remove("sub");
    assert_eq!(judged(claims, &google), Ok(None));
}

#[test]
fn every_rule_says_no_by_itself_s_j5_to_s_j9() {
    let ours = json!(["https://id.example"]);
    for (name, value, why) in [
        ("iss", json!(null), Why::Malformed),
        ("iss", json!("other"), Why::WrongIssuer),
        ("sub", json!(null), Why::WrongSubject),
        ("sub", json!("other"), Why::WrongSubject),
        ("sub", json!(7), Why::Malformed),
        ("aud", json!(null), Why::WrongAudience),
        ("aud", ours.clone(), Why::WrongAudience),
        ("aud", json!([]), Why::WrongAudience),
        ("aud", json!("https://id.example/"), Why::WrongAudience),
        ("aud", json!(7), Why::Malformed),
        ("aud", json!(["https://id.example", 7]), Why::Malformed),
        ("exp", json!(null), Why::Malformed),
        ("exp", json!("1000300"), Why::Malformed),
        ("exp", json!(-1), Why::Malformed),
        ("exp", json!(1e300), Why::Malformed),
        ("exp", json!(u64::MAX), Why::Malformed),
        ("exp", json!(9_223_372_036_854_775_807_i64), Why::Malformed),
        ("exp", json!(999_940), Why::Expired),
        ("exp", json!(1_003_601), Why::TooLongLived),
        ("iat", json!(1_000_060), Why::NotYetValid),
        ("iat", json!(996_000), Why::TooLongLived),
        ("nbf", json!(1_000_060), Why::NotYetValid),
        ("nbf", json!({}), Why::Malformed),
        ("jti", json!(null), Why::NoTokenId),
        ("jti", json!(""), Why::Malformed),
        ("jti", json!("j".repeat(257)), Why::Malformed),
    ] {
        assert_eq!(judged(changed(name, value.clone()), &expected()), Err(why), "{name} {value}");
    }
    let among = Expected {
        audience: AudienceRule::Among(&["https://id.example", "https://id.example/t"]),
        ..expected()
    };
    assert!(judged(changed("aud", ours), &among).is_ok());
    assert_eq!(
        judged(changed("aud", json!(["https://id.example", "https://other"])), &among),
        Err(Why::WrongAudience)
    );
}

proptest! {
    #[test]
    fn nothing_that_is_sent_makes_a_panic(text in "\\PC*", head in "\\PC{0,60}", claims in "\\PC{0,60}") {
        drop(Unverified::peek(&text));
        drop(Unverified::peek(&format!("{}.{}.x", base64url(head.as_bytes()), base64url(claims.as_bytes()))));
    }

    #[test]
    fn no_time_makes_a_panic(exp in any::<f64>(), iat in any::<i64>(), nbf in any::<u64>()) {
        let claims = json!({"iss": "ci", "exp": exp, "iat": iat, "nbf": nbf});
        drop(judged(claims, &expected()));
    }
}
