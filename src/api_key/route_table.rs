//! What a route needs: rows of methods and a path → scopes, and which row is for a request. What no row is for, nobody may (S-K4).
//!
//! A path's pattern is literal, but for `{name}`, which stands for one segment, and `{name...}` at the end, which stands for all that is left
//! behind its slash, be it nothing. The most specific row is the one: from left to right, a word before `{name}` before `{name...}`, in
//! whatever order the rows stand. It alone is asked about the method; a less specific row never steps in for one that it does not name.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::permission::is_word;
use super::route_path;

/// More rows than any API has.
pub const MOST: usize = 1_000;
/// The methods that a row may name; others are for rows with `*`. HEAD is asked as GET is.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Every method.
const ANY: &str = "*";

/// A row as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, or `*` alone.
    pub methods: Vec<String>,
    /// The pattern.
    pub path: String,
    /// Scopes, separated by spaces; none for any credential that is good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which row, counted from 1.
    pub row: usize,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Why there is no row for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// The method or the path can be read in more than one way; how.
    Ambiguous(&'static str),
    /// No row is for it.
    NoRoute,
}

/// The rows; none at all when no table is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable(Vec<Route>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    /// Empty for every method.
    methods: Vec<String>,
    segments: Vec<Segment>,
    scopes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Word(String),
    One,
    Rest,
}

/// How specific a pattern is. Of two that are for the same path, the greater one is the more specific, and equal ones are the same pattern.
type Rank = Vec<u8>;

impl RouteTable {
    /// Reads rows.
    ///
    /// # Errors
    /// The first row that cannot be read, or that says of a path and a method what another one says already.
    pub fn parse(rows: &[Row]) -> Result<Self, Mistake> {
        let mut routes: Vec<Route> = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let mistake = |problem: String| Mistake { row: at + 1, problem };
            if at == MOST {
                return Err(mistake(format!("at most {MOST} rows are allowed")));
            }
            let route = Route {
                methods: methods(&row.methods).map_err(mistake)?,
                segments: pattern(&row.path).map_err(mistake)?,
                scopes: scopes(&row.scope).map_err(mistake)?,
            };
            if let Some(other) = routes.iter().position(|known| known.says_the_same(&route)) {
                return Err(mistake(format!(
                    "row {} is for the same path and method; one of them is needed (a name in braces and the case of letters make no difference)",
                    other + 1
                )));
            }
            routes.push(route);
        }
        Ok(Self(routes))
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a request needs, in words; none for any credential that is good.
    ///
    /// # Errors
    /// When nothing is known of it, or when another reader could take it for another request.
    pub fn needed(&self, method: &str, path: &str) -> Result<&[String], Unrouted> {
        // Methods are case-sensitive (RFC 9110 §9.1), but not everywhere.
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(Unrouted::Ambiguous("the method is not in capital letters"));
        }
        let segments = route_path::segments(path).map_err(Unrouted::Ambiguous)?;
        let Some(found) = self.best(&segments, false) else { return Err(Unrouted::NoRoute) };
        // Whoever minds neither the case of letters nor a slash at the end would see another row.
        let other = with_slash_turned(&segments);
        if self.best(&segments, true).is_some_and(|rank| rank > found)
            || self.best(&other, true).is_some_and(|rank| rank > found)
        {
            return Err(Unrouted::Ambiguous(
                "a more specific route differs from it only by the case of letters or by a slash at its end",
            ));
        }
        let method = if method == "HEAD" { "GET" } else { method };
        let rows = || self.0.iter().filter(|row| row.rank() == found && row.is_for(&segments, false));
        let named = rows().find(|row| row.methods.iter().any(|named| named == method));
        let row = named.or_else(|| rows().find(|row| row.methods.is_empty()));
        row.map(|row| row.scopes.as_slice()).ok_or(Unrouted::NoRoute)
    }

    /// The rank of the most specific pattern for a path, whatever the method.
    fn best(&self, path: &[&str], folded: bool) -> Option<Rank> {
        self.0.iter().filter(|row| row.is_for(path, folded)).map(Route::rank).max()
    }
}

