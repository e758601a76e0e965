//! Runs a model on one text at a time, in an arena.
//!
//! Tokens go through the layers in tiles. A decoder caches the keys and values of every token it
//! has read; an encoder caches those of one layer at a time. No buffer is `tokens x tokens`. The
//! size of tiles does not change a bit of any result.

mod beams;
mod embedding;
mod head;
mod positions;
mod prefix;
mod reading;
mod scratch;
mod snapshot;
mod stack;
mod steps;
mod suspended;

pub use prefix::Prefix;
pub use reading::shifted_start;
pub use suspended::Suspended;

use reading::{HeadWork, Reading};

use crate::error::RunError;
use crate::format::layout::Stack;
use crate::format::memory::MemoryPlan;
use crate::kernels::Kernels;
use crate::model::{Model, StackView};
use crate::step;
use crate::threads::Threads;
use crate::workspace::Workspace;

/// Receives each layer's result: the layer, where 0 is the embedding, and rows of hidden states.
pub(crate) type Trace<'t> = &'t mut dyn FnMut(usize, &[i32]);

/// The progress of a text through a stack: see [`Session::advance`]. It borrows nothing, so that a
/// session, the tokens of a text and its pass can be fields of one structure.
#[derive(Clone, Debug)]
pub struct Pass {
    stack: Stack,
    /// The number of tokens of the text.
    tokens: usize,
    /// The number of this pass in its session, which detects stale passes.
    number: u32,
    /// The encoder's current stage.
    stage: Stage,
    /// Tokens that have completed the current stage, or, in a decoder, all layers.
    read: usize,
    /// Layers that the current tokens have completed.
    layer: usize,
    /// Parts of the stage, or of the layer, that the current tile has completed.
    parts: u32,
}

/// The stages of a text in an encoder, each of which processes a tile of tokens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Computes the first hidden states.
    Embed,
    /// Stores the keys and values of a layer.
    Store,
    /// Computes a layer.
    Forward,
    /// Computes the first layer's convolution.
    Convolve,
    /// Computes the norm after the last layer.
    FinalNorm,
    /// Stores the keys and values of a layer of the decoder's cross-attention.
    StoreCross,
    /// All stages are complete.
    Done,
}

/// A model running in an arena.
///
/// ```
/// use kinglet::{Aligned, Error, MemoryPlan, Model, Session};
///
/// /// The number of logits of the token after `ids`.
/// fn next(blob: &[u8], ids: &[u32], arena: &mut [u8]) -> Result<usize, Error> {
///     let model = Model::from_bytes(blob)?;
///     let mut session = Session::new(&model, arena, 128)?;
///     session.prefill(ids)?;
///     Ok(session.logits()?.len())
/// }
/// # assert!(next(&[], &[], &mut []).is_err());
/// ```
pub struct Session<'s, 'm> {
    model: &'s Model<'m>,
    kernels: &'static Kernels,
    plan: MemoryPlan,
    workspace: Workspace<'s>,
    /// The prefix of every text.
    prefix: Option<Prefix<'m>>,
    /// The number of the prefix's tokens before the current text.
    first: usize,
    /// The number of tokens that the decoder has read, including the prefix.
    position: usize,
    /// The current beam of the decoder.
    beam: usize,
    /// The number of tokens of the decoder's last tile.
    last_tile: usize,
    /// The decoder's state that the head reads.
    reading: Reading,
    /// The head's progress, as long as the arena holds its intermediate or final result.
    head: Option<HeadWork>,
    /// The length of a step in multiply-accumulates.
    step: usize,
    /// The number of tokens that the encoder has read.
    source: usize,
    /// The number of events that make passes stale.
    passes: u32,
    threads: Threads,
    /// The function called between two steps of a text that is read in one call.
    pause: Option<Pause<'s>>,
}

/// The function of [`Session::set_pause`].
pub(crate) type Pause<'p> = &'p mut (dyn FnMut() + Send);

impl<'s, 'm> Session<'s, 'm> {
    /// A session for up to `max_tokens` tokens of input, and of output, in an arena of at least
    /// [`arena_bytes`](crate::arena_bytes)`(blob, max_tokens)` bytes at a 16-byte boundary.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] with both sizes; [`RunError::ArenaMisaligned`];
    /// [`RunError::TooManyTokens`] when the model has fewer positions.
    pub fn new(model: &'s Model<'m>, arena: &'s mut [u8], max_tokens: usize) -> Result<Self, RunError> {
        Self::with_plan(model, arena, MemoryPlan::standard(model.spec(), max_tokens)?)
    }

