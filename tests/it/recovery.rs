//! "I forgot my password", invitations and new addresses: links that come by mail (S-L4, S-L12, S-L14).

use std::time::{Duration, Instant};

use cnx::account::role::Role;
use cnx::flow::people::{self, NewPerson};
use cnx::store::users;

use crate::world::{Browser, PASSWORD, Reply, World, by, link_in, on_both};

const CHOSEN: &str = "otter plank vivid drum";

async fn ask(world: &World, login: &str) -> Reply {
    let browser = world.browser();
    let page = browser.open("/forgot-password").await;
    let form = page.form(&[("username", login)]);
    browser.post(&form.action, &form.fields).await
}

/// Opens a link of a mail and types a password; the answer to the form, and the browser.
async fn choose(world: &World, link: &str, password: &str) -> (Reply, Browser) {
    let browser = world.browser();
    let page = browser.open(link).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let form = page.form(&[("password", password)]);
    (browser.post(&form.action, &form.fields).await, browser)
}

async fn signs_in(world: &World, username: &str, password: &str) -> Option<Browser> {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    browser.submit(&page, &[("username", username), ("password", password)]).await;
    browser.cookie("cnx_session").is_some().then_some(browser)
}

fn nameless(email: &str) -> NewPerson {
    NewPerson {
        email: Some(email.to_owned()),
        username: None,
        name: Some("</a> Bcc: eve@example.com".to_owned()),
        email_verified: false,
        role: Role::Member,
        claims: serde_json::Map::new(),
        password: None,
    }
}

