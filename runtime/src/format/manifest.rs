//! Describes a model apart from its weights: architecture, special tokens, defaults, provenance.

use serde::{Deserialize, Serialize};

use super::spec::ModelSpec;
use crate::error::LoadError;

/// A model's description in its blob: everything but weights and tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Manifest<'m> {
    /// The architecture.
    pub spec: ModelSpec,
    /// The ids of special tokens.
    pub tokens: SpecialTokens,
    /// The defaults of text generation.
    pub generation: GenerationDefaults,
    /// The head's labels, one per line in the order of its outputs; empty if there are none.
    pub labels: &'m str,
    /// Prompts to put before a text: the name of the default prompt, then the name and the text of
    /// each prompt, every string terminated by a zero byte; empty if there are none.
    pub prompts: &'m str,
    /// The origin of the model.
    pub provenance: Provenance<'m>,
}

/// The ids of special tokens, from `config.json` and `generation_config.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpecialTokens {
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: heapless::Vec<u32, 8, u8>,
    /// The padding token.
    pub pad: Option<u32>,
    /// The mask token, which stands for a token to predict.
    pub mask: Option<u32>,
    /// The token that begins the output of an encoder-decoder.
    pub decoder_start: Option<u32>,
    /// The token that must be generated first.
    pub forced_bos: Option<u32>,
    /// The token that must be generated last, when the maximal length is reached.
    pub forced_eos: Option<u32>,
    /// Tokens that must not be generated.
    pub suppressed: heapless::Vec<u32, 16, u8>,
    /// Tokens that must not be generated first.
    pub suppressed_first: heapless::Vec<u32, 16, u8>,
    /// Sequences of two or more tokens that must not be generated: for each, its length, then its
    /// tokens.
    pub bad_words: heapless::Vec<u32, 32, u8>,
}

impl SpecialTokens {
    /// The sequences of tokens that must not be generated, for
    /// [`GenerateOptions::bad_words`](crate::task::GenerateOptions::bad_words).
    ///
    /// ```
    /// use kinglet::format::blob::SpecialTokens;
    ///
    /// let bad_words = heapless::Vec::from_array([2, 16, 48, 3, 5, 6, 7]);
    /// let tokens = SpecialTokens { bad_words, ..SpecialTokens::default() };
    /// let words: heapless::Vec<&[u32], 8> = tokens.each_bad_word().collect();
    /// assert_eq!(words, [&[16, 48][..], &[5, 6, 7]]);
    /// ```
    pub fn each_bad_word(&self) -> impl Iterator<Item = &[u32]> {
        let mut rest = self.bad_words.as_slice();
        core::iter::from_fn(move || {
            let (&len, after) = rest.split_first()?;
            let (word, after) = after.split_at_checked(len as usize)?;
            rest = after;
            Some(word)
        })
    }

    /// Checks that the sequences fill `bad_words`, and that each has two or more tokens.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let (mut filled, mut several) = (0, true);
        for word in self.each_bad_word() {
            filled += word.len() + 1;
            several &= word.len() > 1;
        }
        let holds = several && filled == self.bad_words.len();
        if holds { Ok(()) } else { Err(LoadError::InvalidSpec("bad words")) }
    }
}

/// The defaults of text generation, from `generation_config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GenerationDefaults {
    /// The number of beams; 1 is greedy search.
    pub num_beams: u8,
    /// A text's log-probability is divided by its length to this power, Q16.
    pub length_penalty: i32,
    /// When a beam search stops.
    pub early_stopping: EarlyStopping,
    /// Whether a beam search renormalizes probabilities after tokens are suppressed.
    pub renormalize_logits: bool,
    /// The size of n-grams that may occur only once; 0 for no limit.
    pub no_repeat_ngram_size: u16,
    /// The fewest tokens of the decoder, including the prompt, before a stop token.
    pub min_length: u32,
    /// The fewest tokens to generate before a stop token; overrides `min_length`.
    pub min_new_tokens: Option<u32>,
    /// The most tokens of the decoder, including the prompt.
    pub max_length: Option<u32>,
    /// The most tokens to generate; overrides `max_length`.
    pub max_new_tokens: Option<u32>,
    /// A factor, Q16, that divides the positive logits of tokens already seen and multiplies their
    /// negative logits.
    pub repetition_penalty: u32,
}

/// When a beam search stops once `num_beams` texts are finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EarlyStopping {
    /// When the best open text, if it ended now, would score no better than the worst finished one.
    Heuristic,
    /// Immediately.
    Always,
    /// When no open text can score better than the worst finished one.
    Never,
}

impl GenerationDefaults {
    /// The fewest tokens to generate before a stop token, after a prompt of `begun` tokens.
    pub fn min_new_tokens_after(&self, begun: usize) -> usize {
        self.min_new_tokens.map_or((self.min_length as usize).saturating_sub(begun), |tokens| tokens as usize)
    }

    /// The most tokens to generate after a prompt of `begun` tokens, if there is a limit; 0 if the
    /// prompt has reached it.
    pub fn max_new_tokens_after(&self, begun: usize) -> Option<usize> {
        let by_length = || self.max_length.map(|tokens| (tokens as usize).saturating_sub(begun));
        self.max_new_tokens.map(|tokens| tokens as usize).or_else(by_length)
    }
}

impl Default for GenerationDefaults {
    fn default() -> Self {
        Self {
            num_beams: 1,
            length_penalty: 1 << 16,
            early_stopping: EarlyStopping::Heuristic,
            renormalize_logits: false,
            no_repeat_ngram_size: 0,
            min_length: 0,
            min_new_tokens: None,
            max_length: None,
            max_new_tokens: None,
            repetition_penalty: 1 << 16,
        }
    }
}

/// The origin of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Provenance<'m> {
    /// The checkpoint's name.
    pub source: &'m str,
    /// CRC-32 of the checkpoint's tensors, in the order in which the converter read them.
    pub source_checksum: u32,
    /// The converter's version.
    pub converter: &'m str,
}
