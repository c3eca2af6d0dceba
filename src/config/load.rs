//! Puts the layers together: defaults, then the file, then the environment, then what `serve --dev` insists on.
//!
//! figment merges them and remembers which layer each value came from. Names are checked here, before anything is read
//! from them, so that a misspelt key cannot be silently without effect.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::{ConfigError, did_you_mean};
use super::keys::{check_table, check_value, leaves, whole};
use super::stated::{ROWS, SECRET, Stated};
use super::values::masked_url;
use super::{Settings, check, place, rows};

/// The settings in force, and where each came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// One for each key, in the order of their names.
    pub sources: Vec<Source>,
}

/// One setting as `cnx config` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// The dotted key.
    pub key: String,
    /// The value, secrets masked; absent when not set. A list is one text.
    pub value: Option<Shown>,
    /// `default`, `derived from …`, `FILE:LINE`, the environment variable, or `--dev`.
    pub from: String,
}

/// A value that is shown: its kind is kept, so that a program that reads `cnx config --json` has no number to parse.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The environment variables that concern us. Text that is not UTF-8 keeps a replacement character, and fails where it is read.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (lossy(name), lossy(value)))
}

/// Loads the settings.
///
/// `file` is what `--config` names; without it `CNX_CONFIG` does, and without that `cnx.toml` in the working directory is
/// read when it exists. `dev` is the throw-away folder of `serve --dev`. A variable that is set to nothing counts as not set.
///
/// # Errors
/// The first thing that is wrong, as one line.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    dev: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    let variables: Vec<(String, String)> = environment.collect();
    let is_named = |(name, path): &&(String, String)| name == "CNX_CONFIG" && !path.is_empty();
    let named = variables.iter().find(is_named).map(|(_, path)| PathBuf::from(path));
    let (path, text) = read(file.or(named.as_deref()))?;
    of_text(&path, &text, variables, dev)
}

/// What [`load`] makes of a file with this text; `path` is what it is called in messages.
///
/// # Errors
/// The first thing that is wrong, as one line.
pub fn of_text(
    path: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    dev: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    let defaults = leaves(&Stated::default())?;
    let variables: Vec<(String, String)> = environment
        .into_iter()
        .filter(|(name, value)| name.starts_with("CNX_") && !value.is_empty())
        .collect();

    let mut figment = Figment::new().merge(layer("default", tree(&defaults)));
    let written = parse(path, text)?;
    check_table(&written, "", &defaults, &|key| file_place(path, text, key))?;
    figment = figment.merge(layer("file", written));
    figment = figment.merge(layer("environment", tree(&from_environment(&variables, &defaults)?)));
    if let Some(folder) = dev {
        figment = figment.merge(layer("dev", tree(&throw_away(folder))));
    }

    let place = |key: &str| match figment.find_metadata(rows::setting(key)).map(|m| m.name.as_ref()) {
        Some("file") => file_place(path, text, key),
        Some("environment") => variable(rows::setting(key)),
        Some("dev") => "--dev".to_owned(),
        _ => "default".to_owned(),
    };
    let stated: Stated = figment.extract().map_err(|error| {
        let key = error.path.join(".");
        ConfigError::at(&place(&key), &key, &error.kind.to_string())
    })?;
    let settings = check::check(stated, dev.is_some(), &place)?;
    let sources = defaults.iter().map(|(key, _)| source(key, &figment, &settings, &place)).collect();
    Ok(Loaded { settings, sources })
}

/// What one setting is, and where from.
fn source(key: &str, figment: &Figment, settings: &Settings, place: &dyn Fn(&str) -> String) -> Source {
    let stated = figment.find_value(key).ok().and_then(|value| shown(&value));
    let derived = |value: String, from: &str| (Some(Shown::Text(value)), format!("derived from {from}"));
    let (value, from) = match (key, &stated) {
        ("database_url", None) => derived(settings.database_url.masked(), "data_dir"),
        ("database_url", Some(_)) => (Some(Shown::Text(settings.database_url.masked())), place(key)),
        ("master_key_file", None) => derived(settings.master_key_file.display().to_string(), "data_dir"),
        ("public_url", None) => derived(settings.public_url.to_string(), "listen"),
        (_, Some(value)) if SECRET.contains(&key) => {
            (Some(Shown::Text(masked_url(&value.to_string()))), place(key))
        }
        _ => (stated, place(key)),
    };
    Source { key: key.to_owned(), value, from }
}

