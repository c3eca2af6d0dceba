//! Redirect URIs: which may be registered, which presented one is the registered one, and how its origin is written.
//!
//! A presented URI is compared byte for byte, before anything is parsed (RFC 9700 §4.1.3); the one exception is the port of a
//! loopback address (RFC 8252 §7.3). Nothing is normalised, decoded or repaired. Whether a person is asked, and where an
//! answer goes, is decided in `authorize.rs`.

use url::Url;

use super::client::{ApplicationType, Client, ClientMetadata};
use super::web_address::{MAX_BYTES, WebAddress, is_legal, port_and_rest, scheme};

/// Loopback addresses whose port may vary. `localhost` is not one: a resolver may send it elsewhere (RFC 8252 §8.3).
const LOOPBACK_ADDRESSES: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// What `any_loopback_redirect` opens.
const LOOPBACK_NAMES: [&str; 3] = ["http://localhost", "http://127.0.0.1", "http://[::1]"];

/// Whether `presented` is one of the client's redirect URIs (S-A1 to S-A8).
pub fn matches(client: &Client, presented: &str) -> bool {
    let registered = &client.metadata.redirect_uris;
    registered.iter().any(|uri| uri == presented || differs_in_loopback_port_only(uri, presented))
        || client.metadata.any_loopback_redirect && is_any_loopback(presented)
}

/// The registered URI of a client that has exactly one: what stands in when a request leaves `redirect_uri` out
/// (RFC 6749 §3.1.2.3).
pub fn sole(client: &Client) -> Option<&str> {
    match client.metadata.redirect_uris.as_slice() {
        [only] if !client.metadata.any_loopback_redirect => Some(only),
        _ => None,
    }
}

/// The web origin of a URI as a browser's `Origin` header spells it (RFC 6454 §6.2); `None` for custom schemes and for
/// anything that could not have been registered.
pub fn origin(uri: &str) -> Option<String> {
    WebAddress::read(uri)?;
    Some(Url::parse(uri).ok()?.origin().ascii_serialization())
}

/// The source that lets a form's answer lead to this URI in CSP's `form-action`: an origin, or a scheme.
///
/// CSP has no spelling for an IPv6 address (its `host-char` is letters, digits and `-`), so `[::1]` opens `http:`. What
/// could not have been registered opens nothing.
pub fn form_action_source(uri: &str) -> String {
    match (WebAddress::read(uri), scheme(uri)) {
        (Some(web), _) if web.host.starts_with('[') => if web.secure { "https:" } else { "http:" }.to_owned(),
        (Some(_), _) => origin(uri).unwrap_or_else(|| "'none'".to_owned()),
        (None, Some(scheme)) if scheme.contains('.') => format!("{scheme}:"),
        (None, _) => "'none'".to_owned(),
    }
}

/// Whether nobody can tell that it is this client who listens there, so that consent is asked every time (S-A33): a public
/// client that is native, or whose URI has a custom scheme or a loopback address with any port.
pub fn is_unassured(client: &Client, presented: &str) -> bool {
    client.is_public() && is_unassured_for(&client.metadata, presented)
}

/// The part of [`is_unassured`] that registration asks too, before there is a client.
pub(super) fn is_unassured_for(metadata: &ClientMetadata, uri: &str) -> bool {
    if metadata.any_loopback_redirect {
        return false; // `serve --dev` only: there is no one to deceive
    }
    metadata.application_type == ApplicationType::Native
        || WebAddress::read(uri).is_none()
        || metadata.redirect_uris.iter().any(|registered| {
            loopback_without_port(registered).is_some()
                && (registered == uri || differs_in_loopback_port_only(registered, uri))
        })
}

/// What a consent page calls the place that an answer goes to: the host with its port, or the scheme where there is none.
pub fn shown_host(uri: &str) -> String {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    match rest.strip_prefix("//").and_then(|r| r.split(['/', '?']).next()).filter(|host| !host.is_empty()) {
        Some(host) if matches!(scheme, "http" | "https") => host.to_owned(),
        _ => scheme.to_owned(),
    }
}

/// Whether an origin is a page of this machine: what `any_loopback_redirect` clients may read answers from.
pub fn is_loopback_origin(origin: &str) -> bool {
    origin.len() <= 64 && is_any_loopback(origin) && self::origin(origin).as_deref() == Some(origin)
}

