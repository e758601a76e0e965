//! Chooses the matrices that get four bits a weight so that a blob fits its flash: those with the
//! least measured loss per byte saved.

use core::fmt;
use core::str::FromStr;

use anyhow::{Result, bail};
use kinglet::format::layout::{Role, roles};
use kinglet::format::spec::ModelSpec;
use serde::Serialize;

use crate::calibrate::Calibration;
use crate::convert::bytes_around;
use crate::fidelity::{Fidelity, compare_each};
use crate::opened::Source;
use crate::quantize::round_trip_of;
use crate::real::Rows;
use crate::reference::Reference;
use crate::refuse;
use crate::texts::Input;
use crate::weights::Weights;
use crate::widths::{Kind, Unit, Widths, packed, units};

/// The most texts that a loss is measured on, and the most tokens of each.
const TEXTS: usize = 24;
const TOKENS: usize = 48;
/// The bytes by which the manifest of a blob may grow.
const RESERVE: u64 = 256;

/// A number of bytes as users write it: `250K` and `16.6M` are thousands and millions, `512KiB` and
/// `2MiB` powers of two.
///
/// ```
/// use kinglet_convert::budget::Size;
///
/// assert_eq!("16.6M".parse::<Size>()?, Size(16_600_000));
/// assert_eq!("512KiB".parse::<Size>()?, Size(524_288));
/// assert_eq!("1000".parse::<Size>()?, Size(1000));
/// assert!("large".parse::<Size>().is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const UNITS: [(&str, f64); 7] =
            [("KiB", 1024.0), ("MiB", 1_048_576.0), ("KB", 1e3), ("MB", 1e6), ("K", 1e3), ("M", 1e6), ("", 1.0)];
        let mut read = UNITS.iter().filter_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim(), bytes)));
        let number = read.next().and_then(|(number, bytes)| Some(number.parse::<f64>().ok()? * bytes));
        match number {
            Some(bytes) if (1.0..4e9).contains(&bytes) => Ok(Self(bytes as u64)),
            _ => bail!("`{text}` is not a size of flash\nwrite it as 250K, 16.6M or 2MiB"),
        }
    }
}

/// The choice for a size of flash.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// The size that the blob may have.
    pub bytes: u64,
    /// The size of the smallest blob that such a choice can give.
    pub least: u64,
    /// The matrices with four bits, in the form of `--weights-of`.
    pub packed: Vec<String>,
    /// The savings and losses of four bits in each matrix alone, by loss per byte, the least first.
    pub costs: Vec<Cost>,
}

/// The savings and losses of four bits in one matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The matrix, in the form of `--weights-of`.
    pub part: String,
    /// The bytes saved.
    pub saved: u64,
    /// The fall of the mean cosine of results, or the change of predictions in nats per token.
    pub loss: f64,
    /// Whether the matrix was chosen.
    pub packed: bool,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "four bits a weight, to fit {} bytes: {}",
            self.bytes,
            match self.packed.len() {
                0 => "nowhere".to_owned(),
                _ => self.packed.join(" "),
            }
        )?;
        writeln!(f, "  what they alone would lose, dearest of those chosen first:")?;
        for cost in self.costs.iter().rev().filter(|cost| cost.packed).take(5) {
            writeln!(f, "  {:>10.5}  {} ({} bytes)", cost.loss, cost.part, cost.saved)?;
        }
        Ok(())
    }
}

