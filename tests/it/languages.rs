//! In which language a page speaks: what the person chose, what the app asks for (`ui_locales`), what the browser prefers, English.

use std::collections::{BTreeMap, BTreeSet};

use cnx::account::role::Role;
use scraper::Html;

use crate::page_table::{House, pages, row};
use crate::world::{Browser, Reply, World, authorize_path, on_both};

/// What is the same in German, as the files of words have it.
fn same_in_german() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/words/de");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let rows = files.flat_map(|text| serde_json::from_str::<BTreeMap<String, String>>(&text).unwrap());
    rows.filter(|(english, german)| english == german).map(|(english, _)| english).collect()
}

/// The texts of a page that are words of ours: what people or programs gave stands in `bdi`, in code, or is a time.
fn words(html: &str) -> Vec<String> {
    let page = Html::parse_document(html);
    let ours = page.tree.nodes().filter_map(|node| {
        let text = node.value().as_text()?.trim().to_owned();
        let given = node.ancestors().any(|above| {
            above.value().as_element().is_some_and(|element| {
                ["bdi", "code", "pre", "time", "script", "textarea", "head", "option"]
                    .contains(&element.name())
                    || element.attr("dir") == Some("auto")
                    || element.attr("lang").is_some_and(|_| element.name() != "html")
                    || element.attr("class") == Some("product")
            })
        });
        (!given).then_some(text)
    });
    ours.filter(|text| text.chars().filter(|c| c.is_alphabetic()).count() > 1).collect()
}

/// A page as a browser with these languages gets it, redirects followed.
async fn read(world: &World, browser: &Browser, path: &str, languages: &str) -> Reply {
    let ask = |path: &str| {
        let path = if path.starts_with('/') { world.url(path) } else { path.to_owned() };
        world.http.get(path).header("accept-language", languages)
    };
    let mut reply = browser.send(ask(path)).await;
    while let Some(to) = reply.location() {
        reply = browser.send(ask(&to)).await;
    }
    reply
}

#[track_caller]
fn speaks(reply: &Reply, tag: &str, word: &str) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.text.contains(&format!("<html lang=\"{tag}\">")), "not in {tag}: {}", reply.text);
    assert!(reply.text.contains(word), "{word} is missing: {}", reply.text);
}

on_both! {
    async fn a_page_speaks_the_language_of_its_reader(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for (languages, tag, word) in [
            ("de-CH,de;q=0.9,en;q=0.5", "de", ">Anmelden<"),
            ("en-GB,de;q=0.9", "en", ">Sign in<"),
            ("fr, de", "de", ">Anmelden<"),
            ("fr", "en", ">Sign in<"),
            ("de;q=0, en", "en", ">Sign in<"),
            ("", "en", ">Sign in<"),
        ] {
            speaks(&read(&world, &world.browser(), "/sign-in", languages).await, tag, word);
        }
        let browser = world.browser();
        let asked = authorize_path(&client, &[("ui_locales", "fr de-AT en"), ("prompt", "login consent")]);
        let page = read(&world, &browser, &asked, "en").await;
        speaks(&page, "de", ">Anmelden<");
        let form = page.form(&[("username", "ada"), ("password", crate::world::PASSWORD)]);
        let sent = browser.post(&form.action, &form.fields).await;
        let consent = read(&world, &browser, &sent.location().unwrap(), "en").await;
        speaks(&consent, "de", "bittet um Zugriff auf Ihr Konto");
        let unspoken = authorize_path(&client, &[("ui_locales", "fr"), ("prompt", "login")]);
        speaks(&read(&world, &world.browser(), &unspoken, "de").await, "de", ">Anmelden<");
        // A refusal speaks it as well.
        let refused = world.http.get(world.url("/oauth2/authorize")).header("accept-language", "de");
        let refused = Reply::of(refused.send().await.unwrap()).await;
        assert!(refused.status == 400 && refused.text.contains("<html lang=\"de\">"), "{}", refused.text);
    }

    async fn no_page_keeps_english_for_who_reads_german(world: World) {
        let house = House::new(world).await;
        let browser = house.browser(Role::Owner).await;
        let mut same = same_in_german();
        same.extend(["Python", "Node", "curl"].map(str::to_owned));
        let mut kept = BTreeSet::new();
        for (path, methods, least) in pages() {
            if least.is_none() || !methods.contains(&"GET") {
                continue;
            }
            let address = house.address(&row(path), Role::Owner).await;
            let english = read(&house.world, &browser, &address, "en").await;
            let german = read(&house.world, &browser, &address, "de").await;
            if !english.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
                continue;
            }
            let german: BTreeSet<String> = words(&german.text).into_iter().collect();
            let left = words(&english.text).into_iter().filter(|text| german.contains(text) && !same.contains(text));
            let host = house.world.base.trim_start_matches("http://").to_owned();
            kept.extend(left.filter(|text| *text != host).map(|text| format!("{path}: {text}")));
        }
        assert!(kept.is_empty(), "English for who reads German: {kept:#?}");
    }
}
