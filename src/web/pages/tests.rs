//! Renders every page with samples: once as people meet them, once with every value hostile.
//!
//! `cargo test --lib web::pages::tests::write_samples -- --ignored` leaves them in `target/pages/`, to be looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scraper::{ElementRef, Html, Selector};

use super::Lang;
use super::samples::{HOSTILE, as_people_meet_them, hostile, in_lang};
use crate::base::encoding::from_base64url;
use crate::web::assets::{self, find};

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

/// S-A27: nothing that a page is given becomes markup.
#[test]
fn nothing_that_a_page_is_given_becomes_markup() {
    for (name, html) in hostile() {
        let page = Html::parse_document(&html);
        assert!(select(&page, "x-evil, [onload], [style], style, base, iframe, object").is_empty(), "{name}");
        assert!(!html.contains("<x-evil") && !html.contains("<script>"), "{name}");
        let title = select(&page, "title")[0].text().collect::<String>();
        assert!(title.ends_with(HOSTILE), "{name}: the title holds the value as text: {title}");
    }
}

/// S-A27: names with bidirectional overrides stand alone in a box, so that they turn no word of ours around.
#[test]
fn a_value_that_turns_text_around_stays_in_its_own_box() {
    let style = std::str::from_utf8(find("app.css").unwrap().asset.bytes).unwrap();
    assert!(style.contains("bdi { display: inline-block;"), "bdi alone is broken by an unclosed U+2066");
    for (name, html) in hostile() {
        let page = Html::parse_document(&html);
        for node in select(&page, "body *") {
            let own =
                node.children().filter_map(|child| child.value().as_text().map(|text| text.to_string()));
            for text in own.filter(|text| text.contains('\u{202e}')) {
                let alone = text == HOSTILE
                    && ["bdi", "strong", "code", "p", "span", "a", "option", "textarea"]
                        .contains(&node.value().name());
                assert!(alone, "{name}: <{}> mixes our words with a value: {text}", node.value().name());
            }
        }
    }
}

/// S-H11: a strict Content-Security-Policy holds, because a page has nothing that it would forbid.
#[test]
fn a_page_has_nothing_inline_and_nothing_from_elsewhere() {
    for (name, html) in as_people_meet_them().into_iter().chain(hostile()) {
        let page = Html::parse_document(&html);
        for element in select(&page, "*") {
            for (attribute, value) in element.value().attrs() {
                assert!(!attribute.starts_with("on") && attribute != "style", "{name}: {attribute}");
                if attribute == "src" || (attribute == "href" && element.value().name() == "link") {
                    let file = value.strip_prefix(assets::ROOT);
                    // The organization's own logo and style.
                    if file.is_some_and(|file| file.starts_with("organization/")) {
                        continue;
                    }
                    assert!(
                        file.and_then(find).is_some_and(|found| found.cache_control.contains("immutable")),
                        "{name}: {value}"
                    );
                }
            }
        }
        for script in select(&page, "script") {
            assert!(
                script.attr("src").is_some() && script.text().all(|text| text.trim().is_empty()),
                "{name}"
            );
        }
        assert!(
            select(&page, "style, iframe, object, embed, img:not(.mark), meta[http-equiv]").is_empty(),
            "{name}"
        );
    }
}

/// WCAG 2.2: 2.4.2 page titled, 3.1.1 language, 1.3.1 structure, 4.1.2 names and roles.
#[test]
fn a_page_is_readable_by_machines_that_read_to_people() {
    let pages =
        Lang::ALL.into_iter().flat_map(|lang| in_lang(lang).into_iter().map(move |page| (lang, page)));
    for (lang, (name, html)) in pages {
        let page = Html::parse_document(&html);
        assert!(html.starts_with("<!doctype html>"), "{name}");
        assert_eq!(select(&page, &format!("html[lang={}]", lang.tag())).len(), 1, "{name}");
        for landmark in ["head > title", "h1", "main", "body > header", "body > footer", "main h1"] {
            assert_eq!(select(&page, landmark).len(), 1, "{name}: {landmark}");
        }
        assert!(select(&page, "[autofocus]").len() <= 1, "{name}");
        let ids: Vec<&str> = select(&page, "[id]").iter().filter_map(|e| e.attr("id")).collect();
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "{name}: an id stands twice: {ids:?}"
        );
        for input in select(&page, "input:not([type=hidden]):not([aria-hidden]), select, textarea") {
            let id = input.attr("id").unwrap();
            assert_eq!(select(&page, &format!("label[for={id}]")).len(), 1, "{name}: {id}");
            assert!(input.attr("autocomplete").is_some(), "{name}: {id} (WCAG 1.3.5)");
        }
        for referrer in select(&page, "[aria-describedby], [aria-controls]") {
            let named = referrer.attr("aria-describedby").into_iter().chain(referrer.attr("aria-controls"));
            for id in named.flat_map(str::split_whitespace) {
                assert!(ids.contains(&id), "{name}: {id} is referred to and missing");
            }
        }
        let told = select(&page, "[role=alert]:not([hidden])").len();
        assert_eq!(
            told == 1,
            select(&page, "title")[0].inner_html().starts_with(&*lang.say("Error:")),
            "{name}"
        );
    }
}

