//! `/console/service-accounts/{id}/trust`: a new trust rule, by platform.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::account_page::none;
use super::page::{self, answer, below, desk, is_checked, lines, see};
use super::service_accounts::HERE;
use crate::flow::service_accounts::{self as accounts, AccountError};
use crate::flow::trust::{self, NewRule};
use crate::oauth::assertion::LONGEST;
use crate::oauth::params::Params;
use crate::oauth::service_account::ServiceAccount;
use crate::oauth::trust::{ClaimRule, IssuerKeys};
use crate::web::pages::desk::{Act, Field, Kind, Section, Tone, say};
use crate::web::seat::{Seat, posted_fresh, seat};
use crate::web::{Node, refuse};

/// A platform: its word, what it is called, its usual issuer, and the longest life of its tokens in seconds.
struct Platform {
    word: &'static str,
    title: &'static str,
    issuer: &'static str,
    longest: i64,
}

const PLATFORMS: [Platform; 4] = [
    Platform {
        word: "github",
        title: "Trust jobs of GitHub Actions",
        issuer: "https://token.actions.githubusercontent.com",
        longest: LONGEST,
    },
    Platform {
        word: "gitlab",
        title: "Trust jobs of GitLab CI",
        issuer: "https://gitlab.com",
        longest: LONGEST,
    },
    // The extension of a projected token for old clients lasts a year.
    Platform {
        word: "kubernetes",
        title: "Trust pods of a Kubernetes cluster",
        issuer: "",
        longest: 366 * 86_400,
    },
    Platform { word: "oidc", title: "Trust another OpenID Connect issuer", issuer: "", longest: LONGEST },
];

fn platform(word: &str) -> &'static Platform {
    let [.., last] = &PLATFORMS;
    PLATFORMS.iter().find(|platform| platform.word == word).unwrap_or(last)
}

/// GET.
pub(in crate::web) async fn ask(app: Node, req: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    match accounts::find(&app, &id).await {
        Ok(account) => {
            let query = page::query(&req);
            let platform = platform(query.get("platform").unwrap_or_default());
            form_page(&app, &req, &seat, &account, platform, None, None)
        }
        Err(AccountError::Error(error)) => refuse::page(&req, &error),
        Err(_) => none(&app, &req, &seat),
    }
}

/// POST.
pub(in crate::web) async fn add(
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
    let platform = platform(form.get("platform").unwrap_or_default());
    let problem = match rule(&form, platform) {
        Ok(rule) => match trust::add(&app, &seat.by(&app, &req), account.id.as_str(), rule).await {
            Ok(_) => return see(&below(HERE, account.id.as_str()), "rule-added"),
            Err(AccountError::Error(error)) => return refuse::page(&req, &error),
            Err(AccountError::Field(error)) => (
                match error.field {
                    "issuer" => "issuer",
                    "jwks" | "jwks-uri" => "jwks_uri",
                    _ => "claims",
                },
                error.problem,
            ),
            Err(other) => ("issuer", other.to_string()),
        },
        Err(problem) => problem,
    };
    form_page(&app, &req, &seat, &account, platform, Some(&form), Some(problem))
}

/// The rule that a form asks for.
fn rule(form: &Params, platform: &Platform) -> Result<NewRule, (&'static str, String)> {
    let needed = |name: &'static str| {
        let typed = form.get(name).map(str::trim).filter(|text| !text.is_empty());
        typed.map(str::to_owned).ok_or_else(|| (name, "it is needed".to_owned()))
    };
    let several = |name: &str, values: Vec<String>| {
        (!values.is_empty()).then(|| ClaimRule { name: name.to_owned(), values })
    };
    let mut claims = Vec::new();
    match platform.word {
        "github" => {
            claims.push(ClaimRule::one("repository", needed("repo")?));
            claims.extend(several("ref", lines(form.get("refs"))));
            claims.extend(several("environment", lines(form.get("environment"))));
        }
        "gitlab" => {
            claims.push(ClaimRule::one("project_path", needed("repo")?));
            claims.extend(several("ref", lines(form.get("refs"))));
            claims.extend(several("environment", lines(form.get("environment"))));
            claims.extend(is_checked(form, "protected").then(|| ClaimRule::one("ref_protected", "true")));
        }
        "kubernetes" => {
            let (namespace, account) = (needed("namespace")?, needed("account")?);
            claims.push(ClaimRule::one("sub", format!("system:serviceaccount:{namespace}:{account}")));
        }
        _ => {}
    }
    for line in lines(form.get("claims")) {
        let (name, value) =
            line.split_once('=').ok_or_else(|| ("claims", format!("{line}: NAME=VALUE is allowed")))?;
        match claims.iter_mut().find(|claim| claim.name == name) {
            Some(claim) => claim.values.push(value.to_owned()),
            None => claims.push(ClaimRule::one(name, value)),
        }
    }
    Ok(NewRule {
        provider: platform.word,
        issuer: needed("issuer")?,
        keys: form.get("jwks_uri").map_or(IssuerKeys::Discover, |uri| IssuerKeys::Uri(uri.trim().to_owned())),
        audience: lines(form.get("audience")),
        claims,
        allowed_events: lines(form.get("events")),
        // A pod reads the same token from its file until it is renewed, and may present it as often as it likes.
        reusable: platform.word == "kubernetes" || is_checked(form, "reusable"),
        longest: platform.longest,
    })
}

