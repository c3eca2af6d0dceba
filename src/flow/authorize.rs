//! The authorization endpoint: parse → session? → consent? → code. Nothing is written here: a waiting request travels
//! sealed, and the code is the sealed grant itself.

use serde::{Deserialize, Serialize};

use super::audit::{self, Act};
use super::caller::{Browser, Caller};
use super::second_factor;
use super::session::{self, Live};
use crate::app::{ALLOWED, App, Counted};
use crate::base::encoding::base64url;
use crate::base::id::{OnceId, SessionId, UserId};
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::secret::Fingerprint;
use crate::base::time::Timestamp;
use crate::jose::verify::{Among, verify};
use crate::oauth::authorize::{self, Answered, Authorize, Next, Present, decide};
use crate::oauth::code::{self, CodeGrant};
use crate::oauth::destination::Delivery;
use crate::oauth::error::{OAuthError, Refusal};
use crate::oauth::id_token::{self, HintClaims};
use crate::oauth::params::Params;
use crate::oauth::redirect_uri;
use crate::oauth::scope::Scope;
use crate::store::spent::{self, SpentKind};
use crate::store::{consents, factors};

/// How long a person may take from the request to the answer, in seconds.
const PENDING_LIFE: i64 = 3600;

/// The longest request, as a query, in bytes: sealed, it is a hidden input of our pages and must fit into their forms.
const MAX_QUERY: usize = 10 * 1024;

/// How long a challenge or nonce is remembered for [`watch_for_reuse`], in seconds.
const REUSE_WINDOW: i64 = 3600;

/// An authorization request that waits for a person, with what the person already did for it. Sealed: it travels through
/// the browser and cannot be made or changed there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// Answered once: a denied request cannot be turned into a grant by going back (S-A32).
    pub id: OnceId,
    /// The request's parameters, as a query.
    pub query: String,
    /// The browser that started it, so that its address shown elsewhere is no good (S-L8).
    browser: String,
    /// When it came.
    started_at: Timestamp,
    /// The session that signed in for this very request: what satisfies `prompt=login` and `max_age`.
    signed_in: Option<SessionId>,
    /// The session whose person was chosen on the account page.
    selected: Option<SessionId>,
}

/// What the browser is shown or sent next.
#[derive(Debug)]
pub enum Outcome {
    /// Sign in first; the sealed request comes along.
    SignIn(String),
    /// Choose an account.
    SelectAccount(String),
    /// Their organization asks for a second factor, and they have none yet.
    SetUpFactor,
    /// Ask the person.
    Consent(String),
    /// Off to the client.
    Deliver(Delivery),
}

/// A pending request that was opened and parsed again.
#[derive(Debug)]
pub struct Resumed {
    /// What travelled.
    pub pending: Pending,
    /// The request, checked anew: a client that was deleted meanwhile gets nothing.
    pub request: Authorize,
}

/// Answers a request as it comes from a client.
pub async fn begin(
    app: &App,
    params: &Params,
    browser: &Browser,
    caller: &Caller,
) -> Result<Outcome, Refusal> {
    let now = app.now();
    let query = params.to_query();
    if query.len() > MAX_QUERY {
        let text = format!("the request is longer than {MAX_QUERY} bytes");
        return Err(Refusal::Page(OAuthError::InvalidRequest(text.into())));
    }
    let request = authorize::read(params, app.issuer(), |id| app.client(id))?;
    watch_for_reuse(app, &request, caller, now).await;
    let pending = Pending {
        id: OnceId::new(&app.clock, &app.entropy),
        query,
        browser: browser_mark(app, browser),
        started_at: now,
        signed_in: None,
        selected: None,
    };
    go_on(app, Resumed { pending, request }, browser, now).await
}

