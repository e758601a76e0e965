//! Figures of other implementations, and lower bounds, for the table of `cargo xtask bench`.
//!
//! CMSIS-NN and llama2.c were built with GCC 12 and with Clang 19; each figure is the better
//! compiler's instruction count under QEMU 10.0, counted as Kinglet's are. Times are the best of
//! several rounds on one thread of an x86-64 server (Zen 4 with VNNI).

/// The operations that the firmware example `kernels` counts.
pub(super) const OPERATIONS: [&str; 17] = [
    A16,
    A16_SMALL,
    A16_TOKENS,
    A8,
    A8_TOKENS,
    A16_PAIRS,
    A16_PAIRS_SMALL,
    A16_PAIRS_TOKENS,
    A8_PAIRS,
    A8_PAIRS_TOKENS,
    A8_ROWS,
    A8_ROWS_TOKENS,
    INT4,
    INT4_SMALL,
    SOFTMAX,
    ATTENTION_8,
    ATTENTION_32,
];

const A16: &str = "a16, 384 x 384, one token";
const A16_SMALL: &str = "a16, 64 x 64, one token";
const A16_TOKENS: &str = "a16, 384 x 384, 64 tokens";
const A16_PAIRS: &str = "a16 in pairs, 384 x 384, one token";
const A16_PAIRS_SMALL: &str = "a16 in pairs, 64 x 64, one token";
const A16_PAIRS_TOKENS: &str = "a16 in pairs, 384 x 384, 64 tokens";
const A8_PAIRS: &str = "a8 in pairs, 384 x 384, one token";
const A8_PAIRS_TOKENS: &str = "a8 in pairs, 384 x 384, 64 tokens";
const A8: &str = "a8, 384 x 384, one token";
const A8_ROWS: &str = "a8 in rows, 384 x 384, one token";
const A8_ROWS_TOKENS: &str = "a8 in rows, 384 x 384, 64 tokens";
const A8_TOKENS: &str = "a8, 384 x 384, 64 tokens";
const INT4: &str = "int4, a16, 384 x 384, one token";
const INT4_SMALL: &str = "int4, a16, 64 x 64, one token";
const SOFTMAX: &str = "softmax of 256, an element";
const ATTENTION_8: &str = "attention over 512 positions, a head of 8, a position";
const ATTENTION_32: &str = "attention over 512 positions, a head of 32, a position";
const STORIES: &str = "stories260K: per token";

/// A row of the table with figures of another implementation.
pub(super) struct Elsewhere {
    /// The measured rows that this row is printed below.
    pub(super) of: &'static [&'static str],
    pub(super) who: &'static str,
    cores: &'static [(&'static [&'static str], &'static str)],
    /// The figure for the desktop.
    pub(super) here: &'static str,
}

impl Elsewhere {
    pub(super) fn on(&self, core: &str) -> &'static str {
        self.cores.iter().find(|(cores, _)| cores.contains(&core)).map_or("", |(_, figure)| figure)
    }
}

const M0: &[&str] = &["M0+ code"];
const M3: &[&str] = &["M3"];
const M4: &[&str] = &["M4F", "M7", "M33"];
const M55: &[&str] = &["M55"];
const RV32: &[&str] = &["RV32IMC"];

/// A row with instruction counts only.
const fn counted(
    of: &'static [&'static str],
    who: &'static str,
    cores: &'static [(&'static [&'static str], &'static str)],
) -> Elsewhere {
    Elsewhere { of, who, cores, here: "" }
}

/// A row with a desktop time only.
const fn timed(of: &'static [&'static str], who: &'static str, here: &'static str) -> Elsewhere {
    Elsewhere { of, who, cores: &[], here }
}

const ONNX: &str = "ONNX Runtime 1.32, int8";
const RTEN: &str = "rten 0.27, int8";
const PRODUCTS: &str = "the multiplications alone";
const CMSIS: &str = "CMSIS-NN, `arm_fully_connected_s8`";
const CMSIS_INT4: &str = "CMSIS-NN, `arm_fully_connected_s4`";
const LEAST: &str = "lower bound of the inner loop";

