//! The forms of our pages: ordinary HTML, taken only from this browser's own pages.

use super::{FORGED, assert_page, attribute, client_at, count, pending, signed_in, texts};
use crate::world::{Browser, CALLBACK, Form, PASSWORD, Reply, TestClient, World, authorize_path, on_both};

/// A form that would do something if it were taken, and the browser that it is of.
struct Offer {
    what: &'static str,
    browser: Browser,
    form: Form,
}

/// One of each form of the pages around an authorization request.
async fn offers(world: &World, client: &TestClient) -> Vec<Offer> {
    let browser = world.browser();
    let sign_in = browser.open(&authorize_path(client, &[])).await;
    let mut offers = vec![Offer {
        what: "sign-in",
        form: sign_in.form(&[("username", "ada"), ("password", PASSWORD)]),
        browser,
    }];
    for (what, path, wanted) in [
        ("consent", authorize_path(client, &[("prompt", "consent")]), ("decision", "allow")),
        ("choice", authorize_path(client, &[("prompt", "select_account")]), ("account", "current")),
    ] {
        let browser = signed_in(world, client, &authorize_path(client, &[]), "ada").await;
        let page = browser.open(&path).await;
        offers.push(Offer { what, form: page.form(&[wanted]), browser });
    }
    let browser = signed_in(world, client, &authorize_path(client, &[]), "ada").await;
    let form = browser.get("/account").await.form(&[]);
    offers.push(Offer { what: "sign-out", form, browser });
    offers
}

/// Posts the form with these headers in place of a browser's.
async fn post(world: &World, offer: &Offer, form: &Form, site: Option<&str>, origin: Option<&str>) -> Reply {
    let mut request = world.http.post(world.url(&form.action)).form(&form.fields);
    for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    offer.browser.send(request).await
}

fn with(form: &Form, name: &str, value: Option<&str>) -> Form {
    let mut form = form.clone();
    form.fields.retain(|(n, _)| n != name);
    form.fields.extend(value.map(|v| (name.to_owned(), v.to_owned())));
    form
}

