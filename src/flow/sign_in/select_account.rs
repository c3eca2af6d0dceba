//! `prompt=select_account`: go on as the person who is signed in, or sign in as another.

use crate::app::App;
use crate::flow::authorize;
use crate::flow::caller::Browser;
use crate::flow::session::{self, Live};
use crate::oauth::authorize::Authorize;
use crate::oauth::error::Refusal;

/// What the page shows.
#[derive(Debug)]
pub struct Choice {
    /// Who is signed in; nobody when the session ended meanwhile.
    pub live: Option<Live>,
    /// The request that waits.
    pub request: Authorize,
}

/// Looks at the request and who is signed in.
pub async fn view(app: &App, sealed: &str, browser: &Browser) -> Result<Choice, Refusal> {
    let now = app.now();
    let resumed = authorize::open(app, sealed, browser, now)?;
    let live = session::find(app, browser, now).await.map_err(Refusal::Page)?;
    Ok(Choice { live, request: resumed.request })
}

/// Goes on as the person who is signed in: the request, sealed again with the choice noted.
pub async fn go_on(app: &App, sealed: &str, browser: &Browser) -> Result<String, Refusal> {
    let now = app.now();
    let resumed = authorize::open(app, sealed, browser, now)?;
    let live = session::find(app, browser, now).await.map_err(Refusal::Page)?;
    Ok(match live {
        Some(live) => authorize::seal(app, &resumed.pending.with_selected(live.session.id)),
        None => sealed.to_owned(),
    })
}
