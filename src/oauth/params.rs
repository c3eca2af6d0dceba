//! Request parameters as RFC 6749 §3.1 reads them: form-encoded pairs, a repeated name is an error, an empty value is no value.

use super::error::OAuthError;

/// The parameters of one request, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// More pairs than any client sends; above it the request is refused (S-A28).
    const MAX_PAIRS: usize = 128;

    /// Reads `application/x-www-form-urlencoded`. Broken UTF-8 and NUL are refused; raw spaces are read as they are (C6).
    ///
    /// Repeated names are kept, and [`Params::refuse_repeated`] refuses them: the authorization endpoint must know first
    /// whether it may answer by redirect.
    pub fn parse(form: &[u8]) -> Result<Self, OAuthError> {
        let mut pairs = Vec::new();
        for pair in form.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
            if pairs.len() == Self::MAX_PAIRS {
                return Err(OAuthError::InvalidRequest("the request has more than 128 parameters".into()));
            }
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, &[][..]),
            };
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The value of `name`; an empty value is no value (RFC 6749 §3.1), and of a repeated name the first is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// Every parameter with its value, in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names, in the order they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The first name that came without a value.
    pub fn without_value(&self) -> Option<&str> {
        self.0.iter().find(|(_, value)| value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Every value of a parameter that may be repeated (`resource`, RFC 8707 §2).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Whether `name` stands there more than once.
    pub fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(n, _)| n == name).count() > 1
    }

    /// "Request and response parameters MUST NOT be included more than once" (RFC 6749 §3.1, §3.2); `resource` may.
    pub fn refuse_repeated(&self) -> Result<(), OAuthError> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if name != "resource" && self.0.iter().skip(i + 1).any(|(n, _)| n == name) {
                let shown = if name.len() <= 40 { name.as_str() } else { "a parameter" };
                return Err(OAuthError::InvalidRequest(format!("{shown} is repeated").into()));
            }
        }
        Ok(())
    }

    /// The pairs as a query string again, for carrying a request through sign-in.
    pub fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

fn decode(part: &[u8]) -> Result<String, OAuthError> {
    let plain = part.iter().take_while(|b| !matches!(b, b'+' | b'%')).count();
    let (plain, rest) = part.split_at(plain);
    let mut bytes = Vec::with_capacity(part.len());
    bytes.extend_from_slice(plain);
    let mut rest = rest.iter().copied();
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'+' => b' ',
            b'%' => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => high * 16 + low,
                _ => {
                    return Err(OAuthError::InvalidRequest(
                        "the request is not form-encoded: bad % escape".into(),
                    ));
                }
            },
            b => b,
        });
    }
    if bytes.contains(&0) {
        return Err(OAuthError::InvalidRequest("the request has a NUL character".into()));
    }
    String::from_utf8(bytes).map_err(|_| OAuthError::InvalidRequest("the request is not UTF-8".into()))
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_no_value_and_a_repeated_name_is_refused() {
        let params = Params::parse(b"a=1&b=&c=x+y%2Fz&d").unwrap();
        assert_eq!(
            (params.get("a"), params.get("b"), params.get("c"), params.get("d")),
            (Some("1"), None, Some("x y/z"), None)
        );
        assert!(params.refuse_repeated().is_ok());
        assert!(Params::parse(b"a=1&a=").unwrap().refuse_repeated().is_err());
        assert!(Params::parse(b"resource=1&resource=2").unwrap().refuse_repeated().is_ok());
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"a=%00"] {
            assert!(Params::parse(bad).is_err());
        }
    }
}
