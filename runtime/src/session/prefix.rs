//! Reads a prefix in place: the state of a decoder after a text that every prompt begins with.

use bytemuck::try_cast_slice;

use super::Session;
use super::reading::Reading;
#[cfg(feature = "alloc")]
use super::reading::Row;
#[cfg(feature = "alloc")]
use crate::aligned::AlignedVec;
#[cfg(feature = "alloc")]
use crate::cache::KeyValueCache;
use crate::cache::Prefixed;
use crate::error::RunError;
use crate::format::checksum::checksum;
use crate::format::layout::ALIGNMENT;
use crate::format::memory::MemoryPlan;
#[cfg(feature = "alloc")]
use crate::format::memory::{decoder_layer_bytes, decoder_slots};
use crate::format::prefix::{CHECKSUM, Places, WORDS, header};
#[cfg(feature = "alloc")]
use crate::format::prefix::{MAGIC, VERSION, slots};
use crate::format::spec::StackSpec;
use crate::model::Model;

const NO_PREFIX: RunError = RunError::BadPrefix("it has another version, or is not a prefix");
const BLOB: RunError = RunError::BadPrefix("it is for another blob");
const CUT: RunError = RunError::BadPrefix("it is truncated");
const CHANGED: RunError = RunError::BadPrefix("it is damaged");
const MISPLACED: RunError =
    RunError::BadPrefix("it does not begin at a 16-byte boundary: embed it with include_model!");
const TWO_STACKS: RunError = RunError::BadPrefix("the model has no decoder, or one that attends to an encoder");

/// The state of a decoder after a text that every prompt begins with, such as a system prompt.
/// `kinglet prefix` writes it, and a session [reads it in place](Session::set_prefix).
///
/// A prefix belongs to one blob. The tokens after it have the bits that they would have if the
/// session had read the prefix's text.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'p> {
    bytes: &'p [u8],
    tokens: usize,
    model: u32,
    checksum: u32,
    has_state: bool,
}

impl<'p> Prefix<'p> {
    /// Checks a prefix for a model. `bytes` may be longer than the prefix, as a flash page is.
    ///
    /// # Errors
    /// [`RunError::BadPrefix`] when the bytes are not a prefix for this model, or are damaged.
    ///
    /// ```
    /// use kinglet::{Model, Prefix, RunError, Session};
    ///
    /// /// A session for 64 tokens after a prefix. The arena has `arena_bytes_after` bytes.
    /// fn begin<'s, 'm>(
    ///     model: &'s Model<'m>,
    ///     prefix: &'m [u8],
    ///     arena: &'s mut [u8],
    /// ) -> Result<Session<'s, 'm>, RunError> {
    ///     Session::after(model, Prefix::from_bytes(prefix, model)?, arena, 64)
    /// }
    /// # let _ = begin;
    /// ```
    pub fn from_bytes(bytes: &'p [u8], model: &Model<'_>) -> Result<Self, RunError> {
        let [_, _, of, len, tokens, has_state, _, hidden_size] = header(bytes).ok_or(NO_PREFIX)?;
        let spec = model.spec();
        let (Some(stack), None) = (&spec.decoder, &spec.encoder) else { return Err(TWO_STACKS) };
        if of != model.checksum() {
            return Err(BLOB);
        }
        let bytes = bytes.get(..len as usize).ok_or(CUT)?;
        if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(MISPLACED);
        }
        let tokens = tokens as usize;
        let fits = (1..=stack.max_positions as usize).contains(&tokens);
        let whole = fits && hidden_size == stack.hidden_size && Places::bytes(spec, tokens) == Some(bytes.len());
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(CUT)?;
        let sum = u32::from_le_bytes(*sum);
        if !whole || checksum(content) != sum {
            return Err(CHANGED);
        }
        Ok(Self { bytes, tokens, model: of, checksum: sum, has_state: has_state != 0 })
    }

    /// A constant prefix, for a module written by `kinglet prefix`, which has checked it.
    ///
    /// # Panics
    /// If the length or the checksum of `bytes` differs: the constant then does not compile.
    #[doc(hidden)]
    pub const fn from_export(bytes: &'p [u8], checksum: u32) -> Self {
        let Some([_, _, model, len, tokens, has_state, ..]) = header(bytes) else { panic!("this is not a prefix") };
        let Some((_, sum)) = bytes.split_last_chunk::<CHECKSUM>() else { panic!("the prefix is cut off") };
        assert!(len as usize == bytes.len() && u32::from_le_bytes(*sum) == checksum, "the prefix is another one");
        Self { bytes, tokens: tokens as usize, model, checksum, has_state: has_state != 0 }
    }

    /// The number of tokens of the prefix.
    pub const fn len(&self) -> usize {
        self.tokens
    }

    /// Whether the prefix has no tokens, which is never the case.
    pub const fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// The checksum at the end, which identifies the prefix.
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The tokens, in the order in which the model reads them.
    pub fn ids(&self) -> impl Iterator<Item = u32> + use<'p> {
        let [.., hidden_size] = header(self.bytes).unwrap_or_default();
        let start = (4 * (WORDS + hidden_size as usize)).next_multiple_of(ALIGNMENT);
        let ids = self.bytes.get(start..).unwrap_or(&[]);
        ids.as_chunks().0.iter().take(self.tokens).map(|word| u32::from_le_bytes(*word))
    }

    /// The hidden state of the last token, for the head.
    pub(super) fn state(&self, stack: &StackSpec) -> &'p [i32] {
        let state = self.bytes.get(4 * WORDS..).and_then(|rest| rest.get(..4 * stack.hidden_size as usize));
        state.and_then(|state| try_cast_slice(state).ok()).unwrap_or(&[])
    }

    /// The keys and values of a layer.
    pub(super) fn layer(&self, model: &Model<'_>, stack: &StackSpec, layer: usize) -> Prefixed<'p> {
        let keys = model.spec().numerics.keys;
        let place = Places::new(stack, keys, self.tokens).layer(layer);
        Prefixed::of_layer(self.bytes.get(place).unwrap_or(&[]), stack, layer, keys, self.tokens)
    }
}

