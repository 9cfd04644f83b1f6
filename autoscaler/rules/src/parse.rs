//! Text to [`Document`]. Errors point at the column and say what is allowed there.

pub(crate) mod chinese;
mod condition;
mod cursor;
mod rule;
mod schedule;
mod shape;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::ast::{Document, Range};
use crate::grammar;

use cursor::Cursor;

pub(crate) use shape::shape;

/// The text is not in the language. Its message shows the line with a caret under the column, and
/// what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Both count from 1; columns count characters.
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// What could stand there instead.
    pub allowed: Vec<String>,
    /// The line that is wrong.
    pub source: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        writeln!(f, "line {line}, column {column}: {}", self.message)?;
        writeln!(f, "  {}", self.source)?;
        let before = self.source.chars().take(column - 1);
        let blanks: usize = before.map(columns).sum();
        write!(f, "  {:blanks$}^", "")?;
        if !self.allowed.is_empty() {
            write!(f, "\n  allowed here: {}", self.allowed.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

/// How wide a terminal shows the character: Chinese and full-width ones take two columns.
fn columns(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x20000..=0x3fffd);
    1 + usize::from(wide)
}

/// One statement a line, or several with `;` between them. `#` begins a remark.
pub fn document(text: &str) -> Result<Document, ParseError> {
    let mut document = Document::default();
    if text.len() > grammar::TEXT_BYTES_MAX {
        let mut cursor = Cursor::new(1, Vec::new(), 0, 0);
        let most = grammar::TEXT_BYTES_MAX;
        return Err(cursor.error(format!("a policy has {most} bytes at most"), Vec::new()));
    }
    for (number, line) in text.lines().enumerate() {
        let chars: Vec<char> = line.chars().collect();
        let length = chars.iter().position(|c| *c == '#').unwrap_or(chars.len());
        let mut start = 0;
        while start <= length {
            let rest = chars[start..length].iter();
            let end = rest
                .take_while(|c| !matches!(c, ';' | '；'))
                .count()
                .saturating_add(start);
            let mut cursor = Cursor::new(number + 1, chars.clone(), start, end);
            if !cursor.is_done() {
                statement(&mut cursor, &mut document)?;
            }
            start = end + 1;
        }
    }
    Ok(document)
}

fn statement(cursor: &mut Cursor, document: &mut Document) -> Result<(), ParseError> {
    if chinese::begins(cursor) {
        document.rules.push(chinese::rule(cursor)?);
    } else if cursor.phrase("scale") {
        document.rules.push(rule::after_scale(cursor)?);
    } else if cursor.phrase("between") {
        let at = cursor.at();
        let limits = range(cursor)?;
        if document.limits.replace(limits).is_some() {
            cursor.back_to(at);
            return Err(cursor.error("the limits are said twice".to_owned(), Vec::new()));
        }
    } else if cursor.phrase("from") {
        document.schedules.push(schedule::once(cursor)?);
    } else if cursor.phrase("every") {
        document.schedules.push(schedule::every(cursor)?);
    } else if cursor.phrase(grammar::SHARED_COOL_DOWN) {
        document.shared_cool_down = true;
    } else {
        return Err(cursor.stuck());
    }
    if cursor.is_done() {
        return Ok(());
    }
    cursor.miss("the end");
    Err(cursor.stuck())
}

/// `10 and 300 instances`, after `between`.
fn range(cursor: &mut Cursor) -> Result<Range, ParseError> {
    let min = cursor.number("a number of instances")?;
    if !cursor.phrase("and") {
        return Err(cursor.stuck());
    }
    let max = cursor.number("a number of instances")?;
    instances(cursor);
    Ok(Range { min, max })
}

/// The word may stand behind any count.
fn instances(cursor: &mut Cursor) {
    let _: bool = cursor.one_of(&["instances", "instance"]);
}

/// `1h30m`, `20 minutes`.
fn duration(cursor: &mut Cursor) -> Result<u32, ParseError> {
    let mut total: u32 = 0;
    loop {
        let at = cursor.at();
        let count = cursor.number("a duration such as 90s, 5m or 1h")?;
        cursor.skip_blanks();
        let unit = cursor.run(char::is_alphabetic).to_lowercase();
        let Some(size) = crate::units::unit_seconds(&unit) else {
            cursor.back_to(cursor.at() - unit.chars().count());
            return Err(cursor.wanted("s, m, h or d"));
        };
        let sum = count
            .checked_mul(size)
            .and_then(|part| total.checked_add(part));
        let Some(sum) = sum else {
            cursor.back_to(at);
            return Err(cursor.error("the duration is too long".to_owned(), Vec::new()));
        };
        total = sum;
        if !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Ok(total);
        }
    }
}
