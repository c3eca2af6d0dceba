//! How mail leaves: by SMTP, into a folder for development, or not at all.

use std::path::PathBuf;

use url::{Host, Url};

use super::check::{Refuse, path};
use super::error::ConfigError;
use super::stated::StatedMail;
use crate::base::secret::Secret;

/// How mail leaves. With neither an SMTP server nor a folder none does, and pages say what to do instead.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// `smtps://USER:PASSWORD@HOST:465`, or `smtp://…?tls=required`.
    pub smtp_url: Option<Secret<String>>,
    /// Whom it is from: `id@example.com`, or `Example Identity <id@example.com>`.
    pub from: String,
    /// Where it is written to instead of being sent, for development.
    pub folder: Option<PathBuf>,
}

const SHAPE: &str = "smtps://USER:PASSWORD@HOST:465 or smtp://USER:PASSWORD@HOST:587?tls=required is allowed, smtp:// without TLS only \
                     for localhost, 127.0.0.1 and [::1]";

/// Reads what is stated; `host` is the issuer's.
pub(super) fn check(stated: StatedMail, host: &str, refuse: Refuse) -> Result<Mail, ConfigError> {
    let smtp_url = stated.smtp_url.filter(|text| !text.is_empty());
    if smtp_url.is_some() && stated.folder.is_some() {
        return Err(refuse(
            "mail.folder",
            "mail.smtp_url is set too; mail is sent or written, set one of them",
        ));
    }
    if let Some(text) = &smtp_url {
        smtp(text).map_err(|problem| refuse("mail.smtp_url", &problem))?;
    }
    let from = match (stated.from, &smtp_url) {
        (Some(from), _) => from,
        (None, Some(_)) => {
            return Err(refuse(
                "mail.from",
                "the address that mail is from is needed, such as id@example.com",
            ));
        }
        // An address of the network is no domain that mail could be from.
        (None, None) if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() => {
            "no-reply@localhost".to_owned()
        }
        (None, None) => format!("no-reply@{host}"),
    };
    if !from.contains('@') || from.chars().any(char::is_control) {
        return Err(refuse(
            "mail.from",
            "an address is needed, such as id@example.com or Example Identity <id@example.com>",
        ));
    }
    let folder = stated.folder.as_deref().map(path).transpose().map_err(|p| refuse("mail.folder", &p))?;
    Ok(Mail { smtp_url: smtp_url.map(Secret::new), from, folder })
}

/// What is wrong with an SMTP address. Mail holds links that open accounts: it crosses no network in the clear.
fn smtp(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|e| format!("it is not a URL: {e}; {SHAPE}"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || is_loopback(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(SHAPE.to_owned()),
    };
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        match (name.as_ref(), value.as_ref()) {
            ("tls", "required") => tls = Some(()),
            _ => return Err(format!("?tls=required is the only parameter; {SHAPE}")),
        }
    }
    match url.scheme() {
        "smtps" if tls.is_none() => Ok(()),
        "smtp" if tls.is_some() || loopback => Ok(()),
        _ => Err(SHAPE.to_owned()),
    }
}

/// Addresses that the URL standard leaves as text, for schemes that it does not know.
fn is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(super::values::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_crosses_no_network_in_the_clear() {
        for good in [
            "smtps://id:secret@mail.example.com:465",
            "smtps://mail.example.com",
            "smtp://id:secret@mail.example.com:587?tls=required",
            "smtp://localhost:1025",
            "smtp://127.0.0.1:1025",
            "smtp://[::1]:1025",
        ] {
            assert_eq!(smtp(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "mail.example.com",
            "smtp://mail.example.com",
            "smtp://mail.example.com?tls=opportunistic",
            "smtp://10.0.0.7:25",
            "smtps://mail.example.com?tls=required",
            "https://mail.example.com",
            "smtp://localhost.example.com",
        ] {
            assert!(smtp(bad).is_err(), "{bad}");
        }
    }
}
