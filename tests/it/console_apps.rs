//! The console: apps, from the form to a sign-in with what it gave.

use cnx::account::role::Role;
use cnx::flow::clients;

use crate::console_people::{act, person, signed_in, text_of};
use crate::world::{CALLBACK, TestClient, on_both};

const ADD: &str = "/console/apps/add";

on_both! {
    async fn an_app_is_added_used_changed_rotated_disabled_and_deleted(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        let typed = [
            ("client_name", "Field <Notes>"), ("kind", "web"), ("redirect_uris", CALLBACK), ("scope", "openid profile email offline_access"),
            ("token_endpoint_auth_method", "client_secret_basic"), ("skip_consent", ""), ("opaque", ""), ("keep_refresh", ""),
        ];
        let page = browser.open(ADD).await;
        let mut form = page.form(&[("act", "add")]);
        form.fields.retain(|(name, _)| !typed.iter().any(|(known, _)| known == name));
        form.fields.extend(typed.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let reply = browser.post(&form.action, &form.fields).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let (id, secret) = (text_of(&reply, "client-id"), text_of(&reply, "client-secret"));
        // The form is good once: sent again it shows the app, and no second one is there.
        let again = browser.post(&form.action, &form.fields).await;
        assert_eq!((again.status, again.location()), (303, Some(format!("/console/apps/{id}"))));
        let path = format!("/console/apps/{id}");
        let shown = browser.open(&path).await;
        assert!(!shown.text.contains(&secret) && shown.text.contains("Field &#60;Notes&#62;"), "{}", shown.text);
        let client = TestClient { id: id.clone(), secret: Some(secret) };
        world.browser().tokens(&world, &client, &[], "ada").await;

        let reply = act(&browser, &path, "change", &[
            ("client_name", "Notes"), ("kind", "web"), ("redirect_uris", "https://notes.example.com/cb\nhttps://notes.example.com/other"),
            ("scope", "openid"), ("skip_consent", "yes"), ("opaque", "yes"), ("keep_refresh", ""), ("audience", "https://api.example.com"),
            ("client_uri", " https://notes.example.com "), ("policy_uri", "https://notes.example.com/privacy"), ("tos_uri", ""),
        ]).await;
        assert!(reply.text.contains("The changes were saved."), "{}", reply.text);
        let now = clients::find(world.app(), &id).await.unwrap().metadata;
        assert_eq!((now.client_name.as_str(), now.redirect_uris.len(), now.scope.to_string().as_str(), now.skip_consent), ("Notes", 2, "openid", true));
        assert_eq!(now.audience, ["https://api.example.com"]);
        assert_eq!(
            (now.client_uri.as_deref(), now.policy_uri.as_deref(), now.tos_uri),
            (Some("https://notes.example.com"), Some("https://notes.example.com/privacy"), None)
        );

        let page = browser.open(&path).await;
        let mut form = page.form(&[("act", "rotate")]);
        form.fields.push(("overlap".to_owned(), "3600".to_owned()));
        let reply = browser.post(&form.action, &form.fields).await;
        let new = text_of(&reply, "client-secret");
        let old = browser.post(&form.action, &form.fields).await;
        assert!(old.location().unwrap().ends_with("?done=stale"), "the same form makes no other secret");
        for secret in [new.as_str(), client.secret.as_deref().unwrap()] {
            let asking = TestClient { id: id.clone(), secret: Some(secret.to_owned()) };
            let reply = world.post("/oauth2/introspect", Some(&asking), &[("token", "x")]).await;
            assert_eq!(reply.status, 200, "both work for an hour");
        }
        act(&browser, &path, "disable", &[]).await;
        let asking = TestClient { id: id.clone(), secret: Some(new) };
        assert_eq!(world.post("/oauth2/introspect", Some(&asking), &[("token", "x")]).await.status, 401);
        act(&browser, &path, "enable", &[]).await;
        assert_eq!(world.post("/oauth2/introspect", Some(&asking), &[("token", "x")]).await.status, 200);
        let reply = act(&browser, &path, "delete", &[]).await;
        assert!(reply.text.contains("It was deleted."), "{}", reply.text);
        assert!(clients::find(world.app(), &id).await.is_err());
        assert_eq!(browser.get(&path).await.status, 404);
    }

    async fn what_registration_refuses_is_told_at_its_field_and_nothing_typed_is_lost(world: World) {
        person(&world, "ada", Role::Owner).await;
        let browser = signed_in(&world, "ada").await;
        let long = "n".repeat(10_000);
        let usual = ("https://app.example.com/cb", "openid");
        for (name, kind, uris, scope, field) in [
            ("", "web", usual.0, usual.1, "client_name"),
            (long.as_str(), "web", usual.0, usual.1, "client_name"),
            ("App", "web", "http://app.example.com/cb", usual.1, "redirect_uris"),
            ("App", "web", "javascript:alert(1)", usual.1, "redirect_uris"),
            ("App", "spa", "", usual.1, "redirect_uris"),
            ("App", "web", usual.0, "\u{202e}\u{1f9a6}", "scope"),
            ("App", "robot", usual.0, usual.1, "kind"),
        ] {
            let reply = act(&browser, ADD, "add", &[
                ("client_name", name), ("kind", kind), ("redirect_uris", uris), ("scope", scope), ("token_endpoint_auth_method", "client_secret_basic"),
                ("skip_consent", ""), ("opaque", ""), ("keep_refresh", ""),
            ]).await;
            assert_eq!(reply.status, 400, "{name} {kind} {uris}");
            assert!(reply.text.contains(&format!("id=\"app-add-{field}-problem\"")), "{kind} {uris}: {}", reply.text);
            assert!(uris.is_empty() || reply.text.contains(uris), "{uris} is kept");
        }
        for field in ["client_uri", "policy_uri", "tos_uri"] {
            let reply = act(&browser, ADD, "add", &[
                ("client_name", "App"), ("kind", "web"), ("redirect_uris", usual.0), ("scope", usual.1), ("token_endpoint_auth_method", "client_secret_basic"),
                ("skip_consent", ""), ("opaque", ""), ("keep_refresh", ""), (field, "javascript:alert(1)"),
            ]).await;
            assert!(reply.status == 400 && reply.text.contains(&format!("id=\"app-add-{field}-problem\"")), "{field}: {}", reply.text);
        }
        let odd = "\u{202e}<b>\u{1f9a6}\u{2066}";
        let reply = act(&browser, ADD, "add", &[
            ("client_name", odd), ("kind", "spa"), ("redirect_uris", usual.0), ("scope", usual.1), ("skip_consent", ""), ("opaque", ""), ("keep_refresh", ""),
        ]).await;
        let shown = if reply.status == 200 { reply.text.contains("&#60;b&#62;") } else { reply.text.contains("app-add-client_name-problem") };
        assert!(shown && !reply.text.contains("<b>\u{1f9a6}"), "{}: {}", reply.status, reply.text);
    }
}
