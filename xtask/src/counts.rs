//! The measurements on emulated cores. Tables in `docs/` are made from them, and the estimates of
//! `kinglet fit` from some, which have a file of their own: the page in the browser loads it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::root;
use crate::emulate::{Counts, Measured};

/// The measurements that `kinglet fit` estimates from.
const ESTIMATED_FROM: &str = "converter/src/fit/counts.json";
/// All others.
const OTHERS: &str = "firmware-examples/counts.json";

/// Whether `kinglet fit` estimates from a core's measurement.
fn is_estimated_from(core: &str, what: &str) -> bool {
    what.starts_with("kernels: ") && what.contains(", one token")
        || what.starts_with("bench: instructions a token, ")
        || core == "M4F" && what.starts_with("calls: bytes of stack, ")
}

/// The programs whose measurements are stored.
const KEPT: [&str; 6] = ["generate", "classify", "command", "bench", "calls", "steps"];

/// The measurements of each core, by program and quantity, such as `generate: instructions a
/// token`.
#[derive(Default)]
pub(crate) struct Counted {
    cores: BTreeMap<String, Counts>,
}

impl Counted {
    /// Reads both files.
    pub(crate) fn read() -> Result<Self> {
        let mut all = Self::default();
        for file in [ESTIMATED_FROM, OTHERS] {
            let text = fs::read_to_string(root().join(file)).with_context(|| format!("reading {file}"))?;
            let mut value: Value = serde_json::from_str(&text).with_context(|| format!("reading {file}"))?;
            let cores: BTreeMap<String, Counts> =
                serde_json::from_value(value["cores"].take()).with_context(|| format!("reading {file}"))?;
            for (core, counts) in cores {
                all.cores.entry(core).or_default().extend(counts);
            }
        }
        Ok(all)
    }

    /// Writes both files.
    pub(crate) fn write(&self) -> Result<()> {
        let by = "by `cargo xtask firmware --bless`, `cargo xtask bench --bless` and `cargo xtask c --check --bless`";
        for (file, estimated) in [(ESTIMATED_FROM, true), (OTHERS, false)] {
            let part = |(core, counts): (&String, &Counts)| {
                let wanted = |(what, _): &(&String, &u64)| is_estimated_from(core, what) == estimated;
                let counts: Counts = counts.iter().filter(wanted).map(|(what, count)| (what.clone(), *count)).collect();
                (core.clone(), counts)
            };
            let cores: BTreeMap<String, Counts> = self.cores.iter().map(part).collect();
            let text = serde_json::to_string_pretty(&json!({ "@generated": by, "cores": cores }))?;
            fs::write(root().join(file), text + "\n").with_context(|| format!("writing {file}"))?;
        }
        Ok(())
    }

    /// Replaces a core's measurements of a program.
    pub(crate) fn add(&mut self, core: &str, program: &str, counts: &Counts) {
        let kept = self.cores.entry(core.to_owned()).or_default();
        kept.retain(|what, _| what.split_once(": ").is_none_or(|(of, _)| of != program));
        kept.extend(counts.iter().map(|(what, count)| (format!("{program}: {what}"), *count)));
    }

    /// Replaces a core's measurements of the examples, and the sizes of their programs.
    pub(crate) fn add_examples(&mut self, core: &str, examples: &BTreeMap<&str, Measured>) {
        for (example, measured) in examples.iter().filter(|(example, _)| KEPT.contains(example)) {
            self.add_sizes(core, example, measured);
        }
    }

    /// Replaces a core's measurements of a program, and its sizes.
    pub(crate) fn add_sizes(&mut self, core: &str, program: &str, measured: &Measured) {
        let mut counts = measured.values.clone();
        let sizes = [
            ("bytes of code", measured.code),
            ("bytes of constants", measured.model),
            ("bytes of static memory", measured.memory),
        ];
        counts.extend(sizes.map(|(what, bytes)| (what.to_owned(), bytes)));
        self.add(core, program, &counts);
    }

    /// The quantities that a core counted in a program.
    pub(crate) fn whats(&self, core: &str, program: &str) -> impl Iterator<Item = &str> {
        let all = self.cores.get(core).into_iter().flatten().map(|(what, _)| what.split_once(": "));
        all.flatten().filter(move |(of, _)| *of == program).map(|(_, what)| what)
    }

    /// A measurement.
    pub(crate) fn get(&self, core: &str, program: &str, what: &str) -> Option<u64> {
        self.cores.get(core)?.get(&format!("{program}: {what}")).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_counted_again_replaces_its_own_counts_only() {
        let counts = |what: &str, count| Counts::from([(what.to_owned(), count)]);
        let mut counted = Counted::default();
        counted.add("M3", "generate", &counts("instructions a token", 1));
        counted.add("M3", "classify", &counts("instructions a sentence", 2));
        counted.add("M3", "generate", &counts("bytes of stack", 3));
        assert_eq!(counted.get("M3", "generate", "instructions a token"), None);
        assert_eq!(counted.get("M3", "generate", "bytes of stack"), Some(3));
        assert_eq!(counted.get("M3", "classify", "instructions a sentence"), Some(2));
        assert_eq!(counted.get("M4F", "classify", "instructions a sentence"), None);
    }
}
