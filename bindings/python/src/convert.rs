//! Converts a checkpoint to a blob.

use core::sync::atomic::{AtomicBool, Ordering};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use kinglet::format::spec::{ActivationWidth, Direction, KeyWidth, Task, WeightLayout};
use kinglet::tokenizer::Tokenizer;
use kinglet_convert::convert::{compensate_rounding, convert as quantize};
use kinglet_convert::family::Options;
use kinglet_convert::files::{check_writable, write_atomically};
use kinglet_convert::located::Located;
use kinglet_convert::opened::Source;
use kinglet_convert::report::Report;
use kinglet_convert::samples::{Samples, read};
use kinglet_convert::texts::Input;
use kinglet_convert::vocabulary::{Pruned, Vocabulary, Wish};
use kinglet_convert::widths::Widths;
use kinglet_convert::{budget, direction, numbers, tokenizer};
use pyo3::prelude::*;

use crate::background;

/// The options of a conversion, named like those of the command line.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Wishes {
    weights: String,
    weights_of: Vec<String>,
    tables: String,
    flash: Option<String>,
    group_size: u8,
    activations: String,
    keys: String,
    target: String,
    max_tokens: Option<u32>,
    task: Option<String>,
    direction: Option<String>,
    adapter: Option<String>,
    calibration: Option<Vec<String>>,
    calibrate: bool,
    calibration_ids: bool,
    tokenizer: bool,
    keep_vocabulary: Option<String>,
    vocabulary_size: Option<usize>,
    ignore_keys: Vec<String>,
    force: bool,
}

/// Converts a checkpoint. Returns the report's summary as JSON, the report as text, and notes.
#[pyfunction]
pub(crate) fn convert(
    py: Python<'_>,
    source: String,
    output: String,
    wishes: Wishes,
) -> PyResult<(String, String, Vec<String>)> {
    background::run(py, move |cancelled| wishes.carry_out(Path::new(&source), Path::new(&output), cancelled))
}

/// The value that an option's name stands for.
fn one<T: Copy>(option: &str, given: &str, values: &[(&str, T)]) -> Result<T> {
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let found = values.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| anyhow!("`{option}` is {given:?}\ngive one of {}", names.join(", ")))
}

impl Wishes {
    fn carry_out(&self, named: &Path, output: &Path, cancelled: &AtomicBool) -> Result<(String, String, Vec<String>)> {
        check_writable(output, self.force)?;
        let (keys, mut options) = self.options()?;
        let located = Located::find(named, true)?;
        let adapter = self.adapter.as_ref().map(|adapter| Located::find(Path::new(adapter), true)).transpose()?;
        options.adapter = adapter.as_ref().map(|adapter| adapter.dir.clone());
        let folder = located.dir.as_path();
        let wish = match &self.keep_vocabulary {
            Some(file) => Some(Wish { size: self.vocabulary_size, ..Wish::read(Path::new(file))? }),
            None => self.vocabulary_size.map(|size| Wish { size: Some(size), ..Wish::default() }),
        };
        let built = if self.tokenizer { tokenizer::build_noted(folder)? } else { None };
        let (mut section, mut notes) = built.unwrap_or_default();
        let mut source = Source::open(folder, &options)?;
        adapter.iter().chain([&located]).for_each(|located| located.rename(&mut source));
        if let Some(tile) = tile(&self.target, source.spec().decoder.is_none()) {
            options.tile = Some(tile);
            source.mapping.spec.numerics.tile = tile;
        }
        let mut pruned = None;
        if let Some(wish) = wish {
            let full = Tokenizer::from_bytes(&section).context("only a tokenizer's vocabulary can be cut")?;
            let before = (*source.spec(), section.len());
            let vocabulary = Vocabulary::choose(folder, &full, &wish, Some(&source))?;
            source.keep(&vocabulary.kept)?;
            notes.extend(vocabulary.notes);
            section = vocabulary.section;
            pruned = Some(Pruned::between(before, (source.spec(), section.len())));
        }
        let reader = if section.is_empty() { None } else { Some(Tokenizer::from_bytes(&section)?) };
        let (samples, own) = self.samples(&source, reader.as_ref())?;
        let (numbers, calibration) = numbers::choose(&mut source, &samples.calibrated, keys, self.calibrate, &|| ())?;
        // An empty calibration rounds each weight to the nearest level.
        let mut calibration = calibration.unwrap_or_default();
        let budget = match &self.flash {
            Some(size) => {
                let texts = if samples.calibrated.is_empty() { &samples.measured } else { &samples.calibrated };
                let wanted = (&options.widths, size.parse()?);
                Some(budget::fit(&mut source, &section, wanted, Some(&calibration), texts, || {})?)
            }
            None => None,
        };
        compensate_rounding(&source, &samples, &mut calibration, |_| (), &|| ())?;
        let converted = quantize(&source, &section, Some(&calibration), &|| ())?;
        let mut report = Report::new(&source, &converted, samples.kind, &samples.measured, &samples.shown, &|| ())?;
        report.direction = direction::losses(&source, reader.as_ref(), &own)?;
        report.numbers = Some(numbers);
        report.vocabulary = pruned;
        report.budget = budget;
        if report.fidelity.is_broken(&source.spec().numerics) {
            if let Some(limit) = report.numbers.as_ref().and_then(|numbers| numbers.balance.limits.first()) {
                bail!(
                    "no binary point holds the numbers of this model: {limit}; {}\nscale its weights, or use a checkpoint that was trained with smaller numbers",
                    report.fidelity
                );
            }
            notes.push(format!("the blob does not compute what the checkpoint does: {}", report.fidelity));
        }
        if cancelled.load(Ordering::Relaxed) {
            bail!("the conversion was interrupted");
        }
        write_atomically(output, &converted.blob, self.force)?;
        notes.extend(source.mapping.notes);
        Ok((report.summary().to_string(), report.to_string(), notes))
    }

