//! The real binary under load: a flood of sign-ins, a stop in the middle, bodies that are too large (F13, F15, F20).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::command_line::client_of;
use crate::process::Place;
use crate::wire::{self, Wire};
use crate::world::{
    Browser, CALLBACK, PASSWORD, PostgresDatabase, Reply, TestClient, Tokens, VERIFIER, authorize_path, http,
};

const SECOND: Duration = Duration::from_secs(1);

fn furnish(place: &Place) -> TestClient {
    place.json_with(&["user", "add", "ada@example.com", "--password-stdin"], Some(PASSWORD));
    let grants =
        ["--grant", "authorization_code", "--grant", "refresh_token", "--grant", "client_credentials"];
    let added = place.json(&[&["client", "add", "App", "--redirect-uri", CALLBACK], &grants[..]].concat());
    client_of(&added)
}

async fn token(
    http: &reqwest::Client,
    base: &str,
    client: &TestClient,
    form: &[(&str, &str)],
) -> Result<Reply, reqwest::Error> {
    let request = http.post(format!("{base}/oauth2/token")).basic_auth(&client.id, client.secret.as_deref());
    Ok(Reply::of(request.form(form).send().await?).await)
}

async fn signed_in(place: &Place, client: &TestClient) -> Tokens {
    let http = http();
    let code = Browser::new(&place.base, &http).authorize(&authorize_path(client, &[]), "ada").await.code();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    Tokens::of(&token(&http, &place.base, client, &form).await.unwrap())
}

