//! Assertions as strangers send them: as they are, and as header and claims around a signature of the right shape. Nothing may panic,
//! and nothing that nobody signed may be taken.
//!
//! `cargo fuzz run assertion -- -max_total_time=60`; without a nightly toolchain with `RUSTC_BOOTSTRAP=1` in front.

#![no_main]

use std::sync::LazyLock;

use cnx::base::encoding::base64url;
use cnx::jose::key_set::KeySet;
use cnx::jose::verify::{Foreign, verify_foreign};
use cnx::oauth::assertion::{AssertionClaims, Unverified};
use libfuzzer_sys::fuzz_target;

/// A key set as it could be registered; the private halves are nobody's.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let set = serde_json::json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "k", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]});
    KeySet::registered(&set).expect("these are the keys of RFC 7515 and RFC 8037")
});

fn look_at(text: &str) {
    drop(Unverified::peek(text));
    assert!(
        verify_foreign::<AssertionClaims>(Foreign::Public(&KEYS, None), text, &["client-authentication+jwt"]).is_err(),
        "nobody signed this"
    );
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        look_at(text);
    }
    let (head, claims) = data.split_at(data.len() / 2);
    look_at(&format!("{}.{}.{}", base64url(head), base64url(claims), base64url(&[7; 64])));
    // The claims alone, as they are read once a signature was right.
    drop(serde_json::from_slice::<AssertionClaims>(data));
});
