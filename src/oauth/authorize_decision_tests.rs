//! The rules of the authorization decision, as tables.

use std::sync::Arc;

use super::authorize::Authorize;
use super::authorize_decision::*;
use crate::base::entropy::Entropy;
use crate::base::id::{SessionId, UserId};
use crate::base::time::{Clock, Timestamp};
use crate::oauth::authorize::{Prompt, read};
use crate::oauth::client::{ApplicationType, Client};
use crate::oauth::id_token::{ACR_MFA, ACR_PASSWORD};
use crate::oauth::params::Params;
use crate::oauth::samples::{client, public_client};
use crate::oauth::scope::Scope;

const NOW: Timestamp = Timestamp::from_secs(10_000);

fn user(seed: u64) -> UserId {
    UserId::new(&Clock::manual(NOW), &Entropy::seeded(seed))
}

fn signed_in(seconds_ago: i64) -> Present {
    Present {
        user: user(1),
        session: SessionId::new(&Clock::manual(NOW), &Entropy::seeded(1)),
        auth_time: NOW.minus(seconds_ago),
        acr: ACR_PASSWORD.to_owned(),
        amr: Vec::new(),
        has_factor: false,
    }
}

fn request(client: Client, more: &str) -> Authorize {
    let query = format!(
        "client_id=app&redirect_uri=https://app.example/cb&response_type=code&code_challenge_method=S256&\
         code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&{more}"
    );
    let client = Arc::new(client);
    read(&Params::parse(query.as_bytes()).unwrap(), "https://id.example", |_| Some(client)).unwrap()
}

fn word(next: Next) -> String {
    match next {
        Next::SignIn => "sign-in".to_owned(),
        Next::SelectAccount => "select".to_owned(),
        Next::Consent(scope) => format!("consent {scope}"),
        Next::Issue => "issue".to_owned(),
        Next::Refuse(error) => error.code().to_owned(),
    }
}

const FRESH: Answered =
    Answered { authenticated_since: Some(NOW), account_selected: false, consented: false };
const NOTHING: Answered = Answered { authenticated_since: None, account_selected: false, consented: false };

/// With everything consented to before.
fn next(more: &str, present: Option<&Present>, answered: &Answered, hint: Option<UserId>) -> String {
    let request = request(client("app"), &format!("scope=openid&{more}"));
    let remembered = Scope::of(&["openid", "profile", "offline_access"]);
    word(decide(&request, present, Some(&remembered), answered, hint, NOW))
}

#[test]
fn without_a_session_one_signs_in_or_login_is_required_r43_s_a18() {
    assert_eq!(next("", None, &NOTHING, None), "sign-in");
    assert_eq!(next("prompt=select_account", None, &NOTHING, None), "sign-in");
    assert_eq!(next("prompt=consent", None, &NOTHING, None), "sign-in");
    assert_eq!(next("prompt=none", None, &NOTHING, None), "login_required");
}

#[test]
fn with_a_session_and_consent_nothing_is_asked_r44_r47() {
    let present = signed_in(500);
    for more in ["", "prompt=none", "max_age=10000", "prompt=none&max_age=500", "prompt=create"] {
        assert_eq!(next(more, Some(&present), &NOTHING, None), "issue", "{more}");
    }
}

#[test]
fn login_and_max_age_ask_once_per_request_r42_r45_r46_s_a19() {
    let (old, just_now) = (signed_in(500), signed_in(0));
    for more in ["prompt=login", "max_age=499", "max_age=0", "max_age=0&prompt=login"] {
        assert_eq!(next(more, Some(&old), &NOTHING, None), "sign-in", "{more}");
        // Coming back without having signed in is no sign-in (a cancelled re-authentication).
        assert_eq!(next(more, Some(&old), &FRESH, None), "sign-in", "{more}");
        assert_eq!(next(more, Some(&just_now), &FRESH, None), "issue", "{more}");
    }
    // A session that is as young as can be is still not a sign-in for this request.
    assert_eq!(next("max_age=0", Some(&just_now), &NOTHING, None), "sign-in");
    assert_eq!(next("prompt=login", Some(&just_now), &NOTHING, None), "sign-in");
    assert_eq!(next("max_age=499&prompt=none", Some(&old), &NOTHING, None), "login_required");
    assert_eq!(next("max_age=0&prompt=none", Some(&just_now), &NOTHING, None), "login_required");
    // Consent took longer than max_age: the sign-in of this request still stands.
    let since = Answered { authenticated_since: Some(NOW.minus(500)), ..NOTHING };
    assert_eq!(next("max_age=60", Some(&old), &since, None), "issue");

    let mut aged = client("app");
    aged.metadata.default_max_age = Some(60);
    let allowed = Scope::of(&["openid"]);
    for (more, expected) in [("scope=openid", "sign-in"), ("scope=openid&max_age=1000", "issue")] {
        let next = decide(&request(aged.clone(), more), Some(&old), Some(&allowed), &NOTHING, None, NOW);
        assert_eq!(word(next), expected, "{more}");
    }
}

