//! Sign-in through another OpenID provider: out with a request that only this browser can bring back, and in as who they are there (S-L15).
//!
//! Nothing is taken from the browser but the code: who somebody is comes from the provider, over a connection of ours, under its signature.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::user::User;
use crate::app::{App, KeySource};
use crate::base::digest::sha256;
use crate::base::encoding::{base62, base64url};
use crate::base::id::{OnceId, UserId};
use crate::base::json;
use crate::base::seal::{MacPurpose, Purpose};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{self, Act};
use crate::flow::authorize::{self, Pending};
use crate::flow::caller::{Browser, Caller};
use crate::flow::identities::{self, Arrived};
use crate::flow::session::{self, Live};
use crate::flow::sign_in::begin::{Begin, begin};
use crate::flow::sign_in::password::Proved;
use crate::flow::sign_in::second_step::{self, FirstStep};
use crate::flow::sign_in::throttle;
use crate::jose::verify::{Foreign, kid_of, verify_foreign};
use crate::oauth::error::{OAuthError, Refusal};
use crate::oauth::id_token::ACR_PASSWORD;
use crate::oauth::params::Params;
use crate::oauth::upstream::{self, Claims, Endpoints, Identity, Provider, Request, UserInfo};
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{factors, identity_providers};

/// How long somebody may be away at a provider, in seconds.
const LIFE: i64 = 600;
/// The largest document of a provider, in bytes.
const LARGEST: usize = 64 * 1024;

/// A sign-in that is under way elsewhere. Sealed, it is the `state` of the request: so that it comes back, and two windows do not disturb
/// each other.
#[derive(Debug, Serialize, Deserialize)]
struct Elsewhere {
    id: OnceId,
    provider: String,
    browser: String,
    at: Timestamp,
    nonce: String,
    verifier: String,
    anew: bool,
    pending: Option<Pending>,
    next: Option<String>,
    adding: Option<UserId>,
}

/// What somebody wants of a provider.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// To sign in, with the request that waits, sealed, and the page of ours that was asked for.
    SignIn(Option<&'a str>, Option<&'a str>),
    /// To add who they are there to the account they are signed in to.
    Add(&'a Live),
}

/// Where a browser goes.
#[derive(Debug)]
pub struct Out {
    /// The provider's name.
    pub name: String,
    /// The address there.
    pub url: String,
}

/// What came of it.
#[derive(Debug)]
pub enum Back {
    /// Somebody proved who they are; the page of ours that was asked for.
    Proved(Proved, Option<String>),
    /// It is theirs from now on: they were signed in.
    Added,
}

/// Why nothing came of it.
#[derive(Debug)]
pub enum Refused {
    /// No such provider, or none by which people sign in now.
    NoProvider,
    /// What went wrong; and what waited, as far as it is known, for another try.
    Failed(Failure, Waiting),
    /// The request that waits is no good.
    Request(Refusal),
    /// We cannot decide now, or something went wrong.
    Error(OAuthError),
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider does not answer, or not as one.
    Away,
    /// What came back is no answer to what this browser asked, or no good one.
    Wrong,
    /// They said no there, or the provider did.
    Denied,
    /// Their account there is nobody's here: they sign in another way first.
    Unknown,
    /// It is another account's already.
    Taken,
    /// Too many such tries from one place; so many seconds to wait.
    Wait(i64),
}

/// What waited for a sign-in elsewhere.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The request, sealed.
    pub request: Option<String>,
    /// The page of ours.
    pub next: Option<String>,
    /// Somebody wanted to add an account, and is signed in.
    pub adding: bool,
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Error(error)
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure, Waiting::default())
    }
}

/// Those by which people sign in now, as the sign-in page shows them.
pub fn offered(app: &App) -> Vec<Provider> {
    app.identity_providers().iter().filter(|provider| provider.is_active()).cloned().collect()
}

async fn active(app: &App, id: &str) -> Result<(Provider, Option<Secret<String>>), Refused> {
    let wanted = id.to_owned();
    let found = app.store.read(move |conn| identity_providers::find(conn, &wanted)).await?;
    let (provider, sealed) = found.filter(|(provider, _)| provider.is_active()).ok_or(Refused::NoProvider)?;
    let open = |sealed: Vec<u8>| {
        let opened = app.vault.open_bytes(Purpose::ProviderSecret, &sealed);
        opened.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new).ok_or(Failure::Away)
    };
    Ok((provider, sealed.map(open).transpose()?))
}

/// A provider's metadata; asked for each time, for sign-ins are rare and its addresses may change.
pub async fn endpoints(app: &App, issuer: &str) -> Result<Endpoints, String> {
    let address = Endpoints::metadata_of(issuer);
    let fetched = app.fetcher.json(&address, LARGEST).await.map_err(|error| format!("{address}: {error}"))?;
    let document = json::strict(&fetched.text).map_err(|error| format!("{address}: {error}"))?;
    Endpoints::read(&document, issuer)
        .ok_or_else(|| format!("{address}: it is not the metadata of {issuer}, or names no https endpoints"))
}

