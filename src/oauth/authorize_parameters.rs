//! Single parameters of an authorization request that can be read without the rest of it: `scope`, `prompt`, `max_age` and
//! lists of words. The order in which a request is judged is [`super::authorize`]'s.

use super::client::{Client, GrantType};
use super::error::OAuthError;
use super::params::Params;
use super::scope::Scope;
use super::user_info::CLAIM_SCOPES;

/// The most words that are read of `acr_values` and `ui_locales`.
const MAX_WORDS: usize = 16;

/// The `prompt` of a request (OIDC Core §3.1.2.1); unknown words are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// No page may be shown.
    pub none: bool,
    /// Sign in again, even with a session.
    pub login: bool,
    /// Ask for consent, even if it is remembered.
    pub consent: bool,
    /// Let the person choose an account.
    pub select_account: bool,
}

/// RFC 6749 §3.3. Left out, it is the client's registered scope without what stands for a person's claims or for offline
/// access: those are given only when asked for.
pub(super) fn scope(params: &Params, client: &Client) -> Result<Scope, OAuthError> {
    let registered = &client.metadata.scope;
    let Some(text) = params.get("scope") else {
        let not_asked = CLAIM_SCOPES.iter().chain(&["openid", "offline_access"]);
        let default = not_asked.fold(registered.clone(), |scope, word| scope.without(word));
        return if default.is_empty() {
            Err(OAuthError::InvalidScope("scope is missing, and this client has no default scope".into()))
        } else {
            Ok(default)
        };
    };
    let mut asked = Scope::parse(text).map_err(|problem| OAuthError::InvalidScope(problem.into()))?;
    if !client.may_use(GrantType::RefreshToken) {
        asked = asked.without("offline_access"); // OIDC Core §11: ignored where no refresh token can be given
    }
    if asked.is_empty() {
        return Err(OAuthError::InvalidScope("scope names nothing that this client may ask for".into()));
    }
    if !registered.covers(&asked) {
        return Err(OAuthError::InvalidScope(format!("scope: this client may ask for {registered}").into()));
    }
    Ok(asked)
}

pub(super) fn prompt(params: &Params) -> Result<Prompt, OAuthError> {
    let text = params.get("prompt").unwrap_or_default();
    let has = |word| text.split(' ').any(|w| w == word);
    let prompt = Prompt {
        none: has("none"),
        login: has("login"),
        consent: has("consent"),
        select_account: has("select_account"),
    };
    // OIDC Core §3.1.2.1: "If this parameter contains none with any other value, an error is returned."
    if prompt.none && text.split(' ').any(|w| !w.is_empty() && w != "none") {
        return Err(OAuthError::InvalidRequest("prompt: none stands alone".into()));
    }
    Ok(prompt)
}

pub(super) fn max_age(params: &Params) -> Result<Option<i64>, OAuthError> {
    let Some(text) = params.get("max_age") else { return Ok(None) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if digits => Ok(Some(seconds)),
        _ => Err(OAuthError::InvalidRequest(
            "max_age: a whole number of seconds, 0 or more, is allowed".into(),
        )),
    }
}

pub(super) fn words(params: &Params, name: &str) -> Vec<String> {
    let text = params.get(name).unwrap_or_default();
    text.split(' ').filter(|w| !w.is_empty()).take(MAX_WORDS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::samples::client;

    fn params(name: &str, value: &str) -> Params {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        Params::parse(query.as_bytes()).unwrap()
    }

    /// The scope that is granted, or the error code.
    fn granted(client: &Client, asked: &str) -> String {
        scope(&params("scope", asked), client)
            .map_or_else(|error| error.code().to_owned(), |scope| scope.to_string())
    }

    #[test]
    fn a_missing_scope_is_the_clients_own_and_offline_access_needs_the_grant_s_a23() {
        let (app, mut plain) = (client("app"), client("app"));
        assert_eq!(granted(&app, ""), "read");
        assert_eq!(granted(&app, "email openid offline_access email"), "email offline_access openid");
        for bad in ["openid admin", "open\"id", " ", "OpenID"] {
            assert_eq!(granted(&app, bad), "invalid_scope", "{bad}");
        }
        plain.metadata.scope = Scope::of(&["openid", "email", "offline_access"]);
        assert_eq!(granted(&plain, ""), "invalid_scope");
        plain.metadata.grant_types = vec![GrantType::AuthorizationCode];
        assert_eq!(granted(&plain, "openid offline_access"), "openid");
        assert_eq!(granted(&plain, "offline_access"), "invalid_scope");
    }

    #[test]
    fn prompt_none_stands_alone_and_unknown_words_are_ignored_s_a18() {
        let read = |text: &str| prompt(&params("prompt", text));
        let expected = Prompt { none: false, login: true, consent: true, select_account: false };
        assert_eq!(read("login create consent").unwrap(), expected);
        assert_eq!(read("").unwrap(), Prompt::default());
        assert!(read("none").unwrap().none && read(" none ").unwrap().none);
        for bad in ["none login", "consent none", "none else"] {
            assert_eq!(read(bad).unwrap_err().code(), "invalid_request", "{bad}");
        }
    }

    #[test]
    fn max_age_is_a_number_of_seconds() {
        let read = |text: &str| max_age(&params("max_age", text));
        assert_eq!(
            (read("0").unwrap(), read("10000").unwrap(), read("").unwrap()),
            (Some(0), Some(10_000), None)
        );
        for bad in ["-1", "+1", "1.5", "1e3", " 1", "99999999999999999999", "never"] {
            assert_eq!(read(bad).unwrap_err().code(), "invalid_request", "{bad}");
        }
    }

    #[test]
    fn lists_of_words_are_read_in_order_and_bounded_r41() {
        assert_eq!(words(&params("ui_locales", " se  en "), "ui_locales"), ["se", "en"]);
        assert_eq!(words(&params("ui_locales", &"x ".repeat(99)), "ui_locales").len(), MAX_WORDS);
    }

    proptest! {
        /// What an app is given to ask a person for is what it asked for, within its registration; left out, it is no word about the person.
        #[test]
        fn no_scope_is_wider_than_asked_or_registered_s_a23(
            registered in prop::sample::subsequence(vec!["openid", "email", "offline_access", "read", "write"], 0..6),
            asked in "(openid|email|offline_access|read|write|admin|OpenID| ){0,6}", refreshes: bool,
        ) {
            let mut app = client("app");
            app.metadata.scope = Scope::of(&registered);
            if !refreshes {
                app.metadata.grant_types = vec![GrantType::AuthorizationCode];
            }
            if let Ok(given) = scope(&params("scope", &asked), &app) {
                prop_assert!(!given.is_empty());
                let sent: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
                for word in given.words() {
                    prop_assert!(registered.contains(&word), "{word} is not registered");
                    prop_assert!(sent.contains(&word) || asked.is_empty() && ["read", "write"].contains(&word), "{word} of {asked:?}");
                }
                prop_assert!(refreshes || sent.is_empty() || !given.contains("offline_access"));
                prop_assert!(sent.iter().all(|word| given.contains(word) || *word == "offline_access"));
            }
        }
    }
}
