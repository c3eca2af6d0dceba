//! The Rust crates `openidconnect` and `oauth2` as relying parties that know nothing of us but the issuer's address.

use cnx::base::time::Clock;
use oauth2::{
    AsyncHttpClient, HttpRequest, HttpResponse, IntrospectionUrl, RevocationUrl, StandardRevocableToken,
    TokenIntrospectionResponse as _, TokenUrl,
};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
    CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    CoreUserInfoClaims,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalProviderMetadata, AuthorizationCode, ClientId, ClientSecret,
    CsrfToken, EndSessionUrl, IssuerUrl, LogoutRequest, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PostLogoutRedirectUrl, ProviderMetadata, RedirectUrl, Scope, SubjectIdentifier, TokenResponse as _,
    UserInfoResponseType,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::world::{CALLBACK, On, TestClient, World};

/// What the crate's own metadata type does not read (RFC 8414, RP-Initiated Logout).
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Beyond {
    introspection_endpoint: String,
    revocation_endpoint: String,
    end_session_endpoint: String,
    code_challenge_methods_supported: Vec<String>,
}

impl AdditionalProviderMetadata for Beyond {}

type Metadata = ProviderMetadata<
    Beyond,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The crates bring no HTTP client of their own here; this is the one that they are given.
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, reqwest::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let mut request = request;
            // The crate revokes over https only, and knows no loopback: it is told https, and the wire is plain.
            let plain = request.uri().to_string().replacen("https://localhost:", "http://localhost:", 1);
            *request.uri_mut() = plain.parse().unwrap_or_else(|_| unreachable!("{plain}"));
            let answer = self.0.execute(reqwest::Request::try_from(request)?).await?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?.to_vec();
            Ok(response)
        })
    }
}

fn secret(client: &TestClient) -> Option<ClientSecret> {
    client.secret.clone().map(ClientSecret::new)
}

async fn discover(world: &World, http: &Http) -> Metadata {
    let issuer = IssuerUrl::new(world.base.clone()).unwrap();
    Metadata::discover_async(issuer, http).await.unwrap()
}

#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
fn skipped() {
    eprintln!("skipped: TEST_POSTGRES_URL is not set");
}

/// Runs `act` on both databases, with the machine's clock: the crates look at the times of tokens.
async fn on_both<F: Future<Output = ()>>(act: impl Fn(World) -> F) {
    for on in [On::Sqlite, On::Postgres] {
        match World::with(on, Clock::System, |_| {}).await {
            Some(world) => act(world).await,
            None => skipped(),
        }
    }
}

