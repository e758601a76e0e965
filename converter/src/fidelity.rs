//! Compares the integers of the runtime with real numbers: a blob with the reference on its
//! checkpoint.

use core::cmp::Ordering;
use core::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kinglet::format::spec::{Direction, ModelSpec, NumericsSpec, PackedSpec, Task};
use kinglet::{AlignedVec, MemoryPlan, Model, Session};
use rayon::prelude::*;
use serde::Serialize;

use crate::balance::architecture;
use crate::family::Options;
use crate::opened::Source;
use crate::progress::Progress;
use crate::real::Rows;
use crate::reference::{Reference, check_lengths};
use crate::refuse;
use crate::texts::{Input, end, spread_ids};

/// The agreement of the runtime with the reference, over some inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Fidelity {
    /// The number of rows that were compared: tokens, or whole texts if the head pools.
    pub rows: usize,
    /// Mean cosine between the rows.
    pub cosine_mean: f64,
    /// The smallest cosine.
    pub cosine_min: f64,
    /// The index of the input with the smallest cosine.
    pub least: usize,
    /// The cosine between all results, each taken as one vector. It is meaningful for rows of one
    /// or two numbers, whose own cosine is not.
    pub cosine_all: f64,
    /// The length of a row.
    pub width: usize,
    /// The agreement of the predictions, if the model predicts tokens.
    pub language: Option<LanguageFidelity>,
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "against the f32 reference over {} rows: ", self.rows)?;
        write!(f, "cosine {:.5} mean, {:.5} least", self.cosine_mean, self.cosine_min)?;
        let Some(language) = &self.language else { return Ok(()) };
        write!(f, "; KL {:.5} nats a token, ", language.kl)?;
        write!(f, "the same likeliest token {:.2} %", 100.0 * language.top1)?;
        if let (Some(exact), Some(found)) = (language.perplexity_reference, language.perplexity) {
            let change = 100.0 * (found / exact - 1.0);
            write!(f, "; perplexity {found:.4}, reference {exact:.4} ({change:+.2} %)")?;
        }
        Ok(())
    }
}

/// The advice for a blob that is far from the reference.
pub const ADVICE: &str =
    "convert it with --activations a16, --weights int8, --keys 16, or --calibration with texts of its use";

impl Fidelity {
    /// The cosine that measures the agreement of these results.
    pub fn cosine(&self) -> f64 {
        if self.width > 2 { self.cosine_mean } else { self.cosine_all }
    }

    /// Whether the results are farther from the reference than quantization explains.
    ///
    /// The golden checkpoints of all families have random weights, which are the hardest case. The
    /// worst of them is at 0.9994 with int8 weights, and at 0.931 with int4 weights in groups of 64
    /// and 8-bit activations.
    pub fn is_broken(&self, numerics: &NumericsSpec) -> bool {
        let least = if numerics.packed == PackedSpec::NONE { 0.98 } else { 0.9 };
        // NaN counts as far.
        !matches!(self.cosine().partial_cmp(&least), Some(Ordering::Greater | Ordering::Equal))
    }
}

/// The agreement of the predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LanguageFidelity {
    /// The mean Kullback-Leibler divergence from the reference's distribution, in nats per token.
    pub kl: f64,
    /// The share of positions at which both find the same token likeliest.
    pub top1: f64,
    /// The perplexity of the text to the reference; only decoders have one.
    pub perplexity_reference: Option<f64>,
    /// The perplexity of the text to the runtime.
    pub perplexity: Option<f64>,
}

/// Runs a session on an input. Returns a row for each token, or one row if the head pools.
///
/// # Errors
/// The errors of [`Session::encode`] and [`Session::prefill`], and that of [`Reference::forward`]
/// if the lengths contradict each other.
pub fn run(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    decoder_ids: &[u32],
) -> Result<Vec<Vec<i32>>> {
    let spec = session.model().spec();
    let pools = !matches!(spec.head.pooling, kinglet::format::spec::Pooling::None);
    let target = match (&spec.encoder, &spec.decoder) {
        (Some(_), None) => {
            session.encode(ids, token_types)?;
            return if pools {
                Ok(vec![session.logits()?.to_vec()])
            } else {
                (0..ids.len()).map(|position| Ok(session.logits_at(position)?.to_vec())).collect()
            };
        }
        (Some(_), Some(_)) => {
            check_lengths(spec, ids, decoder_ids)?;
            session.encode(ids, token_types)?;
            decoder_ids
        }
        (None, _) => ids,
    };
    session.reset();
    if pools {
        session.prefill(target)?;
        return Ok(vec![session.logits()?.to_vec()]);
    }
    let mut rows = Vec::new();
    session.prefill_each(target, |_, logits| rows.push(logits.to_vec()))?;
    Ok(rows)
}

