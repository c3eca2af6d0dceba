//! People's accounts, as the command line and the pages change them: add, disable, enable, give a role, set a password, sign out.

mod invitation;

use serde_json::{Map, Value, json};

pub use self::invitation::{Invited, invite, resend_invite, waits};

use super::audit::{Act, By, Name, Record};
use super::session;
use super::sign_in::link;
use crate::account::password::PasswordHash;
use crate::account::password_policy::check_policy;
use crate::account::role::Role;
use crate::account::user::User;
use crate::account::username;
use crate::app::App;
use crate::base::fault::Fault;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::oauth::error::OAuthError;
use crate::store::links::LinkPurpose;
use crate::store::{Conn, StoreError, factors, links, sessions, users};

/// A person to be added.
#[derive(Debug)]
pub struct NewPerson {
    /// Their address.
    pub email: Option<String>,
    /// Their user name; the address's local part when absent.
    pub username: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// Whether the address is known to be theirs.
    pub email_verified: bool,
    /// What they may do here. The first administrator of all becomes an owner, since somebody must be.
    pub role: Role,
    /// Further standard claims (OIDC Core §5.1).
    pub claims: Map<String, Value>,
    /// Their password; they get a link to set one when absent.
    pub password: Option<Secret<String>>,
}

/// Why a person was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// A field says no: its name, and what is allowed.
    #[error("{field}: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// Nobody of that name.
    #[error("no user is called so")]
    Unknown,
    /// Who asks may not do that; what may be done.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// Nobody else is an owner.
    #[error("nobody else is an owner; make another one first (`cnx user set-role USER owner`)")]
    LastOwner,
    /// We cannot decide now, or something went wrong.
    #[error("{}", .0.description())]
    Error(OAuthError),
}

impl From<OAuthError> for PersonError {
    fn from(error: OAuthError) -> Self {
        Self::Error(error)
    }
}

impl From<StoreError> for PersonError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate(field) => Self::Field { field, problem: "it is taken".to_owned() },
            other => Self::Error(other.into()),
        }
    }
}

/// Claims that are ours to state, or that have a column of their own: never taken from a claims file (S-I2).
const RESERVED: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "sid",
    "at_hash",
    "updated_at",
    "email_verified",
    "email",
];

/// Characters of a name to show at most, as the pages' inputs have it.
const LONGEST_NAME: usize = 200;

/// Checks what was typed and hashes the password; nothing is written yet.
pub async fn check(app: &App, person: NewPerson) -> Result<User, PersonError> {
    let field =
        |field: &'static str, problem: &str| PersonError::Field { field, problem: problem.to_owned() };
    let email = match person.email.as_deref() {
        None => None,
        Some(text) => Some(username::canonical_email(text).map_err(|e| field("email", e))?),
    };
    let name_text = match (&person.username, &email) {
        (Some(name), _) => name.clone(),
        (None, Some(email)) => email.split('@').next().unwrap_or_default().to_owned(),
        (None, None) => return Err(field("username", "a user name or an e-mail address is needed")),
    };
    let username = username::canonical(&name_text).map_err(|e| field("username", e))?;
    let name = person.name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty());
    if name.as_ref().is_some_and(|n| n.chars().count() > LONGEST_NAME || n.chars().any(char::is_control)) {
        return Err(field("name", "up to 200 characters are allowed, on one line"));
    }
    if let Some(reserved) = RESERVED.iter().find(|r| person.claims.contains_key(**r)) {
        return Err(PersonError::Field {
            field: "claims",
            problem: format!("{reserved} is stated by the server; leave it out"),
        });
    }
    let password = match person.password {
        None => None,
        // Whoever is new has nothing beside it.
        Some(text) => {
            let least = app.settings.passwords.min_length;
            Some(new_password(app, text, (&username, email.as_deref()), least).await?)
        }
    };
    let now = app.now();
    Ok(User {
        id: UserId::new(&app.clock, &app.entropy),
        username,
        email,
        email_verified: person.email_verified,
        name,
        claims: person.claims,
        role: person.role,
        locale: None,
        password,
        created_at: now,
        updated_at: now,
        disabled_at: None,
    })
}

/// How short a password may be beside a second factor, in characters (S-L1; NIST SP 800-63B-4 §3.1.1.2).
const BESIDE_A_FACTOR: usize = 8;

/// How many characters the password of a person needs at least: as the settings say where it is all that they have.
pub async fn least_length(app: &App, user: UserId) -> Result<usize, OAuthError> {
    let least = app.settings.passwords.min_length;
    let has_factor = app.store.read(move |conn| factors::has_any(conn, user)).await?;
    Ok(if has_factor { least.min(BESIDE_A_FACTOR) } else { least })
}

