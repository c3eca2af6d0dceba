//! A gateway as it is run: a whole server, the API of `examples/instances_api.rs`, and real nginx or Caddy in between, with the very
//! files of `examples/gateway/`. Everything listens on this machine's loopback, has a folder of its own and ends with the test.

use std::fs::{File, read_to_string, write};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnx::api_key::permission::Permissions;
use cnx::api_key::route_table::RouteTable;
use cnx::base::time::{Clock, Timestamp};

use crate::api_keys::minted;
use crate::third_party::present;
use crate::wire;
use crate::world::{On, START, World, free_port};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

/// What stands behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The example.
    Api,
    /// Whatever reaches it is its answer.
    Mirror,
}

/// A process with a folder of its own; ended when it is dropped.
pub struct Program {
    child: Child,
    log: PathBuf,
}

pub struct Site {
    pub kind: Kind,
    pub world: World,
    /// Where callers go.
    pub url: String,
    pub api: Option<Program>,
    _gateway: Program,
    _folder: tempfile::TempDir,
}

/// A site for each gateway that is there; the others, and the tests of them, say that they were left out.
pub async fn sites(clock: fn() -> Clock, behind: Behind) -> Vec<Site> {
    sites_with(clock, behind, RouteTable::default()).await
}

/// Sites of the gateways that Debian does not have.
pub async fn other_sites(clock: fn() -> Clock, behind: Behind) -> Vec<Site> {
    let mut sites = Vec::new();
    for (kind, name) in [(Kind::Traefik, "TEST_TRAEFIK"), (Kind::Envoy, "TEST_ENVOY")] {
        if let (Some(program), Some(api)) = (present(name), example()) {
            sites.push(Site::new(kind, &program, &api, (clock(), RouteTable::default()), behind).await);
        }
    }
    sites
}

/// The same, with a table of routes in the settings.
pub async fn sites_with(clock: fn() -> Clock, behind: Behind, routes: RouteTable) -> Vec<Site> {
    let mut sites = Vec::new();
    for (kind, name) in [(Kind::Nginx, "TEST_NGINX"), (Kind::Caddy, "TEST_CADDY")] {
        if let (Some(program), Some(api)) = (present(name), example()) {
            sites.push(Site::new(kind, &program, &api, (clock(), routes.clone()), behind).await);
        }
    }
    sites
}

/// A clock that stands still until the test moves it.
pub fn manual() -> Clock {
    Clock::manual(Timestamp::from_secs(START))
}

pub fn system() -> Clock {
    Clock::System
}

#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
pub fn example() -> Option<PathBuf> {
    let example = Path::new(env!("CARGO_BIN_EXE_cnx")).with_file_name("examples").join("instances_api");
    if !example.exists() {
        eprintln!("skipped: {} is not built; tests/run builds it", example.display());
        return None;
    }
    Some(example)
}

impl Site {
    async fn new(
        kind: Kind,
        program: &str,
        example: &Path,
        (clock, routes): (Clock, RouteTable),
        behind: Behind,
    ) -> Self {
        let world = World::with(On::Sqlite, clock, |settings| {
            settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            settings.gateway.routes = routes;
        })
        .await
        .unwrap();
        Self::around(world, kind, program, example, behind).await
    }

    /// A gateway between callers and what stands behind it, which asks a server that is there; the server trusts this machine's proxies.
    pub async fn around(world: World, kind: Kind, program: &str, example: &Path, behind: Behind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (api, behind) = match behind {
            Behind::Mirror => (None, mirror()),
            Behind::Api => {
                let (_, token) = minted(&world, |new| new.scopes = scopes("keys:verify")).await;
                let (program, port) = started(|port| {
                    let mut command = Command::new(example);
                    command
                        .env("CNX_URL", &world.base)
                        .env("CNX_API_TOKEN", &token)
                        .env("CNX_EXAMPLE_LISTEN", format!("127.0.0.1:{port}"));
                    (command, folder.path().join("api.log"))
                });
                (Some(program), port)
            }
        };
        let cnx = format!("127.0.0.1:{}", world.settings.listen.port());
        let (gateway, port) = started(|port| {
            let told = [
                ("GATEWAY_LISTEN", format!("127.0.0.1:{port}")),
                ("CNX_ADDRESS", cnx.clone()),
                ("API_ADDRESS", format!("127.0.0.1:{behind}")),
            ];
            let command = match kind {
                Kind::Nginx => nginx(program, folder.path(), &told),
                Kind::Caddy => caddy(program, folder.path(), port, &told),
                Kind::Traefik => traefik(program, folder.path(), port, &told),
                Kind::Envoy => envoy(program, folder.path(), port, &told),
            };
            (command, folder.path().join("gateway.log"))
        });
        Self { kind, world, url: format!("http://127.0.0.1:{port}"), api, _gateway: gateway, _folder: folder }
    }