impl Route {
    fn rank(&self) -> Rank {
        let rank = |segment: &Segment| match segment {
            Segment::Word(_) => 2,
            Segment::One => 1,
            Segment::Rest => 0,
        };
        self.segments.iter().map(rank).collect()
    }

    fn is_for(&self, path: &[&str], folded: bool) -> bool {
        let mut left = path.iter();
        for segment in &self.segments {
            let Some(part) = left.next() else { return false };
            let fits = match segment {
                Segment::Word(word) if folded => word.eq_ignore_ascii_case(part),
                Segment::Word(word) => word == part,
                Segment::One => !part.is_empty(),
                Segment::Rest => return true,
            };
            if !fits {
                return false;
            }
        }
        left.next().is_none()
    }

    /// Whether two rows are for the same path and name the same method, or both every method.
    fn says_the_same(&self, other: &Self) -> bool {
        let same = |a: &Segment, b: &Segment| match (a, b) {
            (Segment::Word(a), Segment::Word(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        };
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(a, b)| same(a, b))
            && (self.methods.is_empty() == other.methods.is_empty())
            && (self.methods.is_empty() || self.methods.iter().any(|method| other.methods.contains(method)))
    }
}

fn with_slash_turned<'a>(path: &[&'a str]) -> Vec<&'a str> {
    let mut other = path.to_vec();
    if other.last().is_some_and(|last| last.is_empty()) {
        other.pop();
    } else {
        other.push("");
    }
    other
}

fn methods(written: &[String]) -> Result<Vec<String>, String> {
    let allowed = || format!("{} or \"*\" alone is allowed; HEAD follows GET", METHODS.join(", "));
    match written {
        [] => Err(format!("methods: at least one is needed; {}", allowed())),
        [only] if only == ANY => Ok(Vec::new()),
        named => match named.iter().find(|method| !METHODS.contains(&method.as_str())) {
            Some(wrong) => Err(format!("methods: \"{wrong}\" is not allowed here; {}", allowed())),
            None => Ok(named.to_vec()),
        },
    }
}

fn scopes(written: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = written.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    match words.iter().find(|word| !is_word(word)) {
        Some(wrong) => Err(format!(
            "scope: \"{wrong}\" is no scope; resource:action is needed, such as instances:read, several separated by spaces, or nothing for any valid credential"
        )),
        None => Ok(words),
    }
}

fn pattern(written: &str) -> Result<Vec<Segment>, String> {
    let wrong = |problem: &str| {
        Err(format!(
            "path: \"{written}\": {problem}; segments of letters, digits, \"-\", \".\", \"_\" and \"~\" are allowed, {{name}} for one segment, and {{name...}} at the end for all that is left"
        ))
    };
    let Some(rest) = written.strip_prefix('/') else { return wrong("it does not begin with /") };
    let parts: Vec<&str> = rest.split('/').collect();
    let mut names = HashSet::new();
    let mut segments = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        let segment = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None if part.is_empty() && !is_last => return wrong("it has //"),
            // Such a path is never looked up.
            None if part.ends_with('.') => return wrong("a segment ends with a dot"),
            None if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) => {
                return wrong("a segment has another character");
            }
            None => Segment::Word((*part).to_owned()),
            Some(inner) => {
                let (name, segment) = match inner.strip_suffix("...") {
                    Some(_) if !is_last => {
                        return wrong("{name...} stands for all that is left, so only at the end");
                    }
                    Some(name) => (name, Segment::Rest),
                    None => (inner, Segment::One),
                };
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    return wrong("letters, digits and _ are needed within braces");
                }
                if !names.insert(name) {
                    return wrong("a name stands in it twice");
                }
                segment
            }
        };
        segments.push(segment);
    }
    Ok(segments)
}
