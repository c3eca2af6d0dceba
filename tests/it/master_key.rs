//! The master key's file at start and while a node runs (F17).

use std::path::Path;

use cnx::app::{App, Role};
use cnx::base::entropy::Entropy;
use cnx::flow::signing_keys;

use crate::nodes::{is_active, own_token};
use crate::offline;
use crate::world::on_both;

on_both! {
    async fn a_start_without_the_right_master_key_is_refused_and_changes_nothing_f17(world: World) {
        let mut world = world;
        let client = world.web_client().await;
        let token = own_token(&world, &world.base, &client).await;
        let before = offline::key_set(&world).await;
        let path = world.settings.master_key_file.clone();
        let right = std::fs::read(&path).unwrap();
        let stopped = world.running.take().unwrap();
        stopped.stop().await;
        let files = contents(&world.settings.data_dir);
        let other = cnx::base::encoding::base64url(&[9; 32]);
        for (what, text, expected) in [
            ("another key", Some(format!("{other}\n")), "not the master key of this database"),
            ("no file", None, "the file is missing"),
            ("an empty file", Some(String::new()), "not a master key"),
            ("a short key", Some(other[..40].to_owned()), "not a master key"),
            ("garbage", Some("not base64url at all, is it?".to_owned()), "not a master key"),
        ] {
            match &text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            for role in [Role::Server, Role::Tool] {
                let refused =
                    App::open(world.settings.clone(), world.clock.clone(), Entropy::system(), role).await;
                let line = refused.err().unwrap_or_else(|| panic!("{what}: it opened")).to_string();
                assert!(line.starts_with("master_key_file ") && line.contains(expected), "{what}: {line}");
                assert!(!line.contains('\n') && line.contains(path.to_str().unwrap()), "{what}: {line}");
                if let Some(text) = text.as_deref().filter(|t| !t.is_empty()) {
                    assert!(!line.contains(text.trim()), "{what}: the key is not shown");
                }
            }
            assert_eq!(std::fs::read_to_string(&path).ok(), text, "{what}: the file is as it was");
            std::fs::write(&path, &right).unwrap();
            assert_eq!(contents(&world.settings.data_dir), files, "{what}: nothing changed");
        }
        world.start().await;
        assert_eq!(offline::key_set(&world).await, before);
        assert!(is_active(&world.http, &world.base, &client, &token).await);
        // While a node runs, its file may go away: it keeps what it loaded.
        std::fs::remove_file(&path).unwrap();
        assert!(
            is_active(&world.http, &world.base, &client, &own_token(&world, &world.base, &client).await)
                .await
        );
        signing_keys::keep_current(world.app()).await.unwrap();
        assert_eq!(world.get("/readyz").await.status, 200);
    }
}

/// What the data folder holds, byte for byte; the lock file is everybody's.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_str().unwrap().contains("lock"))
        .map(|entry| (entry.file_name().to_str().unwrap().to_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}
