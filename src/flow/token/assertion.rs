//! `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 §2.1): an assertion of a service account, or a token of an outside
//! issuer that one trusts, for an access token.

use super::answer::TokenAnswer;
use super::machine::{self, Proven};
use super::{Asked, Authenticated, workload};
use crate::app::App;
use crate::flow::assertion::{NotTaken, Use, account_of, of_account};
use crate::flow::attempts::Attempts;
use crate::flow::audit::{self, Act};
use crate::oauth::assertion::Unverified;
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::scope::Scope;
use crate::oauth::service_account::GrantedBy;

/// Redeems an assertion; with it come the scope that is asked for, and the account where the request names it.
pub async fn redeem(
    app: &App,
    client: Option<&Authenticated>,
    unverified: Unverified,
    (scope, account): (Option<Scope>, Option<String>),
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let attempts = Attempts::of(app, &unverified.iss, asked.caller, asked.now);
    attempts.refuse_too_many().await?;
    let answered = if app.service_account(&unverified.iss).is_some() {
        by_key(app, client, &unverified, (scope, account.as_deref()), &asked).await
    } else {
        workload::by_rule(app, client, &unverified, (scope, account.as_deref()), &asked).await
    };
    settle(app, answered, &unverified, &attempts, &asked).await
}

/// Says no in one word, and writes down which (to us, not to the caller).
pub(super) async fn settle(
    app: &App,
    answered: Result<TokenAnswer, NotTaken>,
    unverified: &Unverified,
    attempts: &Attempts<'_>,
    asked: &Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    match answered {
        Ok(answer) => Ok(answer),
        Err(NotTaken::Error(error)) => Err(error),
        Err(NotTaken::Because(why)) => {
            attempts.count_failure().await;
            let (issuer, kid) = (unverified.iss.as_str(), unverified.kid.as_deref());
            audit::record(app, &Act::AssertionRefused { issuer, kid, why }, asked.caller);
            Err(OAuthError::InvalidGrant(why))
        }
    }
}

/// By a key of the account's own (RFC 7523 §3, S-J13).
async fn by_key(
    app: &App,
    client: Option<&Authenticated>,
    unverified: &Unverified,
    (scope, named): (Option<Scope>, Option<&str>),
    asked: &Asked<'_>,
) -> Result<TokenAnswer, NotTaken> {
    let account = account_of(app, unverified).await.map_err(NotTaken::Error)?.ok_or(Why::Unknown)?;
    if named.is_some_and(|named| named != account.id.as_str()) {
        return Err(Why::WrongIssuer.into());
    }
    let proof = of_account(app, &account, unverified, Use::Grant, asked.now).await?;
    // google-auth puts the scope into the assertion (C13); what stands beside it may only be less.
    let within = proof.claims.scope.as_deref().map(Scope::parse).transpose().map_err(|_| Why::Malformed)?;
    let within = within.filter(|scope| !scope.is_empty());
    if let (Some(within), Some(scope)) = (&within, &scope)
        && !within.covers(scope)
    {
        let text = "scope has a word that the assertion does not have".into();
        return Err(NotTaken::Error(OAuthError::InvalidScope(text)));
    }
    let target = proof.claims.target_audience.clone();
    let granted =
        machine::grant(app, &account, scope.or(within), target.as_deref(), asked).map_err(NotTaken::Error)?;
    let by = GrantedBy::key(&proof.kid);
    let proven = Proven { account, by, through: proof.kid.clone() };
    proof.take(app, &proven.account, asked.now).await?;
    machine::issue_token(app, client, &proven, granted, asked).map_err(NotTaken::Error)
}