/// The slowest of a hundred, over JWKS and `client_credentials`, for as long as `while_` says.
async fn p99(place: &Place, client: &TestClient, while_: impl Fn(usize) -> bool) -> Duration {
    let http = http();
    let mut took = Vec::new();
    while while_(took.len()) {
        let began = Instant::now();
        assert_eq!(
            http.get(format!("{}/.well-known/jwks.json", place.base)).send().await.unwrap().status(),
            200
        );
        took.push(began.elapsed());
        let began = Instant::now();
        let reply = token(&http, &place.base, client, &[("grant_type", "client_credentials")]).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        took.push(began.elapsed());
    }
    took.sort();
    took[took.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_is_bounded_and_ruins_nothing_else_f15_s_l2() {
    let mut place = Place::new();
    // OWASP's cost and more, so that a fast machine is flooded too; each attempt comes from another place.
    place.set("CNX_TRUSTED_PROXIES", "127.0.0.1/32").set("CNX_PASSWORDS__ARGON2_PASSES", "4");
    let client = furnish(&place);
    let node = place.serve(&[]);
    let calm = p99(&place, &client, |n| n < 200).await;

    let http = http();
    let browser = Browser::new(&place.base, &http);
    let page = browser.open("/sign-in").await;
    let form = page.form(&[("username", "nobody"), ("password", "a wrong password, certainly")]);
    let mark = format!("cnx_browser={}", browser.cookie("cnx_browser").unwrap());
    let over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let flood = async {
        let all = join_all((0..500).map(|n| {
            let mut fields = form.fields.clone();
            fields.iter_mut().find(|(name, _)| name == "username").unwrap().1 = format!("somebody{n}");
            let request = http.post(format!("{}/sign-in", place.base)).header("cookie", &mark);
            let request =
                request.header("x-forwarded-for", format!("10.1.{}.{}", n / 250, n % 250)).form(&fields);
            async move { Reply::of(request.send().await.unwrap()).await }
        }))
        .await;
        over.store(true, Ordering::SeqCst);
        all
    };
    let (replies, busy) =
        tokio::join!(flood, p99(&place, &client, |n| n < 50 || !over.load(Ordering::SeqCst)));
    let took = began.elapsed();
    let tried = replies.iter().filter(|reply| reply.status == 422).count();
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert_eq!(tried + refused.len(), 500, "{:?}", replies.iter().map(|r| r.status).collect::<Vec<_>>());
    assert!(tried >= 30 && refused.len() >= 50, "{tried} tried, {} refused", refused.len());
    for reply in refused {
        assert!(
            reply.header("retry-after").is_some() && reply.text.contains("sign-in-submit"),
            "{}",
            reply.text
        );
    }
    assert!(took < 40 * SECOND, "{took:?}");
    assert!(busy < SECOND, "the slowest of a hundred others took {busy:?}, and {calm:?} before");
    // 19 MiB for each hash that runs, of which there are as many as cores, and what a server needs besides: the pages of an unoptimised
    // program alone are 50 MiB. Five hundred hashes at once would be ten thousand.
    let cores = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    assert!(node.peak_memory() < 300 + 20 * cores, "{} MiB", node.peak_memory());
    let page = browser.open("/sign-in").await;
    assert_eq!(browser.sign_in(&page, "ada").await.status, 200, "and then people sign in as ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large_cost_no_memory_f13() {
    let place = Place::new();
    let node = place.serve(&[]);
    let http = http();
    let before = node.peak_memory();
    for _ in 0..8 {
        let all = (0..50).map(|n| {
            let body = vec![b'a'; 1 << 20];
            let path = ["/oauth2/token", "/sign-in", "/oauth2/authorize", "/nowhere"][n % 4];
            let request = http
                .post(format!("{}{path}", place.base))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
            async move { request.send().await.map(|reply| reply.status().as_u16()) }
        });
        for status in join_all(all).await {
            // A client that is still sending may find the connection closed before it reads the answer.
            assert!(status.as_ref().is_err() || matches!(status.as_ref().unwrap(), 404 | 413), "{status:?}");
        }
    }
    let after = node.peak_memory();
    assert!(after < before + 60, "400 MiB were sent, and it grew from {before} to {after} MiB");
    assert_eq!(wire::get(&place.base, "/healthz").status(), 200);
}

/// One client's refreshes, as far as it was told.
struct Chain {
    acknowledged: Tokens,
    count: usize,
    wrong: Option<String>,
}

async fn refreshes(place: &Place, client: &TestClient, first: Tokens, stopping: &AtomicBool) -> Chain {
    let http = http();
    let mut chain = Chain { acknowledged: first, count: 0, wrong: None };
    loop {
        let form = [("grant_type", "refresh_token"), ("refresh_token", chain.acknowledged.refresh())];
        match token(&http, &place.base, client, &form).await {
            Ok(reply) if reply.status == 200 => {
                chain.acknowledged = Tokens::of(&reply);
                chain.count += 1;
            }
            Ok(reply) => {
                chain.wrong = Some(format!("{} {}", reply.status, reply.text));
                return chain;
            }
            // The door is closed: that is how a client learns of the stop.
            Err(_) if stopping.load(Ordering::SeqCst) => return chain,
            Err(error) => {
                chain.wrong = Some(error.to_string());
                return chain;
            }
        }
    }
}

async fn a_stop_under_load(place: &Place) {
    let client = furnish(place);
    let mut node = place.serve(&[]);
    let mut first = Vec::new();
    for _ in 0..8 {
        first.push(signed_in(place, &client).await);
    }
    let stopping = AtomicBool::new(false);
    let chains = join_all(first.into_iter().map(|tokens| refreshes(place, &client, tokens, &stopping)));
    let ended = async {
        tokio::time::sleep(SECOND).await;
        // In flight: the head and half of the body were there before the signal, the rest comes after it.
        let form = "grant_type=client_credentials";
        let basic = format!("{}:{}", client.id, client.secret.as_deref().unwrap());
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, basic);
        let request = format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
            form.len(),
            &form[..10]
        );
        let mut in_flight = Wire::open(&place.base);
        in_flight.send(request.as_bytes());
        tokio::time::sleep(SECOND / 5).await;
        stopping.store(true, Ordering::SeqCst);
        let signalled = Instant::now();
        node.signal("TERM");
        // Readiness says no while requests are still answered, and then the door is closed.
        let mut seen = Vec::new();
        while let Some(heard) = wire::try_get(&place.base, "/readyz") {
            if heard.status() != 0 {
                seen.push(heard.status());
            }
            assert!(signalled.elapsed() < 10 * SECOND, "{seen:?}");
            tokio::time::sleep(SECOND / 50).await;
        }
        let first_no = seen.iter().position(|status| *status == 503);
        assert!(first_no.is_some_and(|at| seen[at..].iter().all(|status| *status == 503)), "{seen:?}");
        tokio::time::sleep(SECOND / 2).await;
        in_flight.send(&form.as_bytes()[10..]);
        let heard = in_flight.answer(5 * SECOND);
        assert_eq!(heard.status(), 200, "what was in flight is answered: {heard:?}");
        let exit = node.wait(10 * SECOND);
        assert_eq!(exit.code(), Some(0), "{}", node.err());
        assert!(signalled.elapsed() < 10 * SECOND, "{:?}", signalled.elapsed());
    };
    let (chains, ()) = tokio::join!(chains, ended);
    let done: usize = chains.iter().map(|chain| chain.count).sum();
    assert!(done > 20, "there was load: {done}");

    let _again = place.serve(&[]);
    for chain in chains {
        assert_eq!(chain.wrong, None, "nobody hears anything but answers and a closed door");
        let http = http();
        let info = http
            .get(format!("{}/oauth2/userinfo", place.base))
            .bearer_auth(&chain.acknowledged.access)
            .send()
            .await
            .unwrap();
        assert_eq!(info.status(), 200, "an acknowledged token lives");
        let form = [("grant_type", "refresh_token"), ("refresh_token", chain.acknowledged.refresh())];
        let reply = token(&http, &place.base, &client, &form).await.unwrap();
        assert_eq!(reply.status, 200, "and so does the family: {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged_on_sqlite_f20() {
    a_stop_under_load(&Place::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged_on_postgres_f20() {
    let Some(database) = PostgresDatabase::make().await else { return };
    let mut place = Place::new();
    place.set("CNX_DATABASE_URL", &database.url);
    a_stop_under_load(&place).await;
}

/// Clients that say nothing, or stop in the middle, are not waited for beyond the ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_delay_no_stop_beyond_ten_seconds_f20() {
    let place = Place::new();
    let mut node = place.serve(&[]);
    let mut wires: Vec<Wire> = (0..10).map(|_| Wire::open(&place.base)).collect();
    for (n, wire) in wires.iter_mut().enumerate() {
        let bytes: &[u8] = match n % 3 {
            0 => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            1 => b"GET /healthz HTTP/1.1\r\nHo",
            _ => b"POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\na=",
        };
        wire.send(bytes);
    }
    tokio::time::sleep(SECOND / 2).await;
    let began = Instant::now();
    node.signal("TERM");
    assert_eq!(node.wait(11 * SECOND).code(), Some(0), "{}", node.err());
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());

    // Nobody but a browser that keeps its connection: that is no reason to wait at all.
    let mut node = place.serve(&[]);
    let mut kept = Wire::open(&place.base);
    kept.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(kept.answer(SECOND).status(), 200);
    let began = Instant::now();
    node.signal("TERM");
    assert_eq!(node.wait(10 * SECOND).code(), Some(0));
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
}
