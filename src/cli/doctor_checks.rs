//! What `cnx doctor` looks at on the machine itself: files and their modes, room, the clock, the issuer, the proxies that are believed.

use std::io::{ErrorKind, Write as _};
use std::net::ToSocketAddrs as _;
use std::path::Path;

use ipnet::IpNet;

use super::doctor::{Finding, State};
use super::doctor_neighbours::listener;
use super::doctor_tls::tls;
use crate::app::{StartError, master_key_fits};
use crate::base::time::Timestamp;
use crate::config::{Loaded, Settings};
use crate::serve::open_files::room;

/// What a server needs at the least to go on for a while: one step of its write-ahead log.
const ROOM: usize = 4 << 20;

/// Everything, in the order in which a start would meet it.
pub(super) fn machine(loaded: &Loaded, now: Timestamp) -> Vec<Finding> {
    let settings = &loaded.settings;
    let mut findings = vec![sources(loaded)];
    findings.extend(exposed_settings(loaded));
    findings.push(data_dir(&settings.data_dir));
    findings.push(master_key(settings));
    findings.extend(tls(settings, now));
    findings.push(clock(now));
    findings.push(listener("listen", settings.listen, settings));
    findings.extend(settings.metrics_listen.map(|address| listener("metrics_listen", address, settings)));
    findings.push(public_url(settings));
    findings.extend(wide_proxies(settings));
    findings.push(open_files(settings, room()));
    findings
}

fn sources(loaded: &Loaded) -> Finding {
    let from = |test: &dyn Fn(&str) -> bool| loaded.sources.iter().filter(|s| test(&s.from)).count();
    let environment = from(&|place| place.starts_with("CNX_"));
    let defaults = from(&|place| place == "default" || place.starts_with("derived"));
    let file = loaded.sources.len() - environment - defaults;
    Finding::ok(
        "settings",
        format!("{file} from a file, {environment} from the environment, {defaults} by default"),
    )
}

/// A settings file that holds a password and that others may read.
fn exposed_settings(loaded: &Loaded) -> Option<Finding> {
    let secret = loaded.sources.iter().find(|s| {
        let holds_one = s.value.as_ref().is_some_and(|value| value.to_string().contains("***"));
        holds_one && !s.from.starts_with("CNX_")
    })?;
    let (path, _) = secret.from.rsplit_once(':')?;
    let mode = mode(Path::new(path))?;
    (mode & 0o077 != 0).then(|| {
        Finding::warn(
            "settings",
            format!("{path} holds a password ({}) and others may read it (mode {mode:03o})", secret.key),
            format!("chmod 600 {path}"),
        )
    })
}

fn data_dir(path: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let name = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{name} is not there yet; the first start makes it"))
        }
        Err(error) => Finding::fail(CHECK, format!("{name}: {error}"), "let the server's user enter it"),
        Ok(data) if !data.is_dir() => {
            Finding::fail(CHECK, format!("{name} is no folder"), "name a folder in data_dir")
        }
        Ok(_) => match mode(path) {
            Some(mode) if mode & 0o022 != 0 => Finding::fail(
                CHECK,
                format!("{name} may be written by others (mode {mode:03o})"),
                format!("chmod 700 {name}"),
            ),
            Some(mode) if mode & 0o055 != 0 => Finding::warn(
                CHECK,
                format!("{name} may be entered by others (mode {mode:03o})"),
                format!("chmod 700 {name}"),
            ),
            _ => match takes(path) {
                Ok(()) => Finding::ok(CHECK, format!("{name} is the server's own")),
                Err(error) => Finding::fail(CHECK, format!("{name} takes no data: {error}"), mend_of(&error)),
            },
        },
    }
}

/// Whether something can be written there now. The file has no name, and is gone when it is closed.
fn takes(path: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(path)?.write_all(&vec![0; ROOM])
}

fn mend_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on its file system; a running server goes on by itself then"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "mount it for writing again; the kernel's log says why it is not, when a disk is failing"
        }
        _ => "let the server's user write there, and run this command as that user",
    }
}

