//! `filter=userName eq "x" and origin eq "uaa"`: the part of SCIM's filters that finds users.

use crate::state::user::User;

/// All of its comparisons must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<(Field, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    UserName,
    Origin,
    Email,
}

const SYNTAX: &str = "write filters as: userName eq \"x\" and origin eq \"uaa\"; the fields are \
                      id, userName, origin, emails.value";

impl Filter {
    /// An empty text admits all.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut comparisons = Vec::new();
        while !rest.is_empty() {
            if !comparisons.is_empty() {
                rest = strip_word(rest, "and").ok_or(SYNTAX)?;
            }
            let (field, after) = rest.split_once(char::is_whitespace).ok_or(SYNTAX)?;
            let field = match field.to_ascii_lowercase().as_str() {
                "id" => Field::Id,
                "username" => Field::UserName,
                "origin" => Field::Origin,
                "email" | "emails.value" => Field::Email,
                _ => return Err(SYNTAX.to_owned()),
            };
            let after = strip_word(after.trim_start(), "eq").ok_or(SYNTAX)?;
            let (value, after) = quoted(after).ok_or(SYNTAX)?;
            comparisons.push((field, value));
            rest = after.trim_start();
        }
        Ok(Self(comparisons))
    }

    /// SCIM compares without case.
    pub(super) fn admits(&self, user: &User) -> bool {
        self.0.iter().all(|(field, wanted)| {
            let value = match field {
                Field::Id => &user.guid.to_string(),
                Field::UserName => &user.username,
                Field::Origin => &user.origin,
                Field::Email => &user.email,
            };
            value.to_lowercase() == wanted.to_lowercase()
        })
    }
}

/// Take a word and the blanks after it off the front.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    let ends = rest.starts_with(char::is_whitespace);
    (head.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
}

/// A text in quotes, with `\"` and `\\` inside, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"')?.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_read_as_the_cli_writes_them() {
        let filter = Filter::parse(r#"userName eq "a\"b and c" and origin eq "uaa""#);
        let expected = vec![
            (Field::UserName, "a\"b and c".to_owned()),
            (Field::Origin, "uaa".to_owned()),
        ];
        assert_eq!(filter, Ok(Filter(expected)));
        assert_eq!(Filter::parse(""), Ok(Filter(Vec::new())));
        for wrong in [
            "userName",
            "userName eq",
            "userName eq x",
            "userName eq \"x",
            "password eq \"x\"",
            "userName eq \"x\" or origin eq \"y\"",
            "userName eq \"x\" and",
            "userName co \"x\"",
        ] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
