//! `/console/service-accounts/{id}`: one account, its keys and its trust rules.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::page::{absent, answer, below, desk, listed, see, with};
use super::service_accounts::{HERE, state};
use crate::base::algorithm::Algorithm;
use crate::base::time::Timestamp;
use crate::flow::service_accounts::{self as accounts, AccountError};
use crate::flow::trust;
use crate::oauth::client::AccessTokenFormat;
use crate::oauth::params::Params;
use crate::oauth::service_account::{AccountKey, ServiceAccount};
use crate::oauth::trust::TrustRule;
use crate::web::pages::desk::{
    Act, Desk, Field, Kind, Piece, Section, Table, Tone, Words, at, code, say, tag, text,
};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match accounts::find(&app, &id).await {
        Ok(account) => answer(&req, &page_of(&app, &req, &seat, &account, None)),
        Err(AccountError::Error(error)) => refuse::page(&req, &error),
        Err(_) => none(&app, &req, &seat),
    }
}

/// What is said where no account is.
pub(super) fn none(app: &Node, req: &HttpRequest, seat: &Seat) -> HttpResponse {
    let mut page = desk(app, req, seat, HERE, ("Service account", ""));
    page.above = Some((HERE, "Service accounts"));
    absent(req, page, "No service account has this id.")
}

