//! An API behind a gateway, in the least code that is safe: instances in memory, and a WebSocket stream of what becomes of them.
//!
//! ```sh
//! CNX_URL=http://localhost:8080 CNX_API_TOKEN=cnx_prod_… cargo run --example instances_api
//! ```
//!
//! The gateway (`examples/gateway/`) asks cnx about each request and says who it is from in `X-Cnx-…`. Those headers are worth as
//! much as the one who sends them, so this API takes requests from the gateway's address only. A stream lasts longer than the
//! question about its first request: for it the API holds a lease at cnx (`POST /v1/streams`), which counts it among the key's
//! streams, and renews it every two seconds, so that the stream of a revoked key is closed.
//!
//! | variable | is |
//! | --- | --- |
//! | `CNX_URL` | where cnx is; `http://localhost:8080` when absent |
//! | `CNX_API_TOKEN` | this API's own key or access token at cnx, with the scope `keys:verify` |
//! | `CNX_EXAMPLE_LISTEN` | where to listen; `127.0.0.1:8082` when absent |
//! | `CNX_EXAMPLE_GATEWAY` | the address of the gateway; `127.0.0.1` when absent |
#![expect(clippy::print_stderr, reason = "a program for a terminal")]

#[path = "instances_api/caller.rs"]
mod caller;
#[path = "instances_api/stream.rs"]
mod stream;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::middleware::DefaultHeaders;
use actix_web::web::{Data, Json, JsonConfig, Path};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{broadcast, watch};

use crate::caller::{Caller, NEWEST, Problem};

/// What the API has: everything in memory, because it is an example.
struct Api {
    /// The instances of each owner by their numbers.
    instances: Mutex<BTreeMap<String, BTreeMap<u64, Instance>>>,
    /// What happened, for the streams: whose instance, and the event.
    events: broadcast::Sender<(String, String)>,
    /// Turns true when the process is to end.
    stopping: watch::Receiver<bool>,
    gateway: IpAddr,
    cnx: Cnx,
}

/// How cnx is asked.
struct Cnx {
    url: String,
    token: String,
    http: reqwest::Client,
}

#[derive(Clone, Serialize)]
struct Instance {
    id: u64,
    name: String,
    created_by: String,
    key_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInstance {
    name: String,
}

impl Api {
    /// Does something with the instances of `owner`.
    fn instances_of<T>(&self, owner: &str, act: impl FnOnce(&mut BTreeMap<u64, Instance>) -> T) -> T {
        // A handler that panicked left the map as it was: each act is one insertion or removal.
        let mut all = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(owner.to_owned()).or_default())
    }

    /// Tells the streams; that nobody listens is no failure.
    fn tell(&self, owner: &str, event: &str, instance: &Instance) {
        let told = json!({ "event": event, "instance": instance }).to_string();
        drop(self.events.send((owner.to_owned(), told)));
    }
}

/// `GET /v1/instances`
async fn list(api: Data<Api>, caller: Caller) -> HttpResponse {
    let all: Vec<Instance> = api.instances_of(&caller.owner, |mine| mine.values().cloned().collect());
    HttpResponse::Ok().json(json!({ "instances": all }))
}

/// `POST /v1/instances`
async fn create(api: Data<Api>, caller: Caller, body: Json<NewInstance>) -> Result<HttpResponse, Problem> {
    let name = body.into_inner().name;
    if name.is_empty() || name.len() > 64 {
        return Err(Problem::new(400, "name: 1 to 64 characters are needed"));
    }
    let made = api.instances_of(&caller.owner, |mine| {
        let id = mine.last_key_value().map_or(1, |(last, _)| last + 1);
        let made = Instance { id, name, created_by: caller.subject, key_id: caller.key_id };
        mine.insert(id, made.clone());
        made
    });
    api.tell(&caller.owner, "created", &made);
    Ok(HttpResponse::Created().insert_header(("location", format!("/v1/instances/{}", made.id))).json(made))
}

/// `DELETE /v1/instances/{id}`
async fn delete(api: Data<Api>, caller: Caller, id: Path<u64>) -> Result<HttpResponse, Problem> {
    let gone = api
        .instances_of(&caller.owner, |mine| mine.remove(&id))
        .ok_or_else(|| Problem::new(404, "there is no such instance"))?;
    api.tell(&caller.owner, "deleted", &gone);
    Ok(HttpResponse::NoContent().finish())
}

/// A variable of the environment, or what stands in for it.
#[expect(clippy::disallowed_methods, reason = "a program of its own, which has no other settings")]
fn variable(name: &str, default: Option<&str>) -> Result<String, String> {
    match (std::env::var(name), default) {
        (Ok(value), _) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        _ => Err(format!("{name} is not set")),
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let listen = variable("CNX_EXAMPLE_LISTEN", Some("127.0.0.1:8082"))?;
    // Shorter than a stream may outlive its key: an answer that does not come must not hold up the next question.
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
    let (stop, stopping) = watch::channel(false);
    let api = Data::new(Api {
        instances: Mutex::default(),
        events: broadcast::channel(256).0,
        stopping,
        gateway: variable("CNX_EXAMPLE_GATEWAY", Some("127.0.0.1"))?.parse()?,
        cnx: Cnx {
            url: variable("CNX_URL", Some("http://localhost:8080"))?.trim_end_matches('/').to_owned(),
            token: variable("CNX_API_TOKEN", None)?,
            http,
        },
    });
    let routes = move || {
        App::new()
            .app_data(api.clone())
            .app_data(
                JsonConfig::default().error_handler(|error, _| Problem::new(400, error.to_string()).into()),
            )
            .wrap(DefaultHeaders::new().add(("x-api-version", NEWEST)))
            .route("/v1/instances", web::get().to(list))
            .route("/v1/instances", web::post().to(create))
            .route("/v1/instances/stream", web::get().to(stream::open))
            .route("/v1/instances/{id}", web::delete().to(delete))
            .default_service(web::to(|| async { Problem::new(404, "there is no such address").answer() }))
    };
    let server =
        HttpServer::new(routes).workers(2).shutdown_timeout(5).disable_signals().bind(&listen)?.run();
    eprintln!("listening on {listen}");
    let handle = server.handle();
    let running = tokio::spawn(server);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        pressed = tokio::signal::ctrl_c() => pressed?,
    }
    // The streams first: each gives its lease back.
    stop.send_replace(true);
    handle.stop(true).await;
    Ok(running.await??)
}

#[actix_web::main]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
