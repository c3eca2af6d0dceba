//! In which language a page speaks: what the person chose, what the app asks for (`ui_locales`), what the browser prefers, English.

use crate::world::{Browser, Reply, World, authorize_path, on_both};

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
}
