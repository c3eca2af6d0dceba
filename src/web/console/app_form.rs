//! What is registered of an app, as a form: its inputs, and what they say.

use serde_json::Value;

use super::page::{is_checked, lines};
use crate::oauth::client::{
    AccessTokenFormat, ApplicationType, AuthMethod, ClientMetadata, GrantType, RefreshRotation,
};
use crate::oauth::params::Params;
use crate::oauth::scope::Scope;
use crate::web::pages::desk::{Field, Kind, Words};

/// What an app is to be, as people choose it.
const KINDS: [(&str, &str); 4] = [
    ("web", "a web app with a server: it can keep a secret"),
    ("spa", "a web app in the browser alone: it cannot keep a secret"),
    ("native", "an app on a phone or a desk: it cannot keep a secret"),
    ("machine", "a program without people: client credentials"),
];

/// A page of an app's own: its input, its label, and where it is registered.
type Page = (&'static str, &'static str, fn(&ClientMetadata) -> &Option<String>);

/// What people may want to read before they allow an app.
const PAGES: [Page; 3] = [
    ("client_uri", "Home page", |m| &m.client_uri),
    ("policy_uri", "Privacy policy", |m| &m.policy_uri),
    ("tos_uri", "Terms of service", |m| &m.tos_uri),
];

/// Its kind in words.
pub(super) fn kind_in_words(metadata: &ClientMetadata) -> &'static str {
    match kind(metadata) {
        "spa" => "browser",
        "native" => "native",
        "machine" => "machine",
        _ => "web",
    }
}

fn kind(metadata: &ClientMetadata) -> &'static str {
    let public = metadata.token_endpoint_auth_method == AuthMethod::None;
    if !metadata.grant_types.contains(&GrantType::AuthorizationCode) {
        "machine"
    } else if metadata.application_type == ApplicationType::Native {
        "native"
    } else if public {
        "spa"
    } else {
        "web"
    }
}

/// How it proves who it is, in words.
pub(super) fn method_in_words(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "nothing, and PKCE",
        AuthMethod::ClientSecretBasic => "a secret in the Authorization header",
        AuthMethod::ClientSecretPost => "a secret in the form",
        AuthMethod::ClientSecretJwt => "a JWT under its secret",
        AuthMethod::PrivateKeyJwt => "a JWT under its own key",
    }
}

/// The inputs, with what was typed, else with what is registered.
pub(super) fn client_fields(typed: Option<&Params>, known: Option<&ClientMetadata>) -> Vec<Field> {
    let word = |name: &str, registered: Option<String>, usual: &str| match typed {
        Some(form) => form.get(name).unwrap_or_default().to_owned(),
        None => registered.unwrap_or_else(|| usual.to_owned()),
    };
    let of = |read: &dyn Fn(&ClientMetadata) -> String| known.map(read);
    let uris = |uris: &[String]| uris.join("\n");
    let kinds = KINDS.map(|(value, words)| (value.to_owned(), Words::Borrowed(words))).to_vec();
    let methods = AuthMethod::ALL.into_iter().filter(|method| *method != AuthMethod::None);
    let methods = methods.map(|m| (m.name().to_owned(), Words::Borrowed(method_in_words(m)))).collect();
    let usual = "openid profile email offline_access";
    let method = of(&|m| m.token_endpoint_auth_method.name().to_owned());
    let mut fields = vec![
        Field::new(
            "client_name",
            "Name",
            Kind::Line("off"),
            word("client_name", of(&|m| m.client_name.clone()), ""),
        )
        .hint("People read it when they are asked whether they allow the app."),
        Field::new("kind", "Kind", Kind::Choice(kinds), word("kind", of(&|m| kind(m).to_owned()), "web")),
        Field::new(
            "redirect_uris",
            "Redirect URIs",
            Kind::Lines,
            word("redirect_uris", of(&|m| uris(&m.redirect_uris)), ""),
        )
        .optional()
        .hint("One on each line, exactly as the app sends them. A program without people needs none."),
        Field::new("scope", "Scopes", Kind::Line("off"), word("scope", of(&|m| m.scope.to_string()), usual))
            .optional()
            .hint("The most that it may ask for, separated by spaces."),
        Field::new(
            "post_logout_redirect_uris",
            "Where sign-out may lead",
            Kind::Lines,
            word("post_logout_redirect_uris", of(&|m| uris(&m.post_logout_redirect_uris)), ""),
        )
        .optional()
        .hint("One URI on each line."),
    ];
    fields.extend(PAGES.iter().map(|(name, label, registered)| {
        let known = of(&|m| registered(m).clone().unwrap_or_default());
        Field::new(name, label, Kind::Line("off"), word(name, known, ""))
            .optional()
            .hint("An https address. People find it where they are asked whether they allow the app.")
    }));
    // Which secret there is follows from how it signs in, so that this is chosen once.
    if known.is_none() {
        fields.push(
            Field::new(
                "token_endpoint_auth_method",
                "How it proves who it is",
                Kind::Choice(methods),
                word("token_endpoint_auth_method", method, AuthMethod::ClientSecretBasic.name()),
            )
            .hint("For apps that can keep a secret. The others have none and use PKCE."),
        );
    }
    fields.extend([
        Field::new(
            "jwks_uri",
            "Where its public keys are",
            Kind::Line("off"),
            word("jwks_uri", of(&|m| m.jwks_uri.clone().unwrap_or_default()), ""),
        )
        .optional()
        .hint("An https address, for a JWT under its own key."),
        Field::new(
            "jwks",
            "Its public keys",
            Kind::Lines,
            word("jwks", of(&|m| m.jwks.as_ref().map(Value::to_string).unwrap_or_default()), ""),
        )
        .optional()
        .hint("A JSON Web Key Set, in place of an address."),
        Field::new(
            "audience",
            "What its access tokens are for",
            Kind::Lines,
            word("audience", of(&|m| uris(&m.audience)), ""),
        )
        .optional()
        .hint("One audience on each line; this server when it is left out."),
    ]);
    fields.extend(switches(typed, known));
    fields
}

