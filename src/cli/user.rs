//! `cnx user`: people's accounts. They are found by user name, e-mail address or `user_id`.
//!
//! A password comes on standard input or is set by its owner through a one-time link; it is never an argument.

#![expect(clippy::doc_markdown, reason = "comments on arguments are their help, printed as they stand")]

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Context, Refused, by, print, stdin};
use crate::account::role::Role;
use crate::account::user::User;
use crate::app::App;
use crate::base::time::Timestamp;
use crate::flow::people::{self, NewPerson, PersonError};
use crate::flow::sign_in::link::{self, LINK_LIFE};
use crate::store::users;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a person; without --password-stdin a one-time link to set a password is printed
    Add(Add),
    /// List everybody
    List,
    /// Disable an account: sign-ins end and tokens stop working
    Disable(One),
    /// Enable a disabled account
    Enable(One),
    /// Give a role: owner, admin or member; their sign-ins end
    SetRole(SetRole),
    /// Set a password from standard input, or print a one-time link to set one
    SetPassword(SetPassword),
    /// Take lost second factors away: authenticator app, recovery codes, passkeys; their sign-ins end
    ResetFactors(One),
}

#[derive(Args)]
pub(super) struct Add {
    /// Their e-mail address
    email: String,
    /// Their user name; the part before the @ when absent
    #[arg(long, value_name = "U")]
    username: Option<String>,
    /// The name to show
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// The address is known to be theirs
    #[arg(long)]
    email_verified: bool,
    /// They administrate this server
    #[arg(long)]
    admin: bool,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// A JSON object of further standard claims: given_name, address, phone_number, …
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct One {
    /// User name, e-mail address or user_id
    #[arg(allow_hyphen_values = true)]
    user: String,
}

#[derive(Args)]
pub(super) struct SetRole {
    /// User name, e-mail address or user_id
    #[arg(allow_hyphen_values = true)]
    user: String,
    /// owner runs everything, admin everything but owners, member their own keys and account
    #[arg(value_name = "owner|admin|member")]
    role: Role,
}

#[derive(Args)]
pub(super) struct SetPassword {
    /// User name, e-mail address or user_id
    #[arg(allow_hyphen_values = true)]
    user: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::Add(arguments) => add(context, arguments),
        Command::List => list(context),
        Command::Disable(one) => set_disabled(context, &one.user, true),
        Command::Enable(one) => set_disabled(context, &one.user, false),
        Command::SetRole(arguments) => set_role(context, &arguments),
        Command::SetPassword(arguments) => set_password(context, &arguments),
        Command::ResetFactors(one) => reset_factors(context, &one.user),
    }
}

impl From<PersonError> for Refused {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::Error(error) => error.into(),
            other => Self::because(other),
        }
    }
}

fn add(context: &Context, arguments: Add) -> Result<(), Refused> {
    let claims = match &arguments.claims {
        Some(path) => claims(&stdin::file("--claims", path)?)?,
        None => Map::new(),
    };
    let password = arguments.password_stdin.then(|| stdin::secret("password")).transpose()?;
    let person = NewPerson {
        email: Some(arguments.email),
        username: arguments.username,
        name: arguments.name,
        email_verified: arguments.email_verified,
        role: if arguments.admin { Role::Admin } else { Role::Member },
        claims,
        password,
    };
    context.with_app(|app| async move {
        let user = people::add(&app, &by(), person).await?;
        let link = if user.password.is_none() { Some(password_link(&app, &user).await?) } else { None };
        print_user(context, &user, link.as_ref())
    })
}

fn list(context: &Context) -> Result<(), Refused> {
    context.with_database(|app| async move {
        let all = everybody(&app).await?;
        let document = json!({ "users": all.iter().map(described).collect::<Vec<_>>() });
        context.show(&document, || {
            let rows: Vec<[String; 5]> = all
                .iter()
                .map(|u| {
                    let state = if u.is_active() { "active" } else { "disabled" };

                    let email = print::or_dash(u.email.as_ref());
                    [u.username.clone(), email, u.role.word().to_owned(), state.to_owned(), u.id.to_string()]
                })
                .collect();
            print::table(["username", "email", "role", "state", "user_id"], &rows)
        })
    })
}

