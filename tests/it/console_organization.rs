//! The console: what an organization's pages look like, and who says so.

use cnx::account::factor_policy::FactorPolicy;
use cnx::account::role::Role;

use crate::console_people::{act, person, signed_in};
use crate::world::{Browser, Reply, World, by, on_both};

const HERE: &str = "/console/organization";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// Posts a logo as a browser does.
async fn send_logo(world: &World, browser: &Browser, bytes: &[u8], token: Option<&str>) -> Reply {
    let own = browser.open(HERE).await.form(&[("act", "logo")]);
    let own = own.fields.into_iter().find(|(name, _)| name == "csrf_token").unwrap().1;
    let head = |name: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    let mut body = format!("{}{}\r\n", head("csrf_token"), token.unwrap_or(&own)).into_bytes();
    body.extend_from_slice(b"--x\r\nContent-Disposition: form-data; name=\"logo\"; filename=\"l.png\"\r\nContent-Type: image/png\r\n\r\n");
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--x--\r\n");
    let request = world
        .http
        .post(world.url("/console/organization/logo"))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body);
    let reply = browser.send(request).await;
    browser.follow(reply).await
}

on_both! {
    async fn every_page_has_the_name_the_colour_and_the_logo_of_the_organization(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        for (title, colour, field) in [
            ("Acme", "red", "colour"), ("Acme", "#12345", "colour"), ("Acme", "#fff;}", "colour"), (&"x".repeat(10_000), "#ffffff", "title"), ("A\nB", "", "title"),
        ] {
            let reply = act(&browser, HERE, "look", &[("title", title), ("colour", colour)]).await;
            assert_eq!(reply.status, 400, "{title} {colour}");
            assert!(reply.text.contains(&format!("organization-look-{field}-problem")), "{colour}: {}", reply.text);
        }
        let odd = "A<b>\u{1f9a6} \u{202e}x";
        let reply = act(&browser, HERE, "look", &[("title", odd), ("colour", "#FFD400")]).await;
        assert!(reply.text.contains("The look was saved."), "{}", reply.text);
        let guest = world.get("/sign-in").await;
        assert!(guest.text.contains("A&#60;b&#62;\u{1f9a6}"), "{}", guest.text);
        let at = guest.text.find("/assets/organization/style.").unwrap();
        let url = guest.text[at..].split('"').next().unwrap().to_owned();
        let style = world.get(&url).await;
        assert_eq!((style.status, style.header("content-type"), style.header("x-content-type-options")), (200, Some("text/css; charset=utf-8"), Some("nosniff")));
        assert!(style.text.contains("--accent:") && style.text.contains("prefers-color-scheme: dark"), "{}", style.text);
        for (bytes, status) in [(&b"<svg onload=alert(1)>"[..], 400), (b"", 400), (&[PNG, &vec![0; 65_536]].concat(), 400), (PNG, 200)] {
            assert_eq!(send_logo(&world, &browser, bytes, None).await.status, status, "{} bytes", bytes.len());
        }
        assert_eq!(send_logo(&world, &browser, PNG, Some("forged")).await.status, 403);
        assert_eq!(send_logo(&world, &browser, &vec![0; 300_000], None).await.status, 413);
        let guest = world.get("/sign-in").await;
        let at = guest.text.find("/assets/organization/logo.").unwrap();
        let url = guest.text[at..].split('"').next().unwrap().to_owned();
        let logo = Reply::of(world.http.get(world.url(&url)).send().await.unwrap()).await;
        assert_eq!((logo.status, logo.header("content-type"), logo.header("x-content-type-options")), (200, Some("image/png"), Some("nosniff")));
        assert!(logo.header("cache-control").unwrap().contains("immutable"));
        assert_eq!(world.get("/assets/organization/logo.00000000000.png").await.status, 404);
        act(&browser, HERE, "no-logo", &[]).await;
        act(&browser, HERE, "look", &[("title", ""), ("colour", "")]).await;
        let guest = world.get("/sign-in").await;
        assert!(guest.text.contains("CloudNexus Identity") && !guest.text.contains("/assets/organization/"), "{}", guest.text);
    }

    async fn an_owner_changes_the_organization_and_an_admin_looks(world: World) {
        person(&world, "olga", Role::Owner).await;
        person(&world, "ada", Role::Admin).await;
        let owner = signed_in(&world, "olga").await;
        let reply = act(&owner, HERE, "policy", &[("second_factor", "required")]).await;
        // It holds for whoever made it.
        assert!(reply.text.contains("Your organization asks for a second factor."), "{}", reply.text);
        assert_eq!(world.app().presence().second_factor, FactorPolicy::Required);
        cnx::flow::organizations::set_second_factor(world.app(), by(), FactorPolicy::Optional).await.unwrap();
        let admin = signed_in(&world, "ada").await;
        let page = admin.open(HERE).await;
        assert!(page.status == 200 && page.text.contains("Only an owner changes it.") && !page.text.contains("organization-look"), "{}", page.text);
        let token = admin.open("/console/people/invite").await.form(&[("act", "invite")]).fields;
        let token = token.into_iter().find(|(name, _)| name == "csrf_token").unwrap();
        let form = [token, ("act".to_owned(), "policy".to_owned()), ("second_factor".to_owned(), "off".to_owned())];
        assert_eq!(admin.post(HERE, &form).await.status, 400);
        assert_eq!(world.app().presence().second_factor, FactorPolicy::Optional);
        assert_eq!(admin.get("/console/organization/logo").await.status, 403);
    }
}
