//! `.cfignore`: the rules of gitignore(5). The last matching rule decides; what lies in an ignored
//! folder cannot be taken back.
//!
//! Matching costs at most the product of the lengths of pattern and path, whatever the pattern.

/// Left out unless a rule takes it back.
const DEFAULTS: [&str; 9] = [
    ".cfignore",
    ".DS_Store",
    ".git",
    ".gitignore",
    ".hg",
    ".svn",
    "_darcs",
    "/manifest.yml",
    "/manifest.yaml",
];

/// Rules in their order.
#[derive(Debug, Clone)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    takes_back: bool,
    folders_only: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of folders.
    Any,
    Glob(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Ignore {
    /// The default rules, then those of a file's text.
    pub(super) fn new(text: &str) -> Self {
        let lines = DEFAULTS.into_iter().chain(text.lines());
        Self {
            rules: lines.filter_map(rule).collect(),
        }
    }

    /// Is this very path ignored? Its folders are the caller's business.
    pub(super) fn matches(&self, path: &str, is_folder: bool) -> bool {
        let parts: Vec<Vec<char>> = path.split('/').map(|part| part.chars().collect()).collect();
        let deciding = self
            .rules
            .iter()
            .rev()
            .find(|rule| (is_folder || !rule.folders_only) && parts_match(&rule.parts, &parts));
        deciding.is_some_and(|rule| !rule.takes_back)
    }

    /// Is this path, or a folder it lies in, ignored?
    pub(super) fn covers(&self, path: &str, is_folder: bool) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.into_iter().any(|folder| self.matches(folder, true))
            || self.matches(path, is_folder)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut text = trim_unescaped_spaces(line);
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let takes_back = text.starts_with('!');
    if takes_back {
        text = &text[1..];
    }
    let folders_only = text.ends_with('/');
    let text = text.strip_suffix('/').unwrap_or(text);
    let anchored = text.contains('/');
    let text = text.strip_prefix('/').unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    let mut parts: Vec<Part> = Vec::new();
    if !anchored {
        parts.push(Part::Any);
    }
    for part in text.split('/') {
        match part {
            "**" if parts.last() == Some(&Part::Any) => {}
            "**" => parts.push(Part::Any),
            part => parts.push(Part::Glob(tokens(part))),
        }
    }
    Some(Rule {
        takes_back,
        folders_only,
        parts,
    })
}

fn trim_unescaped_spaces(line: &str) -> &str {
    let mut text = line;
    while let Some(shorter) = text.strip_suffix(' ') {
        if shorter.ends_with('\\') {
            break;
        }
        text = shorter;
    }
    text
}

fn tokens(part: &str) -> Vec<Token> {
    let chars: Vec<char> = part.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let token = match chars[at] {
            '*' => Token::Many,
            '?' => Token::One,
            '\\' if at + 1 < chars.len() => {
                at += 1;
                Token::Char(chars[at])
            }
            '[' => match class(&chars, at) {
                Some((class, end)) => {
                    at = end;
                    class
                }
                None => Token::Char('['),
            },
            other => Token::Char(other),
        };
        at += 1;
        if !(token == Token::Many && tokens.last() == Some(&Token::Many)) {
            tokens.push(token);
        }
    }
    tokens
}

