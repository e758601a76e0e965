//! Runs a specification in `f32`: the oracle of the conversion.
//!
//! The reference uses the checkpoint's own weights, one step per line and without care for memory.
//! The integers of the runtime are compared with it, and calibration observes it.

use anyhow::{Context, Result, bail};
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{ModelSpec, Pooling, StackSpec};

use crate::real::add;
use crate::refuse;
use crate::texts::Input;
use crate::weights::Weights;

mod attention;
mod block;
mod checks;
mod convolution;
mod embedding;
mod generate;
mod head;
mod model;
mod short;

pub use crate::real::Rows;
pub(crate) use checks::check_lengths;
pub use generate::Written;
pub use model::{Observer, Step};

use attention::Cache;
use block::block;
use checks::check_input;
use embedding::{convolve, embed};
use head::head;
use model::{Layer, Model};

/// A model and the state of its text. A decoder keeps the keys and values of the tokens that it has
/// read.
#[derive(Clone)]
pub struct Reference<'a> {
    model: Model<'a>,
    /// The keys and values of each decoder layer, for the tokens so far.
    caches: Vec<Cache>,
    /// The keys and values of the encoder's output, for each decoder layer.
    cross: Vec<Cache>,
    /// The number of tokens that the decoder has read.
    position: usize,
    /// The number of the decoder's tokens that count as positions: padding may not.
    counted: usize,
    /// The position at which the head reads the decoder, for heads that read it at the position of
    /// a token of the encoder's text.
    marked: Option<usize>,
    /// The decoder's hidden state that the head reads, for heads that may read another state than
    /// the last.
    kept: Option<Vec<f32>>,
}

impl<'a> Reference<'a> {
    /// A model at the beginning of a text.
    pub fn new(spec: &'a ModelSpec, weights: &'a Weights) -> Self {
        Self::of(Model { spec, weights, narrow_keys: false, observer: None })
    }

    /// A model that reports every step to `observer`.
    pub fn observed(spec: &'a ModelSpec, weights: &'a Weights, observer: Observer<'a>) -> Self {
        Self::of(Model { spec, weights, narrow_keys: false, observer: Some(observer) })
    }

    /// A model whose keys are rounded to eight bits, with everything else in `f32`.
    pub fn with_narrow_keys(spec: &'a ModelSpec, weights: &'a Weights) -> Self {
        Self::of(Model { spec, weights, narrow_keys: true, observer: None })
    }

    fn of(model: Model<'a>) -> Self {
        let mut reference =
            Self { model, caches: Vec::new(), cross: Vec::new(), position: 0, counted: 0, marked: None, kept: None };
        reference.reset();
        reference
    }

    /// Discards the decoder's tokens, but not the encoder's output.
    pub fn reset(&mut self) {
        let layers = self.model.spec.decoder.map_or(0, |stack| usize::from(stack.num_hidden_layers));
        self.caches = vec![Cache::default(); layers];
        (self.position, self.counted, self.kept) = (0, 0, None);
    }

    /// The hidden states of the encoder, to which the decoder then attends. Without `token_types`
    /// all types are 0.
    ///
    /// When there is no encoder; when a token, a token type or the length is out of range; when the
    /// text lacks the token at which the head reads the decoder.
    pub fn encode(&mut self, ids: &[u32], token_types: &[u32]) -> Result<Rows> {
        let stack = self.model.spec.encoder.as_ref().context("this model has no encoder")?;
        if let Pooling::AtLast(token) = self.model.spec.head.pooling {
            self.marked = Some(ids.iter().rposition(|&id| id == token).ok_or_else(|| {
                refuse(
                    format_args!("the text lacks token {token}, at whose position this classifier reads the decoder"),
                    "end the text with it",
                )
            })?);
        }
        check_input(stack, ids, token_types, 0)?;
        let model = &self.model;
        let mut x = embed(model, (Stack::Encoder, stack), (ids, token_types), 0)?;
        for index in 0..usize::from(stack.num_hidden_layers) {
            let layer = Layer { model, id: Stack::Encoder, stack, index, first: 0 };
            x = block(&layer, x, &mut Cache::default(), None)?;
            if let (0, Some(convolution)) = (index, stack.convolution.parallel()) {
                let embeddings = embed(model, (Stack::Encoder, stack), (ids, token_types), 0)?;
                add(&mut x, &convolve(model, convolution, &embeddings)?);
                x = model.norm(&stack.block.norm, Role::Stack(Stack::Encoder, StackPart::ConvolutionNorm), &x)?;
            }
        }
        if let Some(spec) = &stack.final_norm {
            x = model.norm(spec, Role::Stack(Stack::Encoder, StackPart::FinalNorm), &x)?;
        }
        if let Some(decoder) = &self.model.spec.decoder {
            self.cross = (0..usize::from(decoder.num_hidden_layers))
                .map(|index| {
                    let layer = Layer { model, id: Stack::Decoder, stack: decoder, index, first: 0 };
                    let mut keys = layer.linear(BlockPart::CrossKey, &x)?.values;
                    model.narrow(&decoder.block.attention, &mut keys);
                    Ok(Cache { keys, values: layer.linear(BlockPart::CrossValue, &x)?.values })
                })
                .collect::<Result<_>>()?;
            self.reset();
        }
        Ok(x)
    }