/// Answers a request that comes back from one of our pages.
pub async fn resume(app: &App, sealed: &str, browser: &Browser) -> Result<Outcome, Refusal> {
    let now = app.now();
    let resumed = open(app, sealed, browser, now)?;
    let id = resumed.pending.id;
    let answered = app.store.read(move |conn| spent::is_spent(conn, SpentKind::Pending, id.as_bytes())).await;
    match answered {
        Ok(false) => go_on(app, resumed, browser, now).await,
        // Going back behind the answer leads nowhere, whatever was allowed since (S-A32).
        Ok(true) => Err(answered_before()),
        Err(error) => Err(Refusal::Redirect(Box::new(resumed.request.destination), error.into())),
    }
}

/// The person answered this request before.
pub fn answered_before() -> Refusal {
    Refusal::Page(OAuthError::InvalidRequest(
        "this request was answered already; start again from the app".into(),
    ))
}

/// Opens a sealed request: ours, of this browser, not too old.
pub fn open(app: &App, sealed: &str, browser: &Browser, now: Timestamp) -> Result<Resumed, Refusal> {
    let stale = || {
        Refusal::Page(OAuthError::InvalidRequest(
            "this sign-in request is no longer valid; start again from the app".into(),
        ))
    };
    let pending: Pending = app.vault.open(Purpose::Pending, sealed).ok_or_else(stale)?;
    if pending.browser != browser_mark(app, browser) || !now.is_within(PENDING_LIFE, pending.started_at) {
        return Err(stale());
    }
    let params = Params::parse(pending.query.as_bytes()).map_err(Refusal::Page)?;
    let request = authorize::read(&params, app.issuer(), |id| app.client(id))?;
    Ok(Resumed { pending, request })
}

/// Seals a request again, after a person did something for it.
pub fn seal(app: &App, pending: &Pending) -> String {
    app.vault.seal(Purpose::Pending, pending, &app.entropy)
}

impl Pending {
    /// The same request, for which `session` just signed in.
    #[must_use]
    pub fn with_sign_in(mut self, session: SessionId) -> Self {
        self.signed_in = Some(session);
        self.selected = Some(session);
        self
    }

    /// The same request, for which the person of `session` was chosen.
    #[must_use]
    pub fn with_selected(mut self, session: SessionId) -> Self {
        self.selected = Some(session);
        self
    }

    /// What the person of this session did for this request.
    pub fn answered(&self, live: Option<&Live>, consented: bool) -> Answered {
        let of_this = |session: Option<SessionId>| live.is_some_and(|l| session == Some(l.session.id));
        Answered {
            authenticated_since: live.filter(|_| of_this(self.signed_in)).map(|l| l.session.auth_time),
            account_selected: of_this(self.selected),
            consented,
        }
    }
}

async fn go_on(app: &App, resumed: Resumed, browser: &Browser, now: Timestamp) -> Result<Outcome, Refusal> {
    let Resumed { pending, request } = resumed;
    let back = |error: OAuthError| Refusal::Redirect(Box::new(request.destination.clone()), error);
    let live = session::find(app, browser, now).await.map_err(back)?;
    let remembered = match &live {
        None => None,
        Some(live) => remembered_consent(app, live.user.id, &request).await.map_err(back)?,
    };
    let hint = hinted_subject(app, &request, now).map_err(back)?;
    let present = match &live {
        None => None,
        Some(live) => Some(present(app, live, &request).await.map_err(back)?),
    };
    let answered = pending.answered(live.as_ref(), false);
    if live.as_ref().is_some_and(|live| second_factor::is_missing(app, live)) {
        let none = request.prompt.none;
        return if none { Err(back(OAuthError::InteractionRequired)) } else { Ok(Outcome::SetUpFactor) };
    }
    match decide(&request, present.as_ref(), remembered.as_ref(), &answered, hint, now) {
        Next::SignIn => Ok(Outcome::SignIn(seal(app, &pending))),
        Next::SelectAccount => Ok(Outcome::SelectAccount(seal(app, &pending))),
        Next::Consent(_) => Ok(Outcome::Consent(seal(app, &pending))),
        Next::Refuse(error) => Err(back(error)),
        Next::Issue => match &live {
            Some(live) => Ok(Outcome::Deliver(issue_code(app, &request, live, now))),
            None => Ok(Outcome::SignIn(seal(app, &pending))),
        },
    }
}

