//! Trust rules of service accounts, as the command line adds and removes them.

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use super::service_accounts::{self, AccountError};
use crate::app::App;
use crate::base::id::RuleId;
use crate::jose::key_set::KeySet;
use crate::oauth::client_registration::FieldError;
use crate::oauth::service_account::ServiceAccount;
use crate::oauth::trust::{ClaimRule, IssuerKeys, TrustRule, is_issuer};
use crate::store::{Conn, trust_rules};

/// A rule to be added.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// How it was made, for people.
    pub provider: &'static str,
    /// The `iss` of the tokens.
    pub issuer: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Whom the tokens must be for; our issuer when empty.
    pub audience: Vec<String>,
    /// What must stand in them.
    pub claims: Vec<ClaimRule>,
    /// Risky events that are allowed all the same.
    pub allowed_events: Vec<String>,
    /// Whether one token may be presented often.
    pub reusable: bool,
    /// The longest life of a token, in seconds.
    pub longest: i64,
}

/// Adds a rule to an account, found by id or name.
pub async fn add(
    app: &App,
    by: &By,
    account: &str,
    new: NewRule,
) -> Result<(ServiceAccount, TrustRule), AccountError> {
    let account = service_accounts::find(app, account).await?;
    let refuse = |field, problem: String| AccountError::Field(FieldError { field, problem });
    if !is_issuer(&new.issuer) {
        return Err(refuse(
            "issuer",
            format!("{}: an https URL without query and fragment is allowed", new.issuer),
        ));
    }
    if new.issuer == app.issuer() {
        return Err(refuse(
            "issuer",
            "our own tokens are exchanged without a rule; another issuer is allowed".to_owned(),
        ));
    }
    if let IssuerKeys::Pinned(jwks) = &new.keys {
        KeySet::registered(jwks).map_err(|e| refuse("jwks", e.to_string()))?;
    }
    if let IssuerKeys::Uri(uri) = &new.keys
        && !is_issuer(uri)
    {
        return Err(refuse("jwks-uri", format!("{uri}: an https URL is allowed")));
    }
    let now = app.now();
    let rule = TrustRule {
        id: RuleId::new(&app.clock, &app.entropy),
        provider: new.provider.to_owned(),
        issuer: new.issuer,
        keys: new.keys,
        audience: new.audience,
        claims: new.claims,
        allowed_events: new.allowed_events,
        reusable: new.reusable,
        longest: new.longest,
        created_at: now,
    };
    rule.check().map_err(|problem| refuse("rule", problem))?;
    let (id, row) = (account.id.clone(), rule.clone());
    let about = json!({ "service_account": account.id, "provider": rule.provider, "issuer": rule.issuer });
    let record = Record::new(app, &Act::Did(Name::TrustAdded, rule.id.to_string().into(), about), by, now);
    record.with(app, move |conn| trust_rules::insert(conn, &id, &row)).await?;
    app.catch_up().await?;
    Ok((account, rule))
}

/// Removes a rule; its tokens die with it. Whether there was one of that id.
pub async fn remove(app: &App, by: &By, id: &str) -> Result<bool, AccountError> {
    let Ok(id) = id.parse::<RuleId>() else { return Ok(false) };
    let now = app.now();
    let record = Record::new(app, &Act::Did(Name::TrustRemoved, id.to_string().into(), Value::Null), by, now);
    let delete = move |conn: &mut Conn| Ok(trust_rules::delete(conn, id, now)?.is_some());
    let removed = record.if_done(app, delete).await?;
    app.catch_up().await?;
    Ok(removed)
}
