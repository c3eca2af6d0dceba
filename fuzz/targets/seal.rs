//! Sealed values as they come back from a browser: only what was sealed opens, for its purpose, unchanged.

use std::sync::LazyLock;

use cnx::base::encoding::from_base64url;
use cnx::base::entropy::Entropy;
use cnx::base::seal::{MacPurpose, Purpose, Vault};
use cnx::base::secret::Secret;

pub(super) const WORDS: &[&str] = &["A", "_", "-", "=", "==", "\n", "AAAAAAAAAAAAAAAAAAAAAAAA", "\""];

const PURPOSES: [Purpose; 5] =
    [Purpose::Code, Purpose::Pending, Purpose::AccessToken, Purpose::HalfSignIn, Purpose::Elsewhere];

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(&Secret::new([7; 32])));

/// Seals what is made up. Not [`VAULT`], which has handed out one value: libFuzzer learns from every comparison, and would soon present what
/// was sealed here.
static OTHER: LazyLock<Vault> = LazyLock::new(|| Vault::new(&Secret::new([8; 32])));

/// The one value that this vault has handed out.
static GENUINE: LazyLock<String> = LazyLock::new(|| VAULT.seal(Purpose::Code, &"grant", &Entropy::seeded(1)));

pub(super) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut opened = false;
    for purpose in PURPOSES {
        let found = VAULT.open::<String>(purpose, &text);
        let genuine = purpose == Purpose::Code && *text == **GENUINE;
        assert_eq!(found.as_deref(), genuine.then_some("grant"), "{purpose:?}: {text:?}");
        let bytes = VAULT.open_bytes(purpose, data);
        let genuine = purpose == Purpose::Code && from_base64url(&GENUINE).as_deref() == Some(data);
        assert_eq!(bytes.is_some(), genuine, "{purpose:?}: {}", data.escape_ascii());
        opened |= found.is_some();
    }

    // The input as what is sealed, with chance and a change that follow from it.
    let turn = data.iter().fold(data.len(), |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(*b)));
    let entropy = Entropy::seeded(turn as u64);
    let purpose = PURPOSES[turn % PURPOSES.len()];
    let sealed = OTHER.seal_bytes(purpose, data, &entropy);
    assert_eq!(OTHER.open_bytes(purpose, &sealed).as_deref(), Some(data), "seal and open are inverse");
    assert_ne!(OTHER.seal_bytes(purpose, data, &entropy), sealed, "no two seals are alike");
    for other in PURPOSES.into_iter().filter(|other| *other != purpose) {
        assert_eq!(OTHER.open_bytes(other, &sealed), None, "sealed for {purpose:?}, opened for {other:?}");
    }
    let mut changed = sealed.clone();
    let at = turn % changed.len();
    changed[at] ^= 1 << (turn % 8);
    assert_eq!(OTHER.open_bytes(purpose, &changed), None, "byte {at} was changed");
    assert_eq!(OTHER.open_bytes(purpose, &sealed[..at]), None, "it was cut at {at}");

    // A list of parts has one reading: wherever the same bytes are cut, the keyed hash is another.
    let (left, right) = data.split_at(turn % (data.len() + 1));
    if !left.is_empty() {
        let whole = VAULT.mac(MacPurpose::Csrf, &[data]);
        assert_ne!(VAULT.mac(MacPurpose::Csrf, &[left, right]), whole);
        assert_ne!(VAULT.mac(MacPurpose::Browser, &[data]), whole);
    }
    opened
}
