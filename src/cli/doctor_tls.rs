//! What `cnx doctor` looks at in our own certificate: that a start takes it with its key, that it is of our name, and that it lives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::doctor::Finding;
use super::doctor_checks::mode;
use crate::base::time::Timestamp;
use crate::config::{Settings, Tls};
use crate::serve;

const CHECK: &str = "tls";
/// How long before its end a certificate should have been renewed: those of public authorities are renewed a month before.
const SOON: i64 = 14 * 86_400;

/// Nothing when the server has no TLS of its own.
pub(super) fn tls(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let Some(tls) = &settings.tls else { return Vec::new() };
    // What a start does, word for word: both files, and that the key is the certificate's.
    if let Err(error) = serve::tls_config(tls) {
        let mend = "name a PEM chain, leaf first, and the key that it was made for; the server's user must read both";
        return vec![Finding::fail(CHECK, error.to_string(), mend)];
    }
    let mut findings = vec![certificate(settings, tls, now)];
    findings.extend(exposed(&tls.key));
    findings
}

fn certificate(settings: &Settings, tls: &Tls, now: Timestamp) -> Finding {
    let name = tls.cert.display();
    let chain = serve::chain(tls).unwrap_or_default();
    let host = settings.public_url.host().trim_matches(['[', ']']);
    if let Some(validity) = wrong_time(&chain, host, now) {
        let mend = "renew it and start the server again; look why it was not renewed in time";
        return Finding::fail(CHECK, format!("{name} {validity}: nobody can connect"), mend);
    }
    if !is_of(&chain, host) {
        return Finding::fail(
            CHECK,
            format!("{name} is not for {host}, the host of public_url: nobody can connect"),
            format!("have a certificate made with {host} as a subject alternative name"),
        );
    }
    if wrong_time(&chain, host, now.plus(SOON)).is_some() {
        let mend = "renew it and start the server again";
        return Finding::warn(CHECK, format!("{name} expires within 14 days"), mend);
    }
    Finding::ok(CHECK, format!("{name} is for {host}, with its key"))
}

/// What is wrong with the certificate's time at `now`. Whether its authority is known is not asked: callers may know it where we do not.
fn wrong_time(chain: &[CertificateDer<'static>], host: &str, now: Timestamp) -> Option<&'static str> {
    let (leaf, rest) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    // Times are looked at first, so any authority will do.
    roots.add(chain.last()?.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let moment =
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or_default()));
    let server = ServerName::try_from(host.to_owned()).ok()?;
    match verifier.verify_server_cert(leaf, rest, &server, &[], moment) {
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some("has expired"),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some("is not valid yet"),
        _ => None,
    }
}

fn is_of(chain: &[CertificateDer<'static>], host: &str) -> bool {
    let leaf = chain.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    let server = ServerName::try_from(host).ok();
    leaf.zip(server).is_some_and(|(leaf, server)| rustls::client::verify_server_name(&leaf, &server).is_ok())
}

/// A key that everybody on the machine may read.
fn exposed(key: &Path) -> Option<Finding> {
    let (name, mode) = (key.display(), mode(key)?);
    (mode & 0o007 != 0).then(|| {
        Finding::fail(
            CHECK,
            format!("tls.key {name} may be read by everybody (mode {mode:03o})"),
            format!("chmod 600 {name}"),
        )
    })
}
