//! A place in a line, and what could have stood at the furthest place that was reached: enough for
//! a grammar without a separate lexer, and for errors that say what is allowed.

use super::ParseError;

#[derive(Debug)]
pub(super) struct Cursor {
    line: usize,
    /// The line as it was typed, for messages.
    typed: Vec<char>,
    source: Vec<char>,
    /// The statement ends before this character.
    end: usize,
    at: usize,
    /// The furthest place where something was looked for and not found, and what that was.
    furthest: usize,
    allowed: Vec<String>,
}

impl Cursor {
    /// Over `source[start..end]`; columns count from the beginning of the line.
    pub(super) fn new(line: usize, source: Vec<char>, start: usize, end: usize) -> Self {
        Self {
            line,
            typed: source.clone(),
            source,
            end,
            at: start,
            furthest: start,
            allowed: Vec::new(),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Go back, for a second reading.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn peek(&self) -> Option<char> {
        (self.at < self.end).then(|| self.source[self.at])
    }

    pub(super) fn is_done(&mut self) -> bool {
        self.skip_blanks();
        self.at >= self.end
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Several words, with blanks between them, in any case.
    pub(super) fn phrase(&mut self, phrase: &str) -> bool {
        let start = self.at;
        let found = phrase.split(' ').all(|word| self.word(word));
        if !found {
            self.at = start;
            self.miss(phrase);
        }
        found
    }

    /// One of several phrases; only the first is offered in errors.
    pub(super) fn one_of(&mut self, phrases: &[&str]) -> bool {
        let start = self.at;
        let found = phrases.iter().any(|phrase| {
            self.at = start;
            phrase.split(' ').all(|word| self.word(word))
        });
        if !found {
            self.at = start;
            self.miss(phrases.first().copied().unwrap_or_default());
        }
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let start = self.at;
        for expected in word.chars() {
            if !self
                .peek()
                .is_some_and(|c| c.eq_ignore_ascii_case(&expected))
            {
                self.at = start;
                return false;
            }
            self.at += 1;
        }
        // `in` is not the beginning of `instances`, but `%` may be followed by anything.
        let whole = !word.ends_with(is_word_char) || !self.peek().is_some_and(is_word_char);
        if !whole {
            self.at = start;
        }
        whole
    }

    /// A sign or a unit, right here or after blanks, whatever follows.
    pub(super) fn sign(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let start = self.at;
        for expected in sign.chars() {
            if self.peek() != Some(expected) {
                self.at = start;
                self.miss(sign);
                return false;
            }
            self.at += 1;
        }
        true
    }

    /// One of several signs; only the first is offered in errors.
    pub(super) fn sign_of(&mut self, signs: &[&str]) -> bool {
        self.skip_blanks();
        let rest = &self.source[self.at..self.end];
        let found = signs.iter().find_map(|sign| {
            let length = sign.chars().count();
            (rest.len() >= length && sign.chars().eq(rest[..length].iter().copied()))
                .then_some(length)
        });
        match found {
            Some(length) => self.at += length,
            None => self.miss(signs.first().copied().unwrap_or_default()),
        }
        found.is_some()
    }

    /// Step over one character that may stand here, without offering it in errors.
    pub(super) fn skip(&mut self, expected: char) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    /// Whether a character of the rest passes the test.
    pub(super) fn rest_has(&self, test: impl Fn(char) -> bool) -> bool {
        self.source[self.at..self.end].iter().any(|c| test(*c))
    }

    /// Read other characters than were typed, one for one.
    pub(super) fn read_as(&mut self, reading: impl Fn(char) -> char) {
        for c in &mut self.source {
            *c = reading(*c);
        }
    }

    /// The longest run of characters that `test` takes; empty when there is none.
    pub(super) fn run(&mut self, test: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.at += 1;
        }
        self.source[start..self.at].iter().collect()
    }

    /// A whole number.
    pub(super) fn number(&mut self, what: &str) -> Result<u32, ParseError> {
        self.skip_blanks();
        let start = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        digits.parse().map_err(|_| {
            self.at = start;
            if digits.is_empty() {
                self.wanted(what)
            } else {
                self.error(format!("{digits} is too large"), Vec::new())
            }
        })
    }

    /// Note that `what` could have stood here.
    pub(super) fn miss(&mut self, what: &str) {
        let start = self.at;
        self.skip_blanks();
        let here = self.at;
        self.at = start;
        if here > self.furthest {
            self.furthest = here;
            self.allowed.clear();
        }
        if here == self.furthest && !self.allowed.iter().any(|known| known == what) {
            self.allowed.push(what.to_owned());
        }
    }

    /// `what` had to stand here. The error is at the furthest place that was reached.
    pub(super) fn wanted(&mut self, what: &str) -> ParseError {
        self.miss(what);
        self.stuck()
    }

    /// Nothing that is allowed stands at the furthest place.
    pub(super) fn stuck(&mut self) -> ParseError {
        self.at = self.furthest;
        let found = self.found();
        let message = if found.is_empty() {
            "something is missing here".to_owned()
        } else {
            format!("`{found}` does not fit here")
        };
        let allowed = self.allowed.clone();
        self.error(message, allowed)
    }

    /// An error here.
    pub(super) fn error(&mut self, message: String, allowed: Vec<String>) -> ParseError {
        self.skip_blanks();
        ParseError {
            line: self.line,
            column: self.at + 1,
            message,
            allowed,
            source: self.typed.iter().collect(),
        }
    }

    /// The word or character that stands here, for messages.
    fn found(&mut self) -> String {
        self.skip_blanks();
        let start = self.at;
        let mut word = self.run(is_word_char);
        if word.is_empty() {
            word.extend(self.peek());
        }
        self.at = start;
        word.chars().take(FOUND_CHARS_MAX).collect()
    }
}

/// Longest word that a message repeats.
const FOUND_CHARS_MAX: usize = 40;

pub(super) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
