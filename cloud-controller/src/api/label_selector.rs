//! `label_selector=env in (prod,staging),!legacy`: which labels a record must have.

use std::collections::BTreeMap;

/// Requirements in one selector.
const REQUIREMENTS_MAX: usize = 50;

/// Every requirement must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Has(String),
    HasNot(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = split_outside_parentheses(text);
        if parts.len() > REQUIREMENTS_MAX {
            return Err(format!(
                "label_selector may have {REQUIREMENTS_MAX} requirements"
            ));
        }
        let requirements = parts.into_iter().map(parse_requirement);
        requirements.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Has(key) => labels.contains_key(key),
            Requirement::HasNot(key) => !labels.contains_key(key),
            Requirement::In(key, values) => {
                labels.get(key).is_some_and(|value| values.contains(value))
            }
            Requirement::NotIn(key, values) => {
                labels.get(key).is_none_or(|value| !values.contains(value))
            }
        })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(text: &str) -> Result<Requirement, String> {
    let text = text.trim();
    if let Some((key, list)) = text.split_once(" notin ") {
        return Ok(Requirement::NotIn(parse_key(key)?, parse_set(list)?));
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return Ok(Requirement::In(parse_key(key)?, parse_set(list)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(
            parse_key(key)?,
            vec![value.trim().to_owned()],
        ));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.trim_start_matches('=').trim().to_owned();
        return Ok(Requirement::In(parse_key(key)?, vec![value]));
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(Requirement::HasNot(parse_key(key)?)),
        None => Ok(Requirement::Has(parse_key(text)?)),
    }
}

fn parse_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !key.chars().all(legal) {
        return Err(
            "label_selector must be requirements such as env=prod, env in (a,b), !env".into(),
        );
    }
    Ok(key.to_owned())
}

fn parse_set(text: &str) -> Result<Vec<String>, String> {
    let inner = text
        .trim()
        .strip_prefix('(')
        .and_then(|t| t.strip_suffix(')'));
    let inner = inner.ok_or("label_selector: write a set as (a,b)")?;
    Ok(inner.split(',').map(|v| v.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_in_cloud_foundry() {
        let labels = BTreeMap::from([
            ("env".to_owned(), "prod".to_owned()),
            ("cfx.io/tier".to_owned(), "web".to_owned()),
        ]);
        for (text, admits) in [
            ("env", true),
            ("!env", false),
            ("env=prod", true),
            ("env==prod,cfx.io/tier=web", true),
            ("env!=prod", false),
            ("env in (dev,prod),!legacy", true),
            ("env notin (dev,prod)", false),
            ("missing!=x", true),
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.admits(&labels), admits, "{text}");
        }
        for wrong in ["", "a b", "env in prod", ",", "=x"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