on_both! {
    async fn a_form_from_another_site_is_not_taken_s_l7(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let own = world.base.clone();
        let lookalike = format!("{own}.evil.example");
        for offer in offers(&world, &client).await {
            for (site, origin) in [
                (Some("cross-site"), Some(own.as_str())), (Some("cross-site"), None), (Some("same-site"), Some(&own)), (Some("x"), None),
                (Some(""), None), (None, Some("https://evil.example")), (None, Some("null")), (None, Some(&lookalike)),
                (None, Some("http://localhost")), (None, Some("http://127.0.0.1:9")), (None, Some("")),
            ] {
                assert_page(&post(&world, &offer, &offer.form, site, origin).await, 403, FORGED);
            }
            // Nothing was done, so the form still works, and only now.
            let reply = post(&world, &offer, &offer.form, Some("same-origin"), Some(&own)).await;
            assert!([200, 303].contains(&reply.status), "{}: {} {}", offer.what, reply.status, reply.text);
        }
    }

    /// Our pages send no referrer, and some browsers then write `Origin: null`; `Sec-Fetch-Site` says more. Old ones send neither.
    async fn a_form_of_our_own_page_is_taken_whatever_the_browser_s_l7(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        for (site, origin) in [(Some("same-origin"), Some("null")), (None, Some(world.base.as_str())), (None, None)] {
            for offer in offers(&world, &client).await {
                let reply = post(&world, &offer, &offer.form, site, origin).await;
                assert!([200, 303].contains(&reply.status), "{} {site:?} {origin:?}: {}", offer.what, reply.text);
            }
        }
    }

    async fn a_form_without_this_browsers_token_is_not_taken_s_l7(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let (one, other) = (offers(&world, &client).await, offers(&world, &client).await);
        for (offer, foreign) in one.iter().zip(&other) {
            let token = |form: &Form| form.fields.iter().find(|(n, _)| n == "csrf_token").unwrap().1.clone();
            let good = token(&offer.form);
            assert!(good.len() >= 43, "{good}");
            let (cut, more, case) = (good[1..].to_owned(), format!("{good}A"), good.to_lowercase());
            for wrong in [None, Some(""), Some("x"), Some(cut.as_str()), Some(&more), Some(&case), Some(&token(&foreign.form))] {
                let form = with(&offer.form, "csrf_token", wrong);
                assert_page(&post(&world, offer, &form, Some("same-origin"), None).await, 403, FORGED);
            }
            // The right token without the browser's cookies.
            let bare = Offer { what: offer.what, browser: world.browser(), form: offer.form.clone() };
            assert_page(&post(&world, &bare, &offer.form, Some("same-origin"), None).await, 403, FORGED);
            let reply = post(&world, offer, &offer.form, Some("same-origin"), None).await;
            assert!([200, 303].contains(&reply.status), "{}: {}", offer.what, reply.text);
        }
    }

    async fn a_form_is_as_old_as_its_cookie_pitfall_14(world: World) {
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, &client, &authorize_path(&client, &[]), "ada").await;
        let page = browser.open(&authorize_path(&client, &[("prompt", "consent")])).await;
        let old = page.form(&[("decision", "allow")]);
        let before_sign_in = browser.open(&authorize_path(&client, &[("prompt", "login")])).await;
        // The token of a page before sign-in is none for a page of the session, though the browser is the same.
        let token = attribute(&before_sign_in, "input[name=csrf_token]", "value").unwrap();
        let mixed = with(&old, "csrf_token", Some(&token));
        assert_page(&browser.post(&mixed.action, &mixed.fields).await, 403, FORGED);
        // A new sign-in gives the session a new cookie; the form of the old one ends with it.
        browser.sign_in(&before_sign_in, "ada").await;
        assert_page(&browser.post(&old.action, &old.fields).await, 403, FORGED);
        let page = browser.get(&format!("/consent?request={}", pending(&page))).await;
        let reply = browser.consent(&page, "allow").await;
        assert!(reply.callback().get("code").is_some());
    }

    async fn the_pages_are_ordinary_forms_c46(world: World) {
        let client = client_at(&world, &[CALLBACK]).await;
        world.add_user("ada").await;
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        assert_eq!(attribute(&page, "input[name=username]", "type").as_deref(), Some("text"));
        assert_eq!(attribute(&page, "input[name=username]", "autocomplete").as_deref(), Some("username"));
        assert_eq!(attribute(&page, "input[name=password]", "type").as_deref(), Some("password"));
        assert_eq!(attribute(&page, "input[name=password]", "autocomplete").as_deref(), Some("current-password"));
        for name in ["username", "password"] {
            assert_eq!(count(&page, &format!("label[for={name}]")), 1, "a label for #{name}");
            assert_eq!(attribute(&page, &format!("input[name={name}]"), "id").as_deref(), Some(name));
        }
        assert_eq!(count(&page, "html[lang=en]"), 1);

        // What went wrong stands on the same page, and the request is still there.
        for (form, words) in [
            ([("username", "ada"), ("password", "wrong")], "The user name or the password is not right. Check both and try again."),
            ([("username", "nobody"), ("password", "wrong")], "The user name or the password is not right. Check both and try again."),
            ([("username", ""), ("password", "x")], "Enter your user name and your password."),
            ([("username", "ada"), ("password", "")], "Enter your user name and your password."),
        ] {
            let again = browser.submit(&page, &form).await;
            assert_eq!(again.status, 422, "{form:?}");
            assert_eq!(texts(&again, "#problem[role=alert]"), [words]);
            assert_eq!(attribute(&again, "input[name=username]", "value").as_deref(), Some(form[0].1));
            assert!(!pending(&again).is_empty());
        }
        let consent = browser.sign_in(&page, "ada").await;
        let choice = browser.open(&authorize_path(&client, &[("prompt", "select_account")])).await;
        for page in [&page, &consent, &choice] {
            let forms = count(page, "form");
            assert_eq!(count(page, "form[method=post]"), forms);
            assert_eq!(count(page, "form button[type=submit]"), forms, "one submit for each form: {}", page.text);
            assert_eq!(count(page, "form input[type=hidden][name=csrf_token]"), forms);
            assert_eq!(count(page, "form input[type=hidden][name=request]"), forms);
        }
        assert_eq!(count(&consent, "button#consent-deny"), 1, "refusal is a button");
    }
}
