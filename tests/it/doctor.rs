//! `cnx doctor` before problems that were planted: it finds each, says what to do about it, and changes nothing.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::process::{Place, sqlite};
use crate::world::{environment, free_port};

/// One problem: what the doctor must say of it, and how it comes about.
struct Plant {
    name: Words,
    check: Words,
    says: Words,
    mend: Words,
    /// `fail` ends with exit code 1; `warn` is what a server runs with all the same.
    state: Words,
    happens: fn(&mut Place),
}

type Words = &'static str;

const fn fail(name: Words, [check, says, mend]: [Words; 3], happens: fn(&mut Place)) -> Plant {
    Plant { name, check, says, mend, state: "fail", happens }
}

const fn warn(name: Words, [check, says, mend]: [Words; 3], happens: fn(&mut Place)) -> Plant {
    Plant { name, check, says, mend, state: "warn", happens }
}

/// A folder whose server ran, so that there is something to damage; made once, and copied for each problem.
fn template() -> Place {
    let place = Place::new();
    place.json(&["user", "add", "ada@example.com", "--admin"]);
    let mut node = place.serve(&[]);
    node.signal("TERM");
    assert!(node.wait(Duration::from_secs(15)).success(), "{}", node.err());
    place
}

fn copy_of(template: &Place) -> Place {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    chmod(&place.data(), 0o700);
    for entry in fs::read_dir(template.data()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.data().join(entry.file_name())).unwrap();
    }
    place
}

fn master_key(place: &Place) -> PathBuf {
    place.data().join("master.key")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn execute(place: &Place, statement: &str) {
    sqlite(&place.database()).batch_execute(statement).unwrap();
}

/// Every page but the first few is scribbled over.
fn damage(path: &Path) {
    let pages = fs::metadata(path).unwrap().len() / 4096;
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for page in 8..pages {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0x5a; 600]).unwrap();
    }
}

/// A certificate for `name` from one year to another, with a key; the server is told of both.
fn certificate(place: &mut Place, name: &str, from: i32, to: i32) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let (cert_file, key_file) = (place.dir().join("cert.pem"), place.dir().join("key.pem"));
    fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    chmod(&key_file, 0o600);
    let base = place.base.replace("http://", "https://");
    place.set("CNX_PUBLIC_URL", &base);
    place.set("CNX_TLS__CERT", cert_file.to_str().unwrap());
    place.set("CNX_TLS__KEY", key_file.to_str().unwrap());
}

fn nowhere(scheme: &str) -> String {
    format!("{scheme}://127.0.0.1:{}", free_port())
}

fn data_dir(place: &mut Place, disk: &str) {
    place.set("CNX_DATA_DIR", &environment(disk).unwrap());
}

const OF_FILES: &[Plant] = &[
    fail(
        "the master key of another database",
        ["master key", "this is not the master key of this database", "put the right master.key back"],
        |place| fs::write(master_key(place), "A".repeat(43)).unwrap(),
    ),
    fail(
        "no master key",
        ["master key", "is missing", "put it back from where the database came from"],
        |place| fs::remove_file(master_key(place)).unwrap(),
    ),
    fail(
        "a master key that others may read",
        ["master key", "may be read by others (mode 640)", "chmod 600 "],
        |place| chmod(&master_key(place), 0o640),
    ),
    fail(
        "a data folder that others may write to",
        ["data folder", "may be written by others (mode 777)", "chmod 700 "],
        |place| chmod(&place.data(), 0o777),
    ),
    fail("damaged pages of the database", ["database", "is damaged", "`cnx restore BACKUP`"], |place| {
        damage(&place.database());
    }),
    fail(
        "a file that is no database",
        ["database", "it is no SQLite database", "`cnx restore BACKUP`"],
        |place| fs::write(place.database(), "a shopping list, which is no database").unwrap(),
    ),
    fail(
        "a migration of a later release",
        ["database", "it has migration 20990101000000", "install the release that made it"],
        |place| execute(place, "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')"),
    ),
    warn(
        "a migration that was not applied yet",
        ["database", "lacks migrations: 20261126030000", "run `cnx migrate`"],
        |place| execute(place, "DELETE FROM __diesel_schema_migrations WHERE version = '20261126030000'"),
    ),
];

