//! Form-encoded parameters: what is taken is what the URL standard's parser reads, and what is refused is refused for one of four reasons.

use cnx::oauth::params::Params;

pub(super) const WORDS: &[&str] =
    &["&", "=", "+", "%", "%00", "%ff", "%26", "%3d", "%c3%a9", "resource", "a=1&", "state=", "&&", "\0"];

pub(super) fn run(data: &[u8]) -> bool {
    let raw: Vec<&[u8]> = data.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).collect();
    let theirs: Vec<(String, String)> = url::form_urlencoded::parse(data).into_owned().collect();
    let Ok(params) = Params::parse(data) else {
        let faulty = raw.len() > 128
            || raw.iter().any(|pair| has_bad_escape(pair))
            || theirs.iter().any(|(name, value)| {
                // Where the standard's parser met bytes that are no UTF-8, it put U+FFFD.
                [name, value].iter().any(|text| text.contains(['\0', '\u{fffd}']))
            });
        assert!(faulty, "nothing is wrong with it");
        return false;
    };
    let ours: Vec<(String, String)> =
        params.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(ours, theirs, "two readers, two readings");
    assert!(ours.len() <= 128 && !raw.iter().any(|pair| has_bad_escape(pair)));
    assert!(ours.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));

    let mut repeated = false;
    for (name, _) in &ours {
        let values: Vec<&str> = ours.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        assert_eq!(params.is_repeated(name), values.len() > 1, "{name:?}");
        assert_eq!(params.get(name), values.first().copied().filter(|v| !v.is_empty()), "{name:?}");
        let given: Vec<&str> = values.into_iter().filter(|v| !v.is_empty()).collect();
        assert_eq!(params.all(name).collect::<Vec<_>>(), given, "{name:?}");
        repeated |= name != "resource" && params.is_repeated(name);
    }
    assert_eq!(params.refuse_repeated().is_err(), repeated);

    let again = Params::parse(params.to_query().as_bytes()).expect("what was written is read");
    let again: Vec<(String, String)> =
        again.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // A pair without name and value is written as nothing but an equals sign, and read again as one.
    assert_eq!(again, ours, "written and read again");
    true
}

fn has_bad_escape(pair: &[u8]) -> bool {
    pair.iter().enumerate().any(|(at, b)| {
        *b == b'%' && !pair.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}
