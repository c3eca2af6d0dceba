//! `cnx signing-key`: the server's own keys. They rotate by themselves; here a person looks at them or does not wait.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Refused, by, print};
use crate::app::App;
use crate::base::algorithm::Algorithm;
use crate::base::time::Timestamp;
use crate::flow::signing_keys;
use crate::jose::keyring::KeyStatus;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List every key and where it is in its life
    List,
    /// Make the next key: published now, signing as soon as every cache can know it; one that waits already is shown
    Rotate(Rotate),
    /// Revoke a key: nothing that it signed is valid any more, and another takes over at once
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Rotate {
    /// Let the next key sign at once; verifiers that cache a key set without it refuse its tokens until they read it again
    #[arg(long)]
    now: bool,
    /// Only this algorithm; every one when absent
    #[arg(long, value_name = "A", value_parser = algorithm())]
    alg: Option<Algorithm>,
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The key's id, as `list` shows it
    #[arg(allow_hyphen_values = true)] // base64url may begin with one
    kid: String,
}

fn algorithm() -> impl clap::builder::TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name)).try_map(|text| text.parse::<Algorithm>())
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), Refused> {
    match command {
        Command::List => context.with_database(|app| async move { show(context, &statuses(&app)?) }),
        Command::Rotate(arguments) => context.with_app(|app| async move {
            let algorithms = arguments.alg.map_or_else(|| Algorithm::ALL.to_vec(), |alg| vec![alg]);
            let mut next = Vec::new();
            for alg in algorithms {
                next.push(signing_keys::rotate(&app, &by(), alg, arguments.now).await?);
            }
            let keys: Vec<KeyStatus> =
                statuses(&app)?.into_iter().filter(|k| next.contains(&k.kid)).collect();
            show(context, &keys)
        }),
        Command::Revoke(arguments) => context.with_app(|app| async move {
            if !signing_keys::revoke(&app, &by(), &arguments.kid).await? {
                return Err(Refused::Because(format!(
                    "{}: there is no such key; `cnx signing-key list` shows what there is",
                    arguments.kid
                )));
            }
            show(context, &statuses(&app)?)
        }),
    }
}

fn statuses(app: &App) -> Result<Vec<KeyStatus>, Refused> {
    let keyring = app.keyring(app.now()).map_err(Refused::because)?;
    Ok(keyring.describe().to_vec())
}

fn show(context: &Context, keys: &[KeyStatus]) -> Result<(), Refused> {
    let documents: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "kid": key.kid,
                "alg": key.alg,
                "generation": key.generation,
                "state": key.state.to_string(),
                "sign_from": key.sign_from.to_rfc3339(),
                "retires_at": key.retires_at.map(Timestamp::to_rfc3339),
                "expires_at": key.leaves_at.map(Timestamp::to_rfc3339),
            })
        })
        .collect();
    context.show(&json!({ "keys": documents }), || {
        let rows: Vec<[String; 5]> = keys
            .iter()
            .map(|key| {
                let until = print::or_dash(key.retires_at.map(Timestamp::to_rfc3339));
                [
                    key.alg.to_string(),
                    key.state.to_string(),
                    key.sign_from.to_rfc3339(),
                    until,
                    key.kid.clone(),
                ]
            })
            .collect();
        print::table(["alg", "state", "signs from", "until", "kid"], &rows)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        command: Command,
    }

    /// A `kid` is base64url, so that one in 64 begins with a hyphen.
    #[test]
    fn a_kid_that_looks_like_a_flag_is_a_kid() {
        for kid in ["-s27LQ6vDP1vtK3ORMC", "-hAbc", "--x", "8DuD7"] {
            for line in [vec!["x", "revoke", kid, "--json"], vec!["x", "revoke", "--json", kid]] {
                let parsed = Line::try_parse_from(&line).map(|line| (line.json, line.command));
                assert!(
                    matches!(&parsed, Ok((true, Command::Revoke(Revoke { kid: read }))) if read == kid),
                    "{line:?}: {:?}",
                    parsed.err().map(|e| e.to_string())
                );
            }
        }
    }
}