/// Runs the runtime and the reference on each input, in parallel. `tile` is that of the runtime.
///
/// # Errors
/// When an input does not fit the model.
pub fn compare(
    source: &Source,
    model: &Model<'_>,
    inputs: &[Input],
    tile: usize,
    progress: Progress<'_>,
) -> Result<Fidelity> {
    let spec = model.spec();
    let unit = libm::ldexp(1.0, -i32::from(spec.numerics.fraction_bits));
    compare_each(spec, inputs, |input, comparison| {
        let exact = Reference::new(source.spec(), &source.weights).answer(input)?;
        let longest = input.ids.len().max(input.decoder_ids.len());
        let plan = MemoryPlan::new(spec, longest, longest, tile)?;
        let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes())?);
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        let integers = run(&mut session, &input.ids, &input.token_types, &input.decoder_ids)?;
        let found = integers.iter().map(|row| row.iter().map(|&x| f64::from(x) * unit).collect());
        comparison.add(input, &exact, found);
        progress();
        Ok(())
    })
}

/// Runs `one` on each input, in parallel, and merges the comparisons. The result does not depend on
/// the number of threads.
///
/// The errors of `one`.
pub(crate) fn compare_each<'a, T: Sync>(
    spec: &'a ModelSpec,
    inputs: &[T],
    one: impl Fn(&T, &mut Comparison<'a>) -> Result<()> + Sync,
) -> Result<Fidelity> {
    let each = inputs.par_iter().map(|input| {
        let mut comparison = Comparison::new(spec);
        one(input, &mut comparison)?;
        Ok(comparison)
    });
    let mut all = Comparison::new(spec);
    each.collect::<Result<Vec<_>>>()?.into_iter().for_each(|comparison| all.merge(comparison));
    Ok(all.finish())
}

/// A running comparison with the reference.
pub(crate) struct Comparison<'a> {
    spec: &'a ModelSpec,
    cosines: Vec<f64>,
    /// The smallest cosine, and the index of its input.
    least: (f64, usize),
    inputs: usize,
    /// Sums over all results: of the products of both, and of the squares of each.
    all: [f64; 3],
    width: usize,
    language: Language,
}

impl<'a> Comparison<'a> {
    /// A comparison of nothing.
    fn new(spec: &'a ModelSpec) -> Self {
        Self {
            spec,
            cosines: Vec::new(),
            least: (1.0, 0),
            inputs: 0,
            all: [0.0; 3],
            width: 0,
            language: Language::default(),
        }
    }

    /// Adds the rows of one input.
    pub(crate) fn add(&mut self, input: &Input, exact: &Rows, found: impl Iterator<Item = Vec<f64>>) {
        let spec = self.spec;
        let read = if spec.encoder.is_some() { &input.decoder_ids } else { &input.ids };
        self.width = exact.width;
        for (position, (exact, found)) in exact.rows().zip(found).enumerate() {
            let exact: Vec<f64> = exact.iter().map(|&x| f64::from(x)).collect();
            let cosine = cosine(&exact, &found);
            self.cosines.push(cosine);
            if cosine < self.least.0 {
                self.least = (cosine, self.inputs);
            }
            for (x, y) in exact.iter().zip(&found) {
                self.all = [self.all[0] + x * y, self.all[1] + x * x, self.all[2] + y * y];
            }
            if matches!(spec.head.task, Task::CausalLm | Task::MaskedLm) {
                let next = read.get(position + 1).filter(|_| spec.head.task == Task::CausalLm);
                self.language.add(&exact, &found, next.copied());
            }
        }
        self.inputs += 1;
    }

