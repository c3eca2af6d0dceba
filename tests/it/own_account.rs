//! What people change of their own account: name, language, address, password (S-L1, S-L11, S-L12).

use cnx::base::id::UserId;
use cnx::flow::people;

use crate::world::{Browser, PASSWORD, Reply, World, authorize_path, on_both};

const CHOSEN: &str = "otter plank vivid drum";

async fn signed_in(world: &World, username: &str) -> Browser {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    browser.sign_in(&page, username).await;
    assert!(browser.cookie("cnx_session").is_some());
    browser
}

async fn change(browser: &Browser, present: &str, new: &str) -> Reply {
    let page = browser.open("/account/password").await;
    let form = page.form(&[("current_password", present), ("password", new)]);
    browser.post(&form.action, &form.fields).await
}

/// Something beside the password: an app that shows codes, as far as a row goes.
async fn give_a_factor(world: &World, user: UserId) {
    use diesel::connection::SimpleConnection as _;
    let id = user.to_vec().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let row = move |conn: &mut cnx::store::Conn| {
        let bytes = |hex: &str| match conn {
            cnx::store::Conn::Sqlite(_) => format!("X'{hex}'"),
            cnx::store::Conn::Postgres(_) => format!("'\\x{hex}'::bytea"),
        };
        let text = format!(
            "INSERT INTO totp_secrets (user_id, sealed, created_at, last_step) VALUES ({}, {}, 0, 0)",
            bytes(&id),
            bytes("00")
        );
        Ok(conn.batch_execute(&text)?)
    };
    world.app().store.write(row).await.unwrap();
}

