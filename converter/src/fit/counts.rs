//! What emulated cores counted of the programs in `firmware-examples`: the numbers that estimates
//! are made from.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Written by `cargo xtask firmware --bless`.
#[derive(Deserialize)]
struct Counts {
    /// By core, program and quantity, such as `generate: instructions a token`.
    cores: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What a core counted of a program.
///
/// # Panics
/// When the file, which the program is built with, has no such count.
pub(crate) fn counted(core: &str, program: &str, what: &str) -> f64 {
    static COUNTS: LazyLock<Counts> =
        LazyLock::new(|| serde_json::from_str(include_str!("counts.json")).expect("counts.json is valid"));
    let name = format!("{program}: {what}");
    match COUNTS.cores.get(core).and_then(|counts| counts.get(&name)) {
        Some(&count) => count as f64,
        None => panic!("counts.json lacks `{name}` of {core}"),
    }
}
