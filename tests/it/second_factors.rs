//! The second factor by code: set up, asked for, used once, lost and recovered; and an organization that asks everybody for one.

use cnx::account::factor_policy::FactorPolicy;
use cnx::account::role::Role;
use cnx::account::totp;
use cnx::base::time::Timestamp;
use cnx::flow::{organizations, second_factor};
use cnx::oauth::id_token::{ACR_MFA, ACR_PASSWORD};
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::console_keys::signed_in;
use crate::world::{
    Browser, CALLBACK, PASSWORD, Reply, TestClient, Tokens, VERIFIER, World, authorize_path, by, claims,
    environment, on_both,
};

pub fn select(page: &Reply, selector: &str) -> Vec<String> {
    let html = scraper::Html::parse_document(&page.text);
    let selector = scraper::Selector::parse(selector).unwrap();
    html.select(&selector)
        .map(|found| found.attr("value").map_or_else(|| found.text().collect(), str::to_owned))
        .collect()
}

pub fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The code that an app with this secret shows now.
fn code(world: &World, secret: &[u8]) -> String {
    totp::code_of(secret, world.app().now().as_secs() / 30)
}

/// Reads base32 (RFC 4648 §6) as an app does.
pub fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|b| *b != b' ') {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter).unwrap();
        bits = bits << 5 | u32::try_from(value).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 255).unwrap());
        }
    }
    bytes
}

