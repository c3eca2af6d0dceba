//! `cnx backup` and `cnx restore`: nothing is lost on the way there and back, and nothing is replaced by what does not open (F5, F6).

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::command_line::{Person, client_of};
use crate::process::Place;
use crate::world::{CALLBACK, PASSWORD, TestClient, Tokens};

/// A server with a person and a client that is hers.
pub fn settled(place: &Place) -> TestClient {
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    let scope = "openid email profile offline_access";
    client_of(&place.json(&["client", "add", "App", "--redirect-uri", CALLBACK, "--scope", scope]))
}

async fn refreshed(person: &Person, client: &TestClient, token: &str) -> Tokens {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    Tokens::of(&person.post("/oauth2/token", client, &form).await)
}

async fn is_refused(person: &Person, client: &TestClient, token: &str) -> bool {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    person.post("/oauth2/token", client, &form).await.error() == "invalid_grant"
}

fn back_up(place: &Place, name: &str) -> std::path::PathBuf {
    let file = place.dir().join(name);
    let made = place.json(&["backup", file.to_str().unwrap()]);
    assert_eq!(made["bytes"], json!(std::fs::metadata(&file).unwrap().len()), "{made}");
    assert!(made["master_key_file"].as_str().unwrap().ends_with("master.key"), "{made}");
    file
}

