//! `((variables))`: values from files and flags, put in before anything else is looked at.
//!
//! A value that is exactly `((name))` takes the variable with its type (a list, a map, a number);
//! inside other text only single values fit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{Fault, ManifestError};
use super::node::{Kind, Node, Weight};
use super::read_bounded;
use super::yaml::{compose, too_large};

/// Variables by name; later sources win.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, Node>);

/// `NAME=VALUE` of a flag.
pub(crate) fn parse_assignment(text: &str) -> Result<(String, String), ManifestError> {
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ManifestError::Assignment {
            text: text.to_owned(),
        }),
    }
}

impl Variables {
    /// From files, then from assignments, which win.
    pub(crate) fn load(
        files: &[PathBuf],
        assignments: &[(String, String)],
    ) -> Result<Self, ManifestError> {
        let mut variables = Self::default();
        for path in files {
            let text = read_bounded(path)?;
            variables
                .add_document(&text)
                .map_err(|fault| fault.in_file(path))?;
        }
        for (name, value) in assignments {
            let node = compose(value).unwrap_or_else(|_| Node::scalar(0, value.clone(), false));
            variables.0.insert(name.clone(), node);
        }
        Ok(variables)
    }

    fn add_document(&mut self, text: &str) -> Result<(), Fault> {
        let tree = super::merge::apply(compose(text)?)?;
        let entries = tree.map().ok_or_else(|| {
            Fault::new(
                tree.line,
                format!("variables are a map, not {}", tree.noun()),
            )
            .next("write one `name: value` a line")
        })?;
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            self.0.insert(name.to_owned(), value.clone());
        }
        Ok(())
    }

    /// Put the values in.
    pub(super) fn fill(&self, tree: Node) -> Result<Node, Fault> {
        let mut filling = Filling {
            variables: &self.0,
            missing: Vec::new(),
            weight: tree.weight(),
        };
        let tree = filling.node(tree)?;
        if filling.missing.is_empty() {
            Ok(tree)
        } else {
            Err(Fault::missing(filling.missing))
        }
    }
}

struct Filling<'a> {
    variables: &'a BTreeMap<String, Node>,
    missing: Vec<String>,
    weight: Weight,
}

impl<'a> Filling<'a> {
    fn node(&mut self, node: Node) -> Result<Node, Fault> {
        let Node {
            line,
            anchored,
            kind,
        } = node;
        let kind = match kind {
            Kind::Scalar { text, plain } => return self.scalar(line, anchored, text, plain),
            Kind::List(items) => {
                let items = items.into_iter().map(|item| self.node(item));
                Kind::List(items.collect::<Result<_, _>>()?)
            }
            Kind::Map(entries) => {
                let mut filled = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    filled.push((self.node(key)?, self.node(value)?));
                }
                Kind::Map(filled)
            }
        };
        Ok(Node {
            line,
            anchored,
            kind,
        })
    }

    fn scalar(
        &mut self,
        line: usize,
        anchored: bool,
        text: String,
        plain: bool,
    ) -> Result<Node, Fault> {
        if !text.contains("((") {
            let node = Node::scalar(line, text, plain);
            return Ok(Node { anchored, ..node });
        }
        if let Some((0, end, name)) = next_reference(&text)
            && end == text.len()
        {
            let Some(value) = self.value(name) else {
                return Ok(Node::scalar(line, String::new(), false));
            };
            self.weigh(value.weight(), line)?;
            return Ok(at_line(value.clone(), line));
        }
        let filled = self.inside(line, &text)?;
        let node = Node::scalar(line, filled, plain);
        Ok(Node { anchored, ..node })
    }

    fn inside(&mut self, line: usize, text: &str) -> Result<String, Fault> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((start, end, name)) = next_reference(rest) {
            filled.push_str(&rest[..start]);
            if let Some(value) = self.value(name) {
                let piece = value.text().ok_or_else(|| {
                    let message = format!(
                        "(({name})) is {} and cannot stand inside other text",
                        value.noun()
                    );
                    Fault::new(line, message).next("give a single value, or let it stand alone")
                })?;
                self.weigh(
                    Weight {
                        nodes: 0,
                        bytes: piece.len(),
                    },
                    line,
                )?;
                filled.push_str(piece);
            }
            rest = &rest[end..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&mut self, name: &str) -> Option<&'a Node> {
        let found = self.variables.get(name);
        if found.is_none() && !self.missing.iter().any(|known| known == name) {
            self.missing.push(name.to_owned());
        }
        found
    }

    fn weigh(&mut self, more: Weight, line: usize) -> Result<(), Fault> {
        self.weight = self.weight.plus(more);
        if self.weight.is_too_much() {
            return Err(too_large(line));
        }
        Ok(())
    }
}

/// Errors in a value are shown where it is used.
fn at_line(mut node: Node, line: usize) -> Node {
    node.line = line;
    node.kind = match node.kind {
        Kind::List(items) => Kind::List(items.into_iter().map(|n| at_line(n, line)).collect()),
        Kind::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| (at_line(key, line), at_line(value, line)))
                .collect(),
        ),
        scalar @ Kind::Scalar { .. } => scalar,
    };
    node
}

/// Start, end and name of the first `((name))`.
fn next_reference(text: &str) -> Option<(usize, usize, &str)> {
    let mut from = 0;
    while let Some(offset) = text[from..].find("((") {
        let start = from + offset;
        let body = &text[start + 2..];
        let length = body.find("))")?;
        if is_name(&body[..length]) {
            return Some((start, start + 2 + length + 2, &body[..length]));
        }
        from = start + 1;
    }
    None
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}
