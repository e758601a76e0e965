//! The inputs of a model's linear layers, and the ranges of its numbers, gathered from the
//! reference for the quantizer.

use core::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kinglet::format::layout::{BlockPart, Role};
use kinglet::format::spec::{BottleneckAttention, Direction, ModelSpec, StackSpec};

use crate::balance::Ranges;
use crate::fidelity;
use crate::opened::Source;
use crate::real::Rows;
use crate::reference::{Reference, Step};
use crate::texts::{Input, end, spread_ids};

/// For each linear layer the sum of `x x^T` over its inputs `x`; and the ranges of all numbers.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// The largest magnitudes.
    pub ranges: Ranges,
    products: BTreeMap<Role, Products>,
    /// Whether only ranges are gathered, and no sums.
    ranges_only: bool,
}

/// The sum of `x x^T`, `[width, width]`; only its upper half is kept up.
#[derive(Clone, Debug)]
pub struct Products {
    /// Numbers in a row of `x`.
    pub width: usize,
    /// Row after row.
    pub sums: Vec<f64>,
}

impl Calibration {
    /// Runs the reference over `texts` and gathers the inputs of its layers.
    ///
    /// # Errors
    /// When a text does not fit the model.
    pub fn gather(source: &Source, texts: &[Input], progress: impl FnMut()) -> Result<Self> {
        Self::default().gathering(source, texts, progress)
    }

    /// Runs the reference over `texts` and gathers the ranges of its numbers only.
    ///
    /// # Errors
    /// When a text does not fit the model.
    pub fn measure(source: &Source, texts: &[Input]) -> Result<Ranges> {
        let empty = Self { ranges_only: true, ..Self::default() };
        Ok(empty.gathering(source, texts, || {})?.ranges)
    }

    fn gathering(self, source: &Source, texts: &[Input], mut progress: impl FnMut()) -> Result<Self> {
        let spec = source.spec();
        let gathered = RefCell::new(self);
        let observer = |step: &Step<'_>| gathered.borrow_mut().add(spec, step);
        let mut reference = Reference::observed(spec, &source.weights, &observer);
        for text in texts {
            reference.answer(text)?;
            progress();
        }
        Ok(gathered.into_inner())
    }

    /// Takes in a step of the reference.
    fn add(&mut self, spec: &ModelSpec, step: &Step<'_>) {
        match *step {
            Step::Linear { role, x, out } => {
                self.ranges.add(spec, role, x, out);
                self.add_products(spec, role, x);
            }
            Step::Norm { role, x, out } => self.ranges.add(spec, role, x, out),
            Step::Score(largest) => self.ranges.add_score(largest),
            Step::Results(results) => self.ranges.add_results(results),
        }
    }

    /// Takes in what a layer reads. Layers with a common input are gathered once.
    fn add_products(&mut self, spec: &ModelSpec, role: Role, x: &Rows) {
        if self.ranges_only || reader(spec, role) != role {
            return;
        }
        let width = x.width;
        let products = self.products.entry(role).or_insert_with(|| Products { width, sums: vec![0.0; width * width] });
        for row in x.rows() {
            for (at, (&value, sums)) in row.iter().zip(products.sums.chunks_exact_mut(width)).enumerate() {
                let value = f64::from(value);
                for (sum, &other) in sums[at..].iter_mut().zip(&row[at..]) {
                    *sum += value * f64::from(other);
                }
            }
        }
    }

    /// Whether no layer was seen.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// The inputs of a layer, if it was run.
    pub fn get(&self, spec: &ModelSpec, role: Role) -> Option<&Products> {
        self.products.get(&reader(spec, role))
    }
}

/// Makes `text` fit the model: cuts tokens beyond its positions, and gives the decoder of an
/// encoder-decoder tokens where the text has none for it. Returns whether the text was cut.
///
/// # Errors
/// When the text is empty, or has a token or a token type that the model does not have; the message
/// names it.
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
            bail!("it has `decoder_ids`, and the model is no encoder-decoder\nleave them out")
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

/// The first token of a decoder with an encoder.
fn start(source: &Source, vocab_size: u32) -> u32 {
    let special = &source.mapping.special;
    special.decoder_start.or(special.bos).filter(|&id| id < vocab_size).unwrap_or(0)
}

/// The layer under whose role a layer's input is gathered: the first of the layers with that input.
pub(crate) fn reader(spec: &ModelSpec, role: Role) -> Role {
    let Role::Block(stack, block, part) = role else { return role };
    let bottleneck = spec.stack(stack).and_then(|stack| stack.block.bottleneck);
    let shared = bottleneck.is_some_and(|bottleneck| bottleneck.attention == BottleneckAttention::Shared);
    let first = match part {
        BlockPart::Value if shared => BlockPart::Narrow,
        BlockPart::NarrowShared => BlockPart::Narrow,
        BlockPart::Key | BlockPart::Value => BlockPart::Query,
        BlockPart::CrossValue => BlockPart::CrossKey,
        BlockPart::Gate => BlockPart::Up,
        other => other,
    };
    Role::Block(stack, block, first)
}

/// Texts to calibrate on when the caller gives none. A decoder writes its own; other models get
/// token ids spread over the vocabulary, in texts of many lengths between the tokens that frame a
/// text.
///
/// # Errors
/// When the reference cannot run the model.
pub fn standard_texts(source: &Source) -> Result<Vec<Input>> {
    let spec = source.spec();
    if spec.encoder.is_none() {
        return fidelity::sample_texts(source, 12, 160, 0x5eed);
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
