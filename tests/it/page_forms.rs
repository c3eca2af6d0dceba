//! The forms of every page: taken only from this browser's own pages, and whatever is typed into them stays text.

use std::collections::BTreeSet;

use cnx::account::role::Role;
use cnx::store::audit::{self, Filter, From, Outcome};
use scraper::{ElementRef, Html, Selector};

use crate::page_table::{House, Thing, pages, posting, row, token_of};
use crate::world::{Browser, PASSWORD, Reply, World, on_both};

/// The newest event that tells of something done: an act that is not written down does not happen.
pub async fn last_done(world: &World) -> Option<i64> {
    let done = Filter { outcome: Some(Outcome::Done), ..Filter::default() };
    let events = world.app().store.read(move |conn| audit::page(conn, &done, From::Newest, 1)).await.unwrap();
    events.first().map(|event| event.seq)
}

/// A form as an attacker has it posted.
struct Attack<'a> {
    what: &'static str,
    token: Option<&'a str>,
    site: Option<&'static str>,
    origin: Option<&'static str>,
}

async fn post(world: &World, browser: &Browser, path: &str, attack: &Attack<'_>) -> Reply {
    let mut form = vec![("confirm", "yes"), ("decision", "allow"), ("account", "current")];
    form.extend(attack.token.map(|token| ("csrf_token", token)));
    let mut request = posting(world, path, &form);
    for (name, value) in [("sec-fetch-site", attack.site), ("origin", attack.origin)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    browser.send(request).await
}

on_both! {
    async fn no_form_of_any_page_is_taken_from_elsewhere_s_l7(world: World) {
        let house = House::new(world).await;
        let world = &house.world;
        let browser = house.browser(Role::Owner).await;
        let stale = token_of(&browser.get("/account").await);
        let page = browser.open("/sign-in").await;
        browser.sign_in(&page, "olga").await;
        let own = token_of(&browser.get("/account").await);
        let of_another = token_of(&house.browser(Role::Owner).await.get("/account").await);
        let before_sign_in = token_of(&world.browser().get("/sign-in").await);
        let here = Some("same-origin");
        let attack = |what, token, site, origin| Attack { what, token, site, origin };
        let attacks = [
            attack("without a token", None, here, None),
            attack("with an empty token", Some(""), here, None),
            attack("with a token of an earlier session", Some(stale.as_str()), here, None),
            attack("with a token of another session", Some(of_another.as_str()), here, None),
            attack("with a token of another browser's sign-in page", Some(before_sign_in.as_str()), here, None),
            attack("from another site", Some(own.as_str()), Some("cross-site"), None),
            attack("from a neighbour", Some(own.as_str()), Some("same-site"), None),
            attack("from another origin", Some(own.as_str()), None, Some("https://evil.example")),
            attack("from nowhere", Some(own.as_str()), None, Some("null")),
        ];
        let mut tried = 0;
        for (path, methods, _) in pages() {
            if !methods.contains(&"POST") {
                continue;
            }
            let path = house.address(&row(path), Role::Owner).await;
            let before = last_done(world).await;
            for attack in &attacks {
                let reply = post(world, &browser, &path, attack).await;
                assert_eq!(reply.status, 403, "POST {path} {}: {}", attack.what, reply.text);
                assert!(reply.text.contains("forged_form"), "POST {path} {}: {}", attack.what, reply.text);
                tried += 1;
            }
            assert_eq!(last_done(world).await, before, "POST {path}: something was done");
        }
        assert!(tried > 0);
        assert_eq!(browser.get("/account").await.status, 200, "the session is still there");
    }

    async fn every_page_is_unframed_unkept_and_runs_only_what_is_ours_s_h11(world: World) {
        let house = House::new(world).await;
        let stranger = house.world.browser();
        let member = house.browser(Role::Member).await;
        let owner = house.browser(Role::Owner).await;
        for (path, methods, _) in pages() {
            if !methods.contains(&"GET") {
                continue;
            }
            let path = house.address(&row(path), Role::Owner).await;
            for (who, browser) in [("nobody", &stranger), ("a member", &member), ("an owner", &owner)] {
                let reply = browser.get(&path).await;
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{path} for {who}");
                assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path} for {who}");
                if reply.status == 303 {
                    continue;
                }
                assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{path} for {who}");
                let policy = reply.header("content-security-policy").unwrap();
                for part in ["default-src 'none'", "frame-ancestors 'none'"] {
                    assert!(policy.contains(part), "{path} for {who}: {policy}");
                }
                let loose = ["unsafe", "*", "http:", "https:", "data:", "blob:", "localhost"];
                assert!(!loose.iter().any(|word| policy.contains(word)), "{path} for {who}: {policy}");
                if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
                    for part in ["object-src 'none'", "base-uri 'none'"] {
                        assert!(policy.contains(part), "{path} for {who}: {policy}");
                    }
                    assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"), "{path} for {who}");
                    unbroken(&reply.text, &path);
                }
            }
        }
    }

    async fn whatever_is_typed_into_any_form_stays_text_s_a27(world: World) {
        let mut house = House::new(world).await;
        let mut typist = Typist { browser: house.browser(Role::Owner).await, taken: Vec::new(), tried: 0 };
        for (path, methods, least) in pages() {
            if least.is_some() && methods.contains(&"GET") {
                type_into(&mut house, &mut typist, path).await;
            }
        }
        let seen = everything_shown(&house, &mut typist).await;
        let missing: BTreeSet<_> = typist
            .taken
            .iter()
            .filter(|(field, value)| !NOT_SHOWN.contains(&field.as_str()) && !seen.contains(value.trim()))
            .map(|(field, value)| format!("{field}: {}", value.chars().take(40).collect::<String>().escape_debug()))
            .collect();
        assert!(missing.is_empty(), "taken, and shown nowhere as it was typed: {missing:#?}");
    }
}

