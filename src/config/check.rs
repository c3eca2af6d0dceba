//! From what is written down to settings that can be used: every address, URL and path read, every contradiction refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::error::ConfigError;
use super::stated::{Leaks, ROWS, Stated, StatedOutbound};
use super::values::{DatabaseUrl, Issuer, is_loopback};
use super::{Gateway, Log, Outbound, Settings, Tls};
use super::{mail, rows};
use crate::api_key::allowlist::network;
use crate::api_key::route_table::RouteTable;
use crate::base::secret::Secret;

/// Makes settings of what is written. `place` tells where a key's value stands.
pub(super) fn check(
    stated: Stated,
    dev: bool,
    place: &dyn Fn(&str) -> String,
) -> Result<Settings, ConfigError> {
    let refuse = |key: &str, problem: &str| ConfigError::at(&place(key), key, problem);
    let listen = address(&stated.listen).map_err(|p| refuse("listen", &p))?;
    let tls = tls(&stated, &refuse)?;
    let public_url = public_url(stated.public_url.as_deref(), listen, tls.is_some(), &refuse)?;
    let data_dir = path(&stated.data_dir).map_err(|p| refuse("data_dir", &p))?;
    let database_url = match &stated.database_url {
        Some(text) => DatabaseUrl::parse(text).map_err(|p| refuse("database_url", &p))?,
        None => DatabaseUrl::in_folder(&data_dir),
    };
    let master_key_file = match &stated.master_key_file {
        Some(text) => path(text).map_err(|p| refuse("master_key_file", &p))?,
        None => data_dir.join("master.key"),
    };
    let public_url_host = public_url.host().to_owned();
    let settings = Settings {
        public_url,
        listen,
        data_dir,
        database_url,
        master_key_file,
        redis_url: redis_url(stated.redis_url).map_err(|p| refuse("redis_url", &p))?,
        trusted_proxies: proxies(&stated.trusted_proxies).map_err(|p| refuse("trusted_proxies", &p))?,
        metrics_listen: stated
            .metrics_listen
            .as_deref()
            .map(address)
            .transpose()
            .map_err(|p| refuse("metrics_listen", &p))?,
        tls,
        log: Log {
            format: stated.log.format,
            level: level(stated.log.level).map_err(|p| refuse("log.level", &p))?,
        },
        workers: stated.workers,
        tokens: stated.tokens,
        sessions: stated.sessions,
        signing: stated.signing,
        service_accounts: stated.service_accounts,
        api_keys: stated.api_keys,
        leaks: leaks(stated.leaks).map_err(|p| refuse("leaks.github_keys_url", &p))?,
        audit: stated.audit,
        gateway: Gateway {
            routes: RouteTable::parse(&stated.gateway.routes)
                .map_err(|mistake| rows::refused(&mistake, place))?,
        },
        outbound: outbound(stated.outbound, &refuse)?,
        mail: mail::check(stated.mail, &public_url_host, &refuse)?,
        passwords: stated.passwords,
        limits: stated.limits,
        database: stated.database,
        dev,
    };
    contradictions(&settings, &refuse)?;
    Ok(settings)
}

fn leaks(stated: Leaks) -> Result<Leaks, String> {
    let url = &stated.github_keys_url;
    if !url.is_empty() && !url::Url::parse(url).is_ok_and(|url| url.scheme() == "https") {
        return Err(format!("\"{url}\" is not an https URL; leave it empty to take no reports from GitHub"));
    }
    Ok(stated)
}

fn outbound(stated: StatedOutbound, refuse: Refuse) -> Result<Outbound, ConfigError> {
    for host in &stated.allow {
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        if host.is_empty() || host.contains("//") || !host.chars().all(legal) {
            return Err(refuse(
                "outbound.allow",
                &format!(
                    "\"{host}\" is not a host; keys.internal, 10.0.0.7 or keys.internal:8443 is allowed"
                ),
            ));
        }
    }
    let extra_ca =
        stated.extra_ca.as_deref().map(path).transpose().map_err(|p| refuse("outbound.extra_ca", &p))?;
    Ok(Outbound { allow: stated.allow, extra_ca })
}

pub(super) type Refuse<'a> = &'a dyn Fn(&str, &str) -> ConfigError;

/// The issuer; when none is set, this machine's name and the port that is listened on.
fn public_url(
    text: Option<&str>,
    listen: SocketAddr,
    tls: bool,
    refuse: Refuse,
) -> Result<Issuer, ConfigError> {
    let default;
    let text = match text {
        Some(text) => text,
        None if listen.port() == 0 => {
            return Err(refuse("listen", "port 0 is allowed only when public_url is set"));
        }
        None => {
            default = match (tls, listen.port()) {
                (true, 443) => "https://localhost".to_owned(),
                (true, port) => format!("https://localhost:{port}"),
                (false, 80) => "http://localhost".to_owned(),
                (false, port) => format!("http://localhost:{port}"),
            };
            &default
        }
    };
    Issuer::parse(text).map_err(|p| refuse("public_url", &p))
}

