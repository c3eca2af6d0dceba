//! What an organization's pages look like: its name, its colour, its logo. Any colour may be chosen; pages use the nearest shade of it
//! that can be read on their ground (WCAG 2.2, 1.4.3: 4.5:1).

use std::fmt::Write as _;
use std::str::FromStr;

/// The longest name, in characters.
pub const LONGEST_TITLE: usize = 60;
/// The largest logo, in bytes.
pub const LARGEST_LOGO: usize = 64 * 1024;

/// The contrast that text needs.
const READABLE: f64 = 4.5;
/// The grounds of the light and of the dark theme, as `static/app.css` has them: behind everything, behind cards, behind what is set in.
const LIGHT: [Colour; 3] = [Colour(0xee, 0xf3, 0xf3), Colour(0xff, 0xff, 0xff), Colour(0xf3, 0xf7, 0xf7)];
const DARK: [Colour; 3] = [Colour(0x0b, 0x14, 0x16), Colour(0x13, 0x20, 0x23), Colour(0x0f, 0x1a, 0x1d)];
const WHITE: Colour = Colour(0xff, 0xff, 0xff);
const BLACK: Colour = Colour(0, 0, 0);

/// A colour: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(u8, u8, u8);

impl FromStr for Colour {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "a colour as #rrggbb is allowed, such as #0b5563";
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(ALLOWED)?;
        let number = u32::from_str_radix(digits, 16).map_err(|_| ALLOWED)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self(red, green, blue))
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

impl Colour {
    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// The contrast ratio of two colours (WCAG 2.2): 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// This colour with `percent` of another in it.
    fn with(self, other: Self, percent: u16) -> Self {
        let percent = percent.min(100);
        let mix = |a: u8, b: u8| {
            let sum = u16::from(a) * (100 - percent) + u16::from(b) * percent;
            u8::try_from((sum + 50) / 100).unwrap_or(u8::MAX)
        };
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    /// The shades of a theme: those nearest to this colour that can be read on its grounds.
    fn shades(self, grounds: [Self; 3], away: Self) -> Shades {
        let card = grounds[1];
        let of = |percent: u16| {
            let accent = self.with(away, percent);
            Shades {
                accent,
                strong: accent.with(away, 20),
                tint: card.with(accent, 12),
                on_accent: if accent.contrast(WHITE) >= accent.contrast(BLACK) { WHITE } else { BLACK },
            }
        };
        let readable = |shades: &Shades| {
            grounds.iter().all(|ground| shades.accent.contrast(*ground) >= READABLE)
                && shades.accent.contrast(shades.tint) >= READABLE
                && shades.strong.contrast(shades.tint) >= READABLE
                && shades.accent.contrast(shades.on_accent) >= READABLE
                && shades.strong.contrast(shades.on_accent) >= READABLE
        };
        // At the end stands black or white itself, which can be read.
        (0..=100).step_by(2).map(of).find(readable).unwrap_or_else(|| of(100))
    }

    /// The style that gives every page this colour, in both themes.
    pub fn style(self) -> String {
        let mut text = String::new();
        let light = self.shades(LIGHT, BLACK);
        let dark = self.shades(DARK, WHITE);
        // Writing to a String cannot fail.
        let _ =
            write!(text, ":root {{{light}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}\n");
        text
    }

    /// The shades that pages of the light and of the dark theme use.
    pub fn in_use(self) -> [Self; 2] {
        [self.shades(LIGHT, BLACK).accent, self.shades(DARK, WHITE).accent]
    }
}

/// What a theme has of a colour.
struct Shades {
    accent: Colour,
    strong: Colour,
    tint: Colour,
    on_accent: Colour,
}

impl std::fmt::Display for Shades {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accent, strong, tint, on_accent } = self;
        write!(
            f,
            " --accent: {accent}; --accent-strong: {strong}; --tint: {tint}; --on-accent: {on_accent}; "
        )
    }
}

/// The name to show, as it is kept: `None` for none.
///
/// # Errors
/// What is allowed.
pub fn title(text: &str) -> Result<Option<String>, &'static str> {
    let text = text.trim();
    if text.chars().count() > LONGEST_TITLE || text.chars().any(char::is_control) {
        return Err("up to 60 characters are allowed, on one line");
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// The type of a logo, by its first bytes: whatever a browser said it was, it is served as that and nothing else.
///
/// # Errors
/// What is allowed.
pub fn logo(bytes: &[u8]) -> Result<&'static str, &'static str> {
    const ALLOWED: &str = "a picture of the type PNG or WebP, up to 64 kB, is allowed";
    if bytes.len() > LARGEST_LOGO {
        return Err(ALLOWED);
    }
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok("image/png"),
        _ if is_webp => Ok("image/webp"),
        _ => Err(ALLOWED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_read_and_written_and_nothing_else_is() {
        assert_eq!("#0B5563".parse::<Colour>().unwrap().to_string(), "#0b5563");
        for wrong in
            ["", "0b5563", "#0b556", "#0b55633", "#gggggg", "red", "#+12345", "#\u{e4}\u{e4}\u{e4}", "#fff;}"]
        {
            assert!(wrong.parse::<Colour>().is_err(), "{wrong}");
        }
        assert!((WHITE.contrast(BLACK) - 21.0).abs() < 0.01);
    }

    #[test]
    fn every_colour_gives_shades_that_can_be_read_in_both_themes() {
        for red in (0..=255).step_by(51) {
            for green in (0..=255).step_by(51) {
                for blue in (0..=255).step_by(51) {
                    let colour = Colour(red, green, blue);
                    for (grounds, away) in [(LIGHT, BLACK), (DARK, WHITE)] {
                        let shades = colour.shades(grounds, away);
                        for ground in grounds {
                            assert!(shades.accent.contrast(ground) >= READABLE, "{colour} on {ground}");
                        }
                        assert!(
                            shades.strong.contrast(shades.tint) >= READABLE,
                            "{colour}: the menu's place"
                        );
                        assert!(
                            shades.on_accent.contrast(shades.accent) >= READABLE,
                            "{colour}: a button's words"
                        );
                        assert!(
                            shades.on_accent.contrast(shades.strong) >= READABLE,
                            "{colour}: under the pointer"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_stays_as_it_is() {
        let teal: Colour = "#0b5563".parse().unwrap();
        assert_eq!(teal.in_use()[0], teal);
        assert!(teal.style().contains("--accent: #0b5563;"));
    }

    #[test]
    fn the_grounds_are_those_of_the_style() {
        let css = include_str!("../../static/app.css");
        for (name, place) in [("--ground", 0), ("--surface", 1), ("--sunken", 2)] {
            for grounds in [LIGHT, DARK] {
                assert!(css.contains(&format!("{name}: {};", grounds[place])), "{name}");
            }
        }
    }

    #[test]
    fn a_logo_is_what_its_bytes_say() {
        assert_eq!(logo(b"\x89PNG\r\n\x1a\n..."), Ok("image/png"));
        assert_eq!(logo(b"RIFF\0\0\0\0WEBPVP8 "), Ok("image/webp"));
        let large = [&b"\x89PNG\r\n\x1a\n"[..], &vec![0; LARGEST_LOGO]].concat();
        for wrong in [&b""[..], b"<svg onload=alert(1)>", b"GIF89a", b"RIFF\0\0\0\0WAVE", &large] {
            assert!(logo(wrong).is_err());
        }
    }
}
