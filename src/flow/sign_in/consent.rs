//! Consent: what the person is asked, and their answer, which counts once.

use crate::app::{App, Counted};
use crate::base::time::Timestamp;
use crate::flow::audit::{Act, By, Record};
use crate::flow::authorize::{self, Resumed};
use crate::flow::caller::{Browser, Caller};
use crate::flow::second_factor;
use crate::flow::session::{self, Live};
use crate::oauth::authorize::{Next, decide};
use crate::oauth::destination::Delivery;
use crate::oauth::error::{OAuthError, Refusal};
use crate::store::consents;
use crate::store::spent::{self, Once, SpentKind};

/// How long an answered request is remembered, in seconds: longer than a pending request lives.
const REMEMBERED: i64 = 7200;

/// What the page shows.
#[derive(Debug)]
pub struct Question {
    /// Who is asked.
    pub live: Live,
    /// The request that waits.
    pub resumed: Resumed,
}

/// Where an answer, or the lack of a session, leads.
#[derive(Debug)]
pub enum Answer {
    /// Off to the client.
    Deliver(Delivery),
    /// The session ended or more is needed: through the authorization endpoint again.
    Again(String),
}

/// Opens the request for the consent page; nobody signed in ⇒ `Err(None)`, through the authorization endpoint again.
pub async fn view(app: &App, sealed: &str, browser: &Browser) -> Result<Option<Question>, Refusal> {
    let now = app.now();
    let resumed = authorize::open(app, sealed, browser, now)?;
    let live = session::find(app, browser, now).await.map_err(Refusal::Page)?;
    Ok(live.map(|live| Question { live, resumed }))
}

/// The person allows it: the consent is kept, and the code goes to the client.
pub async fn allow(app: &App, sealed: &str, browser: &Browser, caller: &Caller) -> Result<Answer, Refusal> {
    let now = app.now();
    let Some(question) = view(app, sealed, browser).await? else {
        return Ok(Answer::Again(sealed.to_owned()));
    };
    let Question { live, resumed: Resumed { pending, request } } = question;
    let back = |error: OAuthError| Refusal::Redirect(Box::new(request.destination.clone()), error);

    if second_factor::is_missing(app, &live) {
        return Ok(Answer::Again(sealed.to_owned()));
    }
    // Everything but the consent must hold now as well: a session that is too old for max_age signs in first.
    let hint = authorize::hinted_subject(app, &request, now).map_err(back)?;
    let answered = pending.answered(Some(&live), true);
    let present = authorize::present(app, &live, &request).await.map_err(back)?;
    match decide(&request, Some(&present), Some(&request.consent_scope()), &answered, hint, now) {
        Next::Issue | Next::Consent(_) => {}
        Next::Refuse(error) => return Err(back(error)),
        Next::SignIn | Next::SelectAccount => return Ok(Answer::Again(sealed.to_owned())),
    }
    let (user, client, scope) = (live.user.id, request.client.id.clone(), request.consent_scope());
    let record = Record::new(app, &Act::ConsentGiven(user, &client), &By::anybody(caller), now);
    let first = record
        .if_done(app, move |conn| {
            if !answer_once(conn, &pending, now)? {
                return Ok(false);
            }
            consents::grant(conn, user, &client, &scope, now)?;
            Ok(true)
        })
        .await
        .map_err(|e| back(e.into()))?;
    if !first {
        return Err(authorize::answered_before());
    }
    Ok(Answer::Deliver(authorize::issue_code(app, &request, &live, now)))
}

/// The person says no: the client hears `access_denied`, and this request can never become a grant (S-A32).
pub async fn deny(app: &App, sealed: &str, browser: &Browser, caller: &Caller) -> Result<Answer, Refusal> {
    let now = app.now();
    let Some(question) = view(app, sealed, browser).await? else {
        return Ok(Answer::Again(sealed.to_owned()));
    };
    let Question { live, resumed: Resumed { pending, request } } = question;
    let back = |error: OAuthError| Refusal::Redirect(Box::new(request.destination.clone()), error);
    let act = Act::ConsentDenied(live.user.id, &request.client.id);
    let record = Record::new(app, &act, &By::anybody(caller), now);
    let first = record
        .if_done(app, move |conn| answer_once(conn, &pending, now))
        .await
        .map_err(|e| back(e.into()))?;
    if !first {
        return Err(authorize::answered_before());
    }
    app.count(Counted::Client(request.client.id.clone()), "authorize", "refused", now);
    Err(back(OAuthError::AccessDenied))
}

fn answer_once(
    conn: &mut crate::store::Conn,
    pending: &authorize::Pending,
    now: Timestamp,
) -> Result<bool, crate::store::StoreError> {
    let once = spent::once(conn, SpentKind::Pending, pending.id.as_bytes(), None, now.plus(REMEMBERED))?;
    Ok(matches!(once, Once::First))
}
