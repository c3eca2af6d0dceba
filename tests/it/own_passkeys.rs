//! A person's passkeys: named, removed, as the second step, as the proof before what is dangerous, and where an organization asks for one.

use cnx::account::factor_policy::FactorPolicy;
use cnx::account::role::Role;
use cnx::flow::organizations;

use crate::authenticator::{Asking, Device, add, sign_in};
use crate::console_keys::signed_in;
use crate::passkeys::{HERE, act, refused, token_of, with_passkey};
use crate::world::{Browser, PASSWORD, Reply, World, by, on_both};

/// Name and password, in a browser of its own.
async fn first_step(world: &World, name: &str) -> (Browser, Reply) {
    let browser = world.browser();
    let page = browser.get("/sign-in").await;
    let form = page.form(&[("username", name), ("password", PASSWORD)]);
    let page = browser.post(&form.action, &form.fields).await;
    (browser, page)
}

on_both! {
    /// Who has a passkey and no app proves themselves by it after the password (S-L13), and before what is dangerous (S-L12).
    async fn a_passkey_is_the_second_step_and_the_proof_s_l12_s_l13(world: World) {
        let (_, mut device) = with_passkey(&world, "ada").await;
        let (_, mut of_bob) = with_passkey(&world, "bob").await;
        let (browser, page) = first_step(&world, "ada").await;
        assert!(page.status == 200 && !page.text.contains("second-factor-submit"), "{}", page.text);
        assert_eq!(browser.cookie("cnx_session"), None);
        let asking = Asking::of(&page, "second-factor-passkey");
        assert_eq!(asking.options["allowCredentials"].as_array().unwrap().len(), 1);
        // Somebody else's passkey is none.
        let answer = of_bob.answer(&asking.options);
        let again = asking.send(&browser, answer).await;
        assert_eq!(again.status, 422, "{}", again.text);
        assert_eq!(browser.cookie("cnx_session"), None);
        let asking = Asking::of(&again, "second-factor-passkey");
        // A device that was asked by id may say nothing of its person.
        let handle = device.user.take();
        let answer = device.answer(&asking.options);
        let done = asking.send(&browser, answer).await;
        assert_eq!((done.status, done.location().as_deref()), (303, Some("/account")), "{}", done.text);
        device.user = handle;

        world.advance(301);
        let old = browser.cookie("cnx_session");
        let asked = act(&browser, "rename", &device.id.clone(), "Laptop").await;
        assert!(asked.status == 200 && !asked.text.contains("confirm-submit"), "{}", asked.text);
        let asking = Asking::of(&asked, "confirm-passkey");
        let answer = of_bob.answer(&asking.options);
        let again = asking.send(&browser, answer).await;
        assert!(again.status == 422 && browser.cookie("cnx_session") == old, "{} {}", again.status, again.text);
        let asking = Asking::of(&again, "confirm-passkey");
        let answer = device.answer(&asking.options);
        let done = asking.send(&browser, answer).await;
        assert_eq!(done.location().as_deref(), Some("/account/passkeys?done=passkey-renamed"), "{}", done.text);
        assert_ne!(browser.cookie("cnx_session"), old);
        assert!(browser.get(HERE).await.text.contains("<bdi>Laptop</bdi>"));
        // A password alone is half a proof.
        world.advance(301);
        let form = [token_of(&browser).await, ("confirm_password".to_owned(), PASSWORD.to_owned())];
        assert_eq!(browser.post(&format!("{HERE}/remove"), &form).await.status, 422);
    }

    /// Names, limits, other people's passkeys, and the way out (S-L11).
    async fn a_person_names_and_removes_their_own_passkeys_s_l11(world: World) {
        let (ada, device) = with_passkey(&world, "ada").await;
        let (bob, mut of_bob) = with_passkey(&world, "bob").await;
        for name in ["", "  ", "two\nlines", &"a".repeat(101)] {
            let reply = act(&ada, "rename", &device.id, name).await;
            assert!(reply.status == 400 && reply.text.contains("1 to 100 characters"), "{name}: {}", reply.text);
            let reply = add(&ada, &mut Device::new(&world.base), name).await;
            assert!(reply.status == 400 && reply.text.contains("id=\"name-problem\""), "{name}: {}", reply.text);
        }
        let hostile = "\"'></bdi><x-evil onload=alert(1)>\u{202e}🏳️‍🌈";
        assert_eq!(act(&ada, "rename", &device.id, hostile).await.status, 303);
        let page = ada.get(HERE).await;
        let html = scraper::Html::parse_document(&page.text);
        assert!(html.select(&scraper::Selector::parse("x-evil").unwrap()).next().is_none());
        assert!(html.select(&scraper::Selector::parse("td > bdi").unwrap()).any(|b| b.text().collect::<String>() == hostile));
        // What is somebody else's stays as it is.
        for what in ["rename", "remove"] {
            act(&ada, what, &of_bob.id, "Mine").await;
        }
        assert!(bob.get(HERE).await.text.contains("<bdi>This computer</bdi>"));
        assert_eq!(ada.get("/account").await.status, 200);
        // Nor is it anybody else's, even with the key in hand.
        let reply = add(&ada, &mut of_bob, "Mine").await;
        assert!(reply.status == 400 && reply.text.contains("in use already"), "{}", reply.text);

        let elsewhere = world.browser();
        assert_eq!(sign_in(&elsewhere, &mut { device }).await.status, 303);
        for n in 2..=20 {
            assert_eq!(add(&ada, &mut Device::new(&world.base), &format!("Key {n}")).await.status, 303);
        }
        assert_eq!(elsewhere.get("/account").await.status, 303);
        let full = ada.get(HERE).await;
        assert!(!full.text.contains("passkey-add") && full.text.contains("as many as there can be"), "{}", full.text);
    }

    /// An organization that asks for a second factor is content with a passkey, and the last one stays.
    async fn where_a_second_factor_is_required_a_passkey_is_one(world: World) {
        let owner = signed_in(&world, "root", Role::Owner).await;
        organizations::set_second_factor(world.app(), by(), FactorPolicy::Required).await.unwrap();
        assert_eq!(owner.get("/console/keys").await.status, 303);
        let mut device = Device::new(&world.base);
        assert_eq!(add(&owner, &mut device, "Key").await.status, 303);
        assert_eq!(owner.get("/console/keys").await.status, 200);
        let reply = act(&owner, "remove", &device.id, "").await;
        assert!(reply.status == 400 && reply.text.contains("add another one first"), "{}", reply.text);
        let mut second = Device::new(&world.base);
        assert_eq!(add(&owner, &mut second, "Spare").await.status, 303);
        assert_eq!(act(&owner, "remove", &device.id, "").await.location().as_deref(), Some("/account/passkeys?done=passkey-removed"));
        assert!(refused(&sign_in(&world.browser(), &mut device).await));
        assert_eq!(sign_in(&world.browser(), &mut second).await.location().as_deref(), Some("/console/keys"));
    }

    /// What becomes of a passkey is written down, and its person is told by mail.
    async fn what_becomes_of_a_passkey_is_written_down_and_told(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let ada = world.browser();
        let page = ada.open("/account").await;
        ada.sign_in(&page, "ada").await;
        let mut device = Device::new(&world.base);
        assert_eq!(add(&ada, &mut device, "Key").await.status, 303);
        let added = world.last_mail(1).await.text;
        assert!(added.contains("A passkey was added"), "{added}");
        assert_eq!(act(&ada, "rename", &device.id, "Spare key").await.status, 303);
        assert_eq!(act(&ada, "remove", &device.id, "").await.status, 303);
        let removed = world.last_mail(2).await.text;
        assert!(removed.contains("A passkey was removed"), "{removed}");
        let activity = ada.get("/account/activity").await.text;
        for told in ["A passkey was added", "A passkey was renamed", "A passkey was removed"] {
            assert!(activity.contains(told), "{told}: {activity}");
        }
        // Who has none is asked for a password alone again.
        let (_, page) = first_step(&world, "ada").await;
        assert_eq!(page.status, 303);
    }
}

/// A site at an address of numbers has no passkeys, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn at_an_address_of_numbers_there_are_no_passkeys() {
    use crate::world::{On, START};
    use cnx::base::time::{Clock, Timestamp};
    let clock = Clock::manual(Timestamp::from_secs(START));
    let world = World::with(On::Sqlite, clock, |settings| {
        let url = settings.public_url.as_str().replace("localhost", "127.0.0.1");
        settings.public_url = cnx::config::Issuer::parse(&url).unwrap();
    });
    let world = world.await.unwrap();
    let ada = signed_in(&world, "ada", Role::Member).await;
    let page = ada.get(HERE).await;
    assert!(page.text.contains("address of numbers") && !page.text.contains("passkey-add"), "{}", page.text);
    assert!(!world.browser().get("/sign-in").await.text.contains("sign-in-passkey"));
}
