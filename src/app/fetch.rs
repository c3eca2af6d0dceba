//! The one way in which this server fetches something from an address that somebody else wrote (S-S1, S-S2): https, to public
//! addresses only, the very ones that were looked at, without redirects, cookies or proxies, small, and within five seconds.
//!
//! `outbound.allow` opens single hosts of a private network, and `outbound.extra_ca` their certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{Certificate, Client, redirect};
use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::base::address::is_public;
use crate::config::Outbound;

/// For everything together: name, connection, answer (F21).
const PATIENCE: Duration = Duration::from_secs(5);
/// Fetches that are under way at once; more wait within their patience.
const AT_ONCE: usize = 16;

/// Fetches documents.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    allow: Arc<Allowed>,
    seats: Semaphore,
}

/// A document as it came.
#[derive(Debug)]
pub struct Fetched {
    /// The body.
    pub text: String,
    /// `Cache-Control: max-age`, in seconds.
    pub max_age: Option<i64>,
}

/// Why nothing was fetched. For the log; a caller is not told what a network looks like from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an address that may be fetched from.
    #[error("the address may not be fetched from")]
    Forbidden,
    /// No answer, or a broken one.
    #[error("no answer came")]
    Unreachable,
    /// Not in time.
    #[error("the answer did not come in time")]
    TooSlow,
    /// Another status than 200; redirects are not followed.
    #[error("the answer has status {0}")]
    Status(u16),
    /// More than was asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// Not JSON.
    #[error("the answer is not JSON")]
    WrongType,
}

/// Hosts that settings name: `host`, or `host:port` for that port alone.
#[derive(Debug)]
struct Allowed(Vec<(String, Option<u16>)>);

impl Allowed {
    fn read(list: &[String]) -> Self {
        let entry = |text: &String| match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && port.parse::<u16>().is_ok() => {
                (host.to_ascii_lowercase(), port.parse().ok())
            }
            _ => (text.to_ascii_lowercase(), None),
        };
        Self(list.iter().map(entry).collect())
    }

    fn has_host(&self, host: &str) -> bool {
        self.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(host))
    }

    fn has(&self, host: &str, port: u16) -> bool {
        self.0
            .iter()
            .any(|(name, only)| name.eq_ignore_ascii_case(host) && only.is_none_or(|only| only == port))
    }
}

