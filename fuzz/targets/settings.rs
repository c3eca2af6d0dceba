//! Settings files: a mistake is one plain line; what is taken keeps the rules that no setting may break, and means the same when it is written
//! down again as `cnx config` shows it.

use cnx::config::{Loaded, Shown, of_text};

pub(super) const WORDS: &[&str] = &[
    "public_url = \"https://id.example\"\n",
    "listen = \"127.0.0.1:8080\"\n",
    "listen = \"0.0.0.0:80\"\n",
    "trusted_proxies = [\"10.0.0.0/8\"]\n",
    "[tokens]\n",
    "access_seconds = 300\n",
    "[signing]\n",
    "rsa_bits = 2048\n",
    "[passwords]\n",
    "argon2_memory_kib = 7168\n",
    "argon2_passes = 5\n",
    "[tls]\n",
    "cert = \"c\"\n",
    "key = \"k\"\n",
    "[log]\n",
    "level = \"info,cnx=debug\"\n",
    "[[gateway.routes]]\n",
    "methods = [\"GET\"]\n",
    "path = \"/v1/{id}\"\n",
    "scope = \"a:b\"\n",
    "redis_url = \"redis://u:secret@h:1/0\"\n",
    "database_url = \"postgres://u:secret@h/d\"\n",
    "[mail]\n",
    "from = \"a@b.example\"\n",
    "smtp_url = \"smtps://u:secret@h\"\n",
    "\"\"\"",
    "= ",
    "1e9",
    "-1",
    "true",
    "[]",
    "{}",
    "\\u0000",
    "\u{202e}",
    "#",
];

const SECRET: [&str; 3] = ["database_url", "redis_url", "mail.smtp_url"];

pub(super) fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match of_text("cnx.toml", text, None, None) {
        Err(mistake) => {
            let line = mistake.to_string();
            assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
            false
        }
        Ok(loaded) => {
            keeps_the_rules(&loaded);
            means_the_same(&loaded);
            true
        }
    }
}

fn keeps_the_rules(loaded: &Loaded) {
    let s = &loaded.settings;
    let url = url::Url::parse(s.public_url.as_str()).expect("the issuer is a URL");
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    assert!(url.scheme() == "https" || url.scheme() == "http" && here, "{url}");
    assert!(
        url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none(),
        "{url}"
    );
    let open = url.scheme() == "https" && s.tls.is_none() && s.trusted_proxies.is_empty();
    assert!(!open || s.listen.ip().is_loopback(), "{} takes plain http from anyone", s.listen);
    assert!([2048, 3072, 4096].contains(&s.signing.rsa_bits));
    assert!(u64::from(s.passwords.argon2_memory_kib) * u64::from(s.passwords.argon2_passes) >= 35_840);
    assert!(s.gateway.routes.is_empty() || !s.trusted_proxies.is_empty());
    assert!(s.tokens.access_seconds > 0 && s.workers <= 4_096);
    // Whatever is shown of a secret is not the secret.
    for source in loaded.sources.iter().filter(|source| SECRET.contains(&source.key.as_str())) {
        let Some(Shown::Text(shown)) = &source.value else { continue };
        let url = url::Url::parse(shown).ok().filter(|_| !shown.starts_with("sqlite:"));
        assert!(url.is_none_or(|url| matches!(url.password(), None | Some("***"))), "{shown}");
    }
}

/// Every value that the file set, given as an environment variable instead.
fn means_the_same(loaded: &Loaded) {
    let stated = loaded.sources.iter().filter(|source| source.from.starts_with("cnx.toml"));
    let mut variables = Vec::new();
    for source in stated {
        match &source.value {
            None => {}
            // It is masked, so it cannot be given again.
            Some(_) if SECRET.contains(&source.key.as_str()) => return,
            Some(value) => {
                let name = format!("CNX_{}", source.key.replace('.', "__").to_ascii_uppercase());
                variables.push((name, value.to_string()));
            }
        }
    }
    // A variable that is empty counts as not set, and white space around a number is none of it.
    if variables.iter().any(|(_, value)| value.is_empty() || value.trim() != value) {
        return;
    }
    let again = of_text("", "", variables, None).expect("what is shown can be set");
    for (before, after) in loaded.sources.iter().zip(&again.sources) {
        assert_eq!((&before.key, &before.value), (&after.key, &after.value));
    }
}
