//! Workload identity: rules that let an outside issuer's tokens speak for a service account, so that no key has to be kept
//! where a platform already says who is running.
//!
//! A rule names the issuer, whom the token must be for, and claims with the values that they must have, exactly. Only a `ref`
//! may end in `*`, for release branches and tags. Events that a stranger can cause are refused unless they are allowed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::Why;
use super::web_address::is_fetchable;
use crate::base::id::RuleId;
use crate::base::time::Timestamp;

/// Claims in which platforms say what set a job off.
const EVENT_CLAIMS: [&str; 2] = ["event_name", "pipeline_source"];

/// Events that run with a repository's identity and can be caused, or fed, by somebody who may not write to it.
const RISKY_EVENTS: [&str; 8] = [
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "issue_comment",
    "issues",
    "workflow_run",
    "merge_request_event",
    "external_pull_request_event",
];

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// Its metadata at `/.well-known/openid-configuration` says.
    Discover,
    /// This address.
    Uri(String),
    /// These, and nothing is fetched: for a cluster that is not reachable from here.
    Pinned(Value),
}

/// A claim and the values of which it must have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRule {
    /// The claim's name, or a path into it that begins with `/` (RFC 6901).
    pub name: String,
    /// Values, any of which will do.
    pub values: Vec<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRule {
    /// Its id.
    pub id: RuleId,
    /// `github`, `gitlab`, `kubernetes` or `oidc`: how it was made, for people.
    pub provider: String,
    /// The `iss` of the tokens, byte for byte.
    pub issuer: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// Whom the tokens must be for; our issuer when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// What must stand in them; never empty.
    pub claims: Vec<ClaimRule>,
    /// Risky events that are allowed all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_events: Vec<String>,
    /// Whether one token may be presented often: a Kubernetes pod reads the same one from its file for an hour.
    #[serde(default)]
    pub reusable: bool,
    /// The longest life of a token, in seconds.
    pub longest: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl TrustRule {
    /// Whether the claims are those that the rule asks for.
    pub fn matches(&self, claims: &Map<String, Value>) -> Result<(), Why> {
        if self.claims.is_empty() || !self.claims.iter().all(|rule| rule.is_met(claims)) {
            return Err(Why::NoRule);
        }
        for event in EVENT_CLAIMS.iter().filter_map(|name| claims.get(*name)) {
            let event = event.as_str().unwrap_or_default();
            if RISKY_EVENTS.contains(&event) && !self.allowed_events.iter().any(|allowed| allowed == event) {
                return Err(Why::RiskyEvent);
            }
        }
        Ok(())
    }

    /// Whether the rule may be kept; the text names the field and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let legal = |text: &str| !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control);
        if self.claims.is_empty() {
            return Err(
                "claim: at least one is needed; without any, everybody at this issuer would be trusted"
                    .to_owned(),
            );
        }
        for rule in &self.claims {
            if !legal(&rule.name) || rule.values.is_empty() || !rule.values.iter().all(|value| legal(value)) {
                return Err("claim: NAME=VALUE of 1 to 512 characters each is allowed".to_owned());
            }
            for value in rule.values.iter().filter(|value| value.contains('*')) {
                let prefix =
                    value.strip_suffix('*').filter(|prefix| !prefix.contains('*') && !prefix.is_empty());
                if rule.name != "ref" || prefix.is_none() {
                    return Err(format!(
                        "{}: {value}: an exact value is allowed; only ref may end in *, such as refs/tags/v*",
                        rule.name
                    ));
                }
            }
        }
        if self.audience.iter().any(|audience| !legal(audience)) {
            return Err("audience: text of 1 to 512 characters is allowed".to_owned());
        }
        if let Some(event) = self.allowed_events.iter().find(|event| !RISKY_EVENTS.contains(&event.as_str()))
        {
            return Err(format!("allow-event: {event}: allowed are {}", RISKY_EVENTS.join(", ")));
        }
        Ok(())
    }
}

impl ClaimRule {
    /// A claim with one value.
    pub fn one(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), values: vec![value.into()] }
    }

    fn is_met(&self, claims: &Map<String, Value>) -> bool {
        let found = match self.name.strip_prefix('/') {
            None => claims.get(&self.name),
            Some(path) => {
                let (first, rest) = path.split_once('/').unwrap_or((path, ""));
                let value = claims.get(&first.replace("~1", "/").replace("~0", "~"));
                value.and_then(
                    |value| if rest.is_empty() { Some(value) } else { value.pointer(&format!("/{rest}")) },
                )
            }
        };
        match found {
            Some(Value::Array(many)) => many.iter().any(|value| self.takes(value)),
            Some(value) => self.takes(value),
            None => false,
        }
    }

    fn takes(&self, value: &Value) -> bool {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return false,
        };
        self.values.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) if self.name == "ref" => text.starts_with(prefix),
            _ => *wanted == text,
        })
    }
}

