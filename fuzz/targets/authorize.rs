//! Authorization requests: whatever is sent, an answer goes to a registered address only, and nothing is granted that may not be asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnx::oauth::authorize::{Authorize, read};
use cnx::oauth::destination::{Delivery, Destination};
use cnx::oauth::error::Refusal;
use cnx::oauth::params::Params;
use cnx::oauth::pkce::Binding;
use url::Url;

use super::redirect_uri::{REGISTERED, client, is_registered};

pub(super) const WORDS: &[&str] = &[
    "&",
    "=",
    "client_id=app",
    "client_id=public",
    "redirect_uri=https://app.example/cb",
    "redirect_uri=http://127.0.0.1:99/cb",
    "response_type=code",
    "scope=openid",
    "scope=read+email",
    "offline_access",
    "state=",
    "nonce=",
    "prompt=none",
    "max_age=0",
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method=S256",
    "response_mode=form_post",
    "response_mode=query",
    "request=x",
    "request_uri=x",
    "resource=https://id.example",
    "claims={\"userinfo\":{\"email\":null}}",
    "id_token_hint=",
    "login_hint=",
    "%0d%0a",
    "&iss=evil",
];

const ISSUER: &str = "https://id.example";

pub(super) fn run(data: &[u8]) -> bool {
    let Ok(params) = Params::parse(data) else { return false };
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(data).into_owned() {
        sent.entry(name).or_default().push(value);
    }
    let once =
        |name: &str| sent.get(name).filter(|v| v.len() == 1).map(|v| v[0].as_str()).filter(|v| !v.is_empty());
    let found = [false, true]
        .map(client)
        .into_iter()
        .find(|c| once("client_id") == Some(c.id.as_str()))
        .map(Arc::new);

    match read(&params, ISSUER, |id| found.clone().filter(|c| c.id == *id)) {
        Err(Refusal::Page(_)) => {
            let trusted = found.is_some() && once("redirect_uri").is_some_and(is_registered);
            assert!(!trusted, "client and redirect URI are known: the client is told");
            false
        }
        Err(Refusal::Redirect(destination, _)) => {
            goes_home(&destination, &once);
            false
        }
        Ok(request) => {
            goes_home(&request.destination, &once);
            is_within(&request, &once);
            for (name, values) in &sent {
                assert!(values.len() == 1 || name == "resource", "{name} came {} times", values.len());
            }
            assert!(
                once("request").is_none() && once("request_uri").is_none() && once("registration").is_none()
            );
            true
        }
    }
}

/// An answer goes to a registered address, with the `state` that came and our name, and with nothing that came in some other parameter.
fn goes_home<'a>(destination: &Destination, once: &impl Fn(&str) -> Option<&'a str>) {
    let home = once("redirect_uri").expect("several are registered, so one must be named");
    assert!(is_registered(home) && destination.redirect_uri() == home, "{home:?}");
    let (action, fields) = match destination.answer(vec![("code", "c/+ &=".to_owned())]) {
        Delivery::FormPost { action, fields } => {
            assert_eq!(once("response_mode"), Some("form_post"));
            (action, fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect::<Vec<_>>())
        }
        Delivery::Redirect(to) => {
            let rest = to.strip_prefix(home).expect("the registered address, byte for byte");
            assert!(rest.is_ascii() && !rest.contains(['\r', '\n', '#', ' ']), "{rest:?}");
            let url = Url::parse(&to).expect("it is an address");
            let of_its_own = Url::parse(home).expect("it is an address").query_pairs().count();
            let fields = url.query_pairs().into_owned().skip(of_its_own).collect();
            (home.to_owned(), fields)
        }
    };
    let mut expected = vec![("code".to_owned(), "c/+ &=".to_owned())];
    expected.extend(once("state").map(|state| ("state".to_owned(), state.to_owned())));
    expected.push(("iss".to_owned(), ISSUER.to_owned()));
    assert_eq!((action.as_str(), fields), (home, expected));
    assert!(
        action.starts_with("http://127.0.0.1:")
            || action.starts_with("http://[::1]:")
            || REGISTERED.contains(&home)
    );
}

/// What is granted at most: what was asked for, and what the client may ask for.
fn is_within<'a>(request: &Authorize, once: &impl Fn(&str) -> Option<&'a str>) {
    let registered = ["openid", "email", "read"];
    assert_eq!(once("response_type"), Some("code"));
    assert!(!request.scope.is_empty());
    for word in request.scope.words() {
        assert!(registered.contains(&word), "{word} is not registered");
        // Left out, only what stands for no person.
        assert!(
            once("scope").map_or(word == "read", |asked| asked.split(' ').any(|w| w == word)),
            "{word} was not asked for"
        );
    }
    for word in once("scope").unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        assert!(request.scope.contains(word), "{word} was asked for, and neither given nor refused");
    }
    for word in request.consent_scope().words() {
        assert!(registered.contains(&word), "a claim brought {word}");
    }
    match request.binding {
        Binding::Pkce(challenge) => {
            assert_eq!(once("code_challenge").map(str::to_owned), Some(String::from(challenge)));
            assert_eq!(once("code_challenge_method"), Some("S256"));
        }
        Binding::ConfidentialOnly => unreachable!("both clients must use PKCE"),
    }
    assert_eq!(request.nonce.as_deref(), once("nonce"));
    assert!([once("nonce"), once("state")].into_iter().flatten().all(|echoed| echoed.len() <= 4096));
    let prompts: Vec<&str> =
        once("prompt").unwrap_or_default().split(' ').filter(|w| !w.is_empty()).collect();
    assert_eq!(
        request.prompt.none,
        prompts == ["none"] || (!prompts.is_empty() && prompts.iter().all(|w| *w == "none"))
    );
    assert_eq!(
        request.max_age.map(|n| n.to_string()).as_deref(),
        once("max_age").map(|n| {
            let bare = n.trim_start_matches('0');
            if bare.is_empty() { "0" } else { bare }
        })
    );
    assert!(request.resources.iter().all(|resource| resource == ISSUER), "S-A24: {:?}", request.resources);
}
