//! What the pure parts of a request cost, each by itself, without HTTP and without a database:
//!
//!     cargo bench --bench pure                  # or: cargo bench --bench pure -- sign
//!
//! Criterion keeps the figures of the run before under `target/criterion` and says what changed.

use std::error::Error;
use std::hint::black_box;

use cnx::api_key::format;
use cnx::api_key::permission::Permissions;
use cnx::api_key::window::Window;
use cnx::base::algorithm::Algorithm;
use cnx::base::entropy::Entropy;
use cnx::base::id::FamilyId;
use cnx::base::seal::{MacPurpose, Vault};
use cnx::base::secret::Secret;
use cnx::base::time::{Clock, Timestamp};
use cnx::jose::issue::issue;
use cnx::jose::keyring::{KeyPolicy, Keyring, StoredKey};
use cnx::jose::signing_key::SigningKey;
use cnx::jose::verify::{Among, verify};
use cnx::oauth::access_token::{self, AccessClaims};
use cnx::oauth::metadata;
use cnx::oauth::params::Params;
use cnx::oauth::refresh;
use cnx::oauth::scope::Scope;
use criterion::{BatchSize, Criterion};

/// The moment at which everything happens.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ISSUER: &str = "https://identity.example.com";
/// As `signing.rsa_bits` is unless the settings say otherwise.
const RSA_BITS: u32 = 3072;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let entropy = Entropy::system();
    let vault = Vault::new(&Secret::new([7; 32]));
    parse(&mut criterion)?;
    scope(&mut criterion)?;
    key_format(&mut criterion, &vault, &entropy)?;
    window(&mut criterion);
    seal(&mut criterion, &vault, &entropy)?;
    sign(&mut criterion, &entropy)?;
    criterion.final_summary();
    Ok(())
}

/// What a token request and a metadata request are made of.
fn parse(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let form = b"grant_type=authorization_code&code=cnx_ac_3Yc0uRZ1kq5&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback\
        &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    Params::parse(form).map_err(|error| format!("{error:?}"))?;
    criterion.bench_function("parse/form of a token request", |b| b.iter(|| Params::parse(black_box(form))));
    criterion.bench_function("write/OpenID configuration", |b| {
        b.iter(|| {
            metadata::openid_configuration(black_box(ISSUER), &Algorithm::ALL).map(|json| json.to_string())
        });
    });
    Ok(())
}

fn scope(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    const TEXT: &str = "openid profile email offline_access";
    let (held, asked) = (Scope::parse(TEXT)?, Scope::parse("openid email")?);
    criterion.bench_function("scope/parse", |b| b.iter(|| Scope::parse(black_box(TEXT))));
    criterion.bench_function("scope/covers", |b| b.iter(|| black_box(&held).covers(black_box(&asked))));
    let held = Permissions::parse(["instances:read", "volumes:*", "networks:write"].into_iter())?;
    criterion.bench_function("scope/permission of a key", |b| {
        b.iter(|| black_box(&held).covers(black_box("volumes:delete")));
    });
    Ok(())
}

/// A key is read, and found by its keyed hash.
fn key_format(criterion: &mut Criterion, vault: &Vault, entropy: &Entropy) -> Result<(), Box<dyn Error>> {
    let environment = "prod".parse()?;
    let key = format::mint(&environment, format::new_id(entropy), entropy);
    format::read(key.reveal()).ok_or("a key that was minted cannot be read")?;
    criterion.bench_function("key format/read", |b| b.iter(|| format::read(black_box(key.reveal()))));
    criterion.bench_function("key format/mint", |b| {
        b.iter(|| format::mint(&environment, format::new_id(entropy), entropy));
    });
    criterion.bench_function("key format/fingerprint", |b| {
        b.iter(|| vault.fingerprint(MacPurpose::ApiKey, black_box(key.reveal())));
    });
    Ok(())
}

