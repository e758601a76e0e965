//! Macros for text that assembly functions share.

/// Concatenates pieces of assembly, each followed by a newline.
macro_rules! lines {
    ($($piece:expr),+ $(,)?) => {
        concat!($($piece, "\n"),+)
    };
}

/// Selects the core for the assembler, because an Armv8-M target does not imply the DSP or the
/// vector extension. Every function that needs one begins with this line.
///
/// The directive applies to all later assembly of the program and cannot be undone. It therefore
/// names the largest core that the crate's features promise, so that no later instruction is
/// rejected.
#[cfg(all(kinglet_dsp, feature = "mve"))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(all(kinglet_dsp, feature = "dsp", not(feature = "mve")))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(all(kinglet_dsp, not(feature = "dsp")))]
macro_rules! cpu {
    () => {
        ""
    };
}

/// Repeats `$body` for each of `$registers`, which it names `\x`.
#[cfg(kinglet_dsp)]
macro_rules! each {
    ($registers:literal, $body:expr) => {
        lines!(concat!(".irp x, ", $registers), $body, ".endr")
    };
}

/// A right shift that rounds half up: `ASRS` leaves the last bit shifted out in the carry, and
/// `ADC` adds it. A shift by 0 does not change the carry, which must be clear before.
#[cfg(kinglet_thumb2)]
macro_rules! round {
    ($x:literal, $shift:literal) => {
        lines!(concat!("asrs ", $x, ", ", $x, ", ", $shift), concat!("adc ", $x, ", ", $x, ", #0"))
    };
}

/// Runs `$many` for every `$step` of `$count` values, then `$one` for each of the rest. Uses the
/// labels 1 to 4, and clobbers `$count`. The counter rises from below 0, so that the carry is clear
/// when `$many` and `$one` begin.
#[cfg(kinglet_dsp)]
macro_rules! many_then_one {
    ($step:literal, $count:literal, $many:expr, $one:expr) => {
        lines!(
            concat!("rsbs ", $count, ", ", $count, ", #", $step, " - 1"),
            "bpl 2f",
            "1:",
            $many,
            concat!("adds ", $count, ", ", $count, ", #", $step),
            "bmi 1b",
            "2:",
            concat!("subs ", $count, ", ", $count, ", #", $step, " - 1"),
            "beq 4f",
            "3:",
            $one,
            concat!("adds ", $count, ", ", $count, ", #1"),
            "bmi 3b",
            "4:"
        )
    };
}

/// Label 2 and `$count` copies of `$body`. A function that enters the loop late computes its entry
/// from `$bytes`, the size of a body, which the assembler checks.
///
/// The check is a `.skip` by 0, or by -1, which is an error: `.if` cannot evaluate differences of
/// distant labels, and a true comparison is 1 or -1.
#[cfg(kinglet_dsp)]
macro_rules! unrolled {
    ($count:literal, $bytes:expr, $body:expr) => {
        unrolled!($count, $bytes, $body, concat!("(. - 2b != ", $count, " * ", $bytes, ")"))
    };
    ($count:literal, $bytes:expr, $body:expr, $wrong:expr) => {
        lines!(
            ".p2align 2",
            "2:",
            concat!(".rept ", $count),
            $body,
            ".endr",
            concat!(".skip -(", $wrong, " * ", $wrong, ") // a body has not ", $bytes, " bytes")
        )
    };
}
