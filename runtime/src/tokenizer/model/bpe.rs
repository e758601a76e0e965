//! Tokenizes by byte pair encoding (arXiv 1508.07909): repeatedly merges the adjacent pair of the
//! lowest rank.

use super::{Emit, take, utf8};
use crate::error::RunError;
use crate::tokenizer::pause::Pause;
use crate::tokenizer::section::MergesSpec;
use crate::tokenizer::tables::{Numbers, Words};
use crate::tokenizer::text::{Chars, OUT_OF_SCRATCH};
use crate::tokenizer::vocabulary::Vocabulary;

/// No symbol.
const NONE: u32 = u32::MAX;
/// The longest character with prefix and suffix, in bytes.
const MAX_SYMBOL: usize = 32;

/// The model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bpe<'m> {
    pub(crate) vocabulary: Vocabulary<'m>,
    pub(crate) merges: Merges<'m>,
    pub(crate) byte_level: bool,
    pub(crate) unknown: Option<u32>,
    pub(crate) fuse_unknown: bool,
    pub(crate) ignore_merges: bool,
    pub(crate) suffix: &'m [u8],
    pub(crate) prefix: &'m [u8],
    /// The id of each byte; empty if there are none.
    pub(crate) bytes: Words<'m>,
}

/// The merges: pairs of ids, their results and ranks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Merges<'m> {
    lefts: Words<'m>,
    rights: Numbers<'m>,
    merged: Numbers<'m>,
    order: Words<'m>,
}

impl<'m> Merges<'m> {
    /// Locates the tables. `None` if one is out of bounds or has the wrong length.
    pub(crate) const fn new(section: &'m [u8], spec: &MergesSpec) -> Option<Self> {
        let (Some(lefts), Some(rights), Some(merged), Some(order)) =
            (spec.lefts.of(section), spec.rights.of(section), spec.merged.of(section), spec.order.of(section))
        else {
            return None;
        };
        let merges = Self {
            lefts: Words::new(lefts),
            rights: Numbers::new(rights, spec.width),
            merged: Numbers::new(merged, spec.width),
            order: Words::new(order),
        };
        let count = merges.rights.len();
        let whole = merges.merged.len() == count && (merges.order.len() == 0 || merges.order.len() == count);
        if whole { Some(merges) } else { None }
    }

    /// The rank of a pair and the id of its merge.
    fn get(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let (low, high) = (self.lefts.get(left as usize), self.lefts.get((left as usize).saturating_add(1)));
        if low >= high || high == NONE {
            return None;
        }
        let at = self.rights.partition(low as usize, high as usize, |other| other < right);
        if at >= high as usize || self.rights.get(at) != right {
            return None;
        }
        let merged = self.merged.get(at);
        Some((if self.order.len() == 0 { merged } else { self.order.get(at) }, merged))
    }
}

/// A word being merged: a linked list of symbols, and a heap of candidate merges.
struct Word<'a> {
    ids: &'a mut [u32],
    /// The length of each symbol in bytes; 0 after it was merged into another.
    lens: &'a mut [u32],
    before: &'a mut [u32],
    after: &'a mut [u32],
    count: usize,
    heap: Heap<'a>,
}

/// A binary heap of candidates with the lowest rank on top, three words each.
struct Heap<'a> {
    words: &'a mut [u32],
    len: usize,
}

/// A pair that could be merged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    order: u32,
    at: u32,
    merged: u32,
}

