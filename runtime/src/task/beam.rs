//! Generates text by beam search: extends several texts at a time and keeps the most likely.
//!
//! The bookkeeping, [`BeamSearch`], is independent of the model: it receives log-probabilities and
//! selects the beams to continue. It follows `transformers` step by step and returns the texts that
//! `transformers` does.

use heapless::Vec;

use super::{GenerateOptions, TokenBuffer, log_normalizer};
use crate::error::{Buffer, RunError};
pub use crate::format::blob::EarlyStopping;
use crate::format::blob::GenerationDefaults;
pub use crate::format::memory::MAX_BEAMS;
use crate::format::spec::Direction;
use crate::sample::{SUPPRESSED, change_seen, check_penalty, within};
use crate::session::Session;

/// The most candidates kept in a step: enough for [`MAX_BEAMS`] beams and seven stop tokens.
const MAX_CANDIDATES: usize = 64;
/// Low bits of a node, which hold its token; the high bits hold its parent beam.
const TOKEN_BITS: u32 = 24;

/// The options of a beam search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamOptions {
    /// The number of beams, from 1 to [`MAX_BEAMS`].
    pub num_beams: usize,
    /// The exponent of the length by which a text's log-probability is divided; from -10 to 10.
    pub length_penalty: f32,
    /// When the search stops.
    pub early_stopping: EarlyStopping,
    /// A factor on the log-probabilities of tokens that the text already has; from 0.01 to 100, 1
    /// for no penalty.
    pub repetition_penalty: f32,
    /// Whether to renormalize probabilities after the penalty and the suppression of tokens.
    pub renormalize_logits: bool,
}

impl BeamOptions {
    /// A search with `num_beams` beams, scored by the mean log-probability of their tokens.
    pub const fn new(num_beams: usize) -> Self {
        Self {
            num_beams,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Heuristic,
            repetition_penalty: 1.0,
            renormalize_logits: false,
        }
    }

    /// Checks that every option is in its range. [`BeamSearch::new`] calls this.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] with the first option that is out of range or NaN.
    pub const fn check(&self) -> Result<(), RunError> {
        if self.num_beams == 0 || self.num_beams > MAX_BEAMS {
            return Err(RunError::InvalidOption { option: "num_beams", wanted: "from 1 to 8" });
        }
        if !within(self.length_penalty, -10.0, 10.0) {
            return Err(RunError::InvalidOption { option: "length_penalty", wanted: "from -10 to 10" });
        }
        check_penalty(self.repetition_penalty)
    }
}

impl From<GenerationDefaults> for BeamOptions {
    fn from(defaults: GenerationDefaults) -> Self {
        Self {
            num_beams: defaults.num_beams.into(),
            length_penalty: defaults.length_penalty as f32 / 65536.0,
            early_stopping: defaults.early_stopping,
            repetition_penalty: defaults.repetition_penalty as f32 / 65536.0,
            renormalize_logits: defaults.renormalize_logits,
        }
    }
}

/// A continuation of a beam by one token.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    log_probability: f32,
    beam: usize,
    token: u32,
}

/// A finished text: its last node, its last token and its score.
#[derive(Clone, Copy, Debug)]
struct Finished {
    score: f32,
    steps: usize,
    beam: usize,
    token: u32,
}

/// The state of a beam search, in memory borrowed from the caller.
#[derive(Debug)]
pub struct BeamSearch<'b> {
    options: BeamOptions,
    max_new_tokens: usize,
    /// The number of candidates kept in a step.
    kept: usize,
    /// The token and the parent of every beam at every step, `[steps, num_beams]`.
    nodes: &'b mut [u32],
    steps: usize,
    /// The log-probabilities of the running beams, the most likely first.
    running: Vec<f32, MAX_BEAMS>,
    /// The parent of each running beam.
    parents: Vec<usize, MAX_BEAMS>,
    candidates: Vec<Candidate, MAX_CANDIDATES>,
    finished: Vec<Finished, MAX_BEAMS>,
    improvable: bool,
}

impl<'b> BeamSearch<'b> {
    /// The length of the memory that [`new`](Self::new) needs, saturated at `usize::MAX`.
    pub const fn words(num_beams: usize, max_new_tokens: usize) -> usize {
        num_beams.saturating_mul(max_new_tokens)
    }

