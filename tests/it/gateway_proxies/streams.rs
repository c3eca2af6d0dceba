//! Streams through a gateway: counted over the whole key, given back on every way out, and closed when the key is revoked.

use std::time::{Duration, Instant};

use cnx::flow::keys;
use serde_json::{Value, json};

use super::site::{Behind, Site, sites, system};
use super::socket::{Frame, Socket};
use super::{ALL, STREAM};
use crate::api_keys::{call, token_with};
use crate::wire::Heard;
use crate::world::by;

impl Site {
    fn open(&self, key: &str) -> Result<Socket, Heard> {
        Socket::open(&self.url, STREAM, &format!("Authorization: Bearer {key}\r\n"))
    }
}

/// Takes every stream that a key may have, and one more.
fn fill(site: &Site, key: &str) -> Vec<Socket> {
    let open: Vec<Socket> = (0..50).map(|n| site.open(key).map_err(|h| (n, h)).unwrap()).collect();
    let full = site.open(key).err().expect("the 51st is refused");
    assert_eq!(full.status(), 429, "{:?}: {}", site.kind, full.text);
    assert!(full.header("retry-after").is_some(), "{}", full.text);
    open
}

/// Opens a stream as soon as there is room.
fn soon(site: &Site, key: &str) -> Socket {
    let began = Instant::now();
    loop {
        match site.open(key) {
            Ok(socket) => return socket,
            Err(heard) => {
                let patient = began.elapsed() < Duration::from_secs(5);
                assert!(heard.status() == 429 && patient, "{}", heard.text);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_counted_given_back_and_closed_when_their_key_is_revoked_s_k8() {
    for mut site in sites(system, Behind::Api).await {
        let (id, key) = site.key(ALL).await;
        let page = format!("Authorization: Bearer {key}\r\nOrigin: https://elsewhere.example\r\n");
        assert_eq!(Socket::open(&site.url, STREAM, &page).err().unwrap().status(), 403, "a web page");
        assert_eq!(Socket::open(&site.url, STREAM, "").err().unwrap().status(), 401, "no key");
        assert_eq!(site.send("GET", STREAM, &key).await.status, 400, "no handshake");

        let mut streams = tokio::task::block_in_place(|| fill(&site, &key));
        assert_eq!(site.send("POST", "/v1/instances", &key).await.status, 201);
        let Some(Frame::Text(event)) = streams[49].next(Duration::from_secs(5)) else { panic!("no event") };
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!((&event["event"], &event["instance"]["name"]), (&json!("created"), &json!("web-1")));
        // Given back by a good-bye, and by a connection that ends without one.
        streams[0].say_close();
        streams[0] = tokio::task::block_in_place(|| soon(&site, &key));
        drop(streams.pop());
        streams.push(tokio::task::block_in_place(|| soon(&site, &key)));

        keys::revoke(site.world.app(), by(), &id, None).await.unwrap();
        let revoked = Instant::now();
        for stream in &mut streams {
            let closed = tokio::task::block_in_place(|| {
                loop {
                    match stream.next(Duration::from_secs(5).saturating_sub(revoked.elapsed())) {
                        Some(Frame::Close(number)) => return number,
                        Some(_) => {}
                        None => panic!("{:?}: open after {:?}", site.kind, revoked.elapsed()),
                    }
                }
            });
            assert_eq!(closed, 4401, "{:?}", site.kind);
        }
        assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}: {:?}", site.kind, revoked.elapsed());
        assert_eq!(site.open(&key).err().unwrap().status(), 401);

        // An API that is stopped gives back what it holds.
        let (_, key) = site.key(ALL).await;
        let mut stream = site.open(&key).unwrap();
        let mut api = site.api.take().unwrap();
        tokio::task::block_in_place(|| api.terminate());
        assert_eq!(
            tokio::task::block_in_place(|| stream.next(Duration::from_secs(5))),
            Some(Frame::Close(1001))
        );
        let token = token_with(&site.world, "keys:verify").await;
        let lease = call(&site.world, "POST", "/v1/streams", &token, Some(json!({"key": key}))).await;
        assert_eq!((lease.status, &lease.json()["remaining"]), (201, &json!(49)), "{}", api.log());
    }
}
