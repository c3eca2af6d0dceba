//! Connections that are kept between requests: where there are many, the silent ones sleep, and nobody notices (F14); the end of a node
//! tells them first (F20).

use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::process::{Node, Place};
use crate::tls::{Tunnel, certificates};
use crate::wire::{Wire, get};
use crate::world::free_port;

const SECOND: Duration = Duration::from_secs(1);
const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The longest answer of an address that needs no credentials.
const PAGE: &str = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Those beyond the first 256 of a worker sleep.
const MANY: usize = 700;

struct Server {
    node: Node,
    /// Where it is spoken to without TLS, whether it has TLS of its own or not.
    base: String,
    metrics: String,
    tunnel: Option<Tunnel>,
    _place: Place,
}

impl Server {
    /// One without TLS of its own, then one with it: connections are kept in the same way.
    fn each() -> impl Iterator<Item = Self> {
        [false, true].into_iter().map(Self::start)
    }

    fn start(secure: bool) -> Self {
        let metrics = format!("127.0.0.1:{}", free_port());
        let mut place = Place::new();
        // A body waits until many others were opened.
        place.set("CNX_LIMITS__BODY_SECONDS", "60");
        place.set("CNX_WORKERS", "1").set("CNX_METRICS_LISTEN", &metrics);
        let tunnel = secure.then(|| {
            certificates(place.dir());
            let of = |file: &str| place.dir().join(file).display().to_string();
            let (cert, key, url) = (of("cert.pem"), of("key.pem"), place.base.replace("http:", "https:"));
            place.set("CNX_TLS__CERT", &cert).set("CNX_TLS__KEY", &key).set("CNX_PUBLIC_URL", &url);
            let tunnel = Tunnel::to(&place.base, place.dir());
            place.base.clone_from(&tunnel.base);
            tunnel
        });
        let node = place.serve(&[]);
        Self { node, base: place.base.clone(), metrics: format!("http://{metrics}"), tunnel, _place: place }
    }

    fn open(&self) -> Wire {
        Wire::open(&self.base)
    }

    /// How many of the connections are `awake` or `asleep`.
    fn count(&self, state: &str) -> usize {
        let numbers = get(&self.metrics, "/metrics");
        numbers.metric(&format!("cnx_connections{{state=\"{state}\"}}")).unwrap_or_default()
    }

    fn until(&self, state: &str, enough: impl Fn(usize) -> bool) -> usize {
        let began = Instant::now();
        loop {
            let count = self.count(state);
            if enough(count) {
                return count;
            }
            assert!(began.elapsed() < 20 * SECOND, "{count} are {state}");
            std::thread::sleep(SECOND / 10);
        }
    }

    /// So many connections, each after an answer.
    fn crowd(&self) -> Vec<Wire> {
        // Each asks at once: those that say nothing for long are not kept.
        let ask = |_| {
            let mut wire = self.open();
            assert_eq!(asks(&mut wire, ASK), 200);
            wire
        };
        (0..MANY).map(ask).collect()
    }
}

/// The status of the answer to `request`.
fn asks(wire: &mut Wire, request: &str) -> u16 {
    wire.send(request.as_bytes());
    wire.answer(10 * SECOND).status()
}

/// Reads until so many answers came, and not one more.
fn hears(wire: &mut Wire, answers: usize) {
    let mut heard = 0;
    while heard < answers {
        let more = wire.rest(SECOND / 2);
        assert!(more.answers() > 0, "{heard} of {answers} answers");
        heard += more.answers();
    }
    assert_eq!(heard, answers);
}

