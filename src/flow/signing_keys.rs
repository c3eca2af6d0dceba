//! Our own signing keys rotate by themselves: what the plan of `jose/keyring.rs` asks for is done here, safely on many
//! nodes (the unique pair of algorithm and generation decides who made a key).

use crate::app::App;
use crate::base::algorithm::Algorithm;
use crate::base::fault::Fault;
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::jose::keyring::{Step, plan, successor};
use crate::jose::signing_key::SigningKey;
use crate::oauth::error::OAuthError;
use crate::store::signing_keys::{self, SigningKeyRow};

/// Does what is due: makes, wipes and forgets keys. Called at start, by a timer, and after a revocation.
pub async fn keep_current(app: &App) -> Result<(), OAuthError> {
    app.catch_up().await?;
    let now = app.now();
    let steps = plan(&app.stored_keys(), &Algorithm::ALL, &app.key_policy(), now);
    for step in steps {
        match step {
            Step::Make { .. } => {
                if let Some(row) = make(app, &step, now).await? {
                    app.store.write(move |conn| signing_keys::insert(conn, &row)).await?;
                }
            }
            Step::WipePrivate { kid } => {
                app.store.write(move |conn| signing_keys::wipe_private(conn, &kid, now)).await?;
            }
            Step::Forget { kid } => {
                app.store.write(move |conn| signing_keys::forget(conn, &kid, now)).await?;
            }
        }
    }
    app.catch_up().await?;
    Ok(())
}

/// Makes the next key of an algorithm: in force at once (`at_once`), or published first for as long as verifiers cache.
/// Returns its `kid`; `None` when another node made that generation at the same moment.
pub async fn rotate(app: &App, alg: Algorithm, at_once: bool) -> Result<Option<String>, OAuthError> {
    app.catch_up().await?;
    let now = app.now();
    let step = successor(&app.stored_keys(), alg, &app.key_policy(), now, at_once);
    let Some(row) = make(app, &step, now).await? else { return Ok(None) };
    let kid = row.kid.clone();
    let made = app.store.write(move |conn| signing_keys::insert(conn, &row)).await?;
    app.catch_up().await?;
    Ok(made.then_some(kid))
}

/// Revokes a key: nothing that it signed verifies from now on. Its successor is made first and enters in the same write, so
/// that there is no moment without a key. False for an unknown one.
pub async fn revoke(app: &App, kid: &str) -> Result<bool, OAuthError> {
    app.catch_up().await?;
    let now = app.now();
    let mut keys = app.stored_keys().as_ref().clone();
    for key in keys.iter_mut().filter(|k| k.kid == kid) {
        key.revoked_at = key.revoked_at.or(Some(now));
    }
    let mut rows = Vec::new();
    for step in plan(&keys, &Algorithm::ALL, &app.key_policy(), now) {
        rows.extend(make(app, &step, now).await?);
    }
    let revoked = kid.to_owned();
    let known = app
        .store
        .write(move |conn| {
            let known = signing_keys::revoke(conn, &revoked, now)?;
            for row in &rows {
                signing_keys::insert(conn, row)?;
            }
            Ok(known)
        })
        .await?;
    app.catch_up().await?;
    Ok(known)
}

/// Makes the key that a step asks for, sealed and ready to be written; `None` for a step that makes none.
async fn make(app: &App, step: &Step, now: Timestamp) -> Result<Option<SigningKeyRow>, OAuthError> {
    let Step::Make { alg, generation, sign_from } = *step else { return Ok(None) };
    let (bits, entropy) = (app.settings.signing.rsa_bits, app.entropy.clone());
    let made = tokio::task::spawn_blocking(move || SigningKey::generate(alg, bits, &entropy))
        .await
        .map_err(|e| OAuthError::Server(Fault::new("making a signing key", e)))?
        .map_err(OAuthError::Server)?;
    tracing::info!(kid = made.kid, %alg, generation, "made a signing key");
    Ok(Some(SigningKeyRow {
        kid: made.kid,
        alg,
        generation,
        private_sealed: Some(app.vault.seal_bytes(
            Purpose::PrivateKey,
            made.private_der.reveal(),
            &app.entropy,
        )),
        public_jwk: made.public_jwk.to_string(),
        created_at: now,
        sign_from,
        revoked_at: None,
    }))
}
