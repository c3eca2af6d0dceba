//! Reading an authorization request (RFC 6749 §4.1.1, OIDC Core §3.1.2.1): parameters in, a checked [`Authorize`] out, or a
//! refusal that knows whether it may travel by redirect. What to do with a checked request is [`decide`]'s.
//!
//! The order is the security: client, then redirect URI, and only then anything that is answered by redirect (S-A1 … S-A9).

use std::borrow::Cow;
use std::sync::Arc;

pub use super::authorize_decision::{Answered, Next, Present, asks_for_more, decide, granted_acr};
pub use super::authorize_parameters::Prompt;
use super::authorize_parameters::{max_age, prompt, scope, words};
use super::claims_request::ClaimsRequest;
use super::client::{Client, GrantType};
use super::destination::{Destination, ResponseMode};
use super::error::{OAuthError, Refusal};
use super::params::Params;
use super::pkce::{Binding, CodeChallenge};
use super::redirect_uri;
use super::scope::Scope;
use crate::base::id::ClientId;

/// The longest `state` or `nonce`, in bytes; what is longer is refused, what is shorter comes back unchanged (C28, R90).
const MAX_ECHOED: usize = 4096;
/// The longest `login_hint` that is shown on the sign-in page, in bytes; a longer one is ignored.
const MAX_LOGIN_HINT: usize = 320;

/// An authorization request in which everything that does not depend on the person is checked.
#[derive(Clone, Debug)]
pub struct Authorize {
    /// Who asks.
    pub client: Arc<Client>,
    /// Where the answer goes.
    pub destination: Destination,
    /// Whether `redirect_uri` was in the request; the token request must then repeat it (RFC 6749 §4.1.3).
    pub redirect_uri_was_sent: bool,
    /// What is asked for: within the client's registration, never empty.
    pub scope: Scope,
    /// Goes into the ID token unchanged.
    pub nonce: Option<String>,
    /// What the code is bound to beside the client.
    pub binding: Binding,
    /// Which pages are wanted or forbidden.
    pub prompt: Prompt,
    /// How old the sign-in may be, in seconds: the request's, else the client's `default_max_age`.
    pub max_age: Option<i64>,
    /// An ID token of ours, not verified yet.
    pub id_token_hint: Option<String>,
    /// What to write into the sign-in form.
    pub login_hint: Option<String>,
    /// Wanted classes of authentication, best first; a wish, not a demand (OIDC Core §3.1.2.1).
    pub acr_values: Vec<String>,
    /// Wanted languages of our pages, best first.
    pub ui_locales: Vec<String>,
    /// Single claims asked for, within the client's registration.
    pub claims: ClaimsRequest,
    /// What the tokens are to be for, as sent (RFC 8707 §2.1); empty for all that the client may ask for.
    pub resources: Vec<String>,
}

impl Authorize {
    /// What a person consents to: the scope, and the scopes of claims that are asked for by name.
    pub fn consent_scope(&self) -> Scope {
        self.scope.union(&self.claims.scope())
    }

    /// Whether an ID token is asked for (OIDC Core §3.1.2.1).
    pub fn is_openid(&self) -> bool {
        self.scope.contains("openid")
    }
}