/// Sets an app up by the pages; its secret, and the recovery codes.
async fn set_up(world: &World, browser: &Browser) -> (Vec<u8>, Vec<String>) {
    let page = browser.get("/account/security/app").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let secret = base32(&select(&page, "#totp-secret")[0]);
    let form = [
        (
            "csrf_token",
            select(&page, "form[action='/account/security/app'] input[name=csrf_token]")[0].clone(),
        ),
        ("draft", select(&page, "input[name=draft]")[0].clone()),
        ("code", code(world, &secret)),
    ];
    let form: Vec<_> = form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let done = browser.post("/account/security/app", &form).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let codes = select(&done, "#recovery-codes code");
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

/// The first step of a sign-in, in a browser of its own.
async fn first_step(world: &World, name: &str) -> (Browser, Reply) {
    let browser = world.browser();
    let page = browser.get("/sign-in").await;
    let token = select(&page, "input[name=csrf_token]")[0].clone();
    let form = owned(&[("csrf_token", &token), ("request", ""), ("username", name), ("password", PASSWORD)]);
    let page = browser.post("/sign-in", &form).await;
    (browser, page)
}

/// The second step.
async fn second_step(browser: &Browser, page: &Reply, code: &str) -> Reply {
    let token = select(page, "input[name=csrf_token]")[0].clone();
    let half = select(page, "input[name=half]")[0].clone();
    let form =
        owned(&[("csrf_token", &token), ("request", ""), ("half", &half), ("next", ""), ("code", code)]);
    browser.post("/sign-in/second-factor", &form).await
}

/// Makes every session one of a password alone, whatever it proved.
async fn forget_the_second_factor(world: &World) {
    let lower = format!("UPDATE sessions SET acr = '{ACR_PASSWORD}', amr = 'pwd'");
    world.app().store.write(move |conn| Ok(conn.batch_execute(&lower)?)).await.unwrap();
}

/// What an ID token tells of how surely its person signed in.
async fn acr_of(world: &World, client: &TestClient, code: &str) -> String {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = Tokens::of(&world.token(client, &form).await);
    claims(tokens.id())["acr"].as_str().unwrap().to_owned()
}

on_both! {
    /// S-L13, C45: no session before the second step; a code opens it once, and so does a recovery code; a wrong one asks again there.
    async fn who_has_an_app_is_asked_for_a_code_that_works_once_s_l13_c45(world: World) {
        let ada = signed_in(&world, "ada", Role::Member).await;
        let elsewhere = world.browser();
        let page = elsewhere.open("/account").await;
        elsewhere.sign_in(&page, "ada").await;
        let (secret, codes) = set_up(&world, &ada).await;
        // Where it was set up the session goes on; elsewhere it ended (S-L11).
        assert_eq!(ada.get("/account").await.status, 200);
        assert_eq!(elsewhere.get("/account").await.status, 303);

        // The code that set it up is spent.
        let used = code(&world, &secret);
        let (browser, page) = first_step(&world, "ada").await;
        assert!(page.status == 200 && page.text.contains("autocomplete=\"one-time-code\""), "{}", page.text);
        assert_eq!(browser.cookie("cnx_session"), None);
        let again = second_step(&browser, &page, &used).await;
        assert!(again.status == 422 && again.text.contains("id=\"second-factor-submit\""), "{}", again.text);
        world.advance(30);
        let next = code(&world, &secret);
        let wrong = second_step(&browser, &again, if next == "000000" { "000001" } else { "000000" }).await;
        assert_eq!(wrong.status, 422);
        let done = second_step(&browser, &wrong, &next).await;
        assert_eq!((done.status, done.location().as_deref()), (303, Some("/account")), "{}", done.text);
        assert_eq!(browser.get("/account").await.status, 200);
        // Neither the code nor the first step does it again.
        assert_eq!(second_step(&browser, &page, &next).await.location().as_deref(), Some("/sign-in?notice=again"));
        let (browser, page) = first_step(&world, "ada").await;
        assert_eq!(second_step(&browser, &page, &next).await.status, 422);

        // A recovery code, however it is typed, once.
        let typed = codes[3].to_lowercase().replace('-', " ");
        assert_eq!(second_step(&browser, &page, &typed).await.status, 303);
        let (browser, page) = first_step(&world, "ada").await;
        assert_eq!(second_step(&browser, &page, &codes[3]).await.status, 422);
        let left = second_factor::of(world.app(), user(&world, "ada").await).await.unwrap();
        assert_eq!(left.codes_left, 9);
    }

    /// A first step is good for ten minutes and for the password that it proved; who comes too late begins anew and loses nothing.
    async fn a_first_step_ends_with_its_time_and_its_password(world: World) {
        let client = world.public_client().await;
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, _) = set_up(&world, &ada).await;
        let browser = world.browser();
        let asked = browser.open(&authorize_path(&client, &[])).await;
        let page = browser.sign_in(&asked, "ada").await;
        world.advance(601);
        let late = second_step(&browser, &page, &code(&world, &secret)).await.location().unwrap();
        assert!(late.starts_with("/sign-in?notice=again&request="), "{late}");
        let page = browser.sign_in(&browser.get(&late).await, "ada").await;
        let answer = second_step(&browser, &page, &code(&world, &secret)).await;
        let consent = browser.follow(answer).await;
        assert!(consent.text.contains("name=\"decision\""), "{}", consent.text);

        let (browser, page) = first_step(&world, "ada").await;
        world.advance(30);
        let user = user(&world, "ada").await;
        let user = world.app().store.read(move |conn| cnx::store::users::find(conn, user)).await.unwrap().unwrap();
        let new = cnx::base::secret::Secret::new("another plank of vivid drums".to_owned());
        cnx::flow::people::set_password(world.app(), by(), &user, new).await.unwrap();
        let undone = second_step(&browser, &page, &code(&world, &secret)).await;
        assert_eq!(undone.location().as_deref(), Some("/sign-in?notice=again"));
    }

    /// S-L2: who has a second factor gets a costlier hash too, and the first step that wrote it goes on to the second.
    async fn a_password_beside_a_second_factor_is_hashed_anew_when_the_cost_changes_s_l2(world: World) {
        let mut world = world;
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, _) = set_up(&world, &ada).await;
        let id = user(&world, "ada").await;
        world.settings.passwords.argon2_passes = 3;
        world.restart().await;
        world.advance(30);
        let (browser, page) = first_step(&world, "ada").await;
        let kept = world.app().store.read(move |conn| cnx::store::users::find(conn, id)).await.unwrap().unwrap();
        let hash = kept.password.unwrap();
        assert!(hash.as_str().contains(",t=3,"), "{}", hash.as_str());
        assert_eq!(second_step(&browser, &page, &code(&world, &secret)).await.status, 303);
    }

    /// The same code from sixteen sides at once: one is right.
    async fn of_sixteen_who_show_the_same_code_one_is_let_in_s_l13(world: World) {
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, codes) = set_up(&world, &ada).await;
        world.advance(30);
        let id = user(&world, "ada").await;
        for typed in [code(&world, &secret), codes[0].clone()] {
            let tries = (0..16).map(|_| {
                let (app, typed) = (std::sync::Arc::clone(world.app()), typed.clone());
                tokio::spawn(async move { second_factor::check(&app, id, &typed, app.now()).await.unwrap() })
            });
            let mut right = 0;
            for one in tries.collect::<Vec<_>>() {
                right += usize::from(one.await.unwrap().is_some());
            }
            assert_eq!(right, 1, "{typed}");
        }
    }

    /// S-L6: codes are guessed no faster than passwords, though the password is known.
    async fn codes_are_throttled_as_passwords_are_s_l6(world: World) {
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, _) = set_up(&world, &ada).await;
        world.advance(30);
        let right = code(&world, &secret);
        let wrong = if right == "000000" { "000001" } else { "000000" };
        let mut statuses = Vec::new();
        for _ in 0..8 {
            let (browser, page) = first_step(&world, "ada").await;
            if page.text.contains("name=\"half\"") {
                statuses.push(second_step(&browser, &page, wrong).await.status);
            } else {
                statuses.push(page.status);
            }
        }
        assert_eq!((statuses.first(), statuses.last()), (Some(&422), Some(&429)), "{statuses:?}");
    }

    /// R48: a request that wishes or demands a second factor gets one where there is one, and who proved more proved less as well.
    async fn an_app_asks_for_a_second_factor_and_gets_it_r48(world: World) {
        let client = world.public_client().await;
        let essential = |acr: &str| json!({"id_token": {"acr": {"essential": true, "value": acr}}}).to_string();
        let (mfa, password) = (essential(ACR_MFA), essential(ACR_PASSWORD));
        let wish = authorize_path(&client, &[("acr_values", ACR_MFA)]);
        let demand = authorize_path(&client, &[("claims", &mfa)]);
        let silent = authorize_path(&client, &[("prompt", "none"), ("claims", &mfa)]);
        // Her session is one of a password alone, from before she had an app. A wish is no demand.
        let ada = signed_in(&world, "ada", Role::Member).await;
        let page = ada.open(&wish).await;
        let answer = ada.consent(&page, "allow").await.callback();
        assert_eq!(acr_of(&world, &client, &answer.code()).await, ACR_PASSWORD);
        for path in [&demand, &silent] {
            assert_eq!(ada.get(path).await.callback().error(), "unmet_authentication_requirements");
        }
        let (before, secret) = (ada.cookie("cnx_session"), set_up(&world, &ada).await.0);
        assert_ne!(ada.cookie("cnx_session"), before);

        // Her own session proved the code when it was set up; one that did not is asked for it, once, and goes on to the app.
        let (browser, page) = first_step(&world, "ada").await;
        world.advance(30);
        second_step(&browser, &page, &code(&world, &secret)).await;
        for path in [&wish, &demand, &silent] {
            let answer = browser.get(path).await.callback();
            assert_eq!(acr_of(&world, &client, &answer.code()).await, ACR_MFA);
        }
        // A demand for a password alone is met by more, and told as it was asked for.
        let answer = browser.get(&authorize_path(&client, &[("claims", &password)])).await.callback();
        assert_eq!(acr_of(&world, &client, &answer.code()).await, ACR_PASSWORD);
    }

    /// R48: a session of a password alone, whose person has an app, is led through a sign-in with both, or refused where nothing may be shown.
    async fn a_session_that_proved_less_signs_in_again_for_an_app_that_asks_for_more_r48(world: World) {
        let client = world.public_client().await;
        let mfa = json!({"id_token": {"acr": {"essential": true, "value": ACR_MFA}}}).to_string();
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, _) = set_up(&world, &ada).await;
        forget_the_second_factor(&world).await;
        let silent = authorize_path(&client, &[("prompt", "none"), ("claims", &mfa)]);
        assert_eq!(ada.get(&silent).await.callback().error(), "login_required");
        for more in [("claims", mfa.as_str()), ("acr_values", ACR_MFA)] {
            world.advance(30);
            forget_the_second_factor(&world).await;
            let page = ada.open(&authorize_path(&client, &[more])).await;
            let form = [
                ("csrf_token", select(&page, "input[name=csrf_token]")[0].clone()),
                ("request", select(&page, "input[name=request]")[0].clone()),
                ("username", "ada".to_owned()),
                ("password", PASSWORD.to_owned()),
            ];
            let form: Vec<_> = form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let page = ada.post("/sign-in", &form).await;
            let answer = second_step(&ada, &page, &code(&world, &secret)).await;
            let mut reply = ada.follow(answer).await;
            if reply.status == 200 {
                reply = ada.consent(&reply, "allow").await;
            }
            let answer = reply.callback();
            assert_eq!(acr_of(&world, &client, &answer.code()).await, ACR_MFA, "{more:?}");
        }
    }

    /// C27: tokens tell what happened.
    async fn tokens_tell_of_the_second_factor_c27(world: World) {
        let client = world.public_client().await;
        let ada = signed_in(&world, "ada", Role::Member).await;
        let (secret, _) = set_up(&world, &ada).await;
        world.advance(30);
        let browser = world.browser();
        let page = browser.open(&authorize_path(&client, &[])).await;
        let hidden = |name: &str| select(&page, &format!("input[name={name}]"))[0].clone();
        let form = [("csrf_token", hidden("csrf_token")), ("request", hidden("request")), ("username", "ada".to_owned()), ("password", PASSWORD.to_owned())];
        let form: Vec<_> = form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let page = browser.post("/sign-in", &form).await;
        // Browsers hold the redirects of a form to its page's policy: each page of the step must let the app be reached (S-H11).
        let leads_to_app = |page: &Reply| {
            let origin = url::Url::parse(CALLBACK).unwrap().origin().ascii_serialization();
            let policy = page.header("content-security-policy").unwrap();
            policy.split(';').any(|part| part.trim().starts_with("form-action") && part.contains(&origin))
        };
        assert!(leads_to_app(&page), "{:?}", page.header("content-security-policy"));
        let page = second_step(&browser, &page, "not a code").await;
        assert!(page.status == 422 && leads_to_app(&page), "{:?}", page.header("content-security-policy"));
        let answer = second_step(&browser, &page, &code(&world, &secret)).await;
        let consent = browser.follow(answer).await;
        let callback = browser.consent(&consent, "allow").await.callback();
        let code = callback.code();
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        let tokens = Tokens::of(&world.token(&client, &form).await);
        let id = claims(tokens.id());
        assert_eq!((&id["acr"], &id["amr"]), (&json!("urn:cloudnexus:acr:mfa"), &json!(["pwd", "otp", "mfa"])));
    }

    /// An organization that asks for a second factor: nothing but setting one up, until there is one.
    async fn where_a_second_factor_is_required_nothing_else_is_open_before_it(world: World) {
        let owner = signed_in(&world, "root", Role::Owner).await;
        organizations::set_second_factor(world.app(), by(), FactorPolicy::Required).await.unwrap();
        for path in ["/account", "/console/keys", "/account/password"] {
            let reply = owner.get(path).await;
            assert_eq!(reply.location().as_deref(), Some("/account/security?done=factor-needed"), "{path}");
        }
        let client = world.public_client().await;
        let asked = owner.get(&authorize_path(&client, &[])).await;
        assert_eq!(asked.location().as_deref(), Some("/account/security?done=factor-needed"));
        let silent = owner.get(&authorize_path(&client, &[("prompt", "none")])).await;
        assert!(silent.location().unwrap().contains("error=interaction_required"), "{:?}", silent.location());
        set_up(&world, &owner).await;
        assert_eq!(owner.get("/console/keys").await.status, 200);
        let asked = owner.get(&authorize_path(&client, &[])).await;
        assert!(asked.location().unwrap().starts_with("/consent"), "{:?}", asked.location());
        // It cannot be taken away.
        let page = owner.get("/account/security").await;
        assert!(!page.text.contains("totp-remove"));
    }
}

/// Another program that knows RFC 6238 shows the same codes.
#[test]
fn oathtool_agrees_about_every_code() {
    // `tests/run` says what it left out.
    let Some(oathtool) = environment("TEST_OATHTOOL") else {
        return;
    };
    let secret = b"a secret of 20 bytes";
    let written = totp::written(secret).replace(' ', "");
    for second in [59, 1_111_111_109, 1_790_000_000, 1_800_000_029, 1_800_000_030] {
        let at = format!("@{second}");
        let shown = std::process::Command::new(&oathtool)
            .args(["--totp", "--base32", &written, "--now", &at])
            .output()
            .unwrap();
        let code = String::from_utf8(shown.stdout).unwrap();
        let now = Timestamp::from_secs(second);
        assert_eq!(totp::step_of(secret, code.trim(), now, 0), Some(second / 30), "{second}: {code}");
    }
}

async fn user(world: &World, name: &str) -> cnx::base::id::UserId {
    cnx::flow::people::find(world.app(), name).await.unwrap().id
}
