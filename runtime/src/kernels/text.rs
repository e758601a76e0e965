//! Text that functions in assembly have in common.

/// Some pieces, each on lines of its own.
macro_rules! lines {
    ($($piece:expr),+ $(,)?) => {
        concat!($($piece, "\n"),+)
    };
}

/// Names the core to the assembler: an Armv8-M target does not say that its core has the DSP or the
/// vector extension. Every function that needs one begins with this line.
///
/// The directive holds for all later assembly of the program, and no other leads back to the
/// target's own core. It therefore names the largest core that the crate's features promise: what
/// that core has is refused nowhere.
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

/// `$body` for each of `$registers`, which it calls `\x`.
#[cfg(kinglet_dsp)]
macro_rules! each {
    ($registers:literal, $body:expr) => {
        lines!(concat!(".irp x, ", $registers), $body, ".endr")
    };
}

/// A shift to the right that rounds half up: `ASRS` leaves the last bit that it shifts out in the
/// carry, which `ADC` adds. A shift by 0 leaves the carry alone, which must be clear before.
#[cfg(kinglet_thumb2)]
macro_rules! round {
    ($x:literal, $shift:literal) => {
        lines!(concat!("asrs ", $x, ", ", $x, ", ", $shift), concat!("adc ", $x, ", ", $x, ", #0"))
    };
}

/// `$many` for every `$step` values of `$count`, then `$one` for each that is left. It has the
/// labels 1 to 4, and leaves `$count` with no use. Its counter rises from below 0, so the carry is
/// clear where `$many` and `$one` begin.
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

/// Label 2 and `$count` copies of `$body`. A function that enters this loop late computes where it
/// jumps from `$bytes`, which the assembler checks to be a body's size.
///
/// The check is a `.skip` by 0 or, which is an error, by -1: `.if` does not know differences of
/// labels that are far apart, and what is true is 1 or -1.
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
