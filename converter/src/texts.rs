//! What models are run on.

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

/// Token ids from all over a vocabulary, the same each time.
pub fn spread_ids(len: usize, vocab_size: u32) -> Vec<u32> {
    // Multiples of the golden ratio fall everywhere in the unit interval.
    (1..=len as u32).map(|n| ((u64::from(n.wrapping_mul(0x9e37_79b9)) * u64::from(vocab_size)) >> 32) as u32).collect()
}