impl<'s, 'm> Session<'s, 'm> {
    /// A session for up to `max_tokens` tokens after a prefix, in an arena of
    /// [`arena_bytes_after`](crate::arena_bytes_after)`(blob, prefix, max_tokens)` bytes.
    ///
    /// # Errors
    /// The errors of [`Session::new`] and [`Session::set_prefix`].
    pub fn after(
        model: &'s Model<'m>,
        prefix: Prefix<'m>,
        arena: &'s mut [u8],
        max_tokens: usize,
    ) -> Result<Self, RunError> {
        let plan = MemoryPlan::standard(model.spec(), max_tokens)?.with_prefix(prefix.len());
        let mut session = Self::with_plan(model, arena, plan)?;
        session.set_prefix(Some(prefix))?;
        Ok(session)
    }

    /// Sets or removes the prefix of all texts, and [resets](Self::reset) the session.
    ///
    /// The prefix's keys and values are read in place; the arena needs four bytes per token for
    /// scores. The session's [`position`](Self::position) includes the prefix's tokens, whose
    /// number is [`prefix_len`](Self::prefix_len); the texts of tasks do not. A
    /// [`rewind`](Self::rewind) to the end of the prefix is free; one into the prefix keeps its
    /// beginning. [`score`](crate::task::score) and the tasks of encoders read texts without the
    /// prefix.
    ///
    /// # Errors
    /// [`RunError::BadPrefix`] when the prefix is for another blob, or the decoder attends to an
    /// encoder; [`RunError::TooManyTokens`] when the session's plan has less room
    /// ([`MemoryPlan::with_prefix`]), or the model has fewer positions than prefix and session
    /// together.
    pub fn set_prefix(&mut self, prefix: Option<Prefix<'m>>) -> Result<(), RunError> {
        if let Some(prefix) = &prefix {
            let spec = self.model.spec();
            let (Some(stack), None) = (&spec.decoder, &spec.encoder) else { return Err(TWO_STACKS) };
            if prefix.model != self.model.checksum() {
                return Err(BLOB);
            }
            let left = (stack.max_positions as usize).saturating_sub(self.plan.tokens());
            let limit = self.plan.prefix().min(left);
            if prefix.len() > limit {
                return Err(RunError::TooManyTokens { limit, given: prefix.len() });
            }
        }
        self.prefix = prefix;
        self.reset();
        Ok(())
    }

