//! Who may call `/v1`: a bearer access token, or an API key, with the scope for it. A key may look and ask, and never mint, change or
//! widen keys: whoever holds one would otherwise hold all.

use actix_web::http::header::HeaderName;

use super::Problem;
use crate::api_key::permission::is_word;
use crate::api_key::plan::Class;
use crate::app::App;
use crate::flow::check::{Allowed, Asked, Verdict, check};
use crate::flow::explain;
use crate::oauth::params::Params;
use crate::web::arrived::Arrived;
use crate::web::{extract, refuse};

/// What a key may be used for at `/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A key or a token.
    Anybody,
    /// A token only.
    TokenOnly,
}

/// The scope of who asks about the keys of others: an API or a gateway, with every request that it gets. Its questions are not counted
/// among its own reads and writes.
const ASKING: &str = "keys:verify";

/// The caller, when it may do what needs `scope`. What a key does here counts as anywhere else; the answer tells it ([`super::answer`]).
pub(super) async fn caller(app: &App, req: &impl Arrived, scope: &str, by: By) -> Result<Allowed, Problem> {
    let asked = Asked {
        credential: credential(req)?,
        scopes: &[scope],
        address: extract::address(app, req),
        class: (scope != ASKING).then(|| Class::of(req.head().method.as_str())),
        cost: 1,
        resource: Some("/v1"),
        for_us: true,
        ..Asked::default()
    };
    let now = app.now();
    let verdict = check(app, &asked, now).await.map_err(|error| refuse::problem_of(&error))?;
    let limit = match &verdict {
        Verdict::Allowed(allowed) => allowed.limit,
        Verdict::Refused { limit, .. } => *limit,
    };
    if let Some(limit) = limit {
        req.note(limit);
    }
    match verdict {
        Verdict::Allowed(allowed) if by == By::TokenOnly && allowed.key.is_some() => Err(Problem::new(
            403,
            "key_not_allowed",
            "an API key cannot make or change keys; an access token is needed",
        )),
        Verdict::Allowed(allowed) => Ok(*allowed),
        Verdict::Refused { refusal, limit, key } => {
            explain::note(app, &asked, (&refusal, key.as_deref()), &extract::caller(app, req), now);
            Err(refuse::refusal_of(&refusal, limit))
        }
    }
}

/// Refuses words that no scope can be, so that a mistake of a gateway's settings says so.
pub(in crate::web) fn wanted<'a>(
    field: &'static str,
    words: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'a str>, Problem> {
    words
        .map(|word| {
            if is_word(word) {
                return Ok(word);
            }
            let shown = word.chars().take(64).collect::<String>();
            let problem = format!(
                "{field}: {}: resource:action is needed, such as instances:read",
                shown.escape_debug()
            );
            Err(Problem { field: Some(field), ..Problem::invalid(problem) })
        })
        .collect()
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The one credential of a request: `Authorization: Bearer`, or `X-API-Key`; both at once are refused, and so is one in the address (S-K3).
pub(in crate::web) fn credential(req: &impl Arrived) -> Result<&str, Problem> {
    none_in_address(req.query_string())?;
    let mut keys = req.head().headers().get_all(&X_API_KEY);
    let key = keys.next();
    let authorization = extract::authorization(req).map_err(|error| refuse::problem_of(&error))?;
    match (key, keys.next(), authorization) {
        (Some(_), Some(_), _) => Err(Problem::invalid("X-API-Key is repeated")),
        (Some(_), None, Some(_)) => {
            Err(Problem::invalid("Authorization and X-API-Key came together; send one"))
        }
        (Some(value), None, None) => {
            value.to_str().map_err(|_| Problem::invalid("X-API-Key has a character that is not ASCII"))
        }
        (None, _, Some(value)) => match value
            .split_once(' ')
            .map(|(scheme, token)| (scheme, token.trim_ascii()))
        {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
            _ => Err(missing()),
        },
        (None, _, None) => Err(missing()),
    }
}

/// Refuses a query that holds a key or a token (S-K3): an address ends up in logs.
pub(in crate::web) fn none_in_address(query: &str) -> Result<(), Problem> {
    // There is a k in each of the names. Most queries have none, not even an encoded one, and need no closer look.
    if !query.bytes().any(|b| matches!(b, b'k' | b'%')) {
        return Ok(());
    }
    let is_there = Params::parse(query.as_bytes()).is_ok_and(|params| {
        ["access_token", "api_key", "apikey", "key"]
            .iter()
            .any(|name| params.all(name).any(|value| value.starts_with("cnx_") || *name == "access_token"))
    });
    if is_there {
        return Err(Problem {
            challenge: Some(r#"Bearer realm="cnx", error="invalid_request""#.to_owned()),
            ..Problem::new(
                401,
                "credential_in_address",
                "a key or token may not stand in the address: it ends up in logs",
            )
        });
    }
    Ok(())
}

/// No credential: a challenge without an error (RFC 6750 §3.1).
fn missing() -> Problem {
    Problem {
        challenge: Some(r#"Bearer realm="cnx""#.to_owned()),
        ..Problem::new(401, "unauthorized", "an API key or an access token is needed")
    }
}

/// The value of a header that came once.
pub(in crate::web) fn single<'a>(req: &'a impl Arrived, name: &HeaderName) -> Option<&'a str> {
    let mut all = req.head().headers().get_all(name);
    let first = all.next()?;
    if all.next().is_some() { None } else { first.to_str().ok() }
}
