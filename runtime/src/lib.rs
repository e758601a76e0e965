//! Integer-only inference for small quantized transformers, without `std` and without a heap.
//!
//! The host program `kinglet` turns a Hugging Face checkpoint into one file, the *blob*. This crate
//! runs the blob where it lies, in flash: decoders (GPT and its kin), encoders (BERT and its kin)
//! and encoder-decoders (T5 and its kin). A blob gives equal bits on every target.
//!
//! ```
//! use kinglet::{Error, Model, Session, arena, arena_bytes, include_model};
//! use kinglet::sample::argmax;
//! use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
//!
//! const BLOB: &[u8] = include_model!(concat!(
//!     env!("CARGO_MANIFEST_DIR"),
//!     "/../firmware-examples/common/models/home-intent.kinglet"
//! ));
//! const MAX_TOKENS: usize = 48;
//!
//! fn main() -> Result<(), Error> {
//!     let model = Model::from_bytes(BLOB)?;
//!     let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())?;
//!     let (mut scratch, mut tokens) = ([0; 1024], [Token::default(); MAX_TOKENS]);
//!     let text = "Dim the hallway lights to thirty percent.";
//!     let count = tokenizer.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens)?;
//!     let ids = tokens.map(|token| token.id);
//!
//!     let mut arena = arena!(arena_bytes(BLOB, MAX_TOKENS)); // a constant: 23,136 to 75,136 bytes for models that ship
//!     let mut session = Session::new(&model, &mut arena.0, MAX_TOKENS)?;
//!     session.encode(&ids[..count], &[])?;
//!     let label = argmax(session.logits()?) as usize;
//!     assert_eq!(model.labels().nth(label), Some("light.set"));
//!     Ok(())
//! }
//! ```
//!
//! # Layers
//!
//! - [`format`](mod@format): an architecture as data
//!   ([`ModelSpec`](crate::format::spec::ModelSpec)), where its tensors lie, and the blob.
//! - [`Model`]: a checked view over a blob. Weights are read where they lie, never copied.
//! - [`Session`]: tokens through the model, in an arena that the caller lends; caches of keys and
//!   values; logits.
//! - [`sample`] and [`task`]: choosing tokens, generating text, filling masks, labels, answers,
//!   sentence vectors, likelihood.
//! - [`tokenizer`]: text to tokens and back, equal to Hugging Face's `tokenizers`.
//! - [`golden`]: the self test that every blob carries.
//!
//! `kinglet export` writes a blob as a Rust module, in which model and tokenizer are constants:
//! then the code that reads and checks blobs is not linked.
//!
//! # Memory
//!
//! A session needs one buffer, its *arena*, at a 16-byte boundary ([`arena!`] and [`Aligned`] see
//! to that). [`arena_bytes`] reads its size off the blob, at compile time if the blob is a
//! constant. [`MemoryPlan`] has the sizes for other tiles and beams. A tokenizer takes its scratch
//! memory in words for the duration of a call; an arena serves for that while no session holds it.
//!
//! # Numbers
//!
//! Values between layers, and logits, are fixed-point `i32` with
//! [`fraction_bits`](crate::format::spec::NumericsSpec::fraction_bits) bits after the binary point:
//! with 16, a logit of 65,536 is 1.0. Only [`task`] turns some of them into `f32`, at the public
//! edge.
//!
//! # Panics and errors
//!
//! After [`Model::from_bytes`] succeeds, no call panics or reads out of bounds, whatever the bytes
//! are. Bytes that are no model give a [`LoadError`], misuse of a model gives a [`RunError`], and
//! both convert into an [`Error`]. Each has a code for telemetry. A blob's checksum finds
//! accidents; it does not prove where the blob came from.
//!
//! # Features
//!
//! Default features are parts that only some models have (`cross-attention`, `packed-weights`, …):
//! `default-features = false` leaves them out of firmware, and a model that needs one is refused
//! with its name. `signed` checks signatures of blobs; `cores` shares products with a chip's other
//! cores; `defmt` formats errors and specifications; `dsp` and `mve` say what an Armv8-M core has;
//! `alloc` and `std` are conveniences of the host: aligned vectors, faster kernels of x86-64,
//! threads.
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
mod cache;
mod error;
mod features;
mod fixed;
pub mod format;
pub mod golden;
mod kernels;
mod model;
mod ops;
pub mod sample;
mod session;
pub mod task;
mod threads;
pub mod tokenizer;
mod workspace;

#[cfg(feature = "alloc")]
pub use aligned::AlignedVec;
pub use error::{Buffer, Error, LoadError, RunError};
pub use format::memory::MemoryPlan;
// The lists in a manifest and in a tokenizer's header are of this crate.
pub use heapless;
pub use model::Model;
pub use session::{Pass, Prefix, Session, Suspended};
#[cfg(all(feature = "cores", not(feature = "std")))]
pub use threads::Cores;
#[doc(hidden)]
pub use workspace::arena_len;
pub use workspace::{Aligned, arena_bytes, arena_bytes_after, arena_bytes_beams, arena_bytes_seq2seq};
