//! What models are run on.

use kinglet::format::spec::{ModelSpec, Pooling};

/// What a model is given.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// What the first stack reads.
    pub ids: Vec<u32>,
    /// Its segments; those missing are 0.
    pub token_types: Vec<u8>,
    /// What the decoder of an encoder-decoder reads.
    pub decoder_ids: Vec<u32>,
}

impl Input {
    /// Its first tokens, at most `tokens` on either side.
    pub(crate) fn cut(&self, tokens: usize) -> Self {
        let head = |ids: &[u32]| ids[..ids.len().min(tokens)].to_vec();
        let token_types = self.token_types[..self.token_types.len().min(tokens)].to_vec();
        Self { ids: head(&self.ids), token_types, decoder_ids: head(&self.decoder_ids) }
    }
}

/// Token ids from all over a vocabulary, the same each time.
pub fn spread_ids(len: usize, vocab_size: u32) -> Vec<u32> {
    // Multiples of the golden ratio fall everywhere in the unit interval.
    (1..=len as u32).map(|n| ((u64::from(n.wrapping_mul(0x9e37_79b9)) * u64::from(vocab_size)) >> 32) as u32).collect()
}

/// Makes texts such that the head has something to read: where it reads the decoder at a token's place in the encoder's text, both get
/// one length, and the latter ends with that token.
pub(crate) fn end(spec: &ModelSpec, ids: &mut Vec<u32>, decoder_ids: &mut Vec<u32>) {
    let Pooling::AtLast(token) = spec.head.pooling else { return };
    let len = ids.len().min(decoder_ids.len());
    ids.truncate(len);
    decoder_ids.truncate(len);
    ids.last_mut().into_iter().for_each(|last| *last = token);
}
