//! Defines a family as a row of the table, and the input and output of its mapping.

use anyhow::Result;
use kinglet::format::layout::Stack;
use kinglet::format::spec::{
    Activation, ActivationWidth, Direction, HeadSpec, KeyWidth, MAX_POSITIONS, ModelSpec, Multiplier, NormKind,
    NormSpec, NumericsSpec, OutputProjection, PackedSpec, Pooling, StackSpec, Task, WeightLayout,
};

use super::head::Head;
use super::options::Options;
use super::source::{Names, Prefixes, Sources, stack_sources};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::fixed::round_half_even;
use crate::refuse;

/// One family of architectures.
pub struct Family {
    /// The values of `model_type` that it serves.
    pub model_types: &'static [&'static str],
    /// The heads that it may have.
    pub(super) heads: &'static [Head],
    /// The function that fills in the stacks.
    pub(super) map: fn(&Context<'_>) -> Result<Draft>,
}

impl Family {
    /// The suffixes of `architectures` for which this family has a head, with the task of each.
    pub fn heads(&self) -> impl Iterator<Item = (&'static str, Task)> + '_ {
        self.heads.iter().flat_map(|head| head.suffixes.iter().map(|suffix| (*suffix, head.task)))
    }
}

/// The input of a family's mapping.
pub(super) struct Context<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) config: &'a Config,
    pub(super) options: &'a Options,
    pub(super) model_type: &'a str,
    /// The head that was chosen.
    pub(super) head: Head,
    /// Whether the result is one vector for the whole input, as in sentence-transformers.
    pub(super) embedding: bool,
    /// Whether the decoder attends to the output of an encoder of another family.
    pub(super) crosses: bool,
    /// Finds the family of another configuration, for models that hold one.
    pub(super) find: fn(&Config) -> Result<&'static Family>,
}

/// The stacks of a model and the sources of their tensors: everything except the head.
pub(super) struct Draft {
    pub(super) encoder: Option<StackSpec>,
    pub(super) decoder: Option<StackSpec>,
    pub(super) sources: Sources,
    /// The possible prefixes of the base model's names.
    pub(super) prefixes: Prefixes,
    /// The chosen head, or a variant of it that the configuration asks for.
    pub(super) head: Head,
    /// The norm of the head, if it has one.
    pub(super) norm: Norm,
    /// The activation of the head, if it uses the model's.
    pub(super) activation: Activation,
    /// Whether the token table is the head's matrix if the checkpoint has no other, even with
    /// `tie_word_embeddings` = false.
    pub(super) tied: bool,
    /// Whether a decoder that reads the encoder's text shifted by one token begins with the last
    /// token of the text, whatever the configuration says.
    pub(super) starts_with_last: bool,
    /// The cap on the logits of a head on the vocabulary.
    pub(super) logit_cap: Option<Multiplier>,
    /// The width of the head's transform, if it is neither that of the hidden states nor that of
    /// the token table.
    pub(super) transform_size: Option<u32>,
    pub(super) notes: Vec<String>,
}

/// The head of a model whose results are its hidden states.
pub(super) const HIDDEN: HeadSpec = HeadSpec {
    task: Task::Hidden,
    pooling: Pooling::None,
    transform: None,
    output: OutputProjection::None,
    num_outputs: 0,
    bias: false,
    normalize: false,
    soft_cap: None,
};

/// A norm without its width.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    pub(super) kind: NormKind,
    pub(super) bias: bool,
    pub(super) epsilon: f64,
}

impl Norm {
    pub(super) fn layer(epsilon: f64) -> Self {
        Self { kind: NormKind::Layer, bias: true, epsilon }
    }

    pub(super) fn rms(epsilon: f64) -> Self {
        Self { kind: NormKind::Rms, bias: false, epsilon }
    }

    pub(super) fn of(self, size: u32) -> NormSpec {
        let epsilon = round_half_even(libm::ldexp(self.epsilon * f64::from(size), 48));
        NormSpec { kind: self.kind, bias: self.bias, epsilon: epsilon.clamp(0.0, 9e18) as u64 }
    }
}

impl Context<'_> {
    /// The longest sequence for a model whose checkpoint stores `stored` positions.
    pub(super) fn stored_positions(&self, stored: u32) -> Result<u32> {
        match self.options.max_tokens {
            Some(wanted) if wanted > stored => Err(refuse(
                format_args!("{wanted} tokens were asked for, but the checkpoint has positions for {stored}"),
                format_args!("give --max-tokens {stored} or less"),
            )),
            wanted => Ok(self.limit(wanted.unwrap_or(stored), stored)),
        }
    }

    /// The longest sequence for a model whose positions are computed: the caller's, or `trained`.
    pub(super) fn computed_positions(&self, trained: u32) -> u32 {
        self.limit(self.options.max_tokens.unwrap_or(trained), MAX_POSITIONS)
    }

    fn limit(&self, wanted: u32, most: u32) -> u32 {
        let sentence = match (self.options.max_tokens, self.checkpoint.max_seq_length) {
            (None, Some(length)) if self.embedding => length.max(1),
            _ => u32::MAX,
        };
        wanted.min(most).min(MAX_POSITIONS).min(sentence)
    }
}

impl Draft {
    /// The draft of a model with one stack.
    pub(super) fn new(context: &Context<'_>, id: Stack, stack: StackSpec, names: &Names, norm: Norm) -> Self {
        let mut draft = Self {
            encoder: None,
            decoder: None,
            sources: Sources::new(),
            prefixes: names.prefixes,
            head: context.head,
            norm,
            activation: stack.block.feed_forward.activation,
            tied: false,
            starts_with_last: false,
            logit_cap: None,
            transform_size: None,
            notes: Vec::new(),
        };
        draft.add(id, stack, names);
        draft
    }

    /// Adds a stack, with the sources from its table of names.
    pub(super) fn add(&mut self, id: Stack, stack: StackSpec, names: &Names) {
        match id {
            Stack::Encoder => self.encoder = Some(stack),
            Stack::Decoder => self.decoder = Some(stack),
        }
        self.sources.append(&mut stack_sources(&self.headless(), id, names));
    }

    /// The stack that a head reads.
    pub(super) fn last(&self) -> Result<(Stack, &StackSpec)> {
        match (&self.encoder, &self.decoder) {
            (_, Some(decoder)) => Ok((Stack::Decoder, decoder)),
            (Some(encoder), None) => Ok((Stack::Encoder, encoder)),
            (None, None) => Err(refuse("the mapping has no stack", "this is a mistake in Kinglet: please report it")),
        }
    }

    /// The stacks as a specification without a head, for their shapes.
    pub(super) fn headless(&self) -> ModelSpec {
        ModelSpec {
            numerics: NumericsSpec {
                fraction_bits: 16,
                activations: ActivationWidth::A16,
                keys: KeyWidth::K8,
                weights: WeightLayout::Tiled,
                packed: PackedSpec::NONE,
                tile: 1,
            },
            direction: Direction::Forward,
            encoder: self.encoder,
            decoder: self.decoder,
            head: HIDDEN,
        }
    }
}