impl Resolve for Allowed {
    /// The connection goes to the addresses that were looked at here; nobody asks for the name again.
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let allowed = self.has_host(&host);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // Every address, not the first good one: a name with a private address among public ones is a trap.
            if found.is_empty() || !(allowed || found.iter().all(|address| is_public(address.ip()))) {
                return Err(Box::from("the name leads to no public address"));
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

impl Fetcher {
    /// Makes the fetcher of these settings; the text says what is wrong with `outbound.extra_ca`.
    pub fn new(settings: &Outbound) -> Result<Self, String> {
        let allow = Arc::new(Allowed::read(&settings.allow));
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            // Fetches are rare, and a kept connection would outlive the look at its address.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::clone(&allow));
        if let Some(path) = &settings.extra_ca {
            for certificate in certificates(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|e| format!("no client for outgoing requests: {e}"))?;
        Ok(Self { client, allow, seats: Semaphore::new(AT_ONCE) })
    }

    /// Fetches a JSON document of at most `limit` bytes.
    pub async fn json(&self, address: &str, limit: usize) -> Result<Fetched, FetchError> {
        self.counted(self.fetch(address, limit, Client::get::<Url>)).await
    }

    /// The same, for whoever this token is of.
    pub async fn json_for(&self, address: &str, token: &str, limit: usize) -> Result<Fetched, FetchError> {
        self.counted(self.fetch(address, limit, |client, url| client.get(url).bearer_auth(token))).await
    }

    /// Posts a form, as whoever `basic` says, and reads the JSON document of at most `limit` bytes that answers it.
    pub async fn form(
        &self,
        address: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Fetched, FetchError> {
        let post = |client: &Client, url| {
            let post = client.post(url).form(fields);
            match basic {
                Some((name, secret)) => post.basic_auth(name, Some(secret)),
                None => post,
            }
        };
        self.counted(self.fetch(address, limit, post)).await
    }

    async fn counted(
        &self,
        fetch: impl Future<Output = Result<Fetched, FetchError>>,
    ) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(PATIENCE, fetch).await;
        let fetched = fetched.unwrap_or(Err(FetchError::TooSlow));
        let outcome = if fetched.is_ok() { "ok" } else { "failed" };
        metrics::counter!("cnx_outbound_fetches_total", "outcome" => outcome).increment(1);
        fetched
    }

    async fn fetch(
        &self,
        address: &str,
        limit: usize,
        request: impl FnOnce(&Client, Url) -> reqwest::RequestBuilder,
    ) -> Result<Fetched, FetchError> {
        let url = self.permitted(address).ok_or(FetchError::Forbidden)?;
        let _seat = self.seats.acquire().await.map_err(|_| FetchError::Unreachable)?;
        let asked = request(&self.client, url).header(ACCEPT, "application/json").send().await;
        let mut answer =
            asked.map_err(|e| if e.is_timeout() { FetchError::TooSlow } else { FetchError::Unreachable })?;
        if answer.status().as_u16() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
            return Err(FetchError::WrongType);
        }
        let max_age = header(CACHE_CONTROL).split(',').find_map(|directive| {
            directive.trim().strip_prefix("max-age=").and_then(|seconds| seconds.parse::<i64>().ok())
        });
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| FetchError::Unreachable)? {
            if body.len() + chunk.len() > limit {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).map_err(|_| FetchError::WrongType)?;
        Ok(Fetched { text, max_age })
    }

    /// An address without user information that is https, or http to a host of this machine that the settings name. A literal
    /// address is looked at here, since no resolver sees it.
    fn permitted(&self, address: &str) -> Option<Url> {
        let url = Url::parse(address).ok()?;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let (host, port) = (url.host()?, url.port_or_known_default()?);
        let named = self.allow.has(url.host_str()?, port);
        let (literal, loopback) = match host {
            Host::Ipv4(address) => (Some(address.into()), address.is_loopback()),
            Host::Ipv6(address) => (Some(address.into()), address.is_loopback()),
            Host::Domain(name) => (None, name == "localhost"),
        };
        let secure = url.scheme() == "https" || (url.scheme() == "http" && named && loopback);
        // A name that is allowed on one port only is not allowed on another, whatever it leads to.
        let elsewhere = !named && self.allow.has_host(url.host_str()?);
        (secure && !elsewhere && (named || literal.is_none_or(is_public))).then_some(url)
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let found = Certificate::from_pem_bundle(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: no certificate in it; a PEM file is needed", path.display()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetcher(allow: &[&str]) -> Fetcher {
        let allow = allow.iter().map(|text| (*text).to_owned()).collect();
        Fetcher::new(&Outbound { allow, extra_ca: None }).unwrap()
    }

    #[test]
    fn only_https_to_the_public_and_what_settings_name_may_be_fetched_s_s1() {
        let strict = fetcher(&[]);
        for good in ["https://keys.example/jwks?x=1", "https://1.1.1.1/", "https://[2606:4700::1111]/"] {
            assert!(strict.permitted(good).is_some(), "{good}");
        }
        for bad in [
            "http://keys.example/",
            "ftp://keys.example/",
            "file:///etc/passwd",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/",
            "https://10.0.0.1/",
            "https://[64:ff9b::7f00:1]/",
            "https://a@keys.example/",
            "https://a:b@keys.example/",
            "",
            "http://localhost/",
        ] {
            assert!(strict.permitted(bad).is_none(), "{bad}");
        }
        let open = fetcher(&["127.0.0.1:8443", "keys.internal", "localhost"]);
        for good in [
            "https://127.0.0.1:8443/",
            "http://127.0.0.1:8443/",
            "https://keys.internal:99/",
            "http://localhost:1/",
        ] {
            assert!(open.permitted(good).is_some(), "{good}");
        }
        for bad in [
            "https://127.0.0.1:8444/",
            "http://keys.internal/",
            "https://127.0.0.2:8443/",
            "http://keys.example/",
        ] {
            assert!(open.permitted(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_connected_to_s_s1() {
        let strict = fetcher(&[]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = strict.json(&format!("https://localhost:{port}/jwks"), 1000).await;
        assert!(answer.is_err());
        assert!(listener.accept().is_err(), "not even a connection was made");
    }
}
