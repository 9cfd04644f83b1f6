//! The house rules that no compiler knows: sizes, headers, names. A listed exception may only shrink.

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file, its inline tests excluded.
const FILE_LINES_MAX: usize = 600;
/// Most lines of a function outside tests.
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "misc",
];
/// Words that promise work instead of doing it.
const PROMISES: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Files over the limit, with the most lines each may still have. May only shrink.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions over the limit, as `file:function`, likewise.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

struct Source {
    name: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.name.contains("/tests/")
            || self.name.ends_with("tests.rs")
            || self.name.ends_with("contract.rs")
    }

    /// The lines before the inline tests.
    fn code(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        lines[..tests.unwrap_or(lines.len())].to_vec()
    }

    /// `(name, lines)` of each function. The code is formatted, so a function ends at the first
    /// brace that stands as far in as it began.
    fn functions(&self) -> Vec<(String, usize)> {
        let lines = self.code();
        let starts = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_function(line));
        starts
            .map(|(start, line)| {
                let indent = &line[..line.len() - line.trim_start().len()];
                let end = format!("{indent}}}");
                let length = lines[start..]
                    .iter()
                    .position(|l| *l == end || l.ends_with(';'))
                    .map_or(0, |n| n + 1);
                (function_name(line), length)
            })
            .collect()
    }
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//")
        && (line.starts_with("fn ") || line.contains(" fn "))
        && line.contains('(')
        && !line.contains('"')
}

fn function_name(line: &str) -> String {
    let after = line.split("fn ").nth(1).unwrap_or_default();
    after
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

fn files(extensions: &[&str]) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let hidden = name.to_string_lossy().starts_with('.') && name != ".ci";
            if hidden || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                walk(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    found
        .into_iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))
        })
        .map(|path| Source {
            name: path
                .strip_prefix(&root)
                .expect("inside")
                .display()
                .to_string(),
            text: fs::read_to_string(&path).expect("readable text"),
        })
        .collect()
}

fn rust() -> Vec<Source> {
    let sources = files(&["rs"]);
    assert!(
        sources.len() > 50,
        "the walk found only {} files",
        sources.len()
    );
    sources
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for source in rust().iter().filter(|s| !s.is_test()) {
        let lines = source.code().len();
        let allowed = LONG_FILES
            .iter()
            .find(|(name, _)| *name == source.name)
            .map_or(FILE_LINES_MAX, |(_, most)| *most);
        if lines > allowed {
            long.push(format!(
                "{} has {lines} lines; {allowed} are allowed",
                source.name
            ));
        }
    }
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    for source in rust().iter().filter(|s| !s.is_test()) {
        for (function, lines) in source.functions() {
            let name = format!("{}:{function}", source.name);
            let allowed = LONG_FUNCTIONS
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(FUNCTION_LINES_MAX, |(_, most)| *most);
            if lines > allowed {
                long.push(format!("{name} has {lines} lines; {allowed} are allowed"));
            }
        }
    }
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let mute: Vec<_> = rust()
        .into_iter()
        .filter(|s| !s.is_test() && !s.text.starts_with("//!"))
        .map(|s| s.name)
        .collect();
    assert!(
        mute.is_empty(),
        "start these with `//!` and what they own:\n{}",
        mute.join("\n")
    );
}

#[test]
fn names_say_something_and_nothing_is_promised() {
    let mut wrong = Vec::new();
    for source in rust() {
        let stem = Path::new(&source.name)
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if EMPTY_NAMES.contains(&stem.as_str()) {
            wrong.push(format!("{}: the name says nothing", source.name));
        }
        if source.name.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            let promise = PROMISES.iter().find(|word| {
                line.contains(&format!("// {word}")) || line.contains(&format!("{word}:"))
            });
            if let Some(word) = promise {
                wrong.push(format!("{}:{}: {word}", source.name, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pages_that_a_reader_opens_first_are_there() {
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "clippy.toml",
        "deny.toml",
        ".ci/run",
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap_or_default();
        assert!(text.lines().count() > 5, "{page} is missing or empty");
    }
}
