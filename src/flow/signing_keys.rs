//! Our own signing keys rotate by themselves: what the plan of `jose/keyring.rs` asks for is done here, safely on many
//! nodes (the unique pair of algorithm and generation decides who made a key).

use serde_json::{Value, json};

use super::audit::{Act, By, Name, Record};
use crate::app::App;
use crate::base::algorithm::Algorithm;
use crate::base::fault::Fault;
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::jose::keyring::{Step, StoredKey, heir, plan, successor};
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
                    insert(app, row, &By::system(), now).await?;
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

/// Brings in the next key of an algorithm: in force at once (`at_once`), or published first for as long as verifiers cache.
/// Returns its `kid`.
///
/// A key that waits for its turn already is the next one, and none is made beside it: a line of keys that overtake each
/// other would fill the key set with keys that never sign. Nodes that are asked at the same moment make one key: the
/// unique generation lets one win, and the others go on with what the winner made.
pub async fn rotate(app: &App, by: &By, alg: Algorithm, at_once: bool) -> Result<String, OAuthError> {
    app.catch_up().await?;
    let now = app.now();
    let waiting = heir(&app.stored_keys(), alg, now).cloned();
    let next = match waiting {
        Some(key) => key,
        None => make_next(app, by, alg, now, at_once).await?,
    };
    if at_once && next.sign_from > now {
        let kid = next.kid.clone();
        let record =
            Record::new(app, &Act::Did(Name::SigningKeyRotated, kid.as_str().into(), Value::Null), by, now);
        record.with(app, move |conn| signing_keys::hasten(conn, &kid, now)).await?;
        app.catch_up().await?;
    }
    Ok(next.kid)
}

/// Makes the next generation of an algorithm and gives the key that bears its number now: ours, or that of a node that was
/// first.
async fn make_next(
    app: &App,
    by: &By,
    alg: Algorithm,
    now: Timestamp,
    at_once: bool,
) -> Result<StoredKey, OAuthError> {
    // Where none signs, the first would sign before its turn anyway: then its row should say so.
    let at_once = at_once || app.keyring(now).map_err(OAuthError::Server)?.signing(alg).is_err();
    let step = successor(&app.stored_keys(), alg, &app.key_policy(), now, at_once);
    // No step but this one makes a key, and the newest generation is never forgotten: neither is missing.
    let missing = || OAuthError::Server(Fault::new("making a signing key", "the next generation is missing"));
    let row = make(app, &step, now).await?.ok_or_else(missing)?;
    let generation = row.generation;
    insert(app, row, by, now).await?;
    app.catch_up().await?;
    let keys = app.stored_keys();
    keys.iter().find(|key| key.alg == alg && key.generation == generation).cloned().ok_or_else(missing)
}

/// Brings a key in, unless another node made that generation first.
async fn insert(app: &App, row: SigningKeyRow, by: &By, now: Timestamp) -> Result<(), OAuthError> {
    made(app, &row, by, now).if_done(app, move |conn| signing_keys::insert(conn, &row)).await?;
    Ok(())
}

/// That a key was made.
fn made(app: &App, row: &SigningKeyRow, by: &By, now: Timestamp) -> Record {
    let about = json!({
        "alg": row.alg,
        "generation": row.generation,
        "signs_from": row.sign_from.to_rfc3339(),
    });
    Record::new(app, &Act::Did(Name::SigningKeyMade, row.kid.as_str().into(), about), by, now)
}

/// Revokes a key: nothing that it signed verifies from now on. Its successor is made first and enters in the same write, so
/// that there is no moment without a key. False for an unknown one.
pub async fn revoke(app: &App, by: &By, kid: &str) -> Result<bool, OAuthError> {
    app.catch_up().await?;
    let now = app.now();
    let before = app.stored_keys();
    let mut keys = before.as_ref().clone();
    for key in keys.iter_mut().filter(|k| k.kid == kid) {
        key.revoked_at = key.revoked_at.or(Some(now));
    }
    let mut rows = Vec::new();
    for step in plan(&keys, &Algorithm::ALL, &app.key_policy(), now) {
        rows.extend(make(app, &step, now).await?);
    }
    // Who waited for the turn of the revoked one signs from now on: then its row should say so.
    let promoted = before
        .iter()
        .find(|key| key.kid == kid)
        .and_then(|revoked| heir(&before, revoked.alg, now))
        .filter(|waited| {
            waited.kid != kid && heir(&keys, waited.alg, now).is_none_or(|h| h.kid != waited.kid)
        })
        .map(|waited| waited.kid.clone());
    let revoked = kid.to_owned();
    let record = Record::new(app, &Act::Did(Name::SigningKeyRevoked, kid.into(), Value::Null), by, now);
    let rows: Vec<_> = rows.into_iter().map(|row| (made(app, &row, by, now), row)).collect();
    let known = record
        .if_done(app, move |conn| {
            let known = signing_keys::revoke(conn, &revoked, now)?;
            if let Some(promoted) = &promoted {
                signing_keys::hasten(conn, promoted, now)?;
            }
            let mut records = Vec::new();
            for (made, row) in &rows {
                if signing_keys::insert(conn, row)? {
                    records.push(made);
                }
            }
            for made in records {
                made.write(conn)?;
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
