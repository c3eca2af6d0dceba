//! Sign-in through another OpenID provider: what we ask it, and which of its answers are good (OIDC Core §3.1.2.1, §3.1.3.7; S-L15).
//!
//! Somebody there is known by issuer and subject together, and by nothing else: an address may be given away, and anybody may write any
//! address into an account of theirs elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::scope::Scope;
use crate::base::id::UserId;
use crate::base::time::Timestamp;

/// How far another clock may be off, in seconds.
const LEEWAY: i64 = 60;
/// The oldest ID token that is taken, in seconds: it was made a moment ago for this very request.
const OLDEST: i64 = 600;
/// The longest subject (OIDC Core §2).
const LONGEST_SUBJECT: usize = 255;

/// A provider that administrators trust to say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its id, in addresses: `google`.
    pub id: String,
    /// What people read on the button.
    pub name: String,
    /// Its issuer, as its metadata says.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// What we ask for.
    pub scope: Scope,
    /// Whether an address that it says is somebody's makes the account with that address theirs.
    pub trusted_for_addresses: bool,
    /// Since when nobody signs in by it.
    pub disabled_at: Option<Timestamp>,
    /// Since when it is here.
    pub created_at: Timestamp,
}

impl Provider {
    /// Whether people sign in by it now.
    pub const fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }
}

/// Where a provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where people are sent.
    pub authorization: Url,
    /// Where codes are redeemed.
    pub token: String,
    /// Where it says more about somebody (OIDC Core §5.3).
    pub user_info: Option<String>,
    /// Its answers name their issuer (RFC 9207 §3).
    pub names_issuer: bool,
    /// Our secret goes into the form; else into the head of the request (RFC 6749 §2.3.1).
    pub secret_in_form: bool,
}

impl Endpoints {
    /// Where its metadata is (OIDC Discovery §4).
    pub fn metadata_of(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// From a provider's metadata, which must be this issuer's (OIDC Discovery §4.3).
    pub fn read(document: &Value, issuer: &str) -> Option<Self> {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return None;
        }
        let authorization = Url::parse(text("authorization_endpoint")?).ok()?;
        let is_local = matches!(authorization.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if authorization.scheme() != "https" && !(authorization.scheme() == "http" && is_local) {
            return None;
        }
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        // Absent means basic (OIDC Discovery §3).
        let has = |wanted| methods.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(wanted)));
        Some(Self {
            authorization,
            token: text("token_endpoint")?.to_owned(),
            user_info: text("userinfo_endpoint").map(str::to_owned),
            names_issuer: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            secret_in_form: has("client_secret_post") && !has("client_secret_basic"),
        })
    }
}

/// What is asked of a provider for one sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who we are there.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// What we want to know.
    pub scope: &'a Scope,
    /// Binds the answer to this browser.
    pub state: &'a str,
    /// Binds the ID token to this request.
    pub nonce: &'a str,
    /// Binds the code to us (RFC 7636, S256).
    pub challenge: &'a str,
    /// Whoever is signed in there proves anew who they are: here it stands for a fresh sign-in (OIDC Core §3.1.2.1).
    pub anew: bool,
}

impl Request<'_> {
    /// Where the browser is sent. What stands in the provider's own address stays.
    pub fn url(&self, endpoints: &Endpoints) -> String {
        let mut url = endpoints.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("scope", &self.scope.to_string())
            .append_pair("state", self.state)
            .append_pair("nonce", self.nonce)
            .append_pair("code_challenge", self.challenge)
            .append_pair("code_challenge_method", "S256");
        if self.anew {
            url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
        }
        url.into()
    }
}

/// One audience, or several (OIDC Core §2 `aud`).
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// The claims of another provider's ID token.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// Who says so.
    pub iss: String,
    /// About whom.
    pub sub: String,
    /// To whom.
    pub aud: Audience,
    /// To whom of several.
    pub azp: Option<String>,
    /// Until when.
    pub exp: i64,
    /// Since when.
    pub iat: i64,
    /// When they proved there who they are.
    pub auth_time: Option<i64>,
    /// In answer to what.
    pub nonce: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Whether the provider saw that it is theirs. Some write the word as text.
    pub email_verified: Option<Value>,
}

/// Why an ID token is not taken. For the log; nobody outside is told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Another issuer's.
    Issuer,
    /// For somebody else.
    Audience,
    /// Too old, or of the future.
    Time,
    /// They were asked to prove anew who they are, and did not.
    Stale,
    /// An answer to another request.
    Nonce,
    /// About nobody.
    Subject,
}

