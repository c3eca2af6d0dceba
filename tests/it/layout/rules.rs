//! The rules of the house as tables: the floors, the crates that each floor may name, and who may call what.
//!
//! The picture that they restate is `docs/architecture.md`; whoever changes one changes the other in the same commit.

use super::source::Named;

/// Every room and its floor. A new top-level module needs a row here and a place in the picture.
pub(super) const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("oauth", 1),
    ("api_key", 1),
    ("account", 1),
    ("jose", 1),
    ("store", 2),
    ("config", 3),
    ("app", 3),
    ("flow", 4),
    ("web", 5),
    ("jobs", 5),
    ("serve", 6),
    ("cli", 6),
    ("lib", 6),
    ("main", 6),
];

/// The only sideways import: `app` holds the settings. Floor 6 is the doorstep, where everything meets.
const SIDEWAYS: &[(&str, &str)] = &[("app", "config")];

/// Crates with one home: (crate, where it may be named, whether test code is bound too).
const HOMES: &[(&str, &[&str], bool)] = &[
    ("actix_web", &["web/", "serve/", "lib.rs"], true),
    ("actix_http", &["web/", "serve/"], true),
    ("actix_service", &["serve/"], true),
    ("tokio_rustls", &["serve/"], true),
    ("tokio_util", &["serve/"], true),
    ("diesel", &["store/"], true),
    ("diesel_migrations", &["store/"], true),
    ("libsqlite3_sys", &["store/"], true),
    ("pq_sys", &["store/"], true),
    ("r2d2", &["store/"], true),
    ("redis", &["store/"], true),
    ("josekit", &["jose/"], true),
    ("reqwest", &["app/"], true),
    ("lettre", &["app/"], true),
    ("totp_rs", &["account/"], true),
    ("qrcode", &["account/"], true),
    ("webauthn_rs", &["account/"], true),
    ("pkcs1", &["jose/"], true),
    ("spki", &["jose/"], true),
    ("openssl_sys", &["jose/", "store/"], true),
    ("openidconnect", &["oauth/", "jose/"], true),
    ("askama", &["web/"], true),
    ("figment", &["config/"], true),
    ("clap", &["cli/", "main.rs"], true),
    ("foldhash", &["base/"], true),
    ("chrono", &["base/"], true),
    ("uuid", &["base/"], true),
    ("ring", &["base/", "jose/"], true),
    ("argon2", &["account/"], true),
    ("zxcvbn", &["account/"], true),
    ("precis_profiles", &["account/"], true),
    ("unicode_normalization", &["account/"], true),
    ("tempfile", &["app/", "cli/", "lib.rs"], false),
];

/// What the two pure floors may name at all; everything above is bound by `HOMES` only.
const PURE: &[(u8, &[&str])] = &[
    (
        0,
        &[
            "foldhash",
            "itoa",
            "ring",
            "uuid",
            "chrono",
            "serde",
            "serde_json",
            "zeroize",
            "base64",
            "thiserror",
        ],
    ),
    (
        1,
        &[
            "openidconnect",
            "serde",
            "serde_json",
            "utoipa",
            "url",
            "ipnet",
            "crc32fast",
            "bytes",
            "argon2",
            "josekit",
            "ring",
            "base64",
            "zeroize",
            "thiserror",
            "zxcvbn",
            "precis_profiles",
            "unicode_normalization",
            "totp_rs",
            "qrcode",
            "webauthn_rs",
            "pkcs1",
            "spki",
        ],
    ),
];

/// Input and output, and clocks: nothing of the standard library that the two pure floors may touch.
const IMPURE_STD: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// The end of a path, where it may stand, and why.
struct Only {
    end: &'static [&'static str],
    within: &'static [&'static str],
    tests_too: bool,
    rule: &'static str,
}

const TIME: &str = "ambient time is read in base/time.rs only; take `now` as a parameter";
const CHANCE: &str =
    "ambient chance is drawn in base/entropy.rs only (keys: jose/signing_key.rs); take `&Entropy`";