/// Gives four bits a weight to matrices until the blob has at most `size` bytes. `widths` are those
/// that the source was opened with: parts that its rules name are left unchanged, and a token table
/// that is the output projection keeps eight bits.
///
/// Each matrix is quantized alone, on `calibration` if given, and the model is run on `texts`.
/// Matrices are chosen by loss per byte, the least first. `progress` is called after each
/// measurement.
///
/// # Errors
/// When the smallest blob is larger than `size`; the message gives its size.
pub fn fit(
    source: &mut Source,
    tokenizer: &[u8],
    (widths, size): (&Widths, Size),
    calibration: Option<&Calibration>,
    texts: &[Input],
    mut progress: impl FnMut(),
) -> Result<Budget> {
    let around = bytes_around(source, tokenizer)? as u64 + RESERVE;
    let bytes = |spec: &ModelSpec| around + roles(spec).map(|(_, shape)| shape.bytes()).sum::<u64>();
    let spec = *source.spec();
    let open = open(&spec, widths);
    let with = |spec: &ModelSpec, unit: &Unit, four: bool| {
        let mut changed = *spec;
        changed.numerics.packed.set(unit.role, four);
        changed.numerics.packed.group = widths.group;
        changed
    };
    let wide = open.iter().fold(spec, |spec, unit| with(&spec, unit, false));
    let least = bytes(&open.iter().fold(spec, |spec, unit| with(&spec, unit, true)));
    if least > size.0 {
        return Err(refuse(
            format_args!("the blob does not fit {} bytes: with four bits wherever that may be it has {least}", size.0),
            "give more flash, cut the vocabulary with --keep-vocabulary, or name a token table that is the output \
             projection, too: --weights-of tokens=int4",
        ));
    }
    let mut costs = Vec::new();
    if bytes(&wide) > size.0 {
        let mut sensitivity = Sensitivity::new(&spec, &source.weights, texts)?;
        for unit in open {
            let narrow = with(&wide, &unit, true);
            let saved = bytes(&wide).saturating_sub(bytes(&narrow));
            let loss = sensitivity.of(&unit, &narrow, calibration)?;
            costs.push((unit, Cost { part: String::new(), saved, loss, packed: false }));
            progress();
        }
    }
    let dearness = |cost: &Cost| cost.loss.max(0.0) / cost.saved.max(1) as f64;
    costs.sort_by(|(_, a), (_, b)| dearness(a).total_cmp(&dearness(b)));
    let mut chosen = wide;
    for (unit, cost) in costs.iter_mut().filter(|(_, cost)| cost.saved > 0) {
        if bytes(&chosen) > size.0 {
            chosen = with(&chosen, unit, true);
            cost.packed = true;
        }
    }
    // The last matrix may have made room for others to keep eight bits: the one with the largest
    // loss is tried first.
    let mut taken: Vec<&mut (Unit, Cost)> = costs.iter_mut().filter(|(_, cost)| cost.packed).collect();
    taken.sort_by(|(_, a), (_, b)| b.loss.total_cmp(&a.loss));
    for (unit, cost) in taken {
        let without = with(&chosen, unit, false);
        if bytes(&without) <= size.0 {
            chosen = without;
            cost.packed = false;
        }
    }
    for (unit, cost) in &mut costs {
        cost.part = unit.name(&spec);
    }
    if packed(&chosen).is_empty() {
        chosen.numerics.packed.group = 0;
    }
    source.mapping.spec = chosen;
    let packed = packed(&chosen).iter().map(ToString::to_string).collect();
    Ok(Budget { bytes: size.0, least, packed, costs: costs.into_iter().map(|(_, cost)| cost).collect() })
}

/// The most measurements that [`fit`] makes.
pub fn steps(spec: &ModelSpec, widths: &Widths) -> usize {
    open(spec, widths).len()
}

/// The matrices whose width [`fit`] chooses: they can have four bits, and no rule names them.
fn open(spec: &ModelSpec, widths: &Widths) -> Vec<Unit> {
    let is_open = |unit: &Unit| unit.fits && unit.kind != Kind::Tied && !widths.names(spec, unit);
    units(spec).into_iter().filter(is_open).collect()
}

/// Measures the effect of rounding one matrix alone on a model's results.
struct Sensitivity<'a> {
    spec: &'a ModelSpec,
    weights: Weights,
    /// Texts, and the model's exact results for each.
    texts: Vec<(Input, Rows)>,
}

impl<'a> Sensitivity<'a> {
    fn new(spec: &'a ModelSpec, weights: &Weights, texts: &[Input]) -> Result<Self> {
        // Texts spread over the list, because its beginning may be of one kind.
        let every = texts.len().div_ceil(TEXTS).max(1);
        let mut reference = Reference::new(spec, weights);
        let texts = texts.iter().step_by(every).map(|text| {
            let text = text.cut(TOKENS);
            let exact = reference.answer(&text)?;
            Ok((text, exact))
        });
        Ok(Self { spec, weights: weights.clone(), texts: texts.collect::<Result<_>>()? })
    }

    /// The loss if the matrices of a unit have their layout in `narrow`.
    fn of(&mut self, unit: &Unit, narrow: &ModelSpec, calibration: Option<&Calibration>) -> Result<f64> {
        let mut kept = Vec::new();
        for (role, shape) in roles(narrow).filter(|(role, _)| unit.has(*role)) {
            let held = round_trip_of(narrow, &self.weights, (role, shape), calibration)?;
            kept.extend(self.weights.get_mut(role).map(|tensor| (role, core::mem::replace(tensor, held))));
        }
        let fidelity = compare_each(self.spec, &self.texts, |(text, exact), comparison| {
            let rows = Reference::new(self.spec, &self.weights).answer(text)?;
            comparison.add(text, exact, rows.rows().map(|row| row.iter().map(|&x| f64::from(x)).collect()));
            Ok(())
        });
        kept.into_iter().for_each(|(role, tensor): (Role, _)| {
            if let Some(held) = self.weights.get_mut(role) {
                *held = tensor;
            }
        });
        Ok(loss(&fidelity?))
    }
}

/// The loss as one number.
fn loss(fidelity: &Fidelity) -> f64 {
    fidelity.language.map_or(1.0 - fidelity.cosine(), |language| language.kl)
}
