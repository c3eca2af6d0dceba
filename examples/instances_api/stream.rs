//! `GET /v1/instances/stream`: what becomes of the caller's instances, over a WebSocket, for as long as the key is good.

use std::time::{Duration, Instant};

use actix_web::http::header::{AUTHORIZATION, ORIGIN};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::caller::{Caller, Problem, header};
use crate::{Api, Cnx};

/// How often a lease is renewed: with cnx's patience of two seconds a revoked key's stream is closed within five.
const RENEW: Duration = Duration::from_secs(2);

/// How often the other side is asked whether it is still there; also keeps gateways from closing a quiet stream.
const PING: Duration = Duration::from_secs(15);

/// "Unauthorized", as far as WebSocket has a number for it.
const UNAUTHORIZED: u16 = 4401;

/// A stream among those that a key may have open at once.
struct Lease {
    id: String,
    lasts: Duration,
    renewed: Instant,
}

/// What became of a lease.
enum Renewal {
    Renewed,
    /// The key was revoked, disabled or expired, or the lease ran out.
    Over,
    /// cnx did not answer.
    Unknown,
}

#[derive(Deserialize)]
struct Granted {
    id: String,
    expires_in: u64,
}

/// Opens a stream.
pub(crate) async fn open(
    api: Data<Api>,
    req: HttpRequest,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    // A browser names the page that asks. A key has no business in a page, and a page of somebody else's least of all.
    if req.headers().contains_key(ORIGIN) {
        return Err(Problem::new(403, "streams are for programs, not for web pages"));
    }
    let (answer, session, messages) =
        actix_ws::handle(&req, body).map_err(|_| Problem::new(400, "a WebSocket handshake is needed"))?;
    let key = match (header(&req, AUTHORIZATION.as_str())?, header(&req, "x-api-key")?) {
        (Some(value), None) => value.split_once(' ').map_or(value, |(_, key)| key.trim()),
        (None, Some(key)) => key,
        _ => return Err(Problem::new(401, "an API key is needed")),
    };
    let lease = api.cnx.take(key, &caller).await?;
    actix_web::rt::spawn(run(api, caller, lease, session, messages.max_frame_size(4096)));
    Ok(answer)
}

/// Goes on until somebody ends it. Every way out leads past the lease; one that a killed process leaves behind ends by itself.
async fn run(
    api: Data<Api>,
    caller: Caller,
    mut lease: Lease,
    mut session: Session,
    mut messages: MessageStream,
) {
    let mut events = api.events.subscribe();
    let mut stopping = api.stopping.clone();
    let mut renew = every(RENEW);
    let mut ping = every(PING);
    let mut heard = Instant::now();
    let reason = loop {
        tokio::select! {
            _ = renew.tick() => match api.cnx.renew(&mut lease).await {
                Renewal::Renewed => {}
                Renewal::Over => break Some(why(CloseCode::Other(UNAUTHORIZED), "the key is no longer good")),
                Renewal::Unknown if lease.renewed.elapsed() < lease.lasts => {}
                Renewal::Unknown => break Some(why(CloseCode::Again, "the key cannot be checked now")),
            },
            _ = ping.tick() => {
                if heard.elapsed() > 2 * PING || session.ping(b"").await.is_err() {
                    break None;
                }
            }
            _ = stopping.wait_for(|stopping| *stopping) => break Some(why(CloseCode::Away, "the server stops")),
            event = events.recv() => match event {
                Ok((owner, told)) if owner == caller.owner => {
                    if session.text(told).await.is_err() {
                        break None;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_) | RecvError::Closed) => {
                    break Some(why(CloseCode::Policy, "too slow to follow; list the instances and come again"));
                }
            },
            message = messages.recv() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Ping(bytes))) => {
                        if session.pong(&bytes).await.is_err() {
                            break None;
                        }
                    }
                    Some(Ok(Message::Close(reason))) => break reason,
                    // There is nothing to say here; what is said all the same is not kept.
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break None,
                }
            }
        }
    };
    api.cnx.release(&lease).await;
    drop(session.close(reason).await);
}

fn every(period: Duration) -> tokio::time::Interval {
    tokio::time::interval_at(tokio::time::Instant::now() + period, period)
}

fn why(code: CloseCode, description: &str) -> CloseReason {
    CloseReason { code, description: Some(description.to_owned()) }
}

impl Cnx {
    /// A lease for one more stream of a key.
    async fn take(&self, key: &str, caller: &Caller) -> Result<Lease, Problem> {
        let body = json!({
            "key": key,
            "resource": "/v1/instances/stream",
            "scopes": ["instances:read"],
            "ip": caller.address,
        });
        let asked = Instant::now();
        let request = self.http.post(format!("{}/v1/streams", self.url)).bearer_auth(&self.token).json(&body);
        let away = |_| Problem::new(503, "streams cannot be opened now");
        let answer = request.send().await.map_err(away)?;
        match answer.status().as_u16() {
            201 => {
                let Granted { id, expires_in } = answer.json().await.map_err(away)?;
                Ok(Lease { id, lasts: Duration::from_secs(expires_in), renewed: asked })
            }
            400 => Err(Problem::new(403, "a stream needs an API key")),
            status @ (401 | 403) => {
                Err(passed_on(Problem::new(status, "the key may not open this stream"), &answer))
            }
            429 => Err(passed_on(Problem::new(429, "this key has as many streams open as it may"), &answer)),
            status => {
                eprintln!("a lease was asked for, and cnx answered {status}");
                Err(Problem::new(503, "streams cannot be opened now"))
            }
        }
    }

    async fn renew(&self, lease: &mut Lease) -> Renewal {
        let asked = Instant::now();
        let request = self.http.put(self.address(lease)).bearer_auth(&self.token);
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(200) => {
                lease.renewed = asked;
                Renewal::Renewed
            }
            Ok(404) => Renewal::Over,
            Ok(_) | Err(_) => Renewal::Unknown,
        }
    }

    /// Gives a lease back. If that fails it ends by itself, as it is not renewed any more.
    async fn release(&self, lease: &Lease) {
        drop(self.http.delete(self.address(lease)).bearer_auth(&self.token).send().await);
    }

    fn address(&self, lease: &Lease) -> String {
        format!("{}/v1/streams/{}", self.url, lease.id)
    }
}

/// With the headers by which cnx says what the caller can do about it.
fn passed_on(mut problem: Problem, answer: &reqwest::Response) -> Problem {
    for name in ["retry-after", "www-authenticate"] {
        if let Some(value) = answer.headers().get(name).and_then(|value| value.to_str().ok()) {
            problem.passed_on.push((name, value.to_owned()));
        }
    }
    problem
}
