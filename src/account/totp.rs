//! One-time codes of an authenticator app (RFC 6238): SHA-1, six digits, thirty seconds, as every such app has them.

use qrcode::{Color, QrCode};
use totp_rs::{Algorithm, TOTP};

use crate::base::time::Timestamp;

/// Bytes of a secret (RFC 4226 §4 R6: 160 bits are recommended).
pub const SECRET_BYTES: usize = 20;
/// Seconds of one step.
const STEP: i64 = 30;
const DIGITS: usize = 6;

fn reader(secret: &[u8], issuer: &str, account: &str) -> TOTP {
    // A colon would end the name of the issuer.
    let plain = |text: &str| text.replace(':', " ");
    TOTP::new_unchecked(
        Algorithm::SHA1,
        DIGITS,
        1,
        STEP.unsigned_abs(),
        secret.to_vec(),
        Some(plain(issuer)),
        plain(account),
    )
}

/// The step whose code this is: the present one, or one either side for clocks that differ; none at or before `last`, the step of the
/// code that was taken last (RFC 6238 §5.2: once).
pub fn step_of(secret: &[u8], code: &str, now: Timestamp, last: i64) -> Option<i64> {
    let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let present = now.as_secs().div_euclid(STEP);
    (present - 1..=present + 1).find(|step| *step > last && code_of(secret, *step) == typed)
}

/// The code of a step, as the app shows it.
pub fn code_of(secret: &[u8], step: i64) -> String {
    reader(secret, "", "").generate(u64::try_from(step * STEP).unwrap_or_default())
}

/// The address that an app reads from the picture.
pub fn url(secret: &[u8], issuer: &str, account: &str) -> String {
    reader(secret, issuer, account).get_url()
}

/// The secret as people type it: base32 in groups of four.
pub fn written(secret: &[u8]) -> String {
    let text = reader(secret, "", "").get_secret_base32();
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// A picture of dark squares: how many there are beside each other, and where they are, as the path of an SVG in that unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Squares beside each other, with the quiet zone around them.
    pub width: usize,
    /// `M4 4h1v1h-1z…`
    pub path: String,
}

/// Empty squares around the picture (ISO/IEC 18004).
const QUIET: usize = 4;

/// The picture of an address; `None` where it is too long for one.
pub fn picture(url: &str) -> Option<Picture> {
    let code = QrCode::new(url).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, colour) in code.to_colors().into_iter().enumerate() {
        if colour == Color::Dark {
            let (x, y) = (at % width + QUIET, at / width + QUIET);
            path.push_str(&["M", &x.to_string(), " ", &y.to_string(), "h1v1h-1z"].concat());
        }
    }
    Some(Picture { width: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_vectors_of_rfc_6238_appendix_b_hold_in_their_last_six_digits() {
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(SECRET, code, Timestamp::from_secs(second), 0), Some(second / 30), "{second}");
        }
    }

    #[test]
    fn a_step_either_side_is_taken_and_none_twice_or_backwards_s_l13() {
        let (second, code) = (1_111_111_109, "081804");
        let step = second / 30;
        let at = |seconds: i64| Timestamp::from_secs(second + seconds);
        for good in [-29, 0, 30] {
            assert_eq!(step_of(SECRET, code, at(good), 0), Some(step), "{good}");
        }
        for bad in [-61, 61] {
            assert_eq!(step_of(SECRET, code, at(bad), 0), None, "{bad}");
        }
        assert_eq!(step_of(SECRET, code, at(0), step), None);
        assert_eq!(step_of(SECRET, code, at(0), step + 1), None);
        assert_eq!(step_of(SECRET, "081 804", at(0), 0), Some(step));
        for wrong in ["", "81804", "0818040", "081805", "O81804"] {
            assert_eq!(step_of(SECRET, wrong, at(0), 0), None, "{wrong}");
        }
    }

    #[test]
    fn an_app_reads_the_secret_from_the_address_and_a_person_from_the_text() {
        let url = url(SECRET, "CloudNexus: Identity", "ada@example.com");
        assert!(
            url.starts_with("otpauth://totp/CloudNexus")
                && url.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
            "{url}"
        );
        assert!(!url.contains("Nexus:"), "{url}");
        assert_eq!(written(SECRET), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        let picture = picture(&url).unwrap();
        assert!(picture.width > 29 && picture.path.starts_with("M4 4h1v1h-1z"));
    }
}
