//! `/console/signing-keys`: what signs now, what is published, what retires when.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{answer, desk, see};
use crate::base::algorithm::Algorithm;
use crate::flow::signing_keys;
use crate::jose::keyring::{KeyState, KeyStatus};
use crate::oauth::error::OAuthError;
use crate::web::pages::desk::{
    Act, Field, Kind, Piece, Section, Table, Tone, Words, at, code, say, tag, text,
};
use crate::web::seat::{posted_fresh, seat};
use crate::web::{Node, refuse};

const HERE: &str = "/console/signing-keys";

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let keyring = match app.keyring(app.now()) {
        Ok(keyring) => keyring,
        Err(fault) => return refuse::page(&req, &OAuthError::Server(fault)),
    };
    let table = Table {
        caption: "Signing keys",
        heads: vec!["Algorithm", "State", "Signs from", "Retires", "Leaves the key set", "Key ID", ""],
        rows: keyring.describe().iter().map(row).collect(),
        empty: "There is no key.",
        ..Table::default()
    };
    let lead = "This server signs tokens with them. They rotate by themselves: a new key is published before it signs, and stays \
                for as long as anything that it signed can live.";
    let mut page = desk(&app, &req, &seat, HERE, ("Signing keys", lead));
    let mut every = vec![("all".to_owned(), Words::Borrowed("every algorithm"))];
    every.extend(Algorithm::ALL.map(|alg| (alg.name().to_owned(), Words::Borrowed(alg.name()))));
    let whens = [
        ("published", "publish it now; it signs when every cache can know it"),
        (
            "now",
            "it signs at once: verifiers that cache the key set refuse its tokens until they read it again",
        ),
    ];
    let whens = whens.map(|(value, words)| (value.to_owned(), Words::Borrowed(words))).to_vec();
    let rotate =
        Act::new(HERE, "signing-key-rotate", "rotate", "Rotate").fold("Rotate before its time").fields(vec![
            Field::new("alg", "Which", Kind::Choice(every), "all"),
            Field::new("when", "When", Kind::Choice(whens), "published"),
        ]);
    page.sections = vec![Section { table: Some(table), acts: vec![rotate], ..Section::default() }];
    answer(&req, &page)
}

fn row(key: &KeyStatus) -> Vec<Vec<Piece>> {
    let state = match key.state {
        KeyState::Signing => tag("signing", Tone::Good),
        KeyState::Published => tag("published", Tone::Plain),
        KeyState::Retired => tag("retired", Tone::Plain),
        KeyState::Remembered => tag("remembered", Tone::Plain),
        KeyState::Revoked => tag("revoked", Tone::Danger),
    };
    let revoke = if key.state == KeyState::Revoked {
        Vec::new()
    } else {
        vec![Piece::Go(format!("{HERE}/revoke?kid={}", key.kid), "Revoke".into())]
    };
    vec![
        vec![text(key.alg.name())],
        vec![state],
        vec![Piece::At(key.sign_from)],
        vec![at(key.retires_at, "when its successor is made")],
        vec![at(key.leaves_at, "when its successor is made")],
        vec![code(&key.kid)],
        revoke,
    ]
}

/// POST: rotates.
pub(in crate::web) async fn rotate(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let wanted = form.get("alg").unwrap_or_default();
    let meant = Algorithm::ALL.into_iter().filter(|alg| wanted == "all" || alg.name() == wanted);
    for alg in meant {
        let at_once = form.get("when") == Some("now");
        if let Err(error) = signing_keys::rotate(&app, &seat.by(&app, &req), alg, at_once).await {
            return refuse::page(&req, &error);
        }
    }
    see(HERE, "rotated")
}

/// GET `/console/signing-keys/revoke?kid=…`: what dies with it.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let keyring = match app.keyring(app.now()) {
        Ok(keyring) => keyring,
        Err(fault) => return refuse::page(&req, &OAuthError::Server(fault)),
    };
    let query = super::page::query(&req);
    let kid = query.get("kid").unwrap_or_default();
    let known = keyring.describe().iter().find(|key| key.kid == kid && key.state != KeyState::Revoked);
    let Some(key) = known else { return see(HERE, "gone") };
    let dies = match key.state {
        KeyState::Signing => {
            "Every token that it signed stops working at once: access tokens at every API, and ID tokens that apps still hold. \
             People stay signed in here; apps get new tokens by their refresh tokens. Another key signs from this moment on."
        }
        KeyState::Published => "It has signed nothing yet. Another key takes its turn.",
        _ => {
            "What it signed before it retired stops working at once: tokens, and hints of who was signed in."
        }
    };
    let mut page =
        desk(&app, &req, &seat, HERE, ("Revoke a signing key", "For a key that somebody else may have."));
    page.above = Some((HERE, "Signing keys"));
    let act = Act::new(format!("{HERE}/revoke"), "signing-key-revoke", "revoke", "Revoke the key")
        .tone(Tone::Danger)
        .hidden("kid", key.kid.as_str());
    page.sections = vec![Section {
        about: vec![vec![say(dies)], vec![say("It cannot be brought back.")]],
        facts: vec![("Key ID", vec![code(&key.kid)]), ("Algorithm", vec![text(key.alg.name())])],
        acts: vec![act],
        ..Section::default()
    }];
    answer(&req, &page)
}

/// POST `/console/signing-keys/revoke`.
pub(in crate::web) async fn revoke(app: Node, req: HttpRequest, payload: Payload) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let kid = form.get("kid").unwrap_or_default();
    match signing_keys::revoke(&app, &seat.by(&app, &req), kid).await {
        Ok(true) => see(HERE, "revoked"),
        Ok(false) => see(HERE, "gone"),
        Err(error) => refuse::page(&req, &error),
    }
}