const OF_KEYS_AND_CLOCKS: &[Plant] = &[
    fail(
        "no key that signs",
        ["signing keys", "none signs for ES256", "`cnx signing-key rotate --now`"],
        |place| execute(place, "UPDATE signing_keys SET revoked_at = sign_from WHERE alg = 'ES256'"),
    ),
    fail(
        "a signing key that is damaged",
        ["signing keys", "reading the public half of a signing key", "restore a backup"],
        |place| execute(place, "UPDATE signing_keys SET public_jwk = '{}' WHERE alg = 'ES256'"),
    ),
    warn(
        "a next key that is late",
        ["signing keys", "the next key is late for ", "start the server, which makes it"],
        |place| execute(place, "UPDATE signing_keys SET sign_from = sign_from - 100 * 86400"),
    ),
    fail(
        "a clock that is an hour behind the rows",
        ["clock", "in the future of this machine's clock", "set the clock by NTP on every node"],
        |place| execute(place, "UPDATE signing_keys SET created_at = created_at + 3600"),
    ),
];

const OF_TLS: &[Plant] = &[
    fail("a certificate that has expired", ["tls", "has expired", "renew it"], |place| {
        certificate(place, "localhost", 2020, 2021);
    }),
    fail("a certificate of a time to come", ["tls", "is not valid yet", "renew it"], |place| {
        certificate(place, "localhost", 2090, 2091);
    }),
    fail(
        "a certificate for another host",
        ["tls", "is not for localhost", "have a certificate made with localhost"],
        |place| certificate(place, "id.example.org", 2020, 2090),
    ),
    fail("the key of another certificate", ["tls", "cert.pem: ", "the key that it was made for"], |place| {
        certificate(place, "localhost", 2020, 2090);
        let other = KeyPair::generate().unwrap().serialize_pem();
        fs::write(place.dir().join("key.pem"), other).unwrap();
    }),
    fail("a certificate that is gone", ["tls", "cert.pem: ", "name a PEM chain"], |place| {
        certificate(place, "localhost", 2020, 2090);
        fs::remove_file(place.dir().join("cert.pem")).unwrap();
    }),
];

const OF_SETTINGS: &[Plant] = &[
    fail("an issuer in the clear", ["settings", "is plain http; https is required", "correct it"], |place| {
        place.set("CNX_PUBLIC_URL", "http://id.example.com");
    }),
    warn(
        "a proxy that nobody named",
        ["public_url", "trusted_proxies does not name", "set trusted_proxies to the proxy's address"],
        |place| {
            place.set("CNX_PUBLIC_URL", "https://localhost");
        },
    ),
    fail(
        "everybody a trusted proxy",
        ["trusted_proxies", "0.0.0.0/0 believes nearly every address", "name the proxies' own addresses"],
        |place| {
            place.set("CNX_TRUSTED_PROXIES", "0.0.0.0/0");
        },
    ),
];

const OF_NEIGHBOURS: &[Plant] = &[
    fail(
        "another program on the port",
        ["listen", "another program holds 127.0.0.1:", "stop it, or set listen to a free port"],
        |place| {
            // Held as long as this test's process lives.
            Box::leak(Box::new(TcpListener::bind(("127.0.0.1", place.port)).unwrap()));
        },
    ),
    fail(
        "a PostgreSQL that is away",
        ["database", "onnection refused", "check database_url, and that the database runs"],
        |place| {
            place.set("CNX_DATABASE_URL", &nowhere("postgres").replace("127", "cnx:word@127"));
        },
    ),
    warn(
        "a Redis that is away",
        ["redis", "each node limits by itself", "start Redis, or correct redis_url"],
        |place| {
            place.set("CNX_REDIS_URL", &nowhere("redis"));
        },
    ),
    warn(
        "a mail server that is away",
        ["mail", "mails wait", "start the mail server, or correct mail.smtp_url"],
        |place| {
            place.set("CNX_MAIL__SMTP_URL", &nowhere("smtp"));
            place.set("CNX_MAIL__FROM", "id@example.com");
        },
    ),
];