/// C46: each form is an ordinary one, with one submit button and the hidden inputs that the server checks.
#[test]
fn a_form_works_without_scripts_and_has_one_submit() {
    for (name, html) in as_people_meet_them() {
        let page = Html::parse_document(&html);
        for form in select(&page, "form") {
            let within = |selector: &str| form.select(&Selector::parse(selector).unwrap()).count();
            assert_eq!(within("button[type=submit]"), 1, "{name}");
            // A search changes nothing, and what it says stands in the address: no token may.
            if form.attr("role") == Some("search") {
                assert_eq!((form.attr("method"), within("input[type=hidden]")), (Some("get"), 0), "{name}");
                assert!(form.attr("action").unwrap().starts_with('/'), "{name}");
                continue;
            }
            assert_eq!(form.attr("method"), Some("post"), "{name}");
            if name != "form_post" {
                assert!(form.attr("action").unwrap().starts_with('/'), "{name}");
                assert_eq!(within("input[type=hidden][name=csrf_token]"), 1, "{name}");
                let of_session = form
                    .attr("action")
                    .is_some_and(|to| to.starts_with("/console") || to.starts_with("/account"));
                assert!(of_session || within("input[type=hidden][name=request]") == 1, "{name}");
            }
        }
    }
}

/// Contract §4 and C46: the names that people's tools look for.
#[test]
fn the_names_that_tools_look_for_are_there() {
    let pages = as_people_meet_them();
    for (name, selector) in [
        ("sign_in", "input[name=username][autocomplete=username]"),
        ("sign_in", "input[name=password][type=password][autocomplete=current-password]"),
        ("sign_in", "button#sign-in-submit"),
        ("sign_in", "a[href='https://notes.example.com/privacy']"),
        ("sign_in", "a[href='https://notes.example.com/terms']"),
        ("sign_in_wrong", "input[name=username][value=ada]"),
        ("sign_in_wrong", "input[name=password]:not([value])"),
        ("sign_in", "form[action='/sign-in/passkey'][hidden] button#sign-in-passkey"),
        ("passkeys", "form[hidden] button#passkey-add"),
        ("second_factor", "button#second-factor-passkey"),
        ("confirm_passkey", "button#confirm-passkey"),
        ("select_account", "button#account-current"),
        ("select_account", "button#account-other"),
        ("consent", "input[name=decision][value=allow] ~ button#consent-allow"),
        ("consent", "input[name=decision][value=deny] ~ button#consent-deny"),
        ("consent", "input[name=decision][value=switch] ~ button#consent-switch"),
        ("sign_out", "button#sign-out-confirm"),
        ("set_up", "input[name=email][autofocus]"),
        ("set_up_problems", "input[name=username][autofocus][aria-describedby=username-problem]"),
        ("set_password", "input[name=password][autofocus]"),
        ("set_up", "input[name=link] ~ button#set-up-submit"),
        ("set_password", "input[name=password][autocomplete=new-password]"),
        ("account", "button#sign-out-confirm"),
        ("keys", "a#key-mint[href='/console/keys/new']"),
        ("key_new", "button#key-mint-submit"),
        ("key_made", "input#new-key[readonly]"),
        ("key_made", "button#copy-key[data-copy=new-key][hidden]"),
        ("key", "a#key-rotate"),
        ("key", "a#key-revoke"),
        ("key_rotate", "button#key-rotate-submit"),
        ("key_revoke", "button#key-revoke-submit"),
        ("desk_form", "form#person-invite button#person-invite-submit"),
        ("desk_list", "form#audit-filter[role=search] button#audit-filter-submit"),
        ("desk_thing", "code#client-secret"),
        (
            "form_post",
            "form#form-post[action='https://notes.example.com/callback?a=1&b=2'] > input[name=state]",
        ),
    ] {
        let (_, html) = pages.iter().find(|(page, _)| page == name).unwrap();
        assert_eq!(select(&Html::parse_document(html), selector).len(), 1, "{name}: {selector}");
    }
}

#[test]
#[ignore = "writes the samples into target/pages/, for people to look at"]
fn write_samples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(folder.join("assets")).unwrap();
    for (name, html) in as_people_meet_them() {
        fs::write(folder.join(format!("{name}.html")), html.replace("\"/assets/", "\"assets/")).unwrap();
    }
    for (name, html) in in_lang(Lang::De) {
        fs::write(folder.join(format!("german_{name}.html")), html.replace("\"/assets/", "\"assets/"))
            .unwrap();
    }
    for (name, html) in hostile() {
        fs::write(folder.join(format!("hostile_{name}.html")), html.replace("\"/assets/", "\"assets/"))
            .unwrap();
    }
    // An organization's own look: none.
    fs::create_dir_all(folder.join("assets/organization")).unwrap();
    fs::write(folder.join("assets/organization/style.00000000000.css"), "").unwrap();
    let logo =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk-M9QDwADhgGAWjR9awAAAABJRU5ErkJggg";
    fs::write(folder.join("assets/organization/logo.00000000000.png"), from_base64url(logo).unwrap())
        .unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name();
        let file = assets::asset_url(name.to_str().unwrap()).strip_prefix(assets::ROOT).unwrap();
        fs::write(folder.join("assets").join(file), find(file).unwrap().asset.bytes).unwrap();
    }
}
