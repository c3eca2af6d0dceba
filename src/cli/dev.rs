//! What `cnx serve --dev` puts into its throw-away folder: an administrator with something to tell in every scope, two
//! clients that accept any loopback redirect URI, and an API key. All of it is printed once and gone with the process.

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::serve::Greeting;
use super::{Refused, by, print};
use crate::api_key::permission::Permissions;
use crate::api_key::plan::Overrides;
use crate::app::App;
use crate::base::encoding::base62;
use crate::base::secret::Secret;
use crate::flow::clients;
use crate::flow::keys::{self, NewKey};
use crate::flow::people::{self, NewPerson};
use crate::oauth::client::ClientMetadata;

/// A folder that only this user can enter, and that goes with the value.
pub(super) fn folder() -> Result<TempDir, Refused> {
    tempfile::Builder::new()
        .prefix("cnx-dev-")
        .tempdir()
        .map_err(|e| Refused::Because(format!("no throw-away folder can be made: {e}")))
}

/// Makes the administrator, the clients and the key, and says how to use them.
pub(super) async fn furnish(app: &App) -> Result<Greeting, Refused> {
    let password = typeable(&app.entropy.bytes::<14>());
    let administrator = NewPerson {
        email: Some("admin@example.com".to_owned()),
        username: Some("admin".to_owned()),
        name: Some("Avery Admin".to_owned()),
        email_verified: true,
        role: crate::account::role::Role::Owner,
        claims: claims(),
        password: Some(password.clone()),
    };
    let administrator = people::add(app, &by(), administrator).await?;
    let (spa, _) =
        clients::add(app, &by(), client("Development SPA", true)?, Some(id("dev-spa")?), None).await?;
    let (web, secret) =
        clients::add(app, &by(), client("Development Web App", false)?, Some(id("dev-web")?), None).await?;
    let secret = secret.ok_or_else(|| Refused::because("dev-web got no secret"))?;
    let (key, key_text) = keys::mint(app, &by(), key()?).await?;
    let folder = app.settings.data_dir.display().to_string();
    let document = json!({
        "issuer": app.issuer(),
        "data_dir": folder,
        "administrator": {
            "user_id": administrator.id,
            "username": administrator.username,
            "email": administrator.email,
            "password": password.reveal(),
        },
        "clients": [
            { "client_id": spa.id, "token_endpoint_auth_method": "none" },
            { "client_id": web.id, "token_endpoint_auth_method": "client_secret_basic", "client_secret": secret.reveal() },
        ],
        "api_key": { "key_id": key.id.to_string(), "key": key_text.reveal(), "scopes": key.scopes.words().collect::<Vec<_>>() },
    });
    let table = print::pairs(&[
        ("  issuer", app.issuer().to_owned()),
        ("  discovery", format!("{}/.well-known/openid-configuration", app.issuer())),
        ("", String::new()),
        ("  person", "admin@example.com, or admin".to_owned()),
        ("  password", password.reveal().clone()),
        ("", String::new()),
        ("  client_id", "dev-spa: public, PKCE".to_owned()),
        ("  client_id", "dev-web: confidential, PKCE, client_secret_basic or client_secret_post".to_owned()),
        ("  client_secret", secret.reveal().clone()),
        ("  redirect_uri", "any on localhost, 127.0.0.1 and [::1], on any port".to_owned()),
        ("", String::new()),
        ("  API key", key_text.reveal().clone()),
    ]);
    let text = format!(
        "CloudNexus Identity {} for development, at {}\nEverything lies in {folder} and goes when the server stops; this is shown once.\n\n{table}",
        env!("CARGO_PKG_VERSION"),
        app.issuer(),
    );
    Ok(Greeting { document, text })
}

fn id(text: &str) -> Result<crate::base::id::ClientId, Refused> {
    text.parse().map_err(Refused::because)
}

fn client(name: &str, public: bool) -> Result<ClientMetadata, Refused> {
    let (method, mut grants) = ("client_secret_basic", vec!["authorization_code", "refresh_token"]);
    if !public {
        grants.push("client_credentials");
    }
    serde_json::from_value(json!({
        "client_name": name,
        "token_endpoint_auth_method": if public { "none" } else { method },
        "grant_types": grants,
        "scope": "openid profile email address phone offline_access",
        "any_loopback_redirect": true,
    }))
    .map_err(Refused::because)
}

/// A key that may do everything, from everywhere, for as long as the folder lives.
fn key() -> Result<NewKey, Refused> {
    Ok(NewKey {
        name: "Development".to_owned(),
        environment: "dev".parse().map_err(Refused::because)?,
        scopes: Permissions::parse(std::iter::once("*")).map_err(Refused::because)?,
        description: None,
        lifetime: None,
        not_before: None,
        allow: Vec::new(),
        deny: Vec::new(),
        limits: Overrides::default(),
        leak_policy: None,
    })
}

/// Something to give for each scope of OIDC Core §5.4.
fn claims() -> Map<String, Value> {
    let claims = json!({
        "given_name": "Avery",
        "family_name": "Admin",
        "middle_name": "Quinn",
        "nickname": "Ave",
        "profile": "https://people.example.com/avery",
        "picture": "https://people.example.com/avery.png",
        "website": "https://avery.example.com",
        "gender": "unspecified",
        "birthdate": "1990-12-31",
        "zoneinfo": "Europe/Berlin",
        "locale": "en-GB",
        "phone_number": "+49 30 5550100",
        "phone_number_verified": true,
        "address": {
            "formatted": "1 Example Street\n10115 Berlin\nGermany",
            "street_address": "1 Example Street",
            "locality": "Berlin",
            "postal_code": "10115",
            "country": "Germany",
        },
    });
    claims.as_object().cloned().unwrap_or_default()
}

/// A password that can be copied by hand: base62 in groups of five.
fn typeable(chance: &[u8]) -> Secret<String> {
    let text = base62(chance);
    let letters: Vec<char> = text.chars().collect();
    Secret::new(letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::oauth::client_registration;

    #[test]
    fn the_clients_may_be_registered() {
        for public in [true, false] {
            client_registration::check(&client("X", public).ok().unwrap()).unwrap();
        }
    }

    #[test]
    fn the_password_is_long_enough_and_differs() {
        let entropy = Entropy::seeded(1);
        let (a, b) = (typeable(&entropy.bytes::<14>()), typeable(&entropy.bytes::<14>()));
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().chars().count(), 22);
        assert_eq!(a.reveal().matches('-').count(), 3);
    }
}
