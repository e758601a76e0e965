//! Runs any checkpoint, such as one that does not ship with the project, on every emulated core.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::{kinglet, kinglet_output, target_folder};
use crate::emulate::{Counts, compared, emulate, measure};
use crate::machines::{CORES, Core};
use crate::programs::build_one;
use crate::table::grouped;

/// Options of the conversion, features of the firmware, and cores. The blob of the last row remains
/// for measurements on the host.
const CONVERSIONS: [(&[&str], &str, &[&str]); 4] = [
    (&["--target", "m55", "--activations", "a8"], "checkpoint", &["M55"]),
    (&["--target", "m55"], "checkpoint", &["M55"]),
    (&["--target", "cortex-m4"], "checkpoint,pairs", &["M4F", "M7", "M33"]),
    (&["--target", "portable"], "checkpoint", &["M0+ code", "M3", "RV32IMC"]),
];

/// Runs a checkpoint on every core, with room for 512 and for 128 tokens, or for fewer if the model
/// has fewer positions, and compares text and bits with the host's. `given` has additional options
/// for the conversion. Returns the measurements at the shorter length with 16-bit activations, and
/// any that only the longer length has.
pub(crate) fn run(folder: &Path, given: &[&str], only: &str) -> Result<Vec<(&'static str, Counts)>> {
    let mut rows = Vec::new();
    for (options, features, names) in CONVERSIONS {
        let cores = CORES.iter().filter(|core| core.name.contains(only) && names.contains(&core.name));
        let cores: Vec<_> = cores.collect();
        if !cores.is_empty() {
            let options = [options, given].concat();
            let converted = converted(folder, &options, features, &cores)?;
            rows.extend(converted.into_iter().filter(|_| !options.contains(&"a8")));
        }
    }
    Ok(rows)
}

/// Converts a checkpoint and runs it on some cores.
fn converted(
    folder: &Path,
    options: &[&str],
    features: &str,
    cores: &[&'static Core],
) -> Result<Vec<(&'static str, Counts)>> {
    let blob = target_folder("checkpoint.kinglet");
    let folder = folder.to_str().context("the path of the checkpoint is not UTF-8")?;
    kinglet(&[&["convert", folder, "--output", &blob, "--force"], options].concat())?;
    kinglet(&["export", &blob, "--rust", &target_folder(""), "--force"])?;
    let module = target_folder("checkpoint.rs");
    let mut rows: Vec<(&'static str, Counts)> = cores.iter().map(|core| (core.name, Counts::new())).collect();
    let told = serde_json::from_str(&kinglet_output(&["inspect", &blob, "--json"])?)?;
    let features = [features, packed_weights(&told)].concat();
    for tokens in lengths(&told)? {
        let program = format!("{}/release/host", target_folder("host"));
        let wanted = Command::new(program).args(["checkpoint", &blob, &tokens]).output()?;
        let wanted = compared(&String::from_utf8(wanted.stdout)?);
        for (core, (_, counts)) in cores.iter().zip(&mut rows) {
            let environment =
                [&[("KINGLET_MODULE", module.as_str()), ("KINGLET_TOKENS", tokens.as_str())], core.environment()];
            let program = build_one(core, "checkpoint", &features, &environment.concat())?;
            let printed = emulate(core, &program)?;
            ensure!(compared(&printed) == wanted, "{} prints:\n{printed}but the host prints:\n{wanted}", core.name);
            let measured = measure(&program, &printed)?;
            let value = |what: &str| measured.values.get(what).copied().unwrap_or(0);
            let counted = |unit: &&str| measured.values.contains_key(format!("instructions a {unit}").as_str());
            let unit = ["text", "sentence"].into_iter().find(counted).unwrap_or("token");
            eprintln!(
                "{} at {tokens}, {}: {} instructions a {unit}, {} bytes of flash, {} of static RAM and {} of stack",
                core.name,
                options.join(" "),
                grouped(value(&format!("instructions a {unit}"))),
                grouped(measured.code + measured.model),
                grouped(measured.memory),
                grouped(value("bytes of stack"))
            );
            counts.extend(measured.values);
        }
    }
    Ok(rows)
}

/// The feature that a blob needs if it has weights with four bits.
fn packed_weights(told: &Value) -> &'static str {
    if told["spec"]["numerics"]["packed"]["group"].as_u64().unwrap_or(0) > 0 { ",kinglet/packed-weights" } else { "" }
}

/// The numbers of tokens to make room for, in descending order.
fn lengths(told: &Value) -> Result<Vec<String>> {
    let positions = |stack: &str| told["spec"][stack]["max_positions"].as_u64();
    let positions = positions("decoder").or(positions("encoder")).context("kinglet inspect told no positions")?;
    let mut lengths = [512, 128].map(|tokens| positions.min(tokens)).to_vec();
    lengths.dedup();
    Ok(lengths.iter().map(u64::to_string).collect())
}
