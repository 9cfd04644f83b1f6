//! A YAML tree that remembers its lines.

/// Deepest nesting of a manifest; real ones have six levels.
pub(super) const DEPTH_MAX: usize = 32;
/// Most nodes once aliases, merges and variables are expanded: past it it is a bomb.
pub(super) const NODES_MAX: usize = 50_000;
/// Most bytes of text once expanded.
pub(super) const TEXT_MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// 1 for the first.
    pub(super) line: usize,
    /// It, or something in it, has an anchor: other parts may build on it.
    pub(super) anchored: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Scalar {
        text: String,
        /// Without quotes: `true` is a boolean, `1` a number.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// What a tree costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
}

impl Weight {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(super) fn is_too_much(self) -> bool {
        self.nodes > NODES_MAX || self.bytes > TEXT_MAX_BYTES
    }
}

impl Node {
    pub(super) fn scalar(line: usize, text: String, plain: bool) -> Self {
        Self {
            line,
            anchored: false,
            kind: Kind::Scalar { text, plain },
        }
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => None,
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(super) fn map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    pub(super) fn weight(&self) -> Weight {
        let own = match &self.kind {
            Kind::Scalar { text, .. } => text.len(),
            _ => 0,
        };
        let mut weight = Weight {
            nodes: 1,
            bytes: own,
        };
        match &self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => {
                for item in items {
                    weight = weight.plus(item.weight());
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    weight = weight.plus(key.weight()).plus(value.weight());
                }
            }
        }
        weight
    }

    /// Levels below and including this one.
    pub(super) fn depth(&self) -> usize {
        let below = match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        };
        below + 1
    }
}
