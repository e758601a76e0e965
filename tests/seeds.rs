//! Writes the initial inputs of the targets to `corpus/`, in one folder per target.

use std::fs;
use std::path::Path;

use kinglet_tests::fuzz::{Mutator, TARGETS};

/// The number of random inputs for targets without initial inputs.
const FRESH: usize = 500;

fn main() -> std::io::Result<()> {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        let mut seeds = (target.seeds)();
        if seeds.is_empty() {
            let mut mutator = Mutator::new(1, Vec::new());
            seeds = (0..FRESH).map(|_| mutator.input()).collect();
        }
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index}")), seed)?;
        }
        println!("{}: {} inputs", target.name, seeds.len());
    }
    Ok(())
}