/// Another machine: nothing but a copy and the master key.
fn elsewhere(place: &Place, copy: &Path, arguments: &[&str]) -> (Place, Value) {
    let new = Place::new();
    std::fs::create_dir_all(new.data()).unwrap();
    std::fs::copy(place.data().join("master.key"), new.data().join("master.key")).unwrap();
    let done = new.json(&[&["restore", copy.to_str().unwrap()], arguments].concat());
    (new, done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_goes_on_elsewhere_with_every_token_and_key() {
    let place = Place::new();
    let client = settled(&place);
    let key = place.json(&["key", "mint", "--name", "deploy", "--env", "prod", "--scope", "instances:read"]);
    let node = place.serve(&[]);
    let person = Arc::new(Person::at(&node));
    let quiet = person.tokens(&client, "ada").await;
    let busy = person.tokens(&client, "ada").await;
    // Refreshes go on while the copy is made; each must be answered.
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (person, client, stop) = (Arc::clone(&person), client.clone(), Arc::clone(&stop));
        async move {
            let (mut tokens, mut count) = (busy, 0);
            while !stop.load(Ordering::Relaxed) || count < 20 {
                tokens = refreshed(&person, &client, tokens.refresh()).await;
                count += 1;
            }
            count
        }
    });
    let copies: Vec<_> =
        tokio::task::block_in_place(|| (0..3).map(|n| back_up(&place, &format!("copy {n}"))).collect());
    stop.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() >= 20);
    for copy in &copies {
        assert_eq!(std::fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let at_last = back_up(&place, "the last one");
    drop(node);

    let (new, done) = elsewhere(&place, &at_last, &[]);
    assert_eq!(done["sessions_ended"], json!(0));
    assert!(new.json(&["doctor"])["ok"].as_bool().unwrap());
    let node = new.serve(&[]);
    let person = Person::at(&node);
    let next = refreshed(&person, &client, quiet.refresh()).await;
    assert!(is_refused(&person, &client, "cnx_rt_nonsense").await);
    // Issued before by a server with another address: who checks tokens by themselves goes by the issuer. The new ones are this one's.
    assert_eq!(person.user_info(&next.access).await, 200);
    let secret = key["key"].as_str().unwrap();
    let verified = new.json_with(&["key", "verify"], Some(secret));
    assert_eq!(verified["valid"], json!(true), "{verified}");
    let log = new.run(&["audit", "export"]).out;
    assert!(log.contains("database.restored"), "{log}");
    assert_eq!(new.run(&["audit", "verify"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_makes_spent_tokens_good_again_unless_they_are_ended_f6() {
    let place = Place::new();
    let client = settled(&place);
    let node = place.serve(&[]);
    let person = Person::at(&node);
    let first = person.tokens(&client, "ada").await;
    let copy = back_up(&place, "yesterday");
    // Spent twice over, so that no grace for a lost answer covers it, and seen as stolen.
    let second = refreshed(&person, &client, first.refresh()).await;
    refreshed(&person, &client, second.refresh()).await;
    drop(node);

    let (kept, _) = elsewhere(&place, &copy, &[]);
    let node = kept.serve(&[]);
    refreshed(&Person::at(&node), &client, first.refresh()).await;
    drop(node);

    let (ended, done) = elsewhere(&place, &copy, &["--end-sign-ins"]);
    assert_eq!((&done["sessions_ended"], &done["families_revoked"]), (&json!(1), &json!(1)));
    let node = ended.serve(&[]);
    let person = Person::at(&node);
    assert!(is_refused(&person, &client, first.refresh()).await);
    assert!(is_refused(&person, &client, second.refresh()).await);
    // A new sign-in is as good as ever.
    person.tokens(&client, "ada").await;
}

#[test]
fn a_database_that_is_there_is_kept_and_a_running_server_is_not_disturbed() {
    let place = Place::new();
    settled(&place);
    let copy = back_up(&place, "copy");
    place.json_with(&["user", "add", "later@example.com", "--password-stdin"], Some(PASSWORD));
    let restore = ["restore", copy.to_str().unwrap()];
    let line = place.refused(&restore);
    assert!(line.contains("there is a database already") && line.contains("--replace"), "{line}");
    let node = place.serve(&[]);
    let ended = place.run(&[&restore[..], &["--replace"]].concat());
    assert!(ended.code == Some(1) && ended.err.contains("another server"), "{ended:?}");
    drop(node);

    let done = place.json(&[&restore[..], &["--replace"]].concat());
    let people = |place: &Place| place.json(&["user", "list"])["users"].as_array().unwrap().len();
    assert_eq!(people(&place), 1);
    // And back again: what was replaced is whole.
    let before = done["replaced"].as_str().unwrap().to_owned();
    place.json(&["restore", &before, "--replace"]);
    assert_eq!(people(&place), 2);
}

#[test]
fn what_is_no_good_replaces_nothing_f5() {
    let place = Place::new();
    settled(&place);
    let copy = back_up(&place, "copy");
    let damaged = place.dir().join("damaged");
    std::fs::copy(&copy, &damaged).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&damaged).unwrap();
    let size = file.metadata().unwrap().len();
    for page in 2..size / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xA5; 200]).unwrap();
    }
    drop(file);
    let foreign = place.dir().join("foreign");
    {
        use diesel::connection::SimpleConnection as _;
        crate::process::sqlite(&foreign).batch_execute("CREATE TABLE songs (id INTEGER)").unwrap();
    }
    let text = place.dir().join("text");
    std::fs::write(&text, "no database at all, but a text of some length").unwrap();
    for (file, words) in [
        (&damaged, "damaged"),
        (&foreign, "another program"),
        (&text, "no SQLite database"),
        (&place.dir().join("absent"), "no such file"),
    ] {
        let line = place.refused(&["restore", file.to_str().unwrap(), "--replace"]);
        assert!(line.contains(words), "{line}");
    }
    // A copy of a database that another master key sealed.
    let other = Place::new();
    settled(&other);
    let theirs = back_up(&other, "copy");
    let ended = place.run(&["restore", theirs.to_str().unwrap(), "--replace"]);
    assert!(ended.code == Some(1) && ended.err.contains("master"), "{ended:?}");
    assert_eq!(place.json(&["user", "list"])["users"][0]["username"], "ada");
    // Nothing half done lies about.
    let left = std::fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("restoring")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_backup_overwrites_nothing_and_says_what_it_cannot_copy() {
    let place = Place::new();
    let line = place.refused(&["backup", place.dir().join("copy").to_str().unwrap()]);
    assert!(line.contains("there is no database yet"), "{line}");
    settled(&place);
    let copy = back_up(&place, "copy");
    let ended = place.run(&["backup", copy.to_str().unwrap()]);
    assert!(ended.code == Some(1) && ended.err.contains("overwrites nothing"), "{ended:?}");
    let ended = place.run(&["backup", place.dir().join("no/such/folder").to_str().unwrap()]);
    assert!(ended.code == Some(1) && ended.err.contains("no/such/folder"), "{ended:?}");
    let mut far = Place::new();
    far.set("CNX_DATABASE_URL", "postgres://cnx:secret@127.0.0.1:9/cnx");
    let ended = far.run(&["backup", "copy"]);
    assert!(
        ended.code == Some(1) && ended.err.contains("pg_dump") && !ended.err.contains("secret"),
        "{ended:?}"
    );
}
