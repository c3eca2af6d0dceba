//! Mail leaves: by SMTP, whatever the server does; into a folder in development; from two nodes no letter twice.

use std::collections::BTreeSet;
use std::time::Duration;

use cnx::account::role::Role;
use cnx::app::Letter;
use cnx::base::id::MailId;
use cnx::base::seal::Purpose;
use cnx::base::secret::Secret;
use cnx::flow::people::{self, NewPerson};
use cnx::store::mails;

use crate::nodes::second_node;
use crate::tls::certificates;
use crate::world::{Browser, On, Smtp, World, by, free_port, on_both};

fn person(username: &str) -> NewPerson {
    NewPerson {
        email: Some(format!("{username}@example.com")),
        username: Some(username.to_owned()),
        name: None,
        email_verified: false,
        role: Role::Member,
        claims: serde_json::Map::new(),
        password: None,
    }
}

/// Waits until somebody took what was due.
async fn is_taken(world: &World) {
    for _ in 0..100 {
        let now = world.clock.now();
        if !world.app().store.read(move |conn| mails::any_due(conn, now)).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody took the mail");
}

on_both! {
    async fn a_letter_leaves_at_once_and_says_whom_it_is_from(world: World) {
        let port = free_port();
        let smtp = Smtp::listen(port);
        let world = world.with_smtp(port).await;
        let invited = people::invite(world.app(), by(), person("ada")).await.unwrap();
        assert!(invited.link.is_none(), "it went by mail");
        let mails = smtp.wait_for(1).await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].to, ["ada@example.com"]);
        for line in ["From: Test <id@example.com>", "To: ada@example.com", "Subject: Your account at localhost", "Auto-Submitted: auto-generated"] {
            assert!(mails[0].data.lines().any(|l| l == line), "{line}: {}", mails[0].data);
        }
        assert!(mails[0].data.contains("Content-Type: text/plain"), "{}", mails[0].data);
        assert!(mails[0].data.replace("=\n", "").replace("=3D", "=").contains(&format!("{}/set-password?token=", world.base)), "{}", mails[0].data);
    }

    async fn a_server_that_is_down_loses_nothing_and_gets_nothing_twice(world: World) {
        let port = free_port();
        let world = world.with_smtp(port).await;
        people::invite(world.app(), by(), person("ada")).await.unwrap();
        is_taken(&world).await;
        let smtp = Smtp::listen(port);
        world.advance(59);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(smtp.received().is_empty(), "the first wait is a minute");
        // The node stops and starts: what waits, waits on.
        let mut world = world;
        world.restart().await;
        world.advance(1);
        assert_eq!(smtp.wait_for(1).await.len(), 1);
        world.advance(600);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(smtp.received().len(), 1, "once");
    }

    async fn a_letter_whose_link_is_dead_is_given_up(world: World) {
        let port = free_port();
        let world = world.with_smtp(port).await;
        people::invite(world.app(), by(), person("ada")).await.unwrap();
        is_taken(&world).await;
        let smtp = Smtp::listen(port);
        world.advance(3600);
        is_taken(&world).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(smtp.received().is_empty());
        let far = world.clock.now().plus(1_000_000);
        assert!(!world.app().store.read(move |conn| mails::any_due(conn, far)).await.unwrap(), "nothing is left");
    }

    async fn nobody_adds_a_header_or_a_recipient(world: World) {
        let port = free_port();
        let smtp = Smtp::listen(port);
        let world = world.with_smtp(port).await;
        let refused = people::invite(world.app(), by(), NewPerson { email: Some("ada@example.com\r\nBcc: eve@example.com".to_owned()), ..person("ada") }).await;
        assert!(matches!(refused, Err(people::PersonError::Field { field: "email", .. })));
        // Even what somebody put into the outbox under our key goes to nobody else.
        let now = world.clock.now();
        for to in ["ada@example.com\r\nBcc: eve@example.com", "ada@example.com>\r\nRCPT TO:<eve@example.com", "ada@example.com"] {
            let letter = Letter { to: to.to_owned(), subject: "Hello\r\nBcc: eve@example.com\r\n\r\nx".to_owned(), text: "one\n.\nRCPT TO:<eve@example.com>\n".to_owned(), written_at: now.as_secs(), useless_at: now.plus(60).as_secs() };
            let app = world.app();
            let sealed = app.vault.seal_bytes(Purpose::Mail, &serde_json::to_vec(&letter).unwrap(), &app.entropy);
            let id = MailId::new(&app.clock, &app.entropy);
            app.store.write(move |conn| mails::insert(conn, id, &sealed, now)).await.unwrap();
        }
        world.app().mail.wake();
        let mails = smtp.wait_for(1).await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].to, ["ada@example.com"]);
        let (head, text) = mails[0].data.split_once("\n\n").unwrap();
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(text.contains("one\n.\n"), "{text}");
    }

    async fn mail_that_waits_cannot_be_read_in_the_database(world: World) {
        let world = world.with_smtp(free_port()).await;
        people::invite(world.app(), by(), person("ada")).await.unwrap();
        is_taken(&world).await;
        let now = world.clock.now().plus(200);
        let taken = world.app().store.write(move |conn| mails::take(conn, now, now.plus(60), 10)).await.unwrap();
        assert_eq!(taken.len(), 1);
        for text in ["ada", "example.com", "token"] {
            assert!(!taken[0].sealed.windows(text.len()).any(|bytes| bytes == text.as_bytes()), "{text}");
        }
    }

    async fn without_mail_pages_say_what_to_do_and_invitations_are_shown(world: World) {
        let invited = people::invite(world.app(), by(), person("ada")).await.unwrap();
        let link = invited.link.expect("a link to be shown");
        assert!(link.starts_with(&format!("{}/set-password?token=", world.base)), "{link}");
        assert_eq!(world.get(&link[world.base.len()..]).await.status, 200);
        let again = people::resend_invite(world.app(), by(), &invited.user).await.unwrap().link.unwrap();
        assert_eq!(world.get(&link[world.base.len()..]).await.status, 400, "the one of before works no more");
        assert_eq!(world.get(&again[world.base.len()..]).await.status, 200);
        let page = world.get("/forgot-password").await;
        assert!(page.status == 200 && page.text.contains("sends no mail") && !page.text.contains("<form"), "{}", page.text);
        assert!(world.get("/sign-in").await.text.contains("Your administrator can send you a link"));
        assert_eq!(world.get("/dev/mail").await.status, 404, "there is no such page");
    }

    async fn a_sign_in_with_a_new_browser_is_told_once(world: World) {
        let world = world.with_mail_folder().await;
        world.add_user("ada").await;
        let signs_in = async |browser: &Browser| {
            browser.cookies.lock().unwrap().remove("cnx_session");
            let page = browser.open("/sign-in").await;
            browser.sign_in(&page, "ada").await;
            assert!(browser.cookie("cnx_session").is_some());
        };
        // Every browser is new at the very first sign-in.
        let (desk, phone) = (world.browser(), world.browser());
        signs_in(&desk).await;
        signs_in(&desk).await;
        world.mails(0).await;
        signs_in(&phone).await;
        let told = world.last_mail(1).await;
        assert_eq!(told.to, "ada@example.com");
        assert!(told.text.contains("with a new browser") && told.text.contains("127.0.0.1"), "{}", told.text);
        signs_in(&phone).await;
        signs_in(&desk).await;
        world.mails(1).await;
        // Whose sign-ins were forgotten long ago is told all the same.
        let bob = world.add_user("bob").await;
        world.advance(31 * 86_400);
        let browser = world.browser();
        let page = browser.open("/sign-in").await;
        browser.sign_in(&page, &bob.username).await;
        assert_eq!(world.last_mail(2).await.to, "bob@example.com");
    }

    async fn in_development_mail_is_written_and_shown(world: World) {
        let world = world.with_mail_folder().await;
        people::invite(world.app(), by(), person("ada")).await.unwrap();
        let mail = world.last_mail(1).await;
        assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("ada@example.com", "Your account at localhost"));
        let page = world.get("/dev/mail").await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("Your account at localhost") && page.text.contains("href=\"http://localhost"), "{}", page.text);
    }
}

