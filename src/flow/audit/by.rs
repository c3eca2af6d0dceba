//! Who does something, as the audit log names them, and what their place lets them do.

use std::net::IpAddr;

use crate::account::user::User;
use crate::api_key::key::ApiKey;
use crate::api_key::permission::{Permissions, is_word};
use crate::base::id::UserId;
use crate::flow::caller::Caller;
use crate::flow::check::Allowed;
use crate::store::audit::SYSTEM;

/// Who did something, from where, and in which request.
#[derive(Clone, Debug)]
pub struct By {
    pub(super) actor: String,
    pub(super) address: Option<IpAddr>,
    pub(super) request_id: Option<String>,
    may: Option<Permissions>,
    /// A member: has keys of their own and no others, for APIs and not for this server.
    is_member: bool,
    person: Option<UserId>,
}

/// Who is not known, or not believed.
pub(super) const ANYBODY: &str = "anybody";

impl By {
    /// Somebody with access to the machine, under this account of the operating system.
    pub fn command_line(uid: u32) -> Self {
        Self::unseen(format!("command_line:{uid}"), None)
    }

    /// The server itself.
    pub fn system() -> Self {
        Self::unseen(SYSTEM.to_owned(), None)
    }

    pub(super) fn unseen(actor: String, address: Option<IpAddr>) -> Self {
        Self { actor, address, request_id: None, may: None, is_member: false, person: None }
    }

    /// Whoever sent a request, without saying who that is.
    pub fn anybody(caller: &Caller) -> Self {
        Self::named(ANYBODY, caller)
    }

    /// Who showed a key or a token. Nobody gives away more than they have: its scopes bound what they may do.
    pub fn holder(holder: &Allowed, caller: &Caller) -> Self {
        let words = holder.scopes.split(' ').filter(|word| is_word(word));
        let may = Some(Permissions::parse(words).unwrap_or_default());
        Self { may, ..Self::named(actor_of(&holder.subject()), caller) }
    }

    /// Whether they may give these scopes away; the error says what they may.
    pub(in crate::flow) fn may_give(&self, scopes: &Permissions) -> Result<(), String> {
        if self.may.as_ref().is_some_and(|own| !own.contains(scopes)) {
            return Err("more than the caller's own scopes; a key can have those or fewer".to_owned());
        }
        match scopes.beyond_apis().filter(|_| self.is_member) {
            None => Ok(()),
            Some(word) => Err(format!(
                "{word}: scopes of APIs are allowed, each with its resource, such as instances:read or instances:*; \
                 an administrator can give others"
            )),
        }
    }

    /// Whether that key is there for them: a member has their own and no others.
    pub fn sees(&self, key: &ApiKey) -> bool {
        !self.is_member || key.created_by == self.owner()
    }

    /// Whose keys alone they see, as the record of a key names its maker; everybody's when absent.
    pub fn only(&self) -> Option<String> {
        self.is_member.then(|| self.owner())
    }

    /// Somebody in front of a page of ours. Who administrates sees every key and gives what they like.
    pub fn person(user: &User, caller: &Caller) -> Self {
        let (is_member, person) = (!user.is_admin(), Some(user.id));
        Self { is_member, person, ..Self::named(format!("user:{}", user.id), caller) }
    }

    /// Who of the people it is, whose role bounds what they change. Whoever has the machine may do everything.
    pub(in crate::flow) const fn who(&self) -> Option<UserId> {
        self.person
    }

    /// Somebody who is known by something else than an account of ours, such as a signature.
    pub fn named(actor: impl Into<String>, caller: &Caller) -> Self {
        let request_id = Some(caller.request_id.clone());
        Self { request_id, ..Self::unseen(actor.into(), Some(caller.address)) }
    }

    /// As the record of a key names its maker.
    pub fn owner(&self) -> String {
        match self.actor.split_once(':') {
            Some(("command_line", _)) => "command line".to_owned(),
            Some(("user" | "client", id)) => id.to_owned(),
            _ => self.actor.clone(),
        }
    }
}

/// The subject of a token or a key, with what kind of thing it is.
pub(super) fn actor_of(subject: &str) -> String {
    if subject.starts_with("key:") {
        return subject.to_owned();
    }
    match subject.parse::<UserId>() {
        Ok(id) if id.is_version_7() => format!("user:{id}"),
        _ => format!("client:{subject}"),
    }
}
