//! Measures operations and models: instructions on the emulated cores, and time on this machine.
//! The table also has figures of other implementations, and lower bounds.

mod elsewhere;

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::cargo::{kinglet, output_of, root, target_folder};
use crate::checkpoint;
use crate::counts::Counted;
use crate::firmware::{KERNELS, examples, here, kernels};
use crate::machines::CORES;
use crate::table::{self, grouped};
use elsewhere::ELSEWHERE;

#[derive(Args)]
pub(crate) struct Bench {
    /// Only the cores whose name contains this.
    #[arg(long, default_value = "")]
    core: String,
    /// Also measure a decoder's checkpoint, such as stories260K, with 8-bit keys.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,
    /// Also measure an encoder's checkpoint on this machine, such as one that
    /// `benches/peers/checkpoint.py` makes.
    #[arg(long, value_name = "FOLDER")]
    encoder: Option<PathBuf>,
    /// Write the measurements to the files of counts, and the table to
    /// docs/performance.md.
    #[arg(long)]
    bless: bool,
}

/// The number of timed runs, of which the median is taken.
const RUNS: usize = 9;

/// The numbers of tokens that an encoder is measured with.
const LENGTHS: &str = "8,32,128,256";

/// A row of the table: a label, the key of the cores' measurements, and a figure of this machine.
struct Row {
    what: String,
    /// A program and a quantity of [`Counted`].
    counted: Option<(String, String)>,
    here: String,
}

impl Row {
    /// A core's measurement, formatted.
    fn on(&self, counted: &Counted, core: &str) -> String {
        let Some((program, what)) = &self.counted else { return String::new() };
        match counted.get(core, program, what) {
            Some(hundredths) if what.ends_with(HUNDREDTHS) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
            count => count.map_or_else(String::new, grouped),
        }
    }
}

/// The suffix of quantities in hundredths.
const HUNDREDTHS: &str = ", hundredths of instructions";

pub(crate) fn run(options: &Bench) -> Result<()> {
    let mut counted = Counted::read()?;
    // The models come first, because they build the programs that run on this machine.
    let models = models(&options.core, &mut counted)?;
    for (core, counts) in kernels(&options.core)? {
        counted.add(core, KERNELS, &counts);
    }
    let mut rows = operations();
    rows.extend(models);
    rows.push(classifier(&options.core, &mut counted)?);
    if let Some(folder) = &options.checkpoint {
        rows.extend(decoder(folder, &options.core, &mut counted)?);
    }
    if let Some(folder) = &options.encoder {
        rows.extend(encoder(folder)?);
    }
    let table = table(&rows, &counted);
    println!("{table}");
    if options.bless {
        counted.write()?;
        table::write("docs/performance.md", "bench", &table)?;
    }
    Ok(())
}

/// The single operations, measured per product or element.
fn operations() -> Vec<Row> {
    let row = |what: &str| Row {
        what: what.to_owned(),
        counted: Some((KERNELS.to_owned(), format!("{what}{HUNDREDTHS}"))),
        here: String::new(),
    };
    elsewhere::OPERATIONS.map(row).into()
}

/// The models that ship.
fn models(only: &str, counted: &mut Counted) -> Result<Vec<Row>> {
    for (core, examples) in examples(&MODELS.map(|(example, _, _)| example), only)? {
        counted.add_examples(core, &examples);
    }
    let rows = MODELS.map(|(example, unit, what)| {
        let counted = Some((example.to_owned(), format!("instructions {unit}")));
        Ok(Row { what: what.to_owned(), counted, here: time(&[example], unit)? })
    });
    rows.into_iter().collect()
}

const MODELS: [(&str, &str, &str); 3] = [
    ("generate", "a token", "the story model: per token"),
    ("classify", "a sentence", "intents: per sentence"),
    ("command", "a sentence", "commands: per sentence"),
];

/// The intents, which ship as one blob for all cores, with weights in the layout for each core.
const CLASSIFIER: (&str, &str, &str) = ("intents", "a sentence", "intents with `--target`: per sentence");

fn classifier(only: &str, counted: &mut Counted) -> Result<Row> {
    let (program, unit, what) = CLASSIFIER;
    let folder = root().join("models/home/intent");
    for (core, counts) in checkpoint::run(&folder, &["--calibration-ids"], only)? {
        counted.add(core, program, &counts);
    }
    let here = time(&["checkpoint", &target_folder("checkpoint.kinglet"), "32"], unit)?;
    Ok(Row { what: what.to_owned(), counted: Some((program.to_owned(), format!("instructions {unit}"))), here })
}