/// Checks a new password of `least` characters or more against the policy and hashes it; user name and address are what is guessed first.
pub async fn new_password(
    app: &App,
    text: Secret<String>,
    (username, email): (&str, Option<&str>),
    least: usize,
) -> Result<PasswordHash, PersonError> {
    let context =
        [username, email.unwrap_or_default(), "CloudNexus Identity", app.settings.public_url.host()];
    let context = context.map(str::to_owned);
    let checked = text.clone();
    // Judging a password takes milliseconds: not on the thread that answers requests.
    let judged = tokio::task::spawn_blocking(move || {
        check_policy(&checked, &context.each_ref().map(String::as_str), least)
    });
    judged
        .await
        .map_err(|e| OAuthError::Server(Fault::new("judging a password", e)))?
        .map_err(|problem| PersonError::Field { field: "password", problem })?;
    Ok(app.hashing.hash(text, &app.entropy).await?)
}

/// Adds a person.
pub async fn add(app: &App, by: &By, person: NewPerson) -> Result<User, PersonError> {
    let mut user = check(app, person).await?;
    if user.is_admin() && !app.store.read(users::has_owner).await? {
        user.role = Role::Owner;
    }
    let (row, now) = (user.clone(), app.now());
    let (record, by) = (Record::new(app, &added(&user), by, now), by.clone());
    let write = move |conn: &mut Conn| insert(conn, &by, &row, now);
    record.if_allowed(app, write).await??;
    Ok(user)
}

/// Adds a person, if whoever acts may give them their role: nobody gives more than they may.
fn insert(
    conn: &mut Conn,
    by: &By,
    row: &User,
    now: Timestamp,
) -> Result<Result<(), PersonError>, StoreError> {
    if let Some(who) = by.who() {
        let own = users::find(conn, who)?.filter(User::is_active).map(|actor| actor.role);
        if !own.is_some_and(|own| own.may_give(Role::Member, row.role)) {
            return Ok(Err(PersonError::NotAllowed("only an owner makes owners")));
        }
    }
    users::insert(conn, row)?;
    if row.is_admin() {
        // The link that makes the first administrator has nothing to make any more, and never again.
        links::void(conn, LinkPurpose::SetUp, None, now)?;
    }
    Ok(Ok(()))
}

/// That a person was added: by id, since the log outlives the account.
pub(super) fn added(user: &User) -> Act<'static> {
    Act::Did(Name::UserAdded, user.id.to_string().into(), json!({ "role": user.role.word() }))
}

/// The person of a user name, an e-mail address or an id.
pub async fn find(app: &App, text: &str) -> Result<User, PersonError> {
    let found = if let Ok(id) = text.parse::<UserId>() {
        app.store.read(move |conn| users::find(conn, id)).await?
    } else if let Some(login) = username::login(text) {
        app.store.read(move |conn| users::find_by_login(conn, &login)).await?
    } else {
        None
    };
    found.ok_or(PersonError::Unknown)
}

/// Why somebody may not change somebody's account, as far as the roles of both at this moment say; within the write that changes it.
///
/// Nobody disables or demotes themselves by mistake: what ends one's own access is for another administrator. Who has the machine
/// ([`By::command_line`]) may do everything.
fn hold(conn: &mut Conn, by: &By, user: UserId) -> Result<Result<User, PersonError>, StoreError> {
    let Some(person) = users::find(conn, user)? else { return Ok(Err(PersonError::Unknown)) };
    let Some(who) = by.who() else { return Ok(Ok(person)) };
    let role = users::find(conn, who)?.filter(User::is_active).map(|actor| actor.role);
    Ok(if role.is_some_and(|role| role.may_change(person.role)) {
        Ok(person)
    } else {
        Err(PersonError::NotAllowed("only an owner changes the account of an owner"))
    })
}

