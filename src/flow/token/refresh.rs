//! `refresh_token` (RFC 6749 §6): one conditional UPDATE decides. Architecture §5.9: the current generation rotates, its
//! predecessor gets the same successor again for a minute, anything older revokes the family.

use std::sync::Arc;

use super::answer::{TokenAnswer, for_family};
use super::{Asked, Authenticated};
use crate::app::App;
use crate::base::id::FamilyId;
use crate::base::seal::Vault;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act, By, Record};
use crate::oauth::client::Client;
use crate::oauth::error::{OAuthError, Why};
use crate::oauth::refresh::{self, Family, RefreshPolicy, RefreshToken, Verdict, present};
use crate::oauth::resource::narrowed;
use crate::oauth::scope::Scope;
use crate::store::{Conn, StoreError, families, users};

/// What was decided. Every variant is committed.
enum Decision {
    /// Answer with the token of this generation.
    Go(Box<Family>),
    /// The scope is wider than the grant; nothing was written.
    Wider,
    /// A resource that the grant is not for; nothing was written.
    Elsewhere,
    Replayed(FamilyId),
    Refused(Why),
}

/// What a presented token leads to.
enum Judged {
    /// An answer, and nothing to write.
    Done(Decision),
    /// The next generation.
    Rotate,
    /// The family's end.
    Revoke,
}

/// A presented token with everything that it is judged by.
struct Presentation {
    token: (RefreshToken, [u8; 32]),
    client: Arc<Client>,
    scope: Option<Scope>,
    resources: Vec<String>,
    vault: Vault,
    by: By,
    policy: RefreshPolicy,
    now: Timestamp,
}

/// Rotates a refresh token. The family is read and the token judged beside the writer, so that the one writing thread of an
/// SQLite database only does the conditional UPDATE; a request that loses the race is judged again within the write.
pub async fn rotate(
    app: &App,
    client: &Authenticated,
    token: Secret<String>,
    scope: Option<Scope>,
    asked: Asked<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let (client, caller) = (client.shared(), asked.caller);
    let refuse = |why: Why| {
        audit::record(app, &Act::GrantRefused(&client.id, why), caller);
        OAuthError::InvalidGrant(why)
    };
    let presentation = Presentation {
        token: refresh::read(&token).ok_or_else(|| refuse(Why::Unknown))?,
        client: Arc::clone(&client),
        scope: scope.clone(),
        resources: asked.resources.clone(),
        vault: app.vault.clone(),
        by: By::anybody(caller),
        policy: refresh_policy(app),
        now: asked.now,
    };
    let id = presentation.token.0.family;
    let found = app.store.read(move |conn| families::find(conn, id)).await?;
    let decision = match found {
        None => Decision::Refused(Why::Unknown),
        Some(family) => match presentation.judge(&family) {
            Judged::Done(decision) => decision,
            judged => app.store.write(move |conn| presentation.commit(conn, &judged, &family)).await?,
        },
    };
    match decision {
        Decision::Go(family) => {
            let person = family.user;
            let user = if family.claims.id_token.is_empty() {
                None
            } else {
                app.store.read(move |conn| users::find(conn, person)).await?
            };
            let scope = scope.unwrap_or_else(|| family.scope.clone());
            let successor = refresh::mint(&app.vault, family.id, family.generation, &family.salt);
            // No nonce in the ID token of a refresh (OIDC Core §12.2).
            let family = Family { nonce: None, ..*family };
            let resources = narrowed(&family.resources, &asked.resources)?;
            let audience = client.audience_of(app.issuer(), &resources)?;
            for_family(app, &client, &family, user.as_ref(), &scope, Some(successor), (audience, asked.now))
        }
        Decision::Wider => {
            let text = "scope has a word that was not granted; leave scope out or ask for less";
            Err(OAuthError::InvalidScope(text.into()))
        }
        Decision::Elsewhere => Err(OAuthError::InvalidTarget),
        Decision::Replayed(family) => {
            metrics::counter!("cnx_refresh_replays_total").increment(1);
            audit::record(app, &Act::ReplayRevoked(&client.id, family), caller);
            Err(refuse(Why::Replayed))
        }
        Decision::Refused(why) => Err(refuse(why)),
    }
}

/// The times that bound a refresh, from the settings.
pub fn refresh_policy(app: &App) -> RefreshPolicy {
    let tokens = &app.settings.tokens;
    RefreshPolicy { retry_seconds: tokens.refresh_retry_seconds, idle_seconds: tokens.refresh_idle_seconds }
}

impl Presentation {
    /// What is to be done, as the family stands.
    fn judge(&self, family: &Family) -> Judged {
        match present(&self.vault, &self.token, family, &self.client, &self.policy, self.now) {
            Verdict::Refuse(why) => Judged::Done(Decision::Refused(why)),
            Verdict::Replay => Judged::Revoke,
            // Before anything is spent: a client that asks for too much may ask again.
            _ if self.scope.as_ref().is_some_and(|scope| !family.scope.covers(scope)) => {
                Judged::Done(Decision::Wider)
            }
            _ if narrowed(&family.resources, &self.resources).is_err() => Judged::Done(Decision::Elsewhere),
            Verdict::Keep | Verdict::Repeat => Judged::Done(Decision::Go(Box::new(family.clone()))),
            Verdict::Rotate => Judged::Rotate,
        }
    }

    /// The write. A replay stays one however the family moved on: generations only grow.
    fn commit(&self, conn: &mut Conn, judged: &Judged, family: &Family) -> Result<Decision, StoreError> {
        if matches!(judged, Judged::Rotate) && families::rotate(conn, family.id, family.generation, self.now)?
        {
            let rotated =
                Family { generation: family.generation + 1, rotated_at: self.now, ..family.clone() };
            return Ok(Decision::Go(Box::new(rotated)));
        }
        // Somebody was faster, or it is a replay: look again, as the family stands within this write.
        let Some(family) = families::find(conn, family.id)? else {
            return Ok(Decision::Refused(Why::Unknown));
        };
        match self.judge(&family) {
            Judged::Done(decision) => Ok(decision),
            Judged::Revoke => {
                families::revoke(conn, family.id, self.now)?;
                Record::within(
                    &self.vault,
                    &Act::ReplayRevoked(&self.client.id, family.id),
                    &self.by,
                    self.now,
                )
                .write(conn)?;
                Ok(Decision::Replayed(family.id))
            }
            Judged::Rotate => Err(StoreError::Busy),
        }
    }
}