pub(super) const ELSEWHERE: &[Elsewhere] = &[
    // CMSIS-NN takes per product, and in addition per row, 6.00 and 97 instructions on M0+, 3.33
    // and 37 on M3, 1.875 and 50 with DSP, 0.156 and 12 with MVE.
    counted(&[A16, A8, A8_ROWS], CMSIS, &[(M0, "6.25"), (M3, "3.43"), (M4, "2.01"), (M55, "0.19")]),
    counted(&[A16_SMALL], CMSIS, &[(M0, "7.52"), (M3, "3.91"), (M4, "2.66"), (M55, "0.34")]),
    counted(
        &[A16_TOKENS, A8_TOKENS, A8_ROWS_TOKENS],
        "CMSIS-NN, int8 of 64 tokens",
        &[(M0, "6.32"), (M3, "2.64"), (M4, "1.58"), (M55, "0.21")],
    ),
    counted(&[INT4], CMSIS_INT4, &[(M4, "5.00")]),
    counted(&[INT4_SMALL], CMSIS_INT4, &[(M4, "5.64")]),
    // Loads, widening and multiplications, without the loop counter and the end of each row.
    counted(&[A16, A16_SMALL], LEAST, &[(M0, "3.25"), (M3, "2.25"), (M4, "1.13"), (RV32, "3.25")]),
    counted(&[A16_TOKENS], LEAST, &[(M0, "3.25"), (M3, "2.25"), (M4, "0.88"), (RV32, "3.25")]),
    counted(&[A16_PAIRS, A16_PAIRS_SMALL, A8_PAIRS], LEAST, &[(M4, "0.88")]),
    counted(&[A16_PAIRS_TOKENS, A8_PAIRS_TOKENS], LEAST, &[(M4, "0.75")]),
    counted(
        &[A8, A8_ROWS, A8_ROWS_TOKENS],
        LEAST,
        &[(M0, "3.25"), (M3, "2.25"), (M4, "1.13"), (M55, "0.14"), (RV32, "3.25")],
    ),
    // A shift and a product for each weight, and the loads that four rows share.
    counted(&[INT4, INT4_SMALL], LEAST, &[(M0, "3.25"), (M3, "1.97"), (RV32, "3.25")]),
    counted(&[SOFTMAX], "CMSIS-NN, `arm_softmax_s8`", &[(M0, "1,890"), (M4, "507"), (M55, "75")]),
    Elsewhere {
        of: &[STORIES],
        who: "llama2.c, fp32",
        cores: &[(M3, "26,704,371"), (&["M4F"], "1,714,119")],
        here: "17,700 tokens/s",
    },
    Elsewhere {
        of: &[STORIES],
        who: "llama2.c, int8",
        cores: &[(M3, "5,649,137"), (&["M4F"], "2,101,440")],
        here: "12,200 tokens/s",
    },
    // 259,328 products, at the lower bound of the inner loop.
    Elsewhere {
        of: &[STORIES],
        who: PRODUCTS,
        cores: &[(M0, "842,816"), (M3, "583,488"), (M4, "226,912"), (RV32, "842,816")],
        here: "380,000 tokens/s",
    },
    timed(&["minilm: encode 8 tokens"], ONNX, "2.43 ms"),
    timed(&["minilm: encode 8 tokens"], RTEN, "1.41 ms"),
    timed(&["minilm: encode 8 tokens"], PRODUCTS, "0.48 ms"),
    timed(&["minilm: encode 32 tokens"], ONNX, "4.17 ms"),
    timed(&["minilm: encode 32 tokens"], RTEN, "3.50 ms"),
    timed(&["minilm: encode 32 tokens"], PRODUCTS, "1.5 ms"),
    timed(&["minilm: encode 128 tokens"], ONNX, "13.75 ms"),
    timed(&["minilm: encode 128 tokens"], RTEN, "12.98 ms"),
    timed(&["minilm: encode 128 tokens"], PRODUCTS, "6.3 ms"),
    timed(&["minilm: encode 256 tokens"], ONNX, "30.9 ms"),
    timed(&["minilm: encode 256 tokens"], RTEN, "30.5 ms"),
    timed(&["minilm: encode 256 tokens"], PRODUCTS, "13.3 ms"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_one_that_the_firmware_counts() {
        let source = std::fs::read_to_string(crate::cargo::root().join("firmware-examples/common/src/kernels.rs"));
        let source = source.expect("the examples are there");
        for what in OPERATIONS {
            assert!(source.contains(&format!("\"{what}\"")), "{what}");
        }
    }

    #[test]
    fn every_figure_is_of_a_core_in_the_list() {
        for other in ELSEWHERE {
            for core in other.cores.iter().flat_map(|(cores, _)| *cores) {
                assert!(crate::machines::CORES.iter().any(|known| known.name == *core), "{core} of {}", other.who);
            }
        }
    }
}
