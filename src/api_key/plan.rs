//! How much a key may: the classes of requests, and the budget of each by tier (contract, rate limits).

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::encoding::push_number;

/// The window of every budget but that of streams, in seconds.
pub const WINDOW: i64 = 60;

/// What an organization pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The limits as they are.
    #[default]
    Standard,
    /// With a burst on top.
    Enterprise,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Enterprise];

    /// The word on the command line and in rows. Never change one: rows carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Enterprise => "enterprise",
        }
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == word)
            .ok_or_else(|| "standard or enterprise is allowed".to_owned())
    }
}

/// What an organization has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Its tier.
    pub tier: Tier,
    /// Its burst, where it has one of its own.
    pub burst: Option<u32>,
}

impl Plan {
    /// The burst in force; `usual` is what an enterprise has that has none of its own. The standard tier has none at all.
    pub fn burst(&self, usual: u32) -> u32 {
        match self.tier {
            Tier::Standard => 0,
            Tier::Enterprise => self.burst.unwrap_or(usual),
        }
    }
}

/// The greatest burst: more is no limit.
pub const MOST_BURST: u32 = 1_000_000;

/// A class of requests, with a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// GET, HEAD, OPTIONS.
    Read,
    /// POST, PUT, PATCH, and whatever else changes something.
    Write,
    /// DELETE.
    Delete,
    /// WebSocket streams that are open at once.
    Streams,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Delete, Self::Streams];

    /// The name in headers and problems.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Streams => "streams",
        }
    }

    /// The class of a method. One that nobody knows counts as a write; a method in another header is not looked at (S-K6).
    pub fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Read,
            "DELETE" => Self::Delete,
            _ => Self::Write,
        }
    }

    const fn standard(self) -> u32 {
        match self {
            Self::Read => 1_200,
            Self::Write => 120,
            Self::Delete => 30,
            Self::Streams => 50,
        }
    }
}

/// Limits of one key that are lower than its tier's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// Reads a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u32>,
    /// Writes a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<u32>,
    /// Deletes a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<u32>,
    /// Streams at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
}

impl Overrides {
    /// The limit of a class, if it has one.
    pub const fn of(&self, class: Class) -> Option<u32> {
        match class {
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Delete => self.delete,
            Class::Streams => self.streams,
        }
    }
}

/// A budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of what.
    pub class: Class,
    /// Requests in any [`WINDOW`], or streams at once; without the burst.
    pub limit: u32,
    /// On top, for the enterprise tier.
    pub burst: u32,
}

impl Budget {
    /// What may be had in all.
    pub const fn most(&self) -> u32 {
        self.limit.saturating_add(self.burst)
    }

    /// Appends what `RateLimit-Policy` says of it (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn write_policy(&self, text: &mut String) {
        text.push('"');
        text.push_str(self.class.name());
        text.push_str("\";q=");
        push_number(text, i64::from(self.limit));
        if self.class == Class::Streams {
            text.push_str(";qu=\"concurrent-requests\"");
        } else {
            text.push_str(";w=");
            push_number(text, WINDOW);
        }
        if self.burst > 0 {
            text.push_str(";cnx-burst=");
            push_number(text, i64::from(self.burst));
        }
    }
}

/// The budget of a class: the plan's, or the key's own where that is lower. `usual` is the burst of an enterprise that has none of its own.
pub fn budget(class: Class, plan: Plan, usual: u32, own: &Overrides) -> Budget {
    let burst = plan.burst(usual);
    let whole = Budget { class, limit: class.standard(), burst };
    match own.of(class).filter(|own| *own < whole.most()) {
        // Whoever lowers a key's limit means that number, and no burst on top.
        Some(limit) => Budget { class, limit, burst: 0 },
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Plan = Plan { tier: Tier::Standard, burst: None };
    const ENTERPRISE: Plan = Plan { tier: Tier::Enterprise, burst: None };

    #[test]
    fn the_budgets_are_the_contracts_s_k6() {
        let none = Overrides::default();
        let own = |tier, burst| budget(Class::Read, Plan { tier, burst }, 300, &none).most();
        assert_eq!((own(Tier::Enterprise, Some(0)), own(Tier::Enterprise, Some(7))), (1_200, 1_207));
        assert_eq!(own(Tier::Standard, Some(7)), 1_200, "a burst is the enterprise's");
        let standard: Vec<u32> = Class::ALL.map(|class| budget(class, STANDARD, 300, &none).most()).to_vec();
        assert_eq!(standard, [1_200, 120, 30, 50]);
        assert_eq!(budget(Class::Read, ENTERPRISE, 300, &none).most(), 1_500);
        let lower = Overrides { read: Some(10), write: Some(9_999), ..none };
        assert_eq!(budget(Class::Read, ENTERPRISE, 300, &lower).most(), 10);
        assert_eq!(budget(Class::Write, STANDARD, 0, &lower).most(), 120, "lower, never higher");
        let within = Overrides { read: Some(1_300), ..none };
        assert_eq!(budget(Class::Read, ENTERPRISE, 300, &within).most(), 1_300, "lower than with the burst");
        assert_eq!(budget(Class::Read, STANDARD, 300, &within).most(), 1_200);
        for (method, class) in [
            ("GET", Class::Read),
            ("HEAD", Class::Read),
            ("OPTIONS", Class::Read),
            ("POST", Class::Write),
            ("PUT", Class::Write),
            ("PATCH", Class::Write),
            ("DELETE", Class::Delete),
            ("BREW", Class::Write),
            ("get", Class::Write),
        ] {
            assert_eq!(Class::of(method), class, "{method}");
        }
    }

    #[test]
    fn the_policies_are_written_as_the_draft_asks() {
        let of = |class, plan| {
            let mut text = String::new();
            budget(class, plan, 300, &Overrides::default()).write_policy(&mut text);
            text
        };
        assert_eq!(of(Class::Read, STANDARD), r#""read";q=1200;w=60"#);
        assert_eq!(of(Class::Write, ENTERPRISE), r#""write";q=120;w=60;cnx-burst=300"#);
        assert_eq!(of(Class::Streams, STANDARD), r#""streams";q=50;qu="concurrent-requests""#);
    }
}
