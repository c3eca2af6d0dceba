//! `crypto RSA_BITS ARGON2_KIB ARGON2_PASSES ARGON2_LANES`: what each step of cryptography costs on one core, in microseconds of
//! CPU time, as one line of JSON. Each step is done by the library and in the way that the server does it: RSA is signed by OpenSSL,
//! all else is ring's, a sealed value has a key of its own derived from 16 random bytes.
//!
//! CPU time and not the clock's: what else runs on the machine then disturbs little.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use ring::{aead, digest, hmac};

/// Of so many runs the median counts.
const RUNS: usize = 5;
/// A run goes on for so long, and for one step at least.
const RUN: Duration = Duration::from_millis(200);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [rsa_bits, memory, passes, lanes] = numbers[..] else {
        eprintln!("usage: crypto RSA_BITS ARGON2_KIB ARGON2_PASSES ARGON2_LANES");
        std::process::exit(2);
    };
    let mut found = hashes()?;
    found.extend(elliptic()?);
    found.extend(rsa(rsa_bits)?);
    found.push(("argon2id", argon2id(memory, passes, lanes)?));
    let members: Vec<String> = found.iter().map(|(name, cost)| format!("\"{name}\": {cost:.3}")).collect();
    println!("{{{}}}", members.join(", "));
    Ok(())
}

/// Nanoseconds of CPU time that this thread had.
fn cpu_time() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// Microseconds of one step.
fn cost(mut step: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    step()?;
    let mut costs = Vec::new();
    for _ in 0..RUNS {
        let (cpu, began, mut steps) = (cpu_time()?, Instant::now(), 0_u32);
        while steps == 0 || began.elapsed() < RUN {
            // Many to a look at the clock, which costs as much as the quickest of them.
            for _ in 0..16 {
                step()?;
            }
            steps += 16;
        }
        costs.push((cpu_time()? - cpu) as f64 / 1000.0 / f64::from(steps));
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs[RUNS / 2])
}

/// Keyed hashes of what a request brings, digests of what an answer holds, and sealed claims.
fn hashes() -> Outcome<Vec<(&'static str, f64)>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    let token = [b'x'; 56];
    let hmac_cost = cost(|| {
        black_box(hmac::sign(&key, black_box(&token)));
        Ok(())
    })?;
    let digest_cost = cost(|| {
        black_box(digest::digest(&digest::SHA256, black_box(&[b'x'; 43])));
        Ok(())
    })?;
    let random = SystemRandom::new();
    let claims = [b'x'; 300];
    let seal_cost = cost(|| {
        black_box(seal(&key, &random, &claims)?);
        Ok(())
    })?;
    let (salt, sealed) = seal(&key, &random, &claims)?;
    let open_cost = cost(|| {
        let mut body = sealed.clone();
        let (message, nonce) = message_key(&key, &salt)?;
        black_box(
            message.open_in_place(nonce, aead::Aad::empty(), &mut body).map_err(|_| "no value was opened")?,
        );
        Ok(())
    })?;
    Ok(vec![("hmac", hmac_cost), ("sha256", digest_cost), ("seal", seal_cost), ("open", open_cost)])
}

fn seal(root: &hmac::Key, random: &SystemRandom, plain: &[u8]) -> Outcome<([u8; 16], Vec<u8>)> {
    let mut salt = [0; 16];
    random.fill(&mut salt).map_err(|_| "no random bytes")?;
    let (key, nonce) = message_key(root, &salt)?;
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut sealed)
        .map_err(|_| "no value was sealed")?;
    Ok((salt, sealed))
}

/// A key and a nonce for one message.
fn message_key(root: &hmac::Key, salt: &[u8]) -> Outcome<(aead::LessSafeKey, aead::Nonce)> {
    let derive = |number| {
        let mut context = hmac::Context::with_key(root);
        context.update(salt);
        context.update(&[number]);
        context.sign()
    };
    let (key, nonce) = (derive(1), derive(2));
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).map_err(|_| "no key")?;
    let nonce = aead::Nonce::try_assume_unique_for_key(&nonce.as_ref()[..12]).map_err(|_| "no nonce")?;
    Ok((aead::LessSafeKey::new(key), nonce))
}

/// What is signed and verified is as long as a token's header and claims.
const SIGNED: [u8; 400] = [b'x'; 400];

fn elliptic() -> Outcome<Vec<(&'static str, f64)>> {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| "no P-256 key")?;
    let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random)?;
    let sign_p256 = cost(|| {
        black_box(p256.sign(&random, &SIGNED).map_err(|_| "ES256 gave no signature")?);
        Ok(())
    })?;
    let signature = p256.sign(&random, &SIGNED).map_err(|_| "ES256 gave no signature")?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, p256.public_key().as_ref().to_vec());
    let verify_p256 =
        cost(|| Ok(public.verify(&SIGNED, signature.as_ref()).map_err(|_| "ES256 does not verify")?))?;

    let der = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| "no Ed25519 key")?;
    let ed25519 = Ed25519KeyPair::from_pkcs8(der.as_ref())?;
    let sign_ed25519 = cost(|| {
        black_box(ed25519.sign(&SIGNED));
        Ok(())
    })?;
    let signature = ed25519.sign(&SIGNED);
    let public = UnparsedPublicKey::new(&ED25519, ed25519.public_key().as_ref().to_vec());
    let verify_ed25519 =
        cost(|| Ok(public.verify(&SIGNED, signature.as_ref()).map_err(|_| "EdDSA does not verify")?))?;
    Ok(vec![
        ("sign ES256", sign_p256),
        ("verify ES256", verify_p256),
        ("sign EdDSA", sign_ed25519),
        ("verify EdDSA", verify_ed25519),
    ])
}

/// The server's own key has as many bits as its settings say; a client's key of 2,048 is what most have.
fn rsa(bits: u32) -> Outcome<Vec<(&'static str, f64)>> {
    let ours = PKey::from_rsa(Rsa::generate(bits)?)?;
    let sign = cost(|| {
        black_box(Signer::new(MessageDigest::sha256(), &ours)?.sign_oneshot_to_vec(&SIGNED)?);
        Ok(())
    })?;
    let verify_of = |key: PKey<openssl::pkey::Private>| {
        let signature = Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(&SIGNED)?;
        let public =
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.rsa()?.public_key_to_der_pkcs1()?);
        cost(|| Ok(public.verify(&SIGNED, &signature).map_err(|_| "RS256 does not verify")?))
    };
    let verify_client = verify_of(PKey::from_rsa(Rsa::generate(2048)?)?)?;
    Ok(vec![("sign RS256", sign), ("verify RS256", verify_of(ours)?), ("verify RS256 2048", verify_client)])
}

fn argon2id(memory: u32, passes: u32, lanes: u32) -> Outcome<f64> {
    let params = argon2::Params::new(memory, passes, lanes, None).map_err(|e| e.to_string())?;
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    cost(|| {
        Ok(hasher
            .hash_password_into(b"correct horse battery", b"0123456789abcdef", &mut out)
            .map_err(|e| e.to_string())?)
    })
}