/// The file's path and text; both empty when there is none. A file that was named must exist.
fn read(named: Option<&Path>) -> Result<(String, String), ConfigError> {
    let path = named.unwrap_or_else(|| Path::new("cnx.toml"));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((String::new(), String::new()))
        }
        Err(error) => {
            Err(ConfigError::line(&format!("{}: the settings file cannot be read: {error}", path.display())))
        }
    }
}

fn parse(path: &str, text: &str) -> Result<Dict, ConfigError> {
    Toml::from_str::<Dict>(text).map_err(|error| {
        let line = error.span().map_or(1, |span| place::line_at(text, span.start));
        let problem = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::line(&format!("{path}:{line}: this is not TOML: {problem}"))
    })
}

fn file_place(path: &str, text: &str, key: &str) -> String {
    place::line_of(text, key).map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"))
}

/// The environment variable of a key: `tls.cert` is `CNX_TLS__CERT`.
fn variable(key: &str) -> String {
    format!("CNX_{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The nested form of dotted keys.
fn tree(leaves: &[(String, Value)]) -> Dict {
    let mut root = Dict::new();
    for (key, value) in leaves {
        let nested = figment::util::nest(key, value.clone());
        if let Value::Dict(_, members) = nested {
            for (name, member) in members {
                match (root.get_mut(&name), member) {
                    (Some(Value::Dict(_, there)), Value::Dict(_, more)) => there.extend(more),
                    (_, member) => drop(root.insert(name, member)),
                }
            }
        }
    }
    root
}

/// Reads variables by the kind of the setting they name.
fn from_environment(
    variables: &[(String, String)],
    known: &[(String, Value)],
) -> Result<Vec<(String, Value)>, ConfigError> {
    let names: Vec<String> =
        known.iter().map(|(key, _)| variable(key)).chain(["CNX_CONFIG".to_owned()]).collect();
    let mut out = Vec::new();
    for (name, text) in variables.iter().filter(|(name, _)| name != "CNX_CONFIG") {
        let Some((key, default)) = known.iter().find(|(key, _)| variable(key) == *name) else {
            let hint = did_you_mean(name, names.iter().map(String::as_str));
            return Err(ConfigError::line(&format!("{name} (environment): there is no such setting{hint}")));
        };
        let value = match default {
            _ if key == ROWS => rows::from_text(text).map_err(|p| ConfigError::at(name, key, &p))?,
            Value::Num(..) => {
                text.trim().parse::<i64>().map_or_else(|_| Value::from(text.as_str()), Value::from)
            }
            Value::Array(..) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect::<Vec<_>>()
                .into(),
            _ => Value::from(text.as_str()),
        };
        if key == ROWS {
            rows::check(&value).map_err(|mistake| rows::refused(&mistake, &|_| name.clone()))?;
        } else {
            check_value(key, &value, default).map_err(|p| ConfigError::at(name, key, &p))?;
        }
        out.push((key.clone(), value));
    }
    Ok(out)
}

/// Nothing of `serve --dev` may touch a database or a key that somebody keeps.
fn throw_away(folder: &Path) -> Vec<(String, Value)> {
    let text = |path: &Path| Value::from(path.display().to_string());
    vec![
        ("data_dir".to_owned(), text(folder)),
        ("database_url".to_owned(), Value::from(format!("sqlite:{}", folder.join("cnx.db").display()))),
        ("master_key_file".to_owned(), text(&folder.join("master.key"))),
        // Nobody gets mail from a server that is tried out: it lies in the folder, and `/dev/mail` shows it.
        ("mail.folder".to_owned(), text(&folder.join("mail"))),
        ("mail.smtp_url".to_owned(), Value::from(figment::value::Empty::None)),
    ]
}

/// A value as `cnx config` prints it; nothing when it is not set.
fn shown(value: &Value) -> Option<Shown> {
    match value {
        Value::Empty(..) => None,
        Value::String(_, text) => Some(Shown::Text(text.clone())),
        Value::Num(..) => whole(value).and_then(|n| n.try_into().ok()).map(Shown::Number),
        Value::Bool(_, flag) => Some(Shown::Flag(*flag)),
        Value::Array(_, items) if items.is_empty() => None,
        Value::Array(_, items) if items.iter().any(|item| item.as_dict().is_some()) => rows::shown(value),
        Value::Array(_, items) => {
            Some(Shown::Text(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")))
        }
        other => Some(Shown::Text(format!("{other:?}"))),
    }
}

/// One layer with a name that provenance can be told by.
struct Layer(&'static str, Dict);

fn layer(name: &'static str, values: Dict) -> Layer {
    Layer(name, values)
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(std::iter::once((Profile::Default, self.1.clone())).collect())
    }
}
