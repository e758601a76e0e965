//! Makes valid and invalid calls of a session in random order, and records their results.

use core::fmt::Debug;
use core::sync::atomic::{AtomicUsize, Ordering};

use arbitrary::{Result, Unstructured};
use kinglet::format::layout::{Shape, roles};
use kinglet::format::spec::{ModelSpec, StackSpec};
use kinglet::golden::Fingerprint;
use kinglet::sample::{Sampler, SamplerOptions, argmax, top};
use kinglet::task::{
    self, BeamOptions, BeamSearch, Choices, EarlyStopping, GenerateOptions, StopText, WhenFull, beam_search, generate,
};
use kinglet::{AlignedVec, MemoryPlan, Model, RunError, Session};

/// Settings of a session that must not change its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<'w> {
    /// The kernel set; if empty, the machine's best.
    pub kernels: &'w str,
    /// The number of tokens per tile.
    pub tile: usize,
    /// The number of threads.
    pub threads: usize,
}

/// The maximum arena in bytes.
const MAX_ARENA: u64 = 1 << 22;
/// The maximum tile.
const MAX_TILE: usize = 32;
/// The maximum number of tokens of a text.
const MAX_TOKENS: usize = 20;
/// The maximum number of times that a call reads a text; a beam search reads each of its texts
/// token by token.
const MAX_READS: usize = 4 * MAX_TOKENS;
/// The length of a step, in multiply-accumulates: the default of [`Session::set_step`].
const STEP: usize = 64 << 10;
/// The maximum number of calls.
const MAX_CALLS: usize = 12;

/// Makes the calls that `choices` selects in a session with the settings `way`, and returns their
/// results, which must be equal for all settings. Results are recorded as fingerprints, errors as
/// text.
///
/// # Panics
/// If a call takes more steps than its texts have tiles and layers.
///
/// # Errors
/// If there is no session, because the model needs more memory than the limit, or the machine does
/// not have the kernel set.
pub fn transcript(model: &Model<'_>, choices: &[u8], way: Way<'_>) -> core::result::Result<Vec<String>, RunError> {
    let mut u = Unstructured::new(choices);
    let spec = model.spec();
    let longest = |stack: &Option<StackSpec>| {
        stack.as_ref().map_or(MAX_TOKENS, |stack| MAX_TOKENS.min(stack.max_positions as usize))
    };
    let (tokens, source) = (longest(&spec.decoder), longest(&spec.encoder));
    let beams = 1 + usize::from(choices.first().is_some_and(|first| first % 4 == 0)) * 2;
    let plan = |tile| MemoryPlan::new(spec, tokens, source, tile).map(|plan| plan.with_beams(beams));
    // The limit must not depend on the tile, so that all settings have a session or none has.
    let most = plan(MAX_TILE)?.bytes();
    if most > MAX_ARENA {
        return Err(RunError::ArenaTooSmall { needed: most as usize, given: MAX_ARENA as usize });
    }
    let plan = plan(way.tile.min(MAX_TILE))?;
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    let steps = AtomicUsize::new(0);
    let mut count = || {
        steps.fetch_add(1, Ordering::Relaxed);
    };
    let mut session = Session::with_plan(model, &mut arena, plan)?;
    session.set_pause(&mut count);
    set(&mut session, way)?;
    let mut caller = Caller { u: &mut u, said: Vec::new(), left: Vec::new() };
    for _ in 0..MAX_CALLS {
        if caller.u.is_empty() || caller.call(&mut session).is_err() {
            break;
        }
        let (taken, most) = (steps.swap(0, Ordering::Relaxed), most_steps(spec, &plan));
        assert!(taken <= most, "{taken} steps, and not {most}, for {:?}", caller.said.last());
    }
    Ok(caller.said)
}

