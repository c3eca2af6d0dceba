//! What happens next with a checked authorization request: sign in, choose an account, consent, issue, or refuse
//! (OIDC Core §3.1.2.3 … §3.1.2.6). A pure table; the flow shows the page or answers the client.
//!
//! It is asked again after each page with what the person did since, and each answer is the first thing that is missing.

use super::authorize::Authorize;
use super::error::OAuthError;
use super::redirect_uri;
use super::scope::Scope;
use crate::base::id::{SessionId, UserId};
use crate::base::time::Timestamp;

/// A live session of the browser that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who is signed in.
    pub user: UserId,
    /// Their session.
    pub session: SessionId,
    /// When they last proved who they are.
    pub auth_time: Timestamp,
    /// The class of that authentication.
    pub acr: String,
    /// Its methods (RFC 8176).
    pub amr: Vec<String>,
}

/// What the person did for this very request so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// A sign-in at or after this moment was made for this request. Absent on the first visit.
    pub authenticated_since: Option<Timestamp>,
    /// They chose the account that is signed in.
    pub account_selected: bool,
    /// They allowed the request.
    pub consented: bool,
}

/// The next step.
#[derive(Debug)]
pub enum Next {
    /// Show the sign-in page.
    SignIn,
    /// Let them choose: go on as who is signed in, or sign in as somebody else.
    SelectAccount,
    /// Show the consent page for this scope, and remember this scope when they allow it.
    Consent(Scope),
    /// Everything is there: answer with a code.
    Issue,
    /// Answer the client with this error.
    Refuse(OAuthError),
}

/// Decides the next step of `request`.
///
/// `remembered` is what this user allowed this client before, `hint` the subject of the verified `id_token_hint`; a request
/// with a hint and no subject here is one whose hint is not ours.
pub fn decide(
    request: &Authorize,
    present: Option<&Present>,
    remembered: Option<&Scope>,
    answered: &Answered,
    hint: Option<UserId>,
    now: Timestamp,
) -> Next {
    // Where a page is missing and none may be shown, the error that stands for that page (S-A18, R43).
    let page = |page: Next, error: OAuthError| if request.prompt.none { Next::Refuse(error) } else { page };

    if request.id_token_hint.is_some() && hint.is_none() {
        let error = OAuthError::InvalidRequest("id_token_hint is not an ID token of this server".into());
        return page(Next::Refuse(error), OAuthError::LoginRequired);
    }
    let Some(present) = present else { return page(Next::SignIn, OAuthError::LoginRequired) };
    let just_signed_in = answered.authenticated_since.is_some_and(|since| present.auth_time >= since);

    // Once per request: with max_age=0 nobody could ever pass otherwise (S-A19).
    if !just_signed_in && (request.prompt.login || is_too_old(request.max_age, present.auth_time, now)) {
        return page(Next::SignIn, OAuthError::LoginRequired);
    }
    if !is_expected(request, present.user, hint) {
        // OIDC Core §3.1.2.2: another subject than the hinted one never gets a positive answer (S-A20).
        let refused = Next::Refuse(OAuthError::LoginRequired);
        return page(if just_signed_in { refused } else { Next::SignIn }, OAuthError::LoginRequired);
    }
    let acr = &request.claims.essential_acr;
    if !acr.is_empty() && !acr.contains(&present.acr) {
        // OIDC Core §5.5.1.1: an essential acr that is not met is a failed authentication.
        let denied = Next::Refuse(OAuthError::AccessDenied);
        return page(if just_signed_in { denied } else { Next::SignIn }, OAuthError::LoginRequired);
    }
    // Who has just typed their name has chosen their account.
    if request.prompt.select_account && !answered.account_selected && !just_signed_in {
        return Next::SelectAccount;
    }
    let asked = request.consent_scope();
    if !answered.consented && needs_consent(request, remembered, &asked) {
        return page(Next::Consent(asked), OAuthError::ConsentRequired);
    }
    Next::Issue
}

/// OIDC Core §3.1.2.1 `max_age`. Zero asks for a new sign-in, as `prompt=login` does.
fn is_too_old(max_age: Option<i64>, auth_time: Timestamp, now: Timestamp) -> bool {
    max_age.is_some_and(|allowed| allowed == 0 || now.since(auth_time) > allowed)
}

/// Whether the request may be answered for this user: the hint's subject, and the `sub` of the `claims` parameter.
fn is_expected(request: &Authorize, user: UserId, hint: Option<UserId>) -> bool {
    let named = request.claims.subject.as_deref();
    hint.is_none_or(|hinted| hinted == user) && named.is_none_or(|sub| sub == user.to_string())
}

fn needs_consent(request: &Authorize, remembered: Option<&Scope>, asked: &Scope) -> bool {
    if request.prompt.consent {
        return true;
    }
    // OAuth 2.1 §7.3.1: anyone on the device can pose as this client, so a remembered consent proves nothing (S-A33).
    if redirect_uri::is_unassured(&request.client, request.destination.redirect_uri()) {
        return true;
    }
    // For a first-party app the administrator consented, offline_access included (OIDC Core §11: "other conditions").
    if request.client.metadata.skip_consent {
        return false;
    }
    !remembered.is_some_and(|allowed| allowed.covers(asked))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;
    use crate::oauth::authorize::{Prompt, read};
    use crate::oauth::client::{ApplicationType, Client};
    use crate::oauth::params::Params;
    use crate::oauth::samples::{client, public_client};

    const NOW: Timestamp = Timestamp::from_secs(10_000);

    fn user(seed: u64) -> UserId {
        UserId::new(&Clock::manual(NOW), &Entropy::seeded(seed))
    }

    fn signed_in(seconds_ago: i64) -> Present {
        Present {
            user: user(1),
            session: SessionId::new(&Clock::manual(NOW), &Entropy::seeded(1)),
            auth_time: NOW.minus(seconds_ago),
            acr: "pwd".to_owned(),
            amr: Vec::new(),
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
    const NOTHING: Answered =
        Answered { authenticated_since: None, account_selected: false, consented: false };

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
        let essential = |value: &str| {
            format!("claims={{\"id_token\":{{\"acr\":{{\"essential\":true,\"values\":[\"{value}\"]}}}}}}")
        };
        let (present, just_now) = (signed_in(500), signed_in(0));
        assert_eq!(next(&essential("pwd"), Some(&present), &NOTHING, None), "issue");
        assert_eq!(next(&essential("mfa"), Some(&present), &NOTHING, None), "sign-in");
        assert_eq!(next(&essential("mfa"), Some(&just_now), &FRESH, None), "access_denied");
        assert_eq!(
            next(&format!("prompt=none&{}", essential("mfa")), Some(&present), &NOTHING, None),
            "login_required"
        );
        assert_eq!(next("acr_values=mfa", Some(&present), &NOTHING, None), "issue", "a wish is no demand");
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
            (
                r#"scope=openid&claims={"userinfo":{"name":null}}"#,
                Some(&["openid"]),
                "consent openid profile",
            ),
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
        assert_eq!(
            consent(public_client("app"), "scope=openid", all, false),
            "issue",
            "an https app is assured"
        );
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
}
