//! Tests of the aggregates: what is written is read back, gates count right, the feed tells of it, the sweeper takes what is over.

use super::changes::{self, ChangeKind};
use super::links::{self, Link, LinkPurpose};
use super::sessions::{self, SessionRow};
use super::signing_keys::{self, SigningKeyRow};
use super::spent::{SpentKind, is_spent, once};
use super::testing::{NOW, World, family, fingerprint, race, session_id, user_id};
use super::{StoreError, clients, consents, families, sweep, throttles, usage, users};
use crate::account::password::PasswordHash;
use crate::account::user::User;
use crate::account::username::Login;
use crate::base::algorithm::Algorithm;
use crate::base::id::ClientId;
use crate::base::time::CLOCKS_APART;
use crate::oauth::client::{Client, ClientSecret};
use crate::oauth::scope::Scope;

fn client(id: &str) -> Client {
    Client {
        id: id.parse().unwrap(),
        metadata: serde_json::from_str(
            r#"{"client_name":"Notes","redirect_uris":["https://notes.example/cb"],"scope":"openid email"}"#,
        )
        .unwrap(),
        secrets: vec![ClientSecret {
            fingerprint: fingerprint(1),
            created_at: NOW,
            expires_at: None,
            sealed: None,
        }],
        created_at: NOW,
        disabled_at: None,
    }
}

