//! Tokens checked as others check them, offline and with code that is not ours: `openidconnect` reads ID tokens, josekit
//! reads access tokens (RFC 9068 §4). Both are given nothing but the published key set.

use std::str::FromStr as _;

use chrono::DateTime;
use cnx::base::algorithm::Algorithm;
use cnx::base::encoding::{base64url, from_base64url};
use josekit::jwk::Jwk;
use josekit::jws::{ES256, EdDSA, JwsSigner, JwsVerifier, RS256};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
};
use openidconnect::{AccessToken, AccessTokenHash, ClientId, IssuerUrl, JsonWebKey as _, Nonce};
use serde_json::Value;

use crate::world::{World, jwt_part};

/// The key set as it is published now.
pub async fn key_set(world: &World) -> Value {
    key_set_of(world, &world.base).await
}

/// The key set of the node at `base`.
pub async fn key_set_of(world: &World, base: &str) -> Value {
    let reply = world.http.get(format!("{base}/.well-known/jwks.json")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    serde_json::from_str(&reply.text().await.unwrap()).unwrap()
}

/// The ids in a key set.
pub fn kids(keys: &Value) -> Vec<String> {
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The id of the key that signed a token.
pub fn kid(token: &str) -> String {
    jwt_part(token, 0)["kid"].as_str().unwrap().to_owned()
}

/// What a relying party expects of an ID token.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client: &'a str,
    pub nonce: Option<&'a str>,
    pub access_token: &'a str,
    pub now: i64,
}

/// The subject of an ID token that `openidconnect` accepts, its `at_hash` included; otherwise its reason.
pub fn verify_id_token(keys: &Value, token: &str, expected: &Expected<'_>) -> Result<String, String> {
    let keys: CoreJsonWebKeySet = serde_json::from_value(keys.clone()).map_err(|e| e.to_string())?;
    let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|e| e.to_string())?;
    let now = DateTime::from_timestamp(expected.now, 0).ok_or("a moment outside time")?;
    let verifier =
        CoreIdTokenVerifier::new_public_client(ClientId::new(expected.client.to_owned()), issuer, keys)
            .set_allowed_algs([
                CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
                CoreJwsSigningAlgorithm::EcdsaP256Sha256,
                CoreJwsSigningAlgorithm::EdDsa,
            ])
            .set_time_fn(move || now);
    let token = CoreIdToken::from_str(token).map_err(|e| e.to_string())?;
    let nonce = |found: Option<&Nonce>| {
        let found = found.map(|nonce| nonce.secret().as_str());
        if found == expected.nonce { Ok(()) } else { Err(format!("the nonce is {found:?}")) }
    };
    let claims = token.claims(&verifier, nonce).map_err(|e| e.to_string())?;
    let hash = AccessTokenHash::from_token::<CoreJsonWebKey>(
        &AccessToken::new(expected.access_token.to_owned()),
        token.signing_alg().map_err(|e| e.to_string())?,
        token.signing_key(&verifier).map_err(|e| e.to_string())?,
    )
    .map_err(|e| e.to_string())?;
    if claims.access_token_hash() != Some(&hash) {
        return Err(format!("at_hash is {:?}, not {hash:?}", claims.access_token_hash()));
    }
    Ok(claims.subject().to_string())
}

/// The claims of a JWT access token that josekit accepts with the key of the set that the header names.
pub fn verify_access_token(keys: &Value, token: &str) -> Option<Value> {
    let header = jwt_part(token, 0);
    let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == header["kid"])?;
    let jwk = Jwk::from_map(key.as_object()?.clone()).ok()?;
    let verifier: Box<dyn JwsVerifier> = match key["alg"].as_str()? {
        "RS256" => Box::new(RS256.verifier_from_jwk(&jwk).ok()?),
        "ES256" => Box::new(ES256.verifier_from_jwk(&jwk).ok()?),
        "EdDSA" => Box::new(EdDSA.verifier_from_jwk(&jwk).ok()?),
        _ => return None,
    };
    if header["typ"] != "at+jwt" {
        return None;
    }
    let (payload, _) = josekit::jwt::decode_with_verifier(token, verifier.as_ref()).ok()?;
    Some(Value::Object(payload.claims_set().clone()))
}

