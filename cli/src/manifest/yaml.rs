//! YAML text to a tree, under a budget: depth, nodes, text, all counted after alias expansion.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::error::Fault;
use super::node::{DEPTH_MAX, Kind, Node, Weight};

/// A list or map that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// A map's key that waits for its value.
    key: Option<Node>,
    /// Keys of a map so far.
    keys: HashSet<String>,
}

struct Composer {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    weight: Weight,
}

/// Compose the one document of `text`.
pub(super) fn compose(text: &str) -> Result<Node, Fault> {
    let mut composer = Composer {
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        weight: Weight::default(),
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            Fault::new(error.marker().line(), format!("not YAML: {}", error.info()))
                .next("check indentation and quotes at that line")
        })?;
        composer.take(event, span.start.line())?;
    }
    composer
        .root
        .ok_or_else(|| Fault::new(1, "the manifest is empty").next(EXAMPLE))
}

pub(super) const EXAMPLE: &str = "the least manifest is:  applications: [{name: NAME}]";

impl Composer {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced_text = tag.is_some_and(|tag| tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !forced_text;
                let node = Node::scalar(line, text.into_owned(), plain);
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Kind::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => self.begin(Kind::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(open.node, open.anchor),
                None => Err(Fault::new(line, "a list or map ends that never began")),
            },
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).ok_or_else(|| {
                    Fault::new(line, "an alias stands inside its own anchor, or before it")
                })?;
                let mut node = target.clone();
                node.anchored = false;
                // Counted before it is kept: a bomb is refused while it is still small.
                let depth = self.open.len() + node.depth();
                self.weigh(node.weight(), depth, line)?;
                self.attach(node)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Fault::new(line, "there is more than one document")
                    .next("keep one document: remove what follows the second `---`"))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, kind: Kind, anchor: usize, line: usize) -> Result<(), Fault> {
        self.weigh(Weight { nodes: 1, bytes: 0 }, self.open.len() + 1, line)?;
        let node = Node {
            line,
            anchored: false,
            kind,
        };
        self.open.push(Open {
            node,
            anchor,
            key: None,
            keys: HashSet::new(),
        });
        Ok(())
    }

    fn close(&mut self, mut node: Node, anchor: usize) -> Result<(), Fault> {
        if let Kind::Scalar { text, .. } = &node.kind {
            let weight = Weight {
                nodes: 1,
                bytes: text.len(),
            };
            self.weigh(weight, self.open.len() + 1, node.line)?;
        }
        if anchor != 0 {
            node.anchored = true;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn weigh(&mut self, more: Weight, depth: usize, line: usize) -> Result<(), Fault> {
        self.weight = self.weight.plus(more);
        if self.weight.is_too_much() {
            return Err(too_large(line));
        }
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Fault::new(line, message).next("flatten the manifest"));
        }
        Ok(())
    }

    fn attach(&mut self, node: Node) -> Result<(), Fault> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.node.anchored |= node.anchored;
        match &mut parent.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => {
                    let text = key.text().unwrap_or_default().to_owned();
                    if text != "<<" && !parent.keys.insert(text.clone()) {
                        let message = format!("`{text}` is given twice");
                        return Err(Fault::new(key.line, message).next("remove one of the two"));
                    }
                    entries.push((key, node));
                }
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

pub(super) fn too_large(line: usize) -> Fault {
    Fault::new(
        line,
        "aliases, merges or variables blow the manifest up beyond its budget",
    )
    .next("use fewer aliases of aliases; write the values out, or split the manifest")
}