async fn endpoints_of(app: &App, provider: &Provider) -> Result<Endpoints, Failure> {
    endpoints(app, &provider.issuer).await.map_err(|problem| {
        tracing::warn!(provider = provider.id, problem, "a provider's metadata is of no use");
        Failure::Away
    })
}

/// Where answers of a provider come to.
pub fn redirect_uri(app: &App, id: &str) -> String {
    format!("{}/sign-in/with/{id}/callback", app.issuer())
}

fn mark(app: &App, browser: &Browser) -> String {
    let mark = browser.mark.as_deref().unwrap_or_default();
    base64url(&app.vault.mac(MacPurpose::Browser, &[b"elsewhere", mark.as_bytes()]))
}

/// Sends a browser to a provider.
pub async fn go(app: &App, id: &str, wanted: Wanted<'_>, browser: &Browser) -> Result<Out, Refused> {
    let now = app.now();
    let (provider, _) = active(app, id).await?;
    let (request, next, adding) = match wanted {
        Wanted::SignIn(request, next) => (request, next, None),
        Wanted::Add(live) => (None, None, Some(live.user.id)),
    };
    let resumed = match request {
        None => None,
        Some(sealed) => Some(authorize::open(app, sealed, browser, now).map_err(Refused::Request)?),
    };
    // Who is signed in here already is at this page because a fresh proof is wanted; the app may say so as well.
    let app_wants = resumed.as_ref().is_some_and(|r| r.request.prompt.login || r.request.max_age.is_some());
    let anew = adding.is_none() && (app_wants || session::find(app, browser, now).await?.is_some());
    let waiting = || Waiting {
        request: request.map(str::to_owned),
        next: next.map(str::to_owned),
        adding: adding.is_some(),
    };
    let endpoints =
        endpoints_of(app, &provider).await.map_err(|failure| Refused::Failed(failure, waiting()))?;
    let elsewhere = Elsewhere {
        id: OnceId::new(&app.clock, &app.entropy),
        provider: provider.id.clone(),
        browser: mark(app, browser),
        at: now,
        nonce: base62(&app.entropy.bytes::<20>()),
        verifier: base62(&app.entropy.bytes::<32>()),
        anew,
        pending: resumed.map(|resumed| resumed.pending),
        next: next.map(str::to_owned),
        adding,
    };
    let request = Request {
        client_id: &provider.client_id,
        redirect_uri: &redirect_uri(app, &provider.id),
        scope: &provider.scope,
        state: &app.vault.seal(Purpose::Elsewhere, &elsewhere, &app.entropy),
        nonce: &elsewhere.nonce,
        challenge: &base64url(&sha256(elsewhere.verifier.as_bytes())),
        anew,
    };
    let url = request.url(&endpoints);
    Ok(Out { name: provider.name, url })
}

/// Takes a provider's answer.
pub async fn come_back(
    app: &App,
    id: &str,
    params: &Params,
    browser: &Browser,
    caller: &Caller,
) -> Result<Back, Refused> {
    let now = app.now();
    if let Some(seconds) = throttle::place_waits(app, caller, now).await? {
        return Err(Failure::Wait(seconds).into());
    }
    let state = params.get("state").unwrap_or_default();
    let found: Option<Elsewhere> = app.vault.open(Purpose::Elsewhere, state);
    let is_ours = |found: &Elsewhere| found.provider == id && found.browser == mark(app, browser);
    let Some(elsewhere) = found.filter(is_ours) else {
        fail(app, caller, now).await?;
        return Err(Failure::Wrong.into());
    };
    let waiting = Waiting {
        request: elsewhere.pending.as_ref().map(|pending| authorize::seal(app, pending)),
        next: elsewhere.next.clone(),
        adding: elsewhere.adding.is_some(),
    };
    match answered(app, params, elsewhere, browser, (caller, now)).await {
        Err(Refused::Failed(failure, _)) => {
            if failure == Failure::Wrong {
                fail(app, caller, now).await?;
            }
            Err(Refused::Failed(failure, waiting))
        }
        other => other,
    }
}

/// Counts a try that came to nothing.
async fn fail(app: &App, caller: &Caller, now: Timestamp) -> Result<(), OAuthError> {
    throttle::place_failed(app, caller, now).await?;
    metrics::counter!("cnx_sign_ins_total", "outcome" => "refused").increment(1);
    audit::record(app, &Act::SignInRefused("wrong answer of a provider"), caller);
    Ok(())
}

