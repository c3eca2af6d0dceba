//! Finds the line of a key in a TOML text, so that a message can say where a value stands.
//!
//! The rows of a list of tables (`[[routes]]`) are numbered from 1: `routes.2`. It reads headers and `key =` only; a value that spans lines or an inline table is found by the line it starts on.

/// The line, counted from 1, that sets `key` (dotted), or the nearest table around it.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None; // (how much of the key matched, line)
    let mut table = String::new();
    let mut rows: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let path = if let Some(rest) = line.strip_prefix('[') {
            table = clean(rest.trim_start_matches('[').split(']').next().unwrap_or_default());
            if rest.starts_with('[') {
                rows.push(table.clone());
                let row = rows.iter().filter(|name| **name == table).count();
                // The list itself is where its first row is.
                let is_list = row == 1 && key == table;
                if !is_list {
                    table = format!("{table}.{row}");
                }
            }
            table.clone()
        } else {
            match line.split_once('=') {
                Some((name, _)) if !line.starts_with('#') && table.is_empty() => clean(name),
                Some((name, _)) if !line.starts_with('#') => format!("{table}.{}", clean(name)),
                _ => continue,
            }
        };
        let matches =
            key == path || key.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if matches && best.is_none_or(|(length, _)| path.len() > length) {
            best = Some((path.len(), number + 1));
        }
    }
    best.map(|(_, line)| line)
}

/// The line, counted from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

fn clean(name: &str) -> String {
    name.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_every_way_of_writing_it() {
        let text = "# listen = 1\nlisten = \"x\"\ntls = { cert = \"a\" }\nlog.level = \"info\"\n\n[tokens] # life\n\"access_seconds\" = 1\n";
        assert_eq!(line_of(text, "listen"), Some(2));
        assert_eq!(line_of(text, "tls.cert"), Some(3));
        assert_eq!(line_of(text, "log.level"), Some(4));
        assert_eq!(line_of(text, "tokens.access_seconds"), Some(7));
        assert_eq!(line_of(text, "tokens.id_seconds"), Some(6));
        assert_eq!(line_of(text, "sessions.idle_seconds"), None);
        let rows = "listen = 1\n[[gateway.routes]]\npath = 1\n\n[[ gateway.routes ]]\npath = 2\n";
        for (key, line) in [("gateway.routes", 2), ("gateway.routes.1", 2), ("gateway.routes.2", 5)] {
            assert_eq!(line_of(rows, key), Some(line), "{key}");
        }
        assert_eq!(line_at(text, text.find("tls").unwrap()), 3);
    }
}
