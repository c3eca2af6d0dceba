//! Every page as a row: its address, and who may have it. Tests of rights and of forms walk it, so that a new page cannot be left out: an
//! address of the route table that has no row here fails.

use std::sync::Arc;

use cnx::account::role::Role;
use cnx::account::user::User;
use cnx::flow::audit::By;
use cnx::flow::caller::Caller;
use cnx::flow::service_accounts;
use serde_json::json;

use crate::api_keys::minted_as;
use crate::world::{Browser, Reply, World, by};

/// What the `{id}` of an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// The address has no `{id}`.
    Nothing,
    /// An API key of whoever asks.
    Key,
    /// Another person.
    Person,
    /// A client.
    App,
    /// A service account.
    Machine,
    /// Nothing of the kind is there: 404 is as good an answer as any.
    Unmade,
}

/// An address and what is expected of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub path: &'static str,
    /// The least role; `None` is anybody, without a session.
    pub least: Option<Role>,
    pub thing: Thing,
    /// Its form does what is dangerous: it wants a proof of the last five minutes of who somebody is (S-L12).
    pub fresh: bool,
}

impl Row {
    const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }
}

const fn anybody(path: &'static str) -> Row {
    Row { path, least: None, thing: Thing::Nothing, fresh: false }
}

const fn member(path: &'static str, thing: Thing) -> Row {
    Row { path, least: Some(Role::Member), thing, fresh: false }
}

const fn admin(path: &'static str, thing: Thing) -> Row {
    Row { path, least: Some(Role::Admin), thing, fresh: false }
}

/// The table.
pub const ROWS: &[Row] = &[
    anybody("/"),
    anybody("/sign-in"),
    anybody("/sign-in/passkey"),
    Row { path: "/sign-in/with/{id}", least: None, thing: Thing::Unmade, fresh: false },
    Row { path: "/sign-in/with/{id}/callback", least: None, thing: Thing::Unmade, fresh: false },
    anybody("/sign-in/second-factor"),
    anybody("/select-account"),
    anybody("/consent"),
    anybody("/sign-out"),
    anybody("/set-up"),
    anybody("/set-password"),
    anybody("/forgot-password"),
    anybody("/verify-email"),
    anybody("/dev/mail"),
    // It leads on to the first page that somebody may have.
    anybody("/console"),
    member("/console/keys", Thing::Nothing),
    member("/console/keys/new", Thing::Nothing).fresh(),
    member("/console/keys/{id}", Thing::Key),
    member("/console/keys/{id}/edit", Thing::Key).fresh(),
    member("/console/keys/{id}/state", Thing::Key).fresh(),
    member("/console/keys/{id}/rotate", Thing::Key).fresh(),
    member("/console/keys/{id}/revoke", Thing::Key).fresh(),
    member("/console/usage", Thing::Nothing),
    admin("/console/apps", Thing::Nothing),
    admin("/console/apps/add", Thing::Nothing).fresh(),
    admin("/console/apps/{id}", Thing::App).fresh(),
    admin("/console/audit", Thing::Nothing),
    admin("/console/audit/export", Thing::Nothing),
    admin("/console/explain", Thing::Nothing),
    admin("/console/organization", Thing::Nothing).fresh(),
    Row { path: "/console/organization/logo", least: Some(Role::Owner), thing: Thing::Nothing, fresh: true },
    admin("/console/people", Thing::Nothing),
    admin("/console/people/invite", Thing::Nothing).fresh(),
    admin("/console/people/{id}", Thing::Person).fresh(),
    admin("/console/service-accounts", Thing::Nothing),
    admin("/console/service-accounts/add", Thing::Nothing).fresh(),
    admin("/console/service-accounts/{id}", Thing::Machine).fresh(),
    admin("/console/service-accounts/{id}/trust", Thing::Machine).fresh(),
    admin("/console/sessions", Thing::Nothing),
    admin("/console/signing-keys", Thing::Nothing).fresh(),
    admin("/console/signing-keys/revoke", Thing::Nothing).fresh(),
    member("/account", Thing::Nothing),
    member("/account/email", Thing::Nothing).fresh(),
    // It asks for the present password itself.
    member("/account/password", Thing::Nothing),
    member("/account/security", Thing::Nothing),
    member("/account/security/app", Thing::Nothing).fresh(),
    member("/account/security/app/remove", Thing::Nothing).fresh(),
    member("/account/security/recovery-codes", Thing::Nothing).fresh(),
    member("/account/passkeys", Thing::Nothing).fresh(),
    member("/account/passkeys/rename", Thing::Nothing).fresh(),
    member("/account/passkeys/remove", Thing::Nothing).fresh(),
    member("/account/identities", Thing::Nothing).fresh(),
    member("/account/identities/remove", Thing::Nothing).fresh(),
    member("/account/sessions", Thing::Nothing),
    member("/account/sessions/others", Thing::Nothing),
    member("/account/apps", Thing::Nothing),
    member("/account/activity", Thing::Nothing),
];

