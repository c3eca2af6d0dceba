//! What the fields of a key may hold, whoever makes or changes it.

use ipnet::IpNet;

use super::{KeyError, refuse};
use crate::api_key::allowlist;
use crate::api_key::plan::{self, Class, Overrides, Plan};

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// What people call it.
pub(super) fn name(name: &str) -> Result<(), KeyError> {
    if name.trim() == name && !name.is_empty() && name.chars().count() <= 100 && is_plain(name) {
        return Ok(());
    }
    refuse("name", "1 to 100 characters are needed, without spaces at the ends and control characters")
}

/// What people say about it.
pub(super) fn description(text: Option<&str>) -> Result<(), KeyError> {
    if text.is_none_or(|text| text.chars().count() <= 500 && is_plain(text)) {
        return Ok(());
    }
    refuse("description", "at most 500 characters are allowed, without control characters")
}

/// From where it may be used.
pub(super) fn networks(allow: &[IpNet], deny: &[IpNet]) -> Result<(), KeyError> {
    for (field, list) in [("allow_ips", allow), ("deny_ips", deny)] {
        if list.len() > allowlist::MOST {
            return refuse(field, format!("at most {} networks are allowed", allowlist::MOST));
        }
    }
    Ok(())
}

/// Limits of its own: lower than the plan's. `burst` is that of an enterprise that has none of its own.
pub(super) fn limits(own: &Overrides, of: Plan, burst: u32) -> Result<(), KeyError> {
    for class in Class::ALL {
        let most = plan::budget(class, of, burst, &Overrides::default()).most();
        if own.of(class).is_some_and(|own| own >= most) {
            return refuse(
                "limits",
                format!(
                    "{}: a number below {most} is allowed, which is what the organization's tier ({}) gives",
                    class.name(),
                    of.tier.name()
                ),
            );
        }
    }
    Ok(())
}