#[test]
fn another_person_than_the_hinted_one_gets_no_answer_r47_s_a20() {
    let (present, just_now) = (signed_in(500), signed_in(0));
    let (me, other) = (Some(user(1)), Some(user(2)));
    for (more, present, answered, hint, expected) in [
        ("prompt=none&id_token_hint=x", &present, &NOTHING, me, "issue"),
        ("id_token_hint=x", &present, &NOTHING, me, "issue"),
        ("prompt=none&id_token_hint=x", &present, &NOTHING, other, "login_required"),
        ("id_token_hint=x", &present, &NOTHING, other, "sign-in"),
        ("id_token_hint=x", &just_now, &FRESH, other, "login_required"),
        ("prompt=none&id_token_hint=forged", &present, &NOTHING, None, "login_required"),
        ("id_token_hint=forged", &present, &NOTHING, None, "invalid_request"),
    ] {
        assert_eq!(next(more, Some(present), answered, hint), expected, "{more}");
    }
    let named = |id: UserId| format!("claims={{\"id_token\":{{\"sub\":{{\"value\":\"{id}\"}}}}}}");
    assert_eq!(next(&named(user(1)), Some(&present), &NOTHING, None), "issue");
    assert_eq!(next(&named(user(2)), Some(&present), &NOTHING, None), "sign-in");
    assert_eq!(
        next(&format!("prompt=none&{}", named(user(2))), Some(&present), &NOTHING, None),
        "login_required"
    );
}

#[test]
fn an_essential_acr_is_met_or_the_sign_in_failed_r48() {
    let essential = |values: &str| {
        format!("claims={{\"id_token\":{{\"acr\":{{\"essential\":true,\"values\":[{values}]}}}}}}")
    };
    let mfa = essential(&format!("\"{ACR_MFA}\""));
    let password = essential(&format!("\"{ACR_PASSWORD}\""));
    let silent = format!("prompt=none&{mfa}");
    let without = signed_in(500);
    let able = Present { has_factor: true, ..without.clone() };
    let (just_now, proved) =
        (Present { auth_time: NOW, ..able.clone() }, Present { acr: ACR_MFA.to_owned(), ..able.clone() });
    let unmet = "unmet_authentication_requirements";
    for (more, present, answered, expected) in [
        (&password, &without, &NOTHING, "issue"),
        (&essential(&format!("\"{ACR_MFA}\",\"{ACR_PASSWORD}\"")), &able, &NOTHING, "issue"),
        (&mfa, &proved, &NOTHING, "issue"),
        (&silent, &proved, &NOTHING, "issue"),
        // Who has a second factor is asked for it, once; who has none is not sent through a sign-in for nothing.
        (&mfa, &able, &NOTHING, "sign-in"),
        (&silent, &able, &NOTHING, "login_required"),
        (&mfa, &just_now, &FRESH, unmet),
        (&mfa, &without, &NOTHING, unmet),
        (&silent, &without, &NOTHING, unmet),
        // A class that is not ours.
        (&essential("\"urn:other\""), &able, &NOTHING, unmet),
        // Who proved more proved this as well.
        (&password, &proved, &NOTHING, "issue"),
    ] {
        assert_eq!(next(more, Some(present), answered, None), expected, "{more} {present:?}");
    }
    assert_eq!(next(&mfa, None, &NOTHING, None), "sign-in");
}

#[test]
fn a_second_factor_that_is_wished_for_is_asked_for_where_there_is_one() {
    let without = signed_in(500);
    let able = Present { has_factor: true, ..without.clone() };
    let (just_now, proved) =
        (Present { auth_time: NOW, ..able.clone() }, Present { acr: ACR_MFA.to_owned(), ..able.clone() });
    let wished = |words: &str| format!("acr_values={words}");
    for (words, present, answered, expected) in [
        (ACR_MFA, &able, &NOTHING, "sign-in"),
        (&format!("urn:other {ACR_MFA} {ACR_PASSWORD}"), &able, &NOTHING, "sign-in"),
        // What comes first is liked better.
        (&format!("{ACR_PASSWORD} {ACR_MFA}"), &able, &NOTHING, "issue"),
        ("urn:other", &able, &NOTHING, "issue"),
        // A wish is no demand.
        (ACR_MFA, &without, &NOTHING, "issue"),
        (ACR_MFA, &just_now, &FRESH, "issue"),
        (ACR_MFA, &proved, &NOTHING, "issue"),
        (ACR_PASSWORD, &proved, &NOTHING, "issue"),
    ] {
        assert_eq!(next(&wished(words), Some(present), answered, None), expected, "{words} {present:?}");
    }
    let silent = format!("prompt=none&{}", wished(ACR_MFA));
    assert_eq!(next(&silent, Some(&able), &NOTHING, None), "issue");
}

