//! Inputs that models are run on.

use kinglet::format::spec::{ModelSpec, Pooling};

/// The input of a model.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Token ids of the first stack.
    pub ids: Vec<u32>,
    /// Their token types; missing ones are 0.
    pub token_types: Vec<u8>,
    /// Token ids of the decoder in an encoder-decoder.
    pub decoder_ids: Vec<u32>,
}

impl Input {
    /// The first tokens of each stack, at most `tokens`.
    pub(crate) fn cut(&self, tokens: usize) -> Self {
        let head = |ids: &[u32]| ids[..ids.len().min(tokens)].to_vec();
        let token_types = self.token_types[..self.token_types.len().min(tokens)].to_vec();
        Self { ids: head(&self.ids), token_types, decoder_ids: head(&self.decoder_ids) }
    }
}

/// `len` token ids spread over a vocabulary. Every call gives equal ids.
pub fn spread_ids(len: usize, vocab_size: u32) -> Vec<u32> {
    // Multiples of the golden ratio fall everywhere in the unit interval.
    (1..=len as u32).map(|n| ((u64::from(n.wrapping_mul(0x9e37_79b9)) * u64::from(vocab_size)) >> 32) as u32).collect()
}

/// For a head that reads the decoder where the encoder's text has a certain token: gives both texts
/// one length, and ends the encoder's with that token. Other heads leave the texts as they are.
pub(crate) fn end(spec: &ModelSpec, ids: &mut Vec<u32>, decoder_ids: &mut Vec<u32>) {
    let Pooling::AtLast(token) = spec.head.pooling else { return };
    let len = ids.len().min(decoder_ids.len());
    ids.truncate(len);
    decoder_ids.truncate(len);
    ids.last_mut().into_iter().for_each(|last| *last = token);
}
