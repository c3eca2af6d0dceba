//! What people see of their own account: where they are signed in, which apps may act for them, what happened lately (S-L11).

use cnx::flow::people;

use crate::world::{Browser, World, authorize_path, by, on_both};

async fn signed_in(world: &World, username: &str, agent: &str) -> Browser {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    let form = page.form(&[("username", username), ("password", crate::world::PASSWORD)]);
    let request = world
        .http
        .post(world.url(&form.action))
        .header("sec-fetch-site", "same-origin")
        .header("user-agent", agent);
    browser.send(request.form(&form.fields)).await;
    assert!(browser.cookie("cnx_session").is_some());
    browser
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

fn is_signed_in(status: u16) -> bool {
    status == 200
}

on_both! {
    async fn a_person_sees_where_they_are_signed_in_and_signs_out_there_s_l11(world: World) {
        world.add_user("ada").await;
        world.add_user("bob").await;
        let here = signed_in(&world, "ada", FIREFOX).await;
        world.advance(60);
        let phone = signed_in(&world, "ada", SAFARI).await;
        world.advance(60);
        let other = signed_in(&world, "ada", "<script>alert(1)</script>").await;
        let bob = signed_in(&world, "bob", FIREFOX).await;
        let page = here.open("/account/sessions").await;
        for text in ["Firefox, Linux", "Safari, iOS", "Unknown browser", "This one", "127.0.0.1"] {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
        assert!(!page.text.contains("alert(1)"));
        assert_eq!(page.text.matches("This one").count(), 1);
        assert_eq!(page.text.matches("name=\"session\"").count(), 2, "a button for each of the others");
        // The newest comes first: the first form is that of the unknown browser, the second that of the phone.
        let of_phone = page.text.split("name=\"session\" value=\"").nth(2).unwrap().split('"').next().unwrap().to_owned();
        // Nobody ends the session of somebody else.
        let bobs = bob.open("/account/sessions").await;
        let csrf = bobs.text.split("name=\"csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let fields = [("csrf_token".to_owned(), csrf), ("session".to_owned(), of_phone.clone())];
        assert_eq!(bob.post("/account/sessions", &fields).await.status, 303);
        assert!(is_signed_in(phone.get("/account").await.status));
        let page = here.submit(&page, &[("session", &of_phone)]).await;
        assert!(page.text.contains("That session is signed out.") && !page.text.contains("Safari"), "{}", page.text);
        assert!(!is_signed_in(phone.get("/account").await.status) && is_signed_in(other.get("/account").await.status));
        let form = page.text.find("/account/sessions/others").map(|_| page.form(&[])).unwrap();
        let csrf = form.fields.iter().filter(|(name, _)| name == "csrf_token").cloned().collect::<Vec<_>>();
        let page = here.post("/account/sessions/others", &csrf).await;
        let page = here.follow(page).await;
        assert!(page.text.contains("You are signed in here and nowhere else."), "{}", page.text);
        assert!(!page.text.contains("sessions-end-others"), "no button that does nothing");
        assert!(!is_signed_in(other.get("/account").await.status) && is_signed_in(here.get("/account").await.status));
        assert!(is_signed_in(bob.get("/account").await.status));
    }

    async fn many_sessions_are_listed_by_cursor_and_idle_ones_not_at_all_s_l11(world: World) {
        world.add_user("ada").await;
        signed_in(&world, "ada", SAFARI).await;
        world.advance(world.settings.sessions.idle_seconds);
        let mut last = None;
        for _ in 0..53 {
            last = Some(signed_in(&world, "ada", FIREFOX).await);
            world.advance(1);
        }
        let browser = last.unwrap();
        let page = browser.open("/account/sessions").await;
        assert_eq!(page.text.matches("Firefox, Linux").count(), 50);
        let next = page.text.split("/account/sessions?after=").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let page = browser.open(&format!("/account/sessions?after={next}")).await;
        assert_eq!(page.text.matches("Firefox, Linux").count(), 3);
        assert!(!page.text.contains("Safari") && !page.text.contains("?after="));
        for odd in ["x", "", "'--", "0199f3c2-7d1e-7c44-9d0e-3b8f6a1c2d4e"] {
            assert_eq!(browser.open(&format!("/account/sessions?after={odd}")).await.status, 200, "{odd}");
        }
    }

    async fn a_connected_app_is_shown_and_loses_everything_when_it_is_revoked(world: World) {
        let client = world.add_client(serde_json::json!({"client_name": "Field <b>Notes</b>"})).await;
        let other = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        let kept = browser.tokens(&world, &other, &[], "ada").await;
        let page = browser.open("/account/apps").await;
        for text in ["Field &#60;b&#62;Notes", "See your profile", "Stay connected", "Test app"] {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
        let page = browser.submit(&page, &[("client", &client.id)]).await;
        assert!(page.text.contains("That app has no access any more.") && !page.text.contains("Field"), "{}", page.text);
        assert_eq!(world.user_info(&tokens.access).await.status, 401);
        assert_eq!(world.introspect(&client, &tokens.access).await["active"], false);
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
        assert_eq!(world.user_info(&kept.access).await.status, 200, "the other app goes on");
        let asked = browser.open(&authorize_path(&client, &[])).await;
        assert!(asked.text.contains("consent-allow"), "it asks again: {}", asked.text);
        // A client that is none, and one that was never allowed: nothing happens.
        let page = browser.open("/account/apps").await;
        let csrf = page.form(&[]).fields.into_iter().find(|(name, _)| name == "csrf_token").unwrap();
        for odd in ["nobody", "", "' OR 1=1"] {
            let fields = [csrf.clone(), ("client".to_owned(), odd.to_owned())];
            assert_eq!(browser.post("/account/apps", &fields).await.status, 303, "{odd}");
        }
        assert_eq!(world.user_info(&kept.access).await.status, 200);
    }

    async fn a_person_reads_what_happened_to_their_account_and_nothing_else(world: World) {
        let client = world.add_client(serde_json::json!({"client_name": "Field Notes"})).await;
        let ada = world.add_user("ada").await;
        let bob = world.add_user("bob").await;
        let browser = world.browser();
        browser.tokens(&world, &client, &[], "ada").await;
        signed_in(&world, "bob", FIREFOX).await;
        people::set_disabled(world.app(), by(), bob.id, true).await.unwrap();
        let page = browser.open("/account/activity").await;
        for text in ["Signed in", "An app was allowed access", "Field Notes", "You", "The account was made", "An administrator", "127.0.0.1"] {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
        assert!(!page.text.contains("disabled") && !page.text.contains(&bob.id.to_string()));
        assert_eq!(page.text.matches("<tr>").count(), 4, "the head and three events");
        // By cursor: thirty on a page.
        for _ in 0..40 {
            people::set_disabled(world.app(), by(), ada.id, false).await.unwrap();
        }
        let page = browser.open("/account/activity").await;
        assert_eq!(page.text.matches("<tr>").count(), 31);
        let next = page.text.split("/account/activity?before=").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let page = browser.open(&format!("/account/activity?before={next}")).await;
        assert_eq!(page.text.matches("<tr>").count(), 14);
        assert!(!page.text.contains("?before="));
        for odd in ["x", "-1", "99999999999999999999"] {
            assert_eq!(browser.open(&format!("/account/activity?before={odd}")).await.status, 200, "{odd}");
        }
    }
}