#[test]
fn an_account_is_chosen_once_and_a_sign_in_chooses_it() {
    let (present, just_now) = (signed_in(500), signed_in(0));
    let chosen = Answered { account_selected: true, ..NOTHING };
    assert_eq!(next("prompt=select_account", Some(&present), &NOTHING, None), "select");
    assert_eq!(next("prompt=select_account", Some(&present), &chosen, None), "issue");
    assert_eq!(next("prompt=select_account", Some(&just_now), &FRESH, None), "issue");
    assert_eq!(next("prompt=select_account login", Some(&present), &chosen, None), "sign-in");
    assert_eq!(next("prompt=select_account consent", Some(&present), &chosen, None), "consent openid");
}

fn consent(client: Client, more: &str, remembered: Option<&[&str]>, consented: bool) -> String {
    let answered = Answered { consented, ..NOTHING };
    let remembered = remembered.map(Scope::of);
    word(decide(&request(client, more), Some(&signed_in(500)), remembered.as_ref(), &answered, None, NOW))
}

#[test]
fn consent_is_asked_for_what_is_new_and_remembered_after() {
    let app = || client("app");
    for (more, remembered, expected) in [
        ("scope=openid", None, "consent openid"),
        ("scope=openid", Some(&[][..]), "consent openid"),
        ("scope=openid", Some(&["openid"]), "issue"),
        ("scope=openid email", Some(&["openid"]), "consent email openid"),
        ("scope=openid", Some(&["openid", "email"]), "issue"),
        ("scope=openid offline_access", Some(&["openid"]), "consent offline_access openid"),
        ("scope=openid offline_access", Some(&["openid", "offline_access"]), "issue"),
        ("scope=openid&prompt=consent", Some(&["openid"]), "consent openid"),
        ("scope=openid&prompt=none", None, "consent_required"),
        ("scope=openid&prompt=none", Some(&["openid"]), "issue"),
        ("scope=openid offline_access&prompt=none", Some(&["openid"]), "consent_required"),
        // A claim asked for by name is consented to like its scope.
        (r#"scope=openid&claims={"userinfo":{"name":null}}"#, Some(&["openid"]), "consent openid profile"),
        (r#"scope=openid&claims={"userinfo":{"name":null}}"#, Some(&["openid", "profile"]), "issue"),
    ] {
        assert_eq!(consent(app(), more, remembered, false), expected, "{more} {remembered:?}");
        if !more.contains("none") {
            assert_eq!(consent(app(), more, remembered, true), "issue", "{more}: allowed just now");
        }
    }
}

#[test]
fn a_first_party_app_skips_consent_unless_it_asks_for_it() {
    let mut first_party = client("app");
    first_party.metadata.skip_consent = true;
    for (more, expected) in [
        ("scope=openid email", "issue"),
        ("scope=openid offline_access", "issue"),
        ("scope=openid&prompt=none", "issue"),
        ("scope=openid&prompt=consent", "consent openid"),
    ] {
        assert_eq!(consent(first_party.clone(), more, None, false), expected, "{more}");
    }
}

#[test]
fn whoever_could_be_an_impostor_is_consented_to_each_time_s_a33() {
    let mut native = public_client("app");
    native.metadata.application_type = ApplicationType::Native;
    native.metadata.skip_consent = true;
    let all: Option<&[&str]> = Some(&["openid"]);
    assert_eq!(consent(native.clone(), "scope=openid", all, false), "consent openid");
    assert_eq!(consent(native.clone(), "scope=openid&prompt=none", all, false), "consent_required");
    assert_eq!(consent(native, "scope=openid", all, true), "issue");
    assert_eq!(consent(public_client("app"), "scope=openid", all, false), "issue", "an https app is assured");
    let mut secret_keeper = client("app");
    secret_keeper.metadata.application_type = ApplicationType::Native;
    assert_eq!(consent(secret_keeper, "scope=openid", all, false), "issue");
}

#[test]
fn nothing_shows_a_page_under_prompt_none_s_a18() {
    let (old, just_now) = (signed_in(500), signed_in(0));
    for more in ["", "max_age=0", "max_age=1", "id_token_hint=x", "scope=openid email phone"] {
        for present in [None, Some(&old), Some(&just_now)] {
            for hint in [None, Some(user(1)), Some(user(2))] {
                for (answered, remembered) in [(NOTHING, None), (FRESH, Some(Scope::of(&["openid"])))] {
                    let scope = if more.contains("scope") { "" } else { "scope=openid&" };
                    let request = request(client("app"), &format!("{scope}prompt=none&{more}"));
                    assert_eq!(request.prompt, Prompt { none: true, ..Prompt::default() });
                    let next = decide(&request, present, remembered.as_ref(), &answered, hint, NOW);
                    assert!(matches!(next, Next::Issue | Next::Refuse(_)), "{more}: {next:?}");
                }
            }
        }
    }
}
