//! Plain digests, for where a protocol names one (PKCE, `at_hash`, entity tags). Keyed hashes of secrets live in [`super::seal`].

use ring::digest::{SHA256, SHA512, digest};

/// SHA-256 (FIPS 180-4).
pub fn sha256(message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, message).as_ref());
    out
}

/// SHA-256 in hexadecimal, lower case.
pub fn sha256_hex(message: &[u8]) -> String {
    use std::fmt::Write as _;
    sha256(message).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// SHA-512 (FIPS 180-4).
pub fn sha512(message: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out.copy_from_slice(digest(&SHA512, message).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_are_the_published_ones() {
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(&sha256_hex(b"abc")[..8], "ba7816bf");
        assert_eq!(sha512(b"abc")[..4], [0xdd, 0xaf, 0x35, 0xa1]);
    }
}
