//! What `cnx doctor` asks of others: who holds our port, Redis, the mail server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::doctor::{Finding, answers_as};
use crate::app::greet_mail_server;
use crate::base::secret::Secret;
use crate::config::Settings;
use crate::store::greet_redis;

/// The longest that a neighbour is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn listener(check: &'static str, address: SocketAddr, settings: &Settings) -> Finding {
    let Err(error) = TcpListener::bind(address) else {
        return Finding::ok(check, format!("{address} is free"));
    };
    match error.kind() {
        ErrorKind::AddrInUse if check == "listen" && settings.tls.is_none() => match ask(address) {
            Some(answer) if answers_as(settings, &answer) => {
                Finding::ok(check, format!("a server of this issuer answers on {address}"))
            }
            _ => Finding::fail(
                check,
                format!("another program holds {address}"),
                "stop it, or set listen to a free port",
            ),
        },
        ErrorKind::AddrInUse => Finding::warn(
            check,
            format!("{address} is in use"),
            "fine when the server runs; else stop what holds it",
        ),
        ErrorKind::PermissionDenied => Finding::fail(
            check,
            format!("{address}: this user may not listen there"),
            "use a port from 1024 on, or give the binary CAP_NET_BIND_SERVICE",
        ),
        _ => Finding::fail(check, format!("{address}: {error}"), "name an address of this machine"),
    }
}

/// What the listener says about itself; nothing when it does not speak plain HTTP.
fn ask(address: SocketAddr) -> Option<String> {
    let address = match address {
        any if any.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], any.port())),
        one => one,
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "GET /.well-known/openid-configuration HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Redis and the mail server, where the settings name them. A server starts without them: both are warnings.
pub(super) async fn others(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(url) = &settings.redis_url {
        findings.push(redis(url).await);
    }
    if let Some(url) = &settings.mail.smtp_url {
        findings.push(mail(settings, url).await);
    }
    findings
}

async fn redis(url: &Secret<String>) -> Finding {
    const CHECK: &str = "redis";
    let place = place_of(url);
    match greet_redis(url, PATIENCE).await {
        Ok(()) => Finding::ok(CHECK, format!("{place} answers")),
        Err(problem) => Finding::warn(
            CHECK,
            format!("{place} cannot be used, and each node limits by itself: {problem}"),
            "start Redis, or correct redis_url and the password in it",
        ),
    }
}

async fn mail(settings: &Settings, url: &Secret<String>) -> Finding {
    const CHECK: &str = "mail";
    let place = place_of(url);
    match greet_mail_server(settings).await {
        Ok(()) => Finding::ok(CHECK, format!("{place} takes us in")),
        Err(problem) => Finding::warn(
            CHECK,
            format!("{place} cannot be used, and mails wait: {problem}"),
            "start the mail server, or correct mail.smtp_url and the password in it",
        ),
    }
}

/// Host and port of an address, without its password.
fn place_of(url: &Secret<String>) -> String {
    let Ok(url) = url::Url::parse(url.reveal()) else { return "the address".to_owned() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::super::doctor::State;
    use super::*;
    use crate::config;

    #[test]
    fn a_held_port_is_told_from_a_running_server() {
        let loaded = config::load(None, std::iter::empty(), None).unwrap();
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let issuer = loaded.settings.public_url.as_str().to_owned();
        let neighbour = std::thread::spawn(move || {
            for body in [format!("{{\"issuer\":\"{issuer}\"}}"), "nothing of ours".to_owned()] {
                let (mut stream, _) = holder.accept().unwrap();
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).unwrap();
                stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes()).unwrap();
            }
        });
        assert_eq!(listener("listen", address, &loaded.settings).state, State::Ok);
        assert_eq!(listener("listen", address, &loaded.settings).state, State::Fail);
        neighbour.join().unwrap();
        assert_eq!(listener("listen", "192.0.2.1:80".parse().unwrap(), &loaded.settings).state, State::Fail);
    }
}
