//! The authorization endpoint and its pages. Here: what its tests share, asking in odd ways and judging whole answers.

use scraper::{Html, Selector};
use serde_json::json;

use crate::world::{Browser, CALLBACK, Callback, Reply, TestClient, World};

mod answer;
mod claims;
mod consent;
mod cookies;
mod form_post;
mod forms;
mod headers;
mod hint;
mod hostile;
mod method;
mod prompt;
mod redirect_uri;
mod request;
mod steps;

/// The heading of the page that refuses a redirect URI.
pub const UNTRUSTED: &str = "This app cannot be trusted with an answer";
/// The heading of the page that refuses a client.
pub const UNKNOWN: &str = "This app is not known here";
/// The heading of the page for a request without a redirect URI where one is needed.
pub const NOWHERE: &str = "This app did not say where to send you";
/// The heading of the page for a request without a client.
pub const NOBODY: &str = "This app did not say who it is";
/// The heading of the page that refuses anything else.
pub const INVALID: &str = "This request is not valid";
/// The heading of the page for a request that waited too long or was answered.
pub const EXPIRED: &str = "This sign-in has expired";
/// The heading of the page for a form that is not of this browser.
pub const FORGED: &str = "This form did not come from your browser";

/// A client whose redirect URIs are these and whose rest is usual.
pub async fn client_at(world: &World, redirect_uris: &[&str]) -> TestClient {
    world.add_client(json!({"redirect_uris": redirect_uris})).await
}

/// A browser in which a person is signed in and has allowed what a usual request of `client` asks for.
pub async fn signed_in(world: &World, client: &TestClient, path: &str, username: &str) -> Browser {
    let browser = world.browser();
    let callback = browser.authorize(path, username).await;
    assert!(callback.get("code").is_some(), "{} got {}", client.id, callback.location);
    browser
}

/// POST of a body as it stands, as a form.
pub async fn post_raw(world: &World, browser: &Browser, path: &str, body: &str) -> Reply {
    let request =
        world.http.post(world.url(path)).header("content-type", "application/x-www-form-urlencoded");
    browser.send(request.body(body.to_owned())).await
}

/// Asserts an error page with this heading: a status, no redirect, and nothing on it that leads anywhere.
pub fn assert_page(reply: &Reply, status: u16, heading: &str) {
    assert_eq!(reply.status, status, "{:?} {}", reply.location(), reply.text);
    assert_eq!(reply.location(), None);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(texts(reply, "h1"), [heading]);
    assert_eq!(count(reply, "form, main a, iframe, meta[http-equiv]"), 0, "{}", reply.text);
    assert!(!reply.text.contains("cnx_ac_"), "{}", reply.text);
}

/// Asserts a redirect to [`CALLBACK`] with this error and nothing else but `error_description`, `state` and `iss`, in the
/// query (R5, R14, S-A17), for a request with the usual state.
pub fn assert_error(world: &World, reply: &Reply, code: &str) -> Callback {
    let callback = assert_error_at(world, reply, code, CALLBACK);
    assert_eq!(callback.get("state"), Some("state-1"), "{}", callback.location);
    callback
}

/// The same for any redirect URI and any state.
pub fn assert_error_at(world: &World, reply: &Reply, code: &str, redirect_uri: &str) -> Callback {
    assert_eq!(reply.status, 303, "{}", reply.text);
    assert_eq!(reply.text, "");
    let callback = reply.callback();
    let query = callback.location.strip_prefix(redirect_uri);
    assert!(query.is_some_and(|q| q.starts_with(['?', '&'])), "{}", callback.location);
    assert!(!callback.location.contains('#'), "{}", callback.location);
    assert_eq!(callback.error(), code, "{}", callback.location);
    assert_eq!(callback.get("iss"), Some(world.app().issuer()));
    let description = callback.get("error_description").unwrap();
    assert!(!description.is_empty());
    assert!(
        description.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
        "{description}"
    );
    for (name, _) in &callback.params {
        assert!(
            ["error", "error_description", "state", "iss"].contains(&name.as_str()),
            "{}",
            callback.location
        );
    }
    callback
}

/// Asserts a redirect to [`CALLBACK`] with a code, the usual state and the issuer, and nothing else.
pub fn assert_code(world: &World, callback: &Callback) -> String {
    let names: Vec<&str> = callback.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state", "iss"], "{}", callback.location);
    assert!(callback.location.starts_with(CALLBACK), "{}", callback.location);
    assert_eq!(callback.get("state"), Some("state-1"));
    assert_eq!(callback.get("iss"), Some(world.app().issuer()));
    callback.code()
}

/// Asserts that the server goes on with the request: to one of its own pages.
pub fn assert_asked(reply: &Reply, page: &str) {
    assert_eq!(reply.status, 303, "{}", reply.text);
    let location = reply.location().unwrap();
    assert!(location.starts_with(&format!("{page}?request=")), "{location}");
}

/// The sealed request of a page of ours.
pub fn pending(page: &Reply) -> String {
    let form = page.form(&[]);
    form.fields.into_iter().find(|(name, _)| name == "request").expect("a waiting request").1
}

/// The text of every element that a CSS selector finds, white space folded.
pub fn texts(reply: &Reply, selector: &str) -> Vec<String> {
    let page = Html::parse_document(&reply.text);
    page.select(&Selector::parse(selector).unwrap())
        .map(|found| found.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// How many elements a CSS selector finds.
pub fn count(reply: &Reply, selector: &str) -> usize {
    Html::parse_document(&reply.text).select(&Selector::parse(selector).unwrap()).count()
}

/// An attribute of the first element that a CSS selector finds.
pub fn attribute(reply: &Reply, selector: &str, name: &str) -> Option<String> {
    let page = Html::parse_document(&reply.text);
    page.select(&Selector::parse(selector).unwrap()).next()?.value().attr(name).map(str::to_owned)
}

/// The source expressions of `form-action` in a page's policy.
pub fn form_action(reply: &Reply) -> String {
    let policy = reply.header("content-security-policy").expect("a page has a policy");
    let directive = policy.split(';').map(str::trim).find_map(|d| d.strip_prefix("form-action "));
    directive.expect("a policy says where forms may lead").to_owned()
}
