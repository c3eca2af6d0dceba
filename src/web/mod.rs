//! Floor 5: a request arrives. This file is the route table: every address, its class, its methods and handlers, on one
//! screen. Handlers read the request, call one flow, and write the answer; they decide nothing.

mod account;
mod api;
mod arrived;
pub mod assets;
mod console;
pub mod cookies;
mod cors;
mod csrf;
mod dev_mail;
mod extract;
mod front;
mod gateway;
mod headers;
mod health;
pub mod hops;
mod look;
mod multipart;
mod oauth;
pub mod pages;
mod recovery;
mod refuse;
mod reply;
mod seat;
mod sign_in;
mod turns;
mod unread;

use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::guard;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use self::api::{audit, keys, leaks, openapi, service_accounts, streams, verify};
pub use self::front::Front;
pub use self::headers::edge;
pub use self::health::metrics_routes;
use self::oauth::{authorize, discovery, introspect, revoke, sign_out, token, user_info};
use self::sign_in::{consent, link, passkey, password, second_step, select_account, upstream};
pub use self::turns::Turns;
use crate::account::role::Role;
use crate::app::App;

/// What handlers are given.
type Node = web::Data<App>;

/// What kind of answer an address gives: the dialect of its errors, its CORS and cache rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// JSON that any web page may read: metadata and public keys.
    Open,
    /// JSON that web pages of registered origins may read (C12).
    Shared,
    /// JSON without CORS.
    Json,
    /// JSON for automation, whose errors are problem+json (RFC 9457).
    Api,
    /// Pages for people.
    Page,
}

/// A row of the table. A path that ends with `/*` is that of everything below as well.
struct Address {
    path: &'static str,
    class: Class,
    /// Who of the people with an account may have it, signed in; anybody when absent. [`seat`] holds every page to its row.
    seat: Option<Role>,
    methods: &'static [&'static str],
}

macro_rules! seat_of {
    () => {
        None
    };
    ($role:ident) => {
        Some(Role::$role)
    };
}

macro_rules! routes {
    ($($path:literal $class:ident $(for $seat:ident)? { $($method:ident $handler:path),+ $(,)? })+) => {
        const ADDRESSES: &[Address] = &[
            $(Address { path: $path, class: Class::$class, seat: seat_of!($($seat)?), methods: &[$(stringify!($method)),+] }),+
        ];

        fn services(config: &mut ServiceConfig) {
            let mut all = vec![$((
                $path,
                web::resource($path)
                    $(.route(by(&Method::$method).to($handler)))+
                    .default_service(web::to(refuse::wrong_method)),
            )),+];
            // The router asks one after the other. It decides nothing: where a plain path and a pattern fit, the plain one is meant,
            // as `row` has it.
            all.sort_by_key(|(path, _)| (!is_busy(path), !is_plain(path)));
            // What a prefix takes is not for a pattern ([`routes`]).
            for (_, resource) in all.into_iter().filter(|(path, _)| below(path).is_none()) {
                config.service(resource);
            }
        }
    };
}

