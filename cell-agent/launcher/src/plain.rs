//! Start commands that need no shell: `./server --port $PORT`.
//!
//! A shell costs more than everything else that the launcher does. A command that consists of plain
//! words, of which the first is a path, means the same without one; whatever else a line may be, a
//! shell is to say what it means.

/// Variables that change what bash does, or what it says, before the command.
const STEERING: [&str; 3] = ["BASH_ENV", "SHELLOPTS", "BASHOPTS"];

/// The words of the command as bash would pass them on; none when it takes bash to know them.
#[must_use]
pub fn words(line: &str, env: &[(String, String)]) -> Option<Vec<String>> {
    if env.iter().any(|(key, _)| STEERING.contains(&key.as_str())) {
        return None;
    }
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let mut first = words.next()?;
    if first == "exec" {
        first = words.next()?;
    }
    // A path is no builtin, no keyword and no function, and without `=` no assignment.
    if !first.contains('/') || first.contains('=') {
        return None;
    }
    std::iter::once(first)
        .chain(words)
        .map(|word| expanded(word, env))
        .collect()
}

/// A word of plain characters and of variables whose values are plain.
fn expanded(word: &str, env: &[(String, String)]) -> Option<String> {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => after.split_at(name_length(after)),
        };
        expanded.push_str(before);
        expanded.push_str(value(name, env)?);
        rest = after;
    }
    expanded.push_str(rest);
    expanded.chars().all(is_plain).then_some(expanded)
}

/// The value of a variable that the environment has; an empty one would be no word at all.
fn value<'a>(name: &str, env: &'a [(String, String)]) -> Option<&'a str> {
    if name.is_empty() || name_length(name) != name.len() {
        return None;
    }
    let set = env.iter().rev().find(|(key, _)| key == name);
    set.map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

fn name_length(text: &str) -> usize {
    let is_name = |(at, c): (usize, char)| {
        c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit())
    };
    text.char_indices()
        .find(|it| !is_name(*it))
        .map_or(text.len(), |(at, _)| at)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Vec<(String, String)> {
        [
            ("PORT", "8080"),
            ("HOST", "a.b"),
            ("EMPTY", ""),
            ("TWO", "a b"),
            ("STAR", "*"),
            ("PORT", "8081"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn plain_words_are_what_bash_makes_of_them() {
        for line in [
            "./server",
            "exec ./server --port $PORT",
            "  bin/server\t-l ${HOST}:$PORT,$HOST/x  --a=b ",
            "/bin/echo a=$PORT %s @ + _",
            "./a $PORT$PORT ${PORT}0 $PORT.$HOST",
        ] {
            let words = words(line, &env()).expect(line);
            let script = format!("printf '%s\\n' {}", line.trim().trim_start_matches("exec "));
            let said = std::process::Command::new("bash")
                .args(["-c", &script])
                .env_clear()
                .envs(env())
                .output()
                .expect("bash");
            let said = String::from_utf8(said.stdout).expect("text");
            assert_eq!(said.lines().collect::<Vec<_>>(), words, "{line}");
        }
    }

    #[test]
    fn whatever_else_a_line_may_mean_is_left_to_a_shell() {
        for line in [
            "",
            " ",
            "exec",
            "server",
            "exec server",
            "A=b ./server",
            "./a=b",
            "./a; ./b",
            "./a &",
            "./a | ./b",
            "./a > b",
            "./a 'b'",
            "./a \"b\"",
            "./a \\b",
            "./a *",
            "./a ?",
            "./a [b]",
            "./a ~",
            "./a {b,c}",
            "./a !b",
            "./a #b",
            "./a\n./b",
            "./a (b)",
            "./a `b`",
            "./a $(b)",
            "./a $",
            "./a $1",
            "./a $?",
            "./a ${PORT",
            "./a ${PORT:-1}",
            "./a ${}",
            "./a $EMPTY",
            "./a $UNSET",
            "./a $TWO",
            "./a $STAR",
            "./ä",
            "exec -a b ./c",
            "./a ^b",
            "$HOST",
        ] {
            assert_eq!(words(line, &env()), None, "{line}");
        }
        let steered = [env(), vec![("BASH_ENV".to_owned(), "x".to_owned())]].concat();
        assert_eq!(words("./server", &steered), None);
    }
}
