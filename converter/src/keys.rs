//! Chooses the width of cached keys by measurement.

use anyhow::Result;
use kinglet::format::spec::KeyWidth;
use serde::Serialize;

use crate::fidelity::{Fidelity, compare_each};
use crate::opened::Source;
use crate::reference::Reference;
use crate::texts::Input;

/// The number of texts that are compared, and of tokens in each.
const TEXTS: usize = 6;
const TOKENS: usize = 48;

/// The most that 8-bit keys may cost in cosine, and in nats per token: about the cost of int8
/// weights.
const COSINE: f64 = 0.001;
const KL: f64 = 0.001;

/// The chosen width, with the measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keys {
    /// Bits of a key.
    pub bits: u8,
    /// The results with 8-bit keys, and everything else in `f32`.
    pub at_eight_bits: Fidelity,
}

/// Chooses the width of a model's keys: 8 bits, unless rounding the keys alone costs more than
/// `COSINE` or `KL`.
///
/// # Errors
/// When the reference cannot run the model.
pub fn choose(source: &mut Source, texts: &[Input]) -> Result<Keys> {
    let spec = source.spec();
    // The texts are sorted by length, so that steps give all lengths.
    let some: Vec<Input> = texts.iter().step_by((texts.len() / TEXTS).max(1)).map(|text| text.cut(TOKENS)).collect();
    let at_eight_bits = compare_each(spec, &some, |text, comparison| {
        let wanted = Reference::new(spec, &source.weights).answer(text)?;
        let found = Reference::with_narrow_keys(spec, &source.weights).answer(text)?;
        comparison.add(text, &wanted, found.rows().map(|row| row.iter().map(|&x| x.into()).collect()));
        Ok(())
    })?;
    let kl = at_eight_bits.language.map_or(0.0, |language| language.kl);
    let seen = 1.0 - at_eight_bits.cosine() > COSINE || kl > KL;
    source.mapping.spec.numerics.keys = if seen { KeyWidth::K16 } else { KeyWidth::K8 };
    Ok(Keys { bits: if seen { 16 } else { 8 }, at_eight_bits })
}
