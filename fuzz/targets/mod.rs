//! What strangers send, each kind as one plain function over bytes: no fuzzer is needed to call it.
//!
//! A target says whether its input was taken, and panics when something is wrong with how it was read. "Nothing panics" alone would let a
//! reader pass that takes everything, so each holds what was read against a second, slower way to come to it, or against what must be
//! true of whatever is taken. The test suite runs every target on its kept inputs and on made-up ones (`tests/it/fuzz.rs`); libFuzzer runs
//! the same functions led by coverage (`fuzz/run`).

mod addresses;
mod api_key;
mod assertion;
mod authorize;
mod cookie;
mod json;
mod params;
mod redirect_uri;
mod scope;
mod seal;
mod settings;

/// One kind of input.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folders below `fuzz/corpus` and `fuzz/findings`.
    pub name: &'static str,
    /// Reads an input; whether it was taken.
    pub run: fn(&[u8]) -> bool,
    /// Pieces that such inputs are made of, for whoever makes them up.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "params", run: params::run, words: params::WORDS },
    Target { name: "scope", run: scope::run, words: scope::WORDS },
    Target { name: "redirect_uri", run: redirect_uri::run, words: redirect_uri::WORDS },
    Target { name: "authorize", run: authorize::run, words: authorize::WORDS },
    Target { name: "client_assertion", run: assertion::run_claims, words: assertion::CLAIM_WORDS },
    Target { name: "jwt_header", run: assertion::run_header, words: assertion::HEADER_WORDS },
    Target { name: "json", run: json::run, words: json::WORDS },
    Target { name: "api_key", run: api_key::run, words: api_key::WORDS },
    Target { name: "cidr", run: addresses::run_networks, words: addresses::WORDS },
    Target { name: "forwarded", run: addresses::run_hops, words: addresses::WORDS },
    Target { name: "cookie", run: cookie::run, words: cookie::WORDS },
    Target { name: "seal", run: seal::run, words: seal::WORDS },
    Target { name: "settings", run: settings::run, words: settings::WORDS },
];

/// An input as its first line and the rest.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|b| *b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
