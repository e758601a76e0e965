//! Integer-only, `no_std`, no-heap inference for small quantized transformers.
#![no_std]
#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod format;
pub use format::error::Error;