impl Heap<'_> {
    fn get(&self, index: usize) -> Candidate {
        match self.words.get(3 * index..3 * index + 3) {
            Some(&[order, at, merged]) => Candidate { order, at, merged },
            _ => Candidate { order: NONE, at: NONE, merged: NONE },
        }
    }

    fn set(&mut self, index: usize, candidate: Candidate) {
        if let Some([order, at, merged]) = self.words.get_mut(3 * index..3 * index + 3) {
            (*order, *at, *merged) = (candidate.order, candidate.at, candidate.merged);
        }
    }

    fn push(&mut self, candidate: Candidate) -> Result<(), RunError> {
        if 3 * (self.len + 1) > self.words.len() {
            return Err(OUT_OF_SCRATCH);
        }
        let mut index = self.len;
        self.len += 1;
        while index > 0 {
            let parent = (index - 1) / 2;
            let above = self.get(parent);
            if above <= candidate {
                break;
            }
            self.set(index, above);
            index = parent;
        }
        self.set(index, candidate);
        Ok(())
    }

    fn pop(&mut self) -> Option<Candidate> {
        let last = self.len.checked_sub(1)?;
        let (top, moved) = (self.get(0), self.get(last));
        self.len = last;
        let mut index = 0;
        loop {
            let mut child = 2 * index + 1;
            if child >= last {
                break;
            }
            if child + 1 < last && self.get(child + 1) < self.get(child) {
                child += 1;
            }
            if moved <= self.get(child) {
                break;
            }
            let below = self.get(child);
            self.set(index, below);
            index = child;
        }
        self.set(index, moved);
        Some(top)
    }
}

fn at(words: &[u32], index: u32) -> u32 {
    words.get(index as usize).copied().unwrap_or(NONE)
}

fn put(words: &mut [u32], index: u32, value: u32) {
    if let Some(word) = words.get_mut(index as usize) {
        *word = value;
    }
}

impl<'a> Word<'a> {
    /// An empty word with room for `symbols` symbols.
    fn new(symbols: usize, memory: &'a mut [u32]) -> Result<Self, RunError> {
        let (ids, memory) = take(memory, symbols)?;
        let (lens, memory) = take(memory, symbols)?;
        let (before, memory) = take(memory, symbols)?;
        let (after, words) = take(memory, symbols)?;
        Ok(Self { ids, lens, before, after, count: 0, heap: Heap { words, len: 0 } })
    }

    fn add(&mut self, id: u32, len: usize) {
        let index = self.count as u32;
        put(self.ids, index, id);
        put(self.lens, index, len as u32);
        put(self.before, index, index.wrapping_sub(1));
        put(self.after, index, NONE);
        put(self.after, index.wrapping_sub(1), index);
        self.count += 1;
    }

    /// Pushes the pair that begins at symbol `index`, if it can be merged.
    fn offer(&mut self, merges: &Merges<'_>, index: u32) -> Result<(), RunError> {
        let next = at(self.after, index);
        if index == NONE || next == NONE {
            return Ok(());
        }
        match merges.get(at(self.ids, index), at(self.ids, next)) {
            Some((order, merged)) => self.heap.push(Candidate { order, at: index, merged }),
            None => Ok(()),
        }
    }

    fn merge(&mut self, merges: &Merges<'_>, pause: &mut Pause<'_>) -> Result<(), RunError> {
        for index in 0..self.count as u32 {
            pause.tick();
            self.offer(merges, index)?;
        }
        while let Some(Candidate { at: left, merged, .. }) = self.heap.pop() {
            pause.tick();
            let right = at(self.after, left);
            // Either symbol may have been merged since the pair was pushed.
            let current = merges.get(at(self.ids, left), at(self.ids, right));
            if at(self.lens, left) == 0 || right == NONE || current.is_none_or(|(_, id)| id != merged) {
                continue;
            }
            put(self.ids, left, merged);
            put(self.lens, left, at(self.lens, left) + at(self.lens, right));
            put(self.lens, right, 0);
            let next = at(self.after, right);
            put(self.after, left, next);
            if next != NONE {
                put(self.before, next, left);
            }
            let previous = at(self.before, left);
            self.offer(merges, previous)?;
            self.offer(merges, left)?;
        }
        Ok(())
    }
}

