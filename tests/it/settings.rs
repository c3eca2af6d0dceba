//! A start that must not be: each mistake is one clear line on standard error and exit code 1, and nothing on the disk is
//! changed (issue 2, "It must show" 5; contract §2).

use diesel::connection::SimpleConnection as _;

use crate::process::Place;
use crate::world::environment;

/// A place where a server ran once.
fn used() -> Place {
    let place = Place::new();
    place.json(&["migrate"]);
    place
}

fn sqlite(place: &Place, sql: &str) {
    crate::process::sqlite(&place.database()).batch_execute(sql).unwrap();
}

#[test]
fn a_misspelt_setting_stops_the_start_with_its_name_and_place() {
    let mut place = Place::new();
    for (name, value, line) in [
        (
            "CNX_LISTN",
            "127.0.0.1:1",
            "cnx: CNX_LISTN (environment): there is no such setting; did you mean CNX_LISTEN?",
        ),
        (
            "CNX_TOKENS__ACESS_SECONDS",
            "60",
            "cnx: CNX_TOKENS__ACESS_SECONDS (environment): there is no such setting; did you mean CNX_TOKENS__ACCESS_SECONDS?",
        ),
        (
            "CNX_TOKENS__CODE_SECONDS",
            "600",
            "cnx: tokens.code_seconds (CNX_TOKENS__CODE_SECONDS): 600 is not allowed; 1 to 60 is (seconds)",
        ),
        (
            "CNX_LOG__FORMAT",
            "xml",
            "cnx: log.format (CNX_LOG__FORMAT): \"xml\" is not allowed; human or json is",
        ),
        (
            "CNX_LOG__LEVEL",
            "loud",
            "cnx: log.level (CNX_LOG__LEVEL): \"loud\" is not a level; error, warn, info, debug, trace or off is allowed, or a list such as info,cnx::store=debug",
        ),
        (
            "CNX_TRUSTED_PROXIES",
            "10.0.0.0/99",
            "cnx: trusted_proxies (CNX_TRUSTED_PROXIES): \"10.0.0.0/99\" is not an address or network; 10.0.0.7, 10.0.0.0/8 or fd00::/8 is allowed",
        ),
    ] {
        place.set(name, value);
        for command in [&["serve"][..], &["migrate"], &["config"], &["user", "list"]] {
            assert_eq!(place.refused(command), line, "{command:?}");
        }
        place.set(name, "");
    }
    // In a file, with its line; found by the flag, by the variable, and in the working folder.
    let path = place.dir().join("cnx.toml");
    std::fs::write(&path, "workers = 1\n\n[token]\naccess_seconds = 60\n").unwrap();
    let line = "token (cnx.toml:3): there is no such setting; did you mean tokens?";
    assert_eq!(place.refused(&["serve"]), format!("cnx: {line}"));
    let named = path.display().to_string();
    assert_eq!(
        place.refused(&["serve", "--config", &named]).replace(&named, "cnx.toml"),
        format!("cnx: {line}")
    );
    let line = place.refused(&["serve", "--config", "nowhere.toml"]);
    assert!(line.starts_with("cnx: nowhere.toml: the settings file cannot be read: "), "{line}");
    std::fs::write(&path, "this is = = no TOML\n").unwrap();
    assert!(place.refused(&["serve"]).starts_with("cnx: cnx.toml:1: this is not TOML: "));
}

#[test]
fn an_issuer_that_cannot_be_stops_the_start() {
    let mut place = Place::new();
    let shape = "https://HOST or https://HOST:PORT is allowed, http only for localhost, 127.0.0.1 and [::1]";
    for (url, problem) in [
        ("not a url", format!("\"not a url\" is not a URL; {shape}")),
        ("id.example.com", format!("\"id.example.com\" is not a URL; {shape}")),
        ("ftp://id.example.com", format!("its scheme is \"ftp\"; {shape}")),
        ("https://id.example.com/base", format!("a path (\"/base\") is not allowed in it; {shape}")),
        ("https://id.example.com?x=1", format!("\"?\" and \"#\" are not allowed in it; {shape}")),
        ("https://user@id.example.com", format!("a user name or password is not allowed in it; {shape}")),
        ("https://ID.example.com", "write it as \"https://id.example.com\"".to_owned()),
        ("http://id.example.com", "http://id.example.com is plain http; https is required, http is allowed only for localhost, 127.0.0.1 and [::1]".to_owned()),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080 is plain http; https is required, http is allowed only for localhost, 127.0.0.1 and [::1]".to_owned()),
        ("http://localhost.example.com", "http://localhost.example.com is plain http; https is required, http is allowed only for localhost, 127.0.0.1 and [::1]".to_owned()),
    ] {
        place.set("CNX_PUBLIC_URL", url);
        assert_eq!(place.refused(&["serve"]), format!("cnx: public_url (CNX_PUBLIC_URL): {problem}"));
    }
    let everywhere = format!("0.0.0.0:{}", place.port);
    place.set("CNX_PUBLIC_URL", "https://id.example.com").set("CNX_LISTEN", &everywhere);
    let line = place.refused(&["serve"]);
    assert!(
        line.starts_with("cnx: listen (CNX_LISTEN): 0.0.0.0:")
            && line.contains("would take plain http from anyone"),
        "{line}"
    );
}

