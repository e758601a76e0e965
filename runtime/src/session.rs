//! A session: one model, one arena, one text at a time.
//!
//! Tokens go through the layers in tiles. A decoder keeps the keys and values of every token it has
//! seen; an encoder keeps one layer's at a time, and no matrix is ever `tokens x tokens`. How
//! tokens are cut into tiles does not change a bit of any result.

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

use head::HeadWork;
use reading::Reading;

use crate::error::RunError;
use crate::format::layout::Stack;
use crate::format::memory::MemoryPlan;
use crate::kernels::Kernels;
use crate::model::{Model, StackView};
use crate::step;
use crate::threads::Threads;
use crate::workspace::Workspace;

/// What sees each layer's result: the layer, counted from the embedding as 0, and rows of hidden
/// states.
pub(crate) type Trace<'t> = &'t mut dyn FnMut(usize, &[i32]);

/// A text on its way through a stack: see [`Session::advance`]. It borrows nothing, so that a
/// session, the tokens of a text and its pass can be fields of one structure.
#[derive(Clone, Debug)]
pub struct Pass {
    stack: Stack,
    /// Tokens of the text.
    tokens: usize,
    /// Which of the session's passes this is.
    number: u32,
    /// What the encoder does next.
    stage: Stage,
    /// Tokens that have this stage behind them; a decoder's are through.
    read: usize,
    /// Layers that the tokens on their way have behind them.
    layer: usize,
    /// Parts of the stage, or of the layer, that the tile on its way has behind it.
    parts: u32,
}

/// Stages of a text on its way through an encoder, a tile of tokens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// First hidden states.
    Embed,
    /// Keys and values of a layer.
    Store,
    /// The layer.
    Forward,
    /// The first layer's convolution.
    Convolve,
    /// The norm after the last layer.
    FinalNorm,
    /// Keys and values of a layer of the decoder's cross-attention.
    StoreCross,
    /// Nothing: the text is through.
    Done,
}

/// A model at work in an arena.
///
/// ```
/// use kinglet::{Aligned, Error, MemoryPlan, Model, Session};
///
/// /// Logits of the token after `ids`, in fixed point.
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
    /// What stands before every text.
    prefix: Option<Prefix<'m>>,
    /// Tokens of the prefix that stand before the text at hand.
    first: usize,
    /// Tokens the decoder has seen, those of the prefix included.
    position: usize,
    /// Which of several texts the decoder is at.
    beam: usize,
    /// Tokens of the decoder's last tile.
    last_tile: usize,
    /// Which of the decoder's states the head reads.
    reading: Reading,
    /// What the head has done that is still in the arena.
    head: Option<HeadWork>,
    /// Multiply-accumulates of a step.
    step: usize,
    /// Tokens the encoder was given.
    source: usize,
    /// How often it began to read, or went elsewhere.
    passes: u32,
    threads: Threads,
    /// Called between two steps of a text that is read in one call.
    pause: Option<Pause<'s>>,
}

/// What firmware does while a model works: see [`Session::set_pause`].
pub(crate) type Pause<'p> = &'p mut (dyn FnMut() + Send);

impl<'s, 'm> Session<'s, 'm> {
    /// A session for up to `max_tokens` tokens (of input, and of output), in an arena of at least
    /// [`arena_bytes`](crate::arena_bytes)`(blob, max_tokens)` bytes at a 16-byte boundary.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] with both sizes, [`RunError::ArenaMisaligned`], and
    /// [`RunError::TooManyTokens`] when the model has fewer positions.
    pub fn new(model: &'s Model<'m>, arena: &'s mut [u8], max_tokens: usize) -> Result<Self, RunError> {
        Self::with_plan(model, arena, MemoryPlan::standard(model.spec(), max_tokens)?)
    }

    /// A session with lengths and a tile of the caller's choice.
    ///
    /// # Errors
    /// As [`Session::new`].
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