    /// Adds a comparison of the inputs that follow.
    fn merge(&mut self, next: Self) {
        if next.least.0 < self.least.0 {
            self.least = (next.least.0, self.inputs + next.least.1);
        }
        self.cosines.extend(next.cosines);
        self.inputs += next.inputs;
        self.all = core::array::from_fn(|at| self.all[at] + next.all[at]);
        self.width = next.width;
        self.language.merge(&next.language);
    }

    /// The result of the comparison.
    fn finish(self) -> Fidelity {
        let rows = self.cosines.len();
        let [product, exact, found] = self.all;
        let lengths = libm::sqrt(exact * found);
        Fidelity {
            rows,
            cosine_mean: self.cosines.iter().sum::<f64>() / rows.max(1) as f64,
            cosine_min: self.least.0,
            least: self.least.1,
            cosine_all: if lengths > 0.0 { product / lengths } else { 1.0 },
            width: self.width,
            language: (self.language.rows > 0).then(|| self.language.finish()),
        }
    }
}

/// The inputs of a report: two texts, which the reference writes for a decoder.
///
/// # Errors
/// When the reference cannot run the model.
pub fn standard_inputs(source: &Source) -> Result<Vec<Input>> {
    if source.spec().encoder.is_none() { sample_texts(source, 2, 48, 0) } else { Ok(spread_texts(source, 2, 24)) }
}

/// Texts that the reference writes, each from a beginning-of-text token, at temperature 1. A
/// decoder is compared on them.
///
/// # Errors
/// When the model is not a decoder.
pub fn sample_texts(source: &Source, count: usize, len: usize, seed: u64) -> Result<Vec<Input>> {
    let spec = source.spec();
    let decoder = spec.decoder.filter(|_| spec.encoder.is_none()).context("only a decoder writes texts")?;
    let len = len.min(decoder.max_positions as usize);
    let special = &source.mapping.special;
    let first = match spec.direction {
        Direction::Forward => special.bos.or(special.eos.first().copied()),
        Direction::Backward => special.eos.first().copied().or(special.bos),
    };
    let first = first.filter(|&id| id < decoder.embedding.vocab_size).unwrap_or(0);
    let mut random = SplitMix(seed);
    // Each text has random numbers of its own, so that texts can be written in parallel.
    let places: Vec<Vec<f64>> = (0..count).map(|_| (1..len).map(|_| random.next()).collect()).collect();
    let texts = places.into_par_iter().map(|places| {
        let mut reference = Reference::new(spec, &source.weights);
        let mut ids = vec![first];
        for place in places {
            let hidden = reference.decode(&ids[ids.len() - 1..])?;
            let logits = reference.head(&hidden)?;
            let row = logits.rows().last().context("no logits")?;
            ids.push(draw(row, place));
        }
        Ok(Input { ids, ..Input::default() })
    });
    texts.collect()
}

/// The longest input of an encoder in [`standard_texts`].
const ENCODER_TOKENS: usize = 32;

/// The inputs on which a blob is compared with its checkpoint if the caller has none: texts that the
/// reference of a decoder writes, or token ids spread over the vocabulary.
///
/// # Errors
/// When the reference cannot run.
pub fn standard_texts(source: &Source, count: usize, tokens: usize, seed: u64) -> Result<Vec<Input>> {
    let spec = source.spec();
    let tokens = tokens.min(spec.last_stack()?.max_positions as usize);
    if spec.encoder.is_none() {
        return sample_texts(source, count, tokens, seed);
    }
    Ok(spread_texts(source, count, tokens.min(ENCODER_TOKENS)))
}

/// Opens the checkpoint of a blob with the options of its conversion that `spec` records.
///
/// # Errors
/// When the folder does not hold a checkpoint that can be converted.
pub fn open_source(dir: &Path, adapter: Option<PathBuf>, spec: &ModelSpec) -> Result<Source> {
    let numerics = &spec.numerics;
    let options = Options {
        activations: numerics.activations,
        keys: numerics.keys,
        weights: numerics.weights,
        direction: Some(spec.direction),
        task: Some(spec.head.task),
        tile: Some(numerics.tile),
        max_tokens: Some(spec.last_stack()?.max_positions),
        adapter,
        ..Options::default()
    };
    let mut source = Source::open(dir, &options)?;
    source.mapping.spec.numerics.packed = numerics.packed;
    Ok(source)
}