fn tls(stated: &Stated, refuse: Refuse) -> Result<Option<Tls>, ConfigError> {
    match (&stated.tls.cert, &stated.tls.key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(Tls {
            cert: path(cert).map_err(|p| refuse("tls.cert", &p))?,
            key: path(key).map_err(|p| refuse("tls.key", &p))?,
        })),
        (Some(_), None) => Err(refuse("tls.cert", "tls.key is missing; set both or neither")),
        (None, Some(_)) => Err(refuse("tls.key", "tls.cert is missing; set both or neither")),
    }
}

/// Settings that are each allowed, but not together.
fn contradictions(s: &Settings, refuse: Refuse) -> Result<(), ConfigError> {
    let url = &s.public_url;
    if s.dev && !url.is_loopback() {
        return Err(refuse(
            "public_url",
            &format!("{url} is not this machine; serve --dev allows localhost, 127.0.0.1 and [::1]"),
        ));
    }
    // S-M1, OAuth 2.1 §1.5: tokens and passwords cross a network over TLS only.
    if !url.is_https() && !url.is_loopback() {
        return Err(refuse(
            "public_url",
            &format!(
                "{url} is plain http; https is required, http is allowed only for localhost, 127.0.0.1 and [::1]"
            ),
        ));
    }
    if s.tls.is_some() && !url.is_https() {
        return Err(refuse("public_url", &format!("{url} is plain http, but tls.cert is set; write https")));
    }
    if url.is_https() && s.tls.is_none() && s.trusted_proxies.is_empty() && !is_loopback(s.listen.ip()) {
        return Err(refuse(
            "listen",
            &format!(
                "{} would take plain http from anyone; set tls.cert and tls.key, or name the proxy in trusted_proxies, or listen on 127.0.0.1",
                s.listen
            ),
        ));
    }
    if s.metrics_listen.is_some_and(|metrics| metrics == s.listen && metrics.port() != 0) {
        return Err(refuse("metrics_listen", "it is the public listener; another port is needed"));
    }
    if !s.gateway.routes.is_empty() && s.trusted_proxies.is_empty() {
        return Err(refuse(
            ROWS,
            "trusted_proxies is empty, and method and path are believed of trusted proxies only; name the gateway there",
        ));
    }
    if !matches!(s.signing.rsa_bits, 2048 | 3072 | 4096) {
        return Err(refuse(
            "signing.rsa_bits",
            &format!("{} is not allowed; 2048, 3072 or 4096 is", s.signing.rsa_bits),
        ));
    }
    if s.signing.rotate_seconds <= 2 * s.key_propagation_seconds() {
        return Err(refuse(
            "signing.rotate_seconds",
            &format!(
                "more than {} seconds are needed, twice the time that a new key takes to be known (2 × signing.jwks_max_age_seconds + 60)",
                2 * s.key_propagation_seconds()
            ),
        ));
    }
    // OWASP's weakest Argon2id set is 7 MiB with five passes; less work than that is not password hashing (S-L2).
    if u64::from(s.passwords.argon2_memory_kib) * u64::from(s.passwords.argon2_passes) < 35_840 {
        return Err(refuse(
            "passwords.argon2_memory_kib",
            "memory × passes must be at least 35840 KiB, such as 19456 × 2 or 7168 × 5",
        ));
    }
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an address and port; 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080 is allowed")
    })
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err("the path of a file or folder is needed".to_owned());
    }
    Ok(Path::new(text).to_owned())
}

fn redis_url(text: Option<String>) -> Result<Option<Secret<String>>, String> {
    let shape = "redis://USER:PASSWORD@HOST:PORT/NUMBER is allowed";
    let Some(text) = text else { return Ok(None) };
    let url = url::Url::parse(&text).map_err(|e| format!("it is not a URL: {e}; {shape}"))?;
    if url.scheme() != "redis" || url.host_str().is_none() {
        return Err(shape.to_owned());
    }
    Ok(Some(Secret::new(text)))
}

fn proxies(list: &[String]) -> Result<Vec<IpNet>, String> {
    let read = |text: &String| {
        network(text).map_err(|_| {
            format!("\"{text}\" is not an address or network; 10.0.0.7, 10.0.0.0/8 or fd00::/8 is allowed")
        })
    };
    list.iter().map(read).collect()
}

/// Log directives. A word without `=` must be a level: the log library would take a misspelt one for a module's name.
fn level(text: String) -> Result<String, String> {
    let is_level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|level| word.eq_ignore_ascii_case(level))
    };
    for directive in text.split(',') {
        let word = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
        if !is_level(word) {
            return Err(format!(
                "\"{word}\" is not a level; error, warn, info, debug, trace or off is allowed, or a list such as info,cnx::store=debug"
            ));
        }
    }
    Ok(text)
}
