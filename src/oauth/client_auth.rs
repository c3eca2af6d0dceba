//! How a client says who it is, as it arrived: HTTP Basic, the request body, an assertion, or only a name (RFC 6749 §2.3,
//! RFC 7521 §4.2).
//!
//! Exactly one way in one request. Nothing here knows whether the client exists or whether the secret is right; that is
//! for `flow/token.rs`, which must refuse a bare name of a client that has a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::assertion::{CLIENT_ASSERTION_TYPE, Unverified};
use super::error::OAuthError;
use super::params::Params;
use crate::base::id::ClientId;
use crate::base::secret::Secret;

/// The credentials of one request, not yet checked against anything.
#[derive(Clone, Debug)]
pub enum Presented {
    /// Only a name: what a public client sends (RFC 6749 §3.2.1).
    Public(ClientId),
    /// `Authorization: Basic` (RFC 6749 §2.3.1).
    Basic(ClientId, Secret<String>),
    /// `client_id` and `client_secret` in the body (RFC 6749 §2.3.1).
    Post(ClientId, Secret<String>),
    /// `client_assertion` in the body (RFC 7523 §2.2): the client is the one that is said to have made it.
    Assertion(ClientId, Unverified),
}

/// Whether a request has credentials of a client at all; a bare `client_id` is a name and none.
pub fn is_present(authorization: Option<&str>, params: &Params) -> bool {
    authorization.is_some()
        || ["client_secret", "client_assertion", "client_assertion_type"]
            .iter()
            .any(|name| params.get(name).is_some())
}

/// Reads the credentials from the `Authorization` header and the body (S-T2, S-T6, S-T7, C1 to C3).
///
/// `invalid_request` when two ways or two clients are in one request, or a parameter is repeated; `invalid_client` when there is
/// no client, or what is there cannot be one.
pub fn read(authorization: Option<&str>, params: &Params) -> Result<Presented, OAuthError> {
    params.refuse_repeated()?;
    let (id, secret) = (params.get("client_id"), params.get("client_secret"));
    let assertion = params.get("client_assertion").is_some() || params.get("client_assertion_type").is_some();
    // RFC 6749 §2.3: "The client MUST NOT use more than one authentication method in each request."
    if usize::from(authorization.is_some()) + usize::from(secret.is_some()) + usize::from(assertion) > 1 {
        return Err(OAuthError::InvalidRequest(
            "more than one way of client authentication; use the Authorization header or the body, not both"
                .into(),
        ));
    }
    if let Some(header) = authorization {
        let presented = basic(header).ok_or(OAuthError::InvalidClient { basic: true })?;
        if id.is_some_and(|id| id != presented.client_id().as_str()) {
            return Err(OAuthError::InvalidRequest(
                "client_id in the body is not the one of the Authorization header".into(),
            ));
        }
        return Ok(presented);
    }
    let refused = || OAuthError::InvalidClient { basic: false };
    if assertion {
        return by_assertion(id, params).ok_or_else(refused);
    }
    let id: ClientId = id.and_then(|id| id.parse().ok()).ok_or_else(refused)?;
    Ok(match secret {
        Some(secret) => Presented::Post(id, Secret::new(secret.to_owned())),
        None => Presented::Public(id),
    })
}

impl Presented {
    /// Who the client says it is.
    pub fn client_id(&self) -> &ClientId {
        match self {
            Self::Public(id) | Self::Basic(id, _) | Self::Post(id, _) | Self::Assertion(id, _) => id,
        }
    }

    /// Whether a refusal carries the Basic challenge (RFC 6749 §5.2).
    pub fn used_basic(&self) -> bool {
        matches!(self, Self::Basic(..))
    }

    /// The secret, if one was sent.
    pub fn secret(&self) -> Option<&Secret<String>> {
        match self {
            Self::Public(_) | Self::Assertion(..) => None,
            Self::Basic(_, secret) | Self::Post(_, secret) => Some(secret),
        }
    }
}

