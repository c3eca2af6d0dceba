//! `/dev/mail`: what a server in development would have sent. It is there only where mail is written into a folder and the issuer is this
//! machine; everywhere else it is an address that is not ours.

use actix_web::{HttpRequest, HttpResponse};

use super::pages::{DevMail, MailLine, MailShown};
use super::{Node, refuse, reply};
use crate::app;
use crate::base::fault::Fault;
use crate::oauth::error::OAuthError;

/// Mails that are shown.
const MOST: usize = 50;

/// GET: the newest.
pub(super) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let folder = app.mail.folder().filter(|_| app.settings.public_url.is_loopback());
    let Some(folder) = folder.map(ToOwned::to_owned) else { return refuse::not_found(req).await };
    let read = tokio::task::spawn_blocking(move || app::newest(&folder, MOST)).await;
    let written = match read {
        Ok(Ok(written)) => written,
        Ok(Err(error)) => {
            let fault = Fault::new("reading the folder of mails", error);
            return refuse::page(&req, &OAuthError::Server(fault));
        }
        Err(error) => {
            let fault = Fault::new("reading the folder of mails", error);
            return refuse::page(&req, &OAuthError::Server(fault));
        }
    };
    let base = format!("{}/", app.issuer());
    let line = |text: &str| {
        let text = text.trim();
        if text.starts_with(&base) {
            MailLine::Link(text.to_owned())
        } else {
            MailLine::Text(text.to_owned())
        }
    };
    let mails = written.into_iter().map(|mail| MailShown {
        lines: mail.text.lines().filter(|text| !text.trim().is_empty()).map(line).collect(),
        to: mail.to,
        subject: mail.subject,
        date: mail.date,
    });
    let page = DevMail { frame: reply::frame(&app, &req), mails: mails.collect() };
    reply::page(&req, &page)
}
