//! Inputs for calibration and measurement.

use core::fmt;

use kinglet::format::spec::{ModelSpec, Pooling};
use serde::Serialize;

/// The input of a model.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The token ids that the first stack reads.
    pub ids: Vec<u32>,
    /// The token types of `ids`; missing ones are 0.
    pub token_types: Vec<u8>,
    /// The token ids that the decoder of an encoder-decoder reads.
    pub decoder_ids: Vec<u32>,
}

impl Input {
    /// At most the first `tokens` tokens of each stack.
    pub(crate) fn cut(&self, tokens: usize) -> Self {
        let head = |ids: &[u32]| ids[..ids.len().min(tokens)].to_vec();
        let token_types = self.token_types[..self.token_types.len().min(tokens)].to_vec();
        Self { ids: head(&self.ids), token_types, decoder_ids: head(&self.decoder_ids) }
    }
}

/// Kinglet's own texts, one per line: sentences and paragraphs of many kinds, in many languages.
const COLLECTION: &str = include_str!("texts/collection.txt");

/// More of Kinglet's texts, for calibration only.
const CALIBRATION: &str = include_str!("texts/calibration.txt");

/// The texts on which models with a tokenizer are calibrated and measured by default.
pub fn collection() -> impl Iterator<Item = &'static str> {
    COLLECTION.lines()
}

/// The texts on which models with a tokenizer are calibrated in addition to half of the
/// [`collection`].
pub fn calibration_texts() -> impl Iterator<Item = &'static str> {
    CALIBRATION.lines()
}

/// Splits a list into the items with even and with odd indices, for calibration and for the
/// measurement.
pub fn halves<T>(list: Vec<T>) -> (Vec<T>, Vec<T>) {
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (place, one) in list.into_iter().enumerate() {
        if place % 2 == 0 { even.push(one) } else { odd.push(one) }
    }
    (even, odd)
}

/// The kind of texts that a report is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// One half of the given texts.
    GivenTexts,
    /// One half of Kinglet's texts.
    CollectedTexts,
    /// Texts that the model itself wrote.
    OwnTexts,
    /// Token ids spread over the vocabulary.
    TokenIds,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GivenTexts | Self::CollectedTexts => "texts that calibration did not see",
            Self::OwnTexts => "texts that the model wrote itself, and calibration did not see",
            Self::TokenIds => "texts of token ids spread over the vocabulary, which say little about real texts",
        })
    }
}

/// `len` token ids spread over a vocabulary. The ids are the same in every call.
pub fn spread_ids(len: usize, vocab_size: u32) -> Vec<u32> {
    // Multiples of the golden ratio are spread evenly over the unit interval.
    (1..=len as u32).map(|n| ((u64::from(n.wrapping_mul(0x9e37_79b9)) * u64::from(vocab_size)) >> 32) as u32).collect()
}

/// Prepares texts for a head that reads the decoder at the position of a token of the encoder's
/// text: gives both texts one length, and ends the encoder's with that token. Does nothing for
/// other heads.
pub fn end(spec: &ModelSpec, ids: &mut Vec<u32>, decoder_ids: &mut Vec<u32>) {
    let Pooling::AtLast(token) = spec.head.pooling else { return };
    let len = ids.len().min(decoder_ids.len());
    ids.truncate(len);
    decoder_ids.truncate(len);
    ids.last_mut().into_iter().for_each(|last| *last = token);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collection_has_no_text_twice_and_halves_that_are_as_large() {
        let texts: Vec<&str> = collection().collect();
        let mut different: Vec<String> = collection().chain(calibration_texts()).map(str::to_lowercase).collect();
        let all = different.len();
        different.sort_unstable();
        different.dedup();
        assert!(texts.len() > 280 && all - texts.len() > 300 && different.len() == all);
        assert!(different.iter().all(|text| !text.trim().is_empty()));
        let (calibrated, measured) = halves(texts);
        assert!(calibrated.len().abs_diff(measured.len()) < 2);
        assert_eq!(halves(vec![1, 2, 3]), (vec![1, 3], vec![2]));
    }
}
