//! Ids: UUIDv7 (RFC 9562 §5.7) from our own clock and chance, 16 bytes in a row, text at the edge; and the client's id, which is text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entropy::Entropy;
use super::time::Clock;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id: the clock's milliseconds and ten random bytes.
            pub fn new(clock: &Clock, entropy: &Entropy) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(clock.now_millis(), &entropy.bytes::<10>()).into_uuid())
            }

            /// From the 16 bytes of a row; `None` for another length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }

            /// Whether it is a UUID of the version that we make; a parsed text may be another.
            pub fn is_version_7(self) -> bool {
                self.0.get_version_num() == 7
            }

            /// The bytes, for a row.
            pub fn to_vec(self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            /// Appends it as text.
            pub fn write(&self, text: &mut String) {
                text.push_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }

            /// The bytes, for a token.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A person. The `sub` of every token that is about them; never used again.
    UserId,
    /// A browser's sign-in. The `sid` of ID tokens.
    SessionId,
    /// What a user gave a client at one sign-in: the family of every token that came from it.
    FamilyId,
    /// One authorization code, one pending request: what is accepted once.
    OnceId,
    /// Whose apps, service accounts and keys they are.
    OrganizationId,
    /// A trust rule of a service account.
    RuleId,
    /// A mail on its way; its `Message-ID`, so that whoever gets it twice knows it for one.
    MailId,
}

/// The id of an OAuth client: text, because an administrator may bring one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

impl ClientId {
    /// The longest id that is accepted, in bytes.
    pub const MAX: usize = 128;

    /// A new id that raw and form-encoded Basic credentials spell alike (letters and digits only).
    pub fn generate(entropy: &Entropy) -> Self {
        Self(format!("app_{}", super::encoding::base62(&entropy.bytes::<12>())))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~@".contains(&b);
        if text.is_empty() || text.len() > Self::MAX {
            return Err("client_id: 1 to 128 characters are allowed");
        }
        if !text.bytes().all(legal) {
            return Err("client_id: letters, digits and - . _ ~ @ are allowed");
        }
        Ok(Self(text))
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl FromStr for ClientId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
