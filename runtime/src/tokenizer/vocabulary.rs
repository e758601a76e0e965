//! Looks up strings and ids in a front-coded vocabulary: sorted strings, each stored without the
//! prefix that it shares with the previous one.
//!
//! A block has sixteen entries. An entry begins with a byte of two 4-bit counts: high, the bytes
//! shared with the previous entry; low, the bytes that follow. A count of fifteen stands for a
//! 16-bit count after that byte. The first entry of a block shares nothing, so that a search
//! decodes only one block.

use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::tables::{Numbers, Span, Words};

/// The largest token id: tables store ids in 24 bits, with all bits set for none.
pub const MAX_ID: u32 = (1 << 24) - 2;
/// Entries in a block.
pub const BLOCK: usize = 16;
/// The longest string, in bytes.
pub const MAX_STRING: usize = 1024;

/// The tables of a vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VocabularySpec {
    /// The number of entries.
    pub entries: u32,
    /// The offset of each block in `data`; words.
    pub blocks: Span,
    /// The entries.
    pub data: Span,
    /// Bytes per id or rank.
    pub width: u8,
    /// The id of each entry.
    pub ids: Span,
    /// The rank (index of the entry) of each id, all bits set for none. Empty if unused.
    pub ranks: Span,
    /// A word for each entry: in the high 24 bits, the rank of the longest other entry that is a
    /// prefix of it, all bits set for none; in the low 8, its length. Empty if unused.
    pub prefixes: Span,
}

/// A view of a vocabulary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vocabulary<'m> {
    entries: usize,
    blocks: Words<'m>,
    data: &'m [u8],
    ids: Numbers<'m>,
    ranks: Numbers<'m>,
    prefixes: Words<'m>,
}

/// The entry next to a string that was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour {
    rank: usize,
    len: usize,
    /// The length of the prefix common to entry and string.
    common: usize,
}

impl<'m> Vocabulary<'m> {
    /// Locates the tables. `None` if one is out of bounds or has the wrong length.
    pub(crate) const fn new(section: &'m [u8], spec: &VocabularySpec) -> Option<Self> {
        let (Some(blocks), Some(data), Some(ids)) =
            (spec.blocks.of(section), spec.data.of(section), spec.ids.of(section))
        else {
            return None;
        };
        let (Some(ranks), Some(prefixes)) = (spec.ranks.of(section), spec.prefixes.of(section)) else { return None };
        let vocabulary = Self {
            entries: spec.entries as usize,
            blocks: Words::new(blocks),
            data,
            ids: Numbers::new(ids, spec.width),
            ranks: Numbers::new(ranks, spec.width),
            prefixes: Words::new(prefixes),
        };
        let entries = vocabulary.entries;
        let whole = vocabulary.blocks.len() == entries.div_ceil(BLOCK) && vocabulary.ids.len() == entries;
        if whole { Some(vocabulary) } else { None }
    }

    /// Checks that every entry is complete and that `ids` and `ranks` are consistent.
    pub(crate) fn check(&self) -> bool {
        let mut rank = 0;
        for block in 0..self.blocks.len() {
            let within = BLOCK.min(self.entries - rank);
            let mut previous = 0;
            for (shared, own) in Entries::at(self.data, self.blocks.get(block)).take(within) {
                let id = self.ids.get(rank) as usize;
                let known = self.ranks.len() == 0 || self.ranks.get(id) as usize == rank;
                if shared > previous || shared + own.len() > MAX_STRING || !known || id > MAX_ID as usize {
                    return false;
                }
                previous = shared + own.len();
                rank += 1;
            }
        }
        rank == self.entries
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries
    }

    /// The id of an entry.
    pub(crate) fn id(&self, rank: usize) -> u32 {
        self.ids.get(rank)
    }

    /// The entry of an id.
    pub(crate) fn rank(&self, id: u32) -> Option<usize> {
        Some(self.ranks.get(id as usize) as usize).filter(|&rank| rank < self.entries)
    }

    /// The id of a string.
    pub(crate) fn find(&self, string: &[u8]) -> Option<u32> {
        let found = self.neighbour(string)?;
        (found.len == string.len() && found.common == found.len).then(|| self.id(found.rank))
    }

