//! Describes heads as data.

use kinglet::format::spec::{Activation, Pooling, Task};

use super::source::{Pick, Prefixes, tensor};

/// A head of a family.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// The suffixes of `architectures` that have this head.
    pub(super) suffixes: &'static [&'static str],
    /// [`Task::Classification`] also stands for [`Task::Regression`] and
    /// [`Task::MultiLabelClassification`].
    pub(super) task: Task,
    pub(super) pooling: Pooling,
    /// The token that counts as the last one, for a head that reads the last token.
    pub(super) last: Last,
    pub(super) transform: Option<Transform>,
    pub(super) output: Output,
    /// The prefixes of tensors that a checkpoint may have and this head does not need.
    pub(super) unused: &'static [&'static str],
}

/// A dense layer, activation and norm before the output projection.
#[derive(Clone, Copy)]
pub(super) struct Transform {
    /// The name of the dense layer.
    pub(super) dense: &'static str,
    pub(super) bias: bool,
    /// Whether the output is as wide as the token table rather than the hidden states.
    pub(super) narrow: bool,
    /// The activation; `None` for the model's own.
    pub(super) activation: Option<Activation>,
    /// The name of the norm.
    pub(super) norm: Option<&'static str>,
}

/// The token that counts as the last one.
#[derive(Clone, Copy)]
pub(super) enum Last {
    /// The last token of the text.
    Any,
    /// The last token that is not the padding token.
    NotPadding,
    /// The decoder's token at the position of the last end token in the encoder's text.
    OfEnd,
}

/// The output projection.
#[derive(Clone, Copy)]
pub(super) enum Output {
    None,
    /// A row for each token of the vocabulary.
    Vocabulary {
        /// The possible names of its matrix, if that is not the token table.
        weight: &'static [&'static str],
        /// The possible names of its bias; empty if it has none.
        bias: &'static [&'static str],
    },
    /// A row for each token of the vocabulary, if the token table is narrower than the hidden
    /// states (MobileBERT). The missing columns are in the matrix `rest`, which is stored with a
    /// column for each token.
    WidenedVocabulary {
        rest: &'static str,
        bias: &'static str,
    },
    /// A module with a row for each label.
    Labels {
        module: &'static str,
        bias: bool,
    },
    /// A module without a bias, with as many rows as the checkpoint says; the results have unit
    /// length.
    Vectors {
        module: &'static str,
    },
    /// A module with this many rows.
    Rows {
        module: &'static str,
        rows: u32,
    },
}

/// Hidden states, or an embedding of sentence-transformers.
pub(super) const BASE: Head = Head {
    suffixes: &["Model"],
    task: Task::Hidden,
    pooling: Pooling::None,
    last: Last::Any,
    transform: None,
    output: Output::None,
    unused: &[],
};

/// The next token, from the token table or a matrix of its own.
pub(super) const CAUSAL_LM: Head = Head {
    suffixes: &["ForCausalLM", "LMHeadModel"],
    task: Task::CausalLm,
    output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &[] },
    ..BASE
};

/// A label for each token.
pub(super) const TOKEN_CLASSIFICATION: Head = Head {
    suffixes: &["ForTokenClassification"],
    task: Task::TokenClassification,
    output: Output::Labels { module: "classifier", bias: true },
    ..BASE
};

/// A label for the text, from the first token through a layer of the head's own, which has the
/// activation of the model.
pub(super) const DENSE_CLASSIFICATION: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: Some(Transform { dense: "classifier.dense", bias: true, narrow: false, activation: None, norm: None }),
    output: Output::Labels { module: "classifier.out_proj", bias: true },
    ..BASE
};

/// Start and end of an answer.
pub(super) const QUESTION_ANSWERING: Head = Head {
    suffixes: &["ForQuestionAnswering"],
    task: Task::QuestionAnswering,
    output: Output::Rows { module: "qa_outputs", rows: 2 },
    ..BASE
};

/// A label for the text, from the last token of a decoder that is not padding.
pub(super) const LAST_TOKEN_CLASSIFICATION: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::Last,
    last: Last::NotPadding,
    output: Output::Labels { module: "score", bias: false },
    ..BASE
};

impl Head {
    /// The names of its modules and tensors.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = match self.output {
            Output::None => Vec::new(),
            Output::Vocabulary { weight, bias } => [weight, bias].concat(),
            Output::WidenedVocabulary { rest, bias } => vec![rest, bias],
            Output::Labels { module, .. } | Output::Rows { module, .. } | Output::Vectors { module } => vec![module],
        };
        names.extend(self.transform.iter().flat_map(|transform| [Some(transform.dense), transform.norm]).flatten());
        names
    }
}

/// A score for each of several texts; the largest one is the answer. `classifier` has the other
/// properties of the head.
pub(super) const fn multiple_choice(classifier: Head) -> Head {
    let output = Output::Rows { module: "classifier", rows: 1 };
    Head { suffixes: &["ForMultipleChoice"], task: Task::Regression, output, ..classifier }
}

/// Appends a head to `N` heads; `M` must be `N + 1`.
pub(super) const fn with_head<const N: usize, const M: usize>(heads: [Head; N], more: Head) -> [Head; M] {
    let mut all = [more; M];
    let mut at = 0;
    while at < N {
        all[at] = heads[at];
        at += 1;
    }
    all
}

/// The pooler of BERT and related models, as a transform.
pub(super) const fn pooler(dense: &'static str, activation: Activation) -> Option<Transform> {
    Some(Transform { dense, bias: true, narrow: false, activation: Some(activation), norm: None })
}

/// Adds the row of the one-row table `name` to every row of `table`.
pub(super) fn add_row(table: &mut Pick, prefixes: Prefixes, name: &str) {
    table.added = Some(Box::new(Pick { of: Some(1), ..tensor(prefixes, name, "weight") }));
}