const ONLY: &[Only] = &[
    Only { end: &["Utc", "now"], within: &["base/time.rs"], tests_too: true, rule: TIME },
    Only { end: &["Local", "now"], within: &["base/time.rs"], tests_too: true, rule: TIME },
    Only { end: &["SystemTime", "now"], within: &["base/time.rs"], tests_too: true, rule: TIME },
    Only {
        end: &["SystemRandom", "new"],
        within: &["base/entropy.rs", "jose/signing_key.rs"],
        tests_too: true,
        rule: CHANCE,
    },
    Only { end: &["Uuid", "new_v4"], within: &[], tests_too: true, rule: CHANCE },
    Only { end: &["Uuid", "now_v7"], within: &[], tests_too: true, rule: CHANCE },
    Only { end: &["OsRng"], within: &[], tests_too: true, rule: CHANCE },
    Only { end: &["thread_rng"], within: &[], tests_too: true, rule: CHANCE },
    Only {
        end: &["Verified", "vouch"],
        within: &["base/proof.rs", "jose/verify.rs"],
        tests_too: false,
        rule: "Verified::vouch is for jose/verify.rs alone, where a signature was just checked",
    },
    Only {
        end: &["Destination", "new"],
        within: &["oauth/authorize*", "oauth/destination.rs"],
        tests_too: false,
        rule: "Destination::new is for oauth/authorize*.rs alone, after client and redirect URI matched",
    },
];

/// The floor of a room, or `None` for one that is not drawn.
pub(super) fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// What is wrong with one path in a file of `room` (`file` is below `src/`), in words; empty when all is well.
pub(super) fn judge(file: &str, room: &str, named: &Named) -> Vec<String> {
    let mut wrong = Vec::new();
    if named.ours {
        wrong.extend(judge_own(room, &named.segments));
    } else if let Some(first) = named.segments.first().filter(|s| !s.is_empty()) {
        wrong.extend(judge_foreign(file, room, first, named));
    }
    for only in ONLY.iter().filter(|only| only.tests_too || !named.in_test) {
        let end: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        if end.ends_with(only.end) && !within(file, only.within) {
            wrong.push(only.rule.to_owned());
        }
    }
    wrong
}

fn judge_own(room: &str, segments: &[String]) -> Option<String> {
    let here = floor(room)?;
    let target = match segments.first().map(String::as_str) {
        None | Some("*") if here == 6 => return None,
        None | Some("*") => return Some("names the whole crate; name the module that is meant".to_owned()),
        Some(target) => target,
    };
    if target == room {
        return None;
    }
    let Some(there) = floor(target) else {
        return (here < 6).then(|| {
            format!("`crate::{target}` is no room of the house: what stands at the crate's root is floor 6, above `{room}`")
        });
    };
    if there < here || here == 6 || SIDEWAYS.contains(&(room, target)) {
        return None;
    }
    Some(if there == here {
        format!("`{room}` and `{target}` are siblings on floor {here}, and siblings never import each other")
    } else {
        format!("imports go down: `{room}` is on floor {here}, `{target}` is above it on floor {there}")
    })
}

fn judge_foreign(file: &str, room: &str, krate: &str, named: &Named) -> Option<String> {
    let here = floor(room)?;
    if krate == "std" {
        let impure = IMPURE_STD
            .iter()
            .any(|path| named.segments.iter().map(String::as_str).take(path.len()).eq(path.iter().copied()));
        return (impure && here <= 1 && !named.in_test && !within(file, &["base/time.rs"]))
            .then(|| format!("floor {here} is pure: no `{}` here", named.segments.join("::")));
    }
    if let Some((_, homes, tests_too)) = HOMES.iter().find(|(name, ..)| *name == krate)
        && (*tests_too || !named.in_test)
        && !within(file, homes)
    {
        return Some(format!("`{krate}` may be named only in {}", homes.join(", ")));
    }
    let (_, allowed) = PURE.iter().find(|(floor, _)| *floor == here)?;
    (krate != "core" && krate != "alloc" && !allowed.contains(&krate) && !named.in_test)
        .then(|| format!("floor {here} may name only {}; not `{krate}`", allowed.join(", ")))
}

/// `web/` is the room: everything below it, and `web.rs`. `oauth/authorize*` is every file whose name starts so, anything
/// else the file itself.
fn within(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match (place.strip_suffix('*'), place.strip_suffix('/')) {
        (Some(start), _) => file.starts_with(start),
        (None, Some(room)) => file.starts_with(place) || file.strip_suffix(".rs") == Some(room),
        (None, None) => file == *place,
    })
}