fn fields(platform: &Platform, typed: Option<&Params>) -> Vec<Field> {
    let kept = |name: &str| typed.and_then(|form| form.get(name)).unwrap_or_default().to_owned();
    let line = |name, label| Field::new(name, label, Kind::Line("off"), kept(name));
    let several = |name, label| Field::new(name, label, Kind::Lines, kept(name)).optional();
    let issuer = if typed.is_some() { kept("issuer") } else { platform.issuer.to_owned() };
    let mut fields = vec![
        Field::new("issuer", "Issuer", Kind::Line("off"), issuer)
            .hint("The iss of its tokens: an https address."),
    ];
    match platform.word {
        "github" | "gitlab" => {
            fields.push(if platform.word == "github" {
                line("repo", "Repository").hint("org/app")
            } else {
                line("repo", "Project").hint("group/app")
            });
            fields.push(
                several("refs", "Branches and tags")
                    .hint("One on each line; only here a * may stand at the end. Any when it is left out."),
            );
            fields.push(line("environment", "Deployment environment").optional());
            if platform.word == "gitlab" {
                let label = "Only protected branches and tags";
                fields.push(Field::new("protected", label, Kind::Check, kept("protected")));
            }
            fields.push(
                several("events", "Events that strangers can cause and that are allowed all the same")
                    .hint("One on each line. None is safest."),
            );
        }
        "kubernetes" => {
            fields.push(line("namespace", "Namespace"));
            fields.push(line("account", "The pod's service account"));
        }
        _ => {
            let label = "One token may be presented more than once";
            fields.push(Field::new("reusable", label, Kind::Check, kept("reusable")));
        }
    }
    let mut claims = several("claims", "Further claims")
        .hint("NAME=VALUE, one on each line; the same name again means one of these values.");
    if platform.word == "oidc" {
        claims.optional = false;
        claims.label = "Claims";
    }
    fields.push(claims);
    fields.push(
        several("audience", "Audience")
            .hint("Whom the tokens must be for, one on each line; this server when it is left out."),
    );
    fields.push(
        line("jwks_uri", "Where the issuer's keys are")
            .optional()
            .hint("An https address; the issuer's metadata says when it is left out."),
    );
    fields
}

fn form_page(
    app: &Node,
    req: &HttpRequest,
    seat: &Seat,
    account: &ServiceAccount,
    platform: &Platform,
    typed: Option<&Params>,
    problem: Option<(&str, String)>,
) -> HttpResponse {
    let action = format!("{}/trust", below(HERE, account.id.as_str()));
    let mut act = Act::new(action, "trust-add", "add", "Add the rule")
        .tone(Tone::Good)
        .hidden("platform", platform.word)
        .fields(fields(platform, typed));
    if let Some((field, problem)) = problem {
        act.refuse(field, problem);
    }
    let mut page = desk(app, req, seat, HERE, (platform.title, ""));
    page.above = Some((HERE, "Service accounts"));
    page.thing = Some(account.name.clone());
    let about = vec![vec![say("Whoever gets such a token from the platform acts as this account.")]];
    page.sections = vec![Section { about, acts: vec![act], ..Section::default() }];
    answer(req, &page)
}