fn posted(body: &str) -> String {
    format!(
        "POST /oauth2/introspect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Each in a state in which something of a request is, or may be, with the server: these must not be taken for silent.
#[test]
fn where_many_connections_are_open_silent_ones_sleep_and_no_request_is_lost_f14() {
    Server::each().for_each(|server| many_sleep(&server));
}

fn many_sleep(server: &Server) {
    let post = posted("token=a\r\n\r\n");
    let (half, rest) = ASK.split_at(20);

    // A request and the beginning of the next come at once, also when the first one's body looks like the end of a head.
    let begun: Vec<Wire> = [ASK, &post]
        .iter()
        .map(|first| {
            let mut wire = server.open();
            assert!(matches!(asks(&mut wire, &format!("{first}{half}")), 200 | 400 | 401));
            wire
        })
        .collect();
    // The beginning of the next comes after the answer.
    let mut later = server.open();
    assert_eq!(asks(&mut later, ASK), 200);
    later.send(half.as_bytes());
    // Half a body, which ends like a head; asked for by an interim answer, and not.
    let bodies: Vec<Wire> = ["", "Expect: 100-continue\r\n"]
        .iter()
        .map(|expect| {
            let mut wire = server.open();
            assert_eq!(asks(&mut wire, ASK), 200);
            wire.send(post.replace("Host:", &format!("{expect}Host:")).trim_end().as_bytes());
            if !expect.is_empty() {
                assert_eq!(wire.answer(10 * SECOND).status(), 100);
            }
            wire
        })
        .collect();
    // One that asked by a body and was answered, and several questions at once.
    let mut by_body = server.open();
    assert!(matches!(asks(&mut by_body, &post), 400 | 401));
    let mut several = server.open();
    several.send(ASK.repeat(3).as_bytes());
    assert_eq!(several.rest(SECOND).answers(), 3);
    // Who does not want to be kept is not.
    for request in [ASK.replace("Host:", "Connection: close\r\nHost:"), ASK.replace("1.1", "1.0")] {
        let mut wire = server.open();
        wire.send(request.as_bytes());
        let heard = wire.rest(5 * SECOND);
        assert!(heard.status() == 200 && heard.closed, "{heard:?}");
    }

    let mut crowd = server.crowd();
    server.until("asleep", |count| count > MANY / 2);
    for mut wire in begun.into_iter().chain([later]) {
        assert_eq!(asks(&mut wire, rest), 200);
        assert_eq!(asks(&mut wire, ASK), 200, "and on");
    }
    for mut wire in bodies {
        assert!(matches!(asks(&mut wire, "\r\n\r\n"), 400 | 401));
        assert_eq!(asks(&mut wire, ASK), 200, "and on");
    }
    assert!(matches!(asks(&mut by_body, &post), 400 | 401));
    assert_eq!(asks(&mut several, ASK), 200);

    // All of them wake up, by a request of either kind, and in pieces; and sleep again.
    for (n, wire) in crowd.iter_mut().enumerate() {
        match n % 3 {
            0 => assert_eq!(asks(wire, ASK), 200, "{n}"),
            1 => assert!(matches!(asks(wire, &post), 400 | 401), "{n}"),
            _ => {
                wire.send(half.as_bytes());
                assert_eq!(asks(wire, rest), 200, "{n}");
            }
        }
    }
    // Those that asked by a body are not certain to be between two requests.
    server.until("asleep", |count| count > MANY / 4);

    // Whoever leaves in its sleep is gone.
    crowd.truncate(10);
    server.until("asleep", |count| count <= 10);
    server.until("awake", |count| count <= 20);
    assert!(crowd.iter_mut().all(|wire| asks(wire, ASK) == 200));
}

/// Many questions at once, by a client that does not read the answers: what came behind them stays unread with the HTTP library, or in the
/// kernel, and must neither be lost, nor be taken for silence, nor cost work.
#[test]
fn what_comes_behind_answers_that_nobody_takes_waits_and_is_answered_f12_f14() {
    Server::each().for_each(|server| nobody_takes(&server));
}

fn nobody_takes(server: &Server) {
    let many = format!("{}{}", PAGE.repeat(154), ASK.repeat(60));
    let body = "token=GET /nosuch HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = posted(body);
    let mut behind = Vec::new();
    for last in [post.strip_suffix(body).unwrap(), ASK, &ASK.replace("Host:", "Connection: close\r\nHost:")] {
        let mut wire = Wire::narrow(&server.base);
        assert!(wire.send(many.as_bytes()));
        std::thread::sleep(SECOND / 2);
        assert!(wire.send(last.as_bytes()));
        behind.push(wire);
    }
    // One that goes on and on costs nothing while it waits.
    let mut flood = Wire::narrow(&server.base);
    for _ in 0..3 {
        flood.0.set_nonblocking(true).unwrap();
        while flood.send(many.as_bytes()) {}
        std::thread::sleep(SECOND / 2);
        let busy = server.node.busy();
        std::thread::sleep(SECOND);
        assert!(server.node.busy() - busy < 30, "{} hundredths of a second", server.node.busy() - busy);
        // Nor when it takes some of the answers, and then no more.
        flood.0.set_nonblocking(false).unwrap();
        flood.0.read_exact(&mut vec![0; 1 << 20]).unwrap();
    }
    drop(flood);

    let mut crowd = Vec::new();
    for (wire, answers) in behind.iter_mut().zip([214, 215, 215]) {
        hears(wire, answers);
        crowd.extend(server.crowd());
    }
    server.until("asleep", |count| count > crowd.len() / 2);
    assert!(behind[2].rest(SECOND).closed, "it asked for that");
    assert_eq!(asks(&mut behind[1], ASK), 200);
    behind[0].send(body.as_bytes());
    let heard = behind[0].rest(SECOND);
    assert_eq!((heard.status(), heard.answers()), (401, 1), "{heard:?}");
}

/// One question after the other, by a client that does not read the answers: each was said when the client took no more, and the last of
/// them must get there too.
#[test]
fn an_answer_that_is_not_taken_at_once_is_sent_later_f12() {
    const QUESTIONS: usize = 1500;
    for server in Server::each() {
        let mut wire = Wire::narrow(&server.base);
        for _ in 0..QUESTIONS {
            assert!(wire.send(b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            std::thread::sleep(SECOND / 5000);
        }
        hears(&mut wire, QUESTIONS);
        assert_eq!(asks(&mut wire, ASK), 200);
    }
}

/// The form of a sign-in as somebody unknown sends it: the answer takes as long as a hash of a password.
fn stranger(server: &Server) -> String {
    let page = get(&server.base, "/sign-in");
    let cookies: Vec<&str> = page.text.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
    let cookies: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
    let hidden = regex::Regex::new(r#"<input type="hidden" name="([^"]*)" value="([^"]*)">"#).unwrap();
    let mut fields = vec![("username", "nobody"), ("password", "not a password of anybody")];
    for field in hidden.captures_iter(&page.text) {
        let (_, [name, value]) = field.extract();
        if fields.iter().all(|(other, _)| *other != name) {
            fields.push((name, value));
        }
    }
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let form = posted(&body).replace("/oauth2/introspect", "/sign-in");
    form.replace("Host:", &format!("Cookie: {}\r\nHost:", cookies.join("; ")))
}

/// More questions than the HTTP library takes in advance, and some that come while the first is still worked on.
#[test]
fn what_comes_behind_a_queue_is_answered_without_a_further_word_f12() {
    for server in Server::each() {
        let first = stranger(&server);
        let mut wire = server.open();
        let began = Instant::now();
        wire.send(first.as_bytes());
        let alone = wire.answer(10 * SECOND);
        assert_eq!(alone.status(), 422, "the form, and what was wrong with it: {alone:?}");
        let took = began.elapsed();
        wire.send(format!("{first}{}", ASK.repeat(20)).as_bytes());
        std::thread::sleep(took / 3);
        wire.send(ASK.repeat(5).as_bytes());
        hears(&mut wire, 26);
    }
}

/// The last of them is one that cannot be read, for which the library gives a connection up: the answers before it are owed all the same.
#[test]
fn answers_that_are_not_taken_yet_outlive_a_request_that_cannot_be_read_f12() {
    for server in Server::each() {
        for questions in 60..90 {
            let mut wire = Wire::narrow(&server.base);
            wire.send(format!("{}no request\r\n\r\n", PAGE.repeat(questions)).as_bytes());
            std::thread::sleep(SECOND / 50);
            let heard = wire.rest(20 * SECOND);
            assert!(heard.closed && heard.answers() == questions + 1, "{} of {questions}", heard.answers());
        }
    }
}

/// Whoever is gone gets no further answer made.
#[test]
fn nothing_is_worked_off_for_a_client_that_is_gone_f12() {
    for server in Server::each() {
        let asked = || {
            let name =
                "cnx_http_request_seconds_count{method=\"GET\",route=\"/v1/openapi.json\",status=\"200\"}";
            get(&server.metrics, "/metrics").metric(name).unwrap_or_default()
        };
        let mut wire = Wire::narrow(&server.base);
        wire.send(PAGE.repeat(1500).as_bytes());
        std::thread::sleep(SECOND);
        let before = asked();
        assert!(before > 1 && before < 1000, "{before}");
        // What it has not read makes its end an abrupt one.
        drop(wire);
        std::thread::sleep(SECOND);
        let after = asked();
        assert!(after < before + 40, "{before} before, {after} after");
    }
}

#[test]
fn a_stop_tells_kept_connections_and_then_ends_those_that_sleep_too_f20() {
    Server::each().for_each(stops);
}

fn stops(mut server: Server) {
    let mut crowd = server.crowd();
    server.until("asleep", |count| count > MANY / 2);
    server.node.signal("TERM");
    let began = Instant::now();
    // For a moment it answers still, and says with it that nothing more is to be asked here.
    while is_ready(&server.base) {
        assert!(began.elapsed() < SECOND / 2, "it does not stop");
    }
    for wire in crowd.iter_mut().step_by(100) {
        wire.send(ASK.as_bytes());
        let heard = wire.rest(5 * SECOND);
        assert_eq!(
            (heard.status(), heard.header("connection").as_deref(), heard.closed),
            (200, Some("close"), true)
        );
    }
    for wire in crowd.iter_mut().skip(1).step_by(100) {
        let heard = wire.rest(5 * SECOND);
        assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    }
    assert!(server.node.wait(5 * SECOND).success());
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    // Those that slept were told too, where TLS has a word for it (RFC 8446 §6.1).
    let cut = server.tunnel.map_or(0, |tunnel| tunnel.cut.load(Ordering::SeqCst));
    assert_eq!(cut, 0, "ended without a word");
}

/// Whether the node does not say yet that it stops.
fn is_ready(base: &str) -> bool {
    get(base, "/readyz").status() == 200
}