    /// Uses another kernel set, to compare: `scalar`, or one that this machine has. The bits of the
    /// results do not change.
    ///
    /// # Errors
    /// [`RunError::NoSuchKernels`] when the machine has no such set.
    pub fn set_kernels(&mut self, name: &str) -> Result<(), RunError> {
        let found = Kernels::available().find(|set| set.name == name);
        self.kernels = found.ok_or(RunError::NoSuchKernels)?;
        Ok(())
    }

    /// Works with `threads` threads: of a text or a prompt each takes some tokens, and of one
    /// token's large matrices some rows. The results have equal bits. Threads other than the
    /// caller's have memory of their own on the heap, and wait for each other awake for up to a
    /// tenth of a millisecond: they pay from models on that are some hundreds of columns wide.
    ///
    /// # Errors
    /// [`RunError::WrongPlan`] when the session's plan was made for another model.
    #[cfg(feature = "std")]
    pub fn set_threads(&mut self, count: usize) -> Result<(), RunError> {
        self.threads = Threads::new(count, (self.model.spec(), &self.plan))?;
        // Threads do not take up what one thread began.
        self.passes = self.passes.wrapping_add(1);
        Ok(())
    }

    /// Has other cores take some rows of each large matrix while one token is read, as a decoder's
    /// are that writes, and an encoder's with a tile of one token. The results have equal bits.
    /// Prompts and encoders that take several tokens at a time use the caller's core alone.
    ///
    /// With the feature `std` there is `set_threads` in place of this.
    #[cfg(all(feature = "cores", not(feature = "std")))]
    pub fn set_cores(&mut self, cores: &'static dyn crate::Cores) {
        self.threads = Threads::of(cores);
    }

    /// Tokens the decoder has seen, those of a [prefix](Self::set_prefix) included.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Tokens that still fit.
    pub fn remaining(&self) -> usize {
        (self.plan.tokens() + self.first).saturating_sub(self.position)
    }

    /// Tokens the encoder was given.
    pub fn source_len(&self) -> usize {
        self.source
    }

    /// Forgets what the decoder has seen, but for its [prefix](Self::set_prefix). An encoder's
    /// output stays.
    pub fn reset(&mut self) {
        self.return_to_prefix();
    }