/// Disks that `tests/run` mounted, where the machine lets it.
const OF_DISKS: &[(&str, Plant)] = &[
    (
        "TEST_FULL_DISK",
        fail(
            "a disk without room",
            ["data folder", "No space left on device", "make room on its file system"],
            |place| data_dir(place, "TEST_FULL_DISK"),
        ),
    ),
    (
        "TEST_READ_ONLY_DISK",
        fail(
            "a disk that is read-only",
            ["data folder", "Read-only file system", "mount it for writing again"],
            |place| data_dir(place, "TEST_READ_ONLY_DISK"),
        ),
    ),
];

/// What the doctor says of this place, check by check, and how it ended.
fn examined(place: &Place) -> (Option<i32>, Vec<Value>) {
    let ended = place.run(&["doctor", "--json"]);
    let document: Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
    assert_eq!(document["ok"], ended.code == Some(0), "{ended:?}");
    (ended.code, document["checks"].as_array().unwrap().clone())
}

fn is_found(plant: &Plant, place: &Place) {
    let Plant { name, check, state, says, mend, .. } = plant;
    let before = place.snapshot();
    let (code, findings) = examined(place);
    assert_eq!(code, Some(i32::from(*state == "fail")), "{name}: {findings:#?}");
    let holds = |finding: &Value, member: &str, text: &str| {
        finding[member].as_str().is_some_and(|found| found.contains(text))
    };
    let names_it = |finding: &Value| {
        finding["check"] == *check
            && finding["state"] == *state
            && holds(finding, "message", says)
            && holds(finding, "mend", mend)
    };
    assert!(findings.iter().any(names_it), "{name}: {findings:#?}");
    // The same for eyes: the fault, and under it what to do.
    let text = place.run(&["doctor"]);
    assert_eq!(text.code, code, "{name}: {text:?}");
    let mark = if *state == "fail" { "FAIL" } else { "warn" };
    let lines: Vec<&str> = text.out.lines().collect();
    let told = lines.windows(2).any(|two| {
        two[0].starts_with(&format!("{mark}  {check}"))
            && two[0].contains(says)
            && two[1].trim_start().starts_with("→ ")
            && two[1].contains(mend)
    });
    assert!(told, "{name}: {}", text.out);
    assert!(before == place.snapshot(), "{name}: looking changed a file");
}

#[test]
fn each_planted_problem_is_found_and_comes_with_its_mending() {
    let template = template();
    // What is well is told as well: else the rest of this test would see what is always said.
    let (code, findings) = examined(&copy_of(&template));
    assert!(code == Some(0) && findings.iter().all(|f| f["state"] == "ok"), "{findings:#?}");
    let mut well = copy_of(&template);
    certificate(&mut well, "localhost", 2020, 2090);
    let (code, findings) = examined(&well);
    assert!(code == Some(0) && findings.iter().all(|f| f["state"] == "ok"), "{findings:#?}");

    let disks = OF_DISKS.iter().filter(|(disk, _)| environment(disk).is_some()).map(|(_, plant)| plant);
    let all: Vec<&Plant> = OF_FILES
        .iter()
        .chain(OF_KEYS_AND_CLOCKS)
        .chain(OF_TLS)
        .chain(OF_SETTINGS)
        .chain(OF_NEIGHBOURS)
        .chain(disks)
        .collect();
    assert!(all.iter().filter(|plant| plant.state == "fail").count() >= 12);
    for plant in all {
        let mut place = copy_of(&template);
        (plant.happens)(&mut place);
        is_found(plant, &place);
    }
}
