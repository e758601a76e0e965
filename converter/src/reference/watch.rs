//! Runs that are watched, or changed in one thing, to choose how numbers are held.

use core::cell::RefCell;

use anyhow::Result;
use kinglet::format::spec::{AttentionSpec, ModelSpec};

use super::{Reference, Rows, attention};
use crate::calibrate::Calibration;
use crate::texts::Input;
use crate::weights::Weights;

impl<'a> Reference<'a> {
    /// Readies a model to gather what its layers read and write.
    pub fn calibrating(spec: &'a ModelSpec, weights: &'a Weights, calibration: Calibration) -> Self {
        Self { calibration: Some(RefCell::new(calibration)), ..Self::new(spec, weights) }
    }

    /// What was gathered.
    pub fn into_calibration(self) -> Calibration {
        self.calibration.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Readies a model whose keys are rounded to eight bits, and nothing else is.
    pub fn with_narrow_keys(spec: &'a ModelSpec, weights: &'a Weights) -> Self {
        Self { narrow_keys: true, ..Self::new(spec, weights) }
    }

    /// Rounds keys to eight bits with a scale for each token and head, where that is wanted.
    pub(super) fn narrow(&self, spec: &AttentionSpec, keys: &mut [f32]) {
        if self.narrow_keys {
            keys.chunks_exact_mut(spec.head_dim.into()).for_each(attention::round_to_bytes);
        }
    }

    /// Takes in the largest score of a layer.
    pub(super) fn watch_score(&self, largest: f32) {
        if let Some(calibration) = &self.calibration {
            calibration.borrow_mut().ranges.add_score(largest);
        }
    }

    /// As [`forward`](Self::forward) of an input.
    ///
    /// # Errors
    /// When a token, a token type or the length is out of range.
    pub fn answer(&mut self, input: &Input) -> Result<Rows> {
        let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
        self.forward(&input.ids, &types, &input.decoder_ids)
    }
}
