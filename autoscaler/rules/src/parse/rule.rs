//! `scale 40% if ... between 10 and 300 instances cool down 5m`.

use super::condition;
use super::cursor::Cursor;
use super::{ParseError, duration, instances, range};
use crate::ast::{Amount, Direction, Evidence, OnMissing, Round, Rule};

/// What follows the word `scale`.
pub(super) fn after_scale(cursor: &mut Cursor) -> Result<Rule, ParseError> {
    let word = direction(cursor);
    let (direction, amount) = amount(cursor, word)?;
    if !cursor.one_of(&["if", "when"]) {
        return Err(cursor.stuck());
    }
    let condition = condition::condition(cursor)?;
    let mut rule = Rule::new(direction, amount, condition);
    let mut said: Vec<&'static str> = Vec::new();
    loop {
        let _: bool = cursor.skip(',');
        cursor.skip_blanks();
        let at = cursor.at();
        let Some(clause) = clause(cursor, &mut rule)? else {
            return Ok(rule);
        };
        if said.contains(&clause) {
            cursor.back_to(at);
            return Err(cursor.error(format!("`{clause}` is said twice"), Vec::new()));
        }
        said.push(clause);
    }
}

fn direction(cursor: &mut Cursor) -> Option<Direction> {
    if cursor.one_of(&["out", "up"]) {
        Some(Direction::Out)
    } else if cursor.one_of(&["in", "down"]) {
        Some(Direction::In)
    } else {
        None
    }
}

/// `40%`, `by 5`, `to 120`, `-20%`.
fn amount(cursor: &mut Cursor, word: Option<Direction>) -> Result<(Direction, Amount), ParseError> {
    if cursor.phrase("to") {
        let count = cursor.number("a number of instances")?;
        instances(cursor);
        return Ok((word.unwrap_or(Direction::Out), Amount::To(count)));
    }
    let by = cursor.phrase("by");
    let sign = if let Some(word) = word {
        // A sign that says the same again does no harm.
        let _: bool = cursor.skip(if word == Direction::Out { '+' } else { '-' });
        None
    } else if cursor.sign("+") {
        Some(Direction::Out)
    } else if cursor.sign("-") {
        Some(Direction::In)
    } else {
        None
    };
    let count = cursor.number("a percentage such as 40%")?;
    let amount = if cursor.sign("%") {
        Amount::Percent(count)
    } else if by || sign.is_some() {
        instances(cursor);
        Amount::By(count)
    } else {
        return Err(cursor.stuck());
    };
    Ok((word.or(sign).unwrap_or(Direction::Out), amount))
}

/// One clause, by its name; `None` when there is none.
fn clause(cursor: &mut Cursor, rule: &mut Rule) -> Result<Option<&'static str>, ParseError> {
    if cursor.phrase("between") {
        rule.between = Some(range(cursor)?);
        Ok(Some("between"))
    } else if cursor.phrase("at least") {
        rule.min_step = step(cursor)?;
        Ok(Some("at least"))
    } else if cursor.phrase("at most") {
        rule.max_step = Some(step(cursor)?);
        Ok(Some("at most"))
    } else if cursor.one_of(&["cool down", "cooldown"]) {
        rule.cool_down_s = duration(cursor)?;
        Ok(Some("cool down"))
    } else if cursor.one_of(&["warm up", "warmup"]) {
        rule.warm_up_s = duration(cursor)?;
        Ok(Some("warm up"))
    } else if cursor.phrase("round") {
        rule.round = round(cursor)?;
        Ok(Some("round"))
    } else if cursor.phrase("on missing") {
        rule.on_missing = on_missing(cursor)?;
        Ok(Some("on missing"))
    } else if cursor.phrase("carry evidence") {
        rule.after_scale = Evidence::Carry;
        Ok(Some("carry evidence"))
    } else if cursor.phrase("forgive restarts") {
        rule.after_restart = Evidence::Carry;
        Ok(Some("forgive restarts"))
    } else {
        Ok(None)
    }
}

/// `+100 each time`.
fn step(cursor: &mut Cursor) -> Result<u32, ParseError> {
    let _: bool = cursor.skip('+');
    let count = cursor.number("a number of instances")?;
    instances(cursor);
    let _: bool = cursor.phrase("each time");
    Ok(count)
}

fn round(cursor: &mut Cursor) -> Result<Round, ParseError> {
    if cursor.phrase("up") {
        Ok(Round::Up)
    } else if cursor.phrase("half") {
        Ok(Round::Half)
    } else if cursor.phrase("down") {
        Ok(Round::Down)
    } else {
        Err(cursor.stuck())
    }
}

fn on_missing(cursor: &mut Cursor) -> Result<OnMissing, ParseError> {
    if cursor.phrase("hold") {
        Ok(OnMissing::Hold)
    } else if cursor.phrase("assume breach") {
        Ok(OnMissing::AssumeBreach)
    } else if cursor.phrase("assume ok") {
        Ok(OnMissing::AssumeOk)
    } else if cursor.phrase("fallback") {
        let count = cursor.number("a number of instances")?;
        instances(cursor);
        Ok(OnMissing::Fallback(count))
    } else {
        Err(cursor.stuck())
    }
}
