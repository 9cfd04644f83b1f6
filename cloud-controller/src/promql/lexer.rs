//! A query's text as tokens.

use super::{DURATION_MAX_MS, Error};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Names of series, labels, functions, and words such as `by`.
    Word(String),
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    Text(String),
    /// Brackets, commas and operators.
    Sign(&'static str),
    End,
}

/// A token and where it begins, counted in characters from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "=~", "!~", "!=", "==", ">=", "<=", "=", ">", "<", "+", "-", "*", "/", "(", ")", "{", "}", "[",
    "]", ",",
];

/// Units of a duration, longest name first where one begins another, and their milliseconds.
const UNITS: &[(&str, i64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { rest: text, at: 1 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

/// A duration such as `15s` or `1h30m`, milliseconds.
#[must_use]
pub fn duration(text: &str) -> Option<i64> {
    let tokens = tokens(text).ok()?;
    match tokens.as_slice() {
        [
            Token {
                kind: Kind::Duration(ms),
                ..
            },
            _end,
        ] => Some(*ms),
        _ => None,
    }
}

struct Lexer<'t> {
    rest: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn next(&mut self) -> Result<Token, Error> {
        self.take_while(char::is_whitespace);
        let at = self.at;
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token {
                kind: Kind::End,
                at,
            });
        };
        let kind = match first {
            '"' | '\'' | '`' => self.text(first)?,
            '0'..='9' | '.' => self.number()?,
            first if first.is_ascii_alphabetic() || first == '_' => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                Kind::Word(self.take_while(is_word).to_owned())
            }
            _ => self.sign()?,
        };
        Ok(Token { kind, at })
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax {
            at: self.at,
            message: message.into(),
        }
    }

    fn sign(&mut self) -> Result<Kind, Error> {
        let known = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
        let Some(sign) = known else {
            let odd = self.rest.chars().next().unwrap_or_default();
            return Err(self.error(format!("'{odd}' is not part of a query")));
        };
        self.take(sign.len());
        Ok(Kind::Sign(sign))
    }

    fn text(&mut self, quote: char) -> Result<Kind, Error> {
        let begun = self.error("the text that begins here has no end: close its quotes");
        self.take(1);
        let mut value = String::new();
        loop {
            let Some(next) = self.rest.chars().next() else {
                return Err(begun);
            };
            self.take(next.len_utf8());
            match next {
                next if next == quote => return Ok(Kind::Text(value)),
                '\\' if quote != '`' => value.push(self.escaped()?),
                next => value.push(next),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Error> {
        let next = self.rest.chars().next().unwrap_or_default();
        let meant = match next {
            '\\' | '"' | '\'' => next,
            'n' => '\n',
            't' => '\t',
            _ => {
                let message = "write \\\\ for a backslash, or use `...` for an expression";
                return Err(self.error(message));
            }
        };
        self.take(next.len_utf8());
        Ok(meant)
    }

    fn number(&mut self) -> Result<Kind, Error> {
        let begun = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        if !digits.is_empty() && UNITS.iter().any(|(unit, _)| self.rest.starts_with(unit)) {
            return self.duration(digits, begun);
        }
        let mut number = digits.to_owned();
        if self.rest.starts_with('.') {
            number.push_str(self.take(1));
            number.push_str(self.take_while(|c| c.is_ascii_digit()));
        }
        if self.rest.starts_with(['e', 'E']) {
            number.push_str(self.take(1));
            if self.rest.starts_with(['+', '-']) {
                number.push_str(self.take(1));
            }
            number.push_str(self.take_while(|c| c.is_ascii_digit()));
        }
        let parsed = number.parse().map(Kind::Number);
        parsed.map_err(|_| Error::Syntax {
            at: begun,
            message: format!("'{number}' is not a number"),
        })
    }

    /// `1h30m`: each unit after its number.
    fn duration(&mut self, first: &str, begun: usize) -> Result<Kind, Error> {
        let too_long = || Error::Syntax {
            at: begun,
            message: "a duration may be 14d at most".to_owned(),
        };
        let mut total = 0_i64;
        let mut digits = first;
        while !digits.is_empty() {
            let known = UNITS.iter().find(|(unit, _)| self.rest.starts_with(unit));
            let Some((unit, ms)) = known else {
                return Err(self.error("a duration needs a unit: ms, s, m, h, d or w"));
            };
            self.take(unit.len());
            let part = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(*ms));
            total = part
                .and_then(|part| total.checked_add(part))
                .filter(|total| *total <= DURATION_MAX_MS)
                .ok_or_else(too_long)?;
            digits = self.take_while(|c| c.is_ascii_digit());
        }
        Ok(Kind::Duration(total))
    }
}