    /// A search for texts of up to `max_new_tokens` tokens, with `stop_tokens` distinct tokens that
    /// end a text.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] from [`BeamOptions::check`], when `max_new_tokens` is 0, or when
    /// there are too many stop tokens; [`RunError::BufferTooSmall`] when `memory` is shorter than
    /// [`words`](Self::words).
    pub fn new(
        options: BeamOptions,
        max_new_tokens: usize,
        stop_tokens: usize,
        memory: &'b mut [u32],
    ) -> Result<Self, RunError> {
        options.check()?;
        if max_new_tokens == 0 {
            return Err(RunError::InvalidOption { option: "max_new_tokens", wanted: "at least 1" });
        }
        let kept = options.num_beams.saturating_mul(stop_tokens.saturating_add(1).max(2));
        if kept > MAX_CANDIDATES {
            return Err(RunError::InvalidOption { option: "stop", wanted: "at most seven tokens with eight beams" });
        }
        let (needed, given) = (Self::words(options.num_beams, max_new_tokens), memory.len());
        let nodes =
            memory.get_mut(..needed).ok_or(RunError::BufferTooSmall { buffer: Buffer::Beams, needed, given })?;
        Ok(Self {
            options,
            max_new_tokens,
            kept,
            nodes,
            steps: 0,
            running: Vec::from_array([0.0]),
            parents: Vec::from_array([0]),
            candidates: Vec::new(),
            finished: Vec::new(),
            improvable: true,
        })
    }

    /// The parent of each running beam: its index in the previous step.
    pub fn parents(&self) -> &[usize] {
        &self.parents
    }

    /// The number of tokens of every running beam.
    pub fn len(&self) -> usize {
        self.steps
    }

    /// Whether the beams have no tokens yet.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Appends the tokens of a running beam to `text`.
    ///
    /// # Errors
    /// [`RunError::BufferTooSmall`] when `text` lacks room.
    pub fn write_open(&self, beam: usize, text: &mut (impl TokenBuffer + ?Sized)) -> Result<(), RunError> {
        self.write(self.steps, beam, text, 0)
    }

    /// Appends the tokens of a finished text to `text` and returns its score. `rank` 0 is the best
    /// text; `None` if there are fewer.
    ///
    /// # Errors
    /// [`RunError::BufferTooSmall`] when `text` lacks room.
    pub fn write_finished(&self, rank: usize, text: &mut (impl TokenBuffer + ?Sized)) -> Result<Option<f32>, RunError> {
        let Some(found) = self.finished.get(rank) else { return Ok(None) };
        self.write(found.steps, found.beam, text, 1)?;
        let _ = text.push(found.token);
        Ok(Some(found.score))
    }

    fn node(&self, step: usize, beam: usize) -> (u32, usize) {
        let node = self.nodes.get(step * self.options.num_beams + beam).copied().unwrap_or(0);
        (node & ((1 << TOKEN_BITS) - 1), (node >> TOKEN_BITS) as usize)
    }

    /// Appends the tokens of the first `steps` steps of a beam, if `more` tokens still fit after
    /// them.
    fn write(
        &self,
        steps: usize,
        mut beam: usize,
        text: &mut (impl TokenBuffer + ?Sized),
        more: usize,
    ) -> Result<(), RunError> {
        let begun = text.tokens().len();
        let (needed, given) = (begun + steps + more, text.capacity());
        if needed > given {
            return Err(RunError::BufferTooSmall { buffer: Buffer::Ids, needed, given });
        }
        for step in (0..steps).rev() {
            let (token, parent) = self.node(step, beam);
            let _ = text.push(token);
            beam = parent;
        }
        text.tokens_mut().get_mut(begun..).unwrap_or(&mut []).reverse();
        Ok(())
    }

    /// Adds a candidate: a token after a running beam, and its log-probability. One of minus
    /// infinity or NaN is ignored.
    pub fn offer(&mut self, beam: usize, token: u32, log_probability: f32) {
        let log_probability = log_probability + self.running.get(beam).copied().unwrap_or(f32::NEG_INFINITY);
        let worst = self.candidates.last().map_or(f32::NEG_INFINITY, |worst| worst.log_probability);
        if log_probability.is_nan()
            || log_probability == f32::NEG_INFINITY
            || (self.candidates.len() == self.kept && log_probability <= worst)
        {
            return;
        }
        self.candidates.truncate(self.kept - 1);
        // Stable: of equal candidates, the one offered first ranks higher.
        let place = self.candidates.partition_point(|candidate| candidate.log_probability >= log_probability);
        insert(&mut self.candidates, place, Candidate { log_probability, beam, token });
    }

