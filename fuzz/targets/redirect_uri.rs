//! Presented redirect URIs: only what is registered is one, told by a second rule that builds what may be presented instead of taking it
//! apart.

use cnx::base::time::Timestamp;
use cnx::oauth::client::Client;
use cnx::oauth::redirect_uri;
use url::Url;

pub(super) const WORDS: &[&str] = &[
    "https://app.example",
    "http://127.0.0.1",
    "http://[::1]",
    "http://localhost",
    "com.example.app:/",
    "/cb",
    "?x=1",
    ":80",
    ":0",
    ":080",
    ":65535",
    ":65536",
    "@",
    "evil.example",
    "\\",
    "%2e",
    "..",
    "#",
    "//",
    "\t",
    "\u{ff0e}",
    "[::ffff:127.0.0.1]",
];

/// What is registered: every form that may be.
pub(super) const REGISTERED: [&str; 7] = [
    "https://app.example/cb",
    "https://app.example/cb?tenant=1",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:80/fixed",
    "http://[::1]?x=1",
    "http://localhost/cb",
    "com.example.app:/cb",
];

pub(super) fn client(public: bool) -> Client {
    let method = if public { "none" } else { "client_secret_basic" };
    let metadata = serde_json::json!({
        "client_name": "App", "token_endpoint_auth_method": method, "redirect_uris": REGISTERED,
        "scope": "openid email read", "grant_types": ["authorization_code", "refresh_token"],
    });
    Client {
        id: if public { "public" } else { "app" }.parse().expect("it is an id"),
        metadata: serde_json::from_value(metadata).expect("it is a client"),
        secrets: Vec::new(),
        created_at: Timestamp::from_secs(0),
        disabled_at: None,
    }
}

/// Whether a URI is registered: letter by letter, or as what a registered loopback address is with the presented port put in (RFC 8252 §7.3).
pub(super) fn is_registered(presented: &str) -> bool {
    REGISTERED.contains(&presented)
        || ["http://127.0.0.1", "http://[::1]"].iter().any(|address| {
            let port = Url::parse(presented).ok().and_then(|url| url.port_or_known_default());
            let rests = REGISTERED.iter().filter_map(|uri| uri.strip_prefix(address));
            let mut rests = rests.filter(|rest| !rest.starts_with(':'));
            port.is_some_and(|port| {
                port > 0 && rests.any(|rest| format!("{address}:{port}{rest}") == presented)
            })
        })
}

pub(super) fn run(data: &[u8]) -> bool {
    let Ok(presented) = std::str::from_utf8(data) else { return false };
    let app = client(true);
    let taken = redirect_uri::matches(&app, presented);
    assert_eq!(taken, is_registered(presented), "{presented:?}");

    // A client under development takes every loopback address; a browser must then stay on this machine.
    let mut developed = client(true);
    developed.metadata.redirect_uris.clear();
    developed.metadata.any_loopback_redirect = true;
    if redirect_uri::matches(&developed, presented) {
        let url = Url::parse(presented).expect("what is taken is a URL");
        assert!(matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")), "{presented:?}");
        assert!(
            url.scheme() == "http" && url.username().is_empty() && url.fragment().is_none(),
            "{presented:?}"
        );
    }

    // What goes into a header of ours leaves it as it was: one source, nothing behind it.
    let source = redirect_uri::form_action_source(presented);
    assert!(!source.contains([';', ',', ' ', '*', '\n', '\r']), "{source:?}");
    if let Some(origin) = redirect_uri::origin(presented) {
        let url = Url::parse(presented).expect("what has an origin is a URL");
        assert_eq!(origin, url.origin().ascii_serialization());
    }
    if redirect_uri::is_loopback_origin(presented) {
        let url = Url::parse(presented).expect("an origin is a URL");
        assert!(matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")), "{presented:?}");
        assert!(url.path() == "/" && !presented.ends_with('/'), "{presented:?}");
    }
    taken
}
