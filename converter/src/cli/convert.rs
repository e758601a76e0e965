//! `kinglet convert`: convert a checkpoint to a blob.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use kinglet::Model;
use kinglet::format::blob::MAGIC;
use kinglet::format::layout::roles;
use kinglet::format::spec::{ActivationWidth, KeyWidth, NumericsSpec, Task, WeightLayout};
use kinglet::tokenizer::section;
use kinglet_convert::budget::{self, Size};
use kinglet_convert::convert::{compensate_rounding, convert};
use kinglet_convert::direction::{self, Losses};
use kinglet_convert::family::{self, Options};
use kinglet_convert::fidelity::ADVICE;
use kinglet_convert::files::{self, check_writable, write_atomically};
use kinglet_convert::inputs::Reader;
use kinglet_convert::numbers;
use kinglet_convert::opened::Source;
use kinglet_convert::report::Report;
use kinglet_convert::samples::Samples;
use kinglet_convert::vocabulary::{Pruned, Wish};
use kinglet_convert::widths::{Rule, Width, Widths};
use kinglet_convert::{losses, page, texts, tokenizer};
use serde_json::{Value, json};

use super::engine::{DirectionArg, locate, task_name};
use super::keep::{KeepArgs, cut};
use super::output::{self, Phases};
use super::texts::Given;

/// Convert a Hugging Face checkpoint to one file that the runtime reads in place.
#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// The checkpoint's folder: config.json, model.safetensors or pytorch_model.bin,
    /// tokenizer.json. Or a model of the Hub, as org/name or org/name@revision.
    #[arg(required_unless_present = "print_supported")]
    source: Option<PathBuf>,
    /// The folder of a `peft` adapter (LoRA) to merge into the checkpoint, or its name on the Hub.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// The blob to write.
    #[arg(short, long, required_unless_present_any = ["print_supported", "dry_run"])]
    output: Option<PathBuf>,
    /// Width of the weights: int4 halves the blob, and costs accuracy. Lookup tables have a width
    /// of their own.
    #[arg(long, default_value = "int8")]
    weights: WidthArg,
    /// Width of one part of every block, or of some layers, instead of --weights: down=int4,
    /// query:0-3,5=int4, decoder.cross-key=int8, head=int8. May be repeated; later rules override
    /// earlier ones.
    #[arg(long, value_name = "PART[:LAYERS]=WIDTH")]
    weights_of: Vec<Rule>,
    /// Width of the lookup tables for tokens, positions and token types. A token table that is also
    /// the output projection stays in int8 unless --weights-of tokens=int4 is given.
    #[arg(long, default_value = "int8")]
    tables: WidthArg,
    /// Fit the blob into this much flash, such as 250K, 16.6M or 2MiB: int4 is used where it loses
    /// least per byte saved, each matrix and table measured alone. Parts that --weights-of names
    /// keep their width.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["weights", "tables"])]
    flash: Option<Size>,
    /// Columns that share a scale in int4 weights.
    #[arg(long, value_name = "N", default_value = "32", value_parser = ["32", "64"])]
    group_size: String,
    /// Width of quantized activations: a16 is more accurate, a8 is for units that multiply bytes.
    #[arg(long, default_value = "a16")]
    activations: ActivationsArg,
    /// Bits of a cached key. `auto` takes 8, unless 8-bit keys alone change the model's answers.
    #[arg(long, default_value = "auto", value_parser = ["8", "16", "auto"])]
    keys: String,
    /// The target that the blob is tuned for: the number of tokens that go through a layer
    /// together, unless the firmware asks for another, and the order of int8 weights.
    #[arg(long, default_value = "portable")]
    target: TargetArg,
    /// The longest sequence, if it should be shorter than the checkpoint's: tables are cut to it.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// The task of the model, if it is not its head's: `hidden` for hidden states, `embed` for
    /// their pooled vector.
    #[arg(long)]
    task: Option<TaskArg>,
    /// The direction in which the checkpoint was trained to read; by default what kinglet.json in
    /// its folder says, or forward.
    #[arg(long)]
    direction: Option<DirectionArg>,
    /// Texts typical of the model's use, one per line, or `.jsonl` with texts or token ids: weights
    /// are calibrated on every second text, and the report is measured on the others. By default a
    /// decoder writes its own texts, and other models get a collection of texts, or without a
    /// tokenizer token ids spread over the vocabulary.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Calibrate on token ids spread over the vocabulary, even if there is a tokenizer: for models
    /// whose texts are unlike the collection.
    #[arg(long, conflicts_with_all = ["calibration", "no_calibration"])]
    calibration_ids: bool,
    /// Round each weight independently, without calibration.
    #[arg(long, conflicts_with = "calibration")]
    no_calibration: bool,
    #[command(flatten)]
    keep: KeepArgs,
    /// Leave the tokenizer out: the model then reads and writes token ids.
    #[arg(long, conflicts_with_all = ["keep_vocabulary", "vocabulary_size"])]
    no_tokenizer: bool,
    /// Write only the tokenizer, for `kinglet tokenize`.
    #[arg(long, conflicts_with = "no_tokenizer")]
    tokenizer_only: bool,
    /// A key of config.json or generation_config.json to ignore, even if it changes what is
    /// computed; may be repeated.
    #[arg(long, value_name = "KEY")]
    ignore_key: Vec<String>,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    /// Do everything except writing the output.
    #[arg(long)]
    dry_run: bool,
    /// Also write the whole report, with the cost of quantizing each part and each layer alone:
    /// `.json`, or `.html` for a page.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Measure and print the cost of quantizing each part and each layer alone.
    #[arg(long)]
    losses: bool,
    /// Print the report's summary as one JSON object.
    #[arg(long)]
    json: bool,
    /// List the families and heads that can be converted.
    #[arg(long)]
    print_supported: bool,
}

