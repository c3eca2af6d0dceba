//! A disk without room (F3): what cannot be written is not answered, what can be read goes on, and nothing has to be mended afterwards.

use std::io::Write as _;

use crate::backup::settled;
use crate::command_line::Person;
use crate::process::Place;
use crate::world::{Tokens, environment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_goes_on_when_there_is_room_f3() {
    // `tests/run` says what it left out.
    let Some(disk) = environment("TEST_SMALL_DISK") else { return };
    let disk = std::path::PathBuf::from(disk);
    let mut place = Place::new();
    place.set("CNX_DATA_DIR", disk.join("data").to_str().unwrap());
    let client = settled(&place);
    let node = place.serve(&[]);
    let person = Person::at(&node);
    let mut tokens = person.tokens(&client, "ada").await;

    // Not a byte is left.
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let full = loop {
        match file.write(&[0; 4096]) {
            Ok(count) if count > 0 => {}
            other => break other,
        }
    };
    assert!(full.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull));

    // The log has some room of its own; then writes are refused, and nothing else is.
    let mut refused = 0;
    for _ in 0..3_000 {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
        let reply = person.post("/oauth2/token", &client, &form).await;
        if reply.status == 200 {
            tokens = Tokens::of(&reply);
            continue;
        }
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (503, "temporarily_unavailable"),
            "{}",
            reply.text
        );
        assert!(reply.header("retry-after").is_some());
        refused += 1;
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk was never full");
    assert_eq!(person.user_info(&tokens.access).await, 200, "what is only read goes on");
    let asked = person.post("/oauth2/introspect", &client, &[("token", tokens.access.as_str())]).await;
    assert_eq!(asked.json()["active"], true);

    // Room again: on without a restart, with the token that was refused.
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    let tokens = Tokens::of(&person.post("/oauth2/token", &client, &form).await);
    drop(node);

    let node = place.serve(&[]);
    let person = Person::at(&node);
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    assert_eq!(person.post("/oauth2/token", &client, &form).await.status, 200);
    assert_eq!(place.run(&["audit", "verify"]).code, Some(0));
}