    /// The hidden states of the decoder for the tokens `ids`, which follow those already read.
    ///
    /// # Errors
    /// When there is no decoder, its encoder has not run, or a token or the length is out of range.
    pub fn decode(&mut self, ids: &[u32]) -> Result<Rows> {
        let stack = self.model.spec.decoder.as_ref().context("this model has no decoder")?;
        if stack.block.cross_attention && self.cross.is_empty() {
            return Err(refuse("the decoder was run before the encoder", "encode the source first"));
        }
        let (model, start) = (&self.model, self.position);
        check_input(stack, ids, &[], start)?;
        let mut x = embed(model, (Stack::Decoder, stack), (ids, &[]), self.counted)?;
        for (index, cache) in self.caches.iter_mut().enumerate() {
            let layer = Layer { model, id: Stack::Decoder, stack, index, first: start };
            x = block(&layer, x, cache, self.cross.get(index))?;
        }
        self.position += ids.len();
        self.counted += ids.iter().filter(|&&id| Some(id) != stack.embedding.padding).count();
        if let Some(spec) = &stack.final_norm {
            x = model.norm(spec, Role::Stack(Stack::Decoder, StackPart::FinalNorm), &x)?;
        }
        let read = |(at, &id): (usize, &u32)| match self.model.spec.head.pooling {
            Pooling::LastExcept(padding) => id != padding || start + at == 0,
            Pooling::AtLast(_) => self.marked == Some(start + at),
            _ => false,
        };
        if let Some((row, _)) = x.rows().zip(ids.iter().enumerate()).rfind(|(_, token)| read(*token)) {
            self.kept = Some(row.to_vec());
        }
        Ok(x)
    }

    /// The hidden states that enter the first layer of a model's only stack.
    ///
    /// # Errors
    /// When a token or a length is out of range.
    pub(crate) fn first_states(&self, input: &Input) -> Result<Rows> {
        let (id, stack) = self.only_stack()?;
        let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
        check_input(stack, &input.ids, &types, 0)?;
        embed(&self.model, (id, stack), (&input.ids, &types), 0)
    }

    /// The hidden states of a whole text after one layer of a model's only stack.
    ///
    /// # Errors
    /// When the weights lack a tensor.
    pub(crate) fn layer(&self, index: usize, x: Rows) -> Result<Rows> {
        let (id, stack) = self.only_stack()?;
        block(&Layer { model: &self.model, id, stack, index, first: 0 }, x, &mut Cache::default(), None)
    }

    fn only_stack(&self) -> Result<(Stack, &'a StackSpec)> {
        match (&self.model.spec.encoder, &self.model.spec.decoder) {
            (Some(stack), None) => Ok((Stack::Encoder, stack)),
            (None, Some(stack)) => Ok((Stack::Decoder, stack)),
            _ => bail!("the model does not have one stack"),
        }
    }

    /// The results of the head for the last stack's hidden states: a row for each token, or one row
    /// if it pools.
    ///
    /// # Errors
    /// When `hidden` is empty, or the decoder has not read the token whose state the head reads.
    pub fn head(&self, hidden: &Rows) -> Result<Rows> {
        head(&self.model, hidden, self.kept.as_deref())
    }

    /// Encodes `ids`, decodes `decoder_ids`, and runs the head. Returns logits, scores of labels,
    /// hidden states or a vector. A model of one stack reads only `ids`.
    ///
    /// # Errors
    /// When a token, a token type or a length is out of range, or `decoder_ids` are given to a
    /// model that is not an encoder-decoder.
    pub fn forward(&mut self, ids: &[u32], token_types: &[u32], decoder_ids: &[u32]) -> Result<Rows> {
        let hidden = match (self.model.spec.encoder, self.model.spec.decoder) {
            (Some(_), Some(_)) => {
                check_lengths(self.model.spec, ids, decoder_ids)?;
                self.encode(ids, token_types)?;
                self.decode(decoder_ids)?
            }
            (Some(_), None) => self.encode(ids, token_types)?,
            (None, _) => {
                self.reset();
                self.decode(ids)?
            }
        };
        self.head(&hidden)
    }

    /// [`forward`](Self::forward) of an input.
    ///
    /// # Errors
    /// When a token, a token type or the length is out of range.
    pub fn answer(&mut self, input: &Input) -> Result<Rows> {
        let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
        self.forward(&input.ids, &types, &input.decoder_ids)
    }
}

#[cfg(test)]
mod tests;