/// A server whose issuer is not this machine shows nobody's mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_shown_in_development_only() {
    let clock = cnx::base::time::Clock::System;
    let world = World::with(On::Sqlite, clock, |settings| {
        settings.public_url = cnx::config::Issuer::parse("https://id.example.com").unwrap();
        settings.mail.folder = Some(settings.data_dir.join("mail"));
        settings.mail.from = "id@example.com".to_owned();
    })
    .await
    .unwrap();
    assert_eq!(world.get("/dev/mail").await.status, 404);
}

/// Two nodes, one outbox: each letter leaves once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_send_no_letter_twice() {
    let Some(world) = World::new(On::Postgres).await else { return };
    let port = free_port();
    let smtp = Smtp::listen(port);
    let world = world.with_smtp(port).await;
    let (other, _) = second_node(&world).await;
    let mut all = Vec::new();
    for n in 0..30 {
        let app = if n % 2 == 0 { world.app().clone() } else { other.app().clone() };
        all.push(async move { people::invite(&app, by(), person(&format!("person{n}"))).await.unwrap() });
    }
    futures_util::future::join_all(all).await;
    let mails = smtp.wait_for(30).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(smtp.received().len(), 30);
    assert_eq!(mails.iter().map(|mail| mail.to[0].clone()).collect::<BTreeSet<_>>().len(), 30);
    other.stop().await;
}

/// Over TLS, to a server whose certificate is of an authority that only the settings know; and to nobody who pretends to be that server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_crosses_the_network_over_tls_to_whom_it_is_meant_for() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let port = free_port();
    let smtp = Smtp::listen_with_tls(port, &folder.path().join("cert.pem"), &folder.path().join("key.pem"));
    let mut world = World::new(On::Sqlite).await.unwrap();
    world.settings.mail.smtp_url = Some(Secret::new(format!("smtps://localhost:{port}")));
    world.settings.mail.from = "id@example.com".to_owned();
    world.restart().await;
    people::invite(world.app(), by(), person("ada")).await.unwrap();
    is_taken(&world).await;
    assert!(smtp.received().is_empty(), "its certificate is nobody's");
    world.settings.outbound.extra_ca = Some(folder.path().join("ca.pem"));
    world.restart().await;
    world.advance(60);
    assert_eq!(smtp.wait_for(1).await.len(), 1);
}
