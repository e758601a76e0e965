//! A session: one model, one arena, one text at a time.
//!
//! Tokens go through the layers in tiles. A decoder keeps the keys and values of every token it has seen; an
//! encoder keeps one layer's at a time, and no matrix is ever `tokens x tokens`. How tokens are cut into tiles
//! does not change a bit of any result.

use crate::block::{Block, copy};
use crate::cache::KeyValueCache;
use crate::features;
use crate::fixed::mean;
use crate::format::error::Error;
use crate::format::layout::{HeadPart, Role, Stack, StackPart};
use crate::format::memory::{MAX_BEAMS, MemoryPlan, decoder_slots, layer_cache_bytes};
use crate::format::spec::{ConvolutionSpec, EmbeddingProjection, OutputProjection, Pooling, at_least_one};
use crate::kernels::Kernels;
use crate::model::{Model, StackView};
use crate::ops::activation::{activate, soft_cap};
use crate::ops::embedding::embed_row;
use crate::ops::linear::{QuantizedRows, linear, quantize_rows};
use crate::ops::norm::norm;
use crate::threads::{Others, Threads};
use crate::workspace::{Scratch, Workspace, counted};

mod positions;
mod reading;

use positions::{count, position_of};
pub use reading::shifted_start;
use reading::{Reading, Row};

/// What sees each layer's result: the layer, counted from the embedding as 0, and rows of hidden states.
pub(crate) type Trace<'t> = &'t mut dyn FnMut(usize, &[i32]);

/// A text on its way through a stack, a layer at a time: see [`Session::advance`].
#[derive(Clone, Debug)]
pub struct Pass<'t> {
    stack: Stack,
    ids: &'t [u32],
    token_types: &'t [u8],
    /// Which of the session's passes this is.
    number: u32,
    /// Tokens that are through.
    read: usize,
    /// Layers that the tokens on their way have behind them.
    layer: usize,
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
    /// Tokens the decoder has seen.
    position: usize,
    /// Which of several texts the decoder is at.
    beam: usize,
    /// Tokens of the decoder's last tile.
    last_tile: usize,
    /// Which of the decoder's states the head reads.
    reading: Reading,
    /// Tokens the encoder was given.
    source: usize,
    /// How often it began to read, or went elsewhere.
    passes: u32,
    threads: Threads,
}

impl<'s, 'm> Session<'s, 'm> {
    /// A session for up to `max_tokens` tokens (of input, and of output), in an arena of at least
    /// [`arena_bytes`](crate::arena_bytes)`(blob, max_tokens)` bytes at a 16-byte boundary.
    ///
    /// # Errors
    /// [`Error::ArenaTooSmall`] with both sizes, [`Error::ArenaMisaligned`], and [`Error::TooManyTokens`] when the
    /// model has fewer positions.
    pub fn new(model: &'s Model<'m>, arena: &'s mut [u8], max_tokens: usize) -> Result<Self, Error> {
        Self::with_plan(model, arena, MemoryPlan::standard(model.spec(), max_tokens)?)
    }

