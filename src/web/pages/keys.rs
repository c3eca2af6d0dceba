//! API Keys & Authentication: the list, the form of a new key, the key that is shown once, and the pages about one key.

use askama::Template;

use super::plot::{Plot, Spark};
use super::{Moment, Problems, Seated};
use crate::flow::key_practices::Practice;
use crate::flow::key_view::State;

impl State {
    /// In words, in English.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not yet valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }

    /// The class of its tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Active => "tag-good",
            Self::NotYetValid | Self::Disabled => "tag-doubt",
            Self::Expired | Self::Revoked => "tag-danger",
        }
    }
}

/// A key as lists and pages show it.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its public form.
    pub masked: String,
    /// Its environment.
    pub environment: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// In which part of its life it is.
    pub state: State,
    /// When it was last used.
    pub last_used: Option<Moment>,
    /// From where.
    pub last_address: Option<String>,
    /// When its secret is due to be replaced.
    pub due: Option<Moment>,
    /// Whether it is overdue.
    pub is_overdue: bool,
    /// Its requests of the last day.
    pub spark: Spark,
}

/// What is amiss with some keys.
#[derive(Clone, Debug)]
pub struct Amiss {
    /// Which practice they fall short of.
    pub practice: Practice,
    /// How many.
    pub count: usize,
    /// Whether there are more than were counted.
    pub or_more: bool,
    /// Some of them: id and name.
    pub named: Vec<(String, String)>,
}

impl Amiss {
    /// What is asked of keys, in English.
    pub const fn rule(&self) -> &'static str {
        match self.practice {
            Practice::Old => "Replace secrets every quarter",
            Practice::OpenProduction => "Bind production keys to networks",
            Practice::WideCi => "Name the scopes of pipeline keys one by one",
            Practice::Idle => "Revoke what nobody uses",
        }
    }

    /// Why, in English.
    pub const fn reason(&self) -> &'static str {
        match self.practice {
            Practice::Old => {
                "A secret that is older than 90 days, or past its date, has been in more places than anybody remembers."
            }
            Practice::OpenProduction => {
                "A key that works from everywhere works for whoever finds it. With an allowlist it works from your servers alone."
            }
            Practice::WideCi => {
                "Pipelines run code of many people. What a key may do never changes: mint one with fewer scopes, then revoke this one."
            }
            Practice::Idle => {
                "A key without an end that was not used for 90 days is missed by nobody and may be found by anybody."
            }
        }
    }

    /// The page that mends it, behind the key's address.
    pub const fn mend(&self) -> &'static str {
        match self.practice {
            Practice::Old => "rotate",
            Practice::OpenProduction => "edit",
            Practice::WideCi | Practice::Idle => "revoke",
        }
    }

    /// What its link says, in English.
    pub const fn deed(&self) -> &'static str {
        match self.practice {
            Practice::Old => "Rotate",
            Practice::OpenProduction => "Set networks",
            Practice::WideCi | Practice::Idle => "Revoke",
        }
    }
}

/// A budget of the organization.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// Of which requests.
    pub class: &'static str,
    /// Their methods.
    pub methods: &'static str,
    /// How many.
    pub limit: u32,
    /// On top, for a moment.
    pub burst: u32,
    /// Whether it is a number at once and not in a minute.
    pub at_once: bool,
}

/// An example of how to use a key.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its id in the page.
    pub id: &'static str,
    /// The language or the tool.
    pub name: &'static str,
    /// The text.
    pub text: String,
}

/// `/console/keys`.
#[derive(Clone, Template)]
#[template(path = "console/keys.html")]
pub struct Keys {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The keys of this page.
    pub keys: Vec<KeyRow>,
    /// The address of the next page.
    pub next: Option<String>,
    /// Whether this is not the first page.
    pub is_later: bool,
    /// What was looked for.
    pub search: String,
    /// Whether ended keys are shown too.
    pub ended: bool,
    /// What is amiss.
    pub amiss: Vec<Amiss>,
    /// The tier's name.
    pub tier: &'static str,
    /// The budgets.
    pub limits: Vec<LimitRow>,
    /// How to use a key.
    pub examples: Vec<Example>,
    /// This server's address.
    pub issuer: String,
}

/// What was typed into the form of a key.
#[derive(Clone, Debug, Default)]
pub struct TypedKey {
    /// Input `name`.
    pub name: String,
    /// Input `environment`.
    pub environment: String,
    /// Input `scopes`: words with spaces between them.
    pub scopes: String,
    /// Input `description`.
    pub description: String,
    /// Choice `expires`: days, `never` or `at`.
    pub expires: String,
    /// Input `expires_at`, in UTC, for the choice `at`.
    pub expires_at: String,
    /// Input `not_before`, in UTC.
    pub not_before: String,
    /// Input `allow_ips`: networks, one a line.
    pub allow_ips: String,
    /// Input `deny_ips`.
    pub deny_ips: String,
    /// Inputs `limit_read`, `limit_write`, `limit_delete`, `limit_streams`.
    pub limits: [String; 4],
}

