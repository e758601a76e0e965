//! Answers that keep to a grammar, which was compiled to a table over tokens.
//!
//! A table is a header of [`WORDS`] little-endian words, then for each state, and once more, the
//! number of its first edge, with the upper bit set where the text may end; then the tokens of all
//! edges in 32 bits each, ascending within a state; then the states that they lead to in 16 bits
//! each. A CRC-32 of all before it ends the table. The first state is the one of an empty text.

use core::ops::Range;

use crate::error::RunError;
use crate::format::checksum::checksum;

/// `KGRM`, as a little-endian word.
const MAGIC: u32 = u32::from_le_bytes(*b"KGRM");
const VERSION: u32 = 1;
/// Words of the header: the magic, the version, the tokenizer's checksum, and the numbers of states
/// and edges.
const WORDS: usize = 5;
const CHECKSUM: usize = 4;
/// The bit of a state in which a text may end.
const MAY_END: u32 = 1 << 31;
/// The most states that a table has.
pub const MAX_STATES: usize = 1 << 16;

/// A grammar of answers as a table over a tokenizer's tokens, which `kinglet grammar` compiles.
///
/// Where [`GenerateOptions::grammar`](super::GenerateOptions::grammar) has one, exactly the tokens
/// are written that the grammar allows at each step. Nothing is kept from step to step: the state
/// is found by following the tokens that were written, a binary search for each.
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Grammar, Stop, generate};
/// use kinglet::{Error, RunError, Session};
///
/// /// Writes a command after a request; `table` is the file of `kinglet grammar --output`.
/// fn command(session: &mut Session, table: &[u8], text: &mut heapless::Vec<u32, 64>) -> Result<Stop, RunError> {
///     let grammar = Grammar::from_bytes(table, session.model().tokenizer_section())?;
///     let options = GenerateOptions { grammar: Some(grammar), stop: &[2], ..GenerateOptions::new(24) };
///     generate(session, text, &options, &mut Sampler::greedy(), |_| true)
/// }
/// # let _ = command;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'g> {
    /// The first edge of each state, and whether a text may end there; one more than states.
    starts: &'g [[u8; 4]],
    tokens: &'g [[u8; 4]],
    next: &'g [[u8; 2]],
}

impl<'g> Grammar<'g> {
    /// Checks a table, for the tokenizer in `tokenizer_section`. `bytes` may be longer, as a page
    /// of flash is.
    ///
    /// # Errors
    /// [`RunError::BadGrammar`] when the bytes are no table, were changed, or are one for another
    /// tokenizer.
    pub fn from_bytes(bytes: &'g [u8], tokenizer_section: &[u8]) -> Result<Self, RunError> {
        let (header, grammar, sum) = cut(bytes).ok_or(RunError::BadGrammar("it is no table, or it is cut off"))?;
        if header[2] != checksum_of(tokenizer_section) {
            return Err(RunError::BadGrammar("it is of another tokenizer"));
        }
        let content = bytes.get(..grammar.content_bytes()).unwrap_or(&[]);
        let states = grammar.starts.len().saturating_sub(1);
        let ascending = grammar.starts.windows(2).all(|pair| match pair {
            [a, b] => edge(*a) <= edge(*b) && edge(*b) <= grammar.tokens.len(),
            _ => false,
        });
        let known = grammar.next.iter().all(|next| usize::from(u16::from_le_bytes(*next)) < states);
        if checksum(content) != sum || !ascending || !known {
            return Err(RunError::BadGrammar("it was changed"));
        }
        Ok(grammar)
    }

    /// A table of a constant, in a module that `kinglet grammar` wrote.
    ///
    /// # Panics
    /// When the bytes are not the ones that were written; that is to say, such a constant does not
    /// compile.
    #[doc(hidden)]
    pub const fn from_export(bytes: &'g [u8], checksum: u32) -> Self {
        let Some((_, grammar, sum)) = cut(bytes) else { panic!("this is no grammar") };
        assert!(sum == checksum, "the grammar is another one");
        grammar
    }

    /// Bytes of the table before its checksum.
    const fn content_bytes(&self) -> usize {
        4 * WORDS + self.starts.len() * 4 + self.tokens.len() * 4 + self.next.len() * 2
    }