    /// A session with lengths and a tile of the caller's choice.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_plan(model: &'s Model<'m>, arena: &'s mut [u8], plan: MemoryPlan) -> Result<Self, Error> {
        let workspace = Workspace::new(model.spec(), &plan, arena)?;
        Ok(Self {
            model,
            kernels: Kernels::best(),
            plan,
            workspace,
            position: 0,
            beam: 0,
            last_tile: 0,
            reading: Reading::default(),
            source: 0,
            passes: 0,
            threads: Threads::default(),
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

    /// Uses another kernel set, to compare: `scalar`, or one that this machine has. The results are the same bits.
    ///
    /// # Errors
    /// [`Error::NotSupported`] when the machine has no such set.
    pub fn set_kernels(&mut self, name: &str) -> Result<(), Error> {
        let found = Kernels::available().find(|set| set.name == name);
        self.kernels = found.ok_or(Error::NotSupported("this machine has no such kernels"))?;
        Ok(())
    }

    /// Works with so many threads: of a text or a prompt each takes some tokens, and of one token's large matrices some rows. The results
    /// are the same bits. Threads other than the caller's have memory of their own on the heap, and wait for each other awake for up to a
    /// tenth of a millisecond: they pay from models on that are some hundreds of columns wide.
    ///
    /// # Errors
    /// [`Error::BadLayout`] when the plan and the model do not fit each other, which [`Session::new`] has ruled out.
    #[cfg(feature = "std")]
    pub fn set_threads(&mut self, count: usize) -> Result<(), Error> {
        self.threads = Threads::new(count, (self.model.spec(), &self.plan))?;
        Ok(())
    }

    /// Tokens the decoder has seen.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Tokens that still fit.
    pub fn remaining(&self) -> usize {
        self.plan.tokens().saturating_sub(self.position)
    }

    /// Tokens the encoder was given.
    pub fn source_len(&self) -> usize {
        self.source
    }

    /// Forgets what the decoder has seen. An encoder's output stays.
    pub fn reset(&mut self) {
        self.select(0, 0);
        self.last_tile = 0;
        self.reading.forget();
    }

    /// Forgets what the decoder has seen from `position` on. With a sliding window the forgotten tokens may
    /// have displaced older ones, so only a reset is possible then. There are no logits until a token is read.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] when it has not seen so many; [`Error::NotSupported`] with a sliding window.
    pub fn rewind(&mut self, position: usize) -> Result<(), Error> {
        let windowed = self.model.spec().decoder.is_some_and(|stack| stack.block.attention.sliding_layers != 0);
        if position > self.position {
            return Err(Error::TooManyTokens { limit: self.position, given: position });
        }
        if windowed && position != 0 && position != self.position {
            return Err(Error::NotSupported("rewinding a sliding window"));
        }
        if position < self.position {
            self.reading.forget();
        }
        self.select(self.beam, position);
        self.last_tile = 0;
        Ok(())
    }

    /// Runs the encoder over a whole text. `token_types` are the segments of the tokens; those missing are 0.
    ///
    /// # Errors
    /// Tokens or types that the model does not have, too many of them, or none; [`Error::TokenMissing`] when the text lacks the token
    /// that says where the head reads the decoder; [`Error::NotSupported`] without an encoder.
    pub fn encode(&mut self, ids: &[u32], token_types: &[u8]) -> Result<(), Error> {
        self.encode_traced(ids, token_types, &mut |_, _| {})
    }

    pub(crate) fn encode_traced(&mut self, ids: &[u32], token_types: &[u8], trace: Trace<'_>) -> Result<(), Error> {
        let mut pass = self.begin_encode(ids, token_types)?;
        while self.advance_traced(&mut pass, trace)? {}
        Ok(())
    }

    /// Begins to run the encoder over a whole text, which [`advance`](Self::advance) then does a layer at a time.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn begin_encode<'t>(&mut self, ids: &'t [u32], token_types: &'t [u8]) -> Result<Pass<'t>, Error> {
        let stack = self.model.stack(Stack::Encoder).ok_or(Error::NotSupported("it has no encoder"))?;
        check_tokens(&stack, ids, token_types, self.plan.source())?;
        let reading = Reading::of_source(self.model.spec().head.pooling, ids)?;
        self.reset();
        (self.source, self.reading) = (0, reading);
        Ok(Pass { stack: Stack::Encoder, ids, token_types, number: self.passes, read: 0, layer: 0 })
    }

    /// The decoder begins to read tokens, which [`advance`](Self::advance) then does a layer at a time.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn begin_prefill<'t>(&mut self, ids: &'t [u32]) -> Result<Pass<'t>, Error> {
        let stack = self.model.stack(Stack::Decoder).ok_or(Error::NotSupported("it has no decoder"))?;
        check_tokens(&stack, ids, &[], self.remaining())?;
        if stack.spec.block.cross_attention && self.source == 0 {
            return Err(Error::NotSupported("its decoder needs the encoder's output first"));
        }
        self.select(self.beam, self.position);
        Ok(Pass { stack: Stack::Decoder, ids, token_types: &[], number: self.passes, read: 0, layer: 0 })
    }