/// Everybody, read in pages so that no read holds the database for long.
async fn everybody(app: &App) -> Result<Vec<User>, Refused> {
    const PAGE: i64 = 500;
    let mut all: Vec<User> = Vec::new();
    loop {
        let after = all.last().map(|user| user.username.clone());
        let page = app.store.read(move |conn| users::list(conn, after.as_deref(), PAGE)).await?;
        let last = page.is_empty();
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

fn set_disabled(context: &Context, user: &str, disabled: bool) -> Result<(), Refused> {
    context.with_app(|app| async move {
        let user = find(&app, user).await?;
        people::set_disabled(&app, &by(), user.id, disabled).await?;
        let user = find(&app, &user.id.to_string()).await?;
        print_user(context, &user, None)
    })
}

fn reset_factors(context: &Context, user: &str) -> Result<(), Refused> {
    context.with_app(|app| async move {
        let user = find(&app, user).await?;
        people::reset_factors(&app, &by(), user.id).await?;
        print_user(context, &user, None)
    })
}

fn set_role(context: &Context, arguments: &SetRole) -> Result<(), Refused> {
    context.with_app(|app| async move {
        let user = find(&app, &arguments.user).await?;
        people::set_role(&app, &by(), user.id, arguments.role).await?;
        let user = find(&app, &user.id.to_string()).await?;
        print_user(context, &user, None)
    })
}

fn set_password(context: &Context, arguments: &SetPassword) -> Result<(), Refused> {
    let password = arguments.password_stdin.then(|| stdin::secret("password")).transpose()?;
    context.with_app(|app| async move {
        let user = find(&app, &arguments.user).await?;
        match password {
            Some(password) => {
                people::set_password(&app, &by(), &user, password).await?;
                print_user(context, &user, None)
            }
            None => print_user(context, &user, Some(&password_link(&app, &user).await?)),
        }
    })
}

async fn find(app: &App, text: &str) -> Result<User, Refused> {
    people::find(app, text).await.map_err(|error| match error {
        PersonError::Unknown => Refused::Because(format!(
            "{text}: there is no such user; a user name, an e-mail address or a user_id is expected"
        )),
        other => other.into(),
    })
}

/// A link that sets a password once, and until when it works.
struct Link {
    url: String,
    expires_at: String,
}

async fn password_link(app: &App, user: &User) -> Result<Link, Refused> {
    let token = link::for_password(app, &by(), user.id).await?;
    Ok(Link {
        url: format!("{}/set-password?token={}", app.issuer(), token.reveal()),
        expires_at: app.now().plus(LINK_LIFE).to_rfc3339(),
    })
}

fn print_user(context: &Context, user: &User, link: Option<&Link>) -> Result<(), Refused> {
    let mut document = described(user);
    if let (Some(members), Some(link)) = (document.as_object_mut(), link) {
        members.insert("set_password_url".to_owned(), link.url.clone().into());
        members.insert("expires_at".to_owned(), link.expires_at.clone().into());
    }
    context.show(&document, || {
        let mut text = print::pairs(&[
            ("user_id", user.id.to_string()),
            ("username", user.username.clone()),
            ("email", print::or_dash(user.email.as_ref())),
            ("role", user.role.word().to_owned()),
            ("state", if user.is_active() { "active" } else { "disabled" }.to_owned()),
        ]);
        if let Some(link) = link {
            let _ = write!(
                text,
                "\n\nThe password is set here, once, until {}; give the link to its owner only:\n  {}",
                link.expires_at, link.url
            );
        }
        text
    })
}

/// A person as a document. No form of the password is in it.
fn described(user: &User) -> Value {
    json!({
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "email_verified": user.email_verified,
        "name": user.name,
        "claims": user.claims,
        "role": user.role.word(),
        "is_admin": user.is_admin(),
        "has_password": user.password.is_some(),
        "created_at": user.created_at.to_rfc3339(),
        "updated_at": user.updated_at.to_rfc3339(),
        "disabled_at": user.disabled_at.map(Timestamp::to_rfc3339),
    })
}

/// The standard claims that may be brought (OIDC Core §5.1), each with its JSON type. What has a column of its own
/// (name, e-mail address, user name) comes by its own argument.
const CLAIMS: [(&str, Kind); 14] = [
    ("given_name", Kind::Text),
    ("family_name", Kind::Text),
    ("middle_name", Kind::Text),
    ("nickname", Kind::Text),
    ("profile", Kind::Text),
    ("picture", Kind::Text),
    ("website", Kind::Text),
    ("gender", Kind::Text),
    ("birthdate", Kind::Text),
    ("zoneinfo", Kind::Text),
    ("locale", Kind::Text),
    ("phone_number", Kind::Text),
    ("phone_number_verified", Kind::Truth),
    ("address", Kind::Address),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Truth,
    Address,
}

const ADDRESS: [&str; 6] = ["formatted", "street_address", "locality", "region", "postal_code", "country"];

/// Reads a claims file: an object of standard claims with the types that clients insist on (R9, R13).
fn claims(text: &str) -> Result<Map<String, Value>, Refused> {
    let members: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
        Refused::Because(format!("--claims: a JSON object of standard claims is expected ({e})"))
    })?;
    for (name, value) in &members {
        let Some((_, kind)) = CLAIMS.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = CLAIMS.iter().map(|(known, _)| *known).collect();
            return Err(Refused::Because(format!(
                "--claims: {name} is not allowed here; {} are",
                known.join(", ")
            )));
        };
        let problem = match kind {
            Kind::Text if !value.is_string() => "a text is expected",
            Kind::Truth if !value.is_boolean() => "true or false is expected",
            Kind::Address if !is_address(value) => {
                "an object of texts is expected: formatted, street_address, locality, region, postal_code, country"
            }
            _ => continue,
        };
        return Err(Refused::Because(format!("--claims: {name}: {problem}")));
    }
    Ok(members)
}

fn is_address(value: &Value) -> bool {
    value.as_object().is_some_and(|parts| {
        parts.iter().all(|(name, part)| ADDRESS.contains(&name.as_str()) && part.is_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match claims(text) {
            Err(Refused::Because(reason)) => reason,
            _ => format!("{text} was accepted"),
        }
    }

    #[test]
    fn a_claims_file_holds_standard_claims_of_the_right_type() {
        let read = claims(r#"{"given_name":"Ada","address":{"country":"GB"},"phone_number_verified":true}"#);
        assert!(read.is_ok_and(|members| members.len() == 3));
        assert!(refused("[]").contains("a JSON object"));
        assert!(refused(r#"{"sub":"x"}"#).starts_with("--claims: sub is not allowed here; given_name,"));
        assert!(refused(r#"{"email_verified":true}"#).contains("not allowed"));
        assert_eq!(refused(r#"{"given_name":1}"#), "--claims: given_name: a text is expected");
        assert_eq!(
            refused(r#"{"phone_number_verified":"yes"}"#),
            "--claims: phone_number_verified: true or false is expected"
        );
        assert!(refused(r#"{"address":"Paris"}"#).contains("an object of texts"));
        assert!(refused(r#"{"address":{"planet":"x"}}"#).contains("an object of texts"));
    }
}