    /// The number of states.
    pub const fn states(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The state after some tokens were written; none when the grammar does not allow them.
    pub fn state_after(&self, written: &[u32]) -> Option<usize> {
        written.iter().try_fold(0, |state, token| {
            let edges = self.edges(state);
            let tokens = self.tokens.get(edges.clone()).unwrap_or(&[]);
            let found = tokens.binary_search_by_key(token, |token| u32::from_le_bytes(*token)).ok()?;
            self.next.get(edges.start + found).map(|next| u16::from_le_bytes(*next).into())
        })
    }

    /// The tokens that may follow in a state, ascending.
    pub fn allowed(&self, state: usize) -> impl Iterator<Item = u32> + use<'g> {
        self.tokens.get(self.edges(state)).unwrap_or(&[]).iter().map(|token| u32::from_le_bytes(*token))
    }

    /// Whether the text may end in a state.
    pub fn may_end(&self, state: usize) -> bool {
        self.starts.get(state).is_some_and(|start| u32::from_le_bytes(*start) & MAY_END != 0)
    }

    fn edges(&self, state: usize) -> Range<usize> {
        let at = |state: usize| self.starts.get(state).map_or(0, |start| edge(*start));
        at(state)..at(state + 1)
    }
}

/// The number of a state's first edge.
const fn edge(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start) & !MAY_END) as usize
}

/// The checksum that a tokenizer's section has in its prelude.
fn checksum_of(section: &[u8]) -> u32 {
    section.get(12..).and_then(|rest| rest.first_chunk()).map_or(0, |sum| u32::from_le_bytes(*sum))
}

/// The header of a table, the table, and its checksum.
const fn cut(bytes: &[u8]) -> Option<([u32; WORDS], Grammar<'_>, u32)> {
    let Some((first, rest)) = bytes.split_at_checked(4 * WORDS) else { return None };
    let Some(words) = first.as_chunks::<4>().0.first_chunk::<WORDS>() else { return None };
    let mut header = [0; WORDS];
    let mut word = 0;
    while word < WORDS {
        header[word] = u32::from_le_bytes(words[word]);
        word += 1;
    }
    let [magic, version, _, states, edges] = header;
    let (states, edges) = (states as usize, edges as usize);
    if magic != MAGIC || version != VERSION || states == 0 || states > MAX_STATES || edges > rest.len() {
        return None;
    }
    let Some((starts, rest)) = rest.split_at_checked(4 * (states + 1)) else { return None };
    // No more than there are bytes, so that no product overflows on a machine of 32 bits.
    let Some(bytes_of_tokens) = edges.checked_mul(4) else { return None };
    let Some((tokens, rest)) = rest.split_at_checked(bytes_of_tokens) else { return None };
    let Some((next, rest)) = rest.split_at_checked(2 * edges) else { return None };
    let Some(sum) = rest.first_chunk::<CHECKSUM>() else { return None };
    let grammar = Grammar { starts: starts.as_chunks().0, tokens: tokens.as_chunks().0, next: next.as_chunks().0 };
    Some((header, grammar, u32::from_le_bytes(*sum)))
}

/// A state of a grammar to be written: whether a text may end there, and for each token that may
/// follow, ascending, the state that it leads to.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrammarState {
    /// Whether a text may end there.
    pub may_end: bool,
    /// Tokens and the states that they lead to.
    pub edges: alloc::vec::Vec<(u32, u16)>,
}

/// The bytes of a table with these states, of which the first is that of an empty text, for the
/// tokenizer in `tokenizer_section`.
#[cfg(feature = "alloc")]
pub fn grammar_table(states: &[GrammarState], tokenizer_section: &[u8]) -> alloc::vec::Vec<u8> {
    let edges: usize = states.iter().map(|state| state.edges.len()).sum();
    let header = [MAGIC, VERSION, checksum_of(tokenizer_section), states.len() as u32, edges as u32];
    let mut bytes: alloc::vec::Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut first = 0;
    for state in states {
        bytes.extend((first | if state.may_end { MAY_END } else { 0 }).to_le_bytes());
        first += state.edges.len() as u32;
    }
    bytes.extend(first.to_le_bytes());
    let all = || states.iter().flat_map(|state| &state.edges);
    all().for_each(|(token, _)| bytes.extend(token.to_le_bytes()));
    all().for_each(|(_, next)| bytes.extend(next.to_le_bytes()));
    let sum = checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}
