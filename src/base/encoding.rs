//! Text forms of bytes: base62 for short tokens that people copy, base64url (RFC 4648 §5, unpadded) for sealed values and JOSE.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bytes as unpadded base64url.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads unpadded base64url; `None` for anything else, padding and stray bits included.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Bytes as base62, big-endian, in the fixed width that this many bytes can need, so that equal lengths stay equal.
pub fn base62(bytes: &[u8]) -> String {
    let mut digits = vec![b'0'; base62_width(bytes.len())];
    put_base62(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

/// The same, in a place of that width.
pub fn put_base62(bytes: &[u8], digits: &mut [u8]) {
    let mut short = [0_u32; SHORT];
    let mut long;
    let count = bytes.len().div_ceil(4);
    let limbs: &mut [u32] = if let Some(limbs) = short.get_mut(..count) {
        limbs
    } else {
        long = vec![0; count];
        &mut long
    };
    // The number as 32-bit limbs, the highest first.
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.rchunks(4)) {
        *limb = chunk.iter().fold(0, |limb, byte| (limb << 8) | u32::from(*byte));
    }
    for chunk in digits.rchunks_mut(CHUNK) {
        // One long division takes five digits off the end.
        let mut rest = 0_u64;
        for limb in limbs.iter_mut() {
            let dividend = (rest << 32) | u64::from(*limb);
            *limb = u32::try_from(dividend / CHUNK_BASE).unwrap_or_default();
            rest = dividend % CHUNK_BASE;
        }
        for digit in chunk.iter_mut().rev() {
            let value = usize::try_from(rest % 62).unwrap_or_default();
            *digit = DIGITS.get(value).copied().unwrap_or(b'0');
            rest /= 62;
        }
    }
}

/// Reads base62 of exactly `length` bytes; `None` for another width, another alphabet, or a number that is too large.
pub fn from_base62(text: &str, length: usize) -> Option<Vec<u8>> {
    if text.len() != base62_width(length) {
        return None;
    }
    let mut limbs = vec![0_u32; length.div_ceil(4)];
    let (head, tail) = text.as_bytes().split_at_checked(text.len() % CHUNK)?;
    for chunk in std::iter::once(head).chain(tail.chunks(CHUNK)) {
        let (mut value, mut base) = (0_u64, 1_u64);
        for c in chunk {
            let digit = match c {
                b'0'..=b'9' => c - b'0',
                b'A'..=b'Z' => c - b'A' + 10,
                b'a'..=b'z' => c - b'a' + 36,
                _ => return None,
            };
            value = value * 62 + u64::from(digit);
            base *= 62;
        }
        for limb in limbs.iter_mut().rev() {
            let product = u64::from(*limb) * base + value;
            *limb = u32::try_from(product & u64::from(u32::MAX)).unwrap_or_default();
            value = product >> 32;
        }
        if value != 0 {
            return None;
        }
    }
    let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_be_bytes()).collect();
    let (above, wanted) = bytes.split_at_checked(bytes.len() - length)?;
    above.iter().all(|b| *b == 0).then(|| wanted.to_vec())
}

/// Appends a number in decimal digits. The machinery of `format!` takes several times as long, which counts where one answer has eight.
pub fn push_number(text: &mut String, number: i64) {
    text.push_str(itoa::Buffer::new().format(number));
}

/// How many digits one division takes: as many as a limb holds.
const CHUNK: usize = 5;
const CHUNK_BASE: u64 = 62 * 62 * 62 * 62 * 62;
/// Limbs of all that is encoded often: 64 bytes.
const SHORT: usize = 16;

/// How many base62 digits hold any value of `length` bytes: ⌈8·length / log2 62⌉.
pub const fn base62_width(length: usize) -> usize {
    // log2 62 = 5.954196…; the integer form is exact for every length we use (below 1,000 bytes).
    (length * 8 * 1_000_000).div_ceil(5_954_196)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte at a time into one digit at a time: slow, and plainly right.
    fn plainly(bytes: &[u8]) -> String {
        let mut digits = vec![0_u32; base62_width(bytes.len())];
        for byte in bytes {
            let mut carry = u32::from(*byte);
            for digit in digits.iter_mut().rev() {
                carry += *digit * 256;
                *digit = carry % 62;
                carry /= 62;
            }
        }
        digits.iter().map(|d| char::from(DIGITS[*d as usize])).collect()
    }

    #[test]
    fn base62_by_limbs_is_base62_by_bytes() {
        let entropy = super::super::entropy::Entropy::seeded(62);
        for length in 0..80 {
            for _ in 0..20 {
                let bytes = entropy.bytes::<80>()[..length].to_vec();
                let text = base62(&bytes);
                assert_eq!(text, plainly(&bytes), "{bytes:?}");
                assert_eq!(from_base62(&text, length), Some(bytes));
            }
        }
    }

    #[test]
    fn a_number_is_written_as_the_library_writes_it() {
        for number in [0, 1, 9, 10, 99, 100, 1_200, -1, -10, 1_790_000_000, i64::MAX, i64::MIN] {
            let mut text = "=".to_owned();
            push_number(&mut text, number);
            assert_eq!(text, format!("={number}"));
        }
    }

    #[test]
    fn base62_is_read_back_and_has_one_width() {
        for length in [1, 10, 16, 20, 32, 52] {
            for fill in [0_u8, 1, 127, 255] {
                let bytes = vec![fill; length];
                let text = base62(&bytes);
                assert_eq!(text.len(), base62_width(length));
                assert_eq!(from_base62(&text, length), Some(bytes));
            }
        }
        assert_eq!(base62(&[0xff, 0xff]), "H31", "65535 = 17·62² + 3·62 + 1");
        assert_eq!(
            base62(&[1, 0, 0, 0, 0, 0]),
            "00JMAIjoW",
            "the digits of 2⁴⁰, padded to the width of six bytes"
        );
        assert_eq!(from_base62("zzz", 2), None, "larger than two bytes hold");
        assert_eq!(from_base62("00-", 2), None);
    }
}