    /// A session with the lengths and the tile of `plan`.
    ///
    /// # Errors
    /// The errors of [`Session::new`].
    pub fn with_plan(model: &'s Model<'m>, arena: &'s mut [u8], plan: MemoryPlan) -> Result<Self, RunError> {
        let workspace = Workspace::new(model.spec(), &plan, arena)?;
        Ok(Self {
            model,
            kernels: Kernels::best(),
            plan,
            workspace,
            prefix: None,
            first: 0,
            position: 0,
            beam: 0,
            last_tile: 0,
            reading: Reading::default(),
            head: None,
            step: step::ROOM,
            source: 0,
            passes: 0,
            threads: Threads::default(),
            pause: None,
        })
    }

    /// The model.
    pub fn model(&self) -> &'s Model<'m> {
        self.model
    }

    /// The name of the kernel set in use.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name
    }

    /// Uses another kernel set, for comparisons: `scalar`, or one that this machine supports. The
    /// results are equal bit for bit.
    ///
    /// # Errors
    /// [`RunError::NoSuchKernels`] when the machine does not support the set.
    pub fn set_kernels(&mut self, name: &str) -> Result<(), RunError> {
        let found = Kernels::available().find(|set| set.name == name);
        self.kernels = found.ok_or(RunError::NoSuchKernels)?;
        Ok(())
    }

    /// Uses `count` threads, which share the tokens of a text, or the rows of a large matrix for a
    /// single token. The results are equal bit for bit. Each thread other than the caller's has
    /// scratch memory on the heap, and spins for up to 0.1 ms while it waits: threads pay off for
    /// models some hundreds of columns wide or wider.
    ///
    /// # Errors
    /// [`RunError::WrongPlan`] when the session's plan was made for another model.
    #[cfg(feature = "std")]
    pub fn set_threads(&mut self, count: usize) -> Result<(), RunError> {
        self.threads = Threads::new(count, (self.model.spec(), &self.plan))?;
        // Threads do not continue a pass that one thread began.
        self.passes = self.passes.wrapping_add(1);
        Ok(())
    }

    /// Shares the rows of each large matrix with other cores when tokens are read one at a time:
    /// during generation, and in an encoder with a tile of one token. The results are equal bit for
    /// bit. Tiles of several tokens use only the caller's core.
    ///
    /// With the feature `std`, use `set_threads` instead.
    #[cfg(all(feature = "cores", not(feature = "std")))]
    pub fn set_cores(&mut self, cores: &'static dyn crate::Cores) {
        self.threads = Threads::of(cores);
    }

    /// The number of tokens that the decoder has read, including a [prefix](Self::set_prefix).
    pub fn position(&self) -> usize {
        self.position
    }

    /// The number of tokens that the decoder can still read.
    pub fn remaining(&self) -> usize {
        (self.plan.tokens() + self.first).saturating_sub(self.position)
    }

    /// The number of tokens that the encoder has read.
    pub fn source_len(&self) -> usize {
        self.source
    }

    /// Forgets the decoder's tokens after its [prefix](Self::set_prefix). Keeps the encoder's
    /// output.
    pub fn reset(&mut self) {
        self.return_to_prefix();
    }

    /// Forgets the decoder's tokens from `position` on. A decoder with a sliding window can rewind
    /// only to the end of the prefix or before it, because later tokens may have overwritten
    /// earlier ones in its cache; one with short convolutions only to the end of the prefix or to
    /// the beginning. Except at the end of the prefix, there are no logits until a token is read.
    ///
    /// # Errors
    /// [`RunError::TooManyTokens`] when the decoder has read fewer tokens;
    /// [`RunError::CannotRewind`] with a sliding window or short convolutions.
    pub fn rewind(&mut self, position: usize) -> Result<(), RunError> {
        let decoder = self.model.spec().decoder.as_ref();
        let windowed = decoder.is_some_and(|stack| stack.block.attention.sliding_layers != 0);
        let convolves = decoder.is_some_and(|stack| stack.convolution.short().is_some());
        if position > self.position {
            return Err(RunError::TooManyTokens { limit: self.position, given: position });
        }
        if windowed && position > self.first && position != self.position {
            return Err(RunError::CannotRewind);
        }
        if convolves && ![0, self.first, self.position].contains(&position) {
            return Err(RunError::CannotRewind);
        }
        let has_prefix = self.prefix.as_ref().is_some_and(|prefix| prefix.len() == position);
        if has_prefix && self.first == position {
            self.reset();
            return Ok(());
        }
        if position < self.position {
            self.reading.forget();
        }
        self.first = self.first.min(position);
        self.select(self.beam, position);
        self.last_tile = 0;
        Ok(())
    }

    /// Runs the encoder on a whole text. `token_types` has the token types (segments); missing ones
    /// are 0.
    ///
    /// # Errors
    /// [`RunError::TokenOutOfRange`], [`RunError::TokenTypeOutOfRange`],
    /// [`RunError::TooManyTokens`], [`RunError::NoTokens`], [`RunError::NoEncoder`], and
    /// [`RunError::TokenMissing`] when the text lacks the token at whose position the head reads
    /// the decoder.
    pub fn encode(&mut self, ids: &[u32], token_types: &[u8]) -> Result<(), RunError> {
        self.encode_traced(ids, token_types, &mut |_, _| {})
    }

    pub(crate) fn encode_traced(&mut self, ids: &[u32], token_types: &[u8], trace: Trace<'_>) -> Result<(), RunError> {
        let mut pass = self.begin_encode(ids, token_types)?;
        // Do not mention the decoder, so that firmware that only encodes does not link it.
        let stack = stack_of(self.model, Stack::Encoder)?;
        while self.advance_encoder(&stack, &mut pass, (ids, token_types), !self.pauses(), trace)? {
            self.pause();
        }
        Ok(())
    }

    /// Begins to run the encoder on a whole text. [`advance`](Self::advance) then takes the steps.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn begin_encode(&mut self, ids: &[u32], token_types: &[u8]) -> Result<Pass, RunError> {
        let stack = stack_of(self.model, Stack::Encoder)?;
        check_tokens(&stack, ids, token_types, self.plan.source())?;
        let reading = Reading::of_source(self.model.spec().head.pooling, ids)?;
        self.reset();
        (self.source, self.reading) = (0, reading);
        Ok(self.begin(Stack::Encoder, ids.len()))
    }

    /// Begins to read tokens with the decoder. [`advance`](Self::advance) then takes the steps.
    ///
    /// # Errors
    /// The errors of [`prefill`](Self::prefill).
    pub fn begin_prefill(&mut self, ids: &[u32]) -> Result<Pass, RunError> {
        let stack = stack_of(self.model, Stack::Decoder)?;
        check_tokens(&stack, ids, &[], self.remaining())?;
        if stack.spec.block.cross_attention && self.source == 0 {
            return Err(RunError::EncoderNotRun);
        }
        self.select(self.beam, self.position);
        Ok(self.begin(Stack::Decoder, ids.len()))
    }

    fn begin(&self, stack: Stack, tokens: usize) -> Pass {
        Pass { stack, tokens, number: self.passes, stage: Stage::Embed, read: 0, layer: 0, parts: 0 }
    }

    /// Takes one step of a pass: one tile of tokens through a layer, or through a part of a layer
    /// that takes longer than [a step](Self::set_step). Returns whether there is more to do. `ids`
    /// and `token_types` must be those of the call that began the pass.
    ///
    /// Between two calls, firmware can feed its watchdog or yield to its executor. The results are
    /// those of [`encode`](Self::encode) and [`prefill`](Self::prefill), which call this until it
    /// is done. With several threads, a step takes all parts of a layer, and an encoder's step
    /// takes more tokens.
    ///
    /// On a Cortex-M4, no step of the models that ship with Kinglet takes more than 131,000
    /// instructions, whatever the [plan's tile](crate::MemoryPlan::new) is.
    ///
    /// # Errors
    /// [`RunError::StalePass`] when the session has read something else since, lent its
    /// [scratch memory](Self::scratch), or has other threads or another length of steps, or when
    /// the text has another length. Other tokens of that length give a result of both texts mixed.
    ///
    /// ```
    /// use kinglet::{RunError, Session};
    ///
    /// fn read(session: &mut Session, ids: &[u32], feed: impl Fn()) -> Result<(), RunError> {
    ///     let mut pass = session.begin_prefill(ids)?;
    ///     while session.advance(&mut pass, ids, &[])? {
    ///         feed();
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = |session: &mut Session| read(session, &[], || ());
    /// ```
    pub fn advance(&mut self, pass: &mut Pass, ids: &[u32], token_types: &[u8]) -> Result<bool, RunError> {
        self.advance_by(pass, ids, token_types, false)
    }

    /// [`advance`](Self::advance), or, if `all`, all remaining parts of the layer.
    pub(crate) fn advance_by(
        &mut self,
        pass: &mut Pass,
        ids: &[u32],
        token_types: &[u8],
        all: bool,
    ) -> Result<bool, RunError> {
        let stack = stack_of(self.model, pass.stack)?;
        if pass.read >= pass.tokens {
            return Ok(false);
        }
        if pass.tokens != ids.len() || pass.number != self.passes {
            return Err(RunError::StalePass);
        }
        match pass.stack {
            Stack::Encoder => self.advance_encoder(&stack, pass, (ids, token_types), all, &mut |_, _| {}),
            Stack::Decoder => self.advance_decoder(&stack, pass, ids, all, &mut |_, _| {}),
        }
    }

    /// Reads tokens with the decoder, a tile at a time. [`logits`](Self::logits) are then those
    /// after the last token.
    ///
    /// # Errors
    /// [`RunError::TokenOutOfRange`], [`RunError::TooManyTokens`], [`RunError::NoTokens`],
    /// [`RunError::NoDecoder`], and [`RunError::EncoderNotRun`] when the decoder's encoder has not
    /// run.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<(), RunError> {
        self.read(ids, &mut |_, _| {}, None)
    }

    /// [`prefill`](Self::prefill) that calls `each` with the position and the head's result after
    /// each token. A head that reads the decoder at one position has no result before it.
    ///
    /// # Errors
    /// The errors of [`prefill`](Self::prefill).
    pub fn prefill_each(&mut self, ids: &[u32], mut each: impl FnMut(usize, &[i32])) -> Result<(), RunError> {
        self.read(ids, &mut |_, _| {}, Some(&mut each))
    }

    /// The most tokens that the decoder can read.
    pub(crate) fn limit(&self) -> usize {
        self.plan.tokens()
    }

    /// The number of beams that the decoder has caches for.
    pub fn beams(&self) -> usize {
        self.plan.beams()
    }

    pub(crate) fn read(&mut self, ids: &[u32], trace: Trace<'_>, mut each: Option<Trace<'_>>) -> Result<(), RunError> {
        let mut pass = self.begin_prefill(ids)?;
        let stack = stack_of(self.model, Stack::Decoder)?;
        loop {
            let more = self.advance_decoder(&stack, &mut pass, ids, !self.pauses(), trace)?;
            if let (Some(each), 1..) = (&mut each, self.last_tile) {
                let (read, start) = (pass.read - self.last_tile, self.position - self.last_tile);
                let ids = ids.get(read..pass.read).unwrap_or(&[]);
                for (row, read) in self.reading.rows(self.model.spec().head.pooling, start, ids).enumerate() {
                    if let Some(read) = read {
                        self.head(read)?;
                        each(start + row, self.results());
                    }
                }
            }
            if !more {
                return Ok(());
            }
            self.pause();
        }
    }

    /// Resets the session and reads a whole text: with the only stack, or with both, the text
    /// shifted by one token in the decoder.
    pub(crate) fn read_text(&mut self, ids: &[u32], token_types: &[u8]) -> Result<(), RunError> {
        let spec = self.model.spec();
        if spec.encoder.is_none() {
            self.clear();
            return self.prefill(ids);
        }
        self.encode(ids, token_types)?;
        if spec.decoder.is_none() {
            return Ok(());
        }
        self.prefill(&[shifted_start(&self.model.manifest().tokens, ids).ok_or(RunError::NoTokens)?])?;
        match ids.split_last() {
            Some((_, rest)) if !rest.is_empty() => self.prefill(rest),
            _ => Ok(()),
        }
    }

    /// The encoder's hidden states, `[tokens, hidden_size]`, in fixed point.
    pub fn encoder_states(&self) -> &[i32] {
        let width = self.model.spec().encoder.map_or(0, |stack| stack.hidden_size as usize);
        self.workspace.states.get(..self.source * width).unwrap_or(&[])
    }
}

