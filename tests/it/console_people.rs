//! The console: people, their roles, and what administrators do about their accounts.

use cnx::account::role::Role;
use cnx::account::user::User;
use cnx::base::secret::Secret;
use cnx::flow::people::{self, NewPerson, PersonError};
use cnx::store::sessions;

use crate::world::Form;
use crate::world::{Browser, PASSWORD, Reply, World, by, link_in, on_both};

/// Somebody of a role.
pub async fn person(world: &World, name: &str, role: Role) -> User {
    let person = NewPerson {
        email: Some(format!("{name}@example.com")),
        username: Some(name.to_owned()),
        name: Some(format!("Name of {name}")),
        email_verified: true,
        role,
        claims: serde_json::Map::new(),
        password: Some(Secret::new(PASSWORD.to_owned())),
    };
    people::add(world.app(), by(), person).await.unwrap()
}

/// A browser in which they are signed in.
pub async fn signed_in(world: &World, name: &str) -> Browser {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    browser.sign_in(&page, name).await;
    assert!(browser.cookie("cnx_session").is_some(), "{name} is signed in");
    browser
}

/// The same form, for the role of a member.
fn demoting(mut form: Form) -> Form {
    form.fields.retain(|(name, _)| name != "role");
    form.fields.push(("role".to_owned(), "member".to_owned()));
    form
}