/// An assertion says in `iss` whose it is, so `client_id` may be left out (C4); where it is sent, it is the same (S-J8).
fn by_assertion(id: Option<&str>, params: &Params) -> Option<Presented> {
    if params.get("client_assertion_type") != Some(CLIENT_ASSERTION_TYPE) {
        return None;
    }
    let unverified = Unverified::peek(params.get("client_assertion")?)?;
    if id.is_some_and(|id| id != unverified.iss) {
        return None;
    }
    Some(Presented::Assertion(unverified.iss.parse().ok()?, unverified))
}

/// `Basic base64(id:secret)` (RFC 7617 §2) with both halves form-encoded (RFC 6749 §2.3.1); `None` for anything else.
fn basic(header: &str) -> Option<Presented> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // The strict alphabet with its padding: a header that decodes only with goodwill is not one.
    let decoded = Zeroizing::new(STANDARD.decode(credentials.trim_matches(' ')).ok()?);
    let (id, secret) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    let id: ClientId = form_decoded(id).parse().ok()?;
    if secret.is_empty() {
        return Some(Presented::Public(id)); // C3: how oidc-agent speaks as a public client
    }
    Some(Presented::Basic(id, Secret::new(form_decoded(secret))))
}

/// One half of Basic credentials with its escapes undone, or as it is when it has none, because half of the clients escape and
/// half do not (C1).
///
/// Both read alike: no id and no secret has a space, so `+` is a plus, and registration refuses a secret in which a `%` looks
/// like an escape.
fn form_decoded(half: &str) -> String {
    fn hex(digit: Option<u8>) -> Option<u8> {
        char::from(digit?).to_digit(16).and_then(|d| u8::try_from(d).ok())
    }
    let mut bytes = Vec::with_capacity(half.len());
    let mut rest = half.bytes();
    while let Some(b) = rest.next() {
        match b {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => bytes.push(high * 16 + low),
                _ => return half.to_owned(),
            },
            b => bytes.push(b),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| half.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    /// `way:id:secret`, or `error` with whether it has the Basic challenge.
    fn outcome(authorization: Option<&str>, body: &str) -> String {
        let secret = |p: &Presented| p.secret().map(|s| s.reveal().clone()).unwrap_or_default();
        match read(authorization, &Params::parse(body.as_bytes()).unwrap()) {
            Ok(p @ Presented::Public(_)) => format!("public:{}:{}", p.client_id(), secret(&p)),
            Ok(p @ Presented::Basic(..)) => format!("basic:{}:{}", p.client_id(), secret(&p)),
            Ok(p @ Presented::Post(..)) => format!("post:{}:{}", p.client_id(), secret(&p)),
            Ok(p @ Presented::Assertion(..)) => format!("assertion:{}:{}", p.client_id(), secret(&p)),
            Err(OAuthError::InvalidClient { basic }) => format!("invalid_client basic={basic}"),
            Err(e) => e.code().to_owned(),
        }
    }

    #[test]
    fn both_halves_of_basic_are_read_escaped_or_not() {
        for (credentials, expected) in [
            ("my-app:my-secret", "basic:my-app:my-secret"),
            ("my%2Dapp:my%2dsecret", "basic:my-app:my-secret"), // C1: openid-client escapes even `-`
            ("app:a:b", "basic:app:a:b"),
            ("app:a%3Ab", "basic:app:a:b"),
            ("app:a+b", "basic:app:a+b"),
            ("app:a%2Bb", "basic:app:a+b"),
            ("app:100%", "basic:app:100%"),
            ("app:100%25", "basic:app:100%"),
            ("app:a%252Db", "basic:app:a%2Db"), // S-T8: escaped twice is another secret
            ("app:a%FFb", "basic:app:a%FFb"),
            ("app:", "public:app:"), // C3
            ("my%2Dapp:", "public:my-app:"),
            ("app", "invalid_client basic=true"),
            (":", "invalid_client basic=true"),
            (":secret", "invalid_client basic=true"),
            ("a b:secret", "invalid_client basic=true"),
            ("", "invalid_client basic=true"),
        ] {
            assert_eq!(outcome(Some(&header(credentials)), ""), expected, "{credentials}");
        }
    }

    #[test]
    fn a_header_that_is_not_basic_is_refused_with_the_challenge() {
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Basic  ",
            "Basic *",
            "Basic YXBw",
            "Bearer YXBwOng=",
            "BasicYXBwOng=",
            "Basic YXBwOng",
            "Basic YXBwOnh=",
            "Basic YXBw Ong=",
            "Basic YXBwOng=,Basic YXBwOng=",
            "Basic _-8=",
            "Basic OP8=",
        ] {
            assert_eq!(outcome(Some(bad), ""), "invalid_client basic=true", "{bad:?}");
        }
        assert_eq!(
            outcome(Some("basic  YXBwOng="), ""),
            "basic:app:x",
            "RFC 9110 §11.1: the scheme has no case"
        );
    }

    #[test]
    fn exactly_one_way_is_taken() {
        let app = header("app:x");
        for (authorization, body, expected) in [
            (None, "client_id=app&client_secret=x", "post:app:x"),
            (None, "client_id=app", "public:app:"),
            (None, "client_id=app&client_secret=", "public:app:"), // RFC 6749 §3.1: an empty value is no value
            (None, "client_id=app&client_secret=a%252Db", "post:app:a%2Db"),
            (None, "", "invalid_client basic=false"),
            (None, "client_secret=x", "invalid_client basic=false"),
            (None, "client_id=", "invalid_client basic=false"),
            (None, "client_id=a%20b", "invalid_client basic=false"),
            (None, "client_id=app&client_id=app", "invalid_request"),
            (None, "client_id=app&client_secret=x&client_secret=x", "invalid_request"),
            (None, "client_id=app&client_assertion=e30.e30.", "invalid_client basic=false"),
            (None, "client_assertion_type=x", "invalid_client basic=false"),
            (None, "client_id=app&client_secret=x&client_assertion=y", "invalid_request"),
            (Some(app.as_str()), "client_id=app", "basic:app:x"), // C2: oidc-agent
            (Some(app.as_str()), "client_id=App", "invalid_request"), // S-T7
            (Some(app.as_str()), "client_secret=x", "invalid_request"),
            (Some(app.as_str()), "client_id=app&client_secret=x", "invalid_request"),
            (Some(app.as_str()), "client_assertion=y", "invalid_request"),
            (Some(app.as_str()), "client_secret=", "basic:app:x"),
        ] {
            assert_eq!(outcome(authorization, body), expected, "{authorization:?} {body}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let presented = read(Some(&header("app:hush-hush")), &Params::default()).unwrap();
        assert!(!format!("{presented:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_bring_it_down(text in "\\PC{0,40}", bytes: Vec<u8>, body in "[a-z_=&%+0-9é]{0,60}") {
            let params = Params::parse(body.as_bytes()).unwrap_or_default();
            let encoded = format!("Basic {}", STANDARD.encode(&bytes));
            for header in [text.as_str(), &format!("Basic {text}"), &header(&text), &encoded] {
                let _ = read(Some(header), &params);
            }
            let _ = read(None, &params);
        }

        #[test]
        fn escaped_and_raw_credentials_agree(id in "[A-Za-z0-9._~-]{1,20}", secret in "[A-Za-z0-9._~+:/=!*-]{1,20}") {
            let escape = |text: &str| text.bytes().fold(String::new(), |out, b| format!("{out}%{b:02X}"));
            let raw = outcome(Some(&header(&format!("{id}:{secret}"))), "");
            prop_assert_eq!(&raw, &format!("basic:{id}:{secret}"));
            prop_assert_eq!(&raw, &outcome(Some(&header(&format!("{}:{}", escape(&id), escape(&secret)))), ""));
        }
    }
}