fn master_key(settings: &Settings) -> Finding {
    const CHECK: &str = "master key";
    let path = &settings.master_key_file;
    let name = path.display();
    let has_data = settings.database_url.sqlite_path().is_some_and(Path::exists);
    match std::fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && has_data => Finding::fail(
            CHECK,
            format!("{name} is missing, and the database may hold data that only it can open"),
            "put it back from where the database came from; only an empty database gets a new one",
        ),
        Err(error) if error.kind() == ErrorKind::NotFound && !settings.database_url.is_sqlite() => {
            Finding::warn(
                CHECK,
                format!("{name} is missing, which is right only for a database that was never used"),
                "copy it from the node that first used the database",
            )
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{name} is not there yet; the first start makes it"))
        }
        Err(error) => Finding::fail(CHECK, format!("{name}: {error}"), "let the server's user read it"),
        // Form and fit first: a file that nobody else may read, and that is the wrong one, is not well.
        Ok(_) => match (master_key_fits(settings), exposed_key(path)) {
            (Err(StartError::MasterKey { problem, .. }), _) => Finding::fail(
                CHECK,
                format!("{name}: {problem}"),
                "put the right master.key back, from the node or the backup that the database came from",
            ),
            (_, Some(exposed)) => exposed,
            // Whether it fits a database that does not answer is not known; that it does not answer is told below.
            (Ok(()) | Err(_), None) => Finding::ok(CHECK, format!("{name} is the server's own")),
        },
    }
}

/// A master key that others may read.
fn exposed_key(path: &Path) -> Option<Finding> {
    let (name, mode) = (path.display(), mode(path)?);
    (mode & 0o077 != 0).then(|| {
        Finding::fail(
            "master key",
            format!("{name} may be read by others (mode {mode:03o})"),
            format!("chmod 600 {name}"),
        )
    })
}

/// What a server starts with all the same, and says in its log: nobody runs this command as long as everything seems well.
pub(super) fn at_start(settings: &Settings) -> Vec<Finding> {
    let files = Some(open_files(settings, room())).filter(|found| found.state != State::Ok);
    [exposed_key(&settings.master_key_file), unnamed_proxy(settings), wide_proxies(settings), files]
        .into_iter()
        .flatten()
        .collect()
}

/// A clock that is decades off is one that was never set; finer faults show against rows, not here.
fn clock(now: Timestamp) -> Finding {
    const YEAR_2024: i64 = 1_704_067_200;
    const YEAR_2100: i64 = 4_102_444_800;
    let shown = now.to_rfc3339();
    if (YEAR_2024..YEAR_2100).contains(&now.as_secs()) {
        Finding::ok("clock", format!("it is {shown}"))
    } else {
        Finding::fail("clock", format!("it cannot be {shown}"), "set the clock by NTP; tokens live by it")
    }
}

fn public_url(settings: &Settings) -> Finding {
    const CHECK: &str = "public_url";
    let url = &settings.public_url;
    if let Some(unnamed) = unnamed_proxy(settings) {
        return unnamed;
    }
    if url.is_loopback() {
        let shown_port = url::Url::parse(url.as_str()).ok().and_then(|u| u.port_or_known_default());
        if shown_port != Some(settings.listen.port()) {
            let message = format!("{url} names another port than listen ({})", settings.listen);
            return Finding::warn(
                CHECK,
                message,
                "fine when something forwards the port; else make them agree",
            );
        }
        return Finding::ok(CHECK, format!("{url}: this machine only"));
    }
    let port = url::Url::parse(url.as_str()).ok().and_then(|u| u.port_or_known_default()).unwrap_or(443);
    match (url.host().trim_matches(['[', ']']), port).to_socket_addrs() {
        Ok(_) => Finding::ok(CHECK, format!("{url} has an address")),
        Err(error) => Finding::warn(
            CHECK,
            format!("{url} has no address here: {error}"),
            "make a DNS record for it; browsers and resource servers need one",
        ),
    }
}

/// An https issuer that this server does not serve by itself, and nobody said who does: a listener without TLS of its own is
/// on this machine, so there is a proxy, and its address stands in the place of every caller's.
fn unnamed_proxy(settings: &Settings) -> Option<Finding> {
    let url = &settings.public_url;
    (url.is_https() && settings.tls.is_none() && settings.trusted_proxies.is_empty()).then(|| {
        Finding::warn(
            "public_url",
            format!(
                "{url} is served by a proxy that trusted_proxies does not name: every caller looks like the proxy"
            ),
            "set trusted_proxies to the proxy's address, so that limits count callers",
        )
    })
}

/// Proxies that are believed, and are nearly everybody: then a caller writes its own address, and no limit and no network of a key holds.
fn wide_proxies(settings: &Settings) -> Option<Finding> {
    let is_wide = |net: &&IpNet| match net {
        IpNet::V4(net) => net.prefix_len() < 8,
        IpNet::V6(net) => net.prefix_len() < 7,
    };
    settings.trusted_proxies.iter().find(is_wide).map(|net| {
        Finding::fail(
            "trusted_proxies",
            format!(
                "{net} believes nearly every address what it says of others: callers can write their own"
            ),
            "name the proxies' own addresses, or the smallest network that holds them",
        )
    })
}