/// The addresses of pages in the route table, with their methods and least roles. What programs ask has its own tests.
pub fn pages() -> Vec<(&'static str, &'static [&'static str], Option<Role>)> {
    const PROGRAMS: [&str; 7] =
        ["/.well-known/", "/oauth2/", "/v1/", "/gateway/", "/assets/", "/healthz", "/readyz"];
    cnx::web::addresses().filter(|(path, ..)| !PROGRAMS.iter().any(|begin| path.starts_with(begin))).collect()
}

/// The row of an address.
pub fn row(path: &str) -> Row {
    *ROWS
        .iter()
        .find(|row| row.path == path)
        .unwrap_or_else(|| panic!("{path} has no row in tests/it/page_table.rs: say there who may have it"))
}

/// Everybody who comes to pages, and what they may look at.
pub struct House {
    pub world: World,
    pub member: User,
    pub admin: User,
    pub owner: User,
}

impl House {
    /// A world with a person of each role, some apps, keys and machines.
    pub async fn new(world: World) -> Self {
        let owner = world.add_person("olga", Role::Owner).await;
        let admin = world.add_person("adam", Role::Admin).await;
        let member = world.add_person("mia", Role::Member).await;
        Self { world, member, admin, owner }
    }

    pub fn person(&self, role: Role) -> &User {
        match role {
            Role::Member => &self.member,
            Role::Admin => &self.admin,
            Role::Owner => &self.owner,
        }
    }

    /// A browser in which that person has just signed in.
    pub async fn browser(&self, role: Role) -> Browser {
        signed_in(&self.world, &self.person(role).username).await
    }

    /// An address with its `{id}` filled by something that was made for this call, and that belongs to `role` where it belongs to anybody.
    pub async fn address(&self, row: &Row, role: Role) -> String {
        let world = &self.world;
        let app: &Arc<cnx::app::App> = world.app();
        let tag = cnx::base::encoding::base62(&app.entropy.bytes::<6>()).to_lowercase();
        let id = match row.thing {
            Thing::Nothing => return row.path.to_owned(),
            Thing::Key => minted_as(app, &self.by(role), |_| {}).await.0,
            Thing::Person => world.add_user(&format!("p{tag}")).await.id.to_string(),
            Thing::App => world.web_client().await.id,
            Thing::Machine => {
                let policy = serde_json::from_value(json!({"scope": "deploy:read"})).unwrap();
                service_accounts::add(app, by(), &format!("m-{tag}"), policy).await.unwrap().id.to_string()
            }
            Thing::Unmade => "00000000000000000000000000".to_owned(),
        };
        filled(row.path, &id)
    }

    /// That person as an actor.
    pub fn by(&self, role: Role) -> By {
        let caller =
            Caller { address: [203, 0, 113, 7].into(), user_agent: None, request_id: "of-a-test".to_owned() };
        By::person(self.person(role), &caller)
    }
}

/// A path with every `{…}` filled.
pub fn filled(path: &str, id: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// A browser in which somebody has just signed in.
pub async fn signed_in(world: &World, username: &str) -> Browser {
    let browser = world.browser();
    let page = browser.open("/sign-in").await;
    let reply = browser.sign_in(&page, username).await;
    assert!(browser.cookie("cnx_session").is_some(), "{username}: {} {}", reply.status, reply.text);
    browser
}

/// The form token of a page; the first that stands there.
pub fn token_of(reply: &Reply) -> String {
    let page = scraper::Html::parse_document(&reply.text);
    let inputs = scraper::Selector::parse("input[name=csrf_token]").unwrap();
    let input =
        page.select(&inputs).next().unwrap_or_else(|| panic!("no form: {} {}", reply.status, reply.text));
    input.attr("value").unwrap().to_owned()
}

/// A form on its way: in parts where the address takes a file (RFC 7578), else as forms usually are.
pub fn posting(world: &World, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let request = world.http.post(world.url(path));
    if path != "/console/organization/logo" {
        return request.form(fields);
    }
    let part = |(name, value): &(&str, &str)| {
        format!("--cut-here\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = fields.iter().map(part).collect::<String>() + "--cut-here--\r\n";
    request.header("content-type", "multipart/form-data; boundary=cut-here").body(body)
}