/// The widths of weights on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum WidthArg {
    /// One scale for each output channel.
    Int8,
    /// One scale for each group of columns.
    Int4,
}

impl From<WidthArg> for Width {
    fn from(arg: WidthArg) -> Self {
        match arg {
            WidthArg::Int8 => Self::Int8,
            WidthArg::Int4 => Self::Int4,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActivationsArg {
    A8,
    A16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TargetArg {
    /// Little memory: decoders take one token at a time, encoders eight.
    Portable,
    /// Like portable, but encoders take two tokens: a third less memory, and 1 % more instructions.
    CortexM,
    /// Cortex-M4, M7, M33: like cortex-m, with the rows of int8 weights interleaved in pairs for
    /// the DSP extension.
    #[value(name = "cortex-m4")]
    CortexM4,
    /// Chips that run from serial flash (RP2040, ESP32): like portable, but four tokens at a time,
    /// also of a decoder's prompt, so that weights are read once for four tokens.
    Qspi,
    /// Like qspi, with the rows of int8 weights interleaved in pairs for the DSP extension (RP2350,
    /// i.MX RT).
    #[value(name = "qspi-m4")]
    QspiM4,
    /// Like portable, with weights row by row, for units that multiply long runs of bytes.
    M55,
    /// The desktop: 32 tokens at a time, and int8 weights in blocks of sixteen rows.
    X86,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TaskArg {
    Hidden,
    Embed,
}

impl TargetArg {
    fn tile(self, encoder: bool) -> Option<u16> {
        match self {
            Self::Portable | Self::M55 => None,
            Self::CortexM | Self::CortexM4 => Some(if encoder { 2 } else { 1 }),
            Self::Qspi | Self::QspiM4 => Some(4),
            Self::X86 => Some(32),
        }
    }
}

impl Convert {
    pub(crate) fn run(self) -> Result<()> {
        if self.print_supported {
            return print_supported();
        }
        let written = self.output.iter().filter(|_| !self.dry_run).chain(&self.report);
        written.into_iter().try_for_each(|file| {
            check_writable(file, self.force)?;
            let mut folders = self.source.as_deref().into_iter().chain(self.adapter.as_deref());
            folders.try_for_each(|folder| check_not_read(file, folder))
        })?;
        let given = self.calibration.as_deref().map(Given::read).transpose()?;
        let wish = self.keep.wish()?;
        let located = locate(self.source.as_deref().context("no checkpoint was named")?)?;
        let adapter = self.adapter.as_deref().map(locate).transpose()?;
        let path = located.dir.as_path();
        let built = if self.no_tokenizer { None } else { tokenizer::build_noted(path)? };
        let (tokenizer, notes) = built.map_or((None, Vec::new()), |(section, notes)| (Some(section), notes));
        notes.iter().for_each(|note| output::note(note));
        let mut tokenizer: &'static [u8] = tokenizer.unwrap_or_default().leak();
        let mut reader = Reader::new(tokenizer)?;
        if self.tokenizer_only {
            return self.write_tokenizer(path, &reader, tokenizer, wish.as_ref());
        }
        let full = tokenizer.len();
        // A bad text is refused before the checkpoint is read.
        let mut inputs = given.as_ref().map(|given| given.inputs(&reader, None)).transpose()?;
        let mut options = self.options();
        options.adapter = adapter.as_ref().map(|adapter| adapter.dir.clone());
        let phases = Phases::begin("reading the checkpoint");
        let mut source = Source::open(path, &options)?;
        adapter.iter().chain([&located]).for_each(|located| located.rename(&mut source));
        if let Some(tile) = self.target.tile(source.spec().decoder.is_none()) {
            options.tile = Some(tile);
            source.mapping.spec.numerics.tile = tile;
        }
        if let Some((name, text)) = source.prompts.choose(None)? {
            output::note(&format!("each text that is embedded begins with the prompt {name:?}: {text:?}"));
        }
        let mut pruned = None;
        if let Some(wish) = &wish {
            phases.next("choosing the vocabulary");
            let before = (*source.spec(), full);
            let vocabulary = cut(path, &reader, wish, Some(&mut source))?;
            vocabulary.notes.iter().for_each(|note| output::note(note));
            tokenizer = vocabulary.section.leak();
            reader = Reader::new(tokenizer)?;
            pruned = Some(Pruned::between(before, (source.spec(), tokenizer.len())));
            inputs = given.as_ref().map(|given| given.inputs(&reader, Some(&vocabulary.kept))).transpose()?;
        }
        phases.next("collecting texts");
        let given = given.zip(inputs).map(|(given, inputs)| given.texts(inputs, &mut source, &reader)).transpose()?;
        let samples = match &given {
            Some(given) => {
                let samples = Samples::given(given.clone());
                source.mapping.notes.push(halved(given.len(), &samples));
                samples
            }
            None => {
                let tokenizer = reader.tokenizer.as_ref();
                Samples::standard(&source, tokenizer, !self.no_calibration, self.calibration_ids)?
            }
        };
        phases.next_of("calibrating", samples.calibrated.len());
        let step = || phases.step();
        let (numbers, calibration) =
            numbers::choose(&mut source, &samples.calibrated, self.keys(), !self.no_calibration, &step)?;
        // An empty calibration rounds each weight independently.
        let mut calibration = calibration.unwrap_or_default();
        let budget = match self.flash {
            Some(size) => {
                let matrices = budget::steps(source.spec(), &options.widths);
                phases.next_of("measuring what four bits lose in each matrix", matrices);
                let texts = if samples.calibrated.is_empty() { &samples.measured } else { &samples.calibrated };
                Some(budget::fit(&mut source, tokenizer, (&options.widths, size), Some(&calibration), texts, || {
                    phases.step()
                })?)
            }
            None => None,
        };
        let begin = |layers| phases.next_of("compensating rounding errors", layers);
        compensate_rounding(&source, &samples, &mut calibration, begin, &step)?;
        phases.next_of("quantizing", roles(source.spec()).count());
        let converted = convert(&source, tokenizer, Some(&calibration), &step)?;
        phases.next_of("measuring against the reference", samples.measured.len());
        let mut report = Report::new(&source, &converted, samples.kind, &samples.measured, &samples.shown, &step)?;
        let own: Vec<texts::Input> = given.into_iter().flatten().map(|(input, _)| input).collect();
        report.direction = direction::losses(&source, reader.tokenizer.as_ref(), &own)?;
        report.numbers = Some(numbers);
        report.vocabulary = pruned;
        report.budget = budget;
        if self.losses || self.report.is_some() {
            let model = Model::from_bytes(&converted.blob)?;
            phases.next_of("measuring parts and layers", losses::steps(source.spec()));
            report.losses = losses::measure(&source, &model, &samples.measured, &step)?;
        }
        phases.finish();
        check(&report, &source.spec().numerics)?;

        if let Some(file) = &self.report {
            let is_page = file.extension().is_some_and(|extension| extension == "html");
            let text = if is_page { page::html(&report) } else { serde_json::to_string_pretty(&report)? };
            write_atomically(file, text.as_bytes(), self.force)?;
        }
        if let (Some(output), false) = (&self.output, self.dry_run) {
            write_atomically(output, &converted.blob, self.force)?;
        }
        if self.json {
            source.mapping.notes.iter().for_each(|note| output::note(note));
            if let Some(losses) = report.direction.filter(Losses::contradict) {
                output::say(&format!("warning: {losses}"));
            }
            return output::json(&report.summary());
        }
        if !output::is_quiet() {
            source.mapping.notes.iter().try_for_each(|note| output::line(&format!("note: {note}")))?;
        }
        output::line(report.to_string().trim_end())?;
        match (&self.output, self.dry_run) {
            (Some(output), false) => output::line(&format!("wrote {}", output.display())),
            _ => output::line("dry run: nothing was written"),
        }
    }

    fn write_tokenizer(&self, path: &Path, reader: &Reader, full: &[u8], wish: Option<&Wish>) -> Result<()> {
        if full.is_empty() {
            return Err(anyhow!("{} has no tokenizer\nname a folder with tokenizer.json in it", path.display()));
        }
        let vocabulary = wish.map(|wish| cut(path, reader, wish, None)).transpose()?;
        vocabulary.iter().flat_map(|vocabulary| &vocabulary.notes).for_each(|note| output::note(note));
        let section = vocabulary.as_ref().map_or(full, |vocabulary| &vocabulary.section);
        if let (Some(output), false) = (&self.output, self.dry_run) {
            write_atomically(output, section, self.force)?;
        }
        if self.json {
            return output::json(&json!({ "bytes": section.len() }));
        }
        output::line(&format!("tokenizer: {} bytes", section.len()))
    }

    /// The width that --keys asks for; `None` for `auto`.
    fn keys(&self) -> Option<KeyWidth> {
        match self.keys.as_str() {
            "8" => Some(KeyWidth::K8),
            "16" => Some(KeyWidth::K16),
            _ => None,
        }
    }

    fn options(&self) -> Options {
        Options {
            task: self.task.map(|task| match task {
                TaskArg::Hidden => Task::Hidden,
                TaskArg::Embed => Task::Embedding,
            }),
            activations: match self.activations {
                ActivationsArg::A8 => ActivationWidth::A8,
                ActivationsArg::A16 => ActivationWidth::A16,
            },
            keys: self.keys().unwrap_or(KeyWidth::K8),
            weights: match self.target {
                TargetArg::M55 => WeightLayout::RowMajor,
                TargetArg::CortexM4 | TargetArg::QspiM4 => WeightLayout::Paired,
                TargetArg::X86 => WeightLayout::WideTiled,
                TargetArg::Portable | TargetArg::CortexM | TargetArg::Qspi => WeightLayout::Tiled,
            },
            widths: Widths {
                weights: self.weights.into(),
                tables: self.tables.into(),
                group: if self.group_size == "64" { 64 } else { 32 },
                rules: self.weights_of.clone(),
            },
            direction: self.direction.map(Into::into),
            max_tokens: self.max_tokens,
            ignored_keys: self.ignore_key.clone(),
            ..Options::default()
        }
    }
}

/// The note on how the given texts were used.
fn halved(given: usize, samples: &Samples) -> String {
    if given == 1 {
        return "the report is measured on the one text that was calibrated on: give more".to_owned();
    }
    let (half, other) = (samples.calibrated.len(), samples.measured.len());
    format!("{half} of the given texts were calibrated on, and the report is measured on the other {other}")
}

/// Refuses a blob that is far from its checkpoint because no binary point holds its numbers, and
/// warns of one that is far for another reason, such as texts unlike the model's own.
fn check(report: &Report, numerics: &NumericsSpec) -> Result<()> {
    if !report.fidelity.is_broken(numerics) {
        return Ok(());
    }
    match report.numbers.as_ref().and_then(|numbers| numbers.balance.limits.first()) {
        Some(limit) => Err(anyhow!(
            "no binary point holds the numbers of this model: {limit}; {}\nscale its weights, or use a checkpoint that \
             was trained with smaller numbers",
            report.fidelity
        )),
        None => {
            let fidelity = &report.fidelity;
            output::say(&format!("warning: the blob does not compute what the checkpoint does: {fidelity}\n{ADVICE}"));
            Ok(())
        }
    }
}

/// The most bytes of a report file.
const MAX_REPORT_BYTES: u64 = 1 << 24;

/// Refuses to replace a file of a checkpoint, whatever the options. The program's own files in the
/// folder (a blob, a tokenizer, a report) may be replaced.
fn check_not_read(output: &Path, folder: &Path) -> Result<()> {
    let whole = |path: &Path| path.canonicalize().ok();
    let place = output.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let inside = place.and_then(whole).zip(whole(folder)).is_some_and(|(place, folder)| place.starts_with(folder));
    if !inside || !output.is_file() {
        return Ok(());
    }
    let mut begin = Vec::new();
    File::open(output)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    let is_report = || {
        let bytes = files::read(output, MAX_REPORT_BYTES).unwrap_or_default();
        bytes.starts_with(page::BEGIN.as_bytes())
            || serde_json::from_slice::<Value>(&bytes).is_ok_and(|json| json["fidelity"].is_object())
    };
    if begin.is_empty() || begin == MAGIC || begin == section::MAGIC || is_report() {
        return Ok(());
    }
    Err(anyhow!(
        "{} is a file of the checkpoint, and is not replaced\nchoose another name, or a place outside of {}",
        output.display(),
        folder.display()
    ))
}

/// Prints every family with its heads, one per line.
fn print_supported() -> Result<()> {
    for family in family::FAMILIES {
        let heads: Vec<String> =
            family.heads().map(|(suffix, task)| format!("{suffix} ({})", task_name(task))).collect();
        output::line(&format!("{}: {}", family.model_types.join(", "), heads.join(", ")))?;
    }
    Ok(())
}
