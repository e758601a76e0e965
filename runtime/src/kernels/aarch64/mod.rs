//! 64-bit Arm. Every such processor has vectors; whether it has an instruction for products of bytes is found out when the
//! program runs, where there is a standard library to ask, and is what the target says elsewhere.

mod attention;
pub(crate) mod dotprod;
pub(crate) mod neon;
