//! The names of the settings, and what kind of value each takes; both follow from the defaults.

use figment::value::{Dict, Value};

use super::error::{ConfigError, did_you_mean};
use super::rows;
use super::stated::{CHOICES, RANGES, ROWS, Stated};

/// Every key of the settings with its default, dotted, in order.
pub(super) fn leaves(stated: &Stated) -> Result<Vec<(String, Value)>, ConfigError> {
    fn walk(prefix: &str, value: Value, out: &mut Vec<(String, Value)>) {
        match value {
            Value::Dict(_, members) => {
                for (name, member) in members {
                    walk(&join(prefix, &name), member, out);
                }
            }
            leaf => out.push((prefix.to_owned(), leaf)),
        }
    }
    let mut out = Vec::new();
    let whole = Value::serialize(stated).map_err(|error| ConfigError::line(&error.to_string()))?;
    walk("", whole, &mut out);
    Ok(out)
}

/// Refuses keys that do not exist and values of the wrong kind.
pub(super) fn check_table(
    table: &Dict,
    prefix: &str,
    known: &[(String, Value)],
    place: &dyn Fn(&str) -> String,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = join(prefix, name);
        let inside = format!("{key}.");
        if key == ROWS {
            rows::check(value).map_err(|mistake| rows::refused(&mistake, place))?;
        } else if let Some((_, default)) = known.iter().find(|(k, _)| *k == key) {
            check_value(&key, value, default).map_err(|p| ConfigError::at(&place(&key), &key, &p))?;
        } else if known.iter().any(|(k, _)| k.starts_with(&inside)) {
            let Value::Dict(_, members) = value else {
                let problem = format!("this is a table; write [{key}] and its settings below it");
                return Err(ConfigError::at(&place(&key), &key, &problem));
            };
            check_table(members, &key, known, place)?;
        } else {
            let tables = known.iter().filter_map(|(k, _)| k.split_once('.').map(|(table, _)| table));
            let names = known.iter().map(|(k, _)| k.as_str()).chain(tables);
            let problem = format!("there is no such setting{}", did_you_mean(&key, names));
            return Err(ConfigError::at(&place(&key), &key, &problem));
        }
    }
    Ok(())
}

/// Whether a value is of its default's kind and in its range; the error says what is allowed.
pub(super) fn check_value(key: &str, value: &Value, default: &Value) -> Result<(), String> {
    match (default, value) {
        (Value::Num(..), Value::Num(..)) => in_range(key, whole(value)),
        (Value::Num(..), _) => in_range(key, None),
        (Value::Array(..), Value::Array(_, items)) if items.iter().all(|i| i.as_str().is_some()) => Ok(()),
        (Value::Array(..), _) => Err("a list of texts is allowed, such as [\"10.0.0.0/8\"]".to_owned()),
        (_, Value::String(_, text)) => match CHOICES.iter().find(|(name, _)| *name == key) {
            Some((_, words)) if !words.contains(&text.as_str()) => {
                Err(format!("\"{text}\" is not allowed; {} is", words.join(" or ")))
            }
            _ => Ok(()),
        },
        _ => Err("a text in quotes is allowed".to_owned()),
    }
}

fn in_range(key: &str, number: Option<i128>) -> Result<(), String> {
    let Some(range) = RANGES.iter().find(|range| range.key == key) else { return Ok(()) };
    match number {
        Some(n) if (range.least..=range.most).contains(&n) => Ok(()),
        Some(n) => Err(format!("{n} is not allowed; {} to {} is ({})", range.least, range.most, range.unit)),
        None => {
            Err(format!("a whole number from {} to {} is allowed ({})", range.least, range.most, range.unit))
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// A whole number, signed or not; nothing for a fraction or anything else.
pub(super) fn whole(value: &Value) -> Option<i128> {
    value.to_i128().or_else(|| value.to_u128().and_then(|n| n.try_into().ok()))
}
