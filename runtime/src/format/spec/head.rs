//! The head as data: from hidden states to the result.

use serde::{Deserialize, Serialize};

use super::block::{Activation, NormSpec};
use super::numerics::Multiplier;

/// The head, computed from the hidden states: pool, transform, project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadSpec {
    /// What the result means.
    pub task: Task,
    /// Which hidden state is read.
    pub pooling: Pooling,
    /// A dense layer, activation and norm before the output projection.
    pub transform: Option<TransformSpec>,
    /// The output projection.
    pub output: OutputProjection,
    /// Rows of the output projection: the vocabulary, the labels, 2 for a span; 0 when there is
    /// none.
    pub num_outputs: u32,
    /// Whether the output projection has a bias.
    pub bias: bool,
    /// Scale the result to unit length.
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
    /// The name of the pipeline of Hugging Face's `transformers` that does this; of tasks that it
    /// has none for, the name on the Hub or of the head.
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

/// Which hidden state the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// Each token's own.
    None,
    /// The first token's.
    First,
    /// The last token's.
    Last,
    /// The mean over all tokens.
    Mean,
    /// A decoder's last token's that is not this one, with which texts are filled up; the first
    /// token's where there is no other.
    LastExcept(u32),
    /// In a model of two stacks the decoder's state at the place where the encoder's text has this
    /// token last (BART, T5).
    AtLast(u32),
}

/// A dense layer, activation and norm before the output projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransformSpec {
    /// Width of its result.
    pub size: u32,
    /// Whether the dense layer has a bias.
    pub bias: bool,
    /// The activation function.
    pub activation: Activation,
    /// A norm after the activation.
    pub norm: Option<NormSpec>,
}

/// Where the output projection's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OutputProjection {
    /// There is none.
    None,
    /// In the token table of the stack that the head reads.
    Tied,
    /// In a matrix of its own.
    Own,
}