routes! {
    // Metadata and keys: OIDC Discovery, RFC 8414, RFC 7517
    "/.well-known/openid-configuration"       Open   { GET discovery::openid_configuration }
    "/.well-known/oauth-authorization-server" Open   { GET discovery::authorization_server }
    "/.well-known/jwks.json"                  Open   { GET discovery::jwks }
    // OAuth 2 and OpenID Connect
    "/oauth2/authorize"                       Page   { GET authorize::by_get, POST authorize::by_post }
    "/oauth2/token"                           Shared { POST token::token }
    "/oauth2/userinfo"                        Shared { GET user_info::by_get, POST user_info::by_post }
    "/oauth2/introspect"                      Json   { POST introspect::introspect }
    "/oauth2/revoke"                          Shared { POST revoke::revoke }
    "/oauth2/logout"                          Page   { GET sign_out::by_get, POST sign_out::by_post }
    // JSON for automation
    "/v1/keys"                                Api    { GET keys::list, POST keys::mint }
    "/v1/keys/verify"                         Api    { POST verify::verify }
    "/v1/keys/report-leak"                    Api    { POST leaks::report }
    "/v1/keys/report-leak/github"             Api    { POST leaks::github }
    "/v1/keys/scanners/gitleaks.toml"         Api    { GET leaks::gitleaks }
    "/v1/keys/scanners/trufflehog.yaml"       Api    { GET leaks::trufflehog }
    "/v1/keys/{id}"                           Api    { GET keys::show, PATCH keys::change, DELETE keys::revoke }
    "/v1/keys/{id}/rotate"                    Api    { POST keys::rotate }
    "/v1/streams"                             Api    { POST streams::open }
    "/v1/streams/{id}"                        Api    { PUT streams::renew, DELETE streams::close }
    "/v1/service-accounts/{id}/keys"          Api    { POST service_accounts::publish_key }
    "/v1/audit"                               Api    { GET audit::list }
    "/v1/audit/export"                        Api    { GET audit::export }
    "/v1/openapi.json"                        Api    { GET openapi::document }
    // What proxies ask
    "/gateway/caddy"                          Json   { GET gateway::forward, POST gateway::forward, PUT gateway::forward, PATCH gateway::forward, DELETE gateway::forward, OPTIONS gateway::forward }
    "/gateway/traefik"                        Json   { GET gateway::forward, POST gateway::forward, PUT gateway::forward, PATCH gateway::forward, DELETE gateway::forward, OPTIONS gateway::forward }
    "/gateway/nginx"                          Json   { GET gateway::nginx, POST gateway::nginx, PUT gateway::nginx, PATCH gateway::nginx, DELETE gateway::nginx, OPTIONS gateway::nginx }
    "/gateway/envoy/*"                        Json   { GET gateway::envoy, POST gateway::envoy, PUT gateway::envoy, PATCH gateway::envoy, DELETE gateway::envoy, OPTIONS gateway::envoy }
    // Pages for people
    "/"                                       Page   { GET console::home }
    // API keys, and how often they are used
    "/console"                                Page   { GET console::first }
    "/console/keys"                           Page for Member { GET console::keys::show }
    "/console/keys/new"                       Page for Member { GET console::key_made::show, POST console::key_made::mint }
    "/console/keys/{id}"                      Page for Member { GET console::key_about::show }
    "/console/keys/{id}/edit"                 Page for Member { GET console::key_about::show_edit, POST console::key_about::edit }
    "/console/keys/{id}/state"                Page for Member { GET console::key_about::show_state, POST console::key_about::set_state }
    "/console/keys/{id}/rotate"               Page for Member { GET console::key_turns::show_rotate, POST console::key_turns::rotate }
    "/console/keys/{id}/revoke"               Page for Member { GET console::key_turns::show_revoke, POST console::key_turns::revoke }
    "/console/usage"                          Page for Member { GET console::usage::show }
    // The console, for administrators
    "/console/apps"                           Page for Admin { GET console::apps::show }
    "/console/apps/add"                       Page for Admin { GET console::apps::ask, POST console::apps::add }
    "/console/apps/{id}"                      Page for Admin { GET console::app_page::show, POST console::app_page::change }
    "/console/audit"                          Page for Admin { GET console::audit::show }
    "/console/audit/export"                   Page for Admin { GET console::audit::export }
    "/console/explain"                        Page for Admin { GET console::explain::show }
    "/console/organization"                   Page for Admin { GET console::organization::show, POST console::organization::change }
    "/console/organization/logo"              Page for Owner { GET console::organization::back, POST console::organization::logo }
    "/console/people"                         Page for Admin { GET console::people::show }
    "/console/people/invite"                  Page for Admin { GET console::people::ask, POST console::people::invite }
    "/console/people/{id}"                    Page for Admin { GET console::person::show, POST console::person::change }
    "/console/service-accounts"               Page for Admin { GET console::service_accounts::show }
    "/console/service-accounts/add"           Page for Admin { GET console::service_accounts::ask, POST console::service_accounts::add }
    "/console/service-accounts/{id}"          Page for Admin { GET console::account_page::show, POST console::account_page::change }
    "/console/service-accounts/{id}/trust"    Page for Admin { GET console::trust_form::ask, POST console::trust_form::add }
    "/console/sessions"                       Page for Admin { GET console::sessions::show, POST console::sessions::end }
    "/console/signing-keys"                   Page for Admin { GET console::signing_keys::show, POST console::signing_keys::rotate }
    "/console/signing-keys/revoke"            Page for Admin { GET console::signing_keys::ask, POST console::signing_keys::revoke }
    // Their own account
    "/account"                                Page for Member { GET account::profile::show, POST account::profile::save }
    "/account/email"                          Page for Member { GET account::email::show, POST account::email::submit }
    "/account/security"                       Page for Member { GET account::security::show }
    "/account/security/app"                   Page for Member { GET account::security::show_app, POST account::security::add_app }
    "/account/security/app/remove"            Page for Member { POST account::security::remove_app }
    "/account/security/recovery-codes"        Page for Member { POST account::security::make_codes }
    "/account/passkeys"                       Page for Member { GET account::passkeys::show, POST account::passkeys::add }
    "/account/passkeys/rename"                Page for Member { POST account::passkeys::rename }
    "/account/passkeys/remove"                Page for Member { POST account::passkeys::remove }
    "/account/identities"                     Page for Member { POST account::identities::add }
    "/account/identities/remove"              Page for Member { POST account::identities::remove }
    "/account/password"                       Page for Member { GET account::password::show, POST account::password::submit }
    "/account/sessions"                       Page for Member { GET account::sessions::show, POST account::sessions::end }
    "/account/sessions/others"                Page for Member { POST account::sessions::end_others }
    "/account/apps"                           Page for Member { GET account::apps::show, POST account::apps::revoke }
    "/account/activity"                       Page for Member { GET account::activity::show }
    "/forgot-password"                        Page   { GET recovery::show, POST recovery::submit }
    "/verify-email"                           Page   { GET recovery::show_verify_email, POST recovery::verify_email }
    "/dev/mail"                               Page   { GET dev_mail::show }
    "/sign-in"                                Page   { GET password::show, POST password::submit }
    "/sign-in/passkey"                        Page   { GET passkey::show, POST passkey::submit }
    "/sign-in/with/{id}"                      Page   { GET upstream::show, POST upstream::go }
    "/sign-in/with/{id}/callback"             Page   { GET upstream::come_back }
    "/sign-in/second-factor"                  Page   { GET second_step::show, POST second_step::submit }
    "/select-account"                         Page   { GET select_account::show, POST select_account::submit }
    "/consent"                                Page   { GET consent::show, POST consent::submit }
    "/sign-out"                               Page   { GET sign_out::ask, POST sign_out::confirm }
    "/set-up"                                 Page   { GET link::show_set_up, POST link::set_up }
    "/set-password"                           Page   { GET link::show_set_password, POST link::set_password }
    "/assets/{file}"                          Page   { GET assets::file }
    "/assets/organization/{file}"             Page   { GET look::file }
    // For those who run us
    "/healthz"                                Json   { GET health::healthz }
    "/readyz"                                 Json   { GET health::readyz }
}

