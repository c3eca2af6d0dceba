//! A form with a file in it (RFC 7578): the few parts of the one kind of form of ours that has one. Bounded before it is read.

/// A part of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The name of its input.
    pub name: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// More parts than a form of ours has.
const MOST: usize = 16;

/// The boundary that a `Content-Type` names (RFC 2046 §5.1.1: 1 to 70 characters).
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (media, parameters) = content_type.split_once(';')?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value.trim_matches('"'))
    })?;
    (1..=70).contains(&named.len()).then_some(named)
}

/// The parts of a body; `None` when it is not one, from its first line to the line that closes it.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let line = format!("--{boundary}");
    let between = format!("\r\n{line}");
    let mut rest = body.strip_prefix(line.as_bytes())?;
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let ends = find(rest, between.as_bytes())?;
        let (part, after) = rest.split_at(ends);
        let head = find(part, b"\r\n\r\n")?;
        let (head, bytes) = part.split_at(head);
        if parts.len() == MOST {
            return None;
        }
        parts.push(Part { name: name(std::str::from_utf8(head).ok()?)?, bytes: bytes.get(4..)? });
        rest = after.get(between.len()..)?;
    }
}

/// The name in `Content-Disposition: form-data; name="…"`.
fn name(head: &str) -> Option<&str> {
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    line.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("name").then_some(value.trim_matches('"'))
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_with_a_file_is_read_and_what_is_none_is_not() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\nabc\r\n\
            --x\r\nContent-Disposition: form-data; name=\"logo\"; filename=\"a;b.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--y\r\n--x--\r\n";
        let read = parts(body, "x").unwrap();
        assert_eq!(read[0], Part { name: "csrf_token", bytes: b"abc" });
        assert_eq!(read[1], Part { name: "logo", bytes: b"\x89PNG\r\n--y" });
        for wrong in [
            &b""[..],
            b"--x",
            b"--x\r\n",
            b"--x\r\n\r\nabc\r\n",
            b"--x\r\nX: y\r\n\r\nabc\r\n--x--",
            b"--y\r\n--y--",
            b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nabc",
        ] {
            assert_eq!(parts(wrong, "x"), None, "{}", wrong.escape_ascii());
        }
        assert_eq!(parts(b"--x--", "x"), Some(Vec::new()));
    }

    #[test]
    fn a_boundary_is_named() {
        assert_eq!(boundary("multipart/form-data; boundary=abc"), Some("abc"));
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Some("a b"));
        for wrong in [
            "multipart/form-data",
            "multipart/mixed; boundary=x",
            "multipart/form-data; boundary=",
            "text/plain",
        ] {
            assert_eq!(boundary(wrong), None, "{wrong}");
        }
    }
}