/// Sign-in, ID token, userinfo, refresh, sign-out, as the crate's documentation shows them.
async fn relying_party(world: &World, client: &TestClient, alg: CoreJwsSigningAlgorithm) {
    let http = Http(world.http.clone());
    let metadata = discover(world, &http).await;
    assert_eq!(metadata.additional_metadata().code_challenge_methods_supported, ["S256"]);
    assert!(metadata.id_token_signing_alg_values_supported().contains(&alg));
    let end_session = metadata.additional_metadata().end_session_endpoint.clone();
    let rp = CoreClient::from_provider_metadata(metadata, ClientId::new(client.id.clone()), secret(client))
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = rp
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scopes(["profile", "email", "offline_access"].map(|word| Scope::new(word.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let browser = world.browser();
    let callback = browser.authorize(url.as_str(), "ada").await;
    assert_eq!(callback.get("state"), Some(state.secret().as_str()));
    assert_eq!(callback.get("iss"), Some(world.base.as_str()));

    let code = AuthorizationCode::new(callback.code());
    let tokens =
        rp.exchange_code(code).unwrap().set_pkce_verifier(verifier).request_async(&http).await.unwrap();
    let id_token = tokens.id_token().unwrap();
    let id_verifier = rp.id_token_verifier();
    let claims = id_token.claims(&id_verifier, &nonce).unwrap();
    assert_eq!(id_token.signing_alg().unwrap(), &alg);
    let hash = AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg().unwrap(),
        id_token.signing_key(&id_verifier).unwrap(),
    );
    assert_eq!(claims.access_token_hash(), Some(&hash.unwrap()));
    id_token.claims(&id_verifier, &Nonce::new("another".to_owned())).unwrap_err();
    assert_eq!(tokens.expires_in().map(|life| life.as_secs()), Some(600));
    assert_eq!(tokens.scopes().map(Vec::len), Some(4));

    let info: CoreUserInfoClaims = rp
        .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
    assert_eq!(info.email().map(|email| email.as_str()), Some("ada@example.com"));
    assert_eq!(info.preferred_username().map(|name| name.as_str()), Some("ada"));

    let again = rp
        .exchange_refresh_token(tokens.refresh_token().unwrap())
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
    let no_nonce = |nonce: Option<&Nonce>| nonce.map_or(Ok(()), |_| Err("a nonce at a refresh".to_owned()));
    let refreshed = again.id_token().unwrap().claims(&id_verifier, no_nonce).unwrap();
    assert_eq!((refreshed.subject(), refreshed.auth_time()), (claims.subject(), claims.auth_time()));
    assert_ne!(again.refresh_token().unwrap().secret(), tokens.refresh_token().unwrap().secret());

    let logout = LogoutRequest::from(EndSessionUrl::new(end_session).unwrap())
        .set_id_token_hint(id_token)
        .set_post_logout_redirect_uri(
            PostLogoutRedirectUrl::new("https://app.example/bye".to_owned()).unwrap(),
        )
        .set_state(CsrfToken::new("s".to_owned()));
    let reply = browser.open(logout.http_get_url().as_str()).await;
    assert_eq!(reply.location().as_deref(), Some("https://app.example/bye?state=s"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openidconnect_signs_a_person_in_with_every_kind_of_client_c18_c20_c21() {
    on_both(|world| async move {
        world.add_user("ada").await;
        for (method, registered, alg) in [
            ("client_secret_basic", "RS256", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
            ("client_secret_post", "ES256", CoreJwsSigningAlgorithm::EcdsaP256Sha256),
            ("none", "EdDSA", CoreJwsSigningAlgorithm::EdDsa),
        ] {
            let client = world
                .add_client(json!({
                    "token_endpoint_auth_method": method, "id_token_signed_response_alg": registered,
                    "post_logout_redirect_uris": ["https://app.example/bye"]
                }))
                .await;
            relying_party(&world, &client, alg).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openidconnect_reads_signed_userinfo_r70() {
    on_both(|world| async move {
        let user = world.add_user("ada").await;
        let http = Http(world.http.clone());
        // The crate takes no other algorithm here; `user_info` looks at the others.
        for alg in ["RS256"] {
            let client = world.add_client(json!({"userinfo_signed_response_alg": alg})).await;
            let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
            let metadata = discover(&world, &http).await;
            let rp = CoreClient::from_provider_metadata(
                metadata,
                ClientId::new(client.id.clone()),
                secret(&client),
            );
            let ask = |subject: String| {
                rp.user_info(AccessToken::new(tokens.access.clone()), Some(SubjectIdentifier::new(subject)))
                    .unwrap()
                    .require_signed_response(true)
                    .set_response_type(UserInfoResponseType::Jwt)
            };
            let info: CoreUserInfoClaims = ask(user.id.to_string()).request_async(&http).await.unwrap();
            assert_eq!(info.email().map(|email| email.as_str()), Some("ada@example.com"), "{alg}");
            let other: Result<CoreUserInfoClaims, _> = ask("another".to_owned()).request_async(&http).await;
            other.unwrap_err();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openidconnect_refuses_us_under_another_name_c18() {
    on_both(|world| async move {
        let http = Http(world.http.clone());
        // The same server, reached by its address: what it says of itself is not what was asked for.
        let other = world.base.replace("localhost", "127.0.0.1");
        for issuer in [format!("{}/", world.base), other] {
            let refused = Metadata::discover_async(IssuerUrl::new(issuer).unwrap(), &http).await.unwrap_err();
            assert!(refused.to_string().contains("alidation"), "{refused}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth2_gets_asks_about_and_gives_back_tokens_c24_c25() {
    on_both(|world| async move {
        world.add_user("ada").await;
        let http = Http(world.http.clone());
        let metadata = discover(&world, &http).await;
        let token_url = TokenUrl::new(metadata.token_endpoint().unwrap().to_string()).unwrap();
        let more = metadata.additional_metadata();
        for auth in [oauth2::AuthType::BasicAuth, oauth2::AuthType::RequestBody] {
            let client = world.web_client().await;
            let rp = oauth2::basic::BasicClient::new(ClientId::new(client.id.clone()))
                .set_client_secret(secret(&client).unwrap())
                .set_auth_type(auth)
                .set_token_uri(token_url.clone())
                .set_introspection_url(IntrospectionUrl::new(more.introspection_endpoint.clone()).unwrap())
                .set_revocation_url(
                    RevocationUrl::new(more.revocation_endpoint.replacen("http:", "https:", 1)).unwrap(),
                );
            let own = rp
                .exchange_client_credentials()
                .add_scope(Scope::new("read".to_owned()))
                .request_async(&http)
                .await
                .unwrap();
            assert!(own.refresh_token().is_none());
            let seen = rp.introspect(own.access_token()).request_async(&http).await.unwrap();
            assert!(seen.active());
            assert_eq!(seen.sub(), Some(client.id.as_str()));
            assert_eq!(
                seen.scopes().map(|all| all.iter().map(|s| s.as_str()).collect::<Vec<_>>()),
                Some(vec!["read"])
            );
            rp.revoke_token(own.access_token().into()).unwrap().request_async(&http).await.unwrap();
            assert!(!rp.introspect(own.access_token()).request_async(&http).await.unwrap().active());

            let tokens = world.browser().tokens(&world, &client, &[], "ada").await;
            let refresh = oauth2::RefreshToken::new(tokens.refresh().to_owned());
            let next = rp.exchange_refresh_token(&refresh).request_async(&http).await.unwrap();
            let newest = next.refresh_token().unwrap().clone();
            rp.revoke_token(StandardRevocableToken::from(&newest))
                .unwrap()
                .request_async(&http)
                .await
                .unwrap();
            let refused = rp.exchange_refresh_token(&newest).request_async(&http).await.unwrap_err();
            let oauth2::RequestTokenError::ServerResponse(error) = refused else { panic!("{refused:?}") };
            assert_eq!(error.error(), &oauth2::basic::BasicErrorResponseType::InvalidGrant);
            assert!(!rp.introspect(next.access_token()).request_async(&http).await.unwrap().active());
        }
        let wrong = oauth2::basic::BasicClient::new(ClientId::new("nobody".to_owned()))
            .set_client_secret(ClientSecret::new("wrong".to_owned()))
            .set_token_uri(token_url);
        let refused = wrong.exchange_client_credentials().request_async(&http).await.unwrap_err();
        let oauth2::RequestTokenError::ServerResponse(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.error(), &oauth2::basic::BasicErrorResponseType::InvalidClient);
    })
    .await;
}
