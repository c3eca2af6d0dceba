//! What `cnx client add` registers: from flags, with PKCE always, or from a metadata file, as the file says.
//!
//! The rules themselves are `oauth/client_registration.rs`; here is only what stands for "not said".

#![expect(clippy::doc_markdown, reason = "comments on arguments are their help, printed as they stand")]

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::{Value, json};

use super::{Refused, stdin};
use crate::base::id::ClientId;
use crate::base::secret::Secret;
use crate::oauth::client::{AuthMethod, ClientMetadata, GrantType};
use crate::oauth::client_registration::{self, Registration};

#[derive(Args)]
pub(super) struct Add {
    /// What people read on the consent page
    #[arg(required_unless_present = "metadata")]
    name: Option<String>,
    /// Where answers may be sent; repeat for more
    #[arg(long, value_name = "U")]
    redirect_uri: Vec<String>,
    /// An app that cannot keep a secret: in a browser, on a phone, on a desk
    #[arg(long)]
    public: bool,
    /// How it authenticates; client_secret_basic when absent
    #[arg(long, value_name = "METHOD", value_parser = auth_method(), conflicts_with = "public")]
    auth: Option<AuthMethod>,
    /// A JSON file with its public keys, for --auth private_key_jwt
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// An https address that publishes its public keys, for --auth private_key_jwt
    #[arg(long, value_name = "U")]
    jwks_uri: Option<String>,
    /// What its access tokens are for (their aud); the issuer when absent; repeat for more
    #[arg(long, value_name = "A")]
    audience: Vec<String>,
    /// A grant that it may use; authorization_code and refresh_token when absent; repeat for more
    #[arg(long, value_name = "G", value_parser = grant())]
    grant: Vec<GrantType>,
    /// The most that it may ask for; "openid profile email offline_access" when absent; repeat for more
    #[arg(long, value_name = "S")]
    scope: Vec<String>,
    /// Where sign-out may lead; repeat for more
    #[arg(long, value_name = "U")]
    post_logout_redirect_uri: Vec<String>,
    /// Its client_id; made up when absent
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<ClientId>,
    /// Read its secret from standard input; made up when absent
    #[arg(long, conflicts_with = "public")]
    secret_stdin: bool,
    /// A JSON file of RFC 7591 members, client_id and client_secret too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "redirect_uri", "public", "auth", "jwks", "jwks_uri", "audience", "grant", "scope",
        "post_logout_redirect_uri", "id", "secret_stdin"])]
    metadata: Option<PathBuf>,
}

fn auth_method() -> impl clap::builder::TypedValueParser<Value = AuthMethod> {
    PossibleValuesParser::new(AuthMethod::ALL.map(AuthMethod::name)).try_map(|text| {
        AuthMethod::ALL.into_iter().find(|method| method.name() == text).ok_or("not a method")
    })
}

fn grant() -> impl clap::builder::TypedValueParser<Value = GrantType> {
    PossibleValuesParser::new(GrantType::ALL.map(GrantType::name))
        .try_map(|text| GrantType::ALL.into_iter().find(|grant| grant.name() == text).ok_or("not a grant"))
}

fn id(text: &str) -> Result<ClientId, &'static str> {
    text.parse()
}

/// What is to be registered; a secret is read from standard input when the flags say so.
pub(super) fn registration(arguments: &Add) -> Result<Registration, Refused> {
    if let Some(path) = &arguments.metadata {
        return from_file(&stdin::file("--metadata", path)?);
    }
    let secret = if arguments.secret_stdin {
        let text: Secret<String> = stdin::secret("client_secret")?;
        Some(client_registration::check_secret(text.reveal().clone()).map_err(Refused::because)?)
    } else {
        None
    };
    Ok((arguments.id.clone(), secret, from_flags(arguments)?))
}

