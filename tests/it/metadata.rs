//! Metadata (OIDC Discovery §4, RFC 8414 §3): what it says, of which types, and that the issuer is one text everywhere.

use std::collections::BTreeSet;

use cnx::base::time::{Clock, Timestamp};
use cnx::config::{self, Issuer};
use serde_json::{Value, json};

use crate::offline;
use crate::world::{On, START, World, authorize_path, claims, on_both};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Url,
    Text,
    Texts,
    Flag,
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Url => value.as_str().is_some_and(|text| url::Url::parse(text).is_ok()),
            Self::Text => value.is_string(),
            Self::Texts => {
                value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string))
            }
            Self::Flag => value.is_boolean(),
        }
    }
}

/// IANA's registry "OAuth Authorization Server Metadata" and OIDC Discovery §3: every name that a document may have here.
const REGISTERED: &[(&str, Kind)] = &[
    ("issuer", Kind::Url),
    ("authorization_endpoint", Kind::Url),
    ("token_endpoint", Kind::Url),
    ("jwks_uri", Kind::Url),
    ("registration_endpoint", Kind::Url),
    ("userinfo_endpoint", Kind::Url),
    ("revocation_endpoint", Kind::Url),
    ("introspection_endpoint", Kind::Url),
    ("end_session_endpoint", Kind::Url),
    ("service_documentation", Kind::Url),
    ("op_policy_uri", Kind::Url),
    ("op_tos_uri", Kind::Url),
    ("check_session_iframe", Kind::Url),
    ("device_authorization_endpoint", Kind::Url),
    ("pushed_authorization_request_endpoint", Kind::Url),
    ("signed_metadata", Kind::Text),
    ("scopes_supported", Kind::Texts),
    ("response_types_supported", Kind::Texts),
    ("response_modes_supported", Kind::Texts),
    ("grant_types_supported", Kind::Texts),
    ("token_endpoint_auth_methods_supported", Kind::Texts),
    ("token_endpoint_auth_signing_alg_values_supported", Kind::Texts),
    ("revocation_endpoint_auth_methods_supported", Kind::Texts),
    ("revocation_endpoint_auth_signing_alg_values_supported", Kind::Texts),
    ("introspection_endpoint_auth_methods_supported", Kind::Texts),
    ("introspection_endpoint_auth_signing_alg_values_supported", Kind::Texts),
    ("code_challenge_methods_supported", Kind::Texts),
    ("acr_values_supported", Kind::Texts),
    ("subject_types_supported", Kind::Texts),
    ("id_token_signing_alg_values_supported", Kind::Texts),
    ("id_token_encryption_alg_values_supported", Kind::Texts),
    ("id_token_encryption_enc_values_supported", Kind::Texts),
    ("userinfo_signing_alg_values_supported", Kind::Texts),
    ("userinfo_encryption_alg_values_supported", Kind::Texts),
    ("userinfo_encryption_enc_values_supported", Kind::Texts),
    ("request_object_signing_alg_values_supported", Kind::Texts),
    ("dpop_signing_alg_values_supported", Kind::Texts),
    ("prompt_values_supported", Kind::Texts),
    ("display_values_supported", Kind::Texts),
    ("claim_types_supported", Kind::Texts),
    ("claims_supported", Kind::Texts),
    ("claims_locales_supported", Kind::Texts),
    ("ui_locales_supported", Kind::Texts),
    ("claims_parameter_supported", Kind::Flag),
    ("request_parameter_supported", Kind::Flag),
    ("request_uri_parameter_supported", Kind::Flag),
    ("require_request_uri_registration", Kind::Flag),
    ("require_pushed_authorization_requests", Kind::Flag),
    ("require_signed_request_object", Kind::Flag),
    ("tls_client_certificate_bound_access_tokens", Kind::Flag),
    ("authorization_response_iss_parameter_supported", Kind::Flag),
    ("backchannel_logout_supported", Kind::Flag),
    ("backchannel_logout_session_supported", Kind::Flag),
    ("frontchannel_logout_supported", Kind::Flag),
    ("frontchannel_logout_session_supported", Kind::Flag),
    ("client_id_metadata_document_supported", Kind::Flag),
];

