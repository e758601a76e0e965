//! Integer-only, `no_std`, no-heap inference for small quantized transformers.
#![no_std]
#[cfg(target_endian = "big")]
compile_error!("Kinglet runs on little-endian targets: blobs are read where they lie, and nothing else is tested");

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "alloc")]
mod aligned;
mod attention;
#[cfg(feature = "bench")]
pub mod bench;
mod block;
pub mod format;
pub mod golden;
mod kernels;
mod model;
mod ops;
mod parts;
mod position;
mod quant;
pub mod sample;
mod session;
pub mod task;
mod threads;
pub mod tokenizer;
mod workspace;

#[cfg(feature = "alloc")]
pub use aligned::AlignedVec;
pub use format::error::Error;
// The lists in a manifest and in a tokenizer's header are of this crate.
pub use heapless;
pub use model::Model;
pub use session::{Pass, Session};
#[doc(hidden)]
pub use workspace::arena_len;
pub use workspace::{Aligned, MemoryPlan, arena_bytes, arena_bytes_beams, arena_bytes_seq2seq};
