//! The real binary, as an operator runs it: a folder, an environment, a process with its output, and an end.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wire;
use crate::world::free_port;

/// A folder with settings for one server, before and after it runs.
pub struct Place {
    dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
    binary: String,
    pub port: u16,
    pub base: String,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let base = format!("http://localhost:{port}");
        let environment = vec![
            ("CNX_DATA_DIR".to_owned(), dir.path().join("data").display().to_string()),
            ("CNX_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("CNX_PUBLIC_URL".to_owned(), base.clone()),
            // The smallest key that is allowed: in a binary that was not optimised a larger one takes long to make.
            ("CNX_SIGNING__RSA_BITS".to_owned(), "2048".to_owned()),
        ];
        Self { dir, environment, binary: env!("CARGO_BIN_EXE_cnx").to_owned(), port, base }
    }

    /// Another build of the server than the one that was made for the tests.
    pub fn run_instead(&mut self, binary: &str) {
        binary.clone_into(&mut self.binary);
    }

    /// The settings, as the server reads them from this environment.
    pub fn settings(&self) -> cnx::config::Settings {
        cnx::config::load(None, self.environment.iter().cloned(), None).unwrap().settings
    }

    /// Sets a variable, or takes it away when `value` is empty.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.retain(|(n, _)| n != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn database(&self) -> PathBuf {
        self.data().join("cnx.db")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        // Nothing of what the test itself was told reaches the server.
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(self.dir.path())
            .args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a command under a program that execs it, and waits for nothing.
    pub fn launch_under(&self, program: &[&str], arguments: &[&str]) -> Node {
        let ours = self.command(arguments);
        let mut command = Command::new(program[0]);
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.dir.path());
        command.args(&program[1..]).arg(ours.get_program()).args(ours.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Node::of(command.spawn().unwrap(), self)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, None)
    }

    /// Runs a command that is given something on standard input.
    pub fn run_with(&self, arguments: &[&str], input: Option<&str>) -> Ended {
        let mut command = self.command(arguments);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            let written = child.stdin.take().unwrap().write_all(input.as_bytes());
            drop(written);
        }
        let mut node = Node::of(child, self);
        let status = node.wait(Duration::from_secs(60));
        Ended { code: status.code(), out: node.out(), err: node.err() }
    }

    /// Runs a command with `--json` that must go well; its document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.json_with(arguments, None)
    }

    pub fn json_with(&self, arguments: &[&str], input: Option<&str>) -> Value {
        let ended = self.run_with(&[arguments, &["--json"]].concat(), input);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
    }

    /// Starts `cnx serve` with these arguments and waits until it is ready.
    pub fn serve(&self, arguments: &[&str]) -> Node {
        self.until_ready(self.launch(&[&["serve"], arguments].concat()))
    }

    /// The same server, once it is ready.
    pub fn until_ready(&self, mut node: Node) -> Node {
        let began = Instant::now();
        while wire::try_get(&self.base, "/readyz").is_none_or(|heard| heard.status() != 200) {
            if let Some(status) = node.ended() {
                panic!("it ended with {status}: {}", node.err());
            }
            assert!(began.elapsed() < Duration::from_secs(40), "not ready: {}", node.err());
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }

    /// Starts a command and waits for nothing.
    pub fn launch(&self, arguments: &[&str]) -> Node {
        Node::of(self.command(arguments).spawn().unwrap(), self)
    }

    /// Starts `cnx serve` whose standard error nobody reads.
    pub fn launch_unread(&self, arguments: &[&str]) -> Node {
        let mut child = self.command(arguments).spawn().unwrap();
        let unread = child.stderr.take();
        let mut node = Node::of(child, self);
        node.unread = unread;
        node
    }

    /// Every file of the folder with its content, to see that nothing was changed.
    pub fn snapshot(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.dir.path()).unwrap().display().to_string();
                if path.is_dir() {
                    all.push((name, b"a folder".to_vec()));
                    folders.push(path);
                } else {
                    all.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        all.sort();
        all
    }

    /// A start, or another command, that must be refused: exit code 1, one line on standard error, nothing on standard output,
    /// nothing changed. Gives the line.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let before = self.snapshot();
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{ended:?}");
        assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
        let after = self.snapshot();
        let names =
            |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "{ended:?}");
        assert!(before == after, "a file was changed: {ended:?}");
        ended.err.trim_end().to_owned()
    }
}

/// The file behind a server's back, as another program opens it.
#[expect(clippy::disallowed_methods, reason = "an SQLite file is what is wanted, nothing is guessed")]
pub fn sqlite(path: &Path) -> diesel::SqliteConnection {
    use diesel::Connection as _;
    diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap()
}

/// A running process; killed when it is dropped.
pub struct Node {
    child: Child,
    out: Captured,
    err: Captured,
    readers: Vec<JoinHandle<()>>,
    unread: Option<std::process::ChildStderr>,
    pub base: String,
}

type Captured = Arc<Mutex<Vec<u8>>>;

impl Node {
    fn of(mut child: Child, place: &Place) -> Self {
        let (out, err) = (Captured::default(), Captured::default());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(capture(stream, &out));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(capture(stream, &err));
        }
        Self { child, out, err, readers, unread: None, base: place.base.clone() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap()).into_owned()
    }

    /// What it wrote to standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().unwrap()).into_owned()
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end, and until everything that it said was read.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(
                began.elapsed() < patience,
                "still running after {patience:?}: {} {}",
                self.out(),
                self.err()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL, and the end.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// A signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// Sets a limit of the running process, as `prlimit` names it: `nofile`, `as`.
    pub fn limit(&self, resource: &str, most: u64) {
        limit(self.id(), resource, most);
    }

    /// A number of `/proc/…/status` that is in kB, in MiB.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// The time that it kept a core busy, in hundredths of a second.
    pub fn busy(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // The name stands in brackets and may hold anything; user and system time are the 12th and 13th after it.
        let after = stat.rsplit_once(')').unwrap().1;
        after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// The most memory that it ever held, in MiB, as the kernel counts it.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }
}

/// Sets the soft limit of a process.
pub fn limit(process: u32, resource: &str, most: u64) {
    let set = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--{resource}={most}:")])
        .status();
    assert!(set.unwrap().success(), "{resource} {most}");
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.unread.take());
        self.kill();
    }
}

fn capture(mut stream: impl Read + Send + 'static, into: &Captured) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(n) = stream.read(&mut buffer) {
            if n == 0 {
                break;
            }
            into.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    })
}
