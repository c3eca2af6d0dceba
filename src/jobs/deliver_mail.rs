//! Delivers what lies in the outbox: at once when an act of this node put something there, and by a timer what others left or could not
//! deliver. Failures wait 1, 2, 4, … minutes; after a day, or when its link is dead, a mail is given up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::app::{App, Letter};
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::store::mails::{self, Taken};

/// How often it is looked for what nobody woke us for.
const EVERY: Duration = Duration::from_secs(2);
/// How many are on their way at once.
const BATCH: i64 = 8;
/// For how long a mail is ours, in seconds: longer than the server may take for it.
const LEASE: i64 = 120;
/// The first wait after a failure, in seconds; each further one is twice as long.
const FIRST_WAIT: i64 = 60;
/// How old a mail may become, in seconds.
const OLDEST: i64 = 86_400;

/// Runs for as long as the node.
pub async fn run(app: Arc<App>) {
    if !app.mail.is_on() {
        return;
    }
    loop {
        if let Err(error) = deliver(&app).await {
            tracing::warn!(%error, "the outbox cannot be read; it is tried again");
        }
        tokio::select! {
            () = app.mail.woken() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Delivers what is due now.
async fn deliver(app: &App) -> Result<(), crate::store::StoreError> {
    loop {
        let now = app.now();
        if !app.store.read(move |conn| mails::any_due(conn, now)).await? {
            return Ok(());
        }
        let taken = app.store.write(move |conn| mails::take(conn, now, now.plus(LEASE), BATCH)).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let ends = join_all(taken.into_iter().map(|mail| hand_over(app, mail))).await;
        for end in ends {
            end?;
        }
    }
}

/// One try.
async fn hand_over(app: &App, mail: Taken) -> Result<(), crate::store::StoreError> {
    let now = app.now();
    let Taken { id, attempt, .. } = mail;
    let opened = app.vault.open_bytes(Purpose::Mail, &mail.sealed);
    let Some(letter) = opened.and_then(|plain| serde_json::from_slice::<Letter>(&plain).ok()) else {
        tracing::error!(mail = %id, "a mail cannot be opened; it is removed");
        return end(app, &mail, "unreadable").await;
    };
    let last = mail.created_at.plus(OLDEST).min(Timestamp::from_secs(letter.useless_at));
    if now >= last {
        tracing::warn!(mail = %id, attempt, "a mail is given up: what it says is over");
        return end(app, &mail, "given_up").await;
    }
    match app.mail.send(id, &letter).await {
        Ok(()) => end(app, &mail, "sent").await,
        Err(problem) => {
            metrics::counter!("cnx_mails_total", "outcome" => "failed").increment(1);
            let wait = FIRST_WAIT << u32::try_from(attempt - 1).unwrap_or(0).min(11);
            tracing::warn!(mail = %id, attempt, problem, wait, "a mail was not taken; it is tried again");
            app.store.write(move |conn| mails::put_off(conn, id, attempt, now.plus(wait))).await?;
            Ok(())
        }
    }
}

/// Nothing is left to be done.
async fn end(app: &App, mail: &Taken, outcome: &'static str) -> Result<(), crate::store::StoreError> {
    let id = mail.id;
    app.store.write(move |conn| mails::remove(conn, id)).await?;
    metrics::counter!("cnx_mails_total", "outcome" => outcome).increment(1);
    Ok(())
}