/// Fields that are taken and shown to nobody, or shown in another form than they were typed in.
const NOT_SHOWN: &[&str] = &[
    // For password managers, which want to know whose password it is.
    "/account/password username",
];

/// Somebody who types hostile things.
struct Typist {
    browser: Browser,
    /// Field and value of what was taken.
    taken: Vec<(String, String)>,
    tried: usize,
}

impl Typist {
    /// A page; signs in again where an act ended the session.
    async fn get(&mut self, house: &House, path: &str) -> Reply {
        let reply = self.browser.get(path).await;
        if reply.location().is_some_and(|to| to.starts_with("/sign-in")) {
            self.browser = house.browser(Role::Owner).await;
            return self.browser.get(path).await;
        }
        reply
    }
}

/// What is typed: markup, text that turns round, ten thousand bytes, pictures, a NUL, and lines of a log.
fn hostile(number: usize) -> [String; 6] {
    [
        format!(
            "{number}\"'></title><x-evil onload=alert(1)></x-evil><script>alert(1)</script>&lt;{{{{7*7}}}}"
        ),
        format!("{number}\u{202e}turned\u{2066}round"),
        format!("{number}{}", "ä long text ".repeat(850)),
        format!("{number}\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}"),
        format!("{number}nul\0nul"),
        format!("{number}\r\n{{\"level\":\"INFO\",\"forged\":true}}\u{1b}[2K\u{85}eve"),
    ]
}

fn select<'a>(within: ElementRef<'a>, selector: &str) -> Vec<ElementRef<'a>> {
    within.select(&Selector::parse(selector).unwrap()).collect()
}

/// A form of a page, as somebody would send it.
pub struct Typed {
    pub action: String,
    pub is_get: bool,
    pub fields: Vec<(String, String)>,
    /// Which of them hold text that people type.
    pub texts: Vec<usize>,
}

/// What is typed where nothing hostile is.
fn usual(name: &str, kind: &str, number: usize) -> String {
    match (name, kind) {
        (_, "password") => PASSWORD.to_owned(),
        (_, "email") => format!("n{number}@example.com"),
        (_, "url") => "https://app.example.com/callback".to_owned(),
        (_, "number") => "30".to_owned(),
        (_, "color") => "#336699".to_owned(),
        (_, "date" | "datetime-local" | "time") => String::new(),
        ("username", _) => format!("user{number}"),
        ("environment", _) => "prod".to_owned(),
        (name, _) if name.contains("email") => format!("n{number}@example.com"),
        (name, _) if name.contains("redirect") || name.contains("uri") => {
            "https://app.example.com/callback".to_owned()
        }
        (name, _) if name.contains("scope") => "instances:read".to_owned(),
        (name, _) if name.contains("name") || name.contains("title") => format!("usual {number}"),
        _ => String::new(),
    }
}

/// The forms of a page's own part, sign-out aside.
pub fn forms(html: &str, number: usize) -> Vec<Typed> {
    let page = Html::parse_document(html);
    let mut found = Vec::new();
    for form in select(page.root_element(), "main form[action]") {
        let action = form.attr("action").unwrap().to_owned();
        if !action.starts_with("/account") && !action.starts_with("/console") {
            continue;
        }
        let (mut fields, mut texts) = (Vec::new(), Vec::new());
        for control in select(form, "input[name], textarea[name], select[name]") {
            let name = control.attr("name").unwrap().to_owned();
            let kind = match control.value().name() {
                "input" => control.attr("type").unwrap_or("text"),
                other => other,
            };
            let stated = control.attr("value").unwrap_or_default().to_owned();
            match kind {
                "hidden" => fields.push((name, stated)),
                "file" => {}
                "checkbox" | "radio" => {
                    if fields.iter().all(|(other, _)| *other != name) {
                        fields.push((name, control.attr("value").unwrap_or("on").to_owned()));
                    }
                }
                "select" => {
                    let options = select(control, "option");
                    let chosen =
                        options.iter().find(|option| option.attr("selected").is_some()).or(options.first());
                    let value = chosen.map(|option| {
                        option.attr("value").map_or_else(|| option.text().collect(), str::to_owned)
                    });
                    fields.push((name, value.unwrap_or_default()));
                }
                _ => {
                    if kind != "password" {
                        texts.push(fields.len());
                    }
                    let shown = if kind == "textarea" { control.text().collect() } else { stated };
                    let value = if shown.is_empty() { usual(&name, kind, number) } else { shown };
                    fields.push((name, value));
                }
            }
        }
        let is_get = form.attr("method") == Some("get");
        found.push(Typed { action, is_get, fields, texts });
    }
    found
}

