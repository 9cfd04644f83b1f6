//! YAML under a budget: nothing is built before its size is known, aliases counted each time they
//! are used. A few lines of aliases of aliases would otherwise fill the memory.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};
use serde_yaml::Value;

use super::MANIFEST_MAX_BYTES;
use crate::actions::Refused;

/// Most values of a manifest, with every alias written out.
const NODES_MAX: u64 = 50_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;

/// The tree of the one document, with merge keys (`<<`) applied.
pub(super) fn parse(text: &str) -> Result<Value, Refused> {
    if text.len() > MANIFEST_MAX_BYTES {
        return Err(unreadable(format!(
            "the manifest is larger than {MANIFEST_MAX_BYTES} bytes"
        )));
    }
    check_budget(text)?;
    let mut value: Value =
        serde_yaml::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    value
        .apply_merge()
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(value)
}

fn unreadable(why: String) -> Refused {
    Refused::BadRequest(format!("Manifest does not support this YAML: {why}"))
}

/// Nodes of what is open, and of each anchor once it is closed.
struct Count {
    total: u64,
    /// Anchor and the total when it began.
    open: Vec<(usize, u64)>,
    anchors: BTreeMap<usize, u64>,
}

fn check_budget(text: &str) -> Result<(), Refused> {
    let mut count = Count {
        total: 0,
        open: Vec::new(),
        anchors: BTreeMap::new(),
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            unreadable(format!("line {}: {}", error.marker().line(), error.info()))
        })?;
        count.take(&event);
        let line = span.start.line();
        if count.total > NODES_MAX {
            return Err(unreadable(format!(
                "line {line}: aliases blow it up to more than {NODES_MAX} values; write them out"
            )));
        }
        if count.open.len() > DEPTH_MAX {
            return Err(unreadable(format!(
                "line {line}: it is nested deeper than {DEPTH_MAX} levels"
            )));
        }
    }
    Ok(())
}

impl Count {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Scalar(_, _, anchor, _) => {
                self.total += 1;
                self.keep(*anchor, 1);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, self.total));
                self.total += 1;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, began)) = self.open.pop() {
                    self.keep(anchor, self.total - began);
                }
            }
            Event::Alias(anchor) => {
                let more = self.anchors.get(anchor).copied().unwrap_or(1);
                self.total = self.total.saturating_add(more);
            }
            _ => {}
        }
    }

    fn keep(&mut self, anchor: usize, nodes: u64) {
        if anchor != 0 {
            self.anchors.insert(anchor, nodes);
        }
    }
}
