//! Runs the fuzz targets under libFuzzer, each for some seconds, compiled with edge counters, which
//! stable Rust supports.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::toolchain::{HOST, cargo_in};
use crate::cargo::{cargo, root, target_folder};
use crate::table::{grouped, write};

/// Compiler flags for edge counters and traced comparisons, as `cargo fuzz` sets them.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing";

/// The file of the table of targets, and the table's name in it.
const PAGE: &str = "docs/security.md";
const TABLE: &str = "libFuzzer";

/// The result of a run of a target.
struct Run {
    executions: u64,
    /// Inputs that reached an edge that no earlier input reached.
    corpus: u64,
    /// The edges that were reached, and all edges of the program.
    edges: [u64; 2],
}

/// Runs every target, and adds the results to the table.
pub(super) fn run(seconds: u64) -> Result<String> {
    let folder = root().join("fuzz");
    let entries = fs::read_dir(folder.join("fuzz_targets"))?;
    let files =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    let mut targets: Vec<&str> = files.iter().map(|name| name.trim_end_matches(".rs")).collect();
    targets.sort_unstable();
    let bins: Vec<&str> = targets.iter().flat_map(|name| ["--bin", name]).collect();
    let build = [&["build", "--release", "--target", HOST], &bins[..]].concat();
    cargo_in(&folder, "+stable", &build, &[("RUSTFLAGS", INSTRUMENTED)])?;
    if !folder.join("corpus").exists() {
        cargo(&["run", "--quiet", "--package", "kinglet-tests", "--example", "seeds"], &[])?;
    }

    let page = fs::read_to_string(root().join(PAGE))?;
    let (mut now, mut all) = (0, 0);
    let mut table =
        String::from("| target | executions in all runs | inputs kept | edges reached |\n|---|---|---|---|\n");
    for name in targets {
        let told = run_target(name, seconds)?;
        println!("{name}: {} executions", told.executions);
        let executions = told.executions + executions_before(&page, name);
        (now, all) = (now + told.executions, all + executions);
        let [executions, corpus, reached, edges] = [executions, told.corpus, told.edges[0], told.edges[1]].map(grouped);
        table += &format!("| `{name}` | {executions} | {corpus} | {reached} of {edges} |\n");
    }
    write(PAGE, TABLE, &table)?;
    Ok(format!("{} executions, {} in all runs", grouped(now), grouped(all)))
}

/// The executions of a target in the table.
fn executions_before(page: &str, name: &str) -> u64 {
    let table = page.split_once(&format!("<!-- {TABLE} -->")).map_or("", |(_, table)| table);
    let row = table.lines().find_map(|line| line.strip_prefix(&format!("| `{name}` | ")));
    let figure = row.and_then(|row| row.split(' ').next()).unwrap_or_default();
    figure.replace(',', "").parse().unwrap_or(0)
}

fn run_target(name: &str, seconds: u64) -> Result<Run> {
    let folder = root().join("fuzz");
    let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
    fs::create_dir_all(&artifacts)?;
    let program = format!("{}/{}/release/{name}", target_folder("deep+stable"), HOST);
    eprintln!("$ {program}");
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()));
    // The first input of some targets takes long, because it builds tokenizers.
    command.args(["-timeout=300", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=1", "-max_len=65536"]);
    let output = command.output().with_context(|| format!("running {name}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}\n{}", output.status, last_lines(&told));
    let number = |before: &str| {
        let at = told.rfind(before).with_context(|| format!("{name} told no `{before}`:\n{}", last_lines(&told)))?;
        let digits = told[at + before.len()..].trim_start().split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap_or_default().parse::<u64>().with_context(|| format!("{name}: `{before}` has no number"))
    };
    let edges = [number(" cov: ")?, number("modules   (")?];
    Ok(Run { executions: number("stat::number_of_executed_units:")?, corpus: number(" corp: ")?, edges })
}

/// The end of a program's output.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
