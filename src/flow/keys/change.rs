//! What people may change of a key: what it is called, from where it may be used, how often. What it may do never changes.

use ipnet::IpNet;
use serde_json::json;

use super::{KeyError, fields, find, seen};
use crate::api_key::key::ApiKey;
use crate::api_key::plan::Overrides;
use crate::app::App;
use crate::flow::audit::{Act, By, Name, Record};
use crate::store::{api_keys, organizations};

/// What a key is to be like; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What people call it.
    pub name: Option<String>,
    /// What people say about it; nothing when empty.
    pub description: Option<String>,
    /// From where it may be used; everywhere when empty.
    pub allow: Option<Vec<IpNet>>,
    /// From where it may not be used.
    pub deny: Option<Vec<IpNet>>,
    /// Limits that are lower than those of the organization's tier.
    pub limits: Option<Overrides>,
}

impl Change {
    /// The key as it is to be, and the names of what changes.
    fn of(&self, key: &ApiKey) -> (ApiKey, Vec<&'static str>) {
        let mut new = key.clone();
        if let Some(name) = &self.name {
            new.name.clone_from(name);
        }
        if let Some(text) = &self.description {
            new.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        if let Some(allow) = &self.allow {
            new.allow.clone_from(allow);
        }
        if let Some(deny) = &self.deny {
            new.deny.clone_from(deny);
        }
        if let Some(limits) = self.limits {
            new.limits = limits;
        }
        let changed = [
            ("name", new.name != key.name),
            ("description", new.description != key.description),
            ("allow_ips", new.allow != key.allow),
            ("deny_ips", new.deny != key.deny),
            ("limits", new.limits != key.limits),
        ];
        (new, changed.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect())
    }
}

/// Changes a key that works or may work again; one that is revoked stays as it was.
pub async fn change(app: &App, by: &By, id: &str, change: Change) -> Result<ApiKey, KeyError> {
    let key = seen(app, by, id).await?;
    let (new, changed) = change.of(&key);
    let plan = app.store.read(organizations::first_plan).await?;
    fields::name(&new.name)?;
    fields::description(new.description.as_deref())?;
    fields::networks(&new.allow, &new.deny)?;
    if new.limits != key.limits {
        fields::limits(&new.limits, plan, app.settings.api_keys.enterprise_burst)?;
    }
    if changed.is_empty() {
        return Ok(key);
    }
    let (wanted, now) = (key.id, app.now());
    let mut about = json!({ "changed": changed });
    if let Some(members) = about.as_object_mut() {
        for (field, nets) in [("allow_ips", &new.allow), ("deny_ips", &new.deny)] {
            if changed.contains(&field) {
                members.insert(field.to_owned(), json!(nets));
            }
        }
    }
    let record = Record::new(app, &Act::Did(Name::KeyChanged, key.id.as_str().into(), about), by, now);
    let done = record
        .if_done(app, move |conn| {
            // As it stands within this write: another change may have been first, and what this one leaves alone stays.
            let Some(key) = api_keys::hold(conn, wanted, now)?.filter(|key| key.revoked_at.is_none()) else {
                return Ok(false);
            };
            api_keys::set_about(conn, &change.of(&key).0, now)?;
            Ok(true)
        })
        .await?;
    if !done {
        return Err(KeyError::Revoked(key.id));
    }
    app.catch_up().await?;
    find(app, id).await
}