async fn answered(
    app: &App,
    params: &Params,
    elsewhere: Elsewhere,
    browser: &Browser,
    (caller, now): (&Caller, Timestamp),
) -> Result<Back, Refused> {
    if !now.is_within(LIFE, elsewhere.at) {
        return Err(Failure::Wrong.into());
    }
    let (provider, secret) = active(app, &elsewhere.provider).await?;
    let (once, forget_at) = (elsewhere.id, elsewhere.at.plus(LIFE + 60));
    let spend = move |conn: &mut _| spent::once(conn, SpentKind::Elsewhere, once.as_bytes(), None, forget_at);
    if app.store.write(spend).await? != Once::First {
        return Err(Failure::Wrong.into());
    }
    if params.get("error").is_some() {
        return Err(Failure::Denied.into());
    }
    let endpoints = endpoints_of(app, &provider).await?;
    // Mix-up (RFC 9207 §2.4): an answer of another issuer is none to this request.
    let named = params.get("iss");
    if named.is_some_and(|iss| iss != provider.issuer) || (endpoints.names_issuer && named.is_none()) {
        return Err(Failure::Wrong.into());
    }
    let code = params.get("code").ok_or(Failure::Wrong)?;
    let identity = redeem(app, (&provider, secret.as_ref()), &endpoints, (code, &elsewhere), now).await?;
    let adding = match elsewhere.adding {
        None => None,
        // Whoever asked for it must still be who sits here.
        Some(who) => {
            let live = session::find(app, browser, now).await?.filter(|live| live.user.id == who);
            Some(live.ok_or(Failure::Wrong)?.user)
        }
    };
    let arrived = identities::arrive(app, &provider, identity, adding.as_ref(), caller, now).await?;
    match arrived {
        Arrived::Taken => Err(Failure::Taken.into()),
        Arrived::Unknown => Err(Failure::Unknown.into()),
        Arrived::Known(_) if adding.is_some() => Ok(Back::Added),
        Arrived::Known(user) => {
            let proved = proved(app, &user, elsewhere.pending, browser, (caller, now)).await?;
            Ok(Back::Proved(proved, elsewhere.next))
        }
    }
}

/// A provider's word is one factor, as a password is: whoever has a second one shows it.
async fn proved(
    app: &App,
    user: &User,
    pending: Option<Pending>,
    browser: &Browser,
    (caller, now): (&Caller, Timestamp),
) -> Result<Proved, OAuthError> {
    let id = user.id;
    if app.store.read(move |conn| factors::has_any(conn, id)).await? {
        let half = second_step::half(app, user, FirstStep::Provider, browser, pending, now);
        return Ok(Proved::FirstStep(half));
    }
    let means =
        Begin { user, amr: Vec::new(), acr: ACR_PASSWORD.to_owned(), keys: None, rehashed: None, pending };
    Ok(Proved::SignedIn(begin(app, means, browser, caller, now).await?))
}

/// Redeems a code for the ID token, and reads who it is about.
async fn redeem(
    app: &App,
    (provider, secret): (&Provider, Option<&Secret<String>>),
    endpoints: &Endpoints,
    (code, elsewhere): (&str, &Elsewhere),
    now: Timestamp,
) -> Result<Identity, Failure> {
    let redirect_uri = redirect_uri(app, &provider.id);
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", elsewhere.verifier.as_str()),
    ];
    let secret = secret.map(|secret| secret.reveal().as_str());
    // In the head both are encoded first (RFC 6749 §2.3.1).
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let head = secret.filter(|_| !endpoints.secret_in_form);
    let head = head.map(|secret| (encoded(&provider.client_id), Secret::new(encoded(secret))));
    if head.is_none() {
        fields.push(("client_id", provider.client_id.as_str()));
        fields.extend(secret.map(|secret| ("client_secret", secret)));
    }
    let basic = head.as_ref().map(|(name, secret)| (name.as_str(), secret.reveal().as_str()));
    let id = provider.id.as_str();
    let answer = app.fetcher.form(&endpoints.token, &fields, basic, LARGEST).await.map_err(|error| {
        tracing::warn!(provider = id, %error, "a code could not be redeemed");
        // A code that the provider does not take is the browser's affair; everything else is the provider's.
        if matches!(error, crate::app::FetchError::Status(400)) { Failure::Wrong } else { Failure::Away }
    })?;
    let document: Value = json::strict(&answer.text).map_err(|_| Failure::Away)?;
    let token = document.get("id_token").and_then(Value::as_str).ok_or(Failure::Away)?;
    let source = KeySource::Issuer(provider.issuer.clone());
    let keys = app.remote_keys(&source, kid_of(token).as_deref(), now).await.ok_or(Failure::Away)?;
    let refuse = |why: &dyn std::fmt::Debug| {
        tracing::warn!(provider = id, ?why, "an ID token was not taken");
        Failure::Wrong
    };
    let signed =
        verify_foreign::<Claims>(Foreign::Public(&keys, None), token, &[]).map_err(|why| refuse(&why))?;
    let expected = (provider.issuer.as_str(), provider.client_id.as_str(), elsewhere.nonce.as_str());
    let anew = elsewhere.anew.then_some(elsewhere.at);
    let identity =
        upstream::check(signed.claims.into_claims(), expected, anew, now).map_err(|why| refuse(&why))?;
    let token = document.get("access_token").and_then(Value::as_str);
    match (&identity.email, &endpoints.user_info, token) {
        (None, Some(address), Some(token)) if provider.scope.contains("email") => {
            let found = app.fetcher.json_for(address, token, LARGEST).await.ok();
            let said = found.and_then(|found| serde_json::from_value(json::strict(&found.text).ok()?).ok());
            let email = said.and_then(|said: UserInfo| said.email_of(&identity.subject));
            Ok(Identity { email, ..identity })
        }
        _ => Ok(identity),
    }
}