fn user(n: u64, name: &str, email: Option<&str>) -> User {
    User {
        id: user_id(n),
        username: name.to_owned(),
        email: email.map(str::to_owned),
        email_verified: true,
        name: None,
        claims: serde_json::from_str(r#"{"given_name":"Ada","address":{"country":"NO"}}"#).unwrap(),
        role: crate::account::role::Role::Member,
        locale: None,
        password: None,
        created_at: NOW,
        updated_at: NOW,
        disabled_at: None,
    }
}

#[test]
fn a_client_is_kept_with_its_secrets_and_the_feed_tells_of_it() {
    for world in World::each() {
        let app = client("app");
        let id = app.id.clone();
        let same = app.clone();
        world.write(move |c| clients::insert(c, &same)).unwrap();
        let second = app.clone();
        let error = world.write(move |c| clients::insert(c, &second)).unwrap_err();
        assert!(matches!(error, StoreError::Duplicate("client_id")), "{error:?}");
        let key = id.clone();
        assert_eq!(world.read(move |c| clients::find(c, &key)).unwrap(), Some(app.clone()));
        let key = id.clone();
        let secrets = vec![
            ClientSecret {
                fingerprint: fingerprint(2),
                created_at: NOW.plus(9),
                expires_at: None,
                sealed: Some(vec![1, 2]),
            },
            ClientSecret {
                fingerprint: fingerprint(1),
                created_at: NOW,
                expires_at: Some(NOW.plus(60)),
                sealed: None,
            },
        ];
        let expected = secrets.clone();
        assert!(world.write(move |c| clients::set_secrets(c, &key, &secrets, NOW.plus(9))).unwrap());
        assert_eq!(world.read(clients::all).unwrap()[0].secrets, expected);
        let key = id.clone();
        world
            .write(move |c| {
                families::begin(c, &family(1))?;
                consents::grant(c, user_id(1), &key, &Scope::of(&["openid"]), NOW)?;
                clients::delete(c, &key, NOW)
            })
            .unwrap();
        assert!(world.read(clients::all).unwrap().is_empty());
        assert_eq!(world.read(|c| families::find(c, family(1).id)).unwrap(), None);
        let feed = world.read(|c| changes::since(c, 0)).unwrap();
        assert_eq!(feed.changes.len(), 3);
        assert!(feed.changes.iter().all(|x| x.kind == ChangeKind::Client && x.subject == "app"));
        assert!(!feed.gap);
        assert_eq!(world.read(changes::latest).unwrap(), feed.position);
        assert!(world.read(move |c| changes::since(c, feed.position)).unwrap().changes.is_empty());
    }
}

#[test]
fn a_person_is_found_by_name_and_address_and_both_are_unique() {
    for world in World::each() {
        world.write(|c| users::insert(c, &user(1, "ada", Some("ada@example.org")))).unwrap();
        world.write(|c| users::insert(c, &user(2, "bob", None))).unwrap();
        let error = world.write(|c| users::insert(c, &user(3, "ada", None))).unwrap_err();
        assert!(matches!(error, StoreError::Duplicate("username")), "{error:?}");
        let error = world.write(|c| users::insert(c, &user(3, "cy", Some("ada@example.org")))).unwrap_err();
        assert!(matches!(error, StoreError::Duplicate("email")), "{error:?}");
        let hash = PasswordHash::from_phc("$argon2id$x".to_owned());
        assert!(world.write(move |c| users::set_password(c, user_id(1), &hash, NOW.plus(5))).unwrap());
        let found = world
            .read(|c| users::find_by_login(c, &Login::Email("ada@example.org".to_owned())))
            .unwrap()
            .unwrap();
        assert_eq!((found.id, found.updated_at), (user_id(1), NOW.plus(5)));
        assert_eq!(found.password.as_ref().map(PasswordHash::as_str), Some("$argon2id$x"));
        assert_eq!(found.claims["address"]["country"], "NO");
        assert!(
            world.read(|c| users::find_by_login(c, &Login::Username("cy".to_owned()))).unwrap().is_none()
        );
        assert!(!world.read(users::has_admin).unwrap());
        assert!(world.write(|c| users::set_disabled(c, user_id(2), Some(NOW), NOW)).unwrap());
        assert!(!world.write(|c| users::set_disabled(c, user_id(9), Some(NOW), NOW)).unwrap());
        assert_eq!(world.read(users::disabled).unwrap(), [user_id(2)]);
        let names: Vec<_> = world
            .read(|c| users::list(c, Some("ada"), 10))
            .unwrap()
            .into_iter()
            .map(|u| u.username)
            .collect();
        assert_eq!(names, ["bob"]);
    }
}

#[test]
fn a_session_is_renewed_with_a_new_cookie_and_ends_once() {
    for world in World::each() {
        let row = SessionRow {
            id: session_id(1),
            fingerprint: fingerprint(1),
            user: user_id(1),
            auth_time: NOW,
            amr: vec!["pwd".to_owned(), "otp".to_owned()],
            acr: "1".to_owned(),
            created_at: NOW,
            last_seen_at: NOW,
            expires_at: NOW.plus(100),
            ended_at: None,
            user_agent: Some("Firefox".to_owned()),
            address: None,
        };
        let same = row.clone();
        world.write(move |c| sessions::begin(c, &same)).unwrap();
        assert_eq!(world.read(|c| sessions::find_by_fingerprint(c, &fingerprint(1))).unwrap(), Some(row));
        let amr = vec!["hwk".to_owned()];
        assert!(
            world
                .write(move |c| sessions::renew(c, session_id(1), &fingerprint(2), (&amr, "2"), NOW.plus(5)))
                .unwrap()
        );
        assert_eq!(world.read(|c| sessions::find_by_fingerprint(c, &fingerprint(1))).unwrap(), None);
        let renewed = world.read(|c| sessions::find(c, session_id(1))).unwrap().unwrap();
        assert_eq!((renewed.auth_time, renewed.acr.as_str()), (NOW.plus(5), "2"));
        assert!(!world.write(|c| sessions::touch(c, session_id(1), NOW.plus(4))).unwrap(), "never back");
        assert!(world.write(|c| sessions::touch(c, session_id(1), NOW.plus(6))).unwrap());
        assert_eq!(world.read(|c| sessions::of_user(c, user_id(1), NOW)).unwrap().len(), 1);
        assert!(world.write(|c| sessions::end(c, session_id(1), NOW.plus(7))).unwrap());
        assert!(!world.write(|c| sessions::end(c, session_id(1), NOW.plus(8))).unwrap());
        assert!(!world.write(|c| sessions::touch(c, session_id(1), NOW.plus(9))).unwrap());
    }
}

#[test]
fn consents_at_the_same_moment_lose_nothing_of_each_other() {
    for world in World::each() {
        let app: ClientId = "app".parse().unwrap();
        race(8, |n| {
            let app = app.clone();
            world
                .write(move |c| consents::grant(c, user_id(1), &app, &Scope::of(&[&format!("s{n}")]), NOW))
                .unwrap();
        });
        let key = app.clone();
        let scope = world.read(move |c| consents::find(c, user_id(1), &key)).unwrap().unwrap();
        assert_eq!(scope.words().count(), 8);
        assert_eq!(world.read(|c| consents::of_user(c, user_id(1))).unwrap()[0].1, scope);
        let key = app.clone();
        assert!(world.write(move |c| consents::withdraw(c, user_id(1), &key)).unwrap());
        assert!(!world.write(move |c| consents::withdraw(c, user_id(1), &app)).unwrap());
    }
}

#[test]
fn families_are_revoked_by_session_user_consent_and_client() {
    for world in World::each() {
        let mut offline = family(2);
        offline.offline = true;
        let kept = offline.clone();
        world
            .write(move |c| families::begin(c, &family(1)).and_then(|()| families::begin(c, &offline)))
            .unwrap();
        assert_eq!(world.read(|c| families::find(c, family(2).id)).unwrap(), Some(kept));
        assert_eq!(world.write(|c| families::revoke_of_session(c, session_id(1), NOW)).unwrap(), 1);
        assert_eq!(world.read(|c| families::of_user(c, user_id(1), NOW)).unwrap().len(), 1);
        let app: ClientId = "app".parse().unwrap();
        let key = app.clone();
        assert_eq!(world.write(move |c| families::revoke_of_consent(c, user_id(1), &key, NOW)).unwrap(), 1);
        assert_eq!(world.write(|c| families::revoke_of_user(c, user_id(1), NOW)).unwrap(), 0);
        assert_eq!(world.write(move |c| families::revoke_of_client(c, &app, NOW)).unwrap(), 0);
    }
}

#[test]
fn of_several_servers_one_makes_the_next_signing_key() {
    for world in World::each() {
        let key = |n: usize| SigningKeyRow {
            kid: format!("kid {n}"),
            alg: Algorithm::Es256,
            generation: 1,
            private_sealed: Some(vec![1, 2, 3]),
            public_jwk: "{}".to_owned(),
            created_at: NOW,
            sign_from: NOW,
            revoked_at: None,
        };
        let won = race(8, |n| world.write(move |c| signing_keys::insert(c, &key(n))).unwrap());
        assert_eq!(won.iter().filter(|w| **w).count(), 1);
        let kid = world.read(signing_keys::all).unwrap()[0].kid.clone();
        let (a, b) = (kid.clone(), kid.clone());
        assert!(world.write(move |c| signing_keys::wipe_private(c, &a, NOW)).unwrap());
        assert!(!world.write(move |c| signing_keys::wipe_private(c, &b, NOW)).unwrap());
        let (a, b) = (kid.clone(), kid.clone());
        assert!(world.write(move |c| signing_keys::revoke(c, &a, NOW)).unwrap());
        assert_eq!(world.read(signing_keys::all).unwrap()[0].revoked_at, Some(NOW));
        assert!(world.write(move |c| signing_keys::forget(c, &b, NOW)).unwrap());
        assert_eq!(world.read(|c| changes::since(c, 0)).unwrap().changes.len(), 4);
    }
}

#[test]
fn a_link_is_used_up_by_one_of_many_and_not_after_its_time() {
    for world in World::each() {
        let link = Link {
            fingerprint: fingerprint(1),
            purpose: LinkPurpose::SetPassword,
            email: None,
            user: Some(user_id(1)),
            created_at: NOW,
            expires_at: NOW.plus(60),
            used_at: None,
        };
        let set_up =
            Link { fingerprint: fingerprint(2), purpose: LinkPurpose::SetUp, user: None, ..link.clone() };
        let same = link.clone();
        world.write(move |c| links::insert(c, &same).and_then(|()| links::insert(c, &set_up))).unwrap();
        assert_eq!(world.read(|c| links::find(c, &fingerprint(1))).unwrap(), Some(link));
        assert!(!world.write(|c| links::use_up(c, &fingerprint(1), NOW.plus(60))).unwrap());
        let won = race(8, |_| world.write(|c| links::use_up(c, &fingerprint(1), NOW)).unwrap());
        assert_eq!(won.iter().filter(|w| **w).count(), 1);
        assert_eq!(world.write(|c| links::void(c, LinkPurpose::SetUp, None, NOW)).unwrap(), 1);
        assert!(!world.write(|c| links::use_up(c, &fingerprint(2), NOW)).unwrap());
    }
}

#[test]
fn no_failure_is_lost_and_old_ones_are_forgotten() {
    for world in World::each() {
        race(16, |_| world.write(|c| throttles::fail(c, &fingerprint(1), NOW, 100)).unwrap());
        let known = world.read(|c| throttles::find(c, &fingerprint(1), NOW)).unwrap().unwrap();
        assert_eq!((known.failures, known.expires_at), (16, NOW.plus(100)));
        assert!(known.blocked_until < NOW);
        // Another server's clock is behind: its failure counts, and nobody is told to wait.
        let behind = world.write(|c| throttles::fail(c, &fingerprint(1), NOW.minus(5), 105)).unwrap();
        assert_eq!(behind.map(|counted| counted.failures), Some(17));
        assert!(world.write(|c| throttles::block(c, &fingerprint(1), NOW.plus(300))).unwrap());
        let known = world.read(|c| throttles::find(c, &fingerprint(1), NOW.plus(299))).unwrap().unwrap();
        assert_eq!((known.blocked_until, known.expires_at), (NOW.plus(300), NOW.plus(300)));
        assert!(world.read(|c| throttles::find(c, &fingerprint(1), NOW.plus(300))).unwrap().is_none());
        let blocked = world.write(|c| throttles::fail(c, &fingerprint(1), NOW.plus(299), 100)).unwrap();
        assert_eq!(blocked, None, "what is blocked is not counted any further");
        let again =
            world.write(|c| throttles::fail(c, &fingerprint(1), NOW.plus(400), 100)).unwrap().unwrap();
        assert_eq!((again.failures, again.first_failed_at), (1, NOW.plus(400)));
        assert!(world.write(|c| throttles::clear(c, &fingerprint(1))).unwrap());
        assert!(!world.write(|c| throttles::clear(c, &fingerprint(1))).unwrap());
    }
}

#[test]
fn the_sweeper_takes_what_is_over_in_batches_and_leaves_what_still_protects() {
    for world in World::each() {
        world
            .write(|c| {
                for n in 0..450_u32 {
                    once(c, SpentKind::Code, &n.to_be_bytes(), None, NOW.minus(CLOCKS_APART))?;
                }
                // Over by this clock, and not by one that is behind.
                once(c, SpentKind::Code, b"live", None, NOW.minus(CLOCKS_APART - 1))?;
                let mut revoked = family(1);
                revoked.revoked_at = Some(NOW.minus(sweep::FAMILY_MEMORY));
                let mut fresh = family(2);
                fresh.revoked_at = Some(NOW.minus(1));
                fresh.expires_at = NOW.minus(1);
                families::begin(c, &revoked)?;
                families::begin(c, &fresh)?;
                changes::record(c, ChangeKind::User, "old", NOW.minus(sweep::CHANGE_MEMORY + 1))?;
                changes::record(c, ChangeKind::User, "new", NOW)?;
                Ok(())
            })
            .unwrap();
        let swept: Vec<usize> = (0..4).map(|_| world.write(|c| sweep::batch(c, NOW)).unwrap()).collect();
        assert_eq!(swept, [202, 200, 50, 0]);
        assert!(world.read(|c| is_spent(c, SpentKind::Code, b"live")).unwrap());
        assert!(world.read(|c| families::find(c, family(1).id)).unwrap().is_none());
        assert!(world.read(|c| families::find(c, family(2).id)).unwrap().is_some());
        let feed = world.read(|c| changes::since(c, 0)).unwrap();
        assert!(feed.gap, "somebody who never read the old change must load everything");
        assert_eq!(feed.changes.len(), 1);
        let after = world.read(move |c| changes::since(c, feed.position)).unwrap();
        assert!(!after.gap && after.changes.is_empty());
    }
}

#[test]
fn the_order_of_the_feed_is_the_order_of_commits() {
    for world in World::each() {
        let (recorded, first_has_recorded) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                world.write(move |c| {
                    changes::record(c, ChangeKind::User, "slow", NOW)?;
                    // Nobody listens any more when the write runs a second time.
                    recorded.send(()).ok();
                    std::thread::sleep(std::time::Duration::from_millis(300));
                    Ok(())
                })
            });
            first_has_recorded.recv().unwrap();
            world.write(|c| changes::record(c, ChangeKind::User, "quick", NOW)).unwrap();
            // Who sees the larger number must see the smaller one, or would never ask for it again.
            let feed = world.read(|c| changes::since(c, 0)).unwrap();
            let subjects: Vec<_> = feed.changes.iter().map(|x| x.subject.as_str()).collect();
            assert_eq!(subjects, ["slow", "quick"]);
            slow.join().unwrap().unwrap();
        });
    }
}

