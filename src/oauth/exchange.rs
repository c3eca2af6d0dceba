//! Token exchange (RFC 8693): one token for another. Two uses are known here: an outside issuer's token for a service account's
//! (workload identity), and one of our own access tokens for a narrower one, or one that says who acts for whom.
//!
//! A token never grows: neither scope, nor life, and its audience only to where the client is registered to go.

use super::access_token::{AccessClaims, Actor};
use super::assertion::Unverified;
use super::client::Client;
use super::error::{OAuthError, Why};
use super::params::Params;
use super::resource::audience_among;
use super::scope::Scope;
use crate::base::secret::Secret;

/// RFC 8693 §3: an OAuth access token.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// RFC 8693 §3: a JWT of somebody else.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// RFC 8693 §3: an ID token of somebody else.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// How many may act for one another in a row.
const LONGEST_CHAIN: usize = 4;

/// What is to be exchanged.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A token of an outside issuer.
    Outside(Unverified),
    /// One of our access tokens.
    Ours(Secret<String>),
}

/// A token exchange request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What is to be exchanged.
    pub subject: Subject,
    /// An access token of ours of whoever acts for the subject.
    pub actor: Option<Secret<String>>,
    /// The scope that is asked for.
    pub scope: Option<Scope>,
    /// Logical names of targets (RFC 8693 §2.1 `audience`); for an outside token, the service account.
    pub audience: Option<String>,
    /// The service account as `client_id`, where that names it.
    pub account: Option<String>,
}

impl Exchange {
    /// Reads the request. `invalid_request` for a token type that is not exchanged, as RFC 8693 §2.2.2 asks.
    pub fn read(params: &Params, scope: Option<Scope>) -> Result<Self, OAuthError> {
        let needed = |name: &'static str, missing: &'static str| {
            params.get(name).ok_or(OAuthError::InvalidRequest(missing.into()))
        };
        let token = needed("subject_token", "subject_token is missing")?;
        let subject = match needed("subject_token_type", "subject_token_type is missing")? {
            ACCESS_TOKEN => Subject::Ours(Secret::new(token.to_owned())),
            JWT | ID_TOKEN => {
                Subject::Outside(Unverified::peek(token).ok_or(OAuthError::InvalidGrant(Why::Malformed))?)
            }
            _ => {
                let text = "subject_token_type is not exchanged here; access_token, jwt and id_token of \
                            urn:ietf:params:oauth:token-type: are";
                return Err(OAuthError::InvalidRequest(text.into()));
            }
        };
        if params.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
            let text = "requested_token_type may be urn:ietf:params:oauth:token-type:access_token only";
            return Err(OAuthError::InvalidRequest(text.into()));
        }
        let actor = match (params.get("actor_token"), params.get("actor_token_type")) {
            (None, None) => None,
            (Some(token), Some(ACCESS_TOKEN)) => Some(Secret::new(token.to_owned())),
            _ => {
                let text =
                    "actor_token goes with actor_token_type urn:ietf:params:oauth:token-type:access_token";
                return Err(OAuthError::InvalidRequest(text.into()));
            }
        };
        if actor.is_some() && matches!(subject, Subject::Outside(_)) {
            return Err(OAuthError::InvalidRequest(
                "actor_token goes with an access token of ours only".into(),
            ));
        }
        let named = |name: &str| params.get(name).map(str::to_owned);
        Ok(Self { subject, actor, scope, audience: named("audience"), account: named("client_id") })
    }
}

/// What an exchanged token is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// What it allows.
    pub scope: Scope,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// Who acts, where it is not the subject itself.
    pub act: Option<Actor>,
}

