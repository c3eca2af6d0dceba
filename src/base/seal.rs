//! What the master key protects: sealed values that leave the server and come back, and keyed hashes of secrets.
//!
//! Every use has a purpose, and every purpose its own key: a sealed code opened as an access token is garbage.

use std::fmt;
use std::sync::Arc;

use ring::{aead, hmac};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::{base64url, from_base64url};
use super::entropy::Entropy;
use super::secret::{Fingerprint, Secret};

/// What a sealed value is for.
///
/// Never change a label: values that are outstanding carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An authorization code: the grant itself.
    Code,
    /// An authorization request that waits for a person.
    Pending,
    /// An opaque access token.
    AccessToken,
    /// The private half of a signing key, in its row.
    PrivateKey,
    /// The secret of a `client_secret_jwt` client, in its row.
    ClientSecret,
    /// A mail that waits to be delivered: whom it is for and what it says.
    Mail,
    /// A form of a page that is taken once.
    FormOnce,
    /// The secret of an authenticator app, in its row and in the form that sets it up.
    Totp,
    /// A sign-in whose password was right and whose second factor is awaited.
    HalfSignIn,
    /// A challenge for a passkey: what it is for, and what the answer is checked against.
    PasskeyChallenge,
    /// A sign-in that is under way at another provider: what its answer is held to.
    Elsewhere,
    /// Our secret at another provider, in its row.
    ProviderSecret,
}

impl Purpose {
    const ALL: [Self; 12] = [
        Self::Code,
        Self::Pending,
        Self::AccessToken,
        Self::PrivateKey,
        Self::ClientSecret,
        Self::Mail,
        Self::FormOnce,
        Self::Totp,
        Self::HalfSignIn,
        Self::PasskeyChallenge,
        Self::Elsewhere,
        Self::ProviderSecret,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Code => "cnx seal code v1",
            Self::Pending => "cnx seal pending v1",
            Self::AccessToken => "cnx seal access token v1",
            Self::PrivateKey => "cnx seal private key v1",
            Self::ClientSecret => "cnx seal client secret v1",
            Self::Mail => "cnx seal mail v1",
            Self::FormOnce => "cnx seal form once v1",
            Self::Totp => "cnx seal totp v1",
            Self::HalfSignIn => "cnx seal half sign-in v1",
            Self::PasskeyChallenge => "cnx seal passkey challenge v1",
            Self::Elsewhere => "cnx seal sign-in elsewhere v1",
            Self::ProviderSecret => "cnx seal provider secret v1",
        }
    }
}

/// What a keyed hash is for.
///
/// Never change a label: rows and outstanding tokens carry its hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacPurpose {
    /// Client secrets at rest.
    ClientSecret,
    /// Session cookies at rest.
    Session,
    /// One-time links (set-up, password) at rest.
    OneTimeLink,
    /// The MAC inside a refresh token.
    Refresh,
    /// Form tokens against cross-site request forgery.
    Csrf,
    /// The cookie that marks a browser before anyone signed in.
    Browser,
    /// Keys of throttle counters, so that no user name or address lies in a row.
    Throttle,
    /// Recognises the master key that a database belongs to.
    KeyCheck,
    /// The `jti` of an assertion with its issuer, among what is spent.
    Assertion,
    /// API keys at rest, behind the number of the pepper.
    ApiKey,
    /// The chain of the audit log.
    Audit,
    /// Recovery codes at rest.
    RecoveryCode,
}

impl MacPurpose {
    const ALL: [Self; 12] = [
        Self::ClientSecret,
        Self::Session,
        Self::OneTimeLink,
        Self::Refresh,
        Self::Csrf,
        Self::Browser,
        Self::Throttle,
        Self::KeyCheck,
        Self::Assertion,
        Self::ApiKey,
        Self::Audit,
        Self::RecoveryCode,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::ClientSecret => "cnx mac client secret v1",
            Self::Session => "cnx mac session v1",
            Self::OneTimeLink => "cnx mac one-time link v1",
            Self::Refresh => "cnx mac refresh v1",
            Self::Csrf => "cnx mac csrf v1",
            Self::Browser => "cnx mac browser v1",
            Self::Throttle => "cnx mac throttle v1",
            Self::KeyCheck => "cnx mac key check v1",
            Self::Assertion => "cnx mac assertion v1",
            Self::ApiKey => "cnx mac api key v1",
            Self::Audit => "cnx mac audit v1",
            Self::RecoveryCode => "cnx mac recovery code v1",
        }
    }
}