/// Somebody at another provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Whom it knows under this.
    pub subject: String,
    /// Their address, where the provider says that it is theirs.
    pub email: Option<String>,
}

/// Who an ID token with a right signature is about, if it is one for us and for this request (OIDC Core §3.1.3.7).
///
/// `anew_since`: a fresh proof was asked for at that moment. A provider that says nothing of when it asked is believed.
pub fn check(
    claims: Claims,
    (issuer, client_id, nonce): (&str, &str, &str),
    anew_since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Identity, Wrong> {
    if claims.iss != issuer {
        return Err(Wrong::Issuer);
    }
    let is_ours = match &claims.aud {
        Audience::One(one) => one == client_id,
        // Of several, whom it was made for must be named, and be us (steps 3 to 5).
        Audience::Several(all) => {
            all.iter().any(|one| one == client_id) && (all.len() == 1 || claims.azp.is_some())
        }
    };
    if !is_ours || claims.azp.as_deref().is_some_and(|azp| azp != client_id) {
        return Err(Wrong::Audience);
    }
    let (now, made, ends) = (now.as_secs(), claims.iat, claims.exp.saturating_add(LEEWAY));
    if ends <= now || made > now.saturating_add(LEEWAY) || now.saturating_sub(made) > OLDEST {
        return Err(Wrong::Time);
    }
    let asked = anew_since.map(|at| at.as_secs().saturating_sub(LEEWAY));
    if asked.zip(claims.auth_time).is_some_and(|(asked, proved)| proved < asked) {
        return Err(Wrong::Stale);
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return Err(Wrong::Nonce);
    }
    if claims.sub.is_empty() || claims.sub.len() > LONGEST_SUBJECT {
        return Err(Wrong::Subject);
    }
    let Claims { iss, sub, email, email_verified, .. } = claims;
    Ok(Identity { issuer: iss, subject: sub, email: verified(email, email_verified.as_ref()) })
}

/// An address that is theirs.
fn verified(email: Option<String>, is_theirs: Option<&Value>) -> Option<String> {
    email.filter(|_| match is_theirs {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(word)) => word == "true",
        _ => false,
    })
}

/// What a provider says beside the ID token: many say an address only there.
#[derive(Clone, Debug, Deserialize)]
pub struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<Value>,
}

impl UserInfo {
    /// Their address, if it is about the same person (OIDC Core §5.3.2).
    pub fn email_of(self, subject: &str) -> Option<String> {
        verified(self.email, self.email_verified.as_ref()).filter(|_| self.sub == subject)
    }
}

/// What is known of an identity here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Whose it is.
    pub owner: Option<UserId>,
    /// Who has its address, seen to be theirs here too.
    pub by_address: Option<UserId>,
    /// Who is signed in and asked to add it to their account.
    pub adding: Option<UserId>,
}

/// What comes of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are signed in.
    SignIn(UserId),
    /// It is theirs from now on, and they are signed in.
    Add(UserId),
    /// It is another account's.
    Taken,
    /// Nobody's here: they sign in another way and add it to their account.
    Unknown,
}

