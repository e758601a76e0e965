//! Text that functions in assembly have in common. Each macro gives the lines of one thing.

/// Names the core to the assembler: an Armv8-M target does not say that its core has the DSP or the
/// vector extension. Every function that needs one begins with this line.
///
/// The directive holds for all later assembly of the program, and no other leads back to the
/// target's own core. It therefore names the largest core that the crate's features promise: what
/// that core has is refused nowhere.
#[cfg(feature = "mve")]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(all(feature = "dsp", not(feature = "mve")))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(feature = "dsp"))]
macro_rules! cpu {
    () => {
        ""
    };
}
pub(super) use cpu;

/// Label 2 and `$count` copies of `$body`. A function that enters this loop late computes where it
/// jumps from `$bytes`, which the assembler checks to be a body's size.
///
/// The check is a `.skip` by 0 or, which is an error, by -1: `.if` does not know differences of
/// labels that are far apart.
macro_rules! unrolled {
    ($count:literal, $bytes:expr, $body:expr) => {
        concat!(
            ".p2align 2\n2:\n.rept ",
            $count,
            "\n",
            $body,
            "\n.endr\n.skip -((. - 2b != ",
            $count,
            " * ",
            $bytes,
            ") * (. - 2b != ",
            $count,
            " * ",
            $bytes,
            ")) // a body of the loop has not ",
            $bytes,
            " bytes"
        )
    };
}
pub(super) use unrolled;