    /// Forgets what the decoder has seen from `position` on. With a sliding window the forgotten
    /// tokens may have displaced older ones, so it goes back to the end of the prefix, or farther,
    /// or not at all. There are no logits until a token is read, unless it goes back to the end of
    /// the prefix.
    ///
    /// # Errors
    /// [`RunError::TooManyTokens`] when it has seen fewer; [`RunError::CannotRewind`] with a
    /// sliding window.
    pub fn rewind(&mut self, position: usize) -> Result<(), RunError> {
        let windowed = self.model.spec().decoder.is_some_and(|stack| stack.block.attention.sliding_layers != 0);
        if position > self.position {
            return Err(RunError::TooManyTokens { limit: self.position, given: position });
        }
        if windowed && position > self.first && position != self.position {
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

    /// Runs the encoder over a whole text. `token_types` are the segments of the tokens; those
    /// missing are 0.
    ///
    /// # Errors
    /// Tokens or types that the model does not have, too many of them, or none;
    /// [`RunError::TokenMissing`] when the text lacks the token that says where the head reads the
    /// decoder; [`RunError::NoEncoder`].
    pub fn encode(&mut self, ids: &[u32], token_types: &[u8]) -> Result<(), RunError> {
        self.encode_traced(ids, token_types, &mut |_, _| {})
    }

    pub(crate) fn encode_traced(&mut self, ids: &[u32], token_types: &[u8], trace: Trace<'_>) -> Result<(), RunError> {
        let mut pass = self.begin_encode(ids, token_types)?;
        // The other stack is not asked for, so firmware that only encodes is linked without it.
        let stack = stack_of(self.model, Stack::Encoder)?;
        while self.advance_encoder(&stack, &mut pass, (ids, token_types), !self.pauses(), trace)? {
            self.pause();
        }
        Ok(())
    }

    /// Begins to run the encoder over a whole text, which [`advance`](Self::advance) then does step
    /// by step.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn begin_encode(&mut self, ids: &[u32], token_types: &[u8]) -> Result<Pass, RunError> {
        let stack = stack_of(self.model, Stack::Encoder)?;
        check_tokens(&stack, ids, token_types, self.plan.source())?;
        let reading = Reading::of_source(self.model.spec().head.pooling, ids)?;
        self.reset();
        (self.source, self.reading) = (0, reading);
        Ok(self.begin(Stack::Encoder, ids.len()))
    }

    /// The decoder begins to read tokens, which [`advance`](Self::advance) then does step by step.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
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

    /// Takes one tile of a text one step further, and says whether there is more to do: through a
    /// layer, or a part of one where a layer takes longer than [a step](Self::set_step). `ids` and
    /// `token_types` are the ones given to the call that began the pass.
    ///
    /// Between two calls firmware can feed its watchdog, or yield to its executor. The bits are
    /// those of [`encode`](Self::encode) and [`prefill`](Self::prefill), which do no more than call
    /// this until it is done. With several threads a step takes all parts of a layer, and an
    /// encoder's more tokens.
    ///
    /// On a Cortex-M4 no step of the models that ship takes more than 131,000 instructions,
    /// whatever the [plan's tile](crate::MemoryPlan::new) is.
    ///
    /// # Errors
    /// [`RunError::StalePass`] when the session was used for something else in between, lent its
    /// memory, or got other threads or steps, or the text has another length now. Other tokens of that length give the result of a mixture of both
    /// texts.
    ///
    /// ```
    /// use kinglet::{RunError, Session};
    ///
    /// fn read(session: &mut Session, ids: &[u32], feed_watchdog: impl Fn()) -> Result<(), RunError> {
    ///     let mut pass = session.begin_prefill(ids)?;
    ///     while session.advance(&mut pass, ids, &[])? {
    ///         feed_watchdog();
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = |session: &mut Session| read(session, &[], || ());
    /// ```
    pub fn advance(&mut self, pass: &mut Pass, ids: &[u32], token_types: &[u8]) -> Result<bool, RunError> {
        self.advance_by(pass, ids, token_types, false)
    }

    /// As [`advance`](Self::advance), or through all parts of a layer that a tile has left.
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

    /// The decoder reads tokens, a tile at a time. [`logits`](Self::logits) are then those after
    /// the last one.
    ///
    /// # Errors
    /// Tokens that the model does not have, too many of them, or none; [`RunError::NoDecoder`];
    /// [`RunError::EncoderNotRun`] when its encoder has read nothing yet.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<(), RunError> {
        self.read(ids, &mut |_, _| {}, None)
    }

    /// As [`prefill`](Self::prefill), and hands the head's result after each token to `each`, with
    /// its position. Where the head reads the decoder at one place only, there is none before it.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn prefill_each(&mut self, ids: &[u32], mut each: impl FnMut(usize, &[i32])) -> Result<(), RunError> {
        self.read(ids, &mut |_, _| {}, Some(&mut each))
    }

    /// Tokens that the decoder can hold.
    pub(crate) fn limit(&self) -> usize {
        self.plan.tokens()
    }

    /// Texts that the decoder can hold at a time.
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

    /// Reads a whole text with the stack that the head reads, from scratch. Where there are two,
    /// both read it, the decoder one token later.
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

/// The stack, or that the model has none such.
fn stack_of<'s, 'm>(model: &'s Model<'m>, id: Stack) -> Result<StackView<'s, 'm>, RunError> {
    model.stack(id).ok_or(match id {
        Stack::Encoder => RunError::NoEncoder,
        Stack::Decoder => RunError::NoDecoder,
    })
}

/// Refuses tokens that the stack cannot read.
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
    // A model without segments has the one type 0.
    let token_types_known = u32::from(embedding.token_types).max(1);
    match token_types.iter().find(|&&token_type| u32::from(token_type) >= token_types_known) {
        Some(&token_type) => {
            Err(RunError::TokenTypeOutOfRange { token_type: token_type.into(), token_types: token_types_known })
        }
        None => Ok(()),
    }
}