    /// The number of the prefix's tokens before the text; 0 without a prefix.
    pub fn prefix_len(&self) -> usize {
        self.first
    }

    /// Forgets all tokens of the decoder, and the prefix until the next [`reset`](Self::reset).
    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.select(0, 0);
        self.last_tile = 0;
        self.reading.forget();
    }

    /// Forgets the decoder's tokens after the prefix.
    pub(super) fn return_to_prefix(&mut self) {
        self.clear();
        if let Some(prefix) = &self.prefix {
            self.first = prefix.len();
            self.position = prefix.len();
            self.reading = Reading::at_prefix(prefix.has_state);
        }
    }

    /// The checksum of the prefix; 0 without one.
    pub(super) fn prefix_checksum(&self) -> u32 {
        self.prefix.map_or(0, |prefix| prefix.checksum)
    }

    /// Reads tokens and returns them as a prefix, for sessions with this model. If layers have
    /// windows, the plan's tile must be at least as long as the text.
    ///
    /// # Errors
    /// The errors of [`prefill`](Self::prefill); [`RunError::BadPrefix`] when the decoder attends
    /// to an encoder; [`RunError::TooManyTokens`] when the cache of a layer with a window no longer
    /// holds the first tokens; [`RunError::ModelTooLarge`] when the prefix would have 4 GB or more.
    #[cfg(feature = "alloc")]
    pub fn make_prefix(&mut self, ids: &[u32]) -> Result<AlignedVec, RunError> {
        let spec = self.model.spec();
        let (Some(stack), None) = (&spec.decoder, &spec.encoder) else { return Err(TWO_STACKS) };
        let (keys, tokens) = (spec.numerics.keys, ids.len());
        self.clear();
        self.prefill(ids)?;
        let places = Places::new(stack, keys, tokens);
        let mut bytes = AlignedVec::zeroed(Places::bytes(spec, tokens).ok_or(RunError::ModelTooLarge)?);
        let hidden_size = stack.hidden_size as usize;
        let state = match self.reading.row() {
            Some(Row::At(row)) => self.workspace.hidden.get(row * hidden_size..).unwrap_or(&[]),
            Some(Row::Kept) => &*self.workspace.kept,
            _ => &[],
        };
        let state = state.get(..hidden_size).unwrap_or(&[]);
        let header = [
            MAGIC,
            VERSION,
            self.model.checksum(),
            bytes.len() as u32,
            tokens as u32,
            u32::from(!state.is_empty()),
            0,
            stack.hidden_size,
        ];
        let mut write = |at: usize, words: &mut dyn Iterator<Item = u32>| {
            let to = bytes.get_mut(at..).unwrap_or(&mut []);
            to.as_chunks_mut().0.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_le_bytes());
        };
        write(0, &mut header.into_iter());
        write(4 * WORDS, &mut state.iter().map(|&value| value as u32));
        write(places.ids.start, &mut ids.iter().copied());
        let mut own = &mut *self.workspace.cache;
        for layer in 0..stack.num_hidden_layers as usize {
            let ring = decoder_slots(stack, layer, &self.plan);
            if ring < tokens && stack.short_convolution(layer).is_none() {
                return Err(RunError::TooManyTokens { limit: ring, given: tokens });
            }
            let (region, rest) = core::mem::take(&mut own)
                .split_at_mut_checked(decoder_layer_bytes(stack, layer, keys, ring))
                .ok_or(RunError::WrongPlan)?;
            own = rest;
            let from = KeyValueCache::of_layer(region, stack, layer, keys, ring)?;
            let region = bytes.get_mut(places.layer(layer)).ok_or(RunError::WrongPlan)?;
            let slots = slots(stack, layer, tokens);
            let mut to = KeyValueCache::of_layer(region, stack, layer, keys, slots)?;
            to.first = tokens.saturating_sub(slots);
            to.copy_from(&from, to.first..tokens);
        }
        let content = bytes.len() - CHECKSUM;
        let sum = checksum(&bytes[..content]).to_le_bytes();
        bytes[content..].copy_from_slice(&sum);
        Ok(bytes)
    }
}