/// Checks that a checkpoint, opened with [`open_source`], has the architecture of a blob.
///
/// # Errors
/// When it is the checkpoint of another blob, or its vocabulary has another size.
pub fn check_source(source: &Source, dir: &Path, spec: &ModelSpec) -> Result<()> {
    if architecture(source.spec()) == architecture(spec) {
        return Ok(());
    }
    Err(refuse(
        format_args!("{} is not the checkpoint of this blob: its architecture differs", dir.display()),
        "give the folder that was converted, and the options that cut its vocabulary, if any did",
    ))
}

/// Token ids spread over the vocabulary. An encoder is compared on them if there are no texts.
pub fn spread_texts(source: &Source, count: usize, len: usize) -> Vec<Input> {
    let spec = source.spec();
    let limit = |stack: Option<&kinglet::format::spec::StackSpec>| {
        let stack = stack.or(spec.decoder.as_ref());
        stack.map_or((0, 1), |stack| (stack.max_positions as usize, stack.embedding.vocab_size))
    };
    let (positions, vocab_size) = limit(spec.encoder.as_ref());
    let (target_positions, target_vocab_size) = limit(spec.decoder.as_ref());
    let both = spec.encoder.is_some() && spec.decoder.is_some();
    let all = spread_ids(count * len, vocab_size);
    let target = spread_ids(count * len, target_vocab_size);
    let cut = |ids: &[u32], at: usize, positions: usize| ids[at * len..(at + 1) * len][..len.min(positions)].to_vec();
    (0..count)
        .map(|at| {
            let mut ids = cut(&all, at, positions);
            let mut decoder_ids = if both { cut(&target, at, target_positions) } else { Vec::new() };
            end(spec, &mut ids, &mut decoder_ids);
            Input { ids, decoder_ids, ..Input::default() }
        })
        .collect()
}

/// The cosine of two vectors; 1 if either is zero.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = libm::sqrt(dot(a, a) * dot(b, b));
    if lengths > 0.0 { dot(a, b) / lengths } else { 1.0 }
}

#[derive(Default)]
struct Language {
    rows: usize,
    kl: f64,
    same: usize,
    predicted: usize,
    surprise_reference: f64,
    surprise: f64,
}

impl Language {
    fn add(&mut self, exact: &[f64], found: &[f64], next: Option<u32>) {
        let (exact, found) = (log_softmax(exact), log_softmax(found));
        self.rows += 1;
        self.kl += exact.iter().zip(&found).map(|(p, q)| libm::exp(*p) * (p - q)).sum::<f64>();
        self.same += usize::from(largest(&exact) == largest(&found));
        if let Some(next) = next {
            self.predicted += 1;
            self.surprise_reference -= exact[next as usize];
            self.surprise -= found[next as usize];
        }
    }

    fn merge(&mut self, next: &Self) {
        self.rows += next.rows;
        self.kl += next.kl;
        self.same += next.same;
        self.predicted += next.predicted;
        self.surprise_reference += next.surprise_reference;
        self.surprise += next.surprise;
    }

    fn finish(self) -> LanguageFidelity {
        let rows = self.rows as f64;
        let perplexity = |surprise: f64| (self.predicted > 0).then(|| libm::exp(surprise / self.predicted as f64));
        LanguageFidelity {
            kl: self.kl / rows,
            top1: self.same as f64 / rows,
            perplexity_reference: perplexity(self.surprise_reference),
            perplexity: perplexity(self.surprise),
        }
    }
}

pub(crate) fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum = libm::log(logits.iter().map(|x| libm::exp(x - largest)).sum::<f64>());
    logits.iter().map(|x| x - largest - sum).collect()
}

fn largest(values: &[f64]) -> Option<usize> {
    let index = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    index.map(|(index, _)| index)
}

/// The token at `place`, in `0..1`, of the cumulative distribution.
fn draw(logits: &[f32], place: f64) -> u32 {
    let exact: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    let mut left = place;
    for (index, log) in log_softmax(&exact).iter().enumerate() {
        left -= libm::exp(*log);
        if left < 0.0 {
            return index as u32;
        }
    }
    logits.len() as u32 - 1
}

struct SplitMix(u64);

impl SplitMix {
    /// A number in `0..1`.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 * libm::ldexp(1.0, -53)
    }
}