fn words(document: &Value, name: &str) -> BTreeSet<String> {
    let all = document[name].as_array().unwrap_or_else(|| panic!("{name} is no array"));
    all.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn has(document: &Value, name: &str, word: &str) -> bool {
    words(document, name).contains(word)
}

on_both! {
    async fn both_documents_are_json_at_their_registered_addresses_r20_r21_r96_c19(world: World) {
        for path in [OPENID, OAUTH] {
            let reply = world.get(path).await;
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
            assert_eq!(reply.header("cache-control"), Some("public, max-age=300"), "{path}");
            let date = reply.header("date").expect("a Date header");
            chrono::DateTime::parse_from_rfc2822(date).unwrap();
            let document = reply.json();
            assert_eq!(format!("{}{path}", document["issuer"].as_str().unwrap()), world.url(path));

            let head = world.http.head(world.url(path)).send().await.unwrap();
            assert_eq!(
                (head.status().as_u16(), head.headers()["content-type"].to_str().unwrap()),
                (200, "application/json")
            );
            let posted = world.post(path, None, &[("a", "b")]).await;
            assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
            // A query is not ours to refuse, and changes nothing.
            assert_eq!(world.get(&format!("{path}?x=y")).await.text, reply.text);
            // An issuer has no path here: clients that try one get a 4xx and go on to the next address.
            assert_eq!(world.get(&format!("{path}/tenant")).await.status, 404);
        }
    }

    async fn every_member_is_registered_and_of_its_type_r24_r25_r26_r30_r31_r32_r33(world: World) {
        for path in [OPENID, OAUTH] {
            let document = world.get(path).await.json();
            for (name, value) in document.as_object().unwrap() {
                let row = REGISTERED.iter().find(|(known, _)| known == name);
                let (_, kind) = row.unwrap_or_else(|| panic!("{path}: {name} is home-made"));
                assert!(kind.admits(value), "{path}: {name} is {value}");
                let mut seen = BTreeSet::new();
                for word in value.as_array().into_iter().flatten() {
                    assert!(seen.insert(word.to_string()), "{path}: {name} lists {word} twice");
                }
            }
            // RFC 8414 §2 and OIDC Discovery §3: what must be there.
            for name in
                ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported"]
            {
                assert!(!document[name].is_null(), "{path}: {name}");
            }
            assert_eq!(document["ui_locales_supported"], json!(["en", "de"]), "BCP 47, canonical case");
        }
        let document = world.get(OPENID).await.json();
        assert_eq!(document["subject_types_supported"], json!(["public"]));
        for claim in [
            "sub",
            "iss",
            "auth_time",
            "acr",
            "name",
            "preferred_username",
            "email",
            "email_verified",
            "address",
            "phone_number",
        ] {
            assert!(has(&document, "claims_supported", claim), "{claim}");
        }
        // R33: request objects are not supported at all, and that is said.
        assert_eq!(document["request_parameter_supported"], false);
        assert_eq!(document["request_uri_parameter_supported"], false);
        assert!(document.get("request_object_signing_alg_values_supported").is_none());
    }

    async fn every_address_is_absolute_below_the_issuer_and_answers_r1_r23_r28_r73(world: World) {
        for path in [OPENID, OAUTH] {
            let document = world.get(path).await.json();
            let issuer = document["issuer"].as_str().unwrap().to_owned();
            assert_eq!(issuer, world.base);
            let addresses: Vec<(&String, &str)> = document
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, _)| name.ends_with("_endpoint") || name.ends_with("_uri"))
                .map(|(name, value)| (name, value.as_str().unwrap()))
                .collect();
            assert!(addresses.len() >= 5, "{addresses:?}");
            for (name, address) in addresses {
                assert!(address.starts_with(&format!("{issuer}/")), "{name}: {address}");
                let url = url::Url::parse(address).unwrap();
                assert!(url.query().is_none() && url.fragment().is_none(), "{name}: {address}");
                assert_eq!(url.as_str(), address, "{name} is written canonically");
                let status = world.http.get(address).send().await.unwrap().status().as_u16();
                assert!(status != 404 && status < 500, "{name} answers {status}");
            }
        }
        let document = world.get(OPENID).await.json();
        for name in ["userinfo_endpoint", "end_session_endpoint"] {
            assert!(document[name].is_string(), "{name}");
        }
        let keys = world.http.get(document["jwks_uri"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(keys.status(), 200);
    }

    async fn only_what_is_safe_and_there_is_offered_s_m2_s_m3_s_m4_r27_r29_c20(world: World) {
        for path in [OPENID, OAUTH] {
            let document = world.get(path).await.json();
            assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]), "{path}");
            assert_eq!(document["response_types_supported"], json!(["code"]), "{path}");
            assert_eq!(document["authorization_response_iss_parameter_supported"], json!(true), "{path}");
            assert_eq!(
                words(&document, "response_modes_supported"),
                BTreeSet::from(["query", "form_post"].map(str::to_owned))
            );
            let grants = words(&document, "grant_types_supported");
            assert_eq!(
                grants,
                BTreeSet::from(
                    [
                        "authorization_code",
                        "refresh_token",
                        "client_credentials",
                        "urn:ietf:params:oauth:grant-type:jwt-bearer",
                        "urn:ietf:params:oauth:grant-type:token-exchange",
                    ]
                    .map(str::to_owned)
                )
            );
            let methods = words(&document, "token_endpoint_auth_methods_supported");
            assert_eq!(
                methods,
                BTreeSet::from(
                    ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
                        .map(str::to_owned)
                )
            );
            assert!(!has(&document, "introspection_endpoint_auth_methods_supported", "none"), "S-N1");
            // RFC 6749 §3.3: each is one scope token.
            for scope in words(&document, "scopes_supported") {
                assert!(
                    !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)),
                    "{scope}"
                );
            }
            assert!(
                has(&document, "scopes_supported", "openid")
                    && has(&document, "scopes_supported", "offline_access")
            );
            for (name, value) in document.as_object().unwrap() {
                for word in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    // A client may share a secret to sign its assertions with; nothing of ours is signed so.
                    let of_clients = name.ends_with("_endpoint_auth_signing_alg_values_supported");
                    let banned = word == "RSA1_5"
                        || (word.starts_with("HS") && !of_clients)
                        || (name.contains("_alg_") && word == "none");
                    assert!(
                        !banned && word != "password" && word != "implicit",
                        "{path}: {name} offers {word}"
                    );
                }
            }
        }
        let document = world.get(OPENID).await.json();
        let offered = words(&document, "id_token_signing_alg_values_supported");
        assert_eq!(offered, BTreeSet::from(["RS256", "ES256", "EdDSA"].map(str::to_owned)));
        let oauth = world.get(OAUTH).await.json();
        for (name, value) in oauth.as_object().unwrap() {
            assert_eq!(document.get(name), Some(value), "{name}: the two documents agree");
        }
    }

    async fn the_issuer_is_the_same_bytes_everywhere_s_m1_c18(world: World) {
        let issuer = world.base.clone();
        for path in [OPENID, OAUTH] {
            let spoofed = world
                .http
                .get(world.url(path))
                .header("host", "evil.example")
                .header("x-forwarded-host", "evil.example")
                .header("x-forwarded-proto", "https")
                .header("forwarded", "host=evil.example;proto=https");
            let answer = spoofed.send().await.unwrap().text().await.unwrap();
            assert!(!answer.contains("evil.example"), "{answer}");
            let document: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(document["issuer"], issuer.as_str());
        }
        let client = world.web_client().await;
        world.add_user("ada").await;
        let browser = world.browser();
        let tokens = browser.tokens(&world, &client, &[], "ada").await;
        assert_eq!(claims(tokens.id())["iss"], issuer.as_str());
        assert_eq!(claims(&tokens.access)["iss"], issuer.as_str());
        assert_eq!(world.introspect(&client, &tokens.access).await["iss"], issuer.as_str());
        let callback = browser.authorize(&authorize_path(&client, &[]), "ada").await;
        assert_eq!(callback.get("iss"), Some(issuer.as_str()));
        let refused = browser.open(&authorize_path(&client, &[("response_type", "token")])).await.callback();
        assert_eq!(
            (refused.error(), refused.get("iss")),
            ("unsupported_response_type", Some(issuer.as_str()))
        );
    }

    async fn refresh_tokens_are_listed_and_given_to_clients_that_are_registered_for_them_r59(world: World) {
        let document = world.get(OPENID).await.json();
        assert!(has(&document, "grant_types_supported", "refresh_token"));
        world.add_user("ada").await;
        let browser = world.browser();
        let with = world.add_client(json!({"grant_types": ["authorization_code", "refresh_token"]})).await;
        let without = world.add_client(json!({"grant_types": ["authorization_code"]})).await;
        assert!(browser.tokens(&world, &with, &[], "ada").await.refresh.is_some());
        assert!(browser.tokens(&world, &without, &[], "ada").await.refresh.is_none());
    }

    async fn every_algorithm_that_is_offered_has_a_key_c21(world: World) {
        let document = world.get(OPENID).await.json();
        let keys = offline::key_set(&world).await;
        let of_keys: BTreeSet<String> = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["alg"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words(&document, "id_token_signing_alg_values_supported"), of_keys);
        assert_eq!(words(&document, "userinfo_signing_alg_values_supported"), of_keys);
    }
}

