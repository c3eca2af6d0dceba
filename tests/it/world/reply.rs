//! What comes back: statuses, headers, forms on pages, answers to clients, tokens.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// The members of a token answer.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub id: Option<String>,
    pub scope: String,
}

impl Tokens {
    pub fn of(reply: &Reply) -> Self {
        let json = reply.json();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        Self {
            access: text("access_token").unwrap(),
            refresh: text("refresh_token"),
            id: text("id_token"),
            scope: text("scope").unwrap(),
        }
    }

    pub fn refresh(&self) -> &str {
        self.refresh.as_deref().expect("a refresh token")
    }

    pub fn id(&self) -> &str {
        self.id.as_deref().expect("an ID token")
    }
}

/// The header (0) or the claims (1) of a JWT, unverified.
pub fn jwt_part(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&cnx::base::encoding::from_base64url(text).unwrap()).unwrap()
}

pub fn claims(token: &str) -> Value {
    jwt_part(token, 1)
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// A form of a page, ready to be sent.
#[derive(Clone, Debug)]
pub struct Form {
    pub action: String,
    pub fields: Vec<(String, String)>,
}

impl Reply {
    pub async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub fn location(&self) -> Option<String> {
        self.header("location").map(str::to_owned)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text))
    }

    /// The error code of a JSON answer.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// The answer to the client: the parameters of a redirect that leaves the server, or the fields of a `form_post` page.
    pub fn callback(&self) -> Callback {
        if let Some(location) = self.location() {
            let url = url::Url::parse(&location).unwrap();
            let params = url.query_pairs().into_owned().collect();
            return Callback { location, params };
        }
        let form = self.form(&[]);
        assert!(form.action.contains("://"), "no answer to a client: {} {}", self.status, self.text);
        Callback { location: form.action, params: form.fields }
    }

    /// The first form that has all of these inputs, with them filled in. A form whose hidden input has another value than
    /// wanted is another form (two buttons of a page are two forms).
    pub fn form(&self, wanted: &[(&str, &str)]) -> Form {
        let page = scraper::Html::parse_document(&self.text);
        let forms = scraper::Selector::parse("form").unwrap();
        let inputs = scraper::Selector::parse("input").unwrap();
        for form in page.select(&forms) {
            let mut fields = Vec::new();
            for input in form.select(&inputs) {
                let Some(name) = input.value().attr("name") else { continue };
                let hidden = input.value().attr("type") == Some("hidden");
                fields.push((
                    name.to_owned(),
                    input.value().attr("value").unwrap_or_default().to_owned(),
                    hidden,
                ));
            }
            let fits = wanted.iter().all(|(name, value)| {
                fields.iter().any(|(n, v, hidden)| n == name && (!hidden || v == value))
            });
            if fits {
                let action = form.value().attr("action").unwrap().to_owned();
                let fields = fields
                    .into_iter()
                    .map(|(n, v, _)| {
                        let value = wanted
                            .iter()
                            .find(|(name, _)| *name == n)
                            .map_or(v, |(_, value)| (*value).to_owned());
                        (n, value)
                    })
                    .collect();
                return Form { action, fields };
            }
        }
        panic!("no form with {wanted:?}: {} {}", self.status, self.text);
    }
}

/// What a client is told at its redirect URI.
#[derive(Clone, Debug)]
pub struct Callback {
    pub location: String,
    pub params: Vec<(String, String)>,
}

impl Callback {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn code(&self) -> String {
        self.get("code").unwrap_or_else(|| panic!("no code: {}", self.location)).to_owned()
    }

    pub fn error(&self) -> &str {
        self.get("error").unwrap_or_default()
    }
}
