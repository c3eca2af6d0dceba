//! People who are invited: an account without a password, and the link by which they set one.

use serde_json::json;

use super::{NewPerson, PersonError, added, check, hold, insert};
use crate::account::role::Role;
use crate::account::user::User;
use crate::app::App;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::flow::audit::{Act, By, Name, Record};
use crate::flow::mail::{LinkFor, Post, send_link};
use crate::flow::sign_in::link;
use crate::store::links::{self, LinkPurpose};
use crate::store::{Conn, users};

/// Somebody who was invited.
#[derive(Debug)]
pub struct Invited {
    /// Them.
    pub user: User,
    /// The link by which they set their password, to be shown once to whoever invited them; `None` when it went by mail.
    pub link: Option<String>,
}

/// Adds a person who sets their password by a link: it goes to their address, or where mail is off or there is none it is given back.
pub async fn invite(app: &App, by: &By, person: NewPerson) -> Result<Invited, PersonError> {
    let mut user = check(app, NewPerson { password: None, email_verified: false, ..person }).await?;
    if user.is_admin() && !app.store.read(users::has_owner).await? {
        user.role = Role::Owner;
    }
    let now = app.now();
    let invitation = invitation(app, &user, now);
    let (row, new) = (user.clone(), invitation.clone());
    let (record, by) = (Record::new(app, &added(&user), by, now), by.clone());
    let write = move |conn: &mut Conn| {
        if let Err(refused) = insert(conn, &by, &row, now)? {
            return Ok(Err(refused));
        }
        links::insert(conn, &new.link)?;
        new.post.put(conn)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await??;
    app.mail.wake();
    Ok(Invited { user, link: invitation.shown() })
}

/// Sends a new invitation to somebody who has not set a password yet; the one of before stops working.
pub async fn resend_invite(app: &App, by: &By, user: &User) -> Result<Invited, PersonError> {
    let now = app.now();
    let (id, email, invitation) = (user.id, user.email.clone(), invitation(app, user, now));
    let new = invitation.clone();
    let act = Act::Did(Name::UserLinkMade, id.to_string().into(), json!({ "purpose": "invite" }));
    let (record, by) = (Record::new(app, &act, by, now), by.clone());
    let write = move |conn: &mut Conn| {
        let found = match hold(conn, &by, id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        // As they are now: the letter is written to the address of before.
        if !waits(&found) || found.email != email {
            return Ok(Err(PersonError::Field {
                field: "user",
                problem: "only who is active and has set no password yet is invited again".to_owned(),
            }));
        }
        links::void(conn, LinkPurpose::Invite, Some(id), now)?;
        // Where the server sent no mail before, a link was shown to set a password by.
        links::void(conn, LinkPurpose::SetPassword, Some(id), now)?;
        links::insert(conn, &new.link)?;
        new.post.put(conn)?;
        Ok(Ok(()))
    };
    record.if_allowed(app, write).await??;
    app.mail.wake();
    Ok(Invited { user: user.clone(), link: invitation.shown() })
}

/// Whether somebody was invited and has not come yet.
pub fn waits(user: &User) -> bool {
    user.password.is_none() && user.is_active()
}

/// An invitation that is written and not sent.
#[derive(Clone)]
struct Invitation {
    link: links::Link,
    post: Post,
    url: Secret<String>,
}

impl Invitation {
    /// The link, where it does not go by mail.
    fn shown(&self) -> Option<String> {
        (!self.post.is_some()).then(|| self.url.reveal().clone())
    }
}

fn invitation(app: &App, user: &User, now: Timestamp) -> Invitation {
    // Only where it goes by mail does it show that the address is theirs.
    let to = user.email.clone().filter(|_| app.mail.is_on());
    let (token, link) = link::make(app, LinkPurpose::Invite, user.id, to.clone(), now);
    let url = link::url(app, LinkPurpose::Invite, &token);
    let post = match &to {
        Some(to) => send_link(app, user, to, (LinkFor::Invite, url.reveal()), now, link.expires_at),
        None => Post::default(),
    };
    Invitation { link, post, url }
}
