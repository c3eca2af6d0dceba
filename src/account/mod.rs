//! Floor 1: people. Names, passwords, what is known of a person; pure rules.

pub mod browser;
pub mod factor_policy;
pub mod look;
pub mod passkey;
pub mod password;
pub mod password_policy;
pub mod recovery_codes;
pub mod role;
pub mod throttle;
pub mod totp;
pub mod user;
pub mod username;