/// The database does not matter to metadata, so one is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_issuer_is_https_throughout_r21_r22_r23_r73_s_m1() {
    let issuer = "https://id.example.com:8443";
    let clock = Clock::manual(Timestamp::from_secs(START));
    let world =
        World::with(On::Sqlite, clock, |s| s.public_url = Issuer::parse(issuer).unwrap()).await.unwrap();
    for path in [OPENID, OAUTH] {
        let document = world.get(path).await.json();
        assert_eq!(document["issuer"], issuer);
        for (name, value) in document.as_object().unwrap() {
            if name.ends_with("_endpoint") || name.ends_with("_uri") {
                assert!(value.as_str().unwrap().starts_with(&format!("{issuer}/")), "{name}: {value}");
            }
        }
    }
}

#[test]
fn a_start_with_an_issuer_that_is_not_one_is_refused_r22_s_m1() {
    for (text, expected) in [
        ("http://id.example.com", "plain http"),
        ("http://10.0.0.1:8080", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("https://id.example.com/?a=b", "not allowed"),
        ("https://id.example.com/#a", "not allowed"),
        ("https://user:pass@id.example.com", "not allowed"),
        ("https://id.example.com/tenant", "a path"),
        ("https://ID.example.com", "write it as"),
        ("https://id.example.com:443", "write it as"),
        ("ftp://id.example.com", "scheme"),
        ("id.example.com", "not a URL"),
    ] {
        let environment = [("CNX_PUBLIC_URL".to_owned(), text.to_owned())];
        let refused = config::load(None, environment.into_iter(), None).unwrap_err().to_string();
        assert!(refused.contains("CNX_PUBLIC_URL") && refused.contains(expected), "{text}: {refused}");
    }
    for text in ["https://id.example.com", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1"] {
        let environment = [("CNX_PUBLIC_URL".to_owned(), text.to_owned())];
        let loaded = config::load(None, environment.into_iter(), None).unwrap();
        assert_eq!(loaded.settings.public_url.as_str(), text);
    }
}
