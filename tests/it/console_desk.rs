//! The console: the audit log, sign-ins, signing keys, service accounts, and why a request was refused.

use cnx::account::role::Role;
use cnx::flow::service_accounts;
use cnx::jobs::write_refusals;

use crate::console_people::{act, person, signed_in, text_of};
use crate::world::{Reply, on_both};

/// The address of the first link of that kind.
fn link(page: &Reply, rel: &str) -> Option<String> {
    let html = scraper::Html::parse_document(&page.text);
    let found = html.select(&scraper::Selector::parse(&format!("a[rel={rel}]")).unwrap()).next();
    found.map(|a| a.attr("href").unwrap().to_owned())
}

/// The rows of the page's table, as text.
fn rows(page: &Reply) -> Vec<String> {
    let html = scraper::Html::parse_document(&page.text);
    let rows = scraper::Selector::parse("tbody tr").unwrap();
    html.select(&rows).map(|row| row.text().collect::<String>()).collect()
}

on_both! {
    async fn the_audit_log_is_filtered_paged_exported_and_its_chain_is_looked_at(world: World) {
        person(&world, "ada", Role::Owner).await;
        for n in 0..60 {
            let name = format!("p{n:02}");
            person(&world, &name, Role::Member).await;
        }
        let browser = signed_in(&world, "ada").await;
        let page = browser.open("/console/audit?act=user.added").await;
        assert_eq!(rows(&page).len(), 50, "{}", page.text);
        assert!(page.text.contains("The newest") && page.text.contains("sound"), "{}", page.text);
        let rest = browser.open(&link(&page, "next").unwrap()).await;
        assert_eq!((rows(&rest).len(), link(&rest, "next")), (11, None));
        assert!(rows(&rest).iter().all(|row| row.contains("user.added")));
        assert!(link(&rest, "first").unwrap().contains("act=user.added"));
        let none = browser.open("/console/audit?act=user.added&until=2026-01-01").await;
        assert!(none.text.contains("No event fits."));
        for (query, field) in [
            ("act=nothing", "act"), ("since=yesterday", "since"), ("outcome=perhaps", "outcome"),
            ("act=%3Cb%3E%E2%80%AE", "act"),
        ] {
            let page = browser.get(&format!("/console/audit?{query}")).await;
            assert_eq!(page.status, 400, "{query}");
            assert!(page.text.contains(&format!("audit-filter-{field}-problem")) && !page.text.contains("<b>"), "{query}: {}", page.text);
        }
        let csv = browser.get("/console/audit/export?format=csv&act=user.added").await;
        assert_eq!((csv.status, csv.header("content-disposition")), (200, Some("attachment; filename=\"audit.csv\"")));
        assert_eq!(csv.text.lines().count(), 62);
        let lines = browser.get("/console/audit/export?act=user.added").await;
        assert_eq!(lines.text.lines().count(), 61);
        assert_eq!(world.browser().get("/console/audit/export").await.status, 303, "nobody else gets it");
        let member = signed_in(&world, "p00").await;
        assert_eq!(member.get("/console/audit/export").await.status, 403);
    }

    async fn an_administrator_sees_who_is_signed_in_and_ends_it_s_l11(world: World) {
        person(&world, "olga", Role::Owner).await;
        let ada = person(&world, "ada", Role::Admin).await;
        person(&world, "bob", Role::Member).await;
        let owners = signed_in(&world, "olga").await;
        let bobs = signed_in(&world, "bob").await;
        world.advance(2);
        let browser = signed_in(&world, "ada").await;
        let page = browser.open("/console/sessions").await;
        let all = rows(&page);
        assert_eq!(all.len(), 3, "{}", page.text);
        assert!(all[0].contains("Name of ada") && all[0].contains("this one"), "the newest first: {all:?}");
        assert!(all.iter().any(|row| row.contains("Name of olga") && row.contains("an owner")), "{all:?}");
        let of_one = browser.open(&format!("/console/sessions?user={}", ada.id)).await;
        assert_eq!(rows(&of_one).len(), 1);
        let reply = act(&browser, "/console/sessions", "end", &[]).await;
        assert!(reply.text.contains("The sign-in was ended."), "{}", reply.text);
        assert_eq!(bobs.get("/account").await.status, 303);
        assert_eq!(owners.get("/account").await.status, 200);
        assert_eq!(rows(&browser.open("/console/sessions").await).len(), 2);
    }

    async fn signing_keys_are_shown_rotated_and_revoked(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        let before = rows(&browser.open("/console/signing-keys").await);
        assert_eq!(before.len(), 3, "{before:?}");
        let reply = act(&browser, "/console/signing-keys", "rotate", &[("alg", "ES256"), ("when", "now")]).await;
        assert!(reply.text.contains("The next keys are there."), "{}", reply.text);
        let after = rows(&reply);
        assert!(after.len() == 4 && after.iter().any(|row| row.contains("retired")), "{after:?}");
        let old = world.app().keyring(world.clock.now()).unwrap().describe().iter()
            .find(|key| key.state.to_string() == "retired").unwrap().kid.clone();
        let reply = act(&browser, &format!("/console/signing-keys/revoke?kid={old}"), "revoke", &[]).await;
        assert!(reply.text.contains("It was revoked."), "{}", reply.text);
        assert!(!world.get("/.well-known/jwks.json").await.text.contains(&old));
        let gone = browser.open(&format!("/console/signing-keys/revoke?kid={old}")).await;
        assert!(gone.text.contains("There is no such thing any more."));
    }

    async fn a_service_account_gets_keys_and_rules_and_loses_them(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        let add = "/console/service-accounts/add";
        let odd = "\u{202e}<b>\u{1f9a6}";
        for (name, scope, field) in [
            ("", "", "name"), ("deploy", "openid", "scope"), (&"x".repeat(10_000), "", "name"), ("deploy", odd, "scope"),
        ] {
            let reply = act(&browser, add, "add", &[("name", name), ("scope", scope), ("google_auth", ""), ("opaque", "")]).await;
            assert_eq!(reply.status, 400, "{name}");
            assert!(reply.text.contains(&format!("account-add-{field}-problem")) && !reply.text.contains("<b>"), "{}", reply.text);
        }
        let reply = act(&browser, add, "add", &[("name", odd), ("scope", "deploy:write"), ("google_auth", ""), ("opaque", "")]).await;
        assert!(reply.status == 200 && reply.text.contains("&#60;b&#62;"), "{}", reply.text);
        let id = service_accounts::find(world.app(), odd).await.unwrap().id.to_string();
        let path = format!("/console/service-accounts/{id}");
        let page = browser.open(&path).await;
        let mut form = page.form(&[("act", "key")]);
        form.fields.extend([("alg".to_owned(), "ES256".to_owned()), ("lifetime".to_owned(), "90".to_owned())]);
        let made = browser.post(&form.action, &form.fields).await;
        let file: serde_json::Value = serde_json::from_str(&text_of(&made, "account-key-file")).unwrap();
        assert!(file["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
        let again = browser.post(&form.action, &form.fields).await;
        assert!(again.location().unwrap().ends_with("?done=stale"), "the same form makes no other key");
        assert!(!browser.open(&path).await.text.contains("PRIVATE KEY"));
        let reply = act(&browser, &path, "register", &[("public_key", "no key")]).await;
        assert!(reply.status == 400 && reply.text.contains("account-register-public_key-problem") && reply.text.contains("no key</textarea>"), "{}", reply.text);
        let reply = act(&browser, &path, "revoke", &[]).await;
        assert!(reply.text.contains("The key was revoked."), "{}", reply.text);

        let rule = format!("{path}/trust?platform=github");
        let reply = act(&browser, &rule, "add", &[("repo", "org/app"), ("refs", "*"), ("environment", "production")]).await;
        assert_eq!(reply.status, 400, "a * alone trusts everybody");
        assert!(reply.text.contains("value=\"org/app\""), "{}", reply.text);
        let reply = act(&browser, &rule, "add", &[("repo", "org/app"), ("refs", "refs/heads/main\nrefs/tags/v*"), ("environment", "")]).await;
        assert!(reply.text.contains("The trust rule was added.") && reply.text.contains("refs/heads/main|refs/tags/v*"), "{}", reply.text);
        let reply = act(&browser, &path, "remove-rule", &[]).await;
        assert!(reply.text.contains("The trust rule was removed."), "{}", reply.text);
        act(&browser, &path, "disable", &[]).await;
        assert!(!service_accounts::find(world.app(), &id).await.unwrap().is_active());
        act(&browser, &path, "enable", &[]).await;
        assert!(service_accounts::find(world.app(), &id).await.unwrap().is_active());
    }

    async fn a_refused_request_is_explained_by_its_id(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        let wrong = world.http.get(world.url("/v1/keys")).bearer_auth("cnx_prod_7Hd2f9QzAk0123456789ABCDEFGHIJKLMNOPQRSTUV3Rye8p");
        let wrong = Reply::of(wrong.send().await.unwrap()).await;
        assert_eq!(wrong.status, 401);
        let id = wrong.header("x-request-id").unwrap().to_owned();
        let cut = Reply::of(world.http.get(world.url("/v1/keys")).bearer_auth("cnx_prod_short").send().await.unwrap()).await;
        let cut = cut.header("x-request-id").unwrap().to_owned();
        let client = world.web_client().await;
        let grant = world.token(&client, &[("grant_type", "authorization_code"), ("code", "cnx_ac_x"), ("redirect_uri", "https://x.example")]).await;
        let grant = grant.header("x-request-id").unwrap().to_owned();
        let expected = [(&id, "well-formed key whose id is not known"), (&cut, "cut off or mistyped"), (&grant, "grant.refused")];
        for (id, words) in &expected {
            let page = browser.open(&format!("/console/explain?request_id={id}")).await;
            assert!(page.text.contains("It was refused") && page.text.contains(words), "at once: {}", page.text);
        }
        write_refusals::flush(world.app()).await;
        for (id, words) in &expected {
            let page = browser.open(&format!("/console/explain?request_id={id}")).await;
            assert!(page.text.contains("It was refused") && page.text.contains(words), "from its row: {}", page.text);
            assert!(!page.text.contains("0123456789ABCDEF"), "no secret");
        }
        let fine = browser.open("/console/explain").await;
        assert_eq!(fine.status, 200);
        for odd in ["%3Cb%3E", "%E2%80%AE", &"x".repeat(3_000)] {
            let page = browser.open(&format!("/console/explain?request_id={odd}")).await;
            assert!(page.status == 400 && page.text.contains("explain-request_id-problem") && !page.text.contains("<b>"), "{}", page.text);
        }
        let unknown = browser.open("/console/explain?request_id=abc").await;
        assert!(unknown.text.contains("Nothing is known of this request"));
        // Its row is kept for a day.
        world.advance(86_401);
        let now = world.clock.now();
        world.app().store.write(move |conn| cnx::store::sweep::batch(conn, now)).await.unwrap();
        let id = id.clone();
        assert!(world.app().store.read(move |conn| cnx::store::refused_requests::find(conn, &id)).await.unwrap().is_none());
    }
}