on_both! {
    async fn a_name_and_a_language_are_kept_and_shown(world: World) {
        world.add_user("ada").await;
        let browser = signed_in(&world, "ada").await;
        let page = browser.open("/account").await;
        assert!(page.status == 200 && page.text.contains("ada@example.com"), "{}", page.text);
        let name = "Ada <b>\u{202e}Lovelace</b> 🦦";
        let save = async |name: &str, locale: &str| {
            let page = browser.open("/account").await;
            let mut form = page.form(&[("name", name)]);
            form.fields.push(("locale".to_owned(), locale.to_owned()));
            browser.post(&form.action, &form.fields).await
        };
        let reply = save(name, "en").await;
        assert_eq!(reply.location().as_deref(), Some("/account?done=saved"));
        let user = people::find(world.app(), "ada").await.unwrap();
        assert_eq!((user.name.as_deref(), user.locale.as_deref()), (Some(name), Some("en")));
        let page = browser.follow(reply).await;
        assert!(page.text.contains("It is saved.") && !page.text.contains("<b>"), "{}", page.text);
        let long = "x".repeat(201);
        let reply = save(&long, "en").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains(&long) && reply.text.contains("up to 200 characters"), "{}", reply.text);
        // German: in this browser by a cookie, in another one because the account says so.
        save("Ada", "de").await;
        let page = browser.open("/account").await;
        assert!(page.text.contains("<html lang=\"de\">") && page.text.contains("Ihr Konto"), "{}", page.text);
        let other = signed_in(&world, "ada").await;
        assert!(other.open("/account").await.text.contains("<html lang=\"de\">"));
    }

    async fn a_new_password_needs_the_present_one_and_ends_every_other_session_s_l11_s_l12(world: World) {
        let world = world.with_mail_folder().await;
        let client = world.web_client().await;
        world.add_user("ada").await;
        let elsewhere = world.browser();
        let tokens = elsewhere.tokens(&world, &client, &[], "ada").await;
        let browser = signed_in(&world, "ada").await;
        let old = browser.cookie("cnx_session").unwrap();
        assert_eq!(change(&browser, "a wrong password, certainly", CHOSEN).await.status, 400);
        let reply = change(&browser, PASSWORD, "short").await;
        assert!(reply.status == 400 && reply.text.contains("at least 15 characters are needed") && !reply.text.contains(PASSWORD), "{}", reply.text);
        for bad in ["passwordpassword", "ada@example.com.ada", "123456789012345678"] {
            assert_eq!(change(&browser, PASSWORD, bad).await.status, 400, "{bad}");
        }
        let reply = change(&browser, PASSWORD, CHOSEN).await;
        assert_eq!(reply.location().as_deref(), Some("/account/password?done=password"), "{}", reply.text);
        assert_ne!(browser.cookie("cnx_session").unwrap(), old, "the session goes on under a new cookie");
        assert_eq!(browser.open("/account").await.status, 200);
        let thief = world.browser();
        thief.cookies.lock().unwrap().insert("cnx_session".to_owned(), old);
        assert_eq!(thief.get("/account").await.status, 303, "the old cookie is dead");
        assert_eq!(elsewhere.get("/account").await.status, 303);
        assert_eq!(world.user_info(&tokens.access).await.status, 401);
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        assert_eq!(world.token(&client, &form).await.error(), "invalid_grant");
        let reply = elsewhere.open(&authorize_path(&client, &[("prompt", "none")])).await;
        assert_eq!(reply.callback().error(), "login_required");
        // Beside what tells of a sign-in with a new browser.
        let told = world.mails(2).await.into_iter().find(|mail| !mail.subject.contains("new browser")).unwrap();
        assert!(told.subject.starts_with("The password of your account was changed"), "{}", told.subject);
    }

    async fn who_found_an_open_browser_cannot_guess_the_present_password_s_l6(world: World) {
        world.add_user("ada").await;
        let browser = signed_in(&world, "ada").await;
        for _ in 0..5 {
            assert_eq!(change(&browser, "a wrong password, certainly", CHOSEN).await.status, 400);
        }
        let reply = change(&browser, PASSWORD, CHOSEN).await;
        assert!(reply.status == 400 && reply.text.contains("too many tries"), "{}", reply.text);
        world.advance(60);
        assert_eq!(change(&browser, PASSWORD, CHOSEN).await.status, 303);
    }

    async fn eight_characters_do_beside_a_second_factor_s_l1(world: World) {
        let ada = world.add_user("ada").await;
        let browser = signed_in(&world, "ada").await;
        let short = "x7#kQ!zP";
        assert_eq!(change(&browser, PASSWORD, short).await.status, 400);
        give_a_factor(&world, ada.id).await;
        assert!(browser.open("/account/password").await.text.contains("minlength=\"8\""));
        for bad in ["x7#kQ!z", "password1", "iloveyou", "qwertyuiop", "12345678", "adaadaada", "localhost1"] {
            assert_eq!(change(&browser, PASSWORD, bad).await.status, 400, "{bad}");
            world.advance(60);
        }
        world.advance(900);
        let reply = change(&browser, PASSWORD, short).await;
        assert_eq!(reply.status, 303, "{}", reply.text);
    }

    async fn an_address_is_changed_only_by_who_proved_lately_who_they_are_s_l12(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let browser = signed_in(&world, "ada").await;
        let page = browser.open("/account/email").await;
        let form = page.form(&[("email", "ada@elsewhere.example")]);
        world.advance(301);
        let reply = browser.post(&form.action, &form.fields).await;
        assert!(reply.status == 200 && reply.text.contains("id=\"confirm-submit\""), "{} {}", reply.status, reply.text);
        let reply = browser.get("/account/email").await;
        assert_eq!((reply.status, reply.location().as_deref()), (303, Some("/sign-in?next=%2Faccount%2Femail")), "before anything is typed");
        world.mails(0).await;
        // The password page asks for the present password itself, at any time.
        assert_eq!(browser.get("/account/password").await.status, 200);
        // Nobody makes us fill the mailboxes of others.
        let browser = signed_in(&world, "ada").await;
        for n in 0..8 {
            let page = browser.open("/account/email").await;
            browser.submit(&page, &[("email", &format!("victim{n}@example.com"))]).await;
        }
        // And one of a sign-in with a new browser.
        world.mails(6).await;
    }

    async fn the_pages_of_an_account_are_for_who_is_signed_in(world: World) {
        world.add_user("ada").await;
        let browser = signed_in(&world, "ada").await;
        for path in ["/account", "/account/email", "/account/password", "/account/sessions", "/account/apps", "/account/activity"] {
            let reply = world.get(path).await;
            assert_eq!(reply.status, 303, "{path}");
            assert!(reply.location().unwrap().starts_with("/sign-in?next="), "{path}");
            let page = browser.open(path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text);
            assert!(page.text.contains("<h1>") && page.header("content-security-policy").is_some_and(|policy| !policy.contains("unsafe")));
            if page.text.contains("method=\"post\" action=\"/account") {
                // The form of another session is not taken, and a form of elsewhere is not.
                let other = signed_in(&world, "ada").await;
                let action = page.text.split("action=\"/account").nth(1).unwrap().split('"').next().unwrap().to_owned();
                let fields = page.form(&[]).fields;
                let reply = other.post(&format!("/account{action}"), &fields).await;
                assert_eq!(reply.status, 403, "{path}");
                let reply = browser.post(&format!("/account{action}"), &[]).await;
                assert_eq!(reply.status, 403, "{path}");
            }
        }
    }
}