    /// Ends a step: selects the next beams among the candidates of all running beams. `is_done`
    /// says whether a token ends its beam. Returns whether the search continues.
    pub fn advance(&mut self, mut is_done: impl FnMut(&Self, usize, u32) -> bool) -> bool {
        let candidates = core::mem::take(&mut self.candidates);
        let full = self.steps + 1 >= self.max_new_tokens;
        let length = libm::powf((self.steps + 1) as f32, self.options.length_penalty);
        let (mut running, mut parents) = (Vec::new(), Vec::new());
        let mut nodes = Vec::<u32, MAX_BEAMS>::new();
        let closed = self.all_finished() && self.options.early_stopping == EarlyStopping::Always;
        for (rank, candidate) in candidates.iter().enumerate() {
            if full || is_done(self, candidate.beam, candidate.token) {
                if rank < self.options.num_beams && self.improvable && !closed {
                    self.finish(candidate, candidate.log_probability / length);
                }
            } else if running.len() < self.options.num_beams {
                let _ = running.push(candidate.log_probability);
                let _ = parents.push(candidate.beam);
                let _ = nodes.push(candidate.token | (candidate.beam as u32) << TOKEN_BITS);
            }
        }
        let step = self.steps * self.options.num_beams;
        for (slot, node) in self.nodes.iter_mut().skip(step).zip(&nodes) {
            *slot = *node;
        }
        (self.running, self.parents) = (running, parents);
        self.steps += 1;
        let Some(&best) = self.running.first() else { return false };
        if self.all_finished() {
            let length = match self.options.early_stopping {
                EarlyStopping::Never if self.options.length_penalty > 0.0 => self.max_new_tokens,
                _ => self.steps,
            };
            let possible = best / libm::powf(length as f32, self.options.length_penalty);
            self.improvable &= self.finished.last().is_some_and(|worst| possible > worst.score);
        }
        self.improvable && !(self.all_finished() && self.options.early_stopping == EarlyStopping::Always)
    }

    fn all_finished(&self) -> bool {
        self.finished.len() == self.options.num_beams
    }

    /// Keeps a finished text if it is among the best `num_beams`.
    fn finish(&mut self, candidate: &Candidate, score: f32) {
        let place = self.finished.partition_point(|other| other.score >= score);
        if place < self.options.num_beams {
            self.finished.truncate(self.options.num_beams - 1);
            let (beam, token) = (candidate.beam, candidate.token);
            insert(&mut self.finished, place, Finished { score, steps: self.steps, beam, token });
        }
    }
}

/// Inserts a value at index `place`, dropping the last value if `all` is full. Unlike
/// `Vec::insert`, it does not link a panic.
fn insert<T, const N: usize>(all: &mut Vec<T, N>, place: usize, mut value: T) {
    all.iter_mut().skip(place).for_each(|other| core::mem::swap(other, &mut value));
    let _ = all.push(value);
}

