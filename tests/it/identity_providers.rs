//! Sign-in through another provider (S-L15): whose account it opens, adding and removing.

use cnx::account::role::Role;
use cnx::base::secret::Secret;
use cnx::flow::identity_providers::{self, New, ProviderError};
use cnx::flow::people;
use serde_json::{Value, json};

use crate::identity_provider_stub::{Asked, CODE, Provider, US, WITH, add, is_nobody, on_each, value_of};
use crate::nodes::within_a_second;
use crate::page_table::{signed_in, token_of};
use crate::process::Place;
use crate::world::{Browser, CALLBACK, On, Reply, Tokens, VERIFIER, World, authorize_path, by, claims};

/// What the provider got: the code, the verifier that fits, and our secret, encoded.
fn redeemed(provider: &Provider, asked: &Asked, callback: &str) {
    let (head, body) = provider.says.lock().unwrap().redeemed.last().unwrap().clone();
    let sent: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!((sent["code"].as_str(), sent["redirect_uri"].as_str()), ("c-1", callback));
    let challenge =
        cnx::base::encoding::base64url(&cnx::base::digest::sha256(sent["code_verifier"].as_bytes()));
    assert_eq!(asked.get("code_challenge"), Some(challenge));
    // `client-1234:a+secret+%26+more`
    assert!(head.contains("Basic Y2xpZW50LTEyMzQ6YStzZWNyZXQrJTI2K21vcmU="), "{head}");
    assert!(!sent.contains_key("client_secret") && !sent.contains_key("client_id"));
}

