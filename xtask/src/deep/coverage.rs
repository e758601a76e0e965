//! Measures which lines and regions of both crates CI's tests reach.
//!
//! Code in the `mod tests` at the end of a file is not counted, because it would only raise the
//! share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::toolchain::{HOST, cargo, said_by};
use crate::cargo::{root, target_folder};

/// The folders to count, and the folders in them to leave out: instruction sets that a machine may
/// lack.
const PARTS: [(&str, &[&str]); 2] = [("runtime/src", &["runtime/src/kernels/x86_64"]), ("converter/src", &[])];

/// CI's tests of the host.
const TESTS: [&str; 8] = [
    "test",
    "--target",
    HOST,
    "--workspace",
    "--exclude=kinglet-benches",
    "--exclude=xtask",
    "--no-default-features",
    "--features=kinglet/std",
];

/// The number of places that were reached, and of all places.
#[derive(Clone, Copy, Default)]
struct Reached(u64, u64);

impl Reached {
    fn add(&mut self, reached: bool) {
        self.0 += u64::from(reached);
        self.1 += 1;
    }

    fn percent(self) -> String {
        format!("{:.1} %", self.0 as f64 * 100.0 / self.1.max(1) as f64)
    }
}

pub(super) fn run() -> Result<String> {
    let profiles = PathBuf::from(target_folder("coverage"));
    let _ = fs::remove_dir_all(&profiles);
    fs::create_dir_all(&profiles)?;
    let pattern = profiles.join("%p-%8m.profraw").display().to_string();
    let environment = [("RUSTFLAGS", "-Cinstrument-coverage"), ("LLVM_PROFILE_FILE", pattern.as_str())];
    let built = cargo("+stable", &[&TESTS[..], &["--no-run", "--message-format=json"]].concat(), &environment)?;
    let programs: Vec<String> = built.lines().filter_map(executable).collect();
    cargo("+stable", &[&TESTS[..], &["--no-fail-fast"]].concat(), &environment)?;

    let bin = said_by("rustc", &["+stable", "--print", "sysroot"])? + "/lib/rustlib/" + HOST + "/bin/";
    let merged = profiles.join("all.profdata").display().to_string();
    let raw: Vec<String> = fs::read_dir(&profiles)?
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()).filter(|path| path.ends_with("profraw")))
        .collect();
    ensure!(!raw.is_empty() && !programs.is_empty(), "no program was measured");
    let list = profiles.join("list");
    fs::write(&list, raw.join("\n"))?;
    let list = format!("--input-files={}", list.display());
    said_by(&format!("{bin}llvm-profdata"), &["merge", "--sparse", &list, "-o", &merged])?;
    let export = |format: &str| {
        let profile = format!("--instr-profile={merged}");
        let objects: Vec<&str> = programs.iter().flat_map(|program| ["--object", program]).collect();
        said_by(
            &format!("{bin}llvm-cov"),
            &[&["export", format, &profile], &objects[..], &["--sources", "runtime/src", "converter/src"]].concat(),
        )
    };
    let lines = lines(&export("--format=lcov")?);
    let regions = regions(&serde_json::from_str(&export("--format=text")?)?)?;
    ensure!(!lines.is_empty() && !regions.is_empty(), "llvm-cov tells nothing: is the component llvm-tools installed?");
    let each = PARTS.iter().map(|(part, besides)| {
        let of_lines = sum(&lines, part, besides);
        let of_regions = sum(&regions, part, besides);
        format!("`{part}`: {} of lines, {} of regions", of_lines.percent(), of_regions.percent())
    });
    Ok(each.collect::<Vec<_>>().join("; "))
}

/// The path of a test program in a line of output from cargo.
fn executable(line: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["executable"].as_str().map(str::to_owned)
}

/// Lines, or places where regions begin, of each file, and whether they were reached.
type Places = BTreeMap<String, BTreeMap<(u64, u64), bool>>;

/// Counts the lines and regions of a folder, and prints the lines that no test reached.
fn sum(places: &Places, part: &str, besides: &[&str]) -> Reached {
    let mut all = Reached::default();
    for (file, places) in places {
        if !file.starts_with(part) || besides.iter().any(|other| file.starts_with(other)) {
            continue;
        }
        places.values().for_each(|&reached| all.add(reached));
        let missed: Vec<String> = places
            .iter()
            .filter(|(_, reached)| !**reached)
            .map(|((line, column), _)| if *column == 0 { line.to_string() } else { format!("{line}:{column}") })
            .collect();
        if !missed.is_empty() {
            println!("{file}: {} of {}: {}", missed.len(), places.len(), missed.join(" "));
        }
    }
    all
}

/// A file's path inside the project, and the line at which its own tests begin.
fn file_of(path: &str) -> Option<(String, u64)> {
    let file = Path::new(path).strip_prefix(root()).ok()?;
    let text = fs::read_to_string(path).ok()?;
    let tests = text.lines().position(|line| line == "mod tests {" || line == "mod tests;");
    let own = file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
    let end = if own { 0 } else { tests.map_or(u64::MAX, |line| line as u64) };
    Some((file.display().to_string(), end))
}

/// The lines of a report in the format of `lcov`.
fn lines(report: &str) -> Places {
    let mut places = Places::new();
    let mut of = None;
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            of = file_of(path);
        } else if let (Some((file, end)), Some(("DA", told))) = (&of, line.split_once(':'))
            && let Some((line, count)) = told.split_once(',')
            && let (Ok(line), Ok(count)) = (line.parse::<u64>(), count.parse::<u64>())
            && line < *end
        {
            *places.entry(file.clone()).or_default().entry((line, 0)).or_default() |= count > 0;
        }
    }
    places
}

/// The beginnings of regions in a report as JSON. A segment is a line, a column, a count, whether
/// there is a count, whether a region begins there, and whether it is a gap.
fn regions(report: &Value) -> Result<Places> {
    let mut places = Places::new();
    for file in report["data"][0]["files"].as_array().context("llvm-cov tells of no files")? {
        let Some((name, end)) = file["filename"].as_str().and_then(file_of) else { continue };
        for segment in file["segments"].as_array().into_iter().flatten() {
            let (Some(line), Some(column), Some(count)) =
                (segment[0].as_u64(), segment[1].as_u64(), segment[2].as_u64())
            else {
                continue;
            };
            let begins = segment[3] == true && segment[4] == true && segment[5] != true;
            if begins && line < end {
                *places.entry(name.clone()).or_default().entry((line, column)).or_default() |= count > 0;
            }
        }
    }
    Ok(places)
}