on_both! {
    async fn asking_for_a_link_tells_nobody_who_has_an_account_s_l4(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let gone = world.add_user("gone").await;
        people::set_disabled(world.app(), by(), gone.id, true).await.unwrap();
        let told = |reply: &Reply| (reply.status, reply.location(), reply.text.clone(), reply.header("set-cookie").map(str::to_owned));
        let known = ask(&world, "ada").await;
        assert_eq!((known.status, known.location().as_deref()), (303, Some("/forgot-password?sent=1")));
        let mut times = [Vec::new(), Vec::new()];
        for name in ["nobody", "gone", "ada@example.com", "nobody@example.com", "not a name at all", "\u{430}da"] {
            assert_eq!(told(&ask(&world, name).await), told(&known), "{name}");
        }
        for round in 0..8 {
            let login = ["ada", "nobody"][round % 2];
            let began = Instant::now();
            ask(&world, login).await;
            times[round % 2].push(began.elapsed());
        }
        let [known, unknown] = times.map(|mut all| { all.sort_unstable(); all[all.len() / 2] });
        let slack = Duration::from_millis(60);
        assert!(known < unknown * 3 + slack && unknown < known * 3 + slack, "{known:?} {unknown:?}");
        let page = world.get("/forgot-password?sent=1").await;
        assert!(page.text.contains("If there is such an account"), "{}", page.text);
        // Three for the account of ada, however it is called; none for anybody else.
        let mails = world.mails(3).await;
        assert!(mails.iter().all(|mail| mail.to == "ada@example.com"));
    }

    async fn a_place_that_asks_for_many_links_waits_s_l4(world: World) {
        let world = world.with_mail_folder().await;
        for n in 0..30 {
            assert_eq!(ask(&world, &format!("nobody{n}")).await.status, 303, "{n}");
        }
        let reply = ask(&world, "one-more").await;
        assert_eq!(reply.status, 429);
        assert!(reply.header("retry-after").is_some());
        // Signing in is another matter.
        world.add_user("ada").await;
        assert!(signs_in(&world, "ada", PASSWORD).await.is_some());
    }

    async fn a_link_for_a_new_password_works_once_and_signs_nobody_in_s_l14(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let before = signs_in(&world, "ada", PASSWORD).await.unwrap();
        ask(&world, "ada").await;
        let first = link_in(&world.last_mail(1).await.text);
        assert!(first.starts_with(&format!("{}/set-password?token=", world.base)) && first.split("token=").nth(1).unwrap().len() >= 42, "{first}");
        // What a request says of its host is in no link.
        let browser = world.browser();
        let form = browser.open("/forgot-password").await.form(&[("username", "ADA@example.com")]);
        let request = world.http.post(world.url(&form.action)).header("sec-fetch-site", "same-origin").header("x-forwarded-host", "evil.example").header("forwarded", "host=evil.example");
        assert_eq!(browser.send(request.form(&form.fields)).await.status, 303);
        let link = link_in(&world.last_mail(2).await.text);
        assert_eq!(world.browser().open(&first).await.status, 400, "a newer link is there");
        // Looking at it does not use it up, and tells no other site of it.
        for _ in 0..3 {
            let page = world.browser().open(&link).await;
            assert_eq!((page.status, page.header("referrer-policy"), page.header("cache-control")), (200, Some("no-referrer"), Some("no-store")));
        }
        assert_eq!(choose(&world, &link, "short").await.0.status, 400);
        let (reply, browser) = choose(&world, &link, CHOSEN).await;
        assert_eq!(reply.location().as_deref(), Some("/sign-in?notice=password-set"), "at the sign-in page, whatever factors there are");
        assert!(browser.cookie("cnx_session").is_none());
        assert_eq!(world.browser().open(&link).await.status, 400);
        assert!(signs_in(&world, "ada", PASSWORD).await.is_none() && signs_in(&world, "ada", CHOSEN).await.is_some());
        assert_eq!(before.get("/account").await.status, 303, "sessions of before are over");
        // And of the browser that signed in afterwards.
        let told = world.mails(4).await.into_iter().find(|mail| mail.subject.starts_with("The password of your account was changed"));
        let told = told.unwrap();
        assert!(told.text.contains("ada at localhost") && told.text.contains("127.0.0.1"), "{}", told.text);
    }

    async fn a_link_for_a_new_password_dies_after_an_hour_and_with_a_change_of_the_account_s_l12_s_l14(world: World) {
        let world = world.with_mail_folder().await;
        let ada = world.add_user("ada").await;
        ask(&world, "ada").await;
        let link = link_in(&world.last_mail(1).await.text);
        world.advance(3598);
        assert_eq!(world.browser().open(&link).await.status, 200);
        world.advance(1);
        assert_eq!(world.browser().open(&link).await.status, 400);
        ask(&world, "ada").await;
        let link = link_in(&world.last_mail(2).await.text);
        // The address is another one by now: whoever reads the old mailbox opens nothing.
        let (id, now) = (ada.id, world.clock.now());
        world.app().store.write(move |conn| users::set_email(conn, id, "new@example.com", true, now)).await.unwrap();
        assert_eq!(world.browser().open(&link).await.status, 400);
        ask(&world, "ada").await;
        let link = link_in(&world.last_mail(3).await.text);
        people::set_password(world.app(), by(), &ada, cnx::base::secret::Secret::new(CHOSEN.to_owned())).await.unwrap();
        assert_eq!(world.browser().open(&link).await.status, 400, "a new password ends open links");
    }

    async fn an_invitation_sets_the_first_password_and_shows_the_address_s_l14(world: World) {
        let world = world.with_mail_folder().await;
        let invited = people::invite(world.app(), by(), nameless("grace@example.com")).await.unwrap();
        assert!(invited.link.is_none() && !invited.user.email_verified);
        let mail = world.last_mail(1).await;
        assert!(!mail.text.contains("Bcc") && mail.text.contains("grace"), "names that people choose stand in no mail to others: {}", mail.text);
        assert!(signs_in(&world, "grace", "").await.is_none());
        // Who was invited and forgot to answer may ask for a link as well.
        people::resend_invite(world.app(), by(), &invited.user).await.unwrap();
        let again = link_in(&world.last_mail(2).await.text);
        assert_eq!(world.browser().open(&link_in(&mail.text)).await.status, 400);
        let (reply, _) = choose(&world, &again, CHOSEN).await;
        assert_eq!(reply.location().as_deref(), Some("/sign-in?notice=password-set"));
        let user = people::find(world.app(), "grace").await.unwrap();
        assert!(user.email_verified, "whoever opened the mail has the address");
        assert!(signs_in(&world, "grace", CHOSEN).await.is_some());
        let refused = people::resend_invite(world.app(), by(), &user).await;
        assert!(matches!(refused, Err(people::PersonError::Field { .. })), "nobody is invited twice");
        world.mails(2).await;
    }

    async fn mail_is_in_the_language_of_its_person(world: World) {
        let world = world.with_mail_folder().await;
        let ada = world.add_user("ada").await;
        let (id, now) = (ada.id, world.clock.now());
        world.app().store.write(move |conn| users::set_profile(conn, id, Some("Ada"), Some("de"), now)).await.unwrap();
        ask(&world, "ada").await;
        let mail = world.last_mail(1).await;
        assert_eq!(mail.subject, "Ein neues Passwort für localhost");
        assert!(mail.text.contains("brauchen Sie nichts zu tun"), "{}", mail.text);
    }

    async fn a_new_address_counts_when_its_link_was_confirmed_s_l12(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let bob = world.add_user("bob").await;
        let browser = signs_in(&world, "ada", PASSWORD).await.unwrap();
        let page = browser.open("/account/email").await;
        let reply = browser.submit(&page, &[("email", "not an address")]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("value=\"not an address\""), "nothing typed is lost: {}", reply.text);
        let page = browser.submit(&page, &[("email", "Ada@Elsewhere.Example")]).await;
        assert!(page.text.contains("We sent a link"), "{}", page.text);
        let mail = world.last_mail(1).await;
        assert_eq!(mail.to.to_lowercase(), "ada@elsewhere.example");
        let before = people::find(world.app(), "ada").await.unwrap();
        assert_eq!(before.email.as_deref(), Some("ada@example.com"), "not yet");
        // A link for a new password that was sent meanwhile dies with the change.
        ask(&world, "ada").await;
        let reset = link_in(&world.last_mail(2).await.text);
        let link = link_in(&mail.text);
        for _ in 0..2 {
            assert_eq!(world.browser().open(&link).await.status, 200, "looking does not use it up");
        }
        let anywhere = world.browser();
        let page = anywhere.open(&link).await;
        let reply = anywhere.submit(&page, &[("link", link.split("token=").nth(1).unwrap())]).await;
        assert!(reply.status == 200 && reply.text.contains("Your address is confirmed"), "{}", reply.text);
        assert!(anywhere.cookie("cnx_session").is_none(), "a link signs nobody in");
        let after = people::find(world.app(), "ada").await.unwrap();
        assert!(after.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case("ada@elsewhere.example")) && after.email_verified);
        assert_eq!(world.browser().open(&link).await.status, 400);
        assert_eq!(world.browser().open(&reset).await.status, 400);
        let told = world.last_mail(3).await;
        assert_eq!(told.to, "ada@example.com", "the old address is told");
        assert!(told.subject.contains("another e-mail address"), "{}", told.subject);
        // An address that is somebody else's: the same words, and no mail.
        let page = browser.open("/account/email").await;
        let page = browser.submit(&page, &[("email", "bob@example.com")]).await;
        assert!(page.text.contains("We sent a link"), "{}", page.text);
        world.mails(3).await;
        assert_eq!(people::find(world.app(), "bob").await.unwrap().id, bob.id);
    }

    async fn an_address_that_somebody_else_got_meanwhile_is_not_taken_from_them_s_l12(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let browser = signs_in(&world, "ada", PASSWORD).await.unwrap();
        let page = browser.open("/account/email").await;
        browser.submit(&page, &[("email", "shared@example.com")]).await;
        let link = link_in(&world.last_mail(1).await.text);
        people::add(world.app(), by(), nameless("shared@example.com")).await.unwrap();
        let anywhere = world.browser();
        let page = anywhere.open(&link).await;
        let reply = anywhere.submit(&page, &[("link", link.split("token=").nth(1).unwrap())]).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert_eq!(people::find(world.app(), "ada").await.unwrap().email.as_deref(), Some("ada@example.com"));
    }
}
