//! Workload identity: a token of an outside issuer, taken by a trust rule in place of a key of the account's own.

use std::sync::Arc;

use super::answer::TokenAnswer;
use super::machine::{self, Proven};
use super::{Asked, Authenticated};
use crate::app::{App, KeySource};
use crate::flow::assertion::{NotTaken, take};
use crate::jose::key_set::KeySet;
use crate::jose::verify::{Foreign, verify_foreign};
use crate::oauth::assertion::{self, AssertionClaims, AudienceRule, Expected, Remember, Unverified};
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::scope::Scope;
use crate::oauth::service_account::{GrantedBy, ServiceAccount};
use crate::oauth::trust::{IssuerKeys, TrustRule};

/// A rule that takes the token, of which account, and what is to be remembered.
type Match = (Arc<ServiceAccount>, TrustRule, Option<Remember>);

/// Answers with the token of the one account whose rule takes the outside token; `named` says which where several do.
pub async fn by_rule(
    app: &App,
    client: Option<&Authenticated>,
    unverified: &Unverified,
    (scope, named): (Option<Scope>, Option<&str>),
    asked: &Asked<'_>,
) -> Result<TokenAnswer, NotTaken> {
    let mut candidates = app.accounts_that_trust(&unverified.iss);
    if candidates.is_empty() {
        return Err(Why::Unknown.into());
    }
    candidates.retain(|account| named.is_none_or(|named| named == account.id.as_str()));
    let mut matches: Vec<Match> = Vec::new();
    let mut refused = Why::NoRule;
    for account in candidates {
        for rule in account.rules.iter().filter(|rule| rule.issuer == unverified.iss) {
            match judge(app, &account, rule, unverified, asked).await {
                Ok(remember) => {
                    matches.push((Arc::clone(&account), rule.clone(), remember));
                    break; // one rule of an account is enough
                }
                Err(NotTaken::Because(why)) => refused = why,
                Err(error @ NotTaken::Error(_)) => return Err(error),
            }
        }
    }
    let (account, rule, remember) = match (matches.pop(), matches.is_empty()) {
        (Some(only), true) => only,
        (Some(_), false) => {
            // The token is good, so its holder may know; to pick one would be to guess.
            let text = "client_id: several service accounts trust this token; name the one that is meant";
            return Err(NotTaken::Error(OAuthError::InvalidRequest(text.into())));
        }
        (None, _) => return Err(refused.into()),
    };
    let granted = machine::grant(app, &account, scope, None, asked).map_err(NotTaken::Error)?;
    take(app, remember, None, asked.now).await?;
    let proven =
        Proven { account, by: GrantedBy::rule(&rule), through: format!("{} {}", rule.provider, rule.id) };
    machine::issue_token(app, client, &proven, granted, asked).map_err(NotTaken::Error)
}

async fn judge(
    app: &App,
    account: &ServiceAccount,
    rule: &TrustRule,
    unverified: &Unverified,
    asked: &Asked<'_>,
) -> Result<Option<Remember>, NotTaken> {
    if !account.is_active() {
        return Err(Why::Disabled.into());
    }
    let kid = unverified.kid.as_deref();
    let keys = match &rule.keys {
        IssuerKeys::Pinned(jwks) => Some(Arc::new(KeySet::registered(jwks).map_err(|_| Why::UnknownKey)?)),
        IssuerKeys::Uri(uri) => app.remote_keys(&KeySource::Uri(uri.clone()), kid, asked.now).await,
        IssuerKeys::Discover => {
            app.remote_keys(&KeySource::Issuer(rule.issuer.clone()), kid, asked.now).await
        }
    };
    let keys = keys.ok_or(Why::KeysUnavailable)?;
    let signed = verify_foreign::<AssertionClaims>(Foreign::Public(&keys, None), unverified.reveal(), &[])?;
    let ours = [app.issuer()];
    let stated: Vec<&str> = rule.audience.iter().map(String::as_str).collect();
    let expected = Expected {
        issuer: &rule.issuer,
        subject: None,
        subject_optional: true,
        audience: AudienceRule::Among(if stated.is_empty() { &ours } else { &stated }),
        longest: rule.longest,
        jti_optional: rule.reusable,
    };
    let remember = assertion::check(&signed.claims, &expected, asked.now)?;
    rule.matches(&signed.claims.claims().all)?;
    Ok(remember.filter(|_| !rule.reusable))
}
