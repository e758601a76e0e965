//! The tokens of a smaller vocabulary, and their new ids.

use std::collections::BTreeSet;

/// Ids of tokens that are kept, ascending: the place of each is its new id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    ids: Vec<u32>,
}

impl Kept {
    /// The ids that the tokens had, in the order of their new ids.
    pub fn old_ids(&self) -> &[u32] {
        &self.ids
    }

    /// The id that a token has now; `None` for one that is not kept.
    pub fn new_id(&self, old: u32) -> Option<u32> {
        self.ids.binary_search(&old).ok().map(|place| place as u32)
    }
}

impl FromIterator<u32> for Kept {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self { ids: BTreeSet::from_iter(ids).into_iter().collect() }
    }
}
