//! Refuses inputs that a model cannot read.

use anyhow::Result;
use kinglet::format::spec::{ModelSpec, Pooling, StackSpec};

use crate::refuse;

/// Refuses inputs of different lengths for a head that reads the decoder at a position of the
/// encoder's text.
pub(crate) fn check_lengths(spec: &ModelSpec, ids: &[u32], decoder_ids: &[u32]) -> Result<()> {
    if matches!(spec.head.pooling, Pooling::AtLast(_)) && ids.len() != decoder_ids.len() {
        return Err(refuse(
            format_args!("{} tokens for the decoder, but {} for the encoder", decoder_ids.len(), ids.len()),
            "this classifier reads one text with both: give the decoder that text, one token later",
        ));
    }
    Ok(())
}

/// Refuses tokens that a stack cannot read after `first` tokens.
pub(super) fn check_input(stack: &StackSpec, ids: &[u32], types: &[u32], first: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(refuse("there are no tokens", "give at least one"));
    }
    let last = first + ids.len();
    if last > stack.max_positions as usize {
        return Err(refuse(
            format_args!("{last} tokens, but this model takes {}", stack.max_positions),
            "give fewer, or convert with a larger --max-tokens",
        ));
    }
    if let Some(id) = ids.iter().find(|id| **id >= stack.embedding.vocab_size) {
        let vocab_size = stack.embedding.vocab_size;
        return Err(refuse(format_args!("token {id} is not in the vocabulary of {vocab_size}"), "check the ids"));
    }
    if let Some(kind) = types.iter().find(|kind| **kind >= u32::from(stack.embedding.token_types.max(1))) {
        let count = stack.embedding.token_types;
        return Err(refuse(format_args!("token type {kind} is not one of the model's {count}"), "check the types"));
    }
    if !types.is_empty() && types.len() != ids.len() {
        return Err(refuse(format_args!("{} token types for {} tokens", types.len(), ids.len()), "give one for each"));
    }
    Ok(())
}
