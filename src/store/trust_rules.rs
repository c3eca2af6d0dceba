//! Trust rules of service accounts. Every write leaves a change in the feed: servers keep them in memory.

use diesel::prelude::*;

use super::changes::{self, ChangeKind};
use super::conn::Conn;
use super::error::StoreError;
use super::row::{client_id, must};
use super::schema::trust_rules;
use crate::base::id::{ClientId, RuleId};
use crate::base::time::Timestamp;
use crate::oauth::trust::TrustRule;

/// The rules of an account, or of all, with the account that they are of; oldest first.
pub(super) fn load(
    conn: &mut Conn,
    account: Option<&ClientId>,
) -> Result<Vec<(String, TrustRule)>, StoreError> {
    let select = (trust_rules::service_account_id, trust_rules::rule);
    let all = trust_rules::table.order((trust_rules::created_at, trust_rules::id)).select(select);
    let rows = match account {
        None => all.load::<(String, String)>(conn)?,
        Some(id) => {
            all.filter(trust_rules::service_account_id.eq(id.as_str())).load::<(String, String)>(conn)?
        }
    };
    rows.into_iter()
        .map(|(account, rule)| {
            let rule = must(serde_json::from_str(&rule).ok(), "trust_rules.rule is no trust rule")?;
            Ok((account, rule))
        })
        .collect()
}

/// Adds a rule to an account that exists.
pub fn insert(conn: &mut Conn, account: &ClientId, rule: &TrustRule) -> Result<(), StoreError> {
    let text = must(serde_json::to_string(rule).ok(), "a trust rule cannot be written")?;
    diesel::insert_into(trust_rules::table)
        .values((
            trust_rules::id.eq(rule.id.to_vec()),
            trust_rules::service_account_id.eq(account.as_str()),
            trust_rules::rule.eq(text),
            trust_rules::created_at.eq(rule.created_at.as_secs()),
        ))
        .execute(conn)?;
    changes::record(conn, ChangeKind::ServiceAccount, account.as_str(), rule.created_at)
}

/// Removes a rule; the account that it was of.
pub fn delete(conn: &mut Conn, id: RuleId, now: Timestamp) -> Result<Option<ClientId>, StoreError> {
    let account = trust_rules::table
        .find(id.to_vec())
        .select(trust_rules::service_account_id)
        .get_result::<String>(conn)
        .optional()?;
    let Some(account) = account else { return Ok(None) };
    diesel::delete(trust_rules::table.find(id.to_vec())).execute(conn)?;
    changes::record(conn, ChangeKind::ServiceAccount, &account, now)?;
    client_id(account).map(Some)
}
