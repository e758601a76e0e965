//! Constrains generation to a grammar, compiled to an automaton over tokens.
//!
//! A table has a header of [`WORDS`] little-endian words; for each state, and for the end, the
//! 32-bit index of its first edge, with the high bit set if the text may end there; the 32-bit
//! tokens of all edges, ascending within a state; the 16-bit target states of all edges; and a
//! CRC-32 of everything before it. State 0 is that of an empty text.

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
/// The bit that marks a state in which the text may end.
const MAY_END: u32 = 1 << 31;
/// The most states of a table.
pub const MAX_STATES: usize = 1 << 16;

/// A grammar, compiled by `kinglet grammar` to an automaton over a tokenizer's tokens.
///
/// With [`GenerateOptions::grammar`](super::GenerateOptions::grammar), each step chooses among the
/// tokens that the grammar allows. The state is not stored: each step follows the generated tokens
/// from state 0, with a binary search for each.
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Grammar, Stop, generate};
/// use kinglet::{Error, RunError, Session};
///
/// /// Generates a command after a request. `table` was written by `kinglet grammar --output`.
/// fn command(
///     session: &mut Session,
///     table: &[u8],
///     text: &mut heapless::Vec<u32, 64>,
/// ) -> Result<Stop, RunError> {
///     let grammar = Grammar::from_bytes(table, session.model().tokenizer_section())?;
///     let options = GenerateOptions { grammar: Some(grammar), stop: &[2], ..GenerateOptions::new(24) };
///     generate(session, text, &options, &mut Sampler::greedy(), |_| true)
/// }
/// # let _ = command;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'g> {
    /// The first edge of each state and whether the text may end there; one more than states.
    starts: &'g [[u8; 4]],
    tokens: &'g [[u8; 4]],
    next: &'g [[u8; 2]],
}

impl<'g> Grammar<'g> {
    /// Checks a table compiled for the tokenizer in `tokenizer_section`. `bytes` may be longer than
    /// the table, for example a flash page.
    ///
    /// # Errors
    /// [`RunError::BadGrammar`] when the bytes are not a table, are damaged, or belong to another
    /// tokenizer.
    pub fn from_bytes(bytes: &'g [u8], tokenizer_section: &[u8]) -> Result<Self, RunError> {
        let (header, grammar, sum) = cut(bytes).ok_or(RunError::BadGrammar("it is truncated, or not a table"))?;
        if header[2] != checksum_of(tokenizer_section) {
            return Err(RunError::BadGrammar("it is for another tokenizer"));
        }
        let content = bytes.get(..grammar.content_bytes()).unwrap_or(&[]);
        let states = grammar.starts.len().saturating_sub(1);
        let ascending = grammar.starts.windows(2).all(|pair| match pair {
            [a, b] => edge(*a) <= edge(*b) && edge(*b) <= grammar.tokens.len(),
            _ => false,
        });
        let known = grammar.next.iter().all(|next| usize::from(u16::from_le_bytes(*next)) < states);
        if checksum(content) != sum || !ascending || !known {
            return Err(RunError::BadGrammar("it is damaged"));
        }
        Ok(grammar)
    }

    /// A constant grammar, for a module written by `kinglet grammar`, which has checked the table.
    ///
    /// # Panics
    /// If the checksum of `bytes` differs: the constant then does not compile.
    #[doc(hidden)]
    pub const fn from_export(bytes: &'g [u8], checksum: u32) -> Self {
        let Some((_, grammar, sum)) = cut(bytes) else { panic!("this is not a grammar") };
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

    /// The state after the tokens `written`, or `None` if the grammar does not allow them.
    pub fn state_after(&self, written: &[u32]) -> Option<usize> {
        written.iter().try_fold(0, |state, token| {
            let edges = self.edges(state);
            let tokens = self.tokens.get(edges.clone()).unwrap_or(&[]);
            let found = tokens.binary_search_by_key(token, |token| u32::from_le_bytes(*token)).ok()?;
            self.next.get(edges.start + found).map(|next| u16::from_le_bytes(*next).into())
        })
    }

    /// The tokens that are allowed in a state, ascending.
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

/// The index of a state's first edge.
const fn edge(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start) & !MAY_END) as usize
}

/// The checksum in the prelude of a tokenizer section.
fn checksum_of(section: &[u8]) -> u32 {
    section.get(12..).and_then(|rest| rest.first_chunk()).map_or(0, |sum| u32::from_le_bytes(*sum))
}

/// Splits a table into its header, its arrays and its checksum.
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
    // Once `tokens` is split off, `edges` is less than the number of bytes: `2 * edges` cannot
    // overflow.
    let Some(bytes_of_tokens) = edges.checked_mul(4) else { return None };
    let Some((tokens, rest)) = rest.split_at_checked(bytes_of_tokens) else { return None };
    let Some((next, rest)) = rest.split_at_checked(2 * edges) else { return None };
    let Some(sum) = rest.first_chunk::<CHECKSUM>() else { return None };
    let grammar = Grammar { starts: starts.as_chunks().0, tokens: tokens.as_chunks().0, next: next.as_chunks().0 };
    Some((header, grammar, u32::from_le_bytes(*sum)))
}

/// A state of a grammar, to be written by [`grammar_table`].
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrammarState {
    /// Whether the text may end in this state.
    pub may_end: bool,
    /// The allowed tokens, ascending, and the state that follows each.
    pub edges: alloc::vec::Vec<(u32, u16)>,
}

/// Encodes a table for the tokenizer in `tokenizer_section`. The first state is that of an empty
/// text.
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
