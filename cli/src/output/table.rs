//! Columns that align for names in any script.

use unicode_width::UnicodeWidthChar;

use super::style::Style;

/// Spaces between columns, as in the cf CLI.
const GAP: usize = 3;

/// Rows under a header. Cells may carry colour; its codes take no room.
#[derive(Debug, Default)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    pub(crate) fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn lines(&self, style: &Style) -> Vec<String> {
        let header: Vec<String> = self.header.iter().map(|name| style.strong(name)).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let mut widths = vec![0_usize; self.header.len()];
        for row in &all {
            for (width, cell) in widths.iter_mut().zip(row.iter()) {
                *width = (*width).max(width_of(cell));
            }
        }
        all.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(width_of(cell)) + GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// `name:   value` lines whose values start in one column.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&mut self, label: &str, value: impl Into<String>) -> &mut Self {
        self.0.push((format!("{label}:"), one_line(value.into())));
        self
    }

    pub(super) fn lines(&self, style: &Style) -> Vec<String> {
        let widest = self.0.iter().map(|(label, _)| width_of(label)).max();
        let widest = widest.unwrap_or(0);
        self.0
            .iter()
            .map(|(label, value)| {
                let pad = " ".repeat(widest - width_of(label) + GAP);
                let line = format!("{}{pad}{value}", style.strong(label));
                line.trim_end().to_owned()
            })
            .collect()
    }
}

/// A value from elsewhere must not break the layout, nor talk to the terminal.
fn one_line(text: String) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_control()) {
        clean.push_str(&rest[..at]);
        match our_colour(&rest[at..]) {
            Some(code) => {
                clean.push_str(code);
                rest = &rest[at + code.len()..];
            }
            None => {
                clean.push(' ');
                let control = rest[at..].chars().next().map_or(1, char::len_utf8);
                rest = &rest[at + control..];
            }
        }
    }
    clean.push_str(rest);
    clean
}

/// A colour code at the start of the text: `ESC [ digits and semicolons m`.
fn our_colour(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\x1b[")?;
    let digits = body
        .find(|c: char| !c.is_ascii_digit() && c != ';')
        .unwrap_or(body.len());
    body[digits..]
        .starts_with('m')
        .then(|| &text[.."\x1b[".len() + digits + 1])
}

/// Columns the text takes on a terminal; colour codes take none.
fn width_of(text: &str) -> usize {
    let mut width = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(code) = our_colour(rest) {
            rest = &rest[code.len()..];
            continue;
        }
        width += c.width().unwrap_or(0);
        rest = &rest[c.len_utf8()..];
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(table: &Table, colour: bool) -> String {
        table.lines(&Style::new(colour)).join("\n")
    }

    #[test]
    fn columns_align_for_wide_and_combining_characters() {
        let mut table = Table::new(["name", "state"]);
        table.row(["商店".into(), "running".into()]);
        table.row(["cafe\u{301}".into(), "crashed".into()]);
        table.row(["flash-sale".into(), "down".into()]);
        assert_eq!(
            rendered(&table, false),
            "name         state\n\
             商店         running\n\
             cafe\u{301}         crashed\n\
             flash-sale   down"
        );
    }

    #[test]
    fn colour_takes_no_room() {
        let style = Style::new(true);
        let mut table = Table::new(["a", "b"]);
        table.row([style.state("running"), "x".into()]);
        table.row(["down".into(), "y".into()]);
        let columns: Vec<usize> = table
            .lines(&style)
            .iter()
            .map(|line| width_of(line) - 1)
            .collect();
        assert_eq!(columns, vec![10, 10, 10]);
    }

    #[test]
    fn foreign_text_cannot_break_lines_or_steer_the_terminal() {
        let mut table = Table::new(["name"]);
        table.row(["evil\n\x1b]0;title\x07\x1b[2Jx".into()]);
        let text = rendered(&table, false);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text:?}");
    }

    #[test]
    fn values_of_fields_start_in_one_column() {
        let mut fields = Fields::new();
        fields.add("name", "shop").add("requested state", "started");
        assert_eq!(
            fields.lines(&Style::new(false)),
            vec!["name:              shop", "requested state:   started"]
        );
    }
}