/// Clients that are made here use PKCE (requirements, consequence 1).
fn from_flags(arguments: &Add) -> Result<ClientMetadata, Refused> {
    let method = match (arguments.public, arguments.auth) {
        (true, _) => AuthMethod::None,
        (false, method) => method.unwrap_or(AuthMethod::ClientSecretBasic),
    };
    let mut grants = arguments.grant.clone();
    if grants.is_empty() {
        grants = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    }
    grants.dedup();
    let with_people = grants.contains(&GrantType::AuthorizationCode);
    let response_types: &[&str] = if with_people { &["code"] } else { &[] };
    let scope = match (arguments.scope.is_empty(), with_people, grants.contains(&GrantType::RefreshToken)) {
        (false, ..) => arguments.scope.join(" "),
        (true, true, true) => "openid profile email offline_access".to_owned(),
        (true, true, false) => "openid profile email".to_owned(),
        // A machine alone has no identity claims to ask for.
        (true, false, _) => String::new(),
    };
    let jwks = match &arguments.jwks {
        None => None,
        Some(path) => {
            let text = stdin::file("--jwks", path)?;
            let set: Value = serde_json::from_str(&text)
                .map_err(|e| Refused::Because(format!("--jwks {}: it is not JSON: {e}", path.display())))?;
            Some(set)
        }
    };
    let metadata: ClientMetadata = serde_json::from_value(json!({
        "client_name": arguments.name,
        "redirect_uris": arguments.redirect_uri,
        "post_logout_redirect_uris": arguments.post_logout_redirect_uri,
        "token_endpoint_auth_method": method,
        "jwks": jwks,
        "jwks_uri": arguments.jwks_uri,
        "audience": arguments.audience,
        "grant_types": grants,
        "response_types": response_types,
        "scope": scope,
        "require_pkce": true,
    }))
    .map_err(Refused::because)?;
    client_registration::check(&metadata).map_err(Refused::because)?;
    Ok(metadata)
}

/// A metadata file describes a client that exists already, and RFC 7591 has no member for PKCE: a confidential client whose
/// file does not say `require_pkce` may come without it (R56, C11), since some libraries cannot. Public clients always need
/// it, and a challenge that is sent binds the code either way.
fn from_file(text: &str) -> Result<Registration, Refused> {
    let (id, secret, mut metadata) = client_registration::from_json(text).map_err(Refused::because)?;
    let stated = serde_json::from_str::<Value>(text)
        .is_ok_and(|v| v.get("require_pkce").is_some_and(|v| !v.is_null()));
    if !stated && metadata.token_endpoint_auth_method != AuthMethod::None {
        metadata.require_pkce = false;
    }
    Ok((id, secret, metadata))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    fn parse(line: &[&str]) -> Result<Add, clap::Error> {
        Line::try_parse_from([&["add"], line].concat()).map(|line| line.add)
    }

    fn flags(line: &[&str]) -> Result<ClientMetadata, String> {
        match from_flags(&parse(line).map_err(|e| e.to_string())?) {
            Ok(metadata) => Ok(metadata),
            Err(Refused::Because(reason)) => Err(reason),
            Err(Refused::Told) => Err(String::new()),
        }
    }

    #[test]
    fn the_defaults_are_a_confidential_client_with_pkce_and_refresh() {
        let m = flags(&["App", "--redirect-uri", "https://app.example/cb"]).unwrap();
        assert_eq!(m.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(m.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
        assert_eq!(m.scope.to_string(), "email offline_access openid profile");
        assert!(m.require_pkce);
        let public = flags(&["App", "--public", "--redirect-uri", "http://127.0.0.1/cb"]).unwrap();
        assert_eq!(public.token_endpoint_auth_method, AuthMethod::None);
    }

    #[test]
    fn a_machine_needs_no_redirect_uri() {
        let m = flags(&["Job", "--grant", "client_credentials", "--scope", "reports:read", "--scope", "a b"])
            .unwrap();
        assert_eq!(m.scope.to_string(), "a b reports:read");
        assert!(m.response_types.is_empty());
        assert!(flags(&["App"]).unwrap_err().starts_with("redirect_uris:"));
    }

    #[test]
    fn contradictions_are_bad_usage() {
        for line in [
            &[][..],
            &["App", "--auth", "tls_client_auth"],
            &["App", "--jwks", "x", "--jwks-uri", "https://a.example"],
            &["App", "--grant", "password"],
            &["App", "--public", "--auth", "none"],
            &["App", "--public", "--secret-stdin"],
            &["App", "--metadata", "x.json"],
            &["--metadata", "x.json", "--public"],
            &["App", "--id", "a b"],
        ] {
            assert_eq!(parse(line).err().map(|e| e.exit_code()), Some(2), "{line:?}");
        }
        assert!(parse(&["--metadata", "x.json"]).is_ok());
    }

    #[test]
    fn a_file_decides_about_pkce_for_confidential_clients_only() {
        let file = |more: &str| {
            let text = format!(r#"{{"client_name":"A","redirect_uris":["https://a.example/cb"]{more}}}"#);
            from_file(&text).ok().map(|(_, _, metadata)| metadata.require_pkce)
        };
        assert_eq!(file(""), Some(false));
        assert_eq!(file(r#","require_pkce":true"#), Some(true));
        assert_eq!(file(r#","token_endpoint_auth_method":"none""#), Some(true));
        assert_eq!(file(r#","token_endpoint_auth_method":"none","require_pkce":false"#), None, "refused");
    }
}
