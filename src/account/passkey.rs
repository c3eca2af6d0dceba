//! Passkeys (Web Authentication Level 2), around webauthn-rs: challenges, and whether an answer is one to its challenge. User verification is always
//! required, so that a passkey alone is two factors: the device, and the finger, face or PIN that opens it.
//!
//! The library draws its challenges itself, from the system's chance, and reads no clock; how long a challenge is good is the flow's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Url, Uuid, WebauthnBuilder, WebauthnError,
};

use crate::base::id::UserId;

/// The longest id of a credential, in bytes (Web Authentication Level 2 §7.1).
const LONGEST_ID: usize = 1023;

/// The site that passkeys are for: the host of its address is the relying party's id, and answers come from exactly its origin.
#[derive(Debug)]
pub struct Site(webauthn_rs::Webauthn);

/// A challenge: what the browser is asked, and what its answer is checked against.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub options: String,
    /// Kept until the answer comes, out of the reach of whoever answers.
    pub state: State,
}

/// What an answer is checked against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum State {
    /// Of a new passkey.
    New(Box<PasskeyRegistration>),
    /// Of a passkey that is there.
    Known(Box<DiscoverableAuthentication>),
}

/// A passkey as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id, which its authenticator chose.
    pub id: Vec<u8>,
    /// Its public key, counter and flags: JSON of the library's own.
    pub text: String,
}

/// An answer that is none to its challenge; in the library's words, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl From<WebauthnError> for Wrong {
    fn from(error: WebauthnError) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a browser says of a passkey that is there (an assertion), unchecked.
#[derive(Debug)]
pub struct Answer(PublicKeyCredential);

impl Answer {
    /// From the JSON that browsers make of it (`AuthenticationResponseJSON`).
    pub fn read(text: &str) -> Result<Self, Wrong> {
        Ok(Self(serde_json::from_str(text)?))
    }

    /// Which passkey it is said to be.
    pub fn credential(&self) -> &[u8] {
        self.0.get_credential_id()
    }

    /// Whether it is said to be this person's; `None` where it says nothing of a person.
    pub fn is_of(&self, user: UserId) -> Option<bool> {
        self.0.get_user_unique_id().map(|handle| handle == user.as_bytes())
    }
}

impl Site {
    /// The site at an origin (`https://id.example.com`), under the name that browsers show; `None` where its host is an address of numbers,
    /// for which there are no passkeys.
    pub fn of(origin: &str, name: &str) -> Option<Self> {
        let url = Url::parse(origin).ok()?;
        let host = url.domain()?;
        WebauthnBuilder::new(host, &url).ok()?.rp_name(name).build().ok().map(Self)
    }

    /// The challenge for a new passkey of a person with this user name and this name; the ids are those of the passkeys that they have. It
    /// is kept on its device, so that it signs its person in without a name.
    pub fn ask_new(
        &self,
        user: UserId,
        (username, name): (&str, &str),
        own: Vec<Vec<u8>>,
    ) -> Result<Challenge, Wrong> {
        let own = own.into_iter().map(CredentialID::from).collect();
        let id = Uuid::from_bytes(*user.as_bytes());
        let (options, state) = self.0.start_passkey_registration(id, username, name, Some(own))?;
        let mut options = serde_json::to_value(options.public_key)?;
        if let Some(selection) = options.get_mut("authenticatorSelection").and_then(Value::as_object_mut) {
            selection.insert("residentKey".to_owned(), json!("required"));
            selection.insert("requireResidentKey".to_owned(), json!(true));
        }
        Ok(Challenge { options: options.to_string(), state: State::New(Box::new(state)) })
    }

    /// The passkey that a browser made (`RegistrationResponseJSON`).
    pub fn new_passkey(&self, state: &State, answer: &str) -> Result<Credential, Wrong> {
        let State::New(state) = state else { return Err(Wrong("the challenge is not for a new one".into())) };
        let answer: RegisterPublicKeyCredential = serde_json::from_str(answer)?;
        let passkey = self.0.finish_passkey_registration(&answer, state)?;
        let id: Vec<u8> = passkey.cred_id().to_vec();
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(Wrong("the id is too long".into()));
        }
        Ok(Credential { id, text: serde_json::to_string(&passkey)? })
    }

    /// The challenge for a passkey that is there: for one of these, or for any that the device knows, where there are none.
    pub fn ask(&self, own: &[Vec<u8>]) -> Result<Challenge, Wrong> {
        let (options, state) = self.0.start_discoverable_authentication()?;
        let mut options = serde_json::to_value(options.public_key)?;
        if let Some(members) = options.as_object_mut() {
            let listed =
                own.iter().map(|id| json!({ "type": "public-key", "id": CredentialID::from(id.clone()) }));
            members.insert("allowCredentials".to_owned(), listed.collect());
            members.remove("extensions");
        }
        Ok(Challenge { options: options.to_string(), state: State::Known(Box::new(state)) })
    }

    /// Whether an answer is one of this passkey to this challenge: by its key, from our origin, for our site, with its holder verified, and
    /// with a counter that went on. Gives what is to be kept of it from now on.
    pub fn check(&self, state: State, answer: &Answer, kept: &str) -> Result<String, Wrong> {
        let State::Known(state) = state else { return Err(Wrong("the challenge is for a new one".into())) };
        let mut passkey: Passkey = serde_json::from_str(kept)?;
        let keys = [DiscoverableKey::from(&passkey)];
        let result = self.0.finish_discoverable_authentication(&answer.0, *state, &keys)?;
        if !result.user_verified() || passkey.update_credential(&result).is_none() {
            return Err(Wrong("its holder was not verified".into()));
        }
        Ok(serde_json::to_string(&passkey)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_for_a_host_with_a_name() {
        for good in ["https://id.example.com", "http://localhost:8080", "https://id.example.com:8443"] {
            assert!(Site::of(good, "CloudNexus Identity").is_some(), "{good}");
        }
        for bad in
            ["http://127.0.0.1:8080", "https://[::1]:8443", "https://203.0.113.7", "id.example.com", ""]
        {
            assert!(Site::of(bad, "CloudNexus Identity").is_none(), "{bad}");
        }
    }

    #[test]
    fn a_challenge_asks_for_a_verified_holder_and_a_key_that_stays_on_its_device_s_l13() {
        let site = Site::of("https://id.example.com", "Example").unwrap();
        let user = UserId::from_slice(&[7; 16]).unwrap();
        let new = site.ask_new(user, ("ada", "Ada Lovelace"), vec![vec![1, 2, 3]]).unwrap();
        let new: Value = serde_json::from_str(&new.options).unwrap();
        assert_eq!(new["rp"], json!({ "name": "Example", "id": "id.example.com" }));
        assert_eq!(new["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(new["authenticatorSelection"]["requireResidentKey"], true);
        assert_eq!(new["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(new["attestation"], "none");
        assert_eq!(new["excludeCredentials"][0]["id"], "AQID");
        assert_eq!(new["user"]["name"], "ada");
        let any: Value = serde_json::from_str(&site.ask(&[]).unwrap().options).unwrap();
        assert_eq!((&any["userVerification"], &any["rpId"]), (&json!("required"), &json!("id.example.com")));
        assert_eq!(any["allowCredentials"], json!([]));
        let own: Value = serde_json::from_str(&site.ask(&[vec![1, 2, 3]]).unwrap().options).unwrap();
        assert_eq!(own["allowCredentials"], json!([{ "type": "public-key", "id": "AQID" }]));
        assert_ne!(own["challenge"], any["challenge"]);
    }
}