/// Decides. An address makes an account somebody's only where the administrators trust this provider for addresses (CVE-2025-53942).
pub fn decide(known: Known, trusted_for_addresses: bool) -> Outcome {
    match known {
        Known { owner: Some(owner), adding: Some(adding), .. } if owner != adding => Outcome::Taken,
        Known { owner: Some(owner), .. } => Outcome::SignIn(owner),
        Known { adding: Some(adding), .. } => Outcome::Add(adding),
        Known { by_address: Some(user), .. } if trusted_for_addresses => Outcome::Add(user),
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn answer(change: &Value) -> Result<Identity, Wrong> {
        let mut claims = json!({"iss": "https://idp.example", "sub": "1234", "aud": "us", "exp": 1_000_300, "iat": 999_990,
            "nonce": "n", "email": "ada@example.com", "email_verified": true});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let anew = change.get("auth_time").map(|_| NOW);
        check(serde_json::from_value(claims).unwrap(), ("https://idp.example", "us", "n"), anew, NOW)
    }

    #[test]
    fn an_id_token_is_for_us_for_now_and_for_this_request_s_l15() {
        let good = answer(&json!({})).unwrap();
        assert_eq!((good.subject.as_str(), good.email.as_deref()), ("1234", Some("ada@example.com")));
        for (change, wrong) in [
            (json!({"iss": "https://idp.example/"}), Wrong::Issuer),
            (json!({"iss": "https://other.example"}), Wrong::Issuer),
            (json!({"aud": "them"}), Wrong::Audience),
            (json!({"aud": ["us", "them"]}), Wrong::Audience),
            (json!({"aud": ["us", "them"], "azp": "them"}), Wrong::Audience),
            (json!({"azp": "them"}), Wrong::Audience),
            (json!({"aud": []}), Wrong::Audience),
            (json!({"exp": 999_940}), Wrong::Time),
            (json!({"iat": 1_000_061}), Wrong::Time),
            (json!({"iat": 999_399}), Wrong::Time),
            (json!({"auth_time": 999_939}), Wrong::Stale),
            (json!({"exp": i64::MAX, "iat": i64::MIN}), Wrong::Time),
            (json!({"nonce": "another"}), Wrong::Nonce),
            (json!({"nonce": null}), Wrong::Nonce),
            (json!({"sub": ""}), Wrong::Subject),
            (json!({"sub": "x".repeat(256)}), Wrong::Subject),
        ] {
            assert_eq!(answer(&change), Err(wrong), "{change}");
        }
        assert!(answer(&json!({"aud": ["us", "them"], "azp": "us"})).is_ok());
        assert!(answer(&json!({"auth_time": 999_941})).is_ok());
        for unverified in [json!(false), json!(null), json!("yes"), json!(1)] {
            assert_eq!(answer(&json!({ "email_verified": unverified })).unwrap().email, None);
        }
    }

    #[test]
    fn an_address_makes_nobody_an_owner_unless_the_provider_is_trusted_for_it_s_l15() {
        let user = |seed| UserId::new(&Clock::manual(NOW), &Entropy::seeded(seed));
        let (ada, eve) = (user(1), user(2));
        let known = |owner, by_address, adding| Known { owner, by_address, adding };
        for (known, trusted, outcome) in [
            (known(Some(ada), None, None), false, Outcome::SignIn(ada)),
            // Whose address it is says nothing once it is somebody's.
            (known(Some(ada), Some(eve), None), true, Outcome::SignIn(ada)),
            (known(None, Some(ada), None), false, Outcome::Unknown),
            (known(None, Some(ada), None), true, Outcome::Add(ada)),
            (known(None, None, Some(eve)), false, Outcome::Add(eve)),
            (known(None, Some(ada), Some(eve)), true, Outcome::Add(eve)),
            (known(Some(ada), None, Some(eve)), true, Outcome::Taken),
            (known(Some(ada), None, Some(ada)), false, Outcome::SignIn(ada)),
            (known(None, None, None), true, Outcome::Unknown),
        ] {
            assert_eq!(decide(known, trusted), outcome, "{known:?} {trusted}");
        }
    }

    #[test]
    fn a_provider_is_asked_at_its_own_addresses_alone_s_l15() {
        let document = |issuer: &str, authorization: &str| json!({"issuer": issuer, "authorization_endpoint": authorization, "token_endpoint": "https://idp.example/token"});
        let issuer = "https://idp.example";
        let found = Endpoints::read(&document(issuer, "https://idp.example/a?tenant=1"), issuer).unwrap();
        let scope = Scope::of(&["openid", "email"]);
        let request = Request {
            client_id: "us",
            redirect_uri: "https://id.example/cb",
            scope: &scope,
            state: "s&t",
            nonce: "n",
            challenge: "c",
            anew: false,
        };
        assert_eq!(
            request.url(&found),
            "https://idp.example/a?tenant=1&response_type=code&client_id=us&redirect_uri=https%3A%2F%2Fid.example%2Fcb\
             &scope=email+openid&state=s%26t&nonce=n&code_challenge=c&code_challenge_method=S256"
        );
        assert!(Request { anew: true, ..request }.url(&found).ends_with("&prompt=login&max_age=0"));
        for (issuer_there, authorization) in [
            ("https://other.example", "https://idp.example/a"),
            ("https://idp.example/", "https://idp.example/a"),
            (issuer, "http://idp.example/a"),
            (issuer, "javascript:alert(1)"),
            (issuer, "no address"),
        ] {
            let document = document(issuer_there, authorization);
            assert!(Endpoints::read(&document, issuer).is_none(), "{authorization}");
        }
    }
}