/// Disables or enables an account. Disabling ends every session and token at once (S-L11, S-U7); the last owner stays.
pub async fn set_disabled(app: &App, by: &By, user: UserId, disabled: bool) -> Result<(), PersonError> {
    let now = app.now();
    let deed = if disabled { Name::UserDisabled } else { Name::UserEnabled };
    let record = Record::new(app, &Act::Did(deed, user.to_string().into(), Value::Null), by, now);
    let by = by.clone();
    let write = move |conn: &mut Conn| {
        let owners = users::hold_owners(conn)?;
        if let Err(refused) = hold(conn, &by, user)? {
            return Ok(Err(refused));
        }
        if disabled && by.who() == Some(user) {
            return Ok(Err(PersonError::NotAllowed("nobody disables themselves; ask another administrator")));
        }
        if disabled && owners == [user] {
            return Ok(Err(PersonError::LastOwner));
        }
        users::set_disabled(conn, user, disabled.then_some(now), now)?;
        if disabled {
            session::end_all(conn, user, now)?;
        }
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await?
}

/// Gives somebody another role. Their sessions end, so that what was signed in with the old one is not gone on with (S-L9); apps that
/// they allowed keep what they have. Whether it was another role; the last owner stays one.
pub async fn set_role(app: &App, by: &By, user: UserId, role: Role) -> Result<(), PersonError> {
    let now = app.now();
    let about = json!({ "role": role.word() });
    let record = Record::new(app, &Act::Did(Name::UserRoleChanged, user.to_string().into(), about), by, now);
    let by = by.clone();
    let write = move |conn: &mut Conn| {
        let owners = users::hold_owners(conn)?;
        let person = match hold(conn, &by, user)? {
            Ok(person) => person,
            Err(refused) => return Ok(Err(refused)),
        };
        let own = match by.who() {
            Some(who) => users::find(conn, who)?.map(|actor| actor.role),
            None => None,
        };
        if own.is_some_and(|own| !own.may_give(person.role, role)) {
            return Ok(Err(PersonError::NotAllowed("only an owner makes owners")));
        }
        if owners == [user] && role != Role::Owner {
            return Ok(Err(PersonError::LastOwner));
        }
        users::update(conn, &User { role, updated_at: now, ..person })?;
        for session in sessions::of_user(conn, user, now)? {
            session::end(conn, session.id, now)?;
        }
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await?
}

/// Signs somebody out everywhere: every session ends, and every token of every app stops working (S-L11).
pub async fn end_sessions(app: &App, by: &By, user: UserId) -> Result<(), PersonError> {
    let now = app.now();
    let act = Act::Did(Name::UserSessionsEnded, user.to_string().into(), Value::Null);
    let (record, by) = (Record::new(app, &act, by, now), by.clone());
    let write = move |conn: &mut Conn| {
        if let Err(refused) = hold(conn, &by, user)? {
            return Ok(Err(refused));
        }
        session::end_all(conn, user, now)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await?
}

/// Ends one sign-in of somebody.
pub async fn end_session(app: &App, by: &By, session: SessionId) -> Result<(), PersonError> {
    let now = app.now();
    let act = Act::Did(Name::SessionEnded, session.to_string().into(), Value::Null);
    let (record, by) = (Record::new(app, &act, by, now), by.clone());
    let write = move |conn: &mut Conn| {
        let Some(found) = sessions::find(conn, session)?.filter(|found| found.ended_at.is_none()) else {
            return Ok(Err(PersonError::Unknown));
        };
        if let Err(refused) = hold(conn, &by, found.user)? {
            return Ok(Err(refused));
        }
        session::end(conn, session, now)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await?
}

/// Takes somebody's lost second factors away: passkeys, the authenticator app, recovery codes. Their sessions end.
pub async fn reset_factors(app: &App, by: &By, user: UserId) -> Result<(), PersonError> {
    let now = app.now();
    let act = Act::Did(Name::UserFactorsReset, user.to_string().into(), Value::Null);
    let (record, by) = (Record::new(app, &act, by, now), by.clone());
    let write = move |conn: &mut Conn| {
        if let Err(refused) = hold(conn, &by, user)? {
            return Ok(Err(refused));
        }
        users::remove_factors(conn, user)?;
        session::end_all(conn, user, now)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await?
}

/// Makes a link by which somebody sets a password, for one who may change their account.
pub async fn password_link(app: &App, by: &By, user: UserId) -> Result<Secret<String>, PersonError> {
    let now = app.now();
    let act = Act::Did(Name::UserLinkMade, user.to_string().into(), Value::Null);
    let (record, by) = (Record::new(app, &act, by, now), by.clone());
    let (token, new) = link::make(app, LinkPurpose::SetPassword, user, None, now);
    let write = move |conn: &mut Conn| {
        if let Err(refused) = hold(conn, &by, user)? {
            return Ok(Err(refused));
        }
        links::void(conn, LinkPurpose::SetPassword, Some(user), now)?;
        links::insert(conn, &new)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await??;
    Ok(token)
}

/// Sets a password; every session, token and open link of before ends.
pub async fn set_password(app: &App, by: &By, user: &User, text: Secret<String>) -> Result<(), PersonError> {
    let now = app.now();
    let least = least_length(app, user.id).await?;
    let hash = new_password(app, text, (&user.username, user.email.as_deref()), least).await?;
    let id = user.id;
    let record =
        Record::new(app, &Act::Did(Name::UserPasswordSet, id.to_string().into(), Value::Null), by, now);
    record
        .with(app, move |conn| {
            users::set_password(conn, id, &hash, now)?;
            links::void_all(conn, id, now)?;
            session::end_all(conn, id, now)
        })
        .await?;
    Ok(())
}
