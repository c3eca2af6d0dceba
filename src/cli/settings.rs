//! `cnx config`: every setting in force, secrets masked, each with where it came from.

use serde_json::json;

use super::{Context, Refused, print};

pub(super) fn run(context: &Context) -> Result<(), Refused> {
    let sources = context.load()?.sources;
    let document = json!({ "settings": sources });
    context.show(&document, || {
        let rows: Vec<[String; 3]> = sources
            .iter()
            .map(|s| [s.key.clone(), print::or_dash(s.value.as_ref()), s.from.clone()])
            .collect();
        print::table(["setting", "value", "from"], &rows)
    })
}