/// What is ticked or not.
fn switches(typed: Option<&Params>, known: Option<&ClientMetadata>) -> [Field; 3] {
    [
        (
            "skip_consent",
            "It is ours: people are not asked whether they allow it",
            known.is_some_and(|m| m.skip_consent),
        ),
        (
            "opaque",
            "Its access tokens are opaque: only this server can read them",
            known.is_some_and(|m| m.access_token_format == AccessTokenFormat::Opaque),
        ),
        (
            "keep_refresh",
            "Its refresh tokens do not rotate",
            known.is_some_and(|m| m.refresh_rotation == RefreshRotation::Never),
        ),
    ]
    .map(|(name, label, registered)| {
        let value = match typed {
            Some(form) => form.get(name).unwrap_or_default().to_owned(),
            None => checked(registered),
        };
        Field::new(name, label, Kind::Check, value)
    })
}

fn checked(yes: bool) -> String {
    if yes { "yes".to_owned() } else { String::new() }
}

/// What a form registers; with `known` it changes that, and what no input is for stays as it is. The rules are the flow's.
pub(super) fn read(
    form: &Params,
    known: Option<&ClientMetadata>,
) -> Result<ClientMetadata, (&'static str, String)> {
    let name = form.get("client_name").unwrap_or_default().trim();
    let mut new = known.cloned().unwrap_or_else(|| ClientMetadata::named(name));
    name.clone_into(&mut new.client_name);
    let kind = form.get("kind").unwrap_or_default();
    if !KINDS.iter().any(|(known, _)| *known == kind) {
        return Err(("kind", "one of the kinds is allowed".to_owned()));
    }
    let public = matches!(kind, "spa" | "native");
    match known {
        Some(before) if public != (before.token_endpoint_auth_method == AuthMethod::None) => {
            let problem = "whether an app has a secret cannot be changed; add another app";
            return Err(("kind", problem.to_owned()));
        }
        Some(_) => {}
        None if public => new.token_endpoint_auth_method = AuthMethod::None,
        None => {
            let word = form.get("token_endpoint_auth_method").unwrap_or_default();
            new.token_endpoint_auth_method = AuthMethod::ALL
                .into_iter()
                .find(|method| method.name() == word && *method != AuthMethod::None)
                .ok_or_else(|| ("token_endpoint_auth_method", "one of the ways is allowed".to_owned()))?;
        }
    }
    new.application_type = if kind == "native" { ApplicationType::Native } else { ApplicationType::Web };
    new.scope = Scope::parse(form.get("scope").unwrap_or_default())
        .map_err(|problem| ("scope", problem.to_owned()))?;
    if known.is_none_or(|before| self::kind(before) != kind) {
        let machine = kind == "machine";
        new.grant_types = if machine {
            vec![GrantType::ClientCredentials]
        } else {
            vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
        };
        new.response_types = if machine { Vec::new() } else { vec!["code".to_owned()] };
    }
    if kind == "machine" && form.get("scope") == Some("openid profile email offline_access") {
        // What stood there for people, and was left.
        new.scope = Scope::of(&[]);
    }
    new.redirect_uris = lines(form.get("redirect_uris"));
    new.post_logout_redirect_uris = lines(form.get("post_logout_redirect_uris"));
    new.audience = lines(form.get("audience"));
    let address = |name: &str| form.get(name).map(str::trim).filter(|uri| !uri.is_empty()).map(str::to_owned);
    new.client_uri = address("client_uri");
    new.policy_uri = address("policy_uri");
    new.tos_uri = address("tos_uri");
    new.jwks_uri = form.get("jwks_uri").map(|uri| uri.trim().to_owned());
    new.jwks = match form.get("jwks").map(str::trim).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            serde_json::from_str(text)
                .map_err(|_| ("jwks", "a JSON Web Key Set is allowed: {\"keys\": […]}".to_owned()))?,
        ),
    };
    new.skip_consent = is_checked(form, "skip_consent");
    new.access_token_format =
        if is_checked(form, "opaque") { AccessTokenFormat::Opaque } else { AccessTokenFormat::Jwt };
    new.refresh_rotation =
        if is_checked(form, "keep_refresh") { RefreshRotation::Never } else { RefreshRotation::Always };
    Ok(new)
}

/// The input that a member's problem is shown at.
pub(super) fn field_of(member: &str) -> &'static str {
    match member {
        "redirect_uris" => "redirect_uris",
        "post_logout_redirect_uris" => "post_logout_redirect_uris",
        "scope" => "scope",
        "token_endpoint_auth_method" | "client_secret" => "token_endpoint_auth_method",
        "jwks" => "jwks",
        "jwks_uri" => "jwks_uri",
        "audience" => "audience",
        "client_uri" => "client_uri",
        "policy_uri" => "policy_uri",
        "tos_uri" => "tos_uri",
        "skip_consent" => "skip_consent",
        "access_token_format" => "opaque",
        "refresh_rotation" => "keep_refresh",
        "application_type" | "grant_types" | "response_types" => "kind",
        _ => "client_name",
    }
}