/// Sends the form of a page whose hidden `act` is this one, with further inputs, and follows.
pub async fn act(browser: &Browser, path: &str, act: &str, more: &[(&str, &str)]) -> Reply {
    let page = browser.open(path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text);
    let mut form = page.form(&[("act", act)]);
    for (name, value) in more {
        form.fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.fields.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let reply = browser.post(&form.action, &form.fields).await;
    browser.follow(reply).await
}

/// What stands in the element of that id.
pub fn text_of(page: &Reply, id: &str) -> String {
    let html = scraper::Html::parse_document(&page.text);
    let found = html.select(&scraper::Selector::parse(&format!("#{id}")).unwrap()).next();
    found.unwrap_or_else(|| panic!("no #{id}: {}", page.text)).text().collect()
}

async fn role_of(world: &World, user: &User) -> Role {
    people::find(world.app(), &user.id.to_string()).await.unwrap().role
}

async fn live(world: &World, user: &User) -> usize {
    let (id, now) = (user.id, world.clock.now());
    world.app().store.read(move |conn| sessions::of_user(conn, id, now)).await.unwrap().len()
}

on_both! {
    async fn an_owner_makes_an_admin_whose_sessions_of_before_are_dead_s_l9(world: World) {
        person(&world, "olga", Role::Owner).await;
        let ada = person(&world, "ada", Role::Member).await;
        let hers = signed_in(&world, "ada").await;
        assert_eq!(hers.open("/account").await.status, 200);
        assert_eq!(hers.get("/console/people").await.status, 403, "a member has no console");
        let browser = signed_in(&world, "olga").await;
        let list = browser.open("/console/people").await;
        assert!(list.text.contains("Name of ada") && list.text.contains("ada@example.com"), "{}", list.text);
        let path = format!("/console/people/{}", ada.id);
        let reply = act(&browser, &path, "role", &[("role", "admin")]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(reply.text.contains("The role was changed."), "{}", reply.text);
        assert_eq!((role_of(&world, &ada).await, live(&world, &ada).await), (Role::Admin, 0));
        assert_eq!(hers.get("/account").await.status, 303, "the session of before is dead");
        assert_eq!(signed_in(&world, "ada").await.open("/console/people").await.status, 200);
        let log = browser.open(&format!("/console/audit?subject=user:{}", ada.id)).await;
        assert!(log.text.contains("user.role_changed"), "{}", log.text);
    }

    async fn an_admin_changes_members_and_admins_and_no_owner(world: World) {
        let olga = person(&world, "olga", Role::Owner).await;
        person(&world, "otto", Role::Owner).await;
        let ada = person(&world, "ada", Role::Admin).await;
        let bob = person(&world, "bob", Role::Member).await;
        let browser = signed_in(&world, "ada").await;
        let path = format!("/console/people/{}", bob.id);
        act(&browser, &path, "role", &[("role", "admin")]).await;
        assert_eq!(role_of(&world, &bob).await, Role::Admin);
        // Forms that no page shows: nobody gives more than they have, to others or to themselves.
        let token = browser.open(&path).await.form(&[("act", "role")]).fields;
        let post = async |path: String, what: &str, role: &str| {
            let mut fields: Vec<_> = token.iter().filter(|(name, _)| name == "csrf_token").cloned().collect();
            fields.extend([("act".to_owned(), what.to_owned()), ("role".to_owned(), role.to_owned())]);
            browser.post(&path, &fields).await
        };
        for (user, what, role) in [
            (&bob, "role", "owner"), (&ada, "role", "owner"), (&olga, "role", "member"), (&olga, "disable", ""),
            (&olga, "sign-out", ""), (&olga, "factors", ""), (&olga, "link", ""), (&ada, "disable", ""), (&bob, "role", "root"),
        ] {
            let reply = post(format!("/console/people/{}", user.id), what, role).await;
            assert_eq!(reply.status, 400, "{what} {role}: {}", reply.text);
            assert!(!reply.text.contains("password-link"), "{what}");
        }
        assert_eq!((role_of(&world, &bob).await, role_of(&world, &ada).await, role_of(&world, &olga).await), (Role::Admin, Role::Admin, Role::Owner));
        let page = browser.open(&format!("/console/people/{}", olga.id)).await;
        assert!(!page.text.contains("person-disable") && page.text.contains("Only an owner changes"), "{}", page.text);
    }

    async fn the_last_owner_is_neither_demoted_nor_disabled_whoever_is_first(world: World) {
        let olga = person(&world, "olga", Role::Owner).await;
        let browser = signed_in(&world, "olga").await;
        let path = format!("/console/people/{}", olga.id);
        let reply = act(&browser, &path, "role", &[("role", "member")]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("Nobody else is an owner"), "{}", reply.text);
        for role in [Role::Member, Role::Admin] {
            assert!(matches!(people::set_role(world.app(), by(), olga.id, role).await, Err(PersonError::LastOwner)));
        }
        assert!(matches!(people::set_disabled(world.app(), by(), olga.id, true).await, Err(PersonError::LastOwner)));
        // Two owners demote each other at the same moment: one stays.
        let otto = person(&world, "otto", Role::Owner).await;
        let other = signed_in(&world, "otto").await;
        let (to_otto, to_olga) = (format!("/console/people/{}", otto.id), format!("/console/people/{}", olga.id));
        let one = browser.open(&to_otto).await.form(&[("act", "role")]);
        let two = other.open(&to_olga).await.form(&[("act", "role")]);
        let (one, two) = (demoting(one), demoting(two));
        tokio::join!(browser.post(&one.action, &one.fields), other.post(&two.action, &two.fields));
        let roles = [role_of(&world, &olga).await, role_of(&world, &otto).await];
        assert_eq!(roles.iter().filter(|role| **role == Role::Owner).count(), 1, "{roles:?}");
    }

    async fn somebody_is_invited_signed_out_and_disabled_s_l11(world: World) {
        person(&world, "olga", Role::Owner).await;
        let browser = signed_in(&world, "olga").await;
        let odd = "\u{202e}<b>\u{1f9a6}".to_owned();
        let reply = act(&browser, "/console/people/invite", "invite", &[("email", "new@example.com"), ("name", &odd), ("role", "member")]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert!(reply.text.contains("&#60;b&#62;") && !reply.text.contains("<b>\u{1f9a6}"), "{}", reply.text);
        let link = text_of(&reply, "password-link");
        let guest = world.browser();
        let page = guest.open(link.trim().strip_prefix(&world.base).unwrap()).await;
        let reply = guest.submit(&page, &[("password", PASSWORD)]).await;
        assert_eq!(reply.status, 200);
        let theirs = signed_in(&world, "new").await;
        let new = people::find(world.app(), "new").await.unwrap();
        assert_eq!((new.role, new.name.as_deref()), (Role::Member, Some(odd.as_str())));
        let path = format!("/console/people/{}", new.id);
        act(&browser, &path, "sign-out", &[]).await;
        assert_eq!(theirs.get("/account").await.status, 303);
        let theirs = signed_in(&world, "new").await;
        act(&browser, &path, "disable", &[]).await;
        assert_eq!(theirs.get("/account").await.status, 303);
        assert!(!people::find(world.app(), "new").await.unwrap().is_active());
        act(&browser, &path, "enable", &[]).await;
        assert!(people::find(world.app(), "new").await.unwrap().is_active());
    }

    async fn an_invitation_goes_to_its_address_and_again_when_it_is_asked_for(world: World) {
        let world = world.with_mail_folder().await;
        person(&world, "olga", Role::Owner).await;
        let browser = signed_in(&world, "olga").await;
        let reply = act(&browser, "/console/people/invite", "invite", &[("email", "new@example.com"), ("role", "admin")]).await;
        assert!(reply.text.contains("The invitation is on its way") && !reply.text.contains("password-link"), "{}", reply.text);
        let first = link_in(&world.last_mail(1).await.text);
        let new = people::find(world.app(), "new").await.unwrap();
        let path = format!("/console/people/{}", new.id);
        let reply = act(&browser, &path, "invite", &[]).await;
        assert!(reply.text.contains("The invitation is on its way"), "{}", reply.text);
        let second = link_in(&world.last_mail(2).await.text);
        let guest = world.browser();
        assert_eq!(guest.open(first.strip_prefix(&world.base).unwrap()).await.status, 400, "the one of before stopped working");
        let page = guest.open(second.strip_prefix(&world.base).unwrap()).await;
        assert_eq!(guest.submit(&page, &[("password", PASSWORD)]).await.status, 200);
        let new = people::find(world.app(), "new").await.unwrap();
        assert!(new.email_verified && new.role == Role::Admin);
        signed_in(&world, "new").await;
        // Who came is not invited again, by a form of before either.
        let page = browser.open(&path).await;
        assert!(!page.text.contains("id=\"person-invite\"") && page.text.contains("person-link"), "{}", page.text);
        let mut fields = page.form(&[("act", "link")]).fields;
        fields.retain(|(name, _)| name != "act");
        fields.push(("act".to_owned(), "invite".to_owned()));
        let reply = browser.post(&path, &fields).await;
        assert!(reply.status == 400 && reply.text.contains("has set no password yet"), "{}: {}", reply.status, reply.text);
        world.mails(2).await;
    }

    async fn an_admin_invites_no_owner(world: World) {
        person(&world, "olga", Role::Owner).await;
        person(&world, "ada", Role::Admin).await;
        let browser = signed_in(&world, "ada").await;
        let reply = act(&browser, "/console/people/invite", "invite", &[("email", "new@example.com"), ("role", "owner")]).await;
        assert!(reply.status == 400 && reply.text.contains("only an owner makes owners"), "{}: {}", reply.status, reply.text);
        assert!(people::find(world.app(), "new").await.is_err());
        // An owner who has not come yet is nobody whom an admin invites.
        let olgas = people::invite(world.app(), by(), NewPerson {
            username: None, email: Some("next@example.com".to_owned()), email_verified: false, name: None, claims: serde_json::Map::new(),
            role: Role::Owner, password: None,
        }).await.unwrap();
        let token = browser.open("/console/people/invite").await.form(&[("act", "invite")]).fields;
        for what in ["invite", "link"] {
            let mut fields: Vec<_> = token.iter().filter(|(name, _)| name == "csrf_token").cloned().collect();
            fields.push(("act".to_owned(), what.to_owned()));
            let reply = browser.post(&format!("/console/people/{}", olgas.user.id), &fields).await;
            assert!(reply.status == 400 && reply.text.contains("Only an owner changes"), "{what} {}: {}", reply.status, reply.text);
            assert!(!reply.text.contains("set-password?token="), "{what}");
        }
    }

    async fn what_is_typed_wrong_stays_and_is_told_at_its_field(world: World) {
        person(&world, "olga", Role::Owner).await;
        let browser = signed_in(&world, "olga").await;
        let long = "x".repeat(10_000);
        for (email, name, expected) in [
            ("olga@example.com", "A", "it is taken"),
            ("not an address", "B", "person-invite-email-problem"),
            (long.as_str(), "C", "person-invite-email-problem"),
            ("<script>alert(1)</script>@example.com", "D", "person-invite-email-problem"),
        ] {
            let reply = act(&browser, "/console/people/invite", "invite", &[("email", email), ("name", name), ("username", "somebody"), ("role", "admin")]).await;
            assert_eq!(reply.status, 400, "{name}");
            assert!(reply.text.contains(expected), "{name}: {}", reply.text);
            assert!(reply.text.contains(&format!("value=\"{name}\"")) && reply.text.contains("value=\"admin\" selected"), "{name}");
            assert!(!reply.text.contains("<script>alert"), "{name}");
        }
        let reply = act(&browser, "/console/people/invite", "invite", &[("email", "c@example.com"), ("name", &long), ("role", "member")]).await;
        assert_eq!(reply.status, 400, "10 kB are no name");
        assert!(people::find(world.app(), "c@example.com").await.is_err());
    }

    async fn dangerous_acts_ask_for_a_fresh_proof_s_l12(world: World) {
        person(&world, "olga", Role::Owner).await;
        let ada = person(&world, "ada", Role::Member).await;
        let browser = signed_in(&world, "olga").await;
        let path = format!("/console/people/{}", ada.id);
        let form = browser.open(&path).await.form(&[("act", "disable")]);
        world.advance(301);
        let reply = browser.post(&form.action, &form.fields).await;
        assert!(reply.status == 200 && reply.text.contains("id=\"confirm-submit\""), "{} {}", reply.status, reply.text);
        assert!(people::find(world.app(), "ada").await.unwrap().is_active());
    }
}
