//! Keys that are found in public: what becomes of them, and the rules by which scanners find them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What becomes of a key that was found in public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LeakPolicy {
    /// It is told, and the key goes on working.
    Notify,
    /// The key is disabled, until somebody enables it.
    Disable,
    /// The key is revoked, for good.
    Revoke,
}

impl LeakPolicy {
    const ALL: [Self; 3] = [Self::Notify, Self::Disable, Self::Revoke];

    /// As settings, rows and answers have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Disable => "disable",
            Self::Revoke => "revoke",
        }
    }
}

impl std::str::FromStr for LeakPolicy {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|policy| policy.word() == word);
        found.ok_or("notify, disable or revoke is allowed")
    }
}

/// A key in a text, for scanners that know no checksum: they find what looks like one, `cnx scan` tells which are.
pub const PATTERN: &str = r"\bcnx_[a-z]{2,8}_[0-9A-Za-z]{48}\b";

/// A rule for gitleaks: a file for `gitleaks --config`.
pub fn gitleaks_rules() -> String {
    format!(
        "title = \"CloudNexus API keys\"\n\n\
         [[rules]]\n\
         id = \"cloudnexus-api-key\"\n\
         description = \"A CloudNexus API key; revoke it with POST /v1/keys/report-leak\"\n\
         regex = '''{PATTERN}'''\n\
         entropy = 3.5\n\
         keywords = [\"cnx_\"]\n"
    )
}

/// A custom detector for `TruffleHog`: a file for `trufflehog --config`.
pub fn trufflehog_rules() -> String {
    format!(
        "detectors:\n\
         \x20 - name: CloudNexus API key\n\
         \x20   keywords:\n\
         \x20     - cnx_\n\
         \x20   regex:\n\
         \x20     key: '{PATTERN}'\n"
    )
}