    /// Takes a text one layer further, a decoder's one tile of it, and says whether there is more to do.
    ///
    /// Between two calls firmware can feed its watchdog, or yield to its executor. The bits are those of
    /// [`encode`](Self::encode) and [`prefill`](Self::prefill), which do no more than call this until it is done.
    ///
    /// # Errors
    /// [`Error::NotSupported`] when the session was used for something else in between.
    ///
    /// ```
    /// use kinglet::{Error, Session};
    ///
    /// fn read(session: &mut Session, ids: &[u32], feed_watchdog: impl Fn()) -> Result<(), Error> {
    ///     let mut pass = session.begin_prefill(ids)?;
    ///     while session.advance(&mut pass)? {
    ///         feed_watchdog();
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = |session: &mut Session| read(session, &[], || ());
    /// ```
    pub fn advance(&mut self, pass: &mut Pass<'_>) -> Result<bool, Error> {
        self.advance_traced(pass, &mut |_, _| {})
    }

    fn advance_traced(&mut self, pass: &mut Pass<'_>, trace: Trace<'_>) -> Result<bool, Error> {
        let stack = self.model.stack(pass.stack).ok_or(Error::NotSupported("it has no such stack"))?;
        if pass.read >= pass.ids.len() {
            return Ok(false);
        }
        if pass.number != self.passes {
            return Err(Error::NotSupported("going on with a text after the session has read another"));
        }
        // What the head could read is under way.
        self.last_tile = 0;
        match pass.stack {
            Stack::Encoder => self.advance_encoder(&stack, pass, trace),
            Stack::Decoder => self.advance_decoder(&stack, pass, trace),
        }
    }