/// The choices of `expires`: value and words.
pub const EXPIRES: [(&str, &str); 6] = [
    ("7", "in 7 days"),
    ("30", "in 30 days"),
    ("90", "in 90 days"),
    ("365", "in a year"),
    ("never", "never"),
    ("at", "at a time of your choice"),
];

/// The choices of `overlap`: seconds and words.
pub const OVERLAPS: [(&str, &str); 5] = [
    ("0", "not at all: it stops now"),
    ("3600", "an hour"),
    ("86400", "a day"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
];

/// The inputs of limits: name, words.
pub const LIMITS: [(&str, &str); 4] = [
    ("limit_read", "Reads a minute"),
    ("limit_write", "Writes a minute"),
    ("limit_delete", "Deletes a minute"),
    ("limit_streams", "Streams at once"),
];

/// `/console/keys/new`; button `key-mint-submit`.
#[derive(Clone, Template)]
#[template(path = "console/key_new.html")]
pub struct KeyNew {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// What was typed.
    pub typed: TypedKey,
    /// Input `sheet`: the form is taken once.
    pub sheet: String,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// `/console/keys/{id}/edit`; button `key-edit-submit`.
#[derive(Clone, Template)]
#[template(path = "console/key_edit.html")]
pub struct KeyEdit {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The key's id.
    pub id: String,
    /// Its name, as it is now.
    pub name: String,
    /// What was typed.
    pub typed: TypedKey,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// A key with its secret, this once; input `new-key`, button `copy-key`.
#[derive(Clone, Template)]
#[template(path = "console/key_made.html")]
pub struct KeyMade {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The key's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The key.
    pub key: String,
    /// Whether it is a new secret of a key that was there.
    pub rotated: bool,
    /// Until when the secret before works.
    pub before_until: Option<Moment>,
    /// From when on it works, where that is later.
    pub not_before: Option<Moment>,
}

/// `/console/keys/{id}`; links `key-rotate`, `key-revoke`.
#[derive(Clone, Template)]
#[template(path = "console/key.html")]
pub struct Key {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The key.
    pub key: KeyRow,
    /// What people say about it.
    pub description: Option<String>,
    /// Who made it: a name, where it is somebody's.
    pub owner: String,
    /// When.
    pub created: Moment,
    /// From when on it works.
    pub not_before: Option<Moment>,
    /// Until when.
    pub expires: Option<Moment>,
    /// When it was disabled.
    pub disabled: Option<Moment>,
    /// When it was revoked.
    pub revoked: Option<Moment>,
    /// Why.
    pub reason: Option<String>,
    /// When it was found in public.
    pub leaked: Option<Moment>,
    /// From where it may be used.
    pub allow: Vec<String>,
    /// From where it may not be used.
    pub deny: Vec<String>,
    /// Its limits: class and number.
    pub limits: Vec<(&'static str, u32)>,
    /// For what it was last used.
    pub last_resource: Option<String>,
    /// Until when the secret before works.
    pub before_until: Option<Moment>,
    /// When that was last used.
    pub before_used: Option<Moment>,
    /// The last day, and the last thirty.
    pub plots: Vec<Plot>,
}

impl Key {
    /// Whether it can be changed.
    pub fn can_change(&self) -> bool {
        self.key.state != State::Revoked
    }
}

/// `/console/keys/{id}/rotate`; button `key-rotate-submit`.
#[derive(Clone, Template)]
#[template(path = "console/key_rotate.html")]
pub struct KeyRotate {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The key's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its public form.
    pub masked: String,
    /// Until when the secret of before the last rotation works.
    pub before_until: Option<Moment>,
    /// The choice, in seconds.
    pub overlap: String,
    /// Input `sheet`: the form is taken once.
    pub sheet: String,
    /// What went wrong at the last try.
    pub problems: Problems,
}

/// `/console/keys/{id}/revoke`; button `key-revoke-submit`.
#[derive(Clone, Template)]
#[template(path = "console/key_revoke.html")]
pub struct KeyRevoke {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// The key's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its public form.
    pub masked: String,
    /// Its last use.
    pub last_used: Option<Moment>,
    /// Requests of the last day.
    pub requests: i64,
    /// What was typed.
    pub reason: String,
    /// What went wrong at the last try.
    pub problems: Problems,
}