    /// The longest entry that is a prefix of the string: its rank and length.
    pub(crate) fn longest_prefix(&self, mut string: &[u8]) -> Option<(usize, usize)> {
        loop {
            let found = self.neighbour(string)?;
            if found.common == found.len {
                return Some((found.rank, found.len));
            }
            // Every entry that is a prefix of the string is a prefix of its first `common` bytes.
            // `min` guarantees progress even if the table is malformed.
            let shorter = found.common.min(string.len().saturating_sub(1));
            string = string.get(..shorter).filter(|string| !string.is_empty())?;
        }
    }

    /// Every entry that is a prefix of the string, longest first: ranks and lengths.
    pub(crate) fn prefixes(&self, string: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut next = self.longest_prefix(string);
        // In a malformed table the chain could be a cycle; requiring decreasing lengths ends it.
        core::iter::from_fn(move || {
            let (rank, len) = next?;
            let parent = (self.prefixes.get(rank) >> 8) as usize;
            let parent_len = (self.prefixes.get(parent) & 0xff) as usize;
            next = (parent < self.entries && parent_len < len).then_some((parent, parent_len));
            Some((rank, len))
        })
    }

    /// The last entry that is less than or equal to the string.
    fn neighbour(&self, string: &[u8]) -> Option<Neighbour> {
        let head = |start: u32| Entries::at(self.data, start).next().map_or(&[][..], |(_, own)| own);
        let block = self.blocks.partition(|start| head(start) <= string).checked_sub(1)?;
        let entries = Entries::at(self.data, self.blocks.get(block));
        let mut found: Option<Neighbour> = None;
        let within = BLOCK.min(self.entries - (block * BLOCK).min(self.entries));
        for (place, (shared, own)) in entries.take(within).enumerate() {
            let common = found.map_or(0, |found| found.common);
            match shared.cmp(&common) {
                // It departs from the previous entry inside the common prefix: it is greater.
                Ordering::Less => break,
                // It departs from the string where the previous entry did: it is still less.
                Ordering::Greater => {}
                Ordering::Equal => {
                    let rest = string.get(common..).unwrap_or(&[]);
                    let agreed = own.iter().zip(rest).take_while(|(a, b)| a == b).count();
                    if own.get(agreed..) > rest.get(agreed..) {
                        break;
                    }
                    found = Some(Neighbour { rank: 0, len: 0, common: common + agreed });
                }
            }
            found = found.map(|found| Neighbour { rank: block * BLOCK + place, len: shared + own.len(), ..found });
        }
        found
    }

    /// The string of an entry, in pieces of consecutive entries.
    pub(crate) fn string(&self, rank: usize) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let mut pieces = [&[][..]; BLOCK];
        let mut begins = [0; BLOCK];
        let entries = Entries::at(self.data, self.blocks.get(rank / BLOCK));
        for (place, (shared, own)) in entries.take(rank % BLOCK + 1).enumerate() {
            // Truncate the pieces of earlier entries to the shared prefix.
            for (piece, begin) in pieces.iter_mut().zip(&begins).take(place) {
                *piece = piece.get(..shared.saturating_sub(*begin).min(piece.len())).unwrap_or(&[]);
            }
            if let (Some(piece), Some(begin)) = (pieces.get_mut(place), begins.get_mut(place)) {
                (*piece, *begin) = (own, shared);
            }
        }
        pieces.into_iter().filter(|piece| !piece.is_empty())
    }
}

/// Iterates over entries from a block on: the number of shared bytes, and the entry's own bytes.
struct Entries<'m> {
    data: &'m [u8],
}

impl<'m> Entries<'m> {
    fn at(data: &'m [u8], start: u32) -> Self {
        Self { data: data.get(start as usize..).unwrap_or(&[]) }
    }

    fn count(&mut self, short: u8) -> Option<usize> {
        if short < 15 {
            return Some(short.into());
        }
        let (count, rest) = self.data.split_first_chunk::<2>()?;
        self.data = rest;
        Some(u16::from_le_bytes(*count).into())
    }
}

impl<'m> Iterator for Entries<'m> {
    type Item = (usize, &'m [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&counts, rest) = self.data.split_first()?;
        self.data = rest;
        let (shared, own) = (self.count(counts >> 4)?, self.count(counts & 15)?);
        let (own, rest) = self.data.split_at_checked(own)?;
        self.data = rest;
        Some((shared, own))
    }
}
