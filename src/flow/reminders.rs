//! API keys whose secret is due to be replaced: an event 14, 7 and 1 days before, and on the day (S-K9).

use std::sync::Arc;

use serde_json::json;

use super::audit::{Act, By, Name, Record};
use crate::api_key::key::ApiKey;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::api_keys;

/// How many days before its date a secret is reminded of.
const DAYS: [i64; 4] = [0, 1, 7, 14];
const DAY: i64 = 86_400;

/// How long before its date a key counts as due, in seconds.
const DUE: i64 = 14 * DAY;

/// Whether a key's secret is due to be replaced, or overdue.
pub fn is_due(key: &ApiKey, now: Timestamp) -> bool {
    let works =
        key.revoked_at.is_none() && key.disabled_at.is_none() && key.expires_at.is_none_or(|at| now < at);
    works && key.rotation_due_at.is_some_and(|at| at.since(now) <= DUE)
}

/// The keys that are due.
pub fn due(app: &App, now: Timestamp) -> Vec<Arc<ApiKey>> {
    app.api_keys_that(|key| is_due(key, now))
}

/// Reminds of a key once for each of the days, whichever node does it.
pub async fn remind(app: &App, key: &ApiKey, now: Timestamp) -> Result<(), OAuthError> {
    let Some(at) = key.rotation_due_at else { return Ok(()) };
    let left = at.since(now);
    let Some(days) = DAYS.into_iter().find(|days| left <= days * DAY) else { return Ok(()) };
    // As far as this node has heard; the write decides.
    if key.reminded_days.is_some_and(|told| told <= days) {
        return Ok(());
    }
    let about = json!({ "days": days, "rotation_due_at": at.to_rfc3339(), "name": key.name });
    let record =
        Record::new(app, &Act::Did(Name::KeyRotationDue, key.id.as_str().into(), about), &By::system(), now);
    let id = key.id;
    if record.if_done(app, move |conn| api_keys::note_reminder(conn, id, (at, days), now)).await? {
        tracing::warn!(key = %id, name = key.name, due = at.to_rfc3339(), "an API key's secret is due to be replaced");
    }
    Ok(())
}