#[test]
fn serve_dev_is_for_this_machine_only() {
    let mut place = Place::new();
    place.set("CNX_PUBLIC_URL", "https://id.example.com");
    let line = place.refused(&["serve", "--dev"]);
    let wanted = "cnx: public_url (CNX_PUBLIC_URL): https://id.example.com is not this machine; serve --dev allows localhost, 127.0.0.1 and [::1]";
    assert_eq!(line, wanted);
}

#[test]
fn tls_needs_both_its_files_and_they_must_be_readable_pem() {
    let mut place = Place::new();
    place.set("CNX_PUBLIC_URL", "https://localhost:8443").set("CNX_TLS__CERT", "cert.pem");
    assert_eq!(
        place.refused(&["serve"]),
        "cnx: tls.cert (CNX_TLS__CERT): tls.key is missing; set both or neither"
    );
    place.set("CNX_TLS__CERT", "").set("CNX_TLS__KEY", "key.pem");
    assert_eq!(
        place.refused(&["serve"]),
        "cnx: tls.key (CNX_TLS__KEY): tls.cert is missing; set both or neither"
    );
    place.set("CNX_TLS__CERT", "cert.pem").set("CNX_PUBLIC_URL", "http://localhost:8443");
    let line = place.refused(&["serve"]);
    assert_eq!(
        line,
        "cnx: public_url (CNX_PUBLIC_URL): http://localhost:8443 is plain http, but tls.cert is set; write https"
    );
    place.set("CNX_PUBLIC_URL", "https://localhost:8443");
    let line = place.refused(&["serve"]);
    assert!(line.starts_with("cnx: tls: cert.pem: "), "{line}");
    std::fs::write(place.dir().join("cert.pem"), "no certificate").unwrap();
    std::fs::write(place.dir().join("key.pem"), "no key").unwrap();
    let line = place.refused(&["serve"]);
    assert!(line.starts_with("cnx: tls: ") && line.contains(".pem: "), "{line}");
}

#[test]
fn a_database_address_that_cannot_be_stops_the_start_and_its_password_is_not_told() {
    let mut place = Place::new();
    for url in [
        "mysql://root:hunter2@db/x",
        "cnx.db",
        "sqlite:",
        "sqlite::memory:",
        "sqlite://relative/cnx.db",
        "postgres://hunter2:hunter2@[oops/x",
    ] {
        place.set("CNX_DATABASE_URL", url);
        let line = place.refused(&["serve"]);
        assert!(
            line.starts_with("cnx: database_url (CNX_DATABASE_URL): ") && !line.contains("hunter2"),
            "{line}"
        );
    }
    place.set("CNX_DATABASE_URL", "postgres://cnx:hunter2@127.0.0.1:1/cnx");
    let line = place.refused(&["serve"]);
    assert!(
        line.starts_with(
            "cnx: database_url postgres://cnx:***@127.0.0.1:1/cnx: the database cannot be opened: "
        ),
        "{line}"
    );
    assert!(!line.contains("hunter2"), "{line}");
}

#[cfg(unix)]
#[test]
fn a_master_key_that_is_missing_wrong_or_broken_stops_the_start_and_is_never_made_anew_f17() {
    let mut place = used();
    let key = place.data().join("master.key");
    let right = std::fs::read(&key).unwrap();
    let at = format!("cnx: master_key_file {}: ", key.display());

    std::fs::remove_file(&key).unwrap();
    let missing = "the file is missing, and the database was made with it; put it back (nothing is made anew over old data)";
    for command in [&["serve"][..], &["migrate"], &["user", "list"], &["signing-key", "rotate"]] {
        assert_eq!(place.refused(command), format!("{at}{missing}"), "{command:?}");
    }
    for broken in ["", "short", "not base64 not base64 not base64 not base64!!", &"A".repeat(44)] {
        std::fs::write(&key, broken).unwrap();
        let line = place.refused(&["serve"]);
        assert_eq!(
            line,
            format!("{at}this is not a master key; 43 characters of base64url (32 bytes) are expected"),
            "{broken}"
        );
    }
    std::fs::write(&key, [0xff; 43]).unwrap();
    assert!(place.refused(&["serve"]).starts_with(&at));
    std::fs::write(&key, "A".repeat(43)).unwrap();
    let line = place.refused(&["serve"]);
    assert_eq!(line, format!("{at}this is not the master key of this database; put the right file back"));
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    assert!(place.refused(&["serve"]).starts_with(&format!("{at}cannot be read: ")));
    std::fs::remove_dir(&key).unwrap();
    let elsewhere = place.dir().join("nowhere/master.key").display().to_string();
    place.set("CNX_MASTER_KEY_FILE", &elsewhere);
    assert_eq!(place.refused(&["serve"]), format!("cnx: master_key_file {elsewhere}: {missing}"));

    std::fs::write(&key, right).unwrap();
    place.set("CNX_MASTER_KEY_FILE", "");
    assert_eq!(place.run(&["user", "list"]).code, Some(0), "with the right key everything is as it was");
}