/// The maximum number of steps of a call: all tiles of all its texts through all half layers, the
/// steps before and after these, and the steps that end within a layer; or, for a snapshot, a step
/// for each 8 KB of the arena that is checked, and one for each that is copied.
fn most_steps(spec: &ModelSpec, plan: &MemoryPlan) -> usize {
    let tile = plan.tile().min(MAX_TOKENS + 1);
    let layers = |stack: &Option<StackSpec>| stack.as_ref().map_or(0, |stack| usize::from(stack.num_hidden_layers));
    // Two steps that follow each other in a layer are longer than one step may be.
    let within = 2 * tile * work(spec) / STEP;
    let of_tile = 4 + 2 * layers(&spec.encoder) + 2 * layers(&spec.decoder) + within;
    let reading = MAX_READS * (MAX_TOKENS + 1).div_ceil(tile) * of_tile;
    reading.max(2 * (plan.bytes() as usize).div_ceil(8 << 10))
}

/// The multiply-accumulates of a token at most: those of the matrices, those of attention, and 16
/// for each value that is quantized, normalized, activated or added.
fn work(spec: &ModelSpec) -> usize {
    const VALUES: usize = 4 * 16;
    let stacks = || [&spec.encoder, &spec.decoder].into_iter().flatten();
    let repeats = stacks().map(|stack| usize::from(stack.num_hidden_layers).div_ceil(stack.num_blocks().max(1)));
    let tensor = |shape| match shape {
        Shape::Matrix { rows, cols, .. } => rows * cols + VALUES * (rows + cols),
        Shape::Norm { size, .. } => VALUES * size,
        _ => 0,
    };
    let attention = stacks().map(|stack| {
        let attention = &stack.block.attention;
        let width = usize::from(attention.num_attention_heads) * usize::from(attention.head_dim);
        usize::from(stack.num_hidden_layers) * width * (4 * MAX_TOKENS + VALUES)
    });
    repeats.max().unwrap_or(1).max(1) * roles(spec).map(|(_, shape)| tensor(shape)).sum::<usize>()
        + attention.sum::<usize>()
}

fn set(session: &mut Session<'_, '_>, way: Way<'_>) -> core::result::Result<(), RunError> {
    if !way.kernels.is_empty() {
        session.set_kernels(way.kernels)?;
    }
    session.set_threads(way.threads)
}

struct Caller<'c, 'b> {
    u: &'c mut Unstructured<'b>,
    said: Vec<String>,
    /// An earlier snapshot.
    left: Vec<u8>,
}

fn mark(values: &[i32]) -> u32 {
    Fingerprint::of(values).value()
}

fn bits(values: &[f32]) -> u32 {
    Fingerprint::of(&values.iter().map(|value| value.to_bits() as i32).collect::<Vec<_>>()).value()
}

impl Caller<'_, '_> {
    fn say(&mut self, what: &str, found: impl Debug) {
        // `usize::MAX` differs on 32-bit machines.
        self.said.push(format!("{what}: {found:?}").replace(&usize::MAX.to_string(), "MAX"));
    }

    /// A token, nearly always a valid one.
    fn id(&mut self, vocab_size: u32) -> Result<u32> {
        if self.u.ratio(1, 200)? { self.u.arbitrary() } else { self.u.int_in_range(0..=vocab_size.max(1) - 1) }
    }

    /// A text, occasionally empty or too long.
    fn ids(&mut self, vocab_size: u32) -> Result<Vec<u32>> {
        let len = match self.u.int_in_range(0..=15)? {
            0 => 0,
            1 => MAX_TOKENS + 1,
            2 => MAX_TOKENS,
            _ => self.u.int_in_range(1..=MAX_TOKENS / 2)?,
        };
        (0..len).map(|_| self.id(vocab_size)).collect()
    }

    fn types(&mut self, known: u16) -> Result<Vec<u8>> {
        let len = self.u.int_in_range(0..=MAX_TOKENS / 2)?;
        let most = if self.u.ratio(1, 20)? { 255 } else { known.clamp(1, 256) - 1 };
        (0..len).map(|_| Ok(self.u.int_in_range(0..=most)? as u8)).collect()
    }

