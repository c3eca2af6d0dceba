//! Passkeys: alone as a sign-in, and every answer that is not quite right.

use cnx::account::role::Role;
use cnx::flow::people;
use serde_json::json;

use crate::authenticator::{Asking, Device, add, sign_in};
use crate::console_keys::signed_in;
use crate::world::{Browser, CALLBACK, Reply, Tokens, VERIFIER, World, authorize_path, by, claims, on_both};

pub const HERE: &str = "/account/passkeys";

/// Somebody with a passkey, in the browser in which they added it.
pub async fn with_passkey(world: &World, name: &str) -> (Browser, Device) {
    let browser = signed_in(world, name, Role::Member).await;
    let mut device = Device::new(&world.base);
    let added = add(&browser, &mut device, "This computer").await;
    assert_eq!(added.location().as_deref(), Some("/account/passkeys?done=passkey-added"), "{}", added.text);
    (browser, device)
}

/// What makes an answer wrong.
type Spoil = fn(&mut Device);

/// Whether an answer lets its person in; the page otherwise.
pub fn refused(reply: &Reply) -> bool {
    reply.status == 422
        && reply.text.contains("cannot be used here")
        && reply.text.contains("sign-in-passkey")
}

/// A page without what differs each time.
fn without_tokens(reply: &Reply) -> String {
    let values = regex::Regex::new(r#"(value|data-options|content)="[^"]*""#).unwrap();
    values.replace_all(&reply.text, "").into_owned()
}

/// Posts a form of one's own page of passkeys.
pub async fn act(browser: &Browser, what: &str, id: &[u8], name: &str) -> Reply {
    let page = browser.get(HERE).await;
    let token =
        Asking::of(&page, "passkey-add").fields.into_iter().find(|(name, _)| name == "csrf_token").unwrap();
    let id = ("id".to_owned(), cnx::base::encoding::base64url(id));
    browser.post(&format!("{HERE}/{what}"), &[token, id, ("name".to_owned(), name.to_owned())]).await
}

/// The form token of one's own page of passkeys.
pub async fn token_of(browser: &Browser) -> (String, String) {
    Asking::of(&browser.get(HERE).await, "passkey-add")
        .fields
        .into_iter()
        .find(|(name, _)| name == "csrf_token")
        .unwrap()
}

on_both! {
    /// S-L13, S-L9, S-L11, C27: a passkey alone is two factors, and tokens tell of it.
    async fn a_passkey_alone_signs_its_person_in_and_tokens_tell_of_it_s_l13_s_l11_c27(world: World) {
        let client = world.public_client().await;
        let ada = signed_in(&world, "ada", Role::Member).await;
        let elsewhere = world.browser();
        let page = elsewhere.open("/account").await;
        elsewhere.sign_in(&page, "ada").await;
        let old = ada.cookie("cnx_session");
        let mut device = Device::new(&world.base);
        let added = add(&ada, &mut device, " This computer ").await;
        assert_eq!(added.location().as_deref(), Some("/account/passkeys?done=passkey-added"), "{}", added.text);
        assert_ne!(ada.cookie("cnx_session"), old);
        let page = ada.get("/account/passkeys?done=passkey-added").await;
        assert!(page.status == 200 && page.text.contains("<bdi>This computer</bdi>"), "{}", page.text);
        assert_eq!(elsewhere.get("/account").await.status, 303);

        let browser = world.browser();
        let done = sign_in(&browser, &mut device).await;
        assert_eq!((done.status, done.location().as_deref()), (303, Some("/account")), "{}", done.text);
        assert_eq!(browser.get("/account").await.status, 200);
        // Used: the list says when.
        assert!(!browser.get(HERE).await.text.contains("Never"));

        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let asking = Asking::of(&page, "sign-in-passkey");
        let answer = device.answer(&asking.options);
        let answer = asking.send(&browser, answer).await;
        let consent = browser.follow(answer).await;
        let code = browser.consent(&consent, "allow").await.callback().code();
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        let id = claims(Tokens::of(&world.token(&client, &form).await).id());
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:cloudnexus:acr:mfa"), &json!(["pop", "user", "mfa"])));
    }

    /// S-L13: exact origin and site, a present and verified holder, the right key and the right kind of answer.
    async fn an_answer_that_is_not_quite_right_signs_nobody_in_s_l13(world: World) {
        let (_, mut device) = with_passkey(&world, "ada").await;
        let port = world.base.rsplit_once(':').unwrap().1.to_owned();
        let right = (device.origin.clone(), device.user.clone());
        for origin in [
            format!("https://localhost:{port}"),
            "http://localhost:1".to_owned(),
            "http://localhost".to_owned(),
            format!("http://sub.localhost:{port}"),
            format!("http://evillocalhost:{port}"),
            format!("http://localhost.evil.example:{port}"),
            "null".to_owned(),
        ] {
            device.origin.clone_from(&origin);
            let reply = sign_in(&world.browser(), &mut device).await;
            assert!(refused(&reply), "{origin}: {} {}", reply.status, reply.text);
        }
        device.origin = right.0;
        let spoil: [(&str, Spoil); 7] = [
            ("another site", |device| device.rp_id = "example.com".to_owned()),
            ("a site below", |device| device.rp_id = "sub.localhost".to_owned()),
            ("nobody there", |device| device.present = false),
            ("nobody verified", |device| device.verified = false),
            ("another key's signature", |device| device.forged = true),
            ("an answer of another kind", |device| device.kind = Some("webauthn.create")),
            ("of nobody", |device| device.user = None),
        ];
        for (what, spoil) in spoil {
            let before = (device.rp_id.clone(), device.user.clone());
            spoil(&mut device);
            let browser = world.browser();
            let reply = sign_in(&browser, &mut device).await;
            assert!(refused(&reply), "{what}: {} {}", reply.status, reply.text);
            assert_eq!(browser.cookie("cnx_session"), None, "{what}");
            (device.rp_id, device.user) = before;
            (device.present, device.verified, device.forged, device.kind) = (true, true, false, None);
        }
        for garbage in ["", "{}", "null", "[]", r#"{"id":"a","rawId":"!","type":"public-key","response":{}}"#] {
            let browser = world.browser();
            let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
            assert!(refused(&asking.send(&browser, garbage.to_owned()).await), "{garbage}");
        }
        assert_eq!(sign_in(&world.browser(), &mut device).await.status, 303);
    }

    /// S-L13: a challenge is good once, in its browser, for five minutes, for what it was made for.
    async fn a_challenge_is_good_once_and_for_one_purpose_s_l13(world: World) {
        let (ada, mut device) = with_passkey(&world, "ada").await;
        let browser = world.browser();
        let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
        let answer = device.answer(&asking.options);
        assert_eq!(asking.send(&browser, answer.clone()).await.status, 303);
        assert!(refused(&asking.send(&browser, answer).await), "a second time");
        // A failure spends it as well.
        let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
        assert!(refused(&asking.send(&browser, "{}".to_owned()).await));
        let answer = device.answer(&asking.options);
        assert!(refused(&asking.send(&browser, answer).await), "after a failure");

        let asking = Asking::of(&world.browser().get("/sign-in").await, "sign-in-passkey");
        let own = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
        let challenge = asking.fields.iter().find(|(name, _)| name == "challenge").unwrap().1.clone();
        let answer = device.answer(&asking.options);
        assert!(refused(&own.with("challenge", &challenge).send(&browser, answer).await), "of another browser");

        let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
        world.advance(301);
        let answer = device.answer(&asking.options);
        assert!(refused(&asking.send(&browser, answer).await), "too late");

        // The challenge of a proof signs nobody in.
        let confirm = ada.post(&format!("{HERE}/remove"), &[token_of(&ada).await]).await;
        let proof = Asking::of(&confirm, "confirm-passkey");
        let challenge = proof.fields.iter().find(|(name, _)| name == "confirm_challenge").unwrap().1.clone();
        let asking = Asking::of(&ada.get("/sign-in").await, "sign-in-passkey").with("challenge", &challenge);
        let answer = device.answer(&proof.options);
        assert!(refused(&asking.send(&ada, answer).await), "for a proof");

        // Eight times at once: once.
        let asking = Asking::of(&browser.get("/sign-in").await, "sign-in-passkey");
        let answer = device.answer(&asking.options);
        let tries = (0..8).map(|_| {
            let (asking, browser, answer) = (asking.clone(), browser.clone(), answer.clone());
            tokio::spawn(async move { asking.send(&browser, answer).await.status })
        });
        let mut taken = 0;
        for one in tries.collect::<Vec<_>>() {
            taken += usize::from(one.await.unwrap() == 303);
        }
        assert_eq!(taken, 1);
    }

    /// S-L13: a counter that does not go on is a copy of the key.
    async fn a_counter_never_goes_back_s_l13(world: World) {
        let ada = signed_in(&world, "ada", Role::Member).await;
        let mut device = Device::new(&world.base);
        device.counter = 7;
        assert_eq!(add(&ada, &mut device, "Key").await.status, 303);
        // The device counts before it answers: what stands here is one less.
        for (counter, good) in [(6, false), (7, true), (7, false), (3, false), (8, true), (100, true), (50, false)] {
            device.counter = counter;
            let reply = sign_in(&world.browser(), &mut device).await;
            assert_eq!(reply.status == 303, good, "{counter}: {} {}", reply.status, reply.text);
        }
    }

    /// S-L4: unknown, removed, of somebody else, of somebody who was disabled: the same page and status as a wrong answer.
    async fn nobody_can_tell_why_a_passkey_was_refused_s_l4(world: World) {
        let (_, mut device) = with_passkey(&world, "ada").await;
        let (bob, mut other) = with_passkey(&world, "bob").await;
        let (_, mut third) = with_passkey(&world, "cy").await;
        device.forged = true;
        let wrong = sign_in(&world.browser(), &mut device).await;
        device.forged = false;
        assert!(refused(&wrong), "{}", wrong.text);
        let mut unknown = Device::new(&world.base);
        unknown.user.clone_from(&device.user);
        let mut all = vec![("unknown", sign_in(&world.browser(), &mut unknown).await)];
        let own = std::mem::replace(&mut device.user, other.user.clone());
        all.push(("of somebody else", sign_in(&world.browser(), &mut device).await));
        device.user = own;
        assert_eq!(act(&bob, "remove", &other.id.clone(), "").await.status, 303);
        all.push(("removed", sign_in(&world.browser(), &mut other).await));
        let cy = people::find(world.app(), "cy").await.unwrap().id;
        people::set_disabled(world.app(), by(), cy, true).await.unwrap();
        all.push(("disabled", sign_in(&world.browser(), &mut third).await));
        for (what, reply) in all {
            assert_eq!(reply.status, wrong.status, "{what}");
            assert_eq!(without_tokens(&reply), without_tokens(&wrong), "{what}");
        }
        // What the page asks for tells of nobody either.
        let asking = Asking::of(&world.browser().get("/sign-in").await, "sign-in-passkey");
        assert_eq!(asking.options["allowCredentials"], json!([]));
        assert_eq!(sign_in(&world.browser(), &mut device).await.status, 303);
    }

    /// S-L6: tries from one place are throttled.
    async fn wrong_passkeys_are_throttled_by_place_s_l6(world: World) {
        let (_, mut device) = with_passkey(&world, "ada").await;
        let mut unknown = Device::new(&world.base);
        let free = world.settings.limits.login_failures * 10;
        let mut statuses = Vec::new();
        for _ in 0..=free {
            statuses.push(sign_in(&world.browser(), &mut unknown).await.status);
        }
        assert_eq!((statuses.first(), statuses.last()), (Some(&422), Some(&429)), "{statuses:?}");
        assert_eq!(sign_in(&world.browser(), &mut device).await.status, 429);
        world.advance(86_401);
        assert_eq!(sign_in(&world.browser(), &mut device).await.status, 303);
    }
}