#[cfg(unix)]
#[test]
fn a_master_key_is_made_once_whole_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = used();
    let key = place.data().join("master.key");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&place.database()), mode(&place.data())), (0o600, 0o600, 0o700));
    let text = std::fs::read_to_string(&key).unwrap();
    assert_eq!(text.trim_end().len(), 43);
    place.json(&["migrate"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);
    let names: Vec<String> = place.snapshot().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name.contains("tmp")), "{names:?}");
}

#[test]
fn a_database_of_a_later_release_is_refused_and_left_alone_f18() {
    let place = used();
    sqlite(&place, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
    let newer = "the database is newer than this program: it has migration 29991231000000; install the release that made it";
    let at = format!("cnx: database_url sqlite:{}: ", place.database().display());
    for command in [&["serve"][..], &["user", "list"], &["signing-key", "rotate"]] {
        assert_eq!(place.refused(command), format!("{at}{newer}"), "{command:?}");
    }
    for command in [&["migrate"][..], &["migrate", "--check"]] {
        assert_eq!(place.refused(command), format!("cnx: {newer}"), "{command:?}");
    }
    sqlite(&place, "DELETE FROM __diesel_schema_migrations WHERE version = '29991231000000'");
    sqlite(&place, "UPDATE meta SET value = '00' WHERE key LIKE 'migration.%'");
    let line = place.refused(&["serve"]);
    assert!(
        line.contains(" is not the one that this database was made with; install the release that made it"),
        "{line}"
    );
}

#[test]
fn a_postgresql_database_of_a_later_release_is_refused_f18() {
    let Some(database) = crate::world::PostgresDatabase::make_now() else {
        assert!(environment("TEST_POSTGRES_URL").is_none());
        return;
    };
    let mut place = Place::new();
    place.set("CNX_DATABASE_URL", &database.url);
    place.json(&["migrate"]);
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
    let line = place.refused(&["serve"]);
    assert!(line.ends_with("the database is newer than this program: it has migration 29991231000000; install the release that made it"), "{line}");
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let place = used();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    for command in [&["serve"][..], &["serve", "--dev"]] {
        let line = place.refused(command);
        assert!(line.starts_with(&format!("cnx: listen 127.0.0.1:{}: ", place.port)), "{line}");
        assert!(line.ends_with("; another program listens there; set CNX_LISTEN"), "{line}");
    }
}

#[test]
fn bad_usage_is_exit_code_2_and_changes_nothing() {
    let place = Place::new();
    let before = place.snapshot();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["serve", "--nonsense"],
        &["user"],
        &["user", "add"],
        &["client", "add"],
        &["client", "add", "App", "--auth", "tls_client_auth"],
        &["service-account", "add"],
        &["service-account", "key", "add", "x", "--alg", "HS256"],
        &["trust", "add", "github", "--repo", "org/app"],
        &["client", "add", "App", "--public", "--secret-stdin"],
        &["client", "rotate-secret", "x", "--overlap", "soon"],
        &["signing-key", "rotate", "--alg", "HS256"],
        &["signing-key", "revoke"],
        &["user", "add", "a@example.com", "--password", "x"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{arguments:?}: {ended:?}");
    }
    assert!(before == place.snapshot());
    for arguments in [&["--help"][..], &["--version"], &["client", "add", "--help"]] {
        let ended = place.run(arguments);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn config_shows_every_setting_with_its_source_and_no_secret() {
    let mut place = Place::new();
    place
        .set("CNX_DATABASE_URL", "postgres://cnx:hunter2@db:5432/cnx?sslpassword=hunter3")
        .set("CNX_REDIS_URL", "redis://user:hunter4@redis:6379/0");
    std::fs::write(place.dir().join("cnx.toml"), "workers = 3\n[tokens]\naccess_seconds = 300\n").unwrap();
    let document = place.json(&["config"]);
    let setting = |key: &str| {
        document["settings"].as_array().unwrap().iter().find(|s| s["key"] == key).unwrap().clone()
    };
    assert_eq!(
        (setting("workers")["value"].as_i64(), setting("workers")["from"].as_str()),
        (Some(3), Some("cnx.toml:1"))
    );
    assert_eq!(setting("tokens.access_seconds")["from"], "cnx.toml:3");
    assert!(setting("tokens.access_seconds")["value"] == 300 && setting("tls.cert")["value"].is_null());
    assert_eq!(setting("listen")["from"], "CNX_LISTEN");
    assert_eq!(setting("tokens.id_seconds")["from"], "default");
    assert_eq!(setting("database_url")["value"], "postgres://cnx:***@db:5432/cnx?sslpassword=***");
    assert!(!document.to_string().contains("hunter"), "{document}");
    let text = place.run(&["config"]);
    assert!(text.code == Some(0) && !text.out.contains("hunter") && !text.err.contains("hunter"), "{text:?}");
    assert!(!place.data().exists(), "looking makes nothing");
}