    fn call(&mut self, session: &mut Session<'_, '_>) -> Result<()> {
        let spec = *session.model().spec();
        let stack = spec.encoder.or(spec.decoder);
        let vocab = stack.map_or(1, |stack| stack.embedding.vocab_size);
        let types = stack.map_or(0, |stack| stack.embedding.token_types);
        let own = spec.decoder.map_or(vocab, |stack| stack.embedding.vocab_size);
        match self.u.int_in_range(0..=21)? {
            0..=2 => {
                let (ids, types) = (self.ids(vocab)?, self.types(types)?);
                let found = session.encode(&ids, &types);
                self.say("encode", (found, mark(session.encoder_states())));
            }
            3..=5 => {
                let ids = self.ids(own)?;
                let found = session.prefill(&ids);
                self.say("prefill", (found, session.logits().map(mark)));
            }
            6 => {
                let id = self.id(own)?;
                let found = session.step(id).map(|logits| (mark(logits), argmax(logits)));
                self.say("step", found);
            }
            7 => {
                let (ids, mut rows) = (self.ids(own)?, Vec::new());
                let found = session.prefill_each(&ids, |at, logits| rows.push((at, mark(logits))));
                self.say("prefill_each", (found, rows));
            }
            8 => {
                let (ids, types) = (self.ids(vocab)?, self.types(types)?);
                let begun = if spec.encoder.is_some() && self.u.arbitrary()? {
                    session.begin_encode(&ids, &types)
                } else {
                    session.begin_prefill(&ids)
                };
                match begun {
                    Ok(mut pass) => {
                        let mut found = Ok(true);
                        // Between two steps any call is allowed.
                        while found == Ok(true) {
                            found = session.advance(&mut pass, &ids, &types);
                        }
                        self.say("advance", (found, session.logits().map(mark)));
                    }
                    Err(error) => self.say("begin", error),
                }
            }
            9 => {
                session.reset();
                self.say("reset", session.position());
            }
            10 => {
                let position = self.u.int_in_range(0..=MAX_TOKENS)?;
                let found = session.rewind(position);
                self.say("rewind", (found, session.position(), session.remaining()));
            }
            11 => {
                let position = *self.u.choose(&[0, 1, 2, 3, 7, MAX_TOKENS, usize::MAX])?;
                let found = session.logits_at(position).map(mark);
                self.say("logits_at", found);
            }
            12 => self.keep(session)?,
            13 => self.score(session, vocab)?,
            14 => self.label(session, vocab, types)?,
            15 => self.fill(session, vocab, types)?,
            16 | 17 => self.write(session, own)?,
            18 => self.search(session, own)?,
            19 => {
                let mut best = [0; 5];
                let found = session.logits().map(|logits| top(logits, &mut best));
                self.say("top", (found, best));
            }
            20 => {
                let found = session.model().self_test(&mut []);
                self.say("self_test", found);
            }
            _ => {
                let state = (session.position(), session.remaining(), session.source_len(), session.beams());
                self.say("state", (state, session.logits().map(mark)));
            }
        }
        Ok(())
    }

    /// Takes a snapshot, and sometimes modifies it.
    fn keep(&mut self, session: &mut Session<'_, '_>) -> Result<()> {
        if self.left.is_empty() || self.u.arbitrary()? {
            self.left = vec![0; session.snapshot_bytes()];
            let found = session.snapshot(&mut self.left).is_ok();
            self.say("snapshot", found);
            return Ok(());
        }
        let mut snapshot = self.left.clone();
        if self.u.ratio(1, 3)? {
            // The length depends on the tile, so a bounded choice would consume different bytes.
            let at = self.u.arbitrary::<u32>()? as usize % snapshot.len();
            snapshot[at] ^= self.u.arbitrary::<u8>()?;
        }
        let found = session.restore(&snapshot).is_ok();
        self.say("restore", (found, session.position(), session.logits().map(mark)));
        Ok(())
    }