/// Whether text is an address that names an issuer or its keys: https, or http on this machine, without query and fragment.
pub fn is_issuer(text: &str) -> bool {
    is_fetchable(text) && !text.contains('?')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::time::Clock;

    fn rule(claims: Vec<ClaimRule>) -> TrustRule {
        let at = Timestamp::from_secs(1);
        TrustRule {
            id: RuleId::new(&Clock::manual(at), &Entropy::seeded(1)),
            provider: "oidc".to_owned(),
            issuer: "https://token.example".to_owned(),
            keys: IssuerKeys::Discover,
            audience: Vec::new(),
            claims,
            allowed_events: Vec::new(),
            reusable: false,
            longest: 3_600,
            created_at: at,
        }
    }

    fn judged(rule: &TrustRule, claims: &Value) -> Result<(), Why> {
        rule.matches(claims.as_object().unwrap())
    }

    #[test]
    fn every_claim_must_be_as_the_rule_says() {
        let rule = rule(vec![
            ClaimRule::one("repository", "org/app"),
            ClaimRule {
                name: "ref".to_owned(),
                values: vec!["refs/heads/main".to_owned(), "refs/tags/v*".to_owned()],
            },
        ]);
        for (claims, expected) in [
            (json!({"repository": "org/app", "ref": "refs/heads/main"}), Ok(())),
            (json!({"repository": "org/app", "ref": "refs/tags/v1.2"}), Ok(())),
            (json!({"repository": "org/app", "ref": "refs/heads/main2"}), Err(Why::NoRule)),
            (json!({"repository": "org/app2", "ref": "refs/heads/main"}), Err(Why::NoRule)),
            (json!({"repository": "ORG/app", "ref": "refs/heads/main"}), Err(Why::NoRule)),
            (json!({"repository": {"x": 1}, "ref": "refs/heads/main"}), Err(Why::NoRule)),
            (json!({"ref": "refs/heads/main"}), Err(Why::NoRule)),
        ] {
            assert_eq!(judged(&rule, &claims), expected, "{claims}");
        }
    }

    #[test]
    fn numbers_truths_lists_and_paths_are_compared_as_they_read() {
        let nested = rule(vec![
            ClaimRule::one("ref_protected", "true"),
            ClaimRule::one("repository_id", "42"),
            ClaimRule::one("groups", "ops"),
            ClaimRule::one("/kubernetes.io/namespace", "prod"),
        ]);
        let claims = json!({"ref_protected": true, "repository_id": 42, "groups": ["dev", "ops"], "kubernetes.io": {"namespace": "prod"}});
        assert_eq!(judged(&nested, &claims), Ok(()));
        assert_eq!(
            judged(&rule(Vec::new()), &claims),
            Err(Why::NoRule),
            "a rule without claims trusts nobody"
        );
    }

    #[test]
    fn what_a_stranger_can_set_off_is_refused_unless_allowed() {
        let mut rule = rule(vec![ClaimRule::one("repository", "org/app")]);
        let claims = json!({"repository": "org/app", "event_name": "pull_request_target"});
        assert_eq!(judged(&rule, &claims), Err(Why::RiskyEvent));
        rule.allowed_events = vec!["pull_request_target".to_owned()];
        assert_eq!(judged(&rule, &claims), Ok(()));
        assert_eq!(judged(&rule, &json!({"repository": "org/app", "event_name": "push"})), Ok(()));
    }

    #[test]
    fn a_rule_that_would_trust_too_many_is_not_kept_pitfall_6() {
        for (name, value) in
            [("repository", "org/*"), ("sub", "*"), ("ref", "*"), ("ref", "refs/*/x*"), ("a", "")]
        {
            assert!(rule(vec![ClaimRule::one(name, value)]).check().is_err(), "{name}={value}");
        }
        assert!(rule(Vec::new()).check().unwrap_err().starts_with("claim:"));
        assert!(rule(vec![ClaimRule::one("ref", "refs/tags/v*")]).check().is_ok());
        let mut unknown = rule(vec![ClaimRule::one("a", "b")]);
        unknown.allowed_events = vec!["push".to_owned()];
        assert!(unknown.check().unwrap_err().starts_with("allow-event: push"));
    }
}