/// Every public address of a node.
pub fn routes(app: &Arc<App>) -> impl Fn(&mut ServiceConfig) + Clone + use<> {
    let node = Node::from(Arc::clone(app));
    move |config: &mut ServiceConfig| {
        config.app_data(node.clone());
        // A prefix, which is compared, and not a pattern, which would be a regular expression. Whatever method a request has is asked about.
        config.service(web::scope("/gateway/envoy").default_service(web::to(gateway::envoy)));
        services(config);
        config.default_service(web::to(refuse::not_found));
    }
}

/// A route of one method; GET answers HEAD as well (RFC 9110 §9.3.2).
fn by(method: &Method) -> actix_web::Route {
    if *method == Method::GET {
        return web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    }
    web::method(method.clone())
}

/// What stands before `/*`.
fn below(path: &str) -> Option<&str> {
    path.strip_suffix("/*")
}

/// Whether a path holds no pattern.
fn is_plain(path: &str) -> bool {
    !path.contains('{')
}

/// Whether an address is asked with every request that some API gets. No pattern among these fits what a plain path elsewhere is.
fn is_busy(path: &str) -> bool {
    path == "/v1/keys/verify" || path.starts_with("/gateway/")
}

/// The row of a request that was not routed yet.
fn row(req: &ServiceRequest) -> Option<&'static Address> {
    let path = req.path();
    let is_meant = |row: &&Address| match below(row.path) {
        Some(prefix) => {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        None => row.path == path && is_plain(path),
    };
    ADDRESSES.iter().find(is_meant).or_else(|| req.match_pattern().as_deref().and_then(address))
}

/// Every address with its methods and who may have it: `None` is anybody. For the test that tries each as everybody.
pub fn addresses() -> impl Iterator<Item = (&'static str, &'static [&'static str], Option<Role>)> {
    ADDRESSES.iter().map(|row| (row.path, row.methods, row.seat))
}

/// Every address of `/v1` with its methods.
#[cfg(test)]
fn addresses_of_v1() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_v1 = ADDRESSES.iter().filter(|row| row.class == Class::Api);
    of_v1.flat_map(|row| row.methods.iter().map(|method| (row.path, *method)))
}

/// The row of a path pattern.
fn address(pattern: &str) -> Option<&'static Address> {
    ADDRESSES.iter().find(|a| a.path == pattern)
}
