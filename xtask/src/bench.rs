//! One table of what things cost: instructions on the cores that QEMU has, time on this machine, and beside each what it costs
//! elsewhere and the least that it can cost.

mod elsewhere;

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::cargo::{kinglet, output_of, root, target_folder};
use crate::checkpoint;
use crate::emulate::Counts;
use crate::firmware::{examples, here, kernels};
use crate::machines::CORES;
use crate::table::{self, grouped};
use elsewhere::ELSEWHERE;

#[derive(Args)]
pub(crate) struct Bench {
    /// Only the cores whose name contains this.
    #[arg(long, default_value = "")]
    core: String,
    /// A decoder's checkpoint to measure besides, such as stories260K, which does not ship; with keys in 8 bits.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,
    /// An encoder's checkpoint to measure on this machine, such as one that `benches/peers/checkpoint.py` makes.
    #[arg(long, value_name = "FOLDER")]
    encoder: Option<PathBuf>,
    /// Put the table into docs/performance.md.
    #[arg(long)]
    bless: bool,
}

/// Runs of what is measured in time, of which the median counts.
const RUNS: usize = 9;

/// Lengths that an encoder is measured at.
const LENGTHS: &str = "8,32,128,256";

/// A row of the table: what was measured, a figure for each core that it was counted on, and one of this machine.
struct Row {
    what: String,
    cores: BTreeMap<&'static str, String>,
    here: String,
}

pub(crate) fn run(options: &Bench) -> Result<()> {
    // The models first: with them the programs that run here are built.
    let models = models(&options.core)?;
    let mut rows = operations(&options.core)?;
    rows.extend(models);
    if let Some(folder) = &options.checkpoint {
        rows.push(decoder(folder, &options.core)?);
    }
    if let Some(folder) = &options.encoder {
        rows.extend(encoder(folder)?);
    }
    let table = table(&rows, &options.core);
    println!("{table}");
    if options.bless { table::write("docs/performance.md", "bench", &table) } else { Ok(()) }
}

/// Instructions of single operations, for each product or element.
fn operations(only: &str) -> Result<Vec<Row>> {
    const HUNDREDTHS: &str = ", hundredths of instructions";
    let counted = kernels(only)?;
    let mut rows: Vec<Row> = Vec::new();
    for what in elsewhere::OPERATIONS {
        let figure = |counts: &Counts| counts.get(&format!("{what}{HUNDREDTHS}")).copied();
        let cores = counted.iter().filter_map(|(core, counts)| {
            let hundredths = figure(counts)?;
            Some((*core, format!("{}.{:02}", hundredths / 100, hundredths % 100)))
        });
        rows.push(Row { what: what.to_owned(), cores: cores.collect(), here: String::new() });
    }
    Ok(rows)
}

/// The models that ship.
fn models(only: &str) -> Result<Vec<Row>> {
    const MODELS: [(&str, &str, &str); 3] = [
        ("generate", "a token", "the story teller: a token"),
        ("classify", "a sentence", "intents: a sentence classified"),
        ("command", "a sentence", "commands: a sentence turned into one"),
    ];
    let counted = examples(&MODELS.map(|(example, _, _)| example), only)?;
    let rows = MODELS.map(|(example, unit, what)| {
        let count = |examples: &BTreeMap<&str, Counts>| {
            Some(grouped(*examples.get(example)?.get(&format!("instructions {unit}"))?))
        };
        let cores = counted.iter().filter_map(|(core, examples)| Some((*core, count(examples)?))).collect();
        Ok(Row { what: what.to_owned(), cores, here: time(&[example], unit)? })
    });
    rows.into_iter().collect()
}

/// A decoder that is not in the examples, at 128 positions.
fn decoder(folder: &Path, only: &str) -> Result<Row> {
    let counted = checkpoint::run(folder, only)?;
    let count = |(core, counts): &(&'static str, Counts)| Some((*core, grouped(*counts.get("instructions a token")?)));
    let here = time(&["checkpoint", &target_folder("checkpoint.kinglet"), "128"], "a token")?;
    Ok(Row { what: format!("{}: a token", name(folder)), cores: counted.iter().filter_map(count).collect(), here })
}

/// An encoder on this machine, with what is fastest on it.
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
            what: format!("{}: {} tokens encoded", name(folder), measured["tokens"]),
            cores: BTreeMap::new(),
            here: format!("{milliseconds:.2} ms ({kernels})"),
        })
    });
    rows.collect()
}

/// The median time of an example on this machine.
fn time(arguments: &[&str], unit: &str) -> Result<String> {
    let what = format!("nanoseconds {unit}");
    let run = |_| here(arguments)?.get(&what).copied().with_context(|| format!("{arguments:?} tells no {what}"));
    let mut times = (0..RUNS).map(run).collect::<Result<Vec<u64>>>()?;
    times.sort_unstable();
    let median = times[RUNS / 2].max(1);
    Ok(match unit {
        "a token" => format!("{} tokens/s", grouped(1_000_000_000 / median)),
        _ => format!("{:.2} ms", median as f64 / 1e6),
    })
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What was measured, each with what is known of it elsewhere beneath.
fn table(rows: &[Row], only: &str) -> String {
    let cores: Vec<&str> = CORES.iter().map(|core| core.name).filter(|core| core.contains(only)).collect();
    let mut table = format!(
        "| instructions | {} | {} |\n|---|{}\n",
        cores.join(" | "),
        processor(),
        "---|".repeat(cores.len() + 1)
    );
    for row in rows {
        let figures: Vec<&str> = cores.iter().map(|core| row.cores.get(core).map_or("", String::as_str)).collect();
        _ = writeln!(table, "| **{}** | {} | {} |", row.what, figures.join(" | "), row.here);
        for other in ELSEWHERE.iter().filter(|other| other.of.contains(&row.what.as_str())) {
            let figures: Vec<&str> = cores.iter().map(|core| other.on(core)).collect();
            _ = writeln!(table, "| {} | {} | {} |", other.who, figures.join(" | "), other.here);
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
