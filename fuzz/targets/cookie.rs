//! The lines of a `Cookie` header: ours is found whatever stands beside it.

use cnx::web::cookies::value;

pub(super) const WORDS: &[&str] = &[
    "cnx_session",
    "cnx_session=",
    "=",
    ";",
    "; ",
    "\n",
    "\"",
    "__Host-cnx_session=",
    "CNX_SESSION=",
    "%20",
    "\u{e9}",
    "==",
    " ",
    "\t",
    ",",
];

const NAME: &str = "cnx_session";

pub(super) fn run(data: &[u8]) -> bool {
    let lines: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    let found = value(lines.iter().copied(), NAME);
    assert_eq!(found, plainly(data), "{}", data.escape_ascii());
    if let Some(found) = &found {
        assert!(found.len() <= 256 && !found.contains([';', '\n']));
        let alone = format!("{NAME}={found}");
        assert_eq!(value([alone.as_bytes()], NAME).as_ref(), Some(found), "written and read again");
    }
    // Somebody else's cookie, whatever it is.
    let theirs: Vec<u8> = data.iter().copied().filter(|b| !b";\n".contains(b)).collect();
    let line = [b"x_", theirs.as_slice(), b"; cnx_session=ours"].concat();
    assert_eq!(value([line.as_slice()], NAME).as_deref(), Some("ours"), "{}", line.escape_ascii());
    let line = [b"cnx_session=ours; ", theirs.as_slice()].concat();
    assert_eq!(value([line.as_slice()], NAME).as_deref(), Some("ours"), "{}", line.escape_ascii());
    found.is_some()
}

/// The same with each byte as a character of its own.
fn plainly(data: &[u8]) -> Option<String> {
    let text: String = data.iter().copied().map(char::from).collect();
    let blank = |c: char| c.is_ascii_whitespace();
    for pair in text.split(['\n', ';']) {
        if let Some((name, value)) = pair.split_once('=')
            && name.trim_matches(blank) == NAME
        {
            let bytes: Vec<u8> =
                value.trim_matches(blank).chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
            return String::from_utf8(bytes).ok().filter(|value| value.len() <= 256);
        }
    }
    None
}