/// Whether as many connections as the settings want can be open. A service may have other limits than who runs this command.
fn open_files(settings: &Settings, room: Option<usize>) -> Finding {
    const CHECK: &str = "open files";
    let wanted = settings.limits.connections;
    match room {
        Some(room) if room < wanted => Finding::warn(
            CHECK,
            format!("this process may open files for {room} connections, and limits.connections is {wanted}"),
            format!(
                "let it open {} (LimitNOFILE= of systemd, ulimit -Hn), or lower limits.connections",
                wanted + 1000
            ),
        ),
        _ => Finding::ok(CHECK, format!("{wanted} connections can be open")),
    }
}

/// The permission bits; nothing where there are none.
pub(super) fn mode(path: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).ok().map(|data| data.permissions().mode() & 0o777)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(pairs: &[(&str, String)]) -> Loaded {
        config::load(None, pairs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())), None).unwrap()
    }

    #[cfg(unix)]
    fn chmod(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_read_or_write_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, state) in [(0o700, State::Ok), (0o755, State::Warn), (0o777, State::Fail)] {
            chmod(folder.path(), mode);
            assert_eq!(data_dir(folder.path()).state, state, "{mode:o}");
        }
        chmod(folder.path(), 0o700);
        let loaded = settings(&[("CNX_DATA_DIR", folder.path().display().to_string())]);
        assert_eq!(master_key(&loaded.settings).state, State::Ok, "an empty folder gets one");
        std::fs::write(folder.path().join("cnx.db"), "").unwrap();
        assert_eq!(master_key(&loaded.settings).state, State::Fail, "data without its key");
        let key = folder.path().join("master.key");
        std::fs::write(&key, "x").unwrap();
        chmod(&key, 0o600);
        let broken = master_key(&loaded.settings);
        assert_eq!(broken.state, State::Fail, "private, and no key: {}", broken.message);
        assert!(broken.message.contains("is not a master key"), "{}", broken.message);
        std::fs::write(&key, "A".repeat(43)).unwrap();
        for (mode, state) in [(0o600, State::Ok), (0o640, State::Fail), (0o644, State::Fail)] {
            chmod(&key, mode);
            assert_eq!(master_key(&loaded.settings).state, state, "{mode:o}");
            assert_eq!(
                at_start(&loaded.settings).is_empty(),
                state == State::Ok,
                "{mode:o}: a start says it too"
            );
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_found() {
        assert_eq!(clock(Timestamp::from_secs(0)).state, State::Fail);
        assert_eq!(clock(Timestamp::from_secs(1_800_000_000)).state, State::Ok);
    }

    #[test]
    fn fewer_files_than_connections_are_a_warning() {
        let loaded = settings(&[("CNX_LIMITS__CONNECTIONS", "1000".to_owned())]);
        for (room, state) in [(Some(999), State::Warn), (Some(1000), State::Ok), (None, State::Ok)] {
            assert_eq!(open_files(&loaded.settings, room).state, state, "{room:?}");
        }
    }

    #[test]
    fn proxies_that_are_nearly_everybody_are_a_failure() {
        let of = |nets: &str| wide_proxies(&settings(&[("CNX_TRUSTED_PROXIES", nets.to_owned())]).settings);
        for wide in ["0.0.0.0/0", "::/0", "127.0.0.1,128.0.0.0/1"] {
            assert_eq!(of(wide).map(|f| f.state), Some(State::Fail), "{wide}");
        }
        // The private networks are as wide as somebody's cluster may be.
        assert!(of("10.0.0.0/8,fc00::/7,192.0.2.1").is_none());
    }

    #[test]
    fn an_issuer_behind_an_unnamed_proxy_is_a_warning() {
        let https = ("CNX_PUBLIC_URL", "https://id.example.invalid".to_owned());
        let behind = settings(std::slice::from_ref(&https));
        assert_eq!(public_url(&behind.settings).state, State::Warn);
        assert_eq!(at_start(&behind.settings).len(), 1, "and a start says it too");
        let named = settings(&[https, ("CNX_TRUSTED_PROXIES", "127.0.0.1".to_owned())]);
        assert!(at_start(&named.settings).is_empty());
        assert_eq!(public_url(&settings(&[]).settings).state, State::Ok);
        assert!(at_start(&settings(&[]).settings).is_empty());
    }
}