    fn score(&mut self, session: &mut Session<'_, '_>, vocab: u32) -> Result<()> {
        let (mut ids, mask, mut scores) = (self.ids(vocab)?, self.id(vocab)?, Vec::new());
        let found = if self.u.arbitrary()? {
            task::score(session, &ids, |at, score| scores.push((at, score.to_bits())))
        } else {
            let (start, end) = (self.u.int_in_range(0..=3)?, self.u.int_in_range(0..=MAX_TOKENS)?);
            task::pseudo_score(session, &mut ids, &[], mask, start..end, |at, score| scores.push((at, score.to_bits())))
        };
        self.say("score", (found, scores));
        Ok(())
    }

    fn label(&mut self, session: &mut Session<'_, '_>, vocab: u32, types: u16) -> Result<()> {
        let (ids, types) = (self.ids(vocab)?, self.types(types)?);
        let mut scores = vec![0.0; self.u.int_in_range(0..=400)?];
        match self.u.int_in_range(0..=4)? {
            0 => {
                let found = task::classify(session, &ids, &types, &mut scores);
                self.say("classify", (found, bits(&scores)));
            }
            1 => {
                let mut rows = Vec::new();
                let each = |at: usize, scores: &[f32]| rows.push((at, bits(scores)));
                let found = task::tag(session, &ids, &types, &mut scores, each);
                self.say("tag", (found, rows));
            }
            2 => {
                let found = task::embed(session, &ids, &types, &mut scores);
                self.say("embed", (found, bits(&scores)));
            }
            3 => {
                let mut halves = vec![0; scores.len()];
                let found = task::embed_half(session, &ids, &types, &mut halves);
                self.say("embed_half", (found, halves));
            }
            _ => {
                let context = self.u.int_in_range(0..=5)?..self.u.int_in_range(0..=MAX_TOKENS)?;
                let most = *self.u.choose(&[0, 1, 3, usize::MAX])?;
                let mut scratch = vec![[0; 2]; self.u.int_in_range(0..=MAX_TOKENS)?];
                let found = task::answer(session, &ids, &types, context, most, &mut scratch);
                self.say("answer", found);
            }
        }
        Ok(())
    }

    fn fill(&mut self, session: &mut Session<'_, '_>, vocab: u32, types: u16) -> Result<()> {
        let (mut ids, types) = (self.ids(vocab)?, self.types(types)?);
        let mask = if let (Some(&id), true) = (ids.first(), self.u.arbitrary()?) { id } else { self.id(vocab)? };
        let mut rows = Vec::new();
        let found = if self.u.arbitrary()? {
            task::fill_mask(session, &ids, &types, mask, |at, logits| rows.push((at, mark(logits))))
        } else {
            task::fill_in_turn(session, &mut ids, &types, mask)
        };
        self.say("fill", (found, rows, ids));
        Ok(())
    }

