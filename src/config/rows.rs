//! The one setting that is a list of tables: `[[gateway.routes]]` in the file, a JSON text in the environment. Here it is only seen that
//! each row has the members it may have; what they mean is for `api_key::route_table`.

use figment::value::{Dict, Value};

use super::error::{ConfigError, did_you_mean};
use super::load::Shown;
use super::stated::ROWS;
use crate::api_key::route_table::Mistake;
use crate::base::json;

const MEMBERS: [&str; 3] = ["methods", "path", "scope"];
const SHAPE: &str =
    "a row has methods = [\"GET\"], path = \"/v1/instances/{id}\" and scope = \"instances:read\"";

/// The setting that a row (`gateway.routes.2`) belongs to.
pub(super) fn setting(key: &str) -> &str {
    key.strip_prefix(ROWS).filter(|rest| rest.starts_with('.')).map_or(key, |_| ROWS)
}

/// A mistake as one line, at the place of its row.
pub(super) fn refused(mistake: &Mistake, place: &dyn Fn(&str) -> String) -> ConfigError {
    let Mistake { row, problem } = mistake;
    if *row == 0 {
        return ConfigError::at(&place(ROWS), ROWS, problem);
    }
    ConfigError::at(&place(&format!("{ROWS}.{row}")), ROWS, &format!("row {row}: {problem}"))
}

/// Whether a value is a list of rows with the members that they may have. A mistake of row 0 is the list's.
pub(super) fn check(value: &Value) -> Result<(), Mistake> {
    let mistake = |row: usize, problem: String| Err(Mistake { row, problem });
    let Value::Array(_, items) = value else {
        return mistake(0, format!("a list of rows is allowed, each begun with [[{ROWS}]]; {SHAPE}"));
    };
    for (at, item) in items.iter().enumerate() {
        let Value::Dict(_, members) = item else { return mistake(at + 1, SHAPE.to_owned()) };
        if let Err(problem) = row(members) {
            return mistake(at + 1, problem);
        }
    }
    Ok(())
}

fn row(members: &Dict) -> Result<(), String> {
    if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        let hint = did_you_mean(name, MEMBERS.into_iter());
        return Err(format!("there is no member {name}{hint}; {SHAPE}"));
    }
    let is_text = |name: &str| members.get(name).is_some_and(|value| value.as_str().is_some());
    let is_list = members
        .get("methods")
        .and_then(Value::as_array)
        .is_some_and(|items| items.iter().all(|item| item.as_str().is_some()));
    if !is_list {
        return Err(format!("methods: a list of texts is needed; {SHAPE}"));
    }
    if !is_text("path") {
        return Err(format!("path: a text is needed; {SHAPE}"));
    }
    if members.contains_key("scope") && !is_text("scope") {
        return Err(format!("scope: a text is needed; {SHAPE}"));
    }
    Ok(())
}

/// The rows in a variable: a JSON array of objects.
pub(super) fn from_text(text: &str) -> Result<Value, String> {
    let shape = "a JSON array is allowed, such as [{\"methods\":[\"GET\"],\"path\":\"/v1/instances/{id}\",\"scope\":\"instances:read\"}]";
    let read = json::strict(text).map_err(|error| format!("this is not JSON: {error}; {shape}"))?;
    Value::serialize(read).map_err(|_| shape.to_owned())
}

/// The rows as `cnx config` prints them: as a variable takes them.
pub(super) fn shown(value: &Value) -> Option<Shown> {
    serde_json::to_string(value).ok().map(Shown::Text)
}