    /// The width of the keys, or `None` to measure it, and the options of the mapping.
    fn options(&self) -> Result<(Option<KeyWidth>, Options)> {
        let keys = one("keys", &self.keys, &[("auto", None), ("8", Some(KeyWidth::K8)), ("16", Some(KeyWidth::K16))])?;
        let tiled = [
            ("portable", WeightLayout::Tiled),
            ("cortex-m", WeightLayout::Tiled),
            ("cortex-m4", WeightLayout::Paired),
            ("m55", WeightLayout::RowMajor),
            ("x86", WeightLayout::WideTiled),
        ];
        let widths = Widths {
            weights: self.weights.parse().context("`weights`")?,
            tables: self.tables.parse().context("`tables`")?,
            group: self.group_size,
            rules: self.weights_of.iter().map(|rule| rule.parse()).collect::<Result<_>>()?,
        };
        if ![32, 64].contains(&self.group_size) {
            bail!("`group_size` is {}\ngive 32 or 64", self.group_size);
        }
        let tasks = [("hidden", Task::Hidden), ("embed", Task::Embedding)];
        let directions = [("forward", Direction::Forward), ("backward", Direction::Backward)];
        let activations = [("a8", ActivationWidth::A8), ("a16", ActivationWidth::A16)];
        let options = Options {
            task: self.task.as_deref().map(|task| one("task", task, &tasks)).transpose()?,
            activations: one("activations", &self.activations, &activations)?,
            keys: keys.unwrap_or(KeyWidth::K8),
            weights: one("target", &self.target, &tiled)?,
            widths,
            direction: self.direction.as_deref().map(|way| one("direction", way, &directions)).transpose()?,
            max_tokens: self.max_tokens,
            ignored_keys: self.ignore_keys.clone(),
            ..Options::default()
        };
        Ok((keys, options))
    }

    /// The calibration and measurement samples, and all texts that the caller gave.
    fn samples(&self, source: &Source, reader: Option<&Tokenizer<'_>>) -> Result<(Samples, Vec<Input>)> {
        let Some(given) = &self.calibration else {
            return Ok((Samples::standard(source, reader, self.calibrate, self.calibration_ids)?, Vec::new()));
        };
        let reader = reader.context("the model has no tokenizer for the texts of `calibration`\nleave them out")?;
        let given = read(source, reader, given.iter().map(String::as_str))?;
        if given.is_empty() {
            bail!("`calibration` has no texts\ngive some that the model is used for");
        }
        let own = given.iter().map(|(input, _)| input.clone()).collect();
        Ok((Samples::given(given), own))
    }
}

/// The number of tokens per tile, if the target changes the default.
fn tile(target: &str, encoder: bool) -> Option<u16> {
    match target {
        "cortex-m" | "cortex-m4" => Some(if encoder { 2 } else { 1 }),
        "x86" => Some(32),
        _ => None,
    }
}