/// Reads and checks a request. `find` looks a client up.
///
/// # Errors
/// [`Refusal::Page`] while client or redirect URI are not trusted, afterwards [`Refusal::Redirect`] with the request's
/// `state`, byte for byte (R3, S-A16).
pub fn read(
    params: &Params,
    issuer: &str,
    find: impl FnOnce(&ClientId) -> Option<Arc<Client>>,
) -> Result<Authorize, Refusal> {
    let client = known_client(params, find).map_err(Refusal::Page)?;
    let (redirect_uri, redirect_uri_was_sent) =
        trusted_redirect_uri(params, &client).map_err(Refusal::Page)?;
    let mode = response_mode(params);
    // Of a repeated `state` nobody knows which one is meant, so none comes back.
    let state = params.get("state").filter(|_| !params.is_repeated("state")).map(str::to_owned);
    let destination =
        Destination::new(redirect_uri, state, mode.unwrap_or(ResponseMode::Query), issuer.to_owned());
    let refused = |error| Refusal::Redirect(Box::new(destination.clone()), error);

    params.refuse_repeated().map_err(refused)?;
    if mode.is_none() {
        return Err(refused(invalid("response_mode: query or form_post is allowed")));
    }
    refuse_what_is_unsupported(params, &client, issuer).map_err(refused)?;
    let scope = scope(params, &client).map_err(refused)?;
    let claims =
        params.get("claims").map(ClaimsRequest::parse).transpose().map_err(refused)?.unwrap_or_default();
    Ok(Authorize {
        scope,
        nonce: params.get("nonce").map(str::to_owned),
        binding: binding(params, &client).map_err(refused)?,
        prompt: prompt(params).map_err(refused)?,
        max_age: max_age(params).map_err(refused)?.or(client.metadata.default_max_age),
        id_token_hint: params.get("id_token_hint").map(str::to_owned),
        login_hint: params.get("login_hint").filter(|h| h.len() <= MAX_LOGIN_HINT).map(str::to_owned),
        acr_values: words(params, "acr_values"),
        ui_locales: words(params, "ui_locales"),
        resources: params.all("resource").map(str::to_owned).collect(),
        claims: claims.limited_to(&client.metadata.scope),
        client,
        destination,
        redirect_uri_was_sent,
    })
}

fn invalid(text: impl Into<Cow<'static, str>>) -> OAuthError {
    OAuthError::InvalidRequest(text.into())
}

