//! x86-64: chosen when the program runs, by what the processor has.

pub(crate) mod avx2;
