//! Merge keys: `<<: *defaults` takes the entries of another map that are not given here.

use super::error::Fault;
use super::node::{Kind, Node, Weight};
use super::yaml::too_large;

/// Apply every merge key of the tree, innermost first.
pub(super) fn apply(tree: Node) -> Result<Node, Fault> {
    let mut weight = Weight::default();
    merged(tree, &mut weight)
}

fn merged(node: Node, weight: &mut Weight) -> Result<Node, Fault> {
    *weight = weight.plus(Weight {
        nodes: 1,
        bytes: node.text().map_or(0, str::len),
    });
    if weight.is_too_much() {
        return Err(too_large(node.line));
    }
    let kind = match node.kind {
        Kind::Scalar { .. } => return Ok(node),
        Kind::List(items) => Kind::List(
            items
                .into_iter()
                .map(|item| merged(item, weight))
                .collect::<Result<_, _>>()?,
        ),
        Kind::Map(entries) => Kind::Map(map(entries, weight)?),
    };
    Ok(Node { kind, ..node })
}

fn map(entries: Vec<(Node, Node)>, weight: &mut Weight) -> Result<Vec<(Node, Node)>, Fault> {
    let mut own = Vec::new();
    let mut taken = Vec::new();
    for (key, value) in entries {
        let value = merged(value, weight)?;
        if key.text() == Some("<<") {
            taken.extend(sources(value)?);
        } else {
            own.push((key, value));
        }
    }
    // What is given here wins; among sources the first wins.
    for (key, value) in taken {
        if !own.iter().any(|(known, _)| known.kind == key.kind) {
            own.push((key, value));
        }
    }
    Ok(own)
}

fn sources(value: Node) -> Result<Vec<(Node, Node)>, Fault> {
    let line = value.line;
    let refuse = |noun: &str| {
        Fault::new(
            line,
            format!("`<<` merges a map or a list of maps, not {noun}"),
        )
        .next("write `<<: *NAME`, where NAME is the anchor of a map")
    };
    match value.kind {
        Kind::Map(entries) => Ok(entries),
        Kind::List(maps) => {
            let mut all = Vec::new();
            for one in maps {
                let noun = one.noun();
                match one.kind {
                    Kind::Map(entries) => all.extend(entries),
                    _ => return Err(refuse(noun)),
                }
            }
            Ok(all)
        }
        Kind::Scalar { .. } => Err(refuse("a single value")),
    }
}
