//! The files that pages refer to: style, scripts, icon. Embedded in the binary and served under `/assets/` by a name
//! that carries a hash of the content, so that browsers may keep them for ever.
//!
//! Everything a page loads is here: nothing comes from a third party, and nothing is inline (S-H11).
//! This module knows names and bytes; headers other than these are the server's.

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::refuse;

use crate::base::digest::sha256;
use crate::base::encoding::{base62, from_base62};

/// A file as it is served.
#[derive(Debug)]
pub struct Asset {
    /// The name in the tree, which templates use: `app.css`.
    pub name: &'static str,
    /// The content.
    pub bytes: &'static [u8],
    /// The value of `Content-Type`, with its charset where the type has one.
    pub content_type: &'static str,
    /// The address in pages: `/assets/app.<hash>.css`.
    url: String,
}

/// An asset that was asked for, and how long the asker may keep it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The file.
    pub asset: &'static Asset,
    /// The value of `Cache-Control`.
    pub cache_control: &'static str,
}

/// Where assets live, with the slash that ends it.
pub const ROOT: &str = "/assets/";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_EACH_TIME: &str = "no-cache";

/// Bytes of the digest in an address: enough to tell versions of our own files apart; nothing is secured by it.
const HASHED_BYTES: usize = 8;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml; charset=utf-8";

static ASSETS: LazyLock<[Asset; 6]> = LazyLock::new(|| {
    [
        asset("app.css", CSS, include_bytes!("../../static/app.css")),
        asset("form_post.js", JAVASCRIPT, include_bytes!("../../static/form_post.js")),
        asset("copy.js", JAVASCRIPT, include_bytes!("../../static/copy.js")),
        asset("passkey.js", JAVASCRIPT, include_bytes!("../../static/passkey.js")),
        asset("reveal.js", JAVASCRIPT, include_bytes!("../../static/reveal.js")),
        asset("favicon.svg", SVG, include_bytes!("../../static/favicon.svg")),
    ]
});

/// The address of the asset `name`, for templates. A name that is not in the tree has an empty address; a test renders
/// every page and follows every address, so that none leaves the house.
pub fn asset_url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// The asset behind the last segment of `/assets/{file}`: `app.<hash>.css`, or `app.css`.
///
/// While nodes of two versions serve one issuer, a page of one may ask the other for its style: a hash that is not ours
/// finds our version of the file, which is better than a page without style, but must not be kept under that name.
pub fn find(file: &str) -> Option<Found> {
    ASSETS.iter().find_map(|asset| {
        let cache_control = if asset.url.strip_prefix(ROOT) == Some(file) {
            FOR_EVER
        } else if asset.name == file || is_other_version(asset.name, file) {
            ASK_EACH_TIME
        } else {
            return None;
        };
        Some(Found { asset, cache_control })
    })
}

/// `/assets/{file}`: style, scripts, icon.
pub(super) async fn file(req: HttpRequest, file: web::Path<String>) -> HttpResponse {
    match find(&file) {
        Some(found) => HttpResponse::Ok()
            .content_type(found.asset.content_type)
            .insert_header((header::CACHE_CONTROL, found.cache_control))
            .body(found.asset.bytes),
        None => refuse::not_found(req).await,
    }
}

/// Whether `file` is `name` with some hash in it.
fn is_other_version(name: &str, file: &str) -> bool {
    name.split_once('.')
        .and_then(|(stem, extension)| file.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(extension))
        .and_then(|middle| middle.strip_suffix('.'))
        .is_some_and(|hash| from_base62(hash, HASHED_BYTES).is_some())
}

fn asset(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let hash = base62(sha256(bytes).split_at(HASHED_BYTES).0);
    let url = format!("{ROOT}{stem}.{hash}.{extension}");
    Asset { name, bytes, content_type, url }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_found_by_the_address_that_pages_use_and_may_be_kept() {
        for asset in ASSETS.iter() {
            let url = asset_url(asset.name);
            let found = find(url.strip_prefix(ROOT).unwrap()).unwrap();
            assert_eq!(found.asset.name, asset.name);
            assert_eq!(found.cache_control, FOR_EVER);
            assert!(!asset.bytes.is_empty());
        }
    }

    #[test]
    fn the_address_changes_with_the_content() {
        let [one, two] = [b"a", b"b"].map(|content| asset("app.css", CSS, content).url);
        assert_ne!(one, two);
        assert!(is_other_version("app.css", one.strip_prefix(ROOT).unwrap()));
    }

    #[test]
    fn another_version_of_a_file_is_answered_but_not_kept() {
        assert_eq!(find("app.00000000000.css").unwrap().cache_control, ASK_EACH_TIME);
        assert_eq!(find("app.css").unwrap().cache_control, ASK_EACH_TIME);
    }

    #[test]
    fn a_name_that_is_not_ours_finds_nothing() {
        for file in
            ["", "app", "app.", "app..css", "app.0123.css", "../app.css", "app.css/", "app.zzzzzzzzzzz.css"]
        {
            assert!(find(file).is_none(), "{file}");
        }
        assert_eq!(asset_url("absent.css"), "");
    }

    #[test]
    fn styles_and_scripts_load_nothing_from_elsewhere() {
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for word in ["@import", "url(", "eval(", "innerHTML", "fetch(", "href="] {
                assert!(!text.contains(word), "{} holds {word}", asset.name);
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("//www") && !elsewhere.contains("http"), "{}", asset.name);
        }
    }
}
