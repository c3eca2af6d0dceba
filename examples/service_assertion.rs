//! A service account of CloudNexus Identity: gets a token with its key file, and replaces its own key before it is old.
//!
//! ```sh
//! cnx service-account key add NAME > key.json                                # once, where the server is
//! cargo run --example service_assertion -- key.json token                    # prints an access token
//! cargo run --example service_assertion -- key.json rotate                   # puts a new key into key.json
//! cargo run --example service_assertion -- key.json serve 30                 # tokens all the time, a new key every 30 s
//! ```
//!
//! The private half of a new key is made here and never leaves this machine. `examples/service_assertion.py` is the same in Python.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use josekit::jwk::{Jwk, KeyPair as _};
use josekit::jws::{ES256, EdDSA, JwsHeader, JwsSigner, RS256};
use josekit::jwt::{self, JwtPayload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How long the key that is replaced goes on working, so that programs that have read it already can go on.
const OVERLAP_SECONDS: u64 = 3600;

/// What `cnx service-account key add` prints.
#[derive(Clone, Serialize, Deserialize)]
struct KeyFile {
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
    issuer: String,
    alg: String,
    /// Members that this program does not need, kept as they are.
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl KeyFile {
    fn read(path: &Path) -> Fallible<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Replaces the file as a whole: whoever reads it finds the old key or the new one, also after a power cut.
    fn save(&self, path: &Path) -> Fallible<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
        serde_json::to_writer_pretty(&mut file, self)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(std::fs::File::open(folder)?.sync_all()?)
    }

    fn signer(&self) -> Fallible<Box<dyn JwsSigner>> {
        Ok(match self.alg.as_str() {
            "RS256" => Box::new(RS256.signer_from_pem(&self.private_key)?),
            "EdDSA" => Box::new(EdDSA.signer_from_pem(&self.private_key)?),
            _ => Box::new(ES256.signer_from_pem(&self.private_key)?),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a program of its own, which the machine's clock is right for"
    )]
    /// A JWT by which the account says who it is (RFC 7523). The server takes each one once.
    fn assertion(&self, audience: &str) -> Fallible<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut header = JwsHeader::new();
        header.set_key_id(&self.private_key_id);
        let mut claims = JwtPayload::new();
        claims.set_issuer(&self.client_email);
        claims.set_subject(&self.client_email);
        claims.set_audience(vec![audience]);
        claims.set_jwt_id(random_id()?);
        claims.set_claim("iat", Some(now.into()))?;
        claims.set_claim("exp", Some((now + 300).into()))?;
        Ok(jwt::encode_with_signer(&claims, &header, self.signer()?.as_ref())?)
    }
}

/// Unguessable, and never the same twice.
fn random_id() -> Fallible<String> {
    Ok(Jwk::generate_ed_key(josekit::jwk::alg::ed::EdCurve::Ed25519)?
        .parameter("x")
        .and_then(Value::as_str)
        .ok_or("no id")?
        .to_owned())
}

/// Gets an access token for all that the account may.
async fn access_token(http: &reqwest::Client, key: &KeyFile) -> Fallible<String> {
    let assertion = key.assertion(&key.issuer)?;
    let form =
        [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
    let answer: Value = answered(http.post(&key.token_uri).form(&form)).await?;
    Ok(answer.get("access_token").and_then(Value::as_str).ok_or("no access_token in the answer")?.to_owned())
}

/// Makes the next key, keeps it, and publishes its public half on the word of the present one.
async fn rotate(http: &reqwest::Client, path: &Path) -> Fallible<()> {
    let key = KeyFile::read(path)?;
    let pair = ES256.generate_key_pair()?;
    let mut public = pair.to_jwk_public_key();
    let kid = random_id()?;
    public.set_key_id(&kid);
    let next = KeyFile {
        private_key_id: kid,
        private_key: String::from_utf8(pair.to_pem_private_key())?,
        alg: "ES256".to_owned(),
        ..key.clone()
    };
    // On disk before the server hears of it: a key that the server knows is never lost.
    let waiting = PathBuf::from(format!("{}.next", path.display()));
    next.save(&waiting)?;
    let address = format!("{}/v1/service-accounts/{}/keys", key.issuer, key.client_email);
    let body = json!({ "public_key": public.as_ref(), "overlap_seconds": OVERLAP_SECONDS });
    // For this address and no other: an assertion that asks for a token must not be good for more.
    let request = http.post(&address).bearer_auth(key.assertion(&address)?).json(&body);
    answered(request).await?;
    next.save(path)?;
    Ok(std::fs::remove_file(waiting)?)
}

/// The JSON of a good answer; otherwise what the server says is wrong.
async fn answered(request: reqwest::RequestBuilder) -> Fallible<Value> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    if status.is_success() {
        Ok(serde_json::from_str(&body)?)
    } else {
        Err(format!("{status}: {body}").into())
    }
}

/// Asks for tokens all the time and replaces the key every so often, until it was replaced three times; fails at the first no.
async fn serve(http: &reqwest::Client, path: &Path, every: Duration) -> Fallible<()> {
    let (mut tokens, mut since) = (0_u64, Instant::now());
    for rotation in 1..=3 {
        while since.elapsed() < every {
            access_token(http, &KeyFile::read(path)?).await?;
            tokens += 1;
        }
        rotate(http, path).await?;
        since = Instant::now();
        println!("rotation {rotation}: {tokens} tokens so far, none refused");
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let http = reqwest::Client::new();
    let done = match words.as_slice() {
        [file] | [file, "token"] => match KeyFile::read(Path::new(file)) {
            Ok(key) => access_token(&http, &key).await.map(|token| println!("{token}")),
            Err(error) => Err(error),
        },
        [file, "rotate"] => rotate(&http, Path::new(file)).await,
        [file, "serve", seconds] => match seconds.parse() {
            Ok(seconds) => serve(&http, Path::new(file), Duration::from_secs_f64(seconds)).await,
            Err(_) => Err("serve wants a number of seconds".into()),
        },
        _ => Err("usage: service_assertion KEY_FILE [token | rotate | serve SECONDS]".into()),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