#[test]
fn counts_are_added_by_hour_and_swept_after_their_time() {
    for world in World::each() {
        let count = |subject: &str, hour: i64, requests| usage::Count {
            subject: subject.to_owned(),
            hour: usage::hour_of(NOW.minus(hour * usage::HOUR)),
            class: "read".to_owned(),
            outcome: "allowed".to_owned(),
            requests,
        };
        let counts = vec![count("key:a", 0, 2), count("key:a", 1, 3), count("key:b", 0, 5)];
        for _ in 0..2 {
            let counts = counts.clone();
            world.write(move |c| usage::add(c, &counts)).unwrap();
        }
        world.write(move |c| usage::add(c, &[])).unwrap();
        let both = ["key:a".to_owned(), "key:b".to_owned()];
        let from = usage::hour_of(NOW.minus(usage::HOUR));
        let wanted = both.clone();
        let mut together = world.read(move |c| usage::together(c, &wanted, from)).unwrap();
        together.sort();
        assert_eq!(together.iter().map(|count| count.requests).collect::<Vec<_>>(), [6, 14]);
        let now = usage::hour_of(NOW);
        let mut each = world.read(move |c| usage::by_hour(c, &both, now)).unwrap();
        each.sort();
        assert_eq!(each, [("key:a".to_owned(), now, 4), ("key:b".to_owned(), now, 10)]);
        let later = from.plus(sweep::USAGE_MEMORY);
        assert_eq!(world.write(move |c| sweep::batch(c, later)).unwrap(), 1);
    }
}