/// POST: `act` says what.
pub(in crate::web) async fn change(
    app: Node,
    req: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> HttpResponse {
    let (seat, form) = match posted_fresh(&app, &req, payload).await {
        Ok(both) => both,
        Err(instead) => return instead,
    };
    let account = match accounts::find(&app, &id).await {
        Ok(account) => account,
        Err(AccountError::Error(error)) => return refuse::page(&req, &error),
        Err(_) => return none(&app, &req, &seat),
    };
    let (by, path) = (seat.by(&app, &req), below(HERE, account.id.as_str()));
    let lifetime = form.get("lifetime").and_then(|days| days.parse::<i64>().ok()).map(|days| days * 86_400);
    let done = match form.get("act").unwrap_or_default() {
        "key" if form.get("seen") != Some(seen(&account).as_str()) => return see(&path, "stale"),
        "key" => {
            let alg = form.get("alg").unwrap_or_default().parse().unwrap_or(Algorithm::Es256);
            match accounts::make_key(&app, &by, &account, alg, lifetime).await {
                Ok((key, pem)) => {
                    let file = accounts::key_file(&app, &account, &key, &pem).to_string();
                    return with_file(&app, &req, &seat, &account, file).await;
                }
                Err(error) => Err(error),
            }
        }
        "register" => {
            let key = form.get("public_key").unwrap_or_default();
            accounts::register_key(&app, &by, &account, key, lifetime).await.map(|_| "key-added")
        }
        "revoke" => {
            let kid = form.get("kid").unwrap_or_default();
            accounts::revoke_key(&app, &by, &account, kid).await.map(|()| "key-revoked")
        }
        "remove-rule" => match trust::remove(&app, &by, form.get("rule").unwrap_or_default()).await {
            Ok(true) => Ok("rule-removed"),
            Ok(false) => Ok("gone"),
            Err(error) => Err(error),
        },
        "disable" => accounts::set_disabled(&app, &by, account.id.as_str(), true).await.map(|_| "disabled"),
        "enable" => accounts::set_disabled(&app, &by, account.id.as_str(), false).await.map(|_| "enabled"),
        _ => return see(&path, "stale"),
    };
    match done {
        Ok(done) => see(&path, done),
        Err(AccountError::Error(error)) => refuse::page(&req, &error),
        Err(AccountError::UnknownKey { .. }) => see(&path, "gone"),
        Err(error) => {
            let mut page = page_of(&app, &req, &seat, &account, Some(&form));
            let mut acts = page.sections.iter_mut().flat_map(|section| &mut section.acts);
            let problem = match error {
                AccountError::Field(error) => error.problem,
                other => other.to_string(),
            };
            match acts.find(|act| act.id == "account-register" && form.get("act") == Some("register")) {
                Some(act) => act.refuse("public_key", problem),
                None => page.refused = Some(problem),
            }
            answer(&req, &page)
        }
    }
}

/// What tells that a key was added since a page was made.
fn seen(account: &ServiceAccount) -> String {
    format!("{}.{}", account.keys.len(), account.keys.first().map_or("", |key| key.kid.as_str()))
}

/// The account with a key file, shown this once.
async fn with_file(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    account: &ServiceAccount,
    file: String,
) -> HttpResponse {
    let now = accounts::find(app, account.id.as_str()).await;
    let mut page = page_of(app, req, seat, now.as_ref().unwrap_or(account), None);
    let mut made = Section::headed("The key file");
    made.about = vec![
        vec![say(
            "It is shown this once: save it as a file that the program alone can read. The private key is kept nowhere here.",
        )],
        vec![Piece::Secret("account-key-file", file)],
    ];
    page.sections.insert(0, made);
    answer(req, &page)
}

fn page_of(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    account: &ServiceAccount,
    typed: Option<&Params>,
) -> Desk {
    let now = app.now();
    let mut page = desk(app, req, seat, HERE, ("Service account", ""));
    page.above = Some((HERE, "Service accounts"));
    page.thing = Some(account.name.clone());
    page.sections.push(Section { facts: facts(account), ..Section::default() });
    page.sections.push(keys(account, now, typed));
    page.sections.push(rules(account));
    page.sections.push(Section { acts: vec![disable(account)], ..Section::headed("Change") });
    page
}

fn facts(account: &ServiceAccount) -> Vec<(&'static str, Vec<Piece>)> {
    let policy = &account.policy;
    let subject = format!("service_account:{}", account.id);
    let scope = policy.scope.to_string();
    vec![
        ("State", vec![state(account)]),
        ("Id", vec![code(&account.id)]),
        ("Scopes", vec![if scope.is_empty() { say("none") } else { text(scope) }]),
        ("What its access tokens are for", listed(&policy.audience, "this server")),
        (
            "Where its public keys are",
            vec![policy.jwks_uri.as_deref().map_or_else(|| say("here alone"), text)],
        ),
        ("Stock google-auth libraries", vec![say(if policy.google_auth { "yes" } else { "no" })]),
        (
            "Access tokens",
            vec![say(if policy.access_token_format == AccessTokenFormat::Jwt { "JWT" } else { "opaque" })],
        ),
        ("Added", vec![Piece::At(account.created_at)]),
        (
            "More",
            vec![
                Piece::Go(with("/console/audit", &[("actor", &subject)]), "What it did".into()),
                Piece::Go(with("/console/audit", &[("subject", &subject)]), "What was done to it".into()),
            ],
        ),
    ]
}

fn keys(account: &ServiceAccount, now: Timestamp, typed: Option<&Params>) -> Section {
    let path = below(HERE, account.id.as_str());
    let row = |(n, key): (usize, &AccountKey)| {
        let (state, revoke) = match (key.revoked_at, key.is_live(now)) {
            (Some(_), _) => (tag("revoked", Tone::Danger), None),
            (None, false) => (tag("expired", Tone::Plain), None),
            (None, true) => {
                let act = Act::new(path.clone(), format!("account-revoke-{n}"), "revoke", "Revoke");
                (tag("works", Tone::Good), Some(act.tone(Tone::Danger).hidden("kid", key.kid.as_str())))
            }
        };
        vec![
            vec![code(&key.kid)],
            vec![text(key.alg.name())],
            vec![state],
            vec![Piece::At(key.created_at)],
            vec![at(key.expires_at, "never")],
            vec![at(key.last_used_at, "never")],
            revoke.map(|act| Piece::Form(Box::new(act))).into_iter().collect(),
        ]
    };
    let table = Table {
        caption: "Keys",
        heads: vec!["Key ID", "Algorithm", "State", "Added", "Expires", "Last used", ""],
        rows: account.keys.iter().enumerate().map(row).collect(),
        empty: "It has no key.",
        ..Table::default()
    };
    let algorithms = Algorithm::ALL.map(|alg| (alg.name().to_owned(), Words::Borrowed(alg.name())));
    let usual = if account.policy.google_auth { Algorithm::Rs256 } else { Algorithm::Es256 };
    let lifetimes =
        [("90", "90 days"), ("30", "30 days"), ("365", "365 days"), ("", "as long as the settings allow")];
    let lifetimes = lifetimes.map(|(value, words)| (value.to_owned(), Words::Borrowed(words))).to_vec();
    let lifetime =
        || Field::new("lifetime", "It works for", Kind::Choice(lifetimes.clone()), "90").optional();
    let typed = typed.and_then(|form| form.get("public_key")).unwrap_or_default();
    let make = Act::new(path.clone(), "account-key", "key", "Make a key")
        .hidden("seen", seen(account))
        .fold("Make a key")
        .about(vec![say("The key file is shown once, on the next page.")])
        .fields(vec![
            Field::new("alg", "Algorithm", Kind::Choice(algorithms.to_vec()), usual.name()),
            lifetime(),
        ]);
    let register = Act::new(path.clone(), "account-register", "register", "Register the key")
        .fold("Register a public key")
        .about(vec![say("Of a key whose private half this server never has.")])
        .fields(vec![
            Field::new("public_key", "Public key", Kind::Lines, typed).hint("PEM, or a JSON Web Key."),
            lifetime(),
        ]);
    Section { table: Some(table), acts: vec![make, register], ..Section::headed("Keys") }
}

fn rules(account: &ServiceAccount) -> Section {
    let path = below(HERE, account.id.as_str());
    let row = |(n, rule): (usize, &TrustRule)| {
        let claims =
            rule.claims.iter().map(|claim| code(&format!("{}={}", claim.name, claim.values.join("|"))));
        let act = Act::new(path.clone(), format!("account-rule-{n}"), "remove-rule", "Remove")
            .tone(Tone::Danger)
            .hidden("rule", rule.id.to_string());
        vec![
            vec![text(rule.provider.as_str())],
            vec![text(rule.issuer.as_str())],
            claims.collect(),
            listed(&rule.audience, "this server"),
            vec![Piece::At(rule.created_at)],
            vec![Piece::Form(Box::new(act))],
        ]
    };
    let table = Table {
        caption: "Trust rules",
        heads: vec!["Platform", "Issuer", "Claims", "Audience", "Added", ""],
        rows: account.rules.iter().enumerate().map(row).collect(),
        empty: "It trusts no platform.",
        ..Table::default()
    };
    let add = |provider: &'static str, words: &'static str| {
        vec![Piece::Go(with(&format!("{path}/trust"), &[("platform", provider)]), words.into())]
    };
    Section {
        about: vec![
            vec![say(
                "A platform's own tokens speak for the account, so that a deployment keeps no key at all.",
            )],
            add("github", "Trust jobs of GitHub Actions"),
            add("gitlab", "Trust jobs of GitLab CI"),
            add("kubernetes", "Trust pods of a Kubernetes cluster"),
            add("oidc", "Trust another OpenID Connect issuer"),
        ],
        table: Some(table),
        ..Section::headed("Trust rules")
    }
}

fn disable(account: &ServiceAccount) -> Act {
    let path = below(HERE, account.id.as_str());
    if account.is_active() {
        Act::new(path, "account-disable", "disable", "Disable")
            .tone(Tone::Danger)
            .fold("Disable the service account")
            .about(vec![say(
                "It gets no tokens any more, and those that it has are refused, until it is enabled again.",
            )])
    } else {
        Act::new(path, "account-enable", "enable", "Enable")
            .fold("Enable the service account")
            .about(vec![say("It works again as before.")])
    }
}
