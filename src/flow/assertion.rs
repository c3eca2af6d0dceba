//! Assertions as they come in: whose keys, is the signature right, may it be taken, was it taken before. Used to authenticate a
//! client, to ask for a service account's token, and to publish an account's next key.
//!
//! Taking one is a write of its own: the unique row of its `jti` is the gate (S-J9), before anything is answered.

use std::sync::Arc;

use crate::app::{App, KeySource};
use crate::base::id::ClientId;
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::jose::key_set::{ForeignKey, KeySet};
use crate::jose::verify::{Foreign, Signed, Unproven, verify_foreign};
use crate::oauth::assertion::{self, AssertionClaims, AudienceRule, Expected, LONGEST, Remember, Unverified};
use crate::oauth::client::{AuthMethod, Client};
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::service_account::{GOOGLE_AUDIENCE, ServiceAccount};
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{StoreError, service_accounts};

/// What an assertion of a client may call itself (RFC 7523bis §3).
const OF_CLIENTS: [&str; 1] = ["client-authentication+jwt"];
/// What an assertion that asks for a token may call itself (RFC 7523bis §2).
const OF_GRANTS: [&str; 1] = ["authorization-grant+jwt"];

/// Why an assertion was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// A rule said no. For the audit; the caller hears one word for all of them.
    Because(Why),
    /// We cannot decide now, or something went wrong.
    Error(OAuthError),
}

impl From<Why> for NotTaken {
    fn from(why: Why) -> Self {
        Self::Because(why)
    }
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Unproven> for NotTaken {
    fn from(unproven: Unproven) -> Self {
        Self::Because(match unproven {
            Unproven::Malformed => Why::Malformed,
            Unproven::WrongType => Why::WrongType,
            Unproven::UnknownKey => Why::UnknownKey,
            Unproven::WrongSignature => Why::WrongSignature,
        })
    }
}

/// The address of our token endpoint, which older libraries put into `aud`.
pub fn token_endpoint(app: &App) -> String {
    format!("{}/oauth2/token", app.issuer())
}

/// Takes the assertion that a client authenticates with (OIDC Core §9, RFC 7523 §3, S-J1 to S-J12).
pub async fn of_client(
    app: &App,
    client: &Client,
    unverified: &Unverified,
    now: Timestamp,
) -> Result<(), NotTaken> {
    let signed = client_signature(app, client, unverified, now).await?;
    let endpoint = token_endpoint(app);
    let both = [app.issuer(), endpoint.as_str()];
    let legacy = client.metadata.legacy_assertion_audience;
    let expected = Expected {
        issuer: client.id.as_str(),
        subject: Some(client.id.as_str()),
        subject_optional: false,
        audience: AudienceRule::Sole(if legacy { &both } else { both.split_at(1).0 }),
        longest: client.metadata.assertion_seconds.unwrap_or(LONGEST),
        jti_optional: false,
    };
    let remember = assertion::check(&signed.claims, &expected, now)?;
    if signed.claims.claims().aud == Some(assertion::Audience::One(endpoint.clone())) {
        // Requirements D2: it works, and an administrator should know that it is not the issuer that was named.
        tracing::info!(client = %client.id, "an assertion named the token endpoint as its audience");
    }
    take(app, remember, None, now).await
}

async fn client_signature(
    app: &App,
    client: &Client,
    unverified: &Unverified,
    now: Timestamp,
) -> Result<Signed<AssertionClaims>, NotTaken> {
    let only = client.metadata.token_endpoint_auth_signing_alg.as_deref().and_then(|alg| alg.parse().ok());
    let text = unverified.reveal();
    match client.metadata.token_endpoint_auth_method {
        AuthMethod::ClientSecretJwt => {
            let live = client.secrets.iter().filter(|s| s.expires_at.is_none_or(|at| now < at));
            let open =
                |sealed: &Vec<u8>| app.vault.open_bytes(Purpose::ClientSecret, sealed).map(Secret::new);
            let secrets: Vec<_> = live.filter_map(|s| s.sealed.as_ref()).filter_map(open).collect();
            Ok(verify_foreign(Foreign::Shared(&secrets), text, &OF_CLIENTS)?)
        }
        AuthMethod::PrivateKeyJwt => {
            let keys = match (&client.metadata.jwks, &client.metadata.jwks_uri) {
                (Some(jwks), _) => app.registered_keys(&client.id, jwks).map_err(|_| Why::UnknownKey)?,
                (None, Some(uri)) => {
                    let source = KeySource::Uri(uri.clone());
                    app.remote_keys(&source, unverified.kid.as_deref(), now)
                        .await
                        .ok_or(Why::KeysUnavailable)?
                }
                (None, None) => return Err(Why::UnknownKey.into()),
            };
            Ok(verify_foreign(Foreign::Public(&keys, only), text, &OF_CLIENTS)?)
        }
        // S-J10: a client that has another way has no second one.
        AuthMethod::None | AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            Err(Why::UnknownKey.into())
        }
    }
}

/// What an assertion of a service account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// To get a token (RFC 7523 §2.1): for the issuer or the token endpoint.
    Grant,
    /// To authenticate as a client (RFC 7523 §2.2): for the issuer, alone.
    Client,
    /// To do something at this address, and nowhere else: an assertion that asks for a token must not be good for more.
    At(&'a str),
}

