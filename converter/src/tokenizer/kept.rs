//! Numbers the tokens of a smaller vocabulary.

use std::collections::BTreeSet;

/// The ids of the kept tokens, ascending. A token's index is its new id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    ids: Vec<u32>,
}

impl Kept {
    /// The old ids, in the order of the new ids.
    pub fn old_ids(&self) -> &[u32] {
        &self.ids
    }

    /// The new id of a token; `None` if it is not kept.
    pub fn new_id(&self, old: u32) -> Option<u32> {
        self.ids.binary_search(&old).ok().map(|place| place as u32)
    }
}

impl FromIterator<u32> for Kept {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self { ids: BTreeSet::from_iter(ids).into_iter().collect() }
    }
}
