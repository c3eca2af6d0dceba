//! `cnx migrate`: brings the database up to date, or says whether it is.

use clap::Args;
use serde_json::json;

use super::{Context, Refused};
use crate::store::{StoreOptions, migrate};

#[derive(Args)]
pub(super) struct Arguments {
    /// Change nothing; exit with 1 when migrations are missing
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Refused> {
    let settings = context.load()?.settings;
    let pending =
        migrate::pending(&StoreOptions::new(settings.database_url.as_str())).map_err(Refused::because)?;
    let database = settings.database_url.masked();
    if arguments.check {
        let document = json!({ "database_url": database, "pending": pending });
        context.show(&document, || match pending.as_slice() {
            [] => format!("{database} is up to date"),
            some => format!("{database} lacks {}; `cnx migrate` applies them", some.join(", ")),
        })?;
        return if pending.is_empty() { Ok(()) } else { Err(Refused::Told) };
    }
    // Opening applies what is missing, after the master key and everything else agreed.
    context.with_app(|_| async { Ok(()) })?;
    context.show(&json!({ "database_url": database, "applied": pending }), || match pending.as_slice() {
        [] => format!("{database} was up to date"),
        some => format!("{database}: applied {}", some.join(", ")),
    })
}