    /// Random options, with some empty lists and occasionally unlimited numbers.
    fn options<'o>(&mut self, lists: &'o [Vec<u32>], slices: &'o [&'o [u32]]) -> Result<GenerateOptions<'o>> {
        let list = |u: &mut Unstructured<'_>| -> Result<&'o [u32]> {
            Ok(if u.ratio(1, 3)? { &lists[u.choose_index(lists.len())?] } else { &[] })
        };
        let several = |u: &mut Unstructured<'_>| -> Result<&'o [&'o [u32]]> {
            Ok(if u.ratio(1, 4)? { &slices[..u.int_in_range(0..=slices.len())?] } else { &[] })
        };
        let number = |u: &mut Unstructured<'_>| -> Result<usize> {
            if u.ratio(1, 20)? { Ok(usize::MAX) } else { u.int_in_range(0..=6) }
        };
        let u = &mut *self.u;
        let one = |u: &mut Unstructured<'_>| -> Result<Option<u32>> {
            if u.ratio(1, 6)? { Ok(lists[0].first().copied()) } else { Ok(None) }
        };
        let max_new_tokens = number(u)?;
        // An unlimited text that drops its oldest tokens would never end.
        let when_full = if max_new_tokens < usize::MAX && u.ratio(1, 4)? {
            WhenFull::DropOldest { keep: number(u)?, drop: number(u)? }
        } else {
            WhenFull::Stop
        };
        Ok(GenerateOptions {
            stop: list(u)?,
            stop_sequences: several(u)?,
            min_new_tokens: if u.ratio(1, 4)? { number(u)? } else { 0 },
            suppressed: list(u)?,
            suppressed_first: list(u)?,
            bad_words: several(u)?,
            no_repeat_ngram_size: if u.ratio(1, 4)? { number(u)? } else { 0 },
            choices: if u.ratio(1, 6)? { Choices::new(slices).ok() } else { None },
            when_full,
            forced_bos: one(u)?,
            forced_eos: one(u)?,
            ..GenerateOptions::new(max_new_tokens)
        })
    }

    fn lists(&mut self, vocab: u32) -> Result<Vec<Vec<u32>>> {
        let len = self.u.int_in_range(1..=3)?;
        let mut lists = (0..len).map(|_| self.ids(vocab)).collect::<Result<Vec<_>>>()?;
        lists.sort();
        Ok(lists)
    }

    fn write(&mut self, session: &mut Session<'_, '_>, vocab: u32) -> Result<()> {
        let lists = self.lists(vocab)?;
        let slices: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
        let options = self.options(&lists, &slices)?;
        let warm = SamplerOptions {
            temperature: *self.u.choose(&[0.0, 1.0, 0.001, 1000.0, 0.7])?,
            top_k: *self.u.choose(&[0, 0, 1, 3, u32::MAX])?,
            top_p: *self.u.choose(&[1.0, 0.0, 0.5, 0.99])?,
            min_p: *self.u.choose(&[0.0, 0.1, 1.0])?,
            repetition_penalty: *self.u.choose(&[1.0, 0.01, 100.0, 1.3])?,
            seed: self.u.arbitrary()?,
        };
        let mut sampler = Sampler::new(warm).expect("options in their range");
        let mut text = heapless::Vec::<u32, { MAX_TOKENS + 2 }>::new();
        let begun = self.ids(vocab)?;
        let _ = text.extend_from_slice(&begun[..begun.len().min(text.capacity())]);
        let mut stop = StopText::new(&["ab", "b"]).expect("strings of a few bytes");
        let found =
            generate(session, &mut text, &options, &mut sampler, |token| !stop.push(["a", "b"][token as usize % 2]));
        self.say("generate", (found, text, sampler.state()));
        Ok(())
    }

    fn search(&mut self, session: &mut Session<'_, '_>, vocab: u32) -> Result<()> {
        let lists = self.lists(vocab)?;
        let slices: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
        let options = self.options(&lists, &slices)?;
        let beams = BeamOptions {
            num_beams: *self.u.choose(&[1, 2, 3, 3, 0, usize::MAX])?,
            length_penalty: *self.u.choose(&[1.0, -10.0, 10.0, 0.0])?,
            early_stopping: *self.u.choose(&[EarlyStopping::Heuristic, EarlyStopping::Always, EarlyStopping::Never])?,
            repetition_penalty: *self.u.choose(&[1.0, 0.01, 100.0])?,
            renormalize_logits: self.u.arbitrary()?,
        };
        let mut memory = vec![0; BeamSearch::words(3, options.max_new_tokens.min(6))];
        let mut text = heapless::Vec::<u32, { MAX_TOKENS + 2 }>::new();
        let begun = self.ids(vocab)?;
        let _ = text.extend_from_slice(&begun[..begun.len().min(text.capacity())]);
        let mut best = Vec::new();
        let found = beam_search(session, &mut text, &options, beams, &mut memory).map(|search| {
            while let (Ok(Some(score)), true) = (search.write_finished(best.len(), &mut text), best.len() < 9) {
                best.push((score.to_bits(), mark(&text.iter().map(|&id| id as i32).collect::<Vec<_>>())));
                text.truncate(begun.len());
            }
        });
        self.say("beam_search", (found, best));
        Ok(())
    }
}