/// Whether `openidconnect` finds a good signature on a JWT, by the key of the set that the header names.
pub fn is_signed(keys: &Value, token: &str) -> bool {
    let keys: CoreJsonWebKeySet = serde_json::from_value(keys.clone()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let alg: CoreJwsSigningAlgorithm = serde_json::from_value(jwt_part(token, 0)["alg"].clone()).unwrap();
    let key = keys.keys().iter().find(|key| key.key_id().is_some_and(|id| **id == kid(token)));
    let signature = from_base64url(signature).unwrap();
    key.is_some_and(|key| key.verify_signature(&alg, signed.as_bytes(), &signature).is_ok())
}

/// A compact JWS of these parts with a signature that somebody else made.
pub fn compact(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", base64url(&signature))
}

/// A compact JWS of these parts, signed by josekit with a private key in PEM.
pub fn signed_with_pem(alg: Algorithm, pem: &str, header: &Value, claims: &Value) -> String {
    let signer: Box<dyn JwsSigner> = match alg {
        Algorithm::Rs256 => Box::new(RS256.signer_from_pem(pem).unwrap()),
        Algorithm::Es256 => Box::new(ES256.signer_from_pem(pem).unwrap()),
        Algorithm::EdDsa => Box::new(EdDSA.signer_from_pem(pem).unwrap()),
    };
    compact(header, claims, |message| signer.sign(message).unwrap())
}

/// Forgeries of a good token: no algorithm, HMAC with a public key, a foreign key, changed claims, keys in the header,
/// extensions, cut and doubled parts. Each with a name.
pub fn forgeries(keys: &Value, token: &str) -> Vec<(&'static str, String)> {
    let (header, claims) = (jwt_part(token, 0), jwt_part(token, 1));
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let public = ["x", "n"].iter().find_map(|name| from_base64url(key[name].as_str()?)).unwrap();
    let hmac = |secret: &[u8], message: &[u8]| {
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
    };
    let foreign = |message: &[u8]| {
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        ring::signature::Ed25519KeyPair::sign(&pair, message).as_ref().to_vec()
    };
    let mut later = claims.clone();
    later["exp"] = (claims["exp"].as_i64().unwrap() + 1).into();
    let parts: Vec<&str> = token.split('.').collect();
    let signature = from_base64url(parts[2]).unwrap();
    let mut flipped = signature.clone();
    flipped[0] ^= 1;
    let none = |name: &'static str| (name, compact(&with("alg", name.into()), &claims, |_| Vec::new()));
    vec![
        none("none"),
        none("None"),
        none("nOnE"),
        ("none, no signature part", format!("{}.{}.", parts[0], parts[1])),
        ("HS256 with the public key", compact(&with("alg", "HS256".into()), &claims, |m| hmac(&public, m))),
        (
            "HS256 with the JWKS",
            compact(&with("alg", "HS256".into()), &claims, |m| hmac(keys.to_string().as_bytes(), m)),
        ),
        ("a foreign key under our kid", compact(&header, &claims, foreign)),
        ("a foreign key of another algorithm", compact(&with("alg", "EdDSA".into()), &claims, foreign)),
        ("an unknown kid", compact(&with("kid", "nobody".into()), &claims, |_| signature.clone())),
        ("a key in the header", compact(&with("jwk", key.clone()), &claims, foreign)),
        ("a critical extension", compact(&with("crit", vec!["exp"].into()), &claims, |_| signature.clone())),
        ("changed claims", format!("{}.{}.{}", parts[0], base64url(later.to_string().as_bytes()), parts[2])),
        ("a flipped signature", format!("{}.{}.{}", parts[0], parts[1], base64url(&flipped))),
        ("a short signature", format!("{}.{}.{}", parts[0], parts[1], base64url(&signature[1..]))),
        (
            "an all-zero signature",
            format!("{}.{}.{}", parts[0], parts[1], base64url(&vec![0; signature.len()])),
        ),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{token}.{}", parts[2])),
        ("a letter more", format!("{token}A")),
        ("a letter less", token[..token.len() - 1].to_owned()),
    ]
}
