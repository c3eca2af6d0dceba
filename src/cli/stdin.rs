//! Secrets and files that a command is given: never on the command line, where every process on the machine can read them.

use std::io::{Read, stdin};
use std::path::Path;

use super::Refused;
use crate::base::secret::Secret;

/// Far above every secret that is allowed; the rules that follow say what is.
const MOST: u64 = 64 * 1024;

/// Reads a secret from standard input, without the line end that a shell adds.
pub(super) fn secret(what: &str) -> Result<Secret<String>, Refused> {
    let mut text = String::new();
    let read = stdin().lock().take(MOST + 1).read_to_string(&mut text);
    let text = Secret::new(text);
    let read =
        read.map_err(|e| Refused::Because(format!("{what}: standard input cannot be read as UTF-8: {e}")))?;
    let line = one_line(text.reveal());
    if read as u64 > MOST || line.contains(['\n', '\r']) {
        return Err(Refused::Because(format!("{what}: one line is expected on standard input")));
    }
    if line.is_empty() {
        return Err(Refused::Because(format!("{what}: standard input is empty")));
    }
    Ok(Secret::new(line.to_owned()))
}

fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Reads a file that an argument names.
pub(super) fn file(argument: &str, path: &Path) -> Result<String, Refused> {
    std::fs::read_to_string(path)
        .map_err(|e| Refused::Because(format!("{argument} {}: the file cannot be read: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn only_the_line_end_of_the_shell_is_cut() {
        assert_eq!(one_line("a b \n"), "a b ");
        assert_eq!(one_line("a\r\n"), "a");
        assert_eq!(one_line("a\n\n"), "a\n");
        assert_eq!(one_line(" "), " ");
    }
}