impl Bpe<'_> {
    pub(crate) fn tokenize(
        &self,
        split: Chars<'_>,
        memory: &mut [u32],
        pause: &mut Pause<'_>,
        emit: Emit<'_>,
    ) -> Result<(), RunError> {
        let len = split.len_utf8();
        if self.ignore_merges {
            let (bytes, _) = utf8(split, 0, memory)?;
            if let Some(id) = self.vocabulary.find(bytes) {
                emit(id, 0..len);
                return Ok(());
            }
        }
        // Byte fallback applies to the prefix and suffix of an unknown character, too.
        let prefixes = self.prefix.len().saturating_mul(split.len());
        let mut word = Word::new(prefixes.saturating_add(len + self.suffix.len()), memory)?;
        let mut unknown = None;
        if self.byte_level {
            let bytes = split.iter().flat_map(|c| c.utf8().into_iter().take(c.len_utf8()));
            for (index, byte) in bytes.enumerate() {
                pause.tick();
                let plain = self.suffix.is_empty() && self.prefix.is_empty();
                let id = match plain {
                    true => Some(self.bytes.get(byte.into())).filter(|&id| id != NONE),
                    false => self.symbol(&[byte], index == 0, index + 1 == len).1,
                };
                self.add(&mut word, id, 1, &mut unknown);
            }
        } else {
            for (index, c) in split.iter().enumerate() {
                pause.tick();
                let (utf8, size) = (c.utf8(), c.len_utf8());
                let bytes = utf8.get(..size).unwrap_or(&[]);
                let ((buffer, filled), id) = self.symbol(bytes, index == 0, index + 1 == split.len());
                if id.is_none() && self.bytes.len() > 0 {
                    let bytes = buffer.get(..filled).unwrap_or(&[]);
                    let ids = || bytes.iter().map(|&byte| self.bytes.get(byte.into()));
                    if ids().all(|id| id != NONE) {
                        ids().for_each(|id| word.add(id, 1));
                        continue;
                    }
                }
                self.add(&mut word, id, size, &mut unknown);
            }
        }
        if let Some((id, len)) = unknown {
            word.add(id, len);
        }
        word.merge(&self.merges, pause)?;
        let mut start = 0;
        for index in 0..word.count as u32 {
            let len = at(word.lens, index) as usize;
            if len > 0 {
                pause.tick();
                emit(at(word.ids, index), start..start + len);
                start += len;
            }
        }
        Ok(())
    }

    /// A character with its prefix and suffix, and its id.
    fn symbol(&self, bytes: &[u8], first: bool, last: bool) -> (([u8; MAX_SYMBOL], usize), Option<u32>) {
        let mut buffer = [0; MAX_SYMBOL];
        let prefix = if first { &[][..] } else { self.prefix };
        let suffix = if last { self.suffix } else { &[][..] };
        let filled = (prefix.len() + bytes.len() + suffix.len()).min(MAX_SYMBOL);
        buffer.iter_mut().zip(prefix.iter().chain(bytes).chain(suffix)).for_each(|(to, from)| *to = *from);
        let id = self.vocabulary.find(buffer.get(..filled).unwrap_or(&[]));
        ((buffer, filled), id)
    }

    /// Adds a symbol. Unknown symbols are held in `unknown`, to be fused with their neighbours.
    fn add(&self, word: &mut Word<'_>, id: Option<u32>, len: usize, unknown: &mut Option<(u32, usize)>) {
        match (id, self.unknown) {
            (Some(id), _) => {
                if let Some((id, len)) = unknown.take() {
                    word.add(id, len);
                }
                word.add(id, len);
            }
            (None, Some(id)) => {
                let before = unknown.take();
                *unknown = match before {
                    Some((id, before)) if self.fuse_unknown => Some((id, before + len)),
                    Some((before, before_len)) => {
                        word.add(before, before_len);
                        Some((id, len))
                    }
                    None => Some((id, len)),
                };
            }
            (None, None) => {}
        }
    }
}
