//! `/console/explain`: which check refused a request, by the id that its answer carried.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::page::{self, answer, desk, with};
use crate::flow::explain::{self, Explained};
use crate::store::audit::{Entry, Event, Outcome};
use crate::web::pages::desk::{Act, Field, Kind, Piece, Section, Table, Tone, code, say, tag, text};
use crate::web::seat::seat;
use crate::web::{Node, refuse};

const HERE: &str = "/console/explain";
/// An id is never longer.
const LONGEST: usize = 128;

/// What a check is, in words of somebody who helps others: the act and the reason as they are written down, which check it was, and
/// what mends it.
const CHECKS: [(&str, &str, &str, &str); 33] = [
    (
        "check.refused",
        "NOT_FOUND",
        "The key or token is not known, or is not what it says.",
        "Compare its first and last characters with the list of keys; a token may simply be over.",
    ),
    ("check.refused", "REVOKED", "The key was revoked.", "Mint another one."),
    (
        "check.refused",
        "EXPIRED",
        "The key, or the secret of it that came, is over.",
        "Mint another one, or use the secret that the last rotation gave.",
    ),
    ("check.refused", "NOT_YET_VALID", "The time of the key has not come.", "Wait, or compare the clocks."),
    ("check.refused", "DISABLED", "The key is disabled.", "Enable it again."),
    (
        "check.refused",
        "IP_NOT_ALLOWED",
        "The key may not be used from that address.",
        "Compare the address with the networks of the key. Behind a proxy, the proxy must be in trusted_proxies.",
    ),
    (
        "check.refused",
        "INSUFFICIENT_SCOPE",
        "The key or token lacks a scope that the route needs.",
        "Mint a key with that scope.",
    ),
    (
        "check.refused",
        "RATE_LIMITED",
        "The limit of the key is used up.",
        "Wait as long as Retry-After says, or give the organization a burst.",
    ),
    (
        "client.refused",
        "",
        "The app did not prove who it is: its id is unknown, it is disabled, or its secret is not the right one.",
        "Compare the client ID; make a new secret if in doubt.",
    ),
    (
        "user.sign_in_refused",
        "wrong name or password",
        "The name or the password was wrong, or the account is disabled.",
        "Look whether the account is active; send a link to set a password.",
    ),
    (
        "user.sign_in_refused",
        "throttled",
        "There were too many wrong tries lately, for this account or from this place.",
        "Wait; a browser that was signed in before is not held up.",
    ),
    (
        "",
        "unknown",
        "Nothing of that name or form is known.",
        "It may be from another server, or was made up.",
    ),
    ("", "spent", "A code works once, and it was used before.", "The app must not send a code twice."),
    ("", "expired", "Its time is over.", "Begin anew, and compare the clocks."),
    (
        "",
        "other_client",
        "It belongs to another app.",
        "Compare the client ID with that of the request that began it.",
    ),
    (
        "",
        "other_redirect",
        "The redirect URI is not the one of the authorization request.",
        "The app must send the same redirect URI both times.",
    ),
    (
        "",
        "wrong_verifier",
        "The PKCE verifier is missing, is wrong, or was not asked for.",
        "The app must keep the verifier of the request that it began with.",
    ),
    (
        "",
        "replayed",
        "An old refresh token came back after its successor was used; everything that came from it was revoked.",
        "The app must keep the newest refresh token. If it does, somebody else has a copy.",
    ),
    ("", "revoked", "It was revoked.", "Sign in again."),
    (
        "",
        "no_longer_granted",
        "The person or their sign-in is gone or disabled, or they took back what they allowed.",
        "Sign in again.",
    ),
    (
        "",
        "malformed",
        "The assertion is no JWT that can be read, or a claim of it has the wrong type.",
        "Compare it with the guide for machines.",
    ),
    (
        "",
        "wrong_type",
        "The typ of the assertion says that it is something else.",
        "An assertion has typ JWT, or none.",
    ),
    (
        "",
        "unknown_key",
        "No key of that kid and algorithm is registered.",
        "Register the public key, and compare the kid.",
    ),
    (
        "",
        "wrong_signature",
        "The signature is not that of the key.",
        "The program uses another private key than the one whose public half is registered.",
    ),
    (
        "",
        "wrong_issuer",
        "The iss is not who it must be.",
        "It is the id of the service account or of the app.",
    ),
    ("", "wrong_subject", "The sub is not who it must be.", "It is the same as iss."),
    ("", "wrong_audience", "The aud is not this server.", "It is the issuer, as the metadata has it."),
    ("", "not_yet_valid", "The iat or nbf lies ahead.", "Compare the clocks."),
    ("", "too_long_lived", "The exp is further away than is allowed.", "An assertion lives an hour at most."),
    ("", "no_token_id", "There is no jti, and one is needed.", "Give every assertion a jti of its own."),
    ("", "disabled", "The service account or the app is disabled.", "Enable it again."),
    (
        "",
        "no_rule",
        "No trust rule takes the token of this issuer: a claim is not what a rule asks for.",
        "Compare the claims of the token with the trust rules.",
    ),
    (
        "",
        "risky_event",
        "The token comes from an event that a stranger can cause.",
        "Run the job on another event, or allow this one in the trust rule.",
    ),
];

