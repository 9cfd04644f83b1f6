//! Credentials as `-p` takes them: JSON, a file with JSON, or names to ask for.

use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::output::Terminal;

const NEXT: &str =
    "give a JSON object, a file that holds one, or names to ask for: -p \"user, password\"";

pub(super) fn read(text: &str, terminal: &Terminal) -> Outcome<Map<String, Value>> {
    let text = text.trim();
    if text.starts_with('{') {
        return parse("-p", text);
    }
    let path = Path::new(text);
    if path.is_file() {
        let content = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("cannot read {text}: {error}")).next(NEXT))?;
        return parse(text, &content);
    }
    let names = names(text)?;
    if !names.is_empty() && !terminal.is_interactive() {
        let message = format!("`{text}` is neither JSON nor a file, and nobody can be asked");
        return Err(Failure::new(message).next(NEXT));
    }
    let mut credentials = Map::new();
    for name in names {
        let value = terminal
            .ask_secret(name)
            .ok_or_else(|| Failure::new(format!("no value was given for `{name}`")).next(NEXT))?;
        credentials.insert(name.to_owned(), Value::String(value));
    }
    Ok(credentials)
}

fn parse(what: &str, text: &str) -> Outcome<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| {
        // The message tells where, and never what: it may hold a secret.
        let (line, column) = (error.line(), error.column());
        Failure::new(format!(
            "{what} is no JSON object (line {line}, column {column})"
        ))
        .next(NEXT)
    })
}

fn names(text: &str) -> Outcome<Vec<&str>> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match names.as_slice() {
        [""] => Ok(Vec::new()),
        names if names.contains(&"") => {
            Err(Failure::new(format!("a name is missing in `{text}`")).next(NEXT))
        }
        // A path with a typo is not a name.
        names if names.iter().any(|name| name.contains(['/', '\n'])) => {
            Err(Failure::new(format!("there is no file {text}")).next(NEXT))
        }
        _ => Ok(names),
    }
}

/// `a, b` as a list.
pub(super) fn tags(text: &str) -> Vec<String> {
    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as_script(text: &str) -> Outcome<Map<String, Value>> {
        read(text, &Terminal::silent())
    }

    #[test]
    fn credentials_are_json_or_a_file_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials.json");
        std::fs::write(&path, "{\"uri\": \"redis://h\"}\n").expect("written");
        for text in [" {\"uri\": \"redis://h\"}", &path.display().to_string()] {
            assert_eq!(read_as_script(text).expect("read")["uri"], "redis://h");
        }
        for nothing in ["{}", ""] {
            assert!(read_as_script(nothing).expect("none").is_empty());
        }
    }

    #[test]
    fn what_is_no_json_is_told_without_the_secret_in_it() {
        let failure = read_as_script("{\"password\": hunter2}").expect_err("no JSON");
        assert!(failure.message().contains("column"), "{failure:?}");
        assert!(!failure.message().contains("hunter2"), "{failure:?}");
    }

    #[test]
    fn names_are_asked_for_only_where_somebody_answers() {
        for text in ["user, password", "user,,password", "./typo.json"] {
            let failure = read_as_script(text).expect_err("nobody");
            assert_eq!(failure.next_step(), Some(NEXT), "{text}");
        }
        assert_eq!(
            names("user, password").expect("names"),
            ["user", "password"]
        );
    }

    #[test]
    fn tags_are_separated_by_commas() {
        assert_eq!(tags(" redis, stock ,"), ["redis", "stock"]);
        assert!(tags("").is_empty());
    }
}
