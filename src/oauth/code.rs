//! The authorization code (RFC 6749 §4.1.2): the grant itself, sealed. Nothing is stored when it is given; its id is spent
//! once when it is redeemed, and that row is the store's.

use serde::{Deserialize, Serialize};

use super::claims_request::ClaimsRequest;
use super::client::Client;
use super::error::{OAuthError, Why};
use super::pkce::{CodeChallenge, CodeVerifier};
use super::redirect_uri;
use super::scope::Scope;
use crate::base::entropy::Entropy;
use crate::base::id::{ClientId, OnceId, SessionId, UserId};
use crate::base::seal::{Purpose, Vault};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// What every code begins with. Never change: secret scanners know it.
pub const PREFIX: &str = "cnx_ac_";

/// What a code stands for. The names are short because the code travels in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeGrant {
    /// Spent at the first use.
    #[serde(rename = "j")]
    pub id: OnceId,
    /// The client that it was given to.
    #[serde(rename = "c")]
    pub client: ClientId,
    /// The person behind it.
    #[serde(rename = "u")]
    pub user: UserId,
    /// The browser session in which it was given.
    #[serde(rename = "s")]
    pub session: SessionId,
    /// `redirect_uri` as it was sent; absent if it was left out.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The PKCE challenge; absent only for confidential clients that may leave it out.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<CodeChallenge>,
    /// For the ID token.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What was granted.
    #[serde(rename = "o")]
    pub scope: Scope,
    /// When the person proved who they are.
    #[serde(rename = "t")]
    pub auth_time: Timestamp,
    /// The class of that authentication.
    #[serde(rename = "a")]
    pub acr: String,
    /// Its methods.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Single claims that were asked for.
    #[serde(rename = "q", default, skip_serializing_if = "ClaimsRequest::is_empty")]
    pub claims: ClaimsRequest,
    /// What the tokens are to be for (RFC 8707 §2.1); empty for all that the client may ask for.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// When it was given.
    #[serde(rename = "i")]
    pub issued_at: Timestamp,
    /// From this moment on it is no good.
    #[serde(rename = "e")]
    pub expires_at: Timestamp,
}

/// The code for a grant.
pub fn issue(vault: &Vault, entropy: &Entropy, grant: &CodeGrant) -> Secret<String> {
    Secret::new(format!("{PREFIX}{}", vault.seal(Purpose::Code, grant, entropy)))
}

/// The grant of a code; `None` for anything that is not a code of ours, unchanged (S-C10, S-C11).
pub fn open(vault: &Vault, code: &Secret<String>) -> Option<CodeGrant> {
    vault.open(Purpose::Code, code.reveal().strip_prefix(PREFIX)?)
}

