//! `authorization_code` (RFC 6749 §4.1.3): the sealed grant is opened, checked against who presents it, and spent by one
//! write that begins the family. The code is spent before tokens are made, so a failing signer costs a new sign-in and
//! never a replay.

use super::answer::{TokenAnswer, for_family};
use super::{Asked, Authenticated};
use crate::account::user::User;
use crate::app::App;
use crate::base::id::FamilyId;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act, By, Record};
use crate::flow::session::is_live;
use crate::oauth::client::{Client, GrantType};
use crate::oauth::code::{self, CodeGrant};
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::pkce::CodeVerifier;
use crate::oauth::refresh::{self, Family};
use crate::oauth::resource::narrowed;
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{Conn, StoreError, consents, families, sessions, users};

/// How long after its expiry a spent code is remembered, in seconds: replay memory outlives the code by the leeway.
const LEEWAY: i64 = 60;

/// What the one write decided. Every variant is committed.
enum Decision {
    Begun(Box<User>),
    /// Presented again: what the first presentation began is revoked (RFC 6749 §4.1.2).
    Replayed(Option<FamilyId>),
    NoLongerGranted,
}

/// Redeems a code.
pub async fn redeem(
    app: &App,
    client: &Authenticated,
    code: Secret<String>,
    redirect_uri: Option<String>,
    verifier: Option<CodeVerifier>,
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let (client, caller, now) = (client.shared(), asked.caller, asked.now);
    let refuse = |why: Why| {
        audit::record(app, &Act::GrantRefused(&client.id, why), caller);
        OAuthError::InvalidGrant(why)
    };
    let grant = code::open(&app.vault, &code).ok_or_else(|| refuse(Why::Unknown))?;
    // The binding first: a replay by somebody else revokes nothing (S-C2).
    code::redeem(&grant, &client, redirect_uri.as_deref(), verifier.as_ref(), now).inspect_err(|error| {
        if let OAuthError::InvalidGrant(why) = error {
            audit::record(app, &Act::GrantRefused(&client.id, *why), caller);
        }
    })?;

    // Before the code is spent: who asks for another resource may ask again.
    let audience = client.audience_of(app.issuer(), &narrowed(&grant.resources, &asked.resources)?)?;
    let family = new_family(app, &client, &grant, now);
    let (row, idle) = (family.clone(), app.settings.sessions.idle_seconds);
    let (asks, grant_id, expires_at) = (!client.metadata.skip_consent, grant.id, grant.expires_at);
    let (vault, whose, by) = (app.vault.clone(), client.id.clone(), By::anybody(caller));
    let decision = app
        .store
        .write(move |conn| {
            match spent::once(
                conn,
                SpentKind::Code,
                grant_id.as_bytes(),
                Some(row.id),
                expires_at.plus(LEEWAY),
            )? {
                Once::Again(first) => {
                    if let Some(first) = first {
                        families::revoke(conn, first, now)?;
                        Record::within(&vault, &Act::ReplayRevoked(&whose, first), &by, now).write(conn)?;
                    }
                    Ok(Decision::Replayed(first))
                }
                Once::First => begin(conn, &row, asks, idle, now),
            }
        })
        .await?;
    match decision {
        Decision::Begun(user) => {
            let refresh_token = family
                .refreshable
                .then(|| refresh::mint(&app.vault, family.id, family.generation, &family.salt));
            let answer = for_family(
                app,
                &client,
                &family,
                Some(&user),
                &family.scope,
                refresh_token,
                (audience, now),
            )?;
            audit::record(app, &Act::TokensIssued(family.user, &client.id, family.id), caller);
            Ok(answer)
        }
        Decision::Replayed(first) => {
            if let Some(first) = first {
                audit::record(app, &Act::ReplayRevoked(&client.id, first), caller);
            }
            Err(refuse(Why::Spent))
        }
        Decision::NoLongerGranted => Err(refuse(Why::NoLongerGranted)),
    }
}

/// Between code and exchange much may have happened (S-C12): the account disabled, the session ended (a new password ends
/// it), the consent withdrawn.
fn begin(
    conn: &mut Conn,
    family: &Family,
    asks: bool,
    idle: i64,
    now: Timestamp,
) -> Result<Decision, StoreError> {
    // Held, so that whoever ends the session or withdraws the consent at this moment sees the family and revokes it.
    let session = match family.session {
        None => None,
        Some(id) => sessions::hold(conn, id)?,
    };
    let Some(session) = session.filter(|s| is_live(s, idle, now)) else {
        return Ok(Decision::NoLongerGranted);
    };
    let Some(user) = users::find(conn, family.user)?.filter(User::is_active) else {
        return Ok(Decision::NoLongerGranted);
    };
    if asks {
        let consent = consents::hold(conn, family.user, &family.client)?;
        if !consent.is_some_and(|given| given.covers(&family.scope)) {
            return Ok(Decision::NoLongerGranted);
        }
    }
    let mut row = family.clone();
    if !row.offline {
        row.expires_at = row.expires_at.min(session.expires_at);
    }
    families::begin(conn, &row)?;
    Ok(Decision::Begun(Box::new(user)))
}

fn new_family(app: &App, client: &Client, grant: &CodeGrant, now: Timestamp) -> Family {
    let tokens = &app.settings.tokens;
    let refreshable = client.may_use(GrantType::RefreshToken);
    // A family without refresh token lives as long as its access token: it answers "is it revoked?" until then.
    let life = if refreshable { tokens.refresh_seconds } else { tokens.access_seconds };
    Family {
        id: FamilyId::new(&app.clock, &app.entropy),
        client: client.id.clone(),
        user: grant.user,
        session: Some(grant.session),
        scope: grant.scope.clone(),
        claims: grant.claims.clone(),
        nonce: grant.nonce.clone(),
        auth_time: grant.auth_time,
        acr: grant.acr.clone(),
        amr: grant.amr.clone(),
        salt: app.entropy.bytes::<16>().to_vec(),
        generation: 1,
        rotated_at: now,
        created_at: now,
        expires_at: now.plus(life),
        refreshable,
        offline: grant.scope.contains("offline_access"),
        revoked_at: None,
        resources: grant.resources.clone(),
    }
}
