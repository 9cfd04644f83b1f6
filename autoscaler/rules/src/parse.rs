//! Text to [`Document`]. Errors point at the column and say what is allowed there.

use std::fmt;

use crate::ast::Document;

/// The text is not in the language. Its message has three lines: what is wrong, the line with a
/// caret under the column, and what is allowed there.
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
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// One statement a line, or several with `;` between them.
pub fn document(text: &str) -> Result<Document, ParseError> {
    Err(ParseError {
        line: 1,
        column: 1,
        message: "the language comes with the next commit".to_owned(),
        allowed: Vec::new(),
        source: text.to_owned(),
    })
}