/// Whether a URI may be registered as a place where answers go (S-G2); the error says what is allowed.
///
/// `custom_scheme` is whether this client may have a private-use scheme (RFC 8252 §7.1).
pub(super) fn check(uri: &str, custom_scheme: bool) -> Result<(), &'static str> {
    if uri.len() > MAX_BYTES {
        return Err("at most 2048 bytes are allowed");
    }
    if uri.contains('*') {
        return Err("no wildcard is allowed: list every URI in full");
    }
    if uri.contains('#') {
        return Err("no fragment (#) is allowed");
    }
    if !uri.bytes().all(is_legal) {
        return Err("only the characters of RFC 3986 are allowed; escape others with %");
    }
    let (Some(scheme), Some((_, after))) = (scheme(uri), uri.split_once(':')) else {
        return Err("an absolute URI is allowed, such as https://app.example/callback");
    };
    if after.strip_prefix("//").is_some_and(|a| a.split(['/', '?']).next().is_some_and(|a| a.contains('@'))) {
        return Err("no user information (@) is allowed in front of the host");
    }
    if has_dot_segment(after) {
        return Err("no . or .. segments are allowed in the path");
    }
    match scheme {
        "https" if WebAddress::read(uri).is_some() => Ok(()),
        "http" if LOOPBACK_NAMES.iter().any(|name| beyond_authority(name, uri).is_some()) => Ok(()),
        "http" => Err("https is allowed; http only for 127.0.0.1, [::1] and localhost"),
        "https" => Err("https:// and a host name or address in its plain spelling are allowed"),
        custom if custom_scheme && custom.contains('.') => Ok(()),
        _ if custom_scheme => {
            Err("https, http for loopback, or a scheme with a dot (com.example.app) is allowed")
        }
        _ => Err(
            "https is allowed, or http for loopback; a scheme of its own only for a native or public client",
        ),
    }
}

/// RFC 8252 §7.3: "The authorization server MUST allow any port to be specified at the time of the request for loopback IP
/// redirect URIs"; registered without a port, all else equal.
fn differs_in_loopback_port_only(registered: &str, presented: &str) -> bool {
    loopback_without_port(registered).is_some_and(|(address, rest)| {
        presented.strip_prefix(address).and_then(port_and_rest).is_some_and(|(_, beyond)| beyond == rest)
    })
}

/// A registered loopback URI without a port, as its address and what follows.
fn loopback_without_port(registered: &str) -> Option<(&'static str, &str)> {
    LOOPBACK_ADDRESSES
        .into_iter()
        .find_map(|address| Some((address, registered.strip_prefix(address)?)))
        .filter(|(_, rest)| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn is_any_loopback(presented: &str) -> bool {
    presented.len() <= MAX_BYTES
        && presented.bytes().all(is_legal)
        && LOOPBACK_NAMES.iter().any(|name| beyond_authority(name, presented).is_some())
}

/// Path and query behind `name` and its optional port; `None` when the authority goes on (`localhost.evil`, `localhost@evil`).
fn beyond_authority<'a>(name: &str, uri: &'a str) -> Option<&'a str> {
    let after = uri.strip_prefix(name)?;
    let beyond = if after.starts_with(':') { port_and_rest(after)?.1 } else { after };
    (beyond.is_empty() || beyond.starts_with(['/', '?'])).then_some(beyond)
}