/// Decides what a client gets for one of our access tokens.
///
/// The subject token was given to this client or is for it; so was the actor's. The scope is that of the token, or less, and
/// nothing that the client may not have. `resources` are as sent; `issuer` is ours.
pub fn exchange<'a>(
    client: &Client,
    issuer: &str,
    subject: &AccessClaims,
    actor: Option<&AccessClaims>,
    asked: (Option<&Scope>, impl Iterator<Item = &'a str>),
) -> Result<Exchanged, OAuthError> {
    // Who merely came across a token may do nothing with it: the same `invalid_grant` as for one that is unknown.
    for token in [Some(subject), actor].into_iter().flatten() {
        let is_for_client =
            token.aud.iter().any(|aud| *aud == client.id.as_str() || client.metadata.audience.contains(aud));
        if token.client_id != client.id && !is_for_client {
            return Err(OAuthError::InvalidGrant(Why::OtherClient));
        }
    }
    let (scope, resources) = asked;
    let most = subject.scope.common(&client.metadata.scope);
    let granted = match scope {
        None => most,
        Some(asked) if most.covers(asked) => asked.clone(),
        Some(_) => {
            let text = "scope has a word that the subject token or this client does not have";
            return Err(OAuthError::InvalidScope(text.into()));
        }
    };
    let targets = if client.metadata.exchange_audience.is_empty() {
        &client.metadata.audience
    } else {
        &client.metadata.exchange_audience
    };
    let audience = audience_among(targets, issuer, resources)?;
    let acting = match actor {
        Some(actor) if actor.sub != subject.sub => Some(actor.sub.clone()),
        // A client that trades its own token for a smaller one acts for nobody else.
        None if subject.client_id != client.id => Some(client.id.to_string()),
        _ => None,
    };
    let act = match acting {
        None => subject.act.clone(),
        Some(sub) => Some(Actor { sub, act: subject.act.clone().map(Box::new) }),
    };
    if act.as_ref().is_some_and(|act| act.depth() > LONGEST_CHAIN) {
        return Err(OAuthError::InvalidRequest("subject_token has been passed on too often already".into()));
    }
    Ok(Exchanged { scope: granted, audience, act })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::time::Timestamp;

    fn client(id: &str) -> Client {
        let metadata = json!({"client_name": id, "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "scope": "read write", "audience": [format!("https://{id}.example")], "exchange_audience": ["https://down.example"]});
        Client {
            id: id.parse().unwrap(),
            metadata: serde_json::from_value(metadata).unwrap(),
            secrets: Vec::new(),
            created_at: Timestamp::from_secs(0),
            disabled_at: None,
        }
    }

    fn token(of: &str, aud: &str, scope: &[&str]) -> AccessClaims {
        serde_json::from_value(
            json!({"iss": "i", "sub": "person", "aud": aud, "exp": 10, "iat": 1, "jti": "j", "client_id": of,
            "scope": scope.join(" ")}),
        )
        .unwrap()
    }

    fn none<'a>() -> std::iter::Empty<&'a str> {
        std::iter::empty()
    }

    #[test]
    fn a_token_is_traded_by_whom_it_was_given_to_or_is_for() {
        let api = client("api");
        let foreign = token("app", "https://other.example", &["read"]);
        assert!(matches!(
            exchange(&api, "i", &foreign, None, (None, none())),
            Err(OAuthError::InvalidGrant(Why::OtherClient))
        ));
        let passed_on = token("app", "https://api.example", &["read", "admin"]);
        let done = exchange(&api, "i", &passed_on, None, (None, none())).unwrap();
        assert_eq!(done.scope, Scope::of(&["read"]), "what the client may not have is not passed on");
        assert_eq!(done.audience, ["https://down.example"]);
        assert_eq!(done.act, Some(Actor { sub: "api".to_owned(), act: None }));
        let own = token("api", "x", &["read", "write"]);
        let done = exchange(&api, "i", &own, None, (Some(&Scope::of(&["read"])), none())).unwrap();
        assert_eq!((done.scope, done.act), (Scope::of(&["read"]), None));
    }

    #[test]
    fn a_token_never_grows() {
        let api = client("api");
        let subject = token("api", "x", &["read"]);
        let wider = exchange(&api, "i", &subject, None, (Some(&Scope::of(&["read", "write"])), none()));
        assert_eq!(wider.unwrap_err().code(), "invalid_scope");
        let elsewhere = exchange(&api, "i", &subject, None, (None, ["https://api.example"].into_iter()));
        assert_eq!(elsewhere.unwrap_err().code(), "invalid_target");
    }

    #[test]
    fn who_acts_is_written_down_and_a_chain_ends() {
        let api = client("api");
        let mut subject = token("app", "https://api.example", &["read"]);
        let mut actor = token("api", "x", &["read"]);
        actor.sub = "robot".to_owned();
        for depth in 1..=LONGEST_CHAIN {
            let done = exchange(&api, "i", &subject, Some(&actor), (None, none())).unwrap();
            assert_eq!(done.act.as_ref().map(Actor::depth), Some(depth));
            subject.act = done.act;
        }
        assert_eq!(
            exchange(&api, "i", &subject, Some(&actor), (None, none())).unwrap_err().code(),
            "invalid_request"
        );
    }

    #[test]
    fn a_request_says_what_it_brings_and_wants() {
        let read =
            |body: &str| Exchange::read(&Params::parse(body.as_bytes()).unwrap(), None).map_err(|e| e.code());
        let ours = format!("subject_token=t&subject_token_type={ACCESS_TOKEN}");
        assert!(read(&ours).is_ok());
        assert!(
            read(&format!(
                "{ours}&requested_token_type={ACCESS_TOKEN}&actor_token=a&actor_token_type={ACCESS_TOKEN}"
            ))
            .is_ok()
        );
        for bad in [
            "subject_token=t".to_owned(),
            format!("subject_token_type={ACCESS_TOKEN}"),
            "subject_token=t&subject_token_type=urn:ietf:params:oauth:token-type:saml2".to_owned(),
            format!("{ours}&requested_token_type={ID_TOKEN}"),
            format!("{ours}&actor_token=a"),
            format!("{ours}&actor_token=a&actor_token_type={JWT}"),
        ] {
            assert_eq!(read(&bad).err(), Some("invalid_request"), "{bad}");
        }
        assert_eq!(read(&format!("subject_token=x&subject_token_type={JWT}")).err(), Some("invalid_grant"));
    }

    /// Words of a scope, some of them registered.
    fn some_scope() -> impl Strategy<Value = Scope> {
        prop::sample::subsequence(vec!["read", "write", "admin", "openid", "readx"], 0..5)
            .prop_map(|words| Scope::of(&words))
    }

    proptest! {
        /// However often a token is traded, for whatever scope, each one has what its subject has and its client may have, or less.
        #[test]
        fn narrowing_never_widens(held in some_scope(), asked in prop::collection::vec(prop::option::of(some_scope()), 1..6)) {
            let api = client("api");
            let mut subject = token("api", "x", &held.words().collect::<Vec<_>>());
            for asked in asked {
                let most = subject.scope.common(&api.metadata.scope);
                match exchange(&api, "i", &subject, None, (asked.as_ref(), none())) {
                    Ok(done) => {
                        prop_assert!(done.scope.words().all(|word| held.contains(word) && subject.scope.contains(word)));
                        prop_assert!(done.scope.words().all(|word| ["read", "write"].contains(&word)), "{}", done.scope);
                        prop_assert_eq!(&done.scope, asked.as_ref().unwrap_or(&most));
                        subject.scope = done.scope;
                    }
                    Err(error) => {
                        prop_assert_eq!(error.code(), "invalid_scope");
                        prop_assert!(asked.is_some_and(|asked| asked.words().any(|word| !most.contains(word))));
                    }
                }
            }
        }
    }
}
