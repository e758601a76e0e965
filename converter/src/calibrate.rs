//! Collects the inputs of a model's linear layers, and the ranges of its numbers, from the
//! reference.

use core::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kinglet::format::layout::{BlockPart, Role};
use kinglet::format::spec::{BottleneckAttention, Direction, ModelSpec, StackSpec};
use rayon::prelude::*;

use crate::balance::Ranges;
use crate::fidelity;
use crate::opened::Source;
use crate::progress::Progress;
use crate::real::Rows;
use crate::reference::{Reference, Step};
use crate::texts::{Input, end, spread_ids};
use crate::weights::Weights;

mod products;

pub use products::Products;

/// About the number of tokens whose inputs are held at a time. Their texts run through the
/// reference in parallel.
const BATCH: usize = 2048;

/// The sum of `x x^T` over the inputs `x` of each linear layer, and the ranges of all numbers.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// The largest magnitudes.
    pub ranges: Ranges,
    /// The weights that are rounded in place of the model's, if [`compensate`] has changed them.
    ///
    /// [`compensate`]: crate::quantize::compensate
    pub adjusted: Option<Weights>,
    products: BTreeMap<Role, Products>,
    /// Whether only ranges are collected, and no sums.
    ranges_only: bool,
}

/// The inputs and ranges of one text.
#[derive(Default)]
struct Seen {
    ranges: Ranges,
    /// The inputs of the layers, with the layer's role, in the order of the steps.
    inputs: Vec<(Role, Rows)>,
}

impl Calibration {
    /// Runs the reference on `texts`, and collects the inputs of its layers.
    ///
    /// # Errors
    /// When a text does not fit the model.
    pub fn gather(source: &Source, texts: &[Input], progress: Progress<'_>) -> Result<Self> {
        Self::default().gathering(source, texts, progress)
    }

    /// Runs the reference on `texts`, and collects only the ranges of its numbers.
    ///
    /// # Errors
    /// When a text does not fit the model.
    pub fn measure(source: &Source, texts: &[Input], progress: Progress<'_>) -> Result<Ranges> {
        let empty = Self { ranges_only: true, ..Self::default() };
        Ok(empty.gathering(source, texts, progress)?.ranges)
    }

    fn gathering(mut self, source: &Source, texts: &[Input], progress: Progress<'_>) -> Result<Self> {
        let mut rest = texts;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fitting = rest.iter().take_while(|text| {
                tokens += text.ids.len() + text.decoder_ids.len();
                tokens <= BATCH
            });
            let (batch, left) = rest.split_at(fitting.count().max(1));
            rest = left;
            let seen = batch.par_iter().map(|text| {
                let seen = Seen::of(source, text, self.ranges_only);
                progress();
                seen
            });
            let seen = seen.collect::<Result<Vec<Seen>>>()?;
            self.add(seen);
        }
        Ok(self)
    }

    /// Adds the observations of some texts. Sums are computed in the order of the texts, so that
    /// the number of threads changes no bit.
    fn add(&mut self, seen: Vec<Seen>) {
        let mut inputs = BTreeMap::<Role, Vec<Rows>>::new();
        for text in seen {
            self.ranges.merge(&text.ranges);
            text.inputs.into_iter().for_each(|(role, x)| inputs.entry(role).or_default().push(x));
        }
        for (role, inputs) in &inputs {
            let width = inputs.first().map_or(0, |x| x.width);
            let rows: Vec<&[f32]> = inputs.iter().flat_map(Rows::rows).collect();
            self.products.entry(*role).or_insert_with(|| Products::new(width)).add(&rows);
        }
    }

    /// Whether no layer was observed.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// Replaces the inputs of a layer; `role` is that of the first layer with these inputs.
    pub(crate) fn replace(&mut self, role: Role, products: Products) {
        self.products.insert(role, products);
    }

    /// The inputs of a layer, if it was run.
    pub fn get(&self, spec: &ModelSpec, role: Role) -> Option<&Products> {
        self.products.get(&reader(spec, role))
    }
}

impl Seen {
    /// Runs the reference over a text.
    fn of(source: &Source, text: &Input, ranges_only: bool) -> Result<Self> {
        let spec = source.spec();
        let seen = RefCell::new(Self::default());
        let observer = |step: &Step<'_>| seen.borrow_mut().add(spec, step, ranges_only);
        Reference::observed(spec, &source.weights, &observer).answer(text)?;
        Ok(seen.into_inner())
    }

    /// Adds a step of the reference. A common input of several layers is collected once.
    fn add(&mut self, spec: &ModelSpec, step: &Step<'_>, ranges_only: bool) {
        match *step {
            Step::Linear { role, x, out } => {
                self.ranges.add(spec, role, x, out);
                if !ranges_only && reader(spec, role) == role {
                    self.inputs.push((role, x.clone()));
                }
            }
            Step::Norm { role, x, out } | Step::Convolution { role, x, out } => self.ranges.add(spec, role, x, out),
            Step::Score(largest) => self.ranges.add_score(largest),
            Step::Results(results) => self.ranges.add_results(results),
        }
    }
}