    /// A key with these scopes: its id and itself.
    pub async fn key(&self, words: &str) -> (String, String) {
        minted(&self.world, |new| new.scopes = scopes(words)).await
    }
}

pub fn scopes(words: &str) -> Permissions {
    Permissions::parse(words.split(' ')).unwrap()
}

fn shared(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/gateway").join(name)
}

/// The file as its first lines say, in an `http` block with nothing outside of the folder. One process, so that ending it ends all.
fn nginx(program: &str, folder: &Path, told: &[(&str, String)]) -> Command {
    let mut site = read_to_string(shared("nginx.conf")).unwrap();
    for (name, value) in told {
        site = site.replace(&format!("${{{name}}}"), value);
    }
    write(folder.join("instances.conf"), site).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}include instances.conf;\n}}\n"
    );
    write(folder.join("nginx.conf"), main).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    command
}

fn caddy(program: &str, folder: &Path, port: u16, told: &[(&str, String)]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(shared("Caddyfile"))
        .envs(told.iter().cloned());
    command.env("GATEWAY_PORT", port.to_string()).env("GATEWAY_BIND", "127.0.0.1");
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.env("CADDY_ADMIN", format!("127.0.0.1:{}", free_port()));
    command
}

/// The file as its first lines say, with the addresses of this site.
fn traefik(program: &str, folder: &Path, port: u16, told: &[(&str, String)]) -> Command {
    let file = folder.join("instances.yml");
    write(&file, placed("traefik.yml", told)).unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .arg(format!("--entryPoints.web.address=127.0.0.1:{port}"))
        .arg(format!("--providers.file.filename={}", file.display()))
        .args(["--log.level=WARN", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]);
    command
}

fn envoy(program: &str, folder: &Path, port: u16, told: &[(&str, String)]) -> Command {
    let file = folder.join("envoy.yaml");
    let text = placed("envoy.yaml", told)
        .replace("0.0.0.0, port_value: 8081", &format!("127.0.0.1, port_value: {port}"));
    write(&file, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(file).args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]);
    command
}

/// A file of ours with the addresses of cnx and of the API put in their places.
fn placed(name: &str, told: &[(&str, String)]) -> String {
    let mut text = read_to_string(shared(name)).unwrap();
    for (address, ours) in [("CNX_ADDRESS", "8080"), ("API_ADDRESS", "8082")] {
        let (_, theirs) = told.iter().find(|(name, _)| *name == address).unwrap();
        let port = theirs.rsplit(':').next().unwrap();
        text = text
            .replace(&format!("127.0.0.1:{ours}"), theirs)
            .replace(&format!("port_value: {ours}"), &format!("port_value: {port}"));
    }
    text
}

/// Starts a server on a free port and waits until it answers. Another may have taken the port meanwhile; then it is another port's turn.
fn started(command: impl Fn(u16) -> (Command, PathBuf)) -> (Program, u16) {
    for _ in 0..5 {
        let port = free_port();
        let (mut command, log) = command(port);
        let output = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut program = Program { child: command.spawn().unwrap(), log };
        let began = Instant::now();
        loop {
            if program.child.try_wait().unwrap().is_some() {
                let said = program.log();
                assert!(said.contains("ddress already in use"), "it ended: {said}");
                break;
            }
            if wire::try_get(&format!("http://127.0.0.1:{port}"), "/")
                .is_some_and(|heard| heard.status() != 0)
            {
                return (program, port);
            }
            assert!(began.elapsed() < Duration::from_secs(20), "not ready: {}", program.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("no port is free");
}

/// An API whose answer is the head of the request, as it came. Its thread ends with the process.
fn mirror() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let length = head.len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
                    .into_bytes();
            answer.extend(head);
            drop(stream.write_all(&answer));
        }
    });
    port
}

impl Program {
    /// What it said so far.
    pub fn log(&self) -> String {
        read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as an operator does.
    pub fn terminate(&mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