/// The class that starts at `open`, and the position of its `]`.
fn class(chars: &[char], open: usize) -> Option<(Token, usize)> {
    let mut at = open + 1;
    let negated = matches!(chars.get(at), Some('!' | '^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let mut low = *chars.get(at)?;
        if low == ']' && at > first {
            return Some((Token::Class { negated, ranges }, at));
        }
        if low == '\\' {
            at += 1;
            low = *chars.get(at)?;
        }
        let ranged =
            chars.get(at + 1) == Some(&'-') && chars.get(at + 2).is_some_and(|c| *c != ']');
        if ranged {
            at += 2;
            ranges.push((low, *chars.get(at)?));
        } else {
            ranges.push((low, low));
        }
        at += 1;
    }
}

/// Does the rule match the path? Row by row, from the ends: `row[j]` says whether the rules from
/// the present one on match the path from `j` on.
fn parts_match(rules: &[Part], path: &[Vec<char>]) -> bool {
    let length = path.len();
    let mut row = vec![false; length + 1];
    row[length] = true;
    for (i, rule) in rules.iter().enumerate().rev() {
        let mut next = vec![false; length + 1];
        for j in (0..=length).rev() {
            next[j] = match rule {
                // At the end `**` stands for what is inside, so for one part at least.
                Part::Any if i + 1 == rules.len() => j < length,
                Part::Any => row[j] || (j < length && next[j + 1]),
                Part::Glob(tokens) => j < length && row[j + 1] && glob(tokens, &path[j]),
            };
        }
        row = next;
    }
    row[0]
}

/// One part against one name: on a mismatch go back to the last `*` and let it take one more.
fn glob(tokens: &[Token], name: &[char]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match tokens.get(t) {
            Some(Token::Many) => {
                star = Some((t, n));
                t += 1;
            }
            Some(token) if one(token, name[n]) => {
                t += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    t = at + 1;
                    n = taken + 1;
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    tokens[t..].iter().all(|token| *token == Token::Many)
}

fn one(token: &Token, c: char) -> bool {
    match token {
        Token::Char(expected) => *expected == c,
        Token::One => true,
        Token::Many => false,
        Token::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ignore;

    /// (rules, path, is it a folder, is it ignored): as `git check-ignore` decides.
    const CASES: &[(&str, &str, bool, bool)] = &[
        ("*.log", "a.log", false, true),
        ("*.log", "deep/er/a.log", false, true),
        ("*.log", "a.logs", false, false),
        ("/a.log", "a.log", false, true),
        ("/a.log", "b/a.log", false, false),
        ("b/a.log", "b/a.log", false, true),
        ("b/a.log", "c/b/a.log", false, false),
        ("tmp/", "tmp", true, true),
        ("tmp/", "tmp", false, false),
        ("tmp/", "tmp/x", false, true),
        ("tmp/", "deep/tmp/x", false, true),
        ("*.log\n!keep.log", "keep.log", false, false),
        ("*.log\n!keep.log", "x/keep.log", false, false),
        ("!keep.log\n*.log", "keep.log", false, true),
        ("logs/\n!logs/keep", "logs/keep", false, true),
        ("logs/*\n!logs/keep", "logs/keep", false, false),
        ("logs/*\n!logs/keep", "logs/other", false, true),
        ("**/cache", "cache", true, true),
        ("**/cache", "a/b/cache/x", false, true),
        ("a/**/z", "a/z", false, true),
        ("a/**/z", "a/b/c/z", false, true),
        ("a/**", "a", true, false),
        ("a/**", "a/b", false, true),
        ("a/**/**/z", "a/z", false, true),
        ("a?c", "abc", false, true),
        ("a?c", "a/c", false, false),
        ("a[0-9]", "a7", false, true),
        ("a[!0-9]", "a7", false, false),
        ("a[]]", "a]", false, true),
        ("a[b", "a[b", false, true),
        ("\\#x", "#x", false, true),
        ("#x", "#x", false, false),
        ("\\!x", "!x", false, true),
        ("x   ", "x", false, true),
        ("x\\ ", "x ", false, true),
        ("a*b*c", "aXbYc", false, true),
        ("a*b*c", "aXbY", false, false),
        ("x\r", "x", false, true),
        ("", ".git", true, true),
        ("", ".git/config", false, true),
        ("", "manifest.yml", false, true),
        ("", "vendor/manifest.yml", false, false),
        ("!.gitignore", ".gitignore", false, false),
        ("node_modules", "web/node_modules/x/y.js", false, true),
    ];

    #[test]
    fn rules_decide_as_gitignore_does() {
        for (rules, path, is_folder, ignored) in CASES {
            assert_eq!(
                Ignore::new(rules).covers(path, *is_folder),
                *ignored,
                "rules {rules:?}, path {path:?}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = format!("{}b", "a*".repeat(200));
        let deep = format!("{}b", "**/a/".repeat(200));
        let ignore = Ignore::new(&format!("{pattern}\n{deep}"));
        assert!(!ignore.matches(&"a".repeat(5_000), false));
        assert!(!ignore.matches(&"a/".repeat(400), true));
    }
}