/// Searches for the most likely continuations of `text`, which also serves as working memory and is
/// restored.
///
/// The session needs a cache for each beam ([`MemoryPlan::with_beams`]). Decoders that read
/// backward are not supported. The session's caches are undefined afterwards.
///
/// [`MemoryPlan::with_beams`]: crate::MemoryPlan::with_beams
///
/// # Errors
/// The errors of [`Session::prefill`] and [`BeamSearch::new`]; [`RunError::TooManyBeams`] when the
/// session has fewer caches; [`RunError::AllSuppressed`] when the options let no text end.
///
/// ```
/// use kinglet::task::{BeamOptions, BeamSearch, GenerateOptions, beam_search};
/// use kinglet::{RunError, Session};
///
/// /// The best of four texts, of up to twenty tokens.
/// fn translate(
///     session: &mut Session,
///     source: &[u32],
///     start: u32,
///     stop: u32,
/// ) -> Result<heapless::Vec<u32, 21>, RunError> {
///     session.encode(source, &[])?;
///     let mut text = heapless::Vec::<u32, 21>::from_array([start]);
///     let mut memory = [0; BeamSearch::words(4, 20)];
///     let options = GenerateOptions { stop: &[stop], ..GenerateOptions::new(20) };
///     let found = beam_search(session, &mut text, &options, BeamOptions::new(4), &mut memory)?;
///     found.write_finished(0, &mut text)?;
///     Ok(text)
/// }
/// # let _ = translate;
/// ```
pub fn beam_search<'b>(
    session: &mut Session<'_, '_>,
    text: &mut (impl TokenBuffer + ?Sized),
    options: &GenerateOptions<'_>,
    beams: BeamOptions,
    memory: &'b mut [u32],
) -> Result<BeamSearch<'b>, RunError> {
    let mut search = BeamSearch::new(beams, options.max_new_tokens, options.stop.len(), memory)?;
    if session.beams() < beams.num_beams {
        return Err(RunError::TooManyBeams { limit: session.beams(), given: beams.num_beams });
    }
    let spec = session.model().spec();
    if spec.direction == Direction::Backward {
        return Err(RunError::CannotSearchBackward);
    }
    let bits = spec.numerics.fraction_bits;
    let unit = libm::ldexp(1.0, -i32::from(bits));
    let begun = text.tokens().len();
    session.reset();
    session.prefill(text.tokens())?;
    loop {
        let position = begun + search.len();
        for beam in 0..search.parents().len() {
            search.write_open(beam, text)?;
            if let (false, Some(&token)) = (search.is_empty(), text.tokens().last()) {
                session.select(beam, session.prefix_len() + position - 1);
                session.prefill(&[token])?;
            }
            let logits = session.logits_mut()?;
            match options.forced(text.tokens(), begun) {
                Some(token) => search.offer(beam, token, 0.0),
                None => {
                    let normalizer = weigh(logits, bits, text.tokens(), begun, options, beams);
                    let least = least_kept(logits, search.kept);
                    for (token, &logit) in logits.iter().enumerate().filter(|(_, logit)| **logit >= least) {
                        search.offer(beam, token as u32, (f64::from(logit) * unit - normalizer) as f32);
                    }
                }
            }
            text.truncate(begun);
            session.pause();
        }
        let full = session.limit() <= position;
        let going_on = search.advance(|search, beam, token| {
            let written = search.write_open(beam, text).is_ok() && text.push(token);
            let done = !written || options.is_done(text.tokens(), begun);
            text.truncate(begun);
            done || full
        });
        if !going_on {
            session.reset();
            return if search.finished.is_empty() { Err(RunError::AllSuppressed) } else { Ok(search) };
        }
        session.reorder(search.parents());
        session.pause();
    }
}

/// The smallest of the `kept` largest logits: smaller logits of this beam cannot become candidates.
fn least_kept(logits: &[i32], kept: usize) -> i32 {
    let mut largest = Vec::<i32, MAX_CANDIDATES>::new();
    for &logit in logits.iter().filter(|&&logit| logit != SUPPRESSED) {
        let full = largest.len() >= kept.min(MAX_CANDIDATES);
        if full && largest.last().is_some_and(|least| logit <= *least) {
            continue;
        }
        if full {
            largest.pop();
        }
        let place = largest.partition_point(|other| *other >= logit);
        insert(&mut largest, place, logit);
    }
    largest.last().copied().unwrap_or(SUPPRESSED).max(SUPPRESSED + 1)
}

/// Applies the options to the logits after a text and returns the normalizer, by which logits
/// exceed log-probabilities.
fn weigh(
    logits: &mut [i32],
    bits: u8,
    text: &[u32],
    begun: usize,
    options: &GenerateOptions<'_>,
    beams: BeamOptions,
) -> f64 {
    let normalizer = log_normalizer(logits, bits);
    if beams.repetition_penalty != 1.0 {
        // The penalty multiplies the log-probability, which is negative; the logit changes by an
        // equal amount.
        let more = f64::from(beams.repetition_penalty) - 1.0;
        let at_zero = libm::ldexp(normalizer, bits.into());
        change_seen(logits, text, |logit| i64::from(logit) + libm::round((f64::from(logit) - at_zero) * more) as i64);
    }
    options.suppress(text, begun, logits);
    if beams.renormalize_logits { log_normalizer(logits, bits) } else { normalizer }
}
