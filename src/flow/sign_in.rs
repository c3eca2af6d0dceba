//! What a person does on our pages: sign in, choose an account, consent, set up the first account, set a password.

pub mod begin;
pub mod confirm;
pub mod consent;
pub mod link;
pub mod passkey;
pub mod password;
pub mod second_step;
pub mod select_account;
pub mod throttle;
pub mod upstream;
