//! An authenticator in software (Web Authentication Level 2 §6): ES256 keys, no attestation, and whatever a test wants it to say.

use cnx::base::digest::sha256;
use cnx::base::encoding::{base64url, from_base64url};
use ring::rand::SecureRandom as _;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::world::{Browser, Reply};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const HAS_KEY: u8 = 0x40;

/// One passkey on its device, and what the device says of itself and of the site.
pub struct Device {
    key: EcdsaKeyPair,
    random: ring::rand::SystemRandom,
    pub id: Vec<u8>,
    pub counter: u32,
    pub origin: String,
    pub rp_id: String,
    /// The user handle that it says.
    pub user: Option<Vec<u8>>,
    pub present: bool,
    pub verified: bool,
    /// `type` of the client data, where it is not the usual one.
    pub kind: Option<&'static str>,
    /// Spoils the signature.
    pub forged: bool,
}

#[expect(clippy::disallowed_methods, reason = "a device has chance of its own")]
fn chance() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

impl Device {
    /// A device in front of the site at this origin, `http://localhost:PORT`.
    pub fn new(origin: &str) -> Self {
        let random = chance();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref(), &random).unwrap();
        let mut id = vec![0; 16];
        random.fill(&mut id).unwrap();
        Self {
            key,
            random,
            id,
            counter: 0,
            origin: origin.to_owned(),
            rp_id: "localhost".to_owned(),
            user: None,
            present: true,
            verified: true,
            kind: None,
            forged: false,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let kind = self.kind.unwrap_or(kind);
        json!({ "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn data(&self, more: u8) -> Vec<u8> {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(self.present, PRESENT) | flag(self.verified, VERIFIED) | more;
        [&sha256(self.rp_id.as_bytes())[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// `navigator.credentials.create()`, as JSON.
    pub fn make(&mut self, options: &Value) -> String {
        self.user = from_base64url(options["user"]["id"].as_str().unwrap());
        let client_data = self.client_data("webauthn.create", options);
        // An uncompressed point: 4, x, y.
        let point = self.key.public_key().as_ref();
        let key = [
            &[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20][..],
            &point[1..33],
            &[0x22, 0x58, 0x20],
            &point[33..65],
        ]
        .concat();
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let data = [&self.data(HAS_KEY)[..], &[0; 16], &length, &self.id, &key].concat();
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client_data),
                "attestationObject": base64url(&object),
                "transports": ["internal"],
            },
            "clientExtensionResults": {},
        })
        .to_string()
    }

    /// `navigator.credentials.get()`, as JSON. The counter goes on by itself unless it stands at nought.
    pub fn answer(&mut self, options: &Value) -> String {
        if self.counter > 0 {
            self.counter += 1;
        }
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(0);
        let signed = [&data[..], &sha256(&client_data)].concat();
        let mut signature = self.key.sign(&self.random, &signed).unwrap().as_ref().to_vec();
        if self.forged {
            *signature.last_mut().unwrap() ^= 1;
        }
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client_data),
                "authenticatorData": base64url(&data),
                "signature": base64url(&signature),
                "userHandle": self.user.as_deref().map(base64url),
            },
            "clientExtensionResults": {},
        })
        .to_string()
    }
}

/// A form of a page that waits for a passkey.
#[derive(Clone, Debug)]
pub struct Asking {
    pub action: String,
    pub options: Value,
    /// Its inputs, the answer aside.
    pub fields: Vec<(String, String)>,
    /// The name of the answer's input.
    answer: String,
}

impl Asking {
    /// The form of a page whose button has this id.
    pub fn of(page: &Reply, button: &str) -> Self {
        let html = scraper::Html::parse_document(&page.text);
        let select = |selector: &str| scraper::Selector::parse(selector).unwrap();
        let form = html
            .select(&select("form[data-passkey]"))
            .find(|form| form.select(&select(&format!("#{button}"))).next().is_some())
            .unwrap_or_else(|| panic!("no #{button}: {} {}", page.status, page.text));
        let value = |input: scraper::ElementRef<'_>| input.attr("value").unwrap_or_default().to_owned();
        let named = |input: scraper::ElementRef<'_>| input.attr("name").unwrap().to_owned();
        let answer = form.select(&select("[data-passkey-answer]")).next().unwrap();
        Self {
            action: form.attr("action").unwrap().to_owned(),
            options: serde_json::from_str(form.attr("data-options").unwrap()).unwrap(),
            fields: form
                .select(&select("input:not([data-passkey-answer])"))
                .map(|i| (named(i), value(i)))
                .collect(),
            answer: named(answer),
        }
    }

    /// Sends the form with this answer.
    pub async fn send(&self, browser: &Browser, answer: String) -> Reply {
        let mut fields = self.fields.clone();
        fields.push((self.answer.clone(), answer));
        browser.post(&self.action, &fields).await
    }

    /// The same with another value in an input.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Adds a passkey on the page of one's own.
pub async fn add(browser: &Browser, device: &mut Device, name: &str) -> Reply {
    let asking = Asking::of(&browser.get("/account/passkeys").await, "passkey-add").with("name", name);
    let made = device.make(&asking.options);
    asking.send(browser, made).await
}

/// Signs in with a passkey alone.
pub async fn sign_in(browser: &Browser, device: &mut Device) -> Reply {
    let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
    let answer = device.answer(&asking.options);
    asking.send(browser, answer).await
}