/// The keys derived from the master key, one for each purpose. A clone is another handle of the same keys.
#[derive(Clone)]
pub struct Vault {
    seals: Arc<[(Purpose, hmac::Key)]>,
    macs: Arc<[(MacPurpose, hmac::Key)]>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// Derives every purpose's key from the 32 bytes of the master key (HMAC-SHA-256 of the label, RFC 5869 expand with one block).
    pub fn new(master: &Secret<[u8; 32]>) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, master.reveal());
        let derive =
            |label: &str| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, label.as_bytes()).as_ref());
        Self {
            seals: Purpose::ALL.map(|p| (p, derive(p.label()))).into(),
            macs: MacPurpose::ALL.map(|p| (p, derive(p.label()))).into(),
        }
    }

    /// Seals bytes: AES-256-GCM under a key and nonce derived from 16 random bytes, so that no number of sealed values
    /// brings two under the same key and nonce. The purpose is bound as additional data.
    pub fn seal_bytes(&self, purpose: Purpose, plain: &[u8], entropy: &Entropy) -> Vec<u8> {
        let salt = entropy.bytes::<16>();
        let mut sealed = plain.to_vec();
        let Some((key, nonce)) = self.message_key(purpose, &salt) else { return Vec::new() };
        if key.seal_in_place_append_tag(nonce, aead::Aad::from(purpose.label()), &mut sealed).is_err() {
            return Vec::new(); // only for values above 64 GiB
        }
        let mut out = Vec::with_capacity(16 + sealed.len());
        out.extend_from_slice(&salt);
        out.append(&mut sealed);
        out
    }

    /// Opens what [`Vault::seal_bytes`] sealed; `None` for another purpose, another master key, or any change.
    pub fn open_bytes(&self, purpose: Purpose, sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, body) = sealed.split_at_checked(16)?;
        let (key, nonce) = self.message_key(purpose, salt)?;
        let mut body = body.to_vec();
        let length = key.open_in_place(nonce, aead::Aad::from(purpose.label()), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }

    /// Seals a value as base64url text.
    pub fn seal<T: Serialize>(&self, purpose: Purpose, value: &T, entropy: &Entropy) -> String {
        let plain = serde_json::to_vec(value).unwrap_or_default();
        base64url(&self.seal_bytes(purpose, &plain, entropy))
    }

    /// Opens what [`Vault::seal`] sealed; `None` for anything else.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, sealed: &str) -> Option<T> {
        let plain = self.open_bytes(purpose, &from_base64url(sealed)?)?;
        serde_json::from_slice(&plain).ok()
    }

    /// HMAC-SHA-256 over the parts, each behind its length, so that no two lists of parts read alike.
    pub fn mac(&self, purpose: MacPurpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut out = [0; 32];
        if let Some((_, key)) = self.macs.iter().find(|(p, _)| *p == purpose) {
            let mut context = hmac::Context::with_key(key);
            for part in parts {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            out.copy_from_slice(context.sign().as_ref());
        }
        out
    }

    /// The stored form of a bearer secret.
    pub fn fingerprint(&self, purpose: MacPurpose, secret: &str) -> Fingerprint {
        Fingerprint::from_bytes(self.mac(purpose, &[secret.as_bytes()]))
    }

    fn message_key(&self, purpose: Purpose, salt: &[u8]) -> Option<(aead::LessSafeKey, aead::Nonce)> {
        let (_, root) = self.seals.iter().find(|(p, _)| *p == purpose)?;
        let mut context = hmac::Context::with_key(root);
        context.update(salt);
        context.update(&[1]);
        let key = context.sign();
        let mut context = hmac::Context::with_key(root);
        context.update(salt);
        context.update(&[2]);
        let nonce = context.sign();
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).ok()?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce.as_ref().get(..12)?).ok()?;
        Some((aead::LessSafeKey::new(key), nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_for_its_purpose_and_unchanged() {
        let vault = Vault::new(&Secret::new([7; 32]));
        let entropy = Entropy::seeded(1);
        let sealed = vault.seal(Purpose::Code, &"grant", &entropy);
        assert_eq!(vault.open::<String>(Purpose::Code, &sealed).as_deref(), Some("grant"));
        assert_eq!(vault.open::<String>(Purpose::AccessToken, &sealed), None);
        let other = Vault::new(&Secret::new([8; 32]));
        assert_eq!(other.open::<String>(Purpose::Code, &sealed), None);
        let bytes = from_base64url(&sealed).unwrap();
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            assert_eq!(vault.open_bytes(Purpose::Code, &changed), None, "byte {i}");
        }
        for n in 0..bytes.len() {
            assert_eq!(vault.open_bytes(Purpose::Code, &bytes[..n]), None, "cut at {n}");
        }
    }

    #[test]
    fn parts_of_a_mac_cannot_be_shifted() {
        let vault = Vault::new(&Secret::new([7; 32]));
        assert_ne!(vault.mac(MacPurpose::Csrf, &[b"ab", b"c"]), vault.mac(MacPurpose::Csrf, &[b"a", b"bc"]));
    }

    proptest::proptest! {
        /// What is sealed for one purpose opens for it, and for no other; nothing else opens at all.
        #[test]
        fn purposes_do_not_mix(text: String, noise: Vec<u8>, seed: u64) {
            let vault = Vault::new(&Secret::new([7; 32]));
            for (n, purpose) in Purpose::ALL.into_iter().enumerate() {
                let sealed = vault.seal(purpose, &text, &Entropy::seeded(seed));
                for (m, other) in Purpose::ALL.into_iter().enumerate() {
                    let opened = vault.open::<String>(other, &sealed);
                    proptest::prop_assert_eq!(opened, (n == m).then(|| text.clone()));
                }
                proptest::prop_assert_eq!(vault.open_bytes(purpose, &noise), None);
            }
        }

        /// One list of parts has one hash, for one purpose: neither the places of the cuts nor the purpose can be changed.
        #[test]
        fn no_two_lists_of_parts_and_no_two_purposes_have_one_mac(
            left in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..4), 0..4),
            right in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..4), 0..4),
        ) {
            let vault = Vault::new(&Secret::new([7; 32]));
            let mac = |purpose, parts: &[Vec<u8>]| vault.mac(purpose, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for (n, one) in MacPurpose::ALL.into_iter().enumerate() {
                for (m, other) in MacPurpose::ALL.into_iter().enumerate() {
                    proptest::prop_assert_eq!(mac(one, &left) == mac(other, &right), n == m && left == right, "{:?} {:?}", one, other);
                }
            }
        }
    }
}