/// The stack, or the error that the model lacks it.
fn stack_of<'s, 'm>(model: &'s Model<'m>, id: Stack) -> Result<StackView<'s, 'm>, RunError> {
    model.stack(id).ok_or(match id {
        Stack::Encoder => RunError::NoEncoder,
        Stack::Decoder => RunError::NoDecoder,
    })
}

/// Checks that the stack can read the tokens.
fn check_tokens(stack: &StackView<'_, '_>, ids: &[u32], token_types: &[u8], limit: usize) -> Result<(), RunError> {
    let embedding = &stack.spec.embedding;
    if ids.is_empty() {
        return Err(RunError::NoTokens);
    }
    if ids.len() > limit {
        return Err(RunError::TooManyTokens { limit, given: ids.len() });
    }
    let vocab_size = embedding.vocab_size;
    if let Some(&token) = ids.iter().find(|&&id| id >= vocab_size) {
        return Err(RunError::TokenOutOfRange { token, vocab_size });
    }
    // A model without token types has one type, 0.
    let token_types_known = u32::from(embedding.token_types).max(1);
    match token_types.iter().find(|&&token_type| u32::from(token_type) >= token_types_known) {
        Some(&token_type) => {
            Err(RunError::TokenTypeOutOfRange { token_type: token_type.into(), token_types: token_types_known })
        }
        None => Ok(()),
    }
}