/// An assertion of a service account whose signature is right and that may be taken; not taken yet.
#[derive(Debug)]
pub struct OfAccount {
    /// The key that signed.
    pub kid: String,
    /// What it says.
    pub claims: AssertionClaims,
    remember: Option<Remember>,
}

/// The account that is said to have made an assertion, with the key that it is said to be made with: who publishes a key at one
/// node may use it at another at once, so a key that is not known yet is looked for in the feed.
pub async fn account_of(
    app: &App,
    unverified: &Unverified,
) -> Result<Option<Arc<ServiceAccount>>, OAuthError> {
    let found = app.service_account(&unverified.iss);
    let is_known = |account: &Arc<ServiceAccount>| {
        let named = |kid: &String| account.keys.iter().any(|key| key.kid == *kid);
        account.policy.jwks_uri.is_some() || unverified.kid.as_ref().is_none_or(named)
    };
    if found.as_ref().is_none_or(is_known) {
        return Ok(found);
    }
    app.catch_up().await?;
    Ok(app.service_account(&unverified.iss))
}

/// Looks at an assertion that an account made with a key of its own.
pub async fn of_account(
    app: &App,
    account: &ServiceAccount,
    unverified: &Unverified,
    usage: Use<'_>,
    now: Timestamp,
) -> Result<OfAccount, NotTaken> {
    if !account.is_active() {
        return Err(Why::Disabled.into());
    }
    let types = if usage == Use::Grant { OF_GRANTS } else { OF_CLIENTS };
    let kid = unverified.kid.as_deref();
    let live = account.keys.iter().filter(|key| key.is_live(now));
    let registered =
        KeySet::of(live.filter_map(|key| ForeignKey::kept(&key.kid, key.alg, &key.jwk)).collect());
    let signed = match (&account.policy.jwks_uri, registered.knows(kid)) {
        (Some(uri), false) => {
            // A key that was revoked here stays revoked, whatever is still published.
            if account.keys.iter().any(|key| kid == Some(key.kid.as_str())) {
                return Err(Why::UnknownKey.into());
            }
            let source = KeySource::Uri(uri.clone());
            let keys = app.remote_keys(&source, kid, now).await.ok_or(Why::KeysUnavailable)?;
            verify_foreign::<AssertionClaims>(Foreign::Public(&keys, None), unverified.reveal(), &types)?
        }
        _ => verify_foreign::<AssertionClaims>(
            Foreign::Public(&registered, None),
            unverified.reveal(),
            &types,
        )?,
    };
    let endpoint = token_endpoint(app);
    let google = account.policy.google_auth && usage == Use::Grant;
    let ours = [app.issuer(), endpoint.as_str(), GOOGLE_AUDIENCE];
    let at;
    let audience = match usage {
        Use::Grant => AudienceRule::Among(if google { &ours } else { ours.split_at(2).0 }),
        Use::Client => AudienceRule::Sole(ours.split_at(1).0),
        Use::At(address) => {
            at = [address];
            AudienceRule::Sole(&at)
        }
    };
    let expected = Expected {
        issuer: account.id.as_str(),
        subject: Some(account.id.as_str()),
        subject_optional: google,
        audience,
        longest: account.policy.assertion_seconds,
        jti_optional: google,
    };
    let remember = assertion::check(&signed.claims, &expected, now)?;
    let kid = signed.kid.ok_or(Why::UnknownKey)?;
    Ok(OfAccount { kid, claims: signed.claims.into_claims(), remember })
}

impl OfAccount {
    /// Takes it: from now on it was used.
    pub async fn take(self, app: &App, account: &ServiceAccount, now: Timestamp) -> Result<(), NotTaken> {
        let used =
            account.keys.iter().find(|key| key.kid == self.kid).filter(|key| {
                key.last_used_at.is_none_or(|at| now.since(at) >= service_accounts::USE_PRECISION)
            });
        take(app, self.remember, used.map(|key| (account.id.clone(), key.kid.clone())), now).await
    }
}

/// Takes an assertion: the row of its `jti` decides every race, on every node. Without a `jti` (requirements D8) there is
/// nothing to decide. The use of a key is noted on the way.
pub(super) async fn take(
    app: &App,
    remember: Option<Remember>,
    used: Option<(ClientId, String)>,
    now: Timestamp,
) -> Result<(), NotTaken> {
    if remember.is_none() && used.is_none() {
        return Ok(());
    }
    let gate = remember.map(|it| {
        let parts = [it.issuer.as_bytes(), it.jti.as_bytes()];
        (app.vault.mac(MacPurpose::Assertion, &parts), it.until)
    });
    let once = app
        .store
        .write(move |conn| {
            let once = match &gate {
                None => Once::First,
                Some((id, until)) => spent::once(conn, SpentKind::Assertion, id, None, *until)?,
            };
            if let (Once::First, Some((account, kid))) = (once, &used) {
                service_accounts::note_use(conn, account, kid, now)?;
            }
            Ok(once)
        })
        .await?;
    match once {
        Once::First => Ok(()),
        Once::Again(_) => Err(Why::Replayed.into()),
    }
}