    /// All tokens through one layer of the encoder.
    fn advance_encoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass<'_>,
        trace: Trace<'_>,
    ) -> Result<bool, Error> {
        let (ids, layer) = (pass.ids, pass.layer);
        let text = (ids, pass.token_types);
        let hidden_size = stack.hidden_size();
        let (tile, threads) = (self.plan.tile(), &mut self.threads);
        let plan = (self.model.spec(), &self.plan);
        let Workspace { states, encoder_cache, scratch, .. } = &mut self.workspace;
        let states = states.get_mut(..ids.len() * hidden_size).ok_or(Error::NoTokens)?;
        if layer == 0 {
            for (at, row) in states.chunks_exact_mut(hidden_size).enumerate() {
                embed(stack, self.kernels, text, at, 0, row, scratch);
            }
            trace(0, states);
        }
        let block = Block::new(*stack, layer, self.kernels, threads.beside(ids.len()));
        let keys = self.model.spec().numerics.keys;
        let slots = encoder_cache.len() / layer_cache_bytes(stack.spec, keys, 1).max(1);
        let mut cache = KeyValueCache::new(encoder_cache, stack.spec, keys, slots)?;
        // A tile for each thread at a time.
        let together = tile * threads.count();
        for (index, x) in states.chunks_mut((together * hidden_size).max(1)).enumerate() {
            let cache = (stack.spec, &mut cache, index * together);
            threads.fill(plan, x, hidden_size, cache, scratch, |start, x, cache, scratch| {
                block.prepare(x, scratch);
                block.store(x, start, cache, scratch);
            });
        }
        threads.run(plan, states, hidden_size, scratch, |first, states, scratch| {
            for (index, x) in states.chunks_mut((tile * hidden_size).max(1)).enumerate() {
                block.prepare(x, scratch);
                block.forward(x, first + index * tile, ids.len(), &cache, None, scratch);
            }
        });
        let convolution = stack.spec.convolution.as_ref().filter(|_| features::CONVOLUTIONS && layer == 0);
        if let Some(convolution) = convolution {
            for (at, row) in states.chunks_exact_mut(hidden_size).enumerate() {
                convolve(stack, convolution, self.kernels, text, at, row, scratch);
            }
        }
        trace(layer + 1, states);
        pass.layer += 1;
        if pass.layer < stack.spec.num_hidden_layers as usize {
            return Ok(true);
        }
        if let Some(spec) = &stack.spec.final_norm {
            let numbers = stack.norm(StackPart::FinalNorm);
            for row in states.chunks_exact_mut(hidden_size) {
                norm(self.kernels, spec, &numbers, self.model.spec().numerics.fraction_bits, row);
            }
        }
        pass.read = ids.len();
        self.source = ids.len();
        self.store_cross()?;
        Ok(false)
    }

    /// Keys and values of the encoder's output go to the decoder's cross-attention, once.
    fn store_cross(&mut self) -> Result<(), Error> {
        let Some(stack) = self.model.stack(Stack::Decoder).filter(|_| features::CROSS_ATTENTION) else { return Ok(()) };
        let workspace = &mut self.workspace;
        let hidden_size = stack.hidden_size();
        let states = workspace.states.get(..self.source * hidden_size).unwrap_or(&[]);
        let layers = stack.spec.num_hidden_layers as usize;
        let region = workspace.cross_cache.len() / layers.max(1);
        let keys = self.model.spec().numerics.keys;
        let slots = region / layer_cache_bytes(stack.spec, keys, 1).max(1);
        for (layer, region) in workspace.cross_cache.chunks_exact_mut(region.max(1)).enumerate() {
            let mut cache = KeyValueCache::new(region, stack.spec, keys, slots)?;
            for (index, x) in states.chunks((self.plan.tile() * hidden_size).max(1)).enumerate() {
                let block = Block::new(stack, layer, self.kernels, Others::default());
                block.store_cross(x, index * self.plan.tile(), &mut cache, &mut workspace.scratch);
            }
        }
        Ok(())
    }

    /// The decoder reads tokens, a tile at a time. [`logits`](Self::logits) are then those after the last one.
    ///
    /// # Errors
    /// Tokens that the model does not have, too many of them, or none; [`Error::NotSupported`] without a decoder,
    /// or when its encoder has read nothing yet.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.read(ids, &mut |_, _| {}, None)
    }

    /// As [`prefill`](Self::prefill), and hands the head's result after each token to `each`, with its position. Where the head reads
    /// the decoder at one place only, there is none before it.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn prefill_each(&mut self, ids: &[u32], mut each: impl FnMut(usize, &[i32])) -> Result<(), Error> {
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

    /// Turns to one of the texts, of which the decoder has seen so many tokens.
    pub(crate) fn select(&mut self, beam: usize, position: usize) {
        self.beam = beam.min(self.plan.beams() - 1);
        self.position = position;
        self.passes = self.passes.wrapping_add(1);
    }

    /// The `i`th text becomes what the `parents[i]`th was.
    pub(crate) fn reorder(&mut self, parents: &[usize]) {
        let size = self.workspace.cache.len() / self.plan.beams().max(1);
        let cache = &mut *self.workspace.cache;
        let mut wanted: [Option<usize>; MAX_BEAMS] =
            core::array::from_fn(|beam| parents.get(beam).copied().filter(|&parent| parent != beam));
        // Copies to where nobody else wants to copy from; what is left then are circles, which are swapped round.
        loop {
            let free = (0..MAX_BEAMS).find_map(|beam| {
                let parent = wanted.get(beam).copied().flatten()?;
                (!wanted.contains(&Some(beam))).then_some((beam, parent))
            });
            let Some((beam, parent)) = free else { break };
            if let Some((to, from)) = two(cache, size, beam, parent) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            wanted.iter_mut().skip(beam).take(1).for_each(|wanted| *wanted = None);
        }
        for beam in 0..MAX_BEAMS {
            let Some(parent) = wanted.get_mut(beam).and_then(Option::take) else { continue };
            if let Some((to, from)) = two(cache, size, beam, parent) {
                to.iter_mut().zip(from).for_each(|(to, from)| core::mem::swap(to, from));
            }
            // What was here is there now, for the one that wants it.
            for (other, wanted) in wanted.iter_mut().enumerate().filter(|(_, wanted)| **wanted == Some(beam)) {
                *wanted = Some(parent).filter(|&parent| parent != other);
            }
        }
    }

    /// The decoder reads one token; returns the logits after it.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn step(&mut self, id: u32) -> Result<&[i32], Error> {
        self.prefill(&[id])?;
        self.logits()
    }

    pub(crate) fn read(&mut self, ids: &[u32], trace: Trace<'_>, mut each: Option<Trace<'_>>) -> Result<(), Error> {
        let mut pass = self.begin_prefill(ids)?;
        loop {
            let more = self.advance_traced(&mut pass, trace)?;
            if let (Some(each), 0) = (&mut each, pass.layer) {
                let (read, start) = (pass.read - self.last_tile, self.position - self.last_tile);
                let ids = pass.ids.get(read..pass.read).unwrap_or(&[]);
                for (row, read) in self.reading.rows(self.model.spec().head.pooling, start, ids).enumerate() {
                    if let Some(read) = read {
                        each(start + row, self.head(read)?);
                    }
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// One tile through one layer of the decoder.
    fn advance_decoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass<'_>,
        trace: Trace<'_>,
    ) -> Result<bool, Error> {
        let keys = self.model.spec().numerics.keys;
        let (hidden_size, start, layer) = (stack.hidden_size(), self.position, pass.layer);
        let rest = pass.ids.get(pass.read..).unwrap_or(&[]);
        let ids = rest.get(..self.plan.tile()).unwrap_or(rest);
        let Workspace { hidden, kept, cache, cross_cache, scratch, .. } = &mut self.workspace;
        let of_one = cache.len() / self.plan.beams().max(1);
        let cache = cache.get_mut(self.beam * of_one..(self.beam + 1) * of_one).ok_or(Error::BadLayout("cache"))?;
        if layer == 0 {
            self.reading.keep(hidden, hidden_size, kept);
        }
        let x = hidden.get_mut(..ids.len() * hidden_size).ok_or(Error::NoTokens)?;
        if layer == 0 {
            let first = count(stack.spec, counted(stack.spec, &self.plan, cache), start, ids);
            for (at, row) in x.chunks_exact_mut(hidden_size).enumerate() {
                embed(stack, self.kernels, (ids, &[]), at, first, row, scratch);
            }
            trace(0, x);
        }
        let layers = stack.spec.num_hidden_layers as usize;
        let bytes_of = |layer| layer_cache_bytes(stack.spec, keys, decoder_slots(stack.spec, layer, &self.plan));
        let first = (0..layer).map(bytes_of).sum::<usize>();
        let region = cache.get_mut(first..first + bytes_of(layer)).ok_or(Error::BadLayout("cache"))?;
        let mut own = KeyValueCache::new(region, stack.spec, keys, decoder_slots(stack.spec, layer, &self.plan))?;
        let cross = if stack.spec.block.cross_attention && features::CROSS_ATTENTION {
            let size = cross_cache.len() / layers.max(1);
            let region = cross_cache.get_mut(layer * size..(layer + 1) * size).ok_or(Error::BadLayout("cache"))?;
            let slots = size / layer_cache_bytes(stack.spec, keys, 1).max(1);
            Some(KeyValueCache::new(region, stack.spec, keys, slots)?)
        } else {
            None
        };
        let (plan, threads, source) = ((self.model.spec(), &self.plan), &mut self.threads, self.source);
        let block = Block::new(*stack, layer, self.kernels, threads.beside(ids.len()));
        threads.fill(plan, x, hidden_size, (stack.spec, &mut own, start), scratch, |start, x, own, scratch| {
            block.prepare(x, scratch);
            block.store(x, start, own, scratch);
        });
        threads.run(plan, x, hidden_size, scratch, |first, x, scratch| {
            let cross = cross.as_ref().map(|cache| (cache, source));
            block.forward(x, start + first, start + ids.len(), &own, cross, scratch);
        });
        trace(layer + 1, x);
        pass.layer += 1;
        if pass.layer == layers {
            pass.layer = 0;
            pass.read += ids.len();
            self.position += ids.len();
            self.last_tile = ids.len();
            self.reading.end(self.model.spec().head.pooling, start, ids);
        }
        Ok(pass.read < pass.ids.len())
    }

    /// The head's result for the text as a whole: after the decoder's last token, or for the pooled state of the
    /// encoder. Fixed point with [`fraction_bits`](crate::format::spec::NumericsSpec::fraction_bits).
    ///
    /// # Errors
    /// [`Error::NoTokens`] when nothing was read, or nothing that the head reads: since a [`rewind`](Self::rewind) padding only, or not
    /// yet the token at the place that the encoder's text says.
    pub fn logits(&mut self) -> Result<&[i32], Error> {
        self.logits_mut().map(|logits| &*logits)
    }

    /// The same, to be changed: a sampler works in place.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn logits_mut(&mut self) -> Result<&mut [i32], Error> {
        let row = match (&self.model.spec().decoder, self.model.spec().head.pooling) {
            (Some(_), _) => self.reading.row().ok_or(Error::NoTokens)?,
            (None, Pooling::Mean) => Row::Mean,
            (None, Pooling::Last) => Row::At(self.source.checked_sub(1).ok_or(Error::NoTokens)?),
            (None, _) => Row::At(0),
        };
        self.head(row)
    }

    /// The head's result for the encoder's token at a position.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] when the encoder was not given so many; [`Error::NotSupported`] when the head is a decoder's.
    pub fn logits_at(&mut self, position: usize) -> Result<&[i32], Error> {
        if self.model.spec().decoder.is_some() {
            return Err(Error::NotSupported("its head reads the decoder, one token at a time"));
        }
        if position >= self.source {
            return Err(Error::TooManyTokens { limit: self.source, given: position + 1 });
        }
        self.head(Row::At(position)).map(|logits| &*logits)
    }

    /// Reads a whole text with the stack that the head reads, from scratch. Where there are two, both read it, the decoder one token
    /// later.
    pub(crate) fn read_text(&mut self, ids: &[u32], token_types: &[u8]) -> Result<(), Error> {
        let spec = self.model.spec();
        if spec.encoder.is_none() {
            self.reset();
            return self.prefill(ids);
        }
        self.encode(ids, token_types)?;
        if spec.decoder.is_none() {
            return Ok(());
        }
        self.prefill(&[shifted_start(&self.model.manifest().tokens, ids).ok_or(Error::NoTokens)?])?;
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

    /// Pools, transforms and projects.
    fn head(&mut self, row: Row) -> Result<&mut [i32], Error> {
        let model = self.model;
        let (spec, head) = (model.spec(), &model.spec().head);
        let (id, decodes) = if spec.decoder.is_some() { (Stack::Decoder, true) } else { (Stack::Encoder, false) };
        let stack = model.stack(id).ok_or(Error::NotSupported("it has no stack"))?;
        let (hidden_size, bits) = (stack.hidden_size(), spec.numerics.fraction_bits);
        let (width, kernels) = (spec.numerics.activations, self.kernels);
        let Workspace { hidden, kept, states, scratch, .. } = &mut self.workspace;
        let (states, read) = if decodes { (&*hidden, self.last_tile) } else { (&*states, self.source) };
        let states = states.get(..read * hidden_size).unwrap_or(&[]);
        // What is quantized makes room for what becomes of it.
        let mut len = hidden_size;
        let pooled = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        match row {
            _ if read == 0 => return Err(Error::NoTokens),
            Row::At(row) => copy(pooled, states.get(row * hidden_size..).unwrap_or(&[])),
            Row::Kept => copy(pooled, kept),
            Row::Mean => {
                for (column, out) in pooled.iter_mut().enumerate() {
                    let values = states.iter().skip(column).step_by(hidden_size);
                    *out = mean(values.map(|&x| i64::from(x)).sum(), read as u32);
                }
            }
        }
        if let (true, Some(spec)) = (decodes, &stack.spec.final_norm) {
            norm(kernels, spec, &stack.norm(StackPart::FinalNorm), bits, pooled);
        }
        if let Some(transform) = &head.transform {
            quantize_rows(kernels, width, pooled, len, scratch.quantized, scratch.scales);
            len = transform.size as usize;
            let out = scratch.normed.get_mut(..len).unwrap_or(&mut []);
            let x = QuantizedRows::new(width, 1, hidden_size, scratch.quantized, scratch.scales);
            linear(kernels, &x, &model.head_matrix(HeadPart::Transform), out);
            activate(kernels, transform.activation, model.halfwords(Role::Head(HeadPart::ActivationTable)), bits, out);
            if let Some(spec) = &transform.norm {
                norm(kernels, spec, &model.norm(Role::Head(HeadPart::TransformNorm)), bits, out);
            }
        }
        let input = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        let matrix = match head.output {
            OutputProjection::None => return Ok(input),
            OutputProjection::Own => model.head_matrix(HeadPart::Output),
            OutputProjection::Tied => stack.token_table(),
        };
        let bias = match head.output {
            OutputProjection::Tied => model.words(Role::Head(HeadPart::OutputBias)),
            _ => matrix.bias,
        };
        let out = scratch.wide.get_mut(..head.num_outputs as usize).unwrap_or(&mut []);
        quantize_rows(kernels, width, input, input.len(), scratch.quantized, scratch.scales);
        let x = QuantizedRows::new(width, 1, input.len(), scratch.quantized, scratch.scales);
        self.threads.beside(1).linear_with_bias(kernels, &x, &matrix, bias, out);
        if let Some(cap) = head.soft_cap {
            soft_cap(cap, model.halfwords(Role::Head(HeadPart::TanhTable)), bits, out);
        }
        Ok(out)
    }
}

/// Two different runs of `size` bytes.
fn two(bytes: &mut [u8], size: usize, a: usize, b: usize) -> Option<(&mut [u8], &mut [u8])> {
    let (low, high) = bytes.split_at_mut_checked(a.max(b) * size)?;
    let (low, high) = (low.get_mut(a.min(b) * size..)?.get_mut(..size)?, high.get_mut(..size)?);
    Some(if a < b { (low, high) } else { (high, low) })
}

/// Refuses tokens that the stack cannot read.
fn check_tokens(stack: &StackView<'_, '_>, ids: &[u32], token_types: &[u8], limit: usize) -> Result<(), Error> {
    let embedding = &stack.spec.embedding;
    if ids.is_empty() {
        return Err(Error::NoTokens);
    }
    if ids.len() > limit {
        return Err(Error::TooManyTokens { limit, given: ids.len() });
    }
    let vocab_size = embedding.vocab_size;
    if let Some(&token) = ids.iter().find(|&&id| id >= vocab_size) {
        return Err(Error::TokenOutOfRange { token, vocab_size });
    }
    // A model without segments has the one type 0.
    let token_types_known = u32::from(embedding.token_types).max(1);
    match token_types.iter().find(|&&token_type| u32::from(token_type) >= token_types_known) {
        Some(&token_type) => {
            Err(Error::TokenTypeOutOfRange { token_type: token_type.into(), token_types: token_types_known })
        }
        None => Ok(()),
    }
}

/// The first hidden state of the token at `at` of these, before which `first` positions are taken.
fn embed(
    stack: &StackView<'_, '_>,
    kernels: &Kernels,
    (ids, types): (&[u32], &[u8]),
    at: usize,
    first: usize,
    out: &mut [i32],
    scratch: &mut Scratch<'_>,
) {
    let spec = &stack.spec.embedding;
    let numerics = &stack.model.spec().numerics;
    let bits = numerics.fraction_bits;
    let narrow_size = at_least_one(spec.embedding_size as usize);
    let positions = |row: &mut [i32]| {
        if spec.positions {
            let position = position_of(stack.spec, ids, at, first);
            embed_row(&stack.matrix(StackPart::PositionEmbedding), position, None, bits, true, row);
        }
        if spec.token_types > 0 {
            let token_type = types.get(at).copied().unwrap_or(0);
            embed_row(&stack.matrix(StackPart::TokenTypeEmbedding), token_type.into(), None, bits, true, row);
        }
    };
    let normed = |row: &mut [i32]| {
        if let Some(spec) = &spec.norm {
            norm(kernels, spec, &stack.norm(StackPart::EmbeddingNorm), bits, row);
        }
    };
    // Beyond the text there are zeros.
    let token = |at: usize, row: &mut [i32]| match ids.get(at) {
        Some(&id) => embed_row(&stack.token_table(), id as usize, spec.scale, bits, false, row),
        None => row.fill(0),
    };
    if spec.projection == EmbeddingProjection::None || !features::PROJECTED_EMBEDDINGS {
        token(at, out);
        positions(out);
        normed(out);
        return;
    }
    let read_size = spec.projected_size() as usize;
    let read = scratch.normed.get_mut(..read_size).unwrap_or(&mut []);
    match spec.projection {
        EmbeddingProjection::Trigram => {
            for (at, row) in [at + 1, at, at.wrapping_sub(1)].into_iter().zip(read.chunks_exact_mut(narrow_size)) {
                token(at, row);
            }
        }
        _ => token(at, read),
    }
    let widened_first = matches!(spec.projection, EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram);
    if !widened_first {
        positions(read);
    }
    if spec.projection == EmbeddingProjection::AfterNorm {
        normed(read);
    }
    quantize_rows(kernels, numerics.activations, read, read_size, scratch.quantized, scratch.scales);
    let x = QuantizedRows::new(numerics.activations, 1, read_size, scratch.quantized, scratch.scales);
    linear(kernels, &x, &stack.matrix(StackPart::EmbeddingProjection), out);
    if widened_first {
        positions(out);
    }
    if spec.projection != EmbeddingProjection::AfterNorm {
        normed(out);
    }
}

/// Adds the convolution over a token's neighbourhood to its state, and norms it.
fn convolve(
    stack: &StackView<'_, '_>,
    spec: &ConvolutionSpec,
    kernels: &Kernels,
    text: (&[u32], &[u8]),
    at: usize,
    state: &mut [i32],
    scratch: &mut Scratch<'_>,
) {
    let numerics = &stack.model.spec().numerics;
    let (width, bits) = (numerics.activations, numerics.fraction_bits);
    let seen = usize::from(spec.kernel_size);
    let wide = core::mem::take(&mut scratch.wide);
    if let Some((window, out)) = wide.split_at_mut_checked(seen * state.len()) {
        let out = out.get_mut(..state.len()).unwrap_or(&mut []);
        // Beyond the text there are zeros.
        for (index, row) in window.chunks_exact_mut(state.len().max(1)).enumerate() {
            match (at + index).checked_sub(seen / 2) {
                Some(at) if at < text.0.len() => embed(stack, kernels, text, at, 0, row, scratch),
                _ => row.fill(0),
            }
        }
        quantize_rows(kernels, width, window, window.len(), scratch.quantized, scratch.scales);
        let x = QuantizedRows::new(width, 1, window.len(), scratch.quantized, scratch.scales);
        linear(kernels, &x, &stack.matrix(StackPart::Convolution), out);
        let table = stack.model.halfwords(Role::Stack(stack.id, StackPart::ConvolutionTable));
        activate(kernels, spec.activation, table, bits, out);
        (kernels.add)(state, out);
        norm(kernels, &stack.spec.block.norm, &stack.norm(StackPart::ConvolutionNorm), bits, state);
    }
    scratch.wide = wide;
}