/// Makes `text` fit the model: truncates it to the model's positions, and supplies the decoder of
/// an encoder-decoder with tokens if the text has none for it. Returns whether the text was
/// truncated.
///
/// # Errors
/// When the text is empty, or has a token or a token type that the model lacks; the message names
/// it.
pub fn fit(source: &Source, text: &mut Input) -> Result<bool> {
    let spec = source.spec();
    let first = spec.encoder.as_ref().or(spec.decoder.as_ref()).context("the model has no stack")?;
    let types = u32::from(first.embedding.token_types).max(1);
    if let Some(unknown) = text.token_types.iter().find(|&&one| u32::from(one) >= types) {
        bail!(
            "token type {unknown} is not one of the model's {types}\ncalibrate on texts that were made for this model"
        );
    }
    if spec.direction == Direction::Backward {
        text.ids.reverse();
    }
    let mut cut = check_and_cut(first, &mut text.ids)?;
    text.token_types.truncate(text.ids.len());
    match (&spec.encoder, &spec.decoder) {
        (Some(_), Some(decoder)) => {
            if text.decoder_ids.is_empty() {
                let vocab_size = decoder.embedding.vocab_size;
                text.decoder_ids.push(start(source, vocab_size));
                text.decoder_ids.extend(spread_ids(text.ids.len(), vocab_size));
                text.decoder_ids.truncate(decoder.max_positions as usize);
            }
            cut |= check_and_cut(decoder, &mut text.decoder_ids)?;
        }
        _ if !text.decoder_ids.is_empty() => {
            bail!("it has `decoder_ids`, and the model is not an encoder-decoder\nleave them out")
        }
        _ => {}
    }
    Ok(cut)
}

fn check_and_cut(stack: &StackSpec, ids: &mut Vec<u32>) -> Result<bool> {
    let vocab_size = stack.embedding.vocab_size;
    if ids.is_empty() {
        bail!("it has no tokens\ngive a text, or leave it out");
    }
    if let Some(unknown) = ids.iter().find(|&&id| id >= vocab_size) {
        bail!(
            "token {unknown} is not in the vocabulary of {vocab_size}\ncalibrate on texts that were made for this model"
        );
    }
    let positions = stack.max_positions as usize;
    let cut = ids.len() > positions;
    ids.truncate(positions);
    Ok(cut)
}

/// The first token of an encoder-decoder's decoder.
fn start(source: &Source, vocab_size: u32) -> u32 {
    let special = &source.mapping.special;
    special.decoder_start.or(special.bos).filter(|&id| id < vocab_size).unwrap_or(0)
}

/// The role under which a layer's input is collected: that of the first layer with this input.
pub(crate) fn reader(spec: &ModelSpec, role: Role) -> Role {
    let Role::Block(stack, block, part) = role else { return role };
    let bottleneck = spec.stack(stack).and_then(|stack| stack.block.bottleneck);
    let shared = bottleneck.is_some_and(|bottleneck| bottleneck.attention == BottleneckAttention::Shared);
    let first = match part {
        BlockPart::Value if shared => BlockPart::Narrow,
        BlockPart::NarrowShared => BlockPart::Narrow,
        BlockPart::Key | BlockPart::Value | BlockPart::SpanValue => BlockPart::Query,
        BlockPart::CrossValue => BlockPart::CrossKey,
        BlockPart::Gate => BlockPart::Up,
        other => other,
    };
    Role::Block(stack, block, first)
}

/// The number of tokens in a text that a decoder writes for its calibration.
pub const OWN_TOKENS: usize = 160;

/// Texts that a decoder writes for its own calibration. A larger `count` adds texts to those of a
/// smaller one.
///
/// # Errors
/// When the model is not a decoder.
pub fn own_texts(source: &Source, count: usize) -> Result<Vec<Input>> {
    fidelity::sample_texts(source, count, OWN_TOKENS, 0x5eed)
}

/// The default texts for calibration. A decoder writes its own; other models get token ids spread
/// over the vocabulary, in texts of many lengths, framed by special tokens.
///
/// # Errors
/// When the reference cannot run the model.
pub fn standard_texts(source: &Source) -> Result<Vec<Input>> {
    let spec = source.spec();
    if spec.encoder.is_none() {
        return own_texts(source, 12);
    }
    let special = &source.mapping.special;
    let positions = spec.encoder.map_or(0, |stack| stack.max_positions as usize);
    let vocab_size = spec.encoder.map_or(1, |stack| stack.embedding.vocab_size);
    let target_vocab_size = spec.decoder.map_or(1, |stack| stack.embedding.vocab_size);
    let target_positions = spec.decoder.map_or(0, |stack| stack.max_positions as usize);
    let lengths = [1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 16, 24];
    let mut ids = spread_ids(24 * lengths.iter().sum::<usize>(), vocab_size).into_iter();
    let mut targets = spread_ids(24 * lengths.iter().sum::<usize>(), target_vocab_size).into_iter();
    let texts = (0..24).flat_map(|_| lengths).map(|length| {
        let inside: Vec<u32> = ids.by_ref().take(length).collect();
        let framed = special.cls.into_iter().chain(inside).chain(special.sep);
        let mut decoder_ids = match spec.decoder {
            Some(_) => {
                let start = start(source, target_vocab_size);
                core::iter::once(start).chain(targets.by_ref().take(length)).take(target_positions).collect()
            }
            None => Vec::new(),
        };
        let mut ids = framed.take(positions).collect();
        end(spec, &mut ids, &mut decoder_ids);
        Input { ids, decoder_ids, ..Input::default() }
    });
    Ok(texts.collect())
}
