//! `/assets/organization/{file}`: the organization's logo and the style of its colour, under names that change with their content.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{Node, refuse};
use crate::base::digest::sha256;
use crate::base::encoding::base62;
use crate::store::organizations::Presence;

const ROOT: &str = "/assets/organization/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The address of the logo.
pub(super) fn logo_url(presence: &Presence) -> Option<String> {
    let (media, bytes) = presence.logo.as_ref()?;
    let ending = media.strip_prefix("image/").unwrap_or("png");
    Some(format!("{ROOT}logo.{}.{ending}", hash(bytes)))
}

/// The address of the style.
pub(super) fn style_url(presence: &Presence) -> Option<String> {
    let style = presence.colour?.style();
    Some(format!("{ROOT}style.{}.css", hash(style.as_bytes())))
}

/// Enough to tell versions apart; nothing is secured by it.
fn hash(bytes: &[u8]) -> String {
    base62(sha256(bytes).split_at(8).0)
}

/// GET. What has another name than the present one is of before, or of another node: it is not there.
pub(super) async fn file(app: Node, req: HttpRequest, file: web::Path<String>) -> HttpResponse {
    let presence = app.presence();
    let asked = format!("{ROOT}{file}");
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, FOR_EVER));
    if logo_url(&presence).as_deref() == Some(&asked)
        && let Some((media, bytes)) = &presence.logo
    {
        return answer.content_type(*media).body(bytes.clone());
    }
    match presence.colour {
        Some(colour) if style_url(&presence).as_deref() == Some(&asked) => {
            answer.content_type("text/css; charset=utf-8").body(colour.style())
        }
        _ => refuse::not_found(req).await,
    }
}
