//! Chooses the number formats of a model by measurement: its binary point, scales, and width of
//! keys.

use core::fmt;

use anyhow::Result;
use kinglet::format::spec::KeyWidth;
use serde::Serialize;

use crate::balance::{Balance, balance};
use crate::biases::simplify;
use crate::calibrate::Calibration;
use crate::centre::centre;
use crate::fidelity::{Fidelity, standard_inputs};
use crate::keys::{self, Keys};
use crate::opened::Source;
use crate::progress::Progress;
use crate::texts::Input;

/// The chosen formats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    /// The binary point, and the scaled tensors.
    pub balance: Balance,
    /// The width of the keys, if it was measured rather than given.
    pub keys: Option<Keys>,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.balance)?;
        let Some(keys) = &self.keys else { return Ok(()) };
        let Fidelity { cosine_mean, cosine_min, .. } = keys.at_eight_bits;
        write!(f, "keys: {} bits; eight bits of them alone cost ", keys.bits)?;
        writeln!(f, "{:.5} of cosine in the mean, {:.5} at most", 1.0 - cosine_mean, 1.0 - cosine_min)
    }
}

/// Prepares a checkpoint for quantization: simplifies its biases, measures the ranges of its
/// numbers, and chooses the binary point, and the width of the keys unless `keys` gives it. It
/// measures on the inputs of a report, and on `texts`. The results of the model do not change.
///
/// If `calibrate` is set, it also collects the inputs of the layers on `texts`. `progress` is
/// called for each of `texts`.
///
/// When the reference cannot run the texts, or no binary point holds the numbers.
pub fn choose(
    source: &mut Source,
    texts: &[Input],
    keys: Option<KeyWidth>,
    calibrate: bool,
    progress: Progress<'_>,
) -> Result<(Numbers, Option<Calibration>)> {
    let compared = standard_inputs(source)?;
    if calibrate {
        centre(source, texts)?;
    }
    simplify(source);
    let mut calibration = None;
    let mut ranges = Calibration::measure(source, &compared, &|| ())?;
    if calibrate {
        let gathered = calibration.insert(Calibration::gather(source, texts, progress)?);
        ranges.merge(&gathered.ranges);
    } else {
        ranges.merge(&Calibration::measure(source, texts, progress)?);
    }
    let balance = balance(source, &ranges)?;
    let keys = match keys {
        Some(width) => {
            source.mapping.spec.numerics.keys = width;
            None
        }
        None => Some(keys::choose(source, if texts.is_empty() { &compared } else { texts })?),
    };
    Ok((Numbers { balance, keys }, calibration))
}