/// What the rules look at. Whether the person has a second factor is read only where the request asks for more than they proved.
pub async fn present(app: &App, live: &Live, request: &Authorize) -> Result<Present, OAuthError> {
    let user = live.user.id;
    let has_factor = authorize::asks_for_more(request, &live.session.acr)
        && app.store.read(move |conn| factors::has_any(conn, user)).await?;
    Ok(live.present(has_factor))
}

/// The consent that the person gave this client before.
pub async fn remembered_consent(
    app: &App,
    user: UserId,
    request: &Authorize,
) -> Result<Option<Scope>, OAuthError> {
    let client = request.client.id.clone();
    Ok(app.store.read(move |conn| consents::find(conn, user, &client)).await?)
}

/// The person that a verified `id_token_hint` names (OIDC Core §3.1.2.1).
///
/// `None` also for a hint that is not ours or not for this client: the rules refuse it, never ignore it (S-A20).
pub fn hinted_subject(app: &App, request: &Authorize, now: Timestamp) -> Result<Option<UserId>, OAuthError> {
    let Some(hint) = &request.id_token_hint else { return Ok(None) };
    let keyring = app.keyring(now).map_err(OAuthError::Server)?;
    let claims = verify::<HintClaims>(&keyring, hint, id_token::TYP, Among::EverKnown);
    Ok(claims.and_then(|c| c.claims().subject(app.issuer(), Some(&request.client.id))))
}

/// Makes the code: the sealed grant, good once and for at most a minute.
pub fn issue_code(app: &App, request: &Authorize, live: &Live, now: Timestamp) -> Delivery {
    let grant = CodeGrant {
        id: OnceId::new(&app.clock, &app.entropy),
        client: request.client.id.clone(),
        user: live.user.id,
        session: live.session.id,
        redirect_uri: request.redirect_uri_was_sent.then(|| request.destination.redirect_uri().to_owned()),
        challenge: request.binding.challenge(),
        nonce: request.nonce.clone(),
        scope: request.scope.clone(),
        auth_time: live.session.auth_time,
        acr: authorize::granted_acr(request, &live.session.acr).unwrap_or(&live.session.acr).to_owned(),
        amr: live.session.amr.clone(),
        claims: request.claims.clone(),
        resources: request.resources.clone(),
        issued_at: now,
        expires_at: now.plus(app.settings.tokens.code_seconds),
    };
    let code = code::issue(&app.vault, &app.entropy, &grant);
    metrics::counter!("cnx_codes_issued_total").increment(1);
    app.count(Counted::Client(request.client.id.clone()), "authorize", ALLOWED, now);
    request.destination.answer(vec![("code", code.reveal().clone())])
}

/// Whether consent is asked every time for this request's client (S-A33).
pub fn is_unassured(request: &Authorize) -> bool {
    redirect_uri::is_unassured(&request.client, request.destination.redirect_uri())
}

/// A client that sends the same challenge or nonce again and again protects nobody: an administrator should hear of it
/// (S-A13). Nothing is refused: people reload pages.
async fn watch_for_reuse(app: &App, request: &Authorize, caller: &Caller, now: Timestamp) {
    let challenge = request.binding.challenge().map(String::from);
    let mut reused = false;
    for (kind, once) in [("challenge", &challenge), ("nonce", &request.nonce)] {
        let Some(once) = once else { continue };
        let parts = ["reuse", kind, request.client.id.as_str(), once.as_str()].map(str::as_bytes);
        let key = Fingerprint::from_bytes(app.vault.mac(MacPurpose::Throttle, &parts));
        reused |= app.counters.hit(&key, REUSE_WINDOW, now).await > 1;
    }
    if reused {
        audit::record(app, &Act::ReusedChallenge(&request.client.id), caller);
    }
}

/// What a pending request is bound to: a keyed hash of the browser's mark.
fn browser_mark(app: &App, browser: &Browser) -> String {
    let mark = browser.mark.as_deref().unwrap_or_default();
    base64url(&app.vault.mac(MacPurpose::Browser, &[mark.as_bytes()]))
}