/// Measures a decoder that is not in the examples, at 128 positions, and its token at position 500.
fn decoder(folder: &Path, only: &str, counted: &mut Counted) -> Result<[Row; 2]> {
    for (core, counts) in checkpoint::run(folder, &[], only)? {
        counted.add(core, &name(folder), &counts);
    }
    let row = |title: &str, what: &str, positions: &str| -> Result<Row> {
        let here = time(&["checkpoint", &target_folder("checkpoint.kinglet"), positions], what)?;
        let counted = Some((name(folder), format!("instructions {what}")));
        Ok(Row { what: format!("{}: {title}", name(folder)), counted, here })
    };
    Ok([row("per token", "a token", "128")?, row("per token at position 500", "a token at position 500", "512")?])
}

/// Measures an encoder on this machine, with the fastest options for x86-64.
fn encoder(folder: &Path) -> Result<Vec<Row>> {
    let (blob, checkpoint) = (target_folder("encoder.kinglet"), folder.to_string_lossy());
    let options = ["--activations", "a8", "--target", "x86", "--no-calibration", "--no-tokenizer", "--force"];
    kinglet(&[&["convert", &checkpoint, "--output", &blob], &options[..]].concat())?;
    let run = ["run", "--quiet", "--release", "--package", "kinglet-convert", "--bin", "kinglet", "--"];
    let bench = ["bench", &blob, "--json", "--lengths", LENGTHS];
    let measured: Value = serde_json::from_str(&output_of(root(), &[&run[..], &bench].concat())?)?;
    let rows = measured["bench"].as_array().context("kinglet bench measured nothing")?.iter().map(|measured| {
        let milliseconds = measured["milliseconds"].as_f64().context("no time")?;
        let kernels = measured["kernels"].as_str().unwrap_or_default();
        Ok(Row {
            what: format!("{}: encode {} tokens", name(folder), measured["tokens"]),
            counted: None,
            here: format!("{milliseconds:.2} ms ({kernels})"),
        })
    });
    rows.collect()
}

/// The median time of an example on this machine.
fn time(arguments: &[&str], unit: &str) -> Result<String> {
    let what = format!("nanoseconds {unit}");
    let run = |_| here(arguments)?.get(&what).copied().with_context(|| format!("{arguments:?} prints no {what}"));
    let mut times = (0..RUNS).map(run).collect::<Result<Vec<u64>>>()?;
    times.sort_unstable();
    let median = times[RUNS / 2].max(1);
    Ok(match unit {
        unit if unit.starts_with("a token") => format!("{} tokens/s", grouped(1_000_000_000 / median)),
        _ => format!("{:.2} ms", median as f64 / 1e6),
    })
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Formats the table: each measurement, followed by the figures of other implementations.
fn table(rows: &[Row], counted: &Counted) -> String {
    let cores = CORES.map(|core| core.name);
    let mut table = format!(
        "| instructions | {} | {} |\n|---|{}\n",
        cores.join(" | "),
        processor(),
        "---|".repeat(cores.len() + 1)
    );
    for row in rows {
        let figures = cores.map(|core| row.on(counted, core));
        _ = writeln!(table, "| **{}** | {} | {} |", row.what, figures.join(" | "), row.here);
        for other in ELSEWHERE.iter().filter(|other| other.of.contains(&row.what.as_str())) {
            _ = writeln!(
                table,
                "| {} | {} | {} |",
                other.who,
                cores.map(|core| other.on(core)).join(" | "),
                other.here
            );
        }
    }
    table
}

/// The name of this machine's processor.
fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("here: {}", name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> String {
        fs::read_to_string(crate::cargo::root().join(path)).expect("it is there").replace("\r\n", "\n")
    }

    #[test]
    fn the_page_of_performance_has_what_was_counted() {
        let (page, counted) = (page("docs/performance.md"), Counted::read().expect("it is there"));
        let model = |(example, unit, what): (&str, &str, &str)| Row {
            what: what.to_owned(),
            counted: Some((example.to_owned(), format!("instructions {unit}"))),
            here: String::new(),
        };
        let rows: Vec<Row> = operations().into_iter().chain(MODELS.map(model)).chain([model(CLASSIFIER)]).collect();
        for row in rows {
            let figures = CORES.map(|core| row.on(&counted, core.name)).join(" | ");
            assert!(page.contains(&format!("| **{}** | {figures} | ", row.what)), "{}: {figures}", row.what);
        }
    }

    #[test]
    fn the_readme_has_what_was_counted() {
        let (page, counted) = (page("README.md"), Counted::read().expect("it is there"));
        let product = operations().into_iter().find(|row| row.what == "a16 in pairs, 384 x 384, one token");
        let product = product.expect("it is counted").on(&counted, "M4F");
        let token = counted.get("M4F", "stories260K", "instructions a token").expect("it was counted");
        for (what, figure) in [
            ("int8 product of 384 x 384 on Cortex-M4, instructions for each weight", product),
            ("a token of stories260K on Cortex-M4F, instructions", grouped(token)),
        ] {
            assert!(page.contains(&format!("| {what} | {figure} | ")), "{what}: {figure}");
        }
    }
}
