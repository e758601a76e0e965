//! `kinglet-random FIRST COUNT` runs random models with every kernel set of this machine, and fails
//! if one differs from the scalar set. It prints a line with a fingerprint per thousand seeds, so
//! that machines can be compared.

use std::process::ExitCode;

use arbitrary::Unstructured;
use kinglet::Model;
use kinglet::format::checksum::Checksum;
use kinglet_random::{Way, bytes_of, model, transcript};

/// The number of seeds per line.
const LINE: u64 = 1000;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
        eprintln!("usage: kinglet-random FIRST COUNT");
        return ExitCode::FAILURE;
    };
    let (mut sum, mut models, mut calls) = (Checksum::new(), 0, 0);
    for seed in first..first + count {
        match run(seed) {
            Ok(said) => {
                models += u64::from(said.is_some());
                for line in said.into_iter().flatten() {
                    calls += 1;
                    sum.update(line.as_bytes());
                }
            }
            Err(what) => {
                eprintln!("seed {seed}: {what}");
                return ExitCode::FAILURE;
            }
        }
        if (seed + 1 - first) % LINE == 0 || seed + 1 == first + count {
            println!("{models} models, {calls} calls: {:08x}", core::mem::take(&mut sum).finish());
        }
    }
    ExitCode::SUCCESS
}

/// The results of a seed's model; `None` if its choices lead to no model.
fn run(seed: u64) -> Result<Option<Vec<String>>, String> {
    let bytes = bytes_of(seed, 1024);
    let mut choices = Unstructured::new(&bytes);
    let Some(blob) = model(&mut choices) else { return Ok(None) };
    let model = Model::from_bytes(&blob).map_err(|error| format!("the model is refused: {error}"))?;
    let calls = choices.take_rest();
    let Ok(wanted) = transcript(&model, calls, Way { kernels: "scalar", tile: 1, threads: 1 }) else { return Ok(None) };
    for kernels in kinglet_random::kernel_sets(&model) {
        let way = Way { kernels, tile: 1 + seed as usize % 24, threads: 1 };
        let found = transcript(&model, calls, way).map_err(|error| format!("{way:?}: {error}"))?;
        if found != wanted {
            let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted).unwrap_or(wanted.len());
            let line = |said: &[String]| said.get(at).cloned().unwrap_or_default();
            return Err(format!(
                "{way:?}: call {at} gives\n{}\nin place of\n{}\n{:#?}",
                line(&found),
                line(&wanted),
                model.spec()
            ));
        }
    }
    Ok(Some(wanted))
}
