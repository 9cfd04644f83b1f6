//! What differs between two states, for those who follow: a commit costs them what it changed, not
//! what there is. Parts that the two share are not looked at.

use imbl::ordmap::DiffItem;

use super::{State, Stored, Table};

/// Keys whose records differ.
pub fn changed_keys<R: Stored + Eq>(before: &State, after: &State) -> Vec<R::Key> {
    let (before, after): (&Table<R>, &Table<R>) = (R::table(before), R::table(after));
    let items = before.diff(after);
    items
        .map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
            DiffItem::Update { new: (key, _), .. } => key.clone(),
        })
        .collect()
}
