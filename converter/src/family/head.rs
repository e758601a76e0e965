//! Heads, described in data.

use kinglet::format::spec::{Activation, Pooling, Task};

use super::source::{Pick, Prefixes, tensor};

/// A head of a family.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Endings of the names in `architectures` that have this head.
    pub(super) suffixes: &'static [&'static str],
    /// [`Task::Classification`] stands for [`Task::Regression`] and
    /// [`Task::MultiLabelClassification`], too.
    pub(super) task: Task,
    pub(super) pooling: Pooling,
    /// Which token is the last one, for a head that reads the last token.
    pub(super) last: Last,
    pub(super) transform: Option<Transform>,
    pub(super) output: Output,
    /// Beginnings of the names of tensors that a checkpoint may have and this head does not need.
    pub(super) unused: &'static [&'static str],
}

/// A dense layer, activation and norm before the output projection.
#[derive(Clone, Copy)]
pub(super) struct Transform {
    /// Its module.
    pub(super) dense: &'static str,
    pub(super) bias: bool,
    /// The width of the token table rather than of the hidden states.
    pub(super) narrow: bool,
    /// The model's own activation where `None`.
    pub(super) activation: Option<Activation>,
    /// The module of its norm.
    pub(super) norm: Option<&'static str>,
}

/// Which token is the last one.
#[derive(Clone, Copy)]
pub(super) enum Last {
    /// The last token of the text, whichever it is.
    Any,
    /// The last that is not the padding token.
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
        /// Names its matrix may have, where it is not the token table.
        weight: &'static [&'static str],
        /// Names its bias may have; none when it has no bias.
        bias: &'static [&'static str],
    },
    /// A row for each token of the vocabulary, where the token table is narrower than the hidden
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
    /// A module without a bias that has as many rows as the checkpoint says: vectors of unit
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

/// Hidden states, or what sentence-transformers makes of them.
pub(super) const BASE: Head = Head {
    suffixes: &["Model"],
    task: Task::Hidden,
    pooling: Pooling::None,
    last: Last::Any,
    transform: None,
    output: Output::None,
    unused: &[],
};

/// The next token, by the token table or a matrix of its own.
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

/// Start and end of an answer.
pub(super) const QUESTION_ANSWERING: Head = Head {
    suffixes: &["ForQuestionAnswering"],
    task: Task::QuestionAnswering,
    output: Output::Rows { module: "qa_outputs", rows: 2 },
    ..BASE
};

/// A label for the text, from a decoder's last token that is not padding.
pub(super) const LAST_TOKEN_CLASSIFICATION: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::Last,
    last: Last::NotPadding,
    output: Output::Labels { module: "score", bias: false },
    ..BASE
};

impl Head {
    /// Names of its modules and tensors.
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

/// The number that a classifier would give a text, for each of several texts: the greatest is the
/// answer.
pub(super) const fn multiple_choice(classifier: Head) -> Head {
    let output = Output::Rows { module: "classifier", rows: 1 };
    Head { suffixes: &["ForMultipleChoice"], task: Task::Regression, output, ..classifier }
}

/// The pooler of BERT and its kin, as a transform.
pub(super) const fn pooler(dense: &'static str, activation: Activation) -> Option<Transform> {
    Some(Transform { dense, bias: true, narrow: false, activation: Some(activation), norm: None })
}

/// Adds the row of a table of one row to every row of `table`.
pub(super) fn add_row(table: &mut Pick, prefixes: Prefixes, name: &str) {
    table.added = Some(Box::new(Pick { of: Some(1), ..tensor(prefixes, name, "weight") }));
}
