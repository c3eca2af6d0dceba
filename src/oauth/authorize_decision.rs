//! What happens next with a checked authorization request: sign in, choose an account, consent, issue, or refuse
//! (OIDC Core §3.1.2.3 … §3.1.2.6). A pure table; the flow shows the page or answers the client.
//!
//! It is asked again after each page with what the person did since, and each answer is the first thing that is missing.

use super::authorize::Authorize;
use super::error::OAuthError;
use super::id_token::{ACR_MFA, ACR_PASSWORD};
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
    /// They have a second factor, so that a sign-in proves more than this one did. Only looked at where [`asks_for_more`].
    pub has_factor: bool,
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
    // Who has a second factor shows it at a sign-in, once per request; nobody else proves more by signing in again.
    let may_prove_more = !just_signed_in && present.has_factor && asks_for_more(request, &present.acr);
    if granted_acr(request, &present.acr).is_none() {
        // OIDC Core §5.5.1.1: a failed authentication; Unmet Authentication Requirements 1.0 §2 names it.
        let unmet = Next::Refuse(OAuthError::UnmetAuthenticationRequirements);
        return if may_prove_more { page(Next::SignIn, OAuthError::LoginRequired) } else { unmet };
    }
    // `acr_values` is a wish (OIDC Core §3.1.2.1): no reason to fail where no page may be shown.
    if may_prove_more && !request.prompt.none {
        return Next::SignIn;
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

/// The class that an answer to this request tells, of a session of this class: the session's own, or the one that is essential to the
/// request where the session proved that and more; `None` where it is not met (OIDC Core §5.5.1.1).
pub fn granted_acr<'a>(request: &Authorize, acr: &'a str) -> Option<&'a str> {
    let essential = &request.claims.essential_acr;
    let is_asked = |class: &str| essential.iter().any(|one| one == class);
    if essential.is_empty() || is_asked(acr) {
        return Some(acr);
    }
    (acr == ACR_MFA && is_asked(ACR_PASSWORD)).then_some(ACR_PASSWORD)
}

/// Whether the request asks for a second factor, and a session of this class proved less: by an essential `acr`, or in `acr_values`
/// before the class that the session has (they stand in the order of preference, OIDC Core §3.1.2.1).
pub fn asks_for_more(request: &Authorize, acr: &str) -> bool {
    let essential = &request.claims.essential_acr;
    if !essential.is_empty() {
        return acr != ACR_MFA
            && !essential.iter().any(|one| one == acr)
            && essential.iter().any(|one| one == ACR_MFA);
    }
    let best = request.acr_values.iter().find(|one| *one == ACR_MFA || *one == acr);
    acr != ACR_MFA && best.is_some_and(|best| best == ACR_MFA)
}

/// OIDC Core §3.1.2.1 `max_age`. Zero asks for a new sign-in, as `prompt=login` does.
fn is_too_old(max_age: Option<i64>, auth_time: Timestamp, now: Timestamp) -> bool {
    max_age.is_some_and(|allowed| allowed == 0 || !now.is_within(allowed, auth_time))
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
