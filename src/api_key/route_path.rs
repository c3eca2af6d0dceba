//! The path of a request, when it decides what is needed. Only one that every reader takes for the same: a proxy, this server and the API
//! behind may each decode, join and fold a path in their own way, and a path that means two things would get past the row that was written
//! for it (CWE-436; RFC 3986 §6.2.2 lists what normalisation may change).

/// Why a path is not looked up.
pub type Problem = &'static str;

/// The segments of a path that can be read in one way only.
///
/// # Errors
/// What in it could be read in two ways.
pub fn segments(path: &str) -> Result<Vec<&str>, Problem> {
    let Some(rest) = path.strip_prefix('/') else { return Err("it does not begin with /") };
    if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("it has a character that is not printable ASCII");
    }
    if path.bytes().any(|byte| !is_plain(byte)) {
        return Err("it has a character that must be encoded in a path, or a backslash or semicolon");
    }
    encodings(path)?;
    let all: Vec<&str> = rest.split('/').collect();
    let inner = all.len().saturating_sub(1);
    if all.iter().take(inner).any(|segment| segment.is_empty()) {
        return Err("it has //");
    }
    // `.` and `..` go away when a path is joined, and some file systems take dots and spaces off a name's end.
    if all.iter().any(|segment| segment.ends_with('.')) {
        return Err("it has a segment that is . or .., or ends with a dot");
    }
    if all.iter().any(|segment| segment.starts_with("%20") || segment.ends_with("%20")) {
        return Err("it has a segment that begins or ends with an encoded space");
    }
    Ok(all)
}

/// What may stand in a path as it is (RFC 3986 §3.3), without the `;` that some readers cut a segment at.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@%/".contains(&byte)
}

/// Refuses encodings that another reader may take for something else: of characters that need none (`%61` is `a`), of those that cut a
/// path up (`/`, `\`, `;`, `?`, `#`), of `%` itself, of control characters and of all that is not ASCII.
fn encodings(path: &str) -> Result<(), Problem> {
    for after in path.split('%').skip(1) {
        let hex = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            return Err("it has a % that no two hexadecimal digits follow");
        };
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved || b"/\\;?#%".contains(&byte) || byte.is_ascii_control() || !byte.is_ascii() {
            return Err(
                "it has an encoded letter, digit, dot, slash, backslash, semicolon, ?, #, %, control character or character outside ASCII",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_reads_in_one_way_is_taken_apart() {
        for (path, expected) in [
            ("/", vec![""]),
            ("/v1", vec!["v1"]),
            ("/v1/instances/", vec!["v1", "instances", ""]),
            ("/v1/a.b/..c/.hidden/~x", vec!["v1", "a.b", "..c", ".hidden", "~x"]),
            ("/v1/urn%3Aa%40b:c@d,e=f", vec!["v1", "urn%3Aa%40b:c@d,e=f"]),
            ("/v1/two%20words", vec!["v1", "two%20words"]),
        ] {
            assert_eq!(segments(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_reads_in_two_ways_is_refused_s_k4() {
        for path in [
            "",
            "v1",
            "*",
            "http://api.example.com/v1",
            "//v1",
            "/v1//instances",
            "/v1/./instances",
            "/v1/../admin",
            "/v1/..",
            "/v1/.",
            "/v1/admin.",
            "/v1/admin%20",
            "/v1/%20admin",
            "/v1/%2e%2e/admin",
            "/v1/.%2E/admin",
            "/v1%2Fadmin",
            "/v1%2fadmin",
            "/v1%5Cadmin",
            "/v1\\admin",
            "/v1/%61dmin",
            "/v1/%2561dmin",
            "/v1/x;y=z",
            "/v1/x%3By",
            "/v1/x%3Fy",
            "/v1/x%23y",
            "/v1/x#y",
            "/v1/x?y",
            "/v1/x%00",
            "/v1/x%0Ay",
            "/v1/x%7F",
            "/v1/%C3%A4",
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/%EF%BC%8Fadmin",
            "/v1/\u{e4}",
            "/v1/a b",
            "/v1/a\tb",
            "/v1/a\"b",
            "/v1/a|b",
            "/v1/{id}",
            "/v1/%",
            "/v1/%2",
            "/v1/%zz",
            "/v1/%u002f",
        ] {
            assert!(segments(path).is_err(), "{path}");
        }
    }
}
