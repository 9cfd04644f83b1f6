//! The load-shape language of `crate::shape`, with the same errors as rules have.

use super::cursor::Cursor;
use super::{ParseError, condition, duration};
use crate::shape::Piece;
use crate::units::Milli;

pub(crate) fn shape(text: &str) -> Result<Vec<Piece>, ParseError> {
    let chars: Vec<char> = text.trim().chars().collect();
    let end = chars.len();
    let mut cursor = Cursor::new(1, chars, 0, end);
    let mut pieces = Vec::new();
    loop {
        piece(&mut cursor, &mut pieces)?;
        if cursor.is_done() {
            return Ok(pieces);
        }
        if !cursor.one_of(&["then"]) && !cursor.skip(';') {
            return Err(cursor.stuck());
        }
    }
}

fn piece(cursor: &mut Cursor, pieces: &mut Vec<Piece>) -> Result<(), ParseError> {
    if cursor.phrase("constant") {
        let rate = rate(cursor)?;
        pieces.push(line(rate, rate, after(cursor, "for")?));
    } else if cursor.phrase("ramp") {
        let (from, to) = range(cursor)?;
        pieces.push(line(from, to, after(cursor, "over")?));
    } else if cursor.phrase("step") {
        let (from, to) = range(cursor)?;
        let at = after(cursor, "at")?;
        let for_s = after(cursor, "for")?;
        pieces.push(line(from, from, at.min(for_s)));
        pieces.push(line(to, to, for_s.saturating_sub(at)));
    } else if cursor.phrase("spike") {
        let (from, to) = range(cursor)?;
        pieces.push(line(to, to, after(cursor, "for")?));
        if cursor.phrase("falling over") {
            pieces.push(line(to, from, duration(cursor)?));
        }
    } else if cursor.phrase("sine") {
        let (low, high) = range(cursor)?;
        let period_s = after(cursor, "over")?;
        let for_s = if cursor.phrase("for") {
            duration(cursor)?
        } else {
            period_s
        };
        pieces.push(Piece::Sine {
            low,
            high,
            period_s,
            for_s,
        });
    } else {
        return Err(cursor.stuck());
    }
    Ok(())
}

fn line(from: Milli, to: Milli, for_s: u32) -> Piece {
    Piece::Line { from, to, for_s }
}

fn range(cursor: &mut Cursor) -> Result<(Milli, Milli), ParseError> {
    let from = rate(cursor)?;
    if !cursor.phrase("to") {
        return Err(cursor.stuck());
    }
    Ok((from, rate(cursor)?))
}

fn rate(cursor: &mut Cursor) -> Result<Milli, ParseError> {
    cursor.skip_blanks();
    let at = cursor.at();
    let rate = condition::decimal(cursor)?;
    if rate < 0 {
        cursor.back_to(at);
        return Err(cursor.error("a load is not negative".to_owned(), Vec::new()));
    }
    let _: bool = cursor.one_of(&["/s", "requests/s", "req/s", "rps"]);
    Ok(rate)
}

fn after(cursor: &mut Cursor, word: &str) -> Result<u32, ParseError> {
    match cursor.phrase(word) {
        true => duration(cursor),
        false => Err(cursor.stuck()),
    }
}
