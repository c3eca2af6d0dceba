//! What a person who writes settings meets: defaults, layers, and one clear line for each mistake.

use std::path::{Path, PathBuf};

use super::keys::{leaves, whole};
use super::stated::{RANGES, Stated};
use super::*;

fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter()
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load(None, environment(pairs), None)
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnx.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// The one line that a file is refused with, the folder's name cut off.
fn refused(text: &str) -> String {
    let (folder, path) = file(text);
    let error = load(Some(&path), environment(&[]), None).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn nothing_set_gives_the_defaults_of_the_contract() {
    let s = from_env(&[]).unwrap().settings;
    assert_eq!(s.public_url.as_str(), "http://localhost:8080");
    assert_eq!(s.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(s.data_dir, Path::new("./data"));
    assert_eq!(s.database_url.sqlite_path(), Some(Path::new("./data/cnx.db")));
    assert_eq!(s.master_key_file, Path::new("./data/master.key"));
    assert_eq!(s.tokens.access_seconds, 600);
    assert_eq!((s.passwords.argon2_memory_kib, s.passwords.argon2_passes), (19_456, 2));
    assert!(s.tls.is_none() && s.redis_url.is_none() && !s.dev);
}

#[test]
fn every_whole_number_has_a_range_and_every_range_holds_its_default() {
    let defaults = leaves(&Stated::default()).unwrap();
    let numbers: Vec<_> = defaults.iter().filter_map(|(k, v)| whole(v).map(|n| (k.as_str(), n))).collect();
    assert_eq!(numbers.len(), RANGES.len());
    for (key, number) in numbers {
        let range = RANGES.iter().find(|r| r.key == key).unwrap();
        assert!((range.least..=range.most).contains(&number), "{key}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_each_source_is_told() {
    let (_folder, path) = file("listen = \"127.0.0.1:1\"\nworkers = 3\n[tokens]\naccess_seconds = 300\n");
    let loaded = load(
        Some(&path),
        environment(&[
            ("CNX_LISTEN", "127.0.0.1:9000"),
            ("CNX_TOKENS__ID_SECONDS", "60"),
            ("CNX_TRUSTED_PROXIES", "10.0.0.1, fd00::/8"),
            ("CNX_REDIS_URL", ""),
        ]),
        None,
    )
    .unwrap();
    let s = &loaded.settings;
    assert_eq!(s.listen.port(), 9000);
    assert_eq!(s.public_url.as_str(), "http://localhost:9000", "follows the port");
    assert_eq!((s.workers, s.tokens.access_seconds, s.tokens.id_seconds), (3, 300, 60));
    assert_eq!(s.trusted_proxies.len(), 2);
    let from = |key: &str| loaded.sources.iter().find(|s| s.key == key).unwrap().from.clone();
    assert_eq!(from("listen"), "CNX_LISTEN");
    assert_eq!(from("tokens.id_seconds"), "CNX_TOKENS__ID_SECONDS");
    assert!(from("tokens.access_seconds").ends_with("cnx.toml:4"));
    assert_eq!(from("public_url"), "derived from listen");
    assert_eq!(from("sessions.idle_seconds"), "default");
    let numbers =
        loaded.sources.iter().filter(|s| s.key.ends_with("_seconds") || s.key == "signing.rsa_bits");
    assert!(numbers.clone().count() > 10 && numbers.clone().all(|s| s.value.is_some()), "defaults are shown");
}

#[test]
fn the_file_is_named_by_the_flag_before_the_variable() {
    let (_a, by_flag) = file("workers = 1\n");
    let (_b, by_variable) = file("workers = 2\n");
    let variable = [("CNX_CONFIG", by_variable.to_str().unwrap())];
    assert_eq!(load(Some(&by_flag), environment(&variable), None).unwrap().settings.workers, 1);
    assert_eq!(load(None, environment(&variable), None).unwrap().settings.workers, 2);
    let error = from_env(&[("CNX_CONFIG", "/no/such.toml")]).unwrap_err().to_string();
    assert!(error.starts_with("/no/such.toml: the settings file cannot be read"), "{error}");
}

#[test]
fn a_mistake_in_the_file_is_one_line_with_key_place_and_what_is_allowed() {
    for (text, line) in [
        ("\npublc_url = \"x\"", "publc_url (cnx.toml:2): there is no such setting; did you mean public_url?"),
        ("[token]\naccess_seconds = 1", "token (cnx.toml:1): there is no such setting; did you mean tokens?"),
        (
            "[tokens]\nacces_seconds = 1",
            "tokens.acces_seconds (cnx.toml:2): there is no such setting; did you mean tokens.access_seconds?",
        ),
        ("tokens = 5", "tokens (cnx.toml:1): this is a table; write [tokens] and its settings below it"),
        (
            "[tokens]\ncode_seconds = 600",
            "tokens.code_seconds (cnx.toml:2): 600 is not allowed; 1 to 60 is (seconds)",
        ),
        (
            "[tokens]\ncode_seconds = \"1m\"",
            "tokens.code_seconds (cnx.toml:2): a whole number from 1 to 60 is allowed (seconds)",
        ),
        (
            "workers = 1.5",
            "workers (cnx.toml:1): a whole number from 0 to 1024 is allowed (threads, 0 for one on each core)",
        ),
        ("listen = 8080", "listen (cnx.toml:1): a text in quotes is allowed"),
        (
            "listen = \"localhost\"",
            "listen (cnx.toml:1): \"localhost\" is not an address and port; 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080 is allowed",
        ),
        ("log.format = \"xml\"", "log.format (cnx.toml:1): \"xml\" is not allowed; human or json is"),
        ("[tls]\ncert = \"a.pem\"", "tls.cert (cnx.toml:2): tls.key is missing; set both or neither"),
        (
            "signing.rsa_bits = 2500",
            "signing.rsa_bits (cnx.toml:1): 2500 is not allowed; 2048, 3072 or 4096 is",
        ),
        (
            "public_url = \"http://id.example.com\"",
            "public_url (cnx.toml:1): http://id.example.com is plain http; https is required, http is allowed only for localhost, 127.0.0.1 and [::1]",
        ),
    ] {
        assert_eq!(refused(text), line);
    }
    let syntax = refused("listen = \"a\"\nworkers = = 3\n");
    assert!(syntax.starts_with("cnx.toml:2: this is not TOML:"), "{syntax}");
    let twice = refused("workers = 1\nworkers = 2\n");
    assert!(twice.starts_with("cnx.toml:2: this is not TOML: duplicate key"), "{twice}");
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value, line) in [
        (
            "CNX_PUBLC_URL",
            "x",
            "CNX_PUBLC_URL (environment): there is no such setting; did you mean CNX_PUBLIC_URL?",
        ),
        (
            "CNX_TLS_CERT",
            "x",
            "CNX_TLS_CERT (environment): there is no such setting; did you mean CNX_TLS__CERT?",
        ),
        (
            "CNX_WORKERS",
            "many",
            "workers (CNX_WORKERS): a whole number from 0 to 1024 is allowed (threads, 0 for one on each core)",
        ),
        (
            "CNX_TRUSTED_PROXIES",
            "10.0.0.0/99",
            "trusted_proxies (CNX_TRUSTED_PROXIES): \"10.0.0.0/99\" is not an address or network; 10.0.0.7, 10.0.0.0/8 or fd00::/8 is allowed",
        ),
        (
            "CNX_LOG__LEVEL",
            "inof",
            "log.level (CNX_LOG__LEVEL): \"inof\" is not a level; error, warn, info, debug, trace or off is allowed, or a list such as info,cnx::store=debug",
        ),
        (
            "CNX_DATABASE_URL",
            "mysql://root:hunter2@db",
            "database_url (CNX_DATABASE_URL): sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME is allowed",
        ),
    ] {
        assert_eq!(from_env(&[(name, value)]).unwrap_err().to_string(), line);
    }
}

#[test]
fn no_message_can_forge_a_line() {
    let error =
        from_env(&[("CNX_PUBLIC_URL", "https://x/\r\nERROR forged\u{1b}[2J")]).unwrap_err().to_string();
    assert!(!error.contains(['\r', '\n', '\u{1b}']), "{error}");
}

#[test]
fn plain_http_leaves_this_machine_only_behind_a_named_proxy() {
    let https = ("CNX_PUBLIC_URL", "https://id.example.com");
    let wide = ("CNX_LISTEN", "0.0.0.0:8080");
    assert!(from_env(&[https, wide]).unwrap_err().to_string().starts_with("listen (CNX_LISTEN)"));
    assert!(from_env(&[https, wide, ("CNX_TRUSTED_PROXIES", "10.0.0.0/8")]).is_ok());
    assert!(from_env(&[https, wide, ("CNX_TLS__CERT", "c.pem"), ("CNX_TLS__KEY", "k.pem")]).is_ok());
    assert!(from_env(&[https]).is_ok(), "a proxy on this machine");
    assert!(from_env(&[wide]).is_ok(), "a container's published port on a loopback issuer");
}

#[test]
fn dev_touches_nothing_that_somebody_keeps() {
    let folder = Path::new("/tmp/throw-away");
    let kept = [
        ("CNX_DATABASE_URL", "postgres://x@db/prod"),
        ("CNX_DATA_DIR", "/srv"),
        ("CNX_LISTEN", "127.0.0.1:9"),
    ];
    let s = load(None, environment(&kept), Some(folder)).unwrap().settings;
    assert_eq!(s.database_url.sqlite_path(), Some(Path::new("/tmp/throw-away/cnx.db")));
    assert_eq!((s.data_dir.as_path(), s.listen.port(), s.dev), (folder, 9, true));
    let away = [("CNX_PUBLIC_URL", "https://id.example.com")];
    let error = load(None, environment(&away), Some(folder)).unwrap_err().to_string();
    assert!(error.contains("serve --dev allows localhost"), "{error}");
}

#[test]
fn secrets_are_masked_wherever_settings_are_shown() {
    let loaded = from_env(&[
        ("CNX_DATABASE_URL", "postgres://cnx:hunter2@db/cnx"),
        ("CNX_REDIS_URL", "redis://:hunter2@cache:6379/0"),
    ])
    .unwrap();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("cnx:***@db"), "{shown}");
}

#[test]
fn mail_is_sent_or_written_and_its_password_is_never_shown() {
    let off = from_env(&[]).unwrap().settings.mail;
    assert!(off.smtp_url.is_none() && off.folder.is_none());
    let stated = [
        ("CNX_MAIL__SMTP_URL", "smtps://id:hunter2@mail.example.com:465"),
        ("CNX_MAIL__FROM", "Example Identity <id@example.com>"),
    ];
    let loaded = from_env(&stated).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
    let shown = loaded.sources.iter().find(|source| source.key == "mail.smtp_url").unwrap();
    let shown = shown.value.as_ref().unwrap().to_string();
    assert!(shown.contains("id:***@mail.example.com:465"), "{shown}");
    let refused = |pairs: &[(&str, &str)]| from_env(pairs).unwrap_err().to_string();
    assert!(refused(&stated[..1]).starts_with("mail.from"), "{}", refused(&stated[..1]));
    let both = [stated[0], stated[1], ("CNX_MAIL__FOLDER", "./mail")];
    assert!(refused(&both).starts_with("mail.folder"), "{}", refused(&both));
    // A server that is tried out sends nobody mail, whatever the settings say.
    let folder = tempfile::tempdir().unwrap();
    let dev = load(None, environment(&stated), Some(folder.path())).unwrap().settings.mail;
    assert!(dev.smtp_url.is_none());
    assert_eq!(dev.folder, Some(folder.path().join("mail")));
}
