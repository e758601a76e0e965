//! The counts of emulated cores that ran the programs in `firmware-examples`, on which estimates
//! are based.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The counts of `cargo xtask firmware --bless` that estimates are based on. The file has no other
/// counts, because the page in the browser loads it, too.
#[derive(Deserialize)]
struct Counts {
    /// Counts by core, program and quantity, such as `generate: instructions a token`.
    cores: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A core's count of a quantity of a program.
///
/// # Panics
/// When the file, which is compiled in, does not have this count.
pub(crate) fn counted(core: &str, program: &str, what: &str) -> f64 {
    static COUNTS: LazyLock<Counts> =
        LazyLock::new(|| serde_json::from_str(include_str!("counts.json")).expect("counts.json is valid"));
    let name = format!("{program}: {what}");
    match COUNTS.cores.get(core).and_then(|counts| counts.get(&name)) {
        Some(&count) => count as f64,
        None => panic!("counts.json lacks `{name}` of {core}"),
    }
}