/// RFC 6749 §4.1.2.1: without a known client there is nobody to redirect to.
fn known_client(
    params: &Params,
    find: impl FnOnce(&ClientId) -> Option<Arc<Client>>,
) -> Result<Arc<Client>, OAuthError> {
    if params.is_repeated("client_id") {
        return Err(invalid("client_id is repeated"));
    }
    let id: ClientId = params
        .get("client_id")
        .ok_or_else(|| invalid("client_id is missing"))?
        .parse()
        .map_err(|problem: &'static str| invalid(problem))?;
    find(&id)
        .filter(|client| client.disabled_at.is_none())
        .ok_or_else(|| invalid("client_id: no such app is registered here"))
}

/// RFC 6749 §3.1.2.3. It may be left out when only one is registered, and never in an OpenID Connect request
/// (OIDC Core §3.1.2.1: REQUIRED).
fn trusted_redirect_uri(params: &Params, client: &Client) -> Result<(String, bool), OAuthError> {
    if params.is_repeated("redirect_uri") {
        return Err(invalid("redirect_uri is repeated"));
    }
    if let Some(presented) = params.get("redirect_uri") {
        return if redirect_uri::matches(client, presented) {
            Ok((presented.to_owned(), true))
        } else {
            Err(invalid("redirect_uri is not one that is registered for this app"))
        };
    }
    let is_openid = params.all("scope").any(|scope| scope.split(' ').any(|word| word == "openid"));
    match redirect_uri::sole(client) {
        Some(sole) if !is_openid => Ok((sole.to_owned(), false)),
        _ => Err(invalid("redirect_uri is missing")),
    }
}

/// `None` for a mode that we do not have (S-A25); the refusal then travels in the query.
fn response_mode(params: &Params) -> Option<ResponseMode> {
    if params.is_repeated("response_mode") {
        return Some(ResponseMode::Query); // refused with every other repeated parameter
    }
    match params.get("response_mode") {
        None | Some("query") => Some(ResponseMode::Query),
        Some("form_post") => Some(ResponseMode::FormPost),
        Some(_) => None,
    }
}

fn refuse_what_is_unsupported(params: &Params, client: &Client, issuer: &str) -> Result<(), OAuthError> {
    // Before everything else: with a request object the other parameters may stand in there (R54, S-A22: never fetched).
    if params.get("request").is_some() {
        return Err(OAuthError::RequestNotSupported);
    }
    if params.get("request_uri").is_some() {
        return Err(OAuthError::RequestUriNotSupported);
    }
    if params.get("registration").is_some() {
        return Err(OAuthError::RegistrationNotSupported);
    }
    match params.get("response_type") {
        None => return Err(invalid("response_type is missing; use code")),
        Some("code") => {}
        Some(_) => return Err(OAuthError::UnsupportedResponseType),
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for authorization_code"));
    }
    for name in ["state", "nonce"] {
        if params.get(name).is_some_and(|value| value.len() > MAX_ECHOED) {
            return Err(invalid(format!("{name} is longer than {MAX_ECHOED} bytes")));
        }
    }
    client.audience_for(issuer, params.all("resource")).map(drop) // S-A24
}

/// Requirements D3: without a challenge only a confidential client that was registered so.
fn binding(params: &Params, client: &Client) -> Result<Binding, OAuthError> {
    let challenge = CodeChallenge::parse(params.get("code_challenge"), params.get("code_challenge_method"))?;
    Binding::new(client, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::oauth::destination::Delivery;
    use crate::oauth::samples::{client, public_client};

    const ISSUER: &str = "https://id.example";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    /// A request that is all right, with `changes` (an empty value leaves a parameter out).
    fn query(changes: &[(&str, &str)]) -> String {
        let mut pairs = vec![
            ("client_id", "app"),
            ("redirect_uri", "https://app.example/cb"),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "s/+= &iss=x"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        pairs.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    fn ask(client: &Client, query: &str) -> Result<Authorize, Refusal> {
        let params = Params::parse(query.as_bytes()).unwrap();
        read(&params, ISSUER, |id| (*id == client.id).then(|| Arc::new(client.clone())))
    }

    fn good(client: &Client, changes: &[(&str, &str)]) -> Authorize {
        ask(client, &query(changes)).unwrap()
    }

    /// The error code of a refusal that travels by redirect; the `state` must be on it.
    fn refused(client: &Client, changes: &[(&str, &str)]) -> &'static str {
        match ask(client, &query(changes)) {
            Err(Refusal::Redirect(destination, error)) => {
                let Delivery::Redirect(to) = destination.answer(Vec::new()) else {
                    unreachable!("not by query")
                };
                assert!(to.contains("state=") || changes.iter().any(|(n, _)| *n == "state"), "R3: {to}");
                error.code()
            }
            other => unreachable!("{changes:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_sent_r3_c28_s_a16() {
        let request = good(
            &client("app"),
            &[
                ("scope", "email openid offline_access"),
                ("nonce", "n:/+=="),
                ("prompt", "login create consent"),
                ("max_age", "0"),
                ("acr_values", "b a"),
                ("ui_locales", "se"),
                ("claims", r#"{"userinfo":{"name":null}}"#),
                ("login_hint", "nobody"),
                ("display", "popup"),
                ("claims_locales", "se"),
                ("extra", "foobar"),
            ],
        );
        assert_eq!(request.scope, Scope::of(&["email", "openid", "offline_access"]));
        assert_eq!(request.consent_scope(), Scope::of(&["email", "openid", "offline_access", "profile"]));
        assert_eq!(request.nonce.as_deref(), Some("n:/+=="));
        assert_eq!(request.prompt, Prompt { none: false, login: true, consent: true, select_account: false });
        assert_eq!((request.max_age, request.acr_values.join(" ")), (Some(0), "b a".to_owned()));
        assert!(request.redirect_uri_was_sent && request.is_openid());
        assert!(matches!(request.binding, Binding::Pkce(_)));
        let answer = request.destination.answer(vec![("code", "c".to_owned())]);
        let expected =
            "https://app.example/cb?code=c&state=s%2F%2B%3D+%26iss%3Dx&iss=https%3A%2F%2Fid.example";
        assert_eq!(answer, Delivery::Redirect(expected.to_owned()), "nothing of state becomes a parameter");

        let mut aged = client("app");
        aged.metadata.default_max_age = Some(7);
        assert_eq!(good(&aged, &[]).max_age, Some(7));
    }

    #[test]
    fn without_a_trusted_client_or_redirect_uri_there_is_a_page_r52_r61_s_a1_s_a7_s_a9_s_a14() {
        let mut disabled = client("app");
        disabled.disabled_at = Some(Timestamp::from_secs(1));
        let mut two = client("app");
        two.metadata.redirect_uris.push("https://app.example/two".to_owned());
        let pages = [
            (client("app"), query(&[("client_id", "")])),
            (client("app"), query(&[("client_id", "other")])),
            (client("app"), query(&[("client_id", "a b")])),
            (client("app"), query(&[]) + "&client_id=app"),
            (disabled, query(&[])),
            (client("app"), query(&[("redirect_uri", "https://app.example/cb/")])),
            (client("app"), query(&[("redirect_uri", "https://evil.example/cb")])),
            (client("app"), query(&[]) + "&redirect_uri=https%3A%2F%2Fapp.example%2Fcb"),
            (client("app"), query(&[("redirect_uri", "")])),
            (client("app"), query(&[("redirect_uri", ""), ("scope", "read")]) + "&scope=openid"),
            (two, query(&[("redirect_uri", ""), ("scope", "read")])),
        ];
        for (client, query) in pages {
            match ask(&client, &query) {
                Err(Refusal::Page(error)) => assert_eq!(error.code(), "invalid_request"),
                other => unreachable!("{query}: {other:?}"),
            }
        }
        let plain = good(&client("app"), &[("redirect_uri", ""), ("scope", "read")]);
        assert_eq!(plain.destination.redirect_uri(), "https://app.example/cb");
        assert!(!plain.redirect_uri_was_sent);
    }

    #[test]
    fn what_is_wrong_in_a_trusted_request_goes_back_to_the_client() {
        let long = "x".repeat(4097);
        for (changes, code) in [
            (&[("response_mode", "fragment")][..], "invalid_request"), // S-A25
            (&[("response_type", "")], "invalid_request"),             // R36
            (&[("response_type", "token")], "unsupported_response_type"), // S-A10
            (&[("response_type", "code id_token")], "unsupported_response_type"),
            (&[("request", "x"), ("response_type", "")], "request_not_supported"), // R54
            (&[("request_uri", "https://x")], "request_uri_not_supported"),
            (&[("registration", "{}")], "registration_not_supported"),
            (&[("scope", "openid admin")], "invalid_scope"), // S-A23
            (&[("code_challenge", ""), ("code_challenge_method", "")], "invalid_request"), // S-A11
            (&[("code_challenge_method", "plain")], "invalid_request"), // S-A12
            (&[("code_challenge_method", "")], "invalid_request"),
            (&[("prompt", "none login")], "invalid_request"), // S-A18
            (&[("max_age", "-1")], "invalid_request"),
            (&[("claims", "[]")], "invalid_request"),
            (&[("nonce", &long)], "invalid_request"), // R90
            (&[("state", &long)], "invalid_request"),
            (&[("state", "one"), ("state", "two")], "invalid_request"), // S-A14
            (&[("nonce", "one"), ("nonce", "one")], "invalid_request"),
            (&[("extra", "one"), ("extra", "two")], "invalid_request"),
            (&[("resource", "https://other.example")], "invalid_target"), // S-A24
        ] {
            assert_eq!(refused(&client("app"), changes), code, "{changes:?}");
        }
        let mut machine = client("app");
        machine.metadata.grant_types = vec![GrantType::ClientCredentials];
        assert_eq!(refused(&machine, &[]), "unauthorized_client");
        good(&client("app"), &[("resource", ISSUER), ("state", &"x".repeat(4096))]);
    }

    #[test]
    fn a_refusal_keeps_form_post_but_an_unknown_mode_goes_by_query_r5_s_a25() {
        for (mode, by_form) in [("form_post", true), ("query", false), ("fragment", false), ("jwt", false)] {
            let query = query(&[("response_mode", mode), ("response_type", "")]);
            let Err(Refusal::Redirect(to, _)) = ask(&client("app"), &query) else { unreachable!("{mode}") };
            assert_eq!(matches!(to.answer(Vec::new()), Delivery::FormPost { .. }), by_form, "{mode}");
        }
    }

    #[test]
    fn pkce_may_be_left_out_only_by_a_confidential_client_registered_so_d3_r56() {
        let without = [("code_challenge", ""), ("code_challenge_method", "")];
        let (mut lax, mut public) = (client("app"), public_client("app"));
        lax.metadata.require_pkce = false;
        public.metadata.require_pkce = false;
        assert_eq!(good(&lax, &without).binding, Binding::ConfidentialOnly);
        assert!(matches!(good(&lax, &[]).binding, Binding::Pkce(_)));
        assert_eq!(refused(&public, &without), "invalid_request");
    }

    #[test]
    fn naming_a_claim_is_no_way_round_the_registered_scope_s_a23() {
        let mut narrow = client("app");
        narrow.metadata.scope = Scope::of(&["openid"]);
        let claims = r#"{"userinfo":{"name":null}}"#;
        assert!(good(&narrow, &[("claims", claims)]).claims.is_empty());
    }
}