/// One use after the other in one second, and a use in each of many seconds.
fn window(criterion: &mut Criterion) {
    let mut busy = Window::new(NOW);
    criterion.bench_function("window/spend within a second", |b| b.iter(|| busy.spend(u32::MAX, 1, NOW)));
    let (mut steady, mut now) = (Window::new(NOW), NOW);
    criterion.bench_function("window/spend a second later", |b| {
        b.iter(|| {
            now = now.plus(1);
            steady.spend(u32::MAX, 1, now)
        });
    });
}

fn seal(criterion: &mut Criterion, vault: &Vault, entropy: &Entropy) -> Result<(), Box<dyn Error>> {
    let claims = claims(entropy)?;
    let token = access_token::seal_opaque(vault, entropy, &claims);
    access_token::open_opaque(vault, token.reveal()).ok_or("a token that was sealed cannot be opened")?;
    criterion.bench_function("seal/opaque access token", |b| {
        b.iter(|| access_token::seal_opaque(vault, entropy, black_box(&claims)));
    });
    criterion.bench_function("open/opaque access token", |b| {
        b.iter(|| access_token::open_opaque(vault, black_box(token.reveal())));
    });
    let (family, salt) = (FamilyId::new(&Clock::System, entropy), entropy.bytes::<16>());
    let token = refresh::mint(vault, family, 1, &salt);
    criterion.bench_function("seal/refresh token", |b| {
        b.iter(|| refresh::mint(vault, black_box(family), 1, &salt));
    });
    criterion.bench_function("open/refresh token", |b| b.iter(|| refresh::read(black_box(&token))));
    Ok(())
}

/// Whole access tokens: header, claims and signature, written and read.
fn sign(criterion: &mut Criterion, entropy: &Entropy) -> Result<(), Box<dyn Error>> {
    let keyring = keyring(entropy)?;
    let claims = claims(entropy)?;
    for alg in Algorithm::ALL {
        let token = issue(&keyring, alg, access_token::TYP, &claims)?;
        let read = |token: &str| verify::<AccessClaims>(&keyring, token, access_token::TYP, Among::Published);
        read(&token).ok_or_else(|| format!("a token that was signed with {alg} does not verify"))?;
        criterion.bench_function(&format!("sign/{alg} access token"), |b| {
            b.iter(|| issue(&keyring, alg, access_token::TYP, black_box(&claims)));
        });
        criterion.bench_function(&format!("verify/{alg} access token"), |b| {
            b.iter_batched(|| token.clone(), |token| read(&token).is_some(), BatchSize::SmallInput);
        });
    }
    Ok(())
}

fn keyring(entropy: &Entropy) -> Result<Keyring, Box<dyn Error>> {
    let mut keys = Vec::new();
    for alg in Algorithm::ALL {
        let new = SigningKey::generate(alg, RSA_BITS, entropy)?;
        keys.push(StoredKey {
            kid: new.kid,
            alg,
            generation: 1,
            private_der: Some(new.private_der),
            public_jwk: new.public_jwk,
            created_at: NOW.minus(60),
            sign_from: NOW.minus(60),
            revoked_at: None,
        });
    }
    let policy = KeyPolicy {
        rotate_every: 7_776_000,
        propagation: 600,
        longest_token_life: 3_600,
        hint_memory: 7_776_000,
    };
    Ok(Keyring::build(&keys, &policy, NOW)?)
}

fn claims(entropy: &Entropy) -> Result<AccessClaims, Box<dyn Error>> {
    Ok(AccessClaims {
        iss: ISSUER.to_owned(),
        sub: "01a21876-1168-725a-9c87-250e6ef7ee2e".to_owned(),
        aud: vec!["https://api.example.com".to_owned()],
        exp: NOW.plus(600).as_secs(),
        iat: NOW.as_secs(),
        jti: access_token::jti_of_family(FamilyId::new(&Clock::System, entropy), entropy),
        client_id: "app_0RqNWbFafSnn7UwDd".parse()?,
        scope: Scope::parse("openid profile email")?,
        auth_time: Some(NOW.minus(30).as_secs()),
        acr: Some("urn:cloudnexus:acr:password".to_owned()),
        act: None,
    })
}