/// Browsers resolve these, and `%2e` like them, so the address that opens is not the one that was read.
fn has_dot_segment(uri: &str) -> bool {
    let path = uri.split('?').next().unwrap_or(uri).to_ascii_lowercase().replace("%2e", ".");
    path.split('/').any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::oauth::client::AuthMethod;

    fn client(redirect_uris: &[&str]) -> Client {
        let metadata = json!({
            "client_name": "App", "token_endpoint_auth_method": "none", "redirect_uris": redirect_uris,
        });
        Client {
            id: "app".parse().unwrap(),
            metadata: serde_json::from_value(metadata).unwrap(),
            secrets: Vec::new(),
            created_at: Timestamp::from_secs(0),
            disabled_at: None,
        }
    }

    const REGISTERED: &str = "https://app.example/cb";

    // S-A1 to S-A6: each row is what an attacker tries against REGISTERED.
    const FORGED: &str = "https://app.example/cb/ https://app.example/cb2 https://app.example/cb/x https://app.example/c \
        https://app.example/cb? https://app.example/cb# https://app.example/cb?a=b https://app.example/cb#a \
        https://app.example/cb&a=b https://app.example https://app.example/ https://app.example/cb.evil \
        https://app.example.evil/cb https://app.example.evil.example/cb https://evilapp.example/cb \
        https://evil.example/app.example/cb https://evil.example/?https://app.example/cb \
        https://app.example@evil.example/cb https://evil@app.example/cb https://a:b@app.example/cb \
        https://app.example./cb https://x.app.example/cb https://app.example:443/cb \
        https://app.example:8443/cb https://app.example:/cb https://app.example:443@evil.example/cb \
        https://app.example/x/../cb https://app.example/./cb https://app.example/cb/.. \
        https://app.example//cb https://app.example/%2e/cb https://app.example/%2e%2e/cb \
        https://app.example/x/%252e%252e/cb https://app.example/x/..;/cb https://app.example/%63b \
        https://app.example%2fcb https://app.example\\cb https:\\\\app.example\\cb \
        https://evil.example\\@app.example/cb https://app\u{ff0e}example/cb https://app.example/cb\u{202e} \
        HTTPS://app.example/cb https://APP.example/cb https://app.example/CB http://app.example/cb \
        //app.example/cb";

    const FORGED_WITH_SPACE: [&str; 6] = [
        "https://app.example/cb\t",
        "https://app.example/\tcb",
        "https://app.example/cb\0",
        "https://app.example/cb\r\n",
        "https://app.example/cb ",
        " https://app.example/cb",
    ];

    #[test]
    fn only_the_registered_bytes_match() {
        let app = client(&[REGISTERED]);
        assert!(matches(&app, REGISTERED));
        for forged in FORGED.split_whitespace().chain(FORGED_WITH_SPACE) {
            assert!(!matches(&app, forged), "{forged:?}");
        }
        for other in ["", "/cb", "cb", "javascript:alert(1)", "data:text/html,x", "app.example:/cb"] {
            assert!(!matches(&app, other), "{other:?}");
        }
        let query = client(&["https://app.example/cb?a=1"]);
        assert!(matches(&query, "https://app.example/cb?a=1"), "R62");
        for other in
            ["https://app.example/cb", "https://app.example/cb?a=2", "https://app.example/cb?a=1&b=2"]
        {
            assert!(!matches(&query, other), "{other:?}");
        }
    }

    #[test]
    fn the_port_of_a_loopback_address_is_free_and_nothing_else_is() {
        let v4 = client(&["http://127.0.0.1/cb", "http://[::1]/cb?x=1"]);
        for uri in [
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:65535/cb",
            "http://[::1]:80/cb?x=1",
        ] {
            assert!(matches(&v4, uri), "{uri}");
        }
        let refused = "http://127.0.0.1:0/cb http://127.0.0.1:080/cb http://127.0.0.1:65536/cb http://127.0.0.1:/cb \
            http://127.0.0.1:+1/cb http://127.0.0.1:1/cb/ http://127.0.0.1:1/cb? http://127.0.0.1:1/cb# \
            http://127.0.0.1:1 https://127.0.0.1:1/cb http://127.0.0.1:1@evil/cb http://127.0.0.1@evil/cb \
            http://127.0.0.1:1.evil/cb http://127.0.0.1.evil:1/cb http://127.0.0.2:1/cb http://127.1:1/cb \
            http://2130706433:1/cb http://2130706433/cb http://0x7f.0.0.1:1/cb http://localhost/cb \
            http://localhost:1/cb http://localhost.evil:1/cb http://[::1]:1/cb http://[0::1]:1/cb?x=1 \
            http://[::ffff:127.0.0.1]:1/cb http://127.0.0.1:1\\@evil/cb http://127.0.0.1:\u{661}/cb";
        for uri in refused.split_whitespace() {
            assert!(!matches(&v4, uri), "{uri}");
        }
        let fixed = client(&["http://127.0.0.1:8080/cb", "http://localhost/cb", "http://127.0.0.1.evil/cb"]);
        for uri in ["http://127.0.0.1:8081/cb", "http://localhost:1/cb", "http://127.0.0.1:1.evil/cb"] {
            assert!(!matches(&fixed, uri), "{uri}");
        }
        assert!(matches(&client(&["http://127.0.0.1"]), "http://127.0.0.1:4242"));
        assert!(matches(&client(&["http://localhost:4242"]), "http://localhost:4242"), "C29: without a path");
    }

    #[test]
    fn a_development_client_takes_any_loopback_address_and_no_other() {
        let mut dev = client(&[]);
        dev.metadata.any_loopback_redirect = true;
        for uri in
            ["http://localhost", "http://localhost:4242", "http://127.0.0.1:1/a/b?c=d", "http://[::1]/"]
        {
            assert!(matches(&dev, uri), "{uri}");
        }
        let refused = "http://localhost.evil/ http://localhost@evil/ http://localhost:1@evil/ http://localhost:x@evil/ \
            http://127.0.0.1@evil/ http://2130706433/ https://localhost/ http://localhost/# http://localhost/\\ \
            http://localhost\\@evil/ http://localhost%2eevil/";
        for uri in refused.split_whitespace().chain(["http://localhost/ ", "http://localhost/\r\n", ""]) {
            assert!(!matches(&dev, uri), "{uri:?}");
        }
        assert!(!matches(&dev, &format!("http://localhost/{}", "a".repeat(MAX_BYTES))));
        assert_eq!(sole(&dev), None);
    }

    #[test]
    fn only_a_client_with_one_uri_may_leave_it_out() {
        assert_eq!(sole(&client(&[REGISTERED])), Some(REGISTERED));
        assert_eq!(sole(&client(&[REGISTERED, "https://b.example/"])), None);
    }

    #[test]
    fn origins_and_form_targets_are_what_browsers_compare() {
        for (uri, expected, source) in [
            ("https://App.example/cb?x", Some("https://app.example"), "https://app.example"),
            ("https://app.example:443/", Some("https://app.example"), "https://app.example"),
            ("http://127.0.0.1:81/cb", Some("http://127.0.0.1:81"), "http://127.0.0.1:81"),
            ("http://[::1]:81/cb", Some("http://[::1]:81"), "http:"),
            ("com.example.app:/cb", None, "com.example.app:"),
            ("https://a;script-src.example/", None, "'none'"),
            ("javascript:alert(1)", None, "'none'"),
            ("", None, "'none'"),
        ] {
            assert_eq!(
                (origin(uri).as_deref(), form_action_source(uri).as_str()),
                (expected, source),
                "{uri}"
            );
        }
    }

    #[test]
    fn consent_is_asked_every_time_where_the_listener_is_not_known() {
        let mut app =
            client(&[REGISTERED, "http://127.0.0.1/cb", "com.example.app:/cb", "http://localhost:1/cb"]);
        let unassured = ["http://127.0.0.1/cb", "http://127.0.0.1:9/cb", "com.example.app:/cb"];
        for uri in unassured {
            assert!(is_unassured(&app, uri), "S-A33: {uri}");
        }
        assert!(!is_unassured(&app, REGISTERED) && !is_unassured(&app, "http://localhost:1/cb"));
        app.metadata.application_type = ApplicationType::Native;
        assert!(is_unassured(&app, REGISTERED));
        app.metadata.token_endpoint_auth_method = AuthMethod::ClientSecretBasic;
        assert!(
            unassured.iter().all(|uri| !is_unassured(&app, uri)),
            "a client with a secret proves who it is"
        );
    }

    proptest! {
        #[test]
        fn a_matching_uri_leads_to_a_registered_host(
            base in 0_usize..4, at in 0_usize..40, cut in 0_usize..4, dev: bool,
            insert in "(|[@.:/?#\\\\]|%2e|:80|:1@|\t|\u{ff0e}|evil|//|[0-9]{1,6}|\\PC{0,3}){0,4}",
        ) {
            let registered = [REGISTERED, "http://127.0.0.1/cb", "http://[::1]", "http://127.0.0.1:80/cb?x=1"];
            let mut app = client(&registered);
            app.metadata.any_loopback_redirect = dev;
            let base: Vec<char> = registered[base].chars().collect();
            let at = at.min(base.len());
            let tail = &base[(at + cut).min(base.len())..];
            let presented: String = base[..at].iter().copied().chain(insert.chars()).chain(tail.iter().copied()).collect();
            if matches(&app, &presented) {
                let host = Url::parse(&presented).unwrap().host_str().unwrap().to_owned();
                prop_assert!(["app.example", "127.0.0.1", "[::1]"].contains(&host.as_str()), "{presented} leads to {host}");
            }
            prop_assert!(!form_action_source(&presented).contains([';', ',', ' ', '*']));
        }
    }
}
