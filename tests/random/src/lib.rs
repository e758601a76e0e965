//! Random models, and random calls of them: every combination of parts that a specification may
//! have, random weights, calls in any order.
//!
//! All choices are read from a string of bytes. A fuzzer mutates the bytes to reach new code;
//! [`bytes_of`] generates them from a seed, so that a test or another machine can repeat them.

mod calls;
mod spec;
mod tensors;

pub use calls::{Way, transcript};
pub use spec::specification;
pub use tensors::{Noise, blob, payload};

use arbitrary::Unstructured;
use kinglet::{AlignedVec, MemoryPlan, Model, Session};

/// All kernel sets of desktop processors, which a machine may have.
const KERNELS: [&str; 11] = [
    "amx",
    "avx512vnni",
    "avxvnni",
    "avx2",
    "neon-dotprod",
    "neon",
    "wasm-simd128",
    "riscv-m",
    "arm-thumb1",
    "arm-thumb2",
    "scalar",
];

/// The kernel sets that this machine has.
pub fn kernel_sets(model: &Model<'_>) -> Vec<&'static str> {
    let Ok(plan) = MemoryPlan::new(model.spec(), 1, 1, 1) else { return Vec::new() };
    let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes()).unwrap_or(0));
    let Ok(mut session) = Session::with_plan(model, &mut arena, plan) else { return Vec::new() };
    KERNELS.into_iter().filter(|name| session.set_kernels(name).is_ok()).collect()
}

/// The bytes of a seed.
pub fn bytes_of(seed: u64, len: usize) -> Vec<u8> {
    let mut noise = Noise::new(seed);
    (0..len.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes()).take(len).collect()
}

/// A valid model; `None` if the choices lead to one that is too large to run.
pub fn model(choices: &mut Unstructured<'_>) -> Option<AlignedVec> {
    let spec = specification(choices)?;
    let seed = choices.arbitrary().ok()?;
    Some(blob(&spec, seed, choices.ratio(1, 8).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use kinglet::format::spec::PackedSpec;

    use super::*;

    /// Models of the first seeds, with the remaining bytes of each seed.
    fn models() -> impl Iterator<Item = (AlignedVec, Vec<u8>)> {
        (0..600).filter_map(|seed| {
            let bytes = bytes_of(seed, 1024);
            let mut choices = Unstructured::new(&bytes);
            let blob = model(&mut choices)?;
            Some((blob, choices.take_rest().to_vec()))
        })
    }

    #[test]
    fn every_part_of_a_model_comes_up_beside_others() {
        let mut parts = BTreeMap::<String, usize>::new();
        let (mut count, mut packed) = (0, 0);
        for (blob, _) in models() {
            count += 1;
            let model = Model::from_bytes(&blob).expect("a valid model");
            packed += usize::from(model.spec().numerics.packed != PackedSpec::NONE);
            let said = format!("{:?}", model.spec());
            let words = said.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            let words: BTreeSet<&str> = words.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).collect();
            words.into_iter().for_each(|word| *parts.entry(word.to_owned()).or_default() += 1);
        }
        assert!(count > 250 && packed > 25 && packed < count - 25, "{count} models, {packed} with four bits");
        for part in [
            "Layer",
            "Rms",
            "Affine",
            "PreNorm",
            "PostNorm",
            "Sandwich",
            "Parallel",
            "ParallelShared",
            "Rotary",
            "RelativeBias",
            "Disentangled",
            "ConvolutionSpec",
            "ShortConvolutionSpec",
            "SpanConvolutionSpec",
            "BottleneckSpec",
            "Narrow",
            "Shared",
            "Wide",
            "BeforePositions",
            "BeforeNorm",
            "AfterNorm",
            "Trigram",
            "RowMajor",
            "Tiled",
            "Paired",
            "WideTiled",
            "A8",
            "A16",
            "K8",
            "K16",
            "First",
            "Last",
            "Mean",
            "LastExcept",
            "AtLast",
            "Tied",
            "Own",
            "TransformSpec",
            "Backward",
            "Identity",
            "Relu",
            "ReluSquared",
            "Gelu",
            "GeluTanh",
            "QuickGelu",
            "Silu",
            "Tanh",
            "Sigmoid",
        ] {
            assert!(parts.get(part).is_some_and(|&times| times > 2), "{part}: {:?}", parts.get(part));
        }
    }

    #[test]
    fn most_calls_succeed_and_few_results_are_equal() {
        let (mut calls, mut right, mut results) = (0, 0, BTreeSet::new());
        for (blob, bytes) in models().step_by(4) {
            let model = Model::from_bytes(&blob).expect("a valid model");
            let way = Way { kernels: "scalar", tile: 3, threads: 1 };
            for line in transcript(&model, &bytes, way).unwrap_or_default() {
                calls += 1;
                if !line.contains("Err(") && line.contains("Ok(") {
                    right += 1;
                    results.insert(line);
                }
            }
        }
        assert!(calls > 500 && right > calls / 6 && results.len() > right / 2, "{right} of {calls}, {}", results.len());
    }
}