/// Whoever sits at `browser` takes who they are at the provider away from their account.
async fn remove(provider: &Provider, browser: &Browser, subject: &str) -> Reply {
    let page = browser.get("/account/security").await;
    let form = [
        ("csrf_token", token_of(&page)),
        ("issuer", provider.issuer.clone()),
        ("subject", subject.to_owned()),
    ];
    let form = form.map(|(name, value)| (name.to_owned(), value));
    browser.post("/account/identities/remove", &form).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_elsewhere_opens_the_one_that_it_was_added_to_s_l15() {
    on_each(async |world, provider| {
        provider.add(&world, false).await;
        let user = world.add_user("ada").await;
        // Nobody has it, whatever address it says.
        let stranger = world.browser();
        let asked = Asked::new(&stranger).await;
        assert!(
            asked.url.as_str().starts_with(&format!("{}/authorize?response_type=code&", provider.issuer))
        );
        let callback = format!("{}{WITH}/callback", world.base);
        let sent = ["client_id", "redirect_uri", "scope", "code_challenge_method", "prompt"]
            .map(|name| asked.get(name));
        assert_eq!(
            sent,
            [
                Some(US.to_owned()),
                Some(callback.clone()),
                Some("email openid".to_owned()),
                Some("S256".to_owned()),
                None
            ]
        );
        provider.will_say(&world, &asked, "7", &json!({}));
        let reply = asked.back(CODE).await;
        assert_eq!(reply.status, 403, "{}", reply.text);
        assert!(
            reply.text.contains("Nobody here has that account") && is_nobody(&stranger),
            "{}",
            reply.text
        );
        redeemed(&provider, &asked, &callback);

        let ada = signed_in(&world, "ada").await;
        let reply = add(&world, &provider, &ada, "7").await;
        assert_eq!(
            reply.location().as_deref(),
            Some("/account/security?done=identity-added"),
            "{}",
            reply.text
        );
        let page = ada.get("/account/security?done=identity-added").await;
        assert!(page.text.contains("Example Inc.") && page.text.contains("ada@example.com"), "{}", page.text);
        // From now on it opens her account, to an app as well; tokens do not tell of a password that nobody typed.
        let browser = world.browser();
        let client = world.public_client().await;
        let page = browser.open(&authorize_path(&client, &[])).await;
        let asked = Asked::from(&browser, &page).await;
        assert_eq!(asked.get("prompt"), None);
        provider.will_say(&world, &asked, "7", &json!({"email": "somebody-else@example.com"}));
        let consent = browser.follow(asked.back(CODE).await).await;
        let code = browser.consent(&consent, "allow").await.callback().code();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let id = claims(Tokens::of(&world.token(&client, &form).await).id());
        assert_eq!(
            (&id["acr"], &id["amr"], &id["sub"]),
            (&json!("urn:cloudnexus:acr:password"), &Value::Null, &json!(user.id.to_string()))
        );

        // Another subject there is another account, though the address is hers.
        let browser = world.browser();
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "8", &json!({}));
        assert_eq!((asked.back(CODE).await.status, is_nobody(&browser)), (403, true));

        // Nobody else can add what is hers.
        world.add_user("eve").await;
        let eve = signed_in(&world, "eve").await;
        let reply = add(&world, &provider, &eve, "7").await;
        assert!(
            reply.status == 403 && reply.text.contains("belongs to somebody else"),
            "{} {}",
            reply.status,
            reply.text
        );
        assert!(!eve.get("/account/security").await.text.contains("/account/identities/remove"));

        // Removed, it opens nothing; and her other sessions are over.
        let other = signed_in(&world, "ada").await;
        let reply = remove(&provider, &ada, "7").await;
        assert_eq!(
            reply.location().as_deref(),
            Some("/account/security?done=identity-removed"),
            "{}",
            reply.text
        );
        assert_eq!((ada.get("/account").await.status, other.get("/account").await.status), (200, 303));
        let browser = world.browser();
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        assert_eq!((asked.back(CODE).await.status, is_nobody(&browser)), (403, true));
        let page = ada.get("/account/activity").await;
        assert!(
            page.text.contains("An account elsewhere was added")
                && page.text.contains("An account elsewhere was removed"),
            "{}",
            page.text
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_opens_an_account_only_where_the_provider_is_trusted_for_it_s_l15() {
    on_each(async |world, provider| {
        provider.add(&world, true).await;
        let ada = world.add_user("ada").await;
        let arrive = async |subject: &str, changes: Value| {
            let browser = world.browser();
            let asked = Asked::new(&browser).await;
            provider.will_say(&world, &asked, subject, &changes);
            let reply = asked.back(CODE).await;
            assert_eq!(reply.status == 303, !is_nobody(&browser), "{}", reply.text);
            reply.status
        };
        // Seen to be theirs at both ends, or it opens nothing.
        assert_eq!(arrive("7", json!({"email_verified": false})).await, 403);
        assert_eq!(arrive("7", json!({"email_verified": null})).await, 403);
        assert_eq!(arrive("7", json!({"email": null})).await, 403);
        assert_eq!(arrive("7", json!({"email": "nobody@example.com"})).await, 403);
        people::add(
            world.app(),
            by(),
            people::NewPerson {
                email: Some("bob@example.com".to_owned()),
                username: Some("bob".to_owned()),
                name: None,
                email_verified: false,
                role: Role::Member,
                claims: serde_json::Map::new(),
                password: None,
            },
        )
        .await
        .unwrap();
        assert_eq!(arrive("9", json!({"email": "bob@example.com"})).await, 403);
        assert_eq!(arrive("7", json!({"email": "Ada@Example.com"})).await, 303);
        // From now on by the subject; the address may be another's by then.
        assert_eq!(arrive("7", json!({"email": "bob@example.com"})).await, 303);
        // A disabled person is nobody, and a disabled provider none.
        people::set_disabled(world.app(), by(), ada.id, true).await.unwrap();
        assert_eq!(arrive("7", json!({})).await, 403);
        assert_eq!(arrive("10", json!({})).await, 403);
        people::set_disabled(world.app(), by(), ada.id, false).await.unwrap();
        assert_eq!(arrive("7", json!({})).await, 303);
        let browser = world.browser();
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        identity_providers::set_disabled(world.app(), by(), "example", true).await.unwrap();
        assert_eq!((asked.back(CODE).await.status, is_nobody(&browser)), (404, true));
        let page = browser.open("/sign-in").await;
        assert!(!page.text.contains("sign-in-with-example"));
        let form = [("csrf_token".to_owned(), token_of(&page))];
        assert_eq!(browser.post(WITH, &form).await.status, 404);
        identity_providers::set_disabled(world.app(), by(), "example", false).await.unwrap();
        assert_eq!(arrive("7", json!({})).await, 303);
        identity_providers::remove(world.app(), by(), "example").await.unwrap();
        assert!(!browser.open("/sign-in").await.text.contains("sign-in-with-example"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_proves_anew_and_whoever_has_a_second_factor_shows_it_s_l15() {
    on_each(async |world, provider| {
        provider.add(&world, false).await;
        world.add_user("ada").await;
        let ada = signed_in(&world, "ada").await;
        add(&world, &provider, &ada, "7").await;
        // Who is signed in is at the sign-in page because a fresh proof is wanted: the provider is asked for one.
        world.advance(301);
        let page = ada.open("/sign-in?next=/console/keys/new").await;
        let asked = Asked::from(&ada, &page).await;
        assert_eq!(
            (asked.get("prompt").as_deref(), asked.get("max_age").as_deref()),
            (Some("login"), Some("0"))
        );
        provider.will_say(&world, &asked, "7", &json!({"auth_time": world.now() - 3_600}));
        assert_eq!(asked.back(CODE).await.status, 403, "an old sign-in there is no fresh proof here");
        let asked = Asked::from(&ada, &ada.open("/sign-in?next=/console/keys/new").await).await;
        provider.will_say(&world, &asked, "7", &json!({"auth_time": world.now()}));
        let reply = asked.back(CODE).await;
        assert_eq!(reply.location().as_deref(), Some("/console/keys/new"), "{}", reply.text);
        assert_eq!(ada.get("/console/keys/new").await.status, 200);

        let mut device = crate::authenticator::Device::new(&world.base);
        crate::authenticator::add(&ada, &mut device, "This computer").await;
        let browser = world.browser();
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        let reply = asked.back(CODE).await;
        assert!(reply.status == 200 && is_nobody(&browser), "{}", reply.text);
        let step = crate::authenticator::Asking::of(&reply, "second-factor-passkey");
        let answer = device.answer(&step.options);
        let done = step.send(&browser, answer).await;
        assert_eq!((done.status, is_nobody(&browser)), (303, false), "{}", done.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_their_only_way_in_away_s_l15() {
    on_each(async |world, provider| {
        provider.add(&world, true).await;
        people::add(
            world.app(),
            by(),
            people::NewPerson {
                email: Some("ada@example.com".to_owned()),
                username: Some("ada".to_owned()),
                name: None,
                email_verified: true,
                role: Role::Member,
                claims: serde_json::Map::new(),
                password: None,
            },
        )
        .await
        .unwrap();
        let browser = world.browser();
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "7", &json!({}));
        assert_eq!(asked.back(CODE).await.status, 303);
        let reply = remove(&provider, &browser, "7").await;
        assert!(reply.status == 400 && reply.text.contains("your only way to sign in"), "{}", reply.text);
        add(&world, &provider, &browser, "8").await;
        // Without a password there is another way to prove it.
        world.advance(301);
        let reply = remove(&provider, &browser, "7").await;
        let again = "href=\"/sign-in?next=%2Faccount\" id=\"confirm-elsewhere\"";
        assert!(reply.text.contains(again) && !reply.text.contains("confirm_password"), "{}", reply.text);
        let asked = Asked::new(&browser).await;
        provider.will_say(&world, &asked, "8", &json!({}));
        assert_eq!(asked.back(CODE).await.status, 303);
        let reply = remove(&provider, &browser, "7").await;
        assert_eq!(
            reply.location().as_deref(),
            Some("/account/security?done=identity-removed"),
            "{}",
            reply.text
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_is_refused_with_its_field_s_l15() {
    on_each(async |world, provider| {
        let try_one = async |change: fn(&mut New)| {
            let mut new = provider.described("example");
            change(&mut new);
            match identity_providers::add(world.app(), by(), new).await {
                Ok(_) => "added",
                Err(ProviderError::Field { field, .. }) => field,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(try_one(|new| new.id = "Example/..".to_owned()).await, "id");
        assert_eq!(try_one(|new| new.id = String::new()).await, "id");
        assert_eq!(try_one(|new| new.name = "\n".to_owned()).await, "name");
        assert_eq!(try_one(|new| new.issuer = "http://elsewhere.example".to_owned()).await, "issuer");
        assert_eq!(try_one(|new| new.issuer.push_str("/not-it")).await, "issuer");
        assert_eq!(try_one(|new| new.client_id = String::new()).await, "client-id");
        assert_eq!(try_one(|new| new.scope = "email".to_owned()).await, "scope");
        assert_eq!(
            try_one(|new| (new.scope, new.trusted_for_addresses) = ("openid".to_owned(), true)).await,
            "scope"
        );
        assert_eq!(try_one(|_| {}).await, "added");
        assert_eq!(try_one(|new| new.issuer.push('/')).await, "issuer");
        assert!(["id", "issuer"].contains(&try_one(|_| {}).await));
        assert_eq!(try_one(|new| new.id = "another".to_owned()).await, "issuer");
        let unknown = identity_providers::set_disabled(world.app(), by(), "nobody", true).await;
        assert!(matches!(unknown, Err(ProviderError::Unknown(_))));
    })
    .await;
}

/// The other provider is a server of our own: it is asked as any client asks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_our_servers_signs_people_in_at_another_s_l15() {
    for on in [On::Sqlite, On::Postgres] {
        let Some(theirs) = World::new(on).await else { continue };
        let port = theirs.settings.listen.port();
        let allowed = |settings: &mut cnx::config::Settings| {
            settings.outbound.allow = vec![format!("localhost:{port}")];
        };
        let clock =
            cnx::base::time::Clock::manual(cnx::base::time::Timestamp::from_secs(crate::world::START));
        let ours = World::with(on, clock, allowed).await.unwrap();
        let redirect = format!("{}/sign-in/with/theirs/callback", ours.base);
        let client = theirs.add_client(json!({"redirect_uris": [redirect]})).await;
        let new = New {
            id: "theirs".to_owned(),
            name: "Theirs".to_owned(),
            issuer: theirs.base.clone(),
            client_id: client.id.clone(),
            secret: client.secret.clone().map(Secret::new),
            scope: "openid email".to_owned(),
            trusted_for_addresses: true,
        };
        identity_providers::add(ours.app(), by(), new).await.unwrap();
        theirs.add_user("ada").await;
        ours.add_user("ada").await;
        let (here, there) = (ours.browser(), theirs.browser());
        let page = here.open("/account/apps").await;
        let form = ["csrf_token", "request", "next"].map(|name| (name.to_owned(), value_of(&page, name)));
        let asked = Asked::of(&here, &here.post("/sign-in/with/theirs", &form).await);
        let callback = there.authorize(asked.url.as_str(), "ada").await;
        let done = here.get(&callback.location).await;
        assert_eq!((done.status, done.location().as_deref()), (303, Some("/account/apps")), "{}", done.text);
        assert_eq!(here.get("/account/apps").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_added_listed_and_ended_by_commands_s_l15() {
    let provider = Provider::start().await;
    let mut place = Place::new();
    place.set("CNX_OUTBOUND__ALLOW", &format!("127.0.0.1:{}", provider.port));
    let node = place.serve(&[]);
    let refused = |arguments: &[&str]| {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.err
    };
    let issuer = provider.issuer.as_str();
    let named = ["identity-provider", "add", "example", "--issuer", issuer, "--client-id", US];
    let told = refused(&[&named[..], &["--scope", "email"]].concat());
    assert!(told.contains("scope: openid must be among them"), "{told}");
    let told =
        refused(&["identity-provider", "add", "x", "--issuer", "http://127.0.0.1:1", "--client-id", US]);
    assert!(told.contains("issuer: ") && told.contains("may not be fetched from"), "{told}");
    let added = place
        .json_with(&[&named[..], &["--name", "Example Inc.", "--secret-stdin"]].concat(), Some("a secret\n"));
    let callback = format!("{}{WITH}/callback", place.base);
    assert_eq!((&added["redirect_uri"], &added["trusted_for_addresses"]), (&json!(callback), &json!(false)));
    assert!(!added.to_string().contains("a secret"), "{added}");
    let page =
        || async { reqwest::get(format!("{}/sign-in", place.base)).await.unwrap().text().await.unwrap() };
    within_a_second("a provider", || async { page().await.contains("sign-in-with-example") }).await;
    let told = refused(&named);
    assert!(told.contains("a provider has it already"), "{told}");
    assert!(place.json(&["identity-provider", "disable", "example"])["disabled_at"].is_string());
    within_a_second("its end", || async { !page().await.contains("sign-in-with-example") }).await;
    assert!(place.json(&["identity-provider", "enable", "example"])["disabled_at"].is_null());
    assert_eq!(place.json(&["identity-provider", "list"])["identity_providers"][0]["name"], "Example Inc.");
    place.json(&["identity-provider", "remove", "example"]);
    let told = refused(&["identity-provider", "remove", "example"]);
    assert!(told.contains("no provider has the id example"), "{told}");
    drop(node);
}