/// Types each hostile thing into each field of each form of a page, one at a time.
async fn type_into(house: &mut House, typist: &mut Typist, pattern: &'static str) {
    let row = row(pattern);
    let first = house.address(&row, Role::Owner).await;
    let page = typist.get(house, &first).await;
    let shape: Vec<usize> = forms(&page.text, 0).iter().map(|form| form.texts.len()).collect();
    for (index, fields) in shape.into_iter().enumerate() {
        for field in 0..fields {
            for kind in 0..hostile(0).len() {
                typist.tried += 1;
                let number = 1_000 + typist.tried;
                // What the form names may be gone since: it is opened anew, for another thing where there is one.
                let path = if row.thing == Thing::Nothing {
                    first.clone()
                } else {
                    house.address(&row, Role::Owner).await
                };
                let page = typist.get(house, &path).await;
                let mut all = forms(&page.text, number);
                if index >= all.len() || field >= all[index].texts.len() {
                    continue;
                }
                let mut form = all.swap_remove(index);
                let at = form.texts[field];
                let value = hostile(number)[kind].clone();
                form.fields[at].1.clone_from(&value);
                let reply = send(house, typist, &form).await;
                let name = format!("{} {}", form.action, form.fields[at].0);
                assert!(reply.status < 500 && reply.status != 403, "{name}: {} {}", reply.status, reply.text);
                unbroken(&reply.text, &name);
                if reply.status == 303 && !form.is_get && !reply.location().unwrap().starts_with("/sign-in") {
                    let next = typist.get(house, &reply.location().unwrap()).await;
                    unbroken(&next.text, &name);
                    // What the next change replaces is looked for at once.
                    if !shown_on(&next.text).contains(value.trim()) {
                        typist.taken.push((format!("{pattern} {}", form.fields[at].0), value));
                    }
                }
            }
        }
    }
}

async fn send(house: &House, typist: &Typist, form: &Typed) -> Reply {
    if form.is_get {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        return typist.browser.get(&format!("{}?{query}", form.action)).await;
    }
    let fields: Vec<(&str, &str)> =
        form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = posting(&house.world, &form.action, &fields);
    typist.browser.send(request.header("sec-fetch-site", "same-origin")).await
}

/// Nothing that was typed became markup.
fn unbroken(html: &str, what: &str) {
    if !html.starts_with("<!doctype html>") {
        return;
    }
    let page = Html::parse_document(html);
    let broken =
        select(page.root_element(), "x-evil, [onload], script:not([src]), [style], base, iframe, object");
    assert!(broken.is_empty(), "{what}: markup broke out: {}", broken[0].html());
    assert!(!html.contains("<x-evil"), "{what}");
    assert_eq!(
        select(page.root_element(), "html > head > title").len(),
        1,
        "{what}: one title, in its place"
    );
}

/// Everything that people read on a page, what stands in its inputs too.
fn shown_on(html: &str) -> String {
    let page = Html::parse_document(html);
    let mut shown: String = page.root_element().text().collect();
    for input in select(page.root_element(), "input[value]") {
        shown.push('\n');
        shown.push_str(input.attr("value").unwrap_or_default());
    }
    shown
}

/// Follows every link of the console and of the account; everything that people read there.
async fn everything_shown(house: &House, typist: &mut Typist) -> String {
    let mut waiting: Vec<String> = pages()
        .into_iter()
        .filter(|(path, methods, least)| least.is_some() && methods.contains(&"GET") && !path.contains('{'))
        .map(|(path, ..)| path.to_owned())
        .collect();
    let mut visited: BTreeSet<String> = waiting.iter().cloned().collect();
    let mut shown = String::new();
    while let Some(path) = waiting.pop() {
        let reply = typist.get(house, &path).await;
        assert!(reply.status < 400 || reply.status == 404, "{path}: {} {}", reply.status, reply.text);
        unbroken(&reply.text, &path);
        shown += &shown_on(&reply.text);
        let page = Html::parse_document(&reply.text);
        for link in select(page.root_element(), "a[href]") {
            let to = link.attr("href").unwrap().split('#').next().unwrap().to_owned();
            let ours =
                to.starts_with("/console") || to.starts_with("/account") || to.starts_with("/dev/mail");
            if ours && visited.len() < 1_500 && visited.insert(to.clone()) {
                waiting.push(to);
            }
        }
    }
    shown
}