/// Whether `client` may redeem the grant now (RFC 6749 §4.1.3, RFC 7636 §4.6).
///
/// It must say yes before the code is spent, and before a second use revokes what the first one gave: a replay by somebody
/// else, or without the verifier, revokes nothing (requirements D4, S-C2).
pub fn redeem(
    grant: &CodeGrant,
    client: &Client,
    redirect_uri: Option<&str>,
    verifier: Option<&CodeVerifier>,
    now: Timestamp,
) -> Result<(), OAuthError> {
    let refuse = |why| Err(OAuthError::InvalidGrant(why));
    if grant.client != client.id {
        return refuse(Why::OtherClient);
    }
    let is_same_place = match (grant.redirect_uri.as_deref(), redirect_uri) {
        // RFC 6749 §4.1.3: "REQUIRED, if the redirect_uri parameter was included in the authorization request …
        // and their values MUST be identical."
        (Some(sent), now_sent) => now_sent == Some(sent),
        (None, Some(now_sent)) => redirect_uri::sole(client) == Some(now_sent),
        (None, None) => true,
    };
    if !is_same_place {
        return refuse(Why::OtherRedirect);
    }
    let is_bound = match (&grant.challenge, verifier) {
        (Some(challenge), Some(verifier)) => challenge.is_met_by(verifier),
        // RFC 9700 §4.8.2: a verifier without a challenge is a downgrade (S-C8).
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => !client.requires_pkce(),
    };
    if !is_bound {
        return refuse(Why::WrongVerifier);
    }
    if now >= grant.expires_at || now.is_before(grant.issued_at) {
        return refuse(Why::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::sha256;
    use crate::base::encoding::base64url;
    use crate::base::time::Clock;
    use crate::oauth::samples::client;

    const AT: Timestamp = Timestamp::from_secs(1_000);
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn grant(redirect_uri: Option<&str>, with_challenge: bool) -> CodeGrant {
        let (clock, entropy) = (Clock::manual(AT), Entropy::seeded(3));
        let challenge = base64url(&sha256(VERIFIER.as_bytes()));
        CodeGrant {
            id: OnceId::new(&clock, &entropy),
            client: "app".parse().unwrap(),
            user: UserId::new(&clock, &entropy),
            session: SessionId::new(&clock, &entropy),
            redirect_uri: redirect_uri.map(str::to_owned),
            challenge: with_challenge
                .then(|| CodeChallenge::parse(Some(&challenge), Some("S256")).unwrap().unwrap()),
            nonce: Some("n".to_owned()),
            scope: Scope::of(&["openid"]),
            auth_time: AT,
            acr: "a".to_owned(),
            amr: vec!["pwd".to_owned()],
            claims: ClaimsRequest::default(),
            resources: Vec::new(),
            issued_at: AT,
            expires_at: AT.plus(60),
        }
    }

    #[test]
    fn a_code_opens_as_it_was_sealed_and_nothing_else_does_s_c10_s_c11() {
        let (vault, entropy) = (Vault::new(&Secret::new([1; 32])), Entropy::seeded(1));
        for grant in [grant(Some("https://app.example/cb"), true), grant(None, false)] {
            let code = issue(&vault, &entropy, &grant);
            assert_eq!(open(&vault, &code), Some(grant.clone()));
            assert_ne!(code.reveal(), issue(&vault, &entropy, &grant).reveal(), "R7: no two codes are alike");
            let text = code.reveal();
            for bad in [&text[1..], &text[..text.len() - 1], &format!("{text}A"), "cnx_ac_", "", "cnx_ac_*"] {
                assert_eq!(open(&vault, &Secret::new(bad.to_owned())), None);
            }
            let other_use = format!("{PREFIX}{}", vault.seal(Purpose::AccessToken, &grant, &entropy));
            assert_eq!(open(&vault, &Secret::new(other_use)), None);
        }
    }

    #[test]
    fn a_code_is_redeemed_only_by_its_client_there_with_its_verifier_in_time_s_c5_to_s_c9() {
        const CB: &str = "https://app.example/cb";
        let (mine, mut other, mut lax) = (client("app"), client("other"), client("app"));
        other.id = "other".parse().unwrap();
        lax.metadata.require_pkce = false;
        let right = CodeVerifier::parse(VERIFIER).unwrap();
        let wrong = CodeVerifier::parse(&VERIFIER.replace('d', "e")).unwrap();
        let (sent, unsent) = (grant(Some(CB), true), grant(None, true));
        let (bare, late) = (grant(Some(CB), false), AT.plus(60));
        let (right, wrong) = (Some(&right), Some(&wrong));
        for (name, grant, client, uri, verifier, now, expected) in [
            ("all right", &sent, &mine, Some(CB), right, AT, None),
            ("last second", &sent, &mine, Some(CB), right, AT.plus(59), None),
            ("too late", &sent, &mine, Some(CB), right, late, Some(Why::Expired)),
            ("other client first of all", &sent, &other, None, wrong, late, Some(Why::OtherClient)),
            (
                "other place",
                &sent,
                &mine,
                Some("https://app.example/cb/"),
                right,
                AT,
                Some(Why::OtherRedirect),
            ),
            ("place left out", &sent, &mine, None, right, AT, Some(Why::OtherRedirect)),
            ("place never named", &unsent, &mine, None, right, AT, None),
            ("the only one there is", &unsent, &mine, Some(CB), right, AT, None),
            (
                "not the only one",
                &unsent,
                &mine,
                Some("https://evil.example/"),
                right,
                AT,
                Some(Why::OtherRedirect),
            ),
            ("no verifier", &sent, &mine, Some(CB), None, AT, Some(Why::WrongVerifier)),
            ("wrong verifier", &sent, &mine, Some(CB), wrong, AT, Some(Why::WrongVerifier)),
            ("verifier without challenge", &bare, &lax, Some(CB), right, AT, Some(Why::WrongVerifier)),
            ("without PKCE, as registered", &bare, &lax, Some(CB), None, AT, None),
            (
                "without PKCE, no longer registered so",
                &bare,
                &mine,
                Some(CB),
                None,
                AT,
                Some(Why::WrongVerifier),
            ),
        ] {
            let why = match redeem(grant, client, uri, verifier, now) {
                Ok(()) => None,
                Err(OAuthError::InvalidGrant(why)) => Some(why),
                Err(other) => unreachable!("{name}: {other:?}"),
            };
            assert_eq!(why, expected, "{name}");
        }
    }
}