/// Which check it was, and what mends it.
fn in_words(act: &str, reason: Option<&str>) -> Option<(&'static str, &'static str)> {
    let reason = reason.unwrap_or_default();
    let fits =
        |check: &&(&str, &str, &str, &str)| (check.0 == act || check.0.is_empty()) && check.1 == reason;
    let (_, _, what, mend) = CHECKS.iter().find(fits)?;
    Some((what, mend))
}

/// GET.
pub(in crate::web) async fn show(app: Node, req: HttpRequest) -> HttpResponse {
    let seat = match seat(&app, &req).await {
        Ok(seat) => seat,
        Err(instead) => return instead,
    };
    let query = page::query(&req);
    let typed = query.get("request_id").unwrap_or_default();
    let id = typed.trim();
    let mut form = Act::asking(HERE, "explain", "Explain").fields(vec![
        Field::new("request_id", "Request ID", Kind::Line("off"), typed)
            .hint("The X-Request-Id of an answer; error pages and problem documents show it as well."),
    ]);
    let lead = "An answer tells its caller no more than it must. Here stands which check refused a request, what was needed and what came.";
    let mut page = desk(&app, &req, &seat, HERE, ("Explain", lead));
    let mut sections = Vec::new();
    if !id.is_empty() {
        if id.len() > LONGEST || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            form.refuse("request_id", "letters and digits are allowed, as the answer had them");
        } else {
            match explain::find(&app, id).await {
                Ok(explained) => sections = told(id, &explained),
                Err(error) => return refuse::page(&req, &error),
            }
        }
    }
    page.sections = vec![Section { acts: vec![form], ..Section::default() }];
    page.sections.extend(sections);
    answer(&req, &page)
}

fn told(id: &str, explained: &Explained) -> Vec<Section> {
    let mut sections = Vec::new();
    let refused = explained.refused.clone().or_else(|| {
        let refused = explained.events.iter().find(|event| event.entry.outcome == Outcome::Refused);
        refused.map(|event| event.entry.clone())
    });
    match refused {
        Some(entry) => sections.push(why(&entry)),
        None if explained.events.is_empty() => {
            let mut nothing = Section::headed("Nothing is known of this request");
            nothing.about = vec![
                vec![text(id)],
                vec![say(
                    "It was not refused by a check that looks at who asks; or it is more than a day ago; or too many were refused in that minute to keep each; or it is from another server. What another node refused is here within a minute.",
                )],
            ];
            sections.push(nothing);
        }
        None => {
            let mut fine = Section::headed("It was not refused");
            fine.about = vec![vec![say("What it did stands below.")]];
            sections.push(fine);
        }
    }
    if !explained.events.is_empty() {
        let table = Table {
            caption: "In the audit log",
            heads: vec!["Number", "When", "Act", "By", "On", "Outcome"],
            rows: explained.events.iter().map(row).collect(),
            ..Table::default()
        };
        sections.push(Section { table: Some(table), ..Section::headed("In the audit log") });
    }
    sections
}

fn why(entry: &Entry) -> Section {
    let mut section = Section::headed("It was refused");
    if let Some((what, mend)) = in_words(&entry.act, entry.reason.as_deref()) {
        section.facts.extend([("Why", vec![say(what)]), ("What mends it", vec![say(mend)])]);
    }
    let details = entry.details.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut members = details.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, label) in [("needed", "What was needed"), ("came", "What came")] {
        match members.remove(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) => section.facts.push((label, vec![text(value)])),
            Some(other) => section.facts.push((label, vec![code(&other)])),
        }
    }
    members.retain(|_, value| !value.is_null());
    if !members.is_empty() {
        section.facts.push(("More", vec![code(&Value::Object(members))]));
    }
    let mut check = vec![code(&entry.act)];
    check.extend(entry.reason.as_deref().map(code));
    section.facts.push(("Check", check));
    section.facts.push(("When", vec![Piece::At(entry.at)]));
    section.facts.push(("By", vec![text(entry.actor.as_str())]));
    section.facts.extend(entry.subject.as_deref().map(|subject| ("On", vec![text(subject)])));
    section.facts.extend(entry.address.as_deref().map(|address| ("Address", vec![text(address)])));
    section
}

fn row(event: &Event) -> Vec<Vec<Piece>> {
    let entry = &event.entry;
    let by = |value: &str| Piece::Link(with("/console/audit", &[("actor", value)]), value.to_owned());
    vec![
        vec![text(event.seq.to_string())],
        vec![Piece::At(entry.at)],
        vec![code(&entry.act)],
        vec![by(&entry.actor)],
        entry.subject.as_deref().map(text).into_iter().collect(),
        vec![match entry.outcome {
            Outcome::Done => tag("done", Tone::Good),
            Outcome::Refused => tag("refused", Tone::Danger),
        }],
    ]
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn a_reason_is_told_with_the_act_that_it_is_of() {
        assert!(in_words("check.refused", Some("NOT_FOUND")).is_some());
        assert!(in_words("grant.refused", Some("wrong_verifier")).is_some());
        assert!(in_words("assertion.refused", Some("no_rule")).is_some());
        assert!(in_words("client.refused", None).is_some());
        assert!(in_words("user.sign_in_refused", Some("throttled")).is_some());
        assert!(in_words("grant.refused", Some("NOT_FOUND")).is_none());
    }
}
