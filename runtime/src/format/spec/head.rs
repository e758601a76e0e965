//! Describes the head, from hidden states to the result.

use serde::{Deserialize, Serialize};

use super::block::{Activation, NormSpec};
use super::numerics::Multiplier;

/// The head, computed from the hidden states: pool, transform, project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadSpec {
    /// What the result means.
    pub task: Task,
    /// The hidden states that the head reads.
    pub pooling: Pooling,
    /// A dense layer, activation and norm before the output projection.
    pub transform: Option<TransformSpec>,
    /// The output projection.
    pub output: OutputProjection,
    /// Rows of the output projection: the size of the vocabulary, the number of labels, or 2 for a
    /// span; 0 without an output projection.
    pub num_outputs: u32,
    /// Whether the output projection has a bias.
    pub bias: bool,
    /// Whether the result is scaled to unit length.
    pub normalize: bool,
    /// `cap * tanh(logit / cap)` on the logits.
    pub soft_cap: Option<Multiplier>,
}

/// What the head's result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Task {
    /// Hidden states of every token.
    Hidden,
    /// One vector for the whole input.
    Embedding,
    /// The next token.
    CausalLm,
    /// The token under a mask.
    MaskedLm,
    /// One of several labels.
    Classification,
    /// Any of several labels.
    MultiLabelClassification,
    /// A number, or several.
    Regression,
    /// A label for each token.
    TokenClassification,
    /// Start and end of an answer.
    QuestionAnswering,
    /// Whether each token was replaced (ELECTRA).
    ReplacedToken,
}

impl Task {
    /// The name of the task's pipeline in Hugging Face's `transformers`, or, for a task without a
    /// pipeline, its name on the Hub or the name of the head.
    ///
    /// ```
    /// use kinglet::format::spec::Task;
    ///
    /// assert_eq!(Task::CausalLm.pipeline(), "text-generation");
    /// ```
    pub const fn pipeline(self) -> &'static str {
        match self {
            Self::Hidden => "feature-extraction",
            Self::Embedding => "sentence-similarity",
            Self::CausalLm => "text-generation",
            Self::MaskedLm => "fill-mask",
            Self::Classification | Self::MultiLabelClassification | Self::Regression => "text-classification",
            Self::TokenClassification => "token-classification",
            Self::QuestionAnswering => "question-answering",
            Self::ReplacedToken => "replaced-token-detection",
        }
    }
}

/// The hidden states that the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// The state of each token, without pooling.
    None,
    /// The state of the first token.
    First,
    /// The state of the last token.
    Last,
    /// The mean of all states.
    Mean,
    /// A decoder's state of the last token other than this padding token; of the first token if
    /// all are padding.
    LastExcept(u32),
    /// An encoder-decoder's decoder state at the position of this token's last occurrence in the
    /// encoder's input (BART, T5).
    AtLast(u32),
}

/// A dense layer, activation and norm before the output projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransformSpec {
    /// Width of the dense layer's result.
    pub size: u32,
    /// Whether the dense layer has a bias.
    pub bias: bool,
    /// The activation function.
    pub activation: Activation,
    /// A norm after the activation.
    pub norm: Option<NormSpec>,
}

/// The weights of the output projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OutputProjection {
    /// There is no output projection.
    None,
    /// The token table of the stack that the head reads.
    Tied,
    /// A matrix of the head.
    Own,
}
