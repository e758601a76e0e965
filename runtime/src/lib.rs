//! Integer-only inference for small quantized transformers, without `std` and without a heap.
//!
//! The host program `kinglet` turns a Hugging Face checkpoint into one file, the *blob*. This crate
//! runs the blob in place, from flash: decoders (the GPT family), encoders (the BERT family) and
//! encoder-decoders (the T5 family). A blob gives equal bits on every target.
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
//!     let options = EncodeOptions::default();
//!     let count = tokenizer.encode(text, None, &options, &mut scratch, &mut tokens)?;
//!     let ids = tokens.map(|token| token.id);
//!
//!     // The size is a constant: 23,136 to 75,136 bytes for the models that ship with Kinglet.
//!     let mut arena = arena!(arena_bytes(BLOB, MAX_TOKENS));
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
//!   ([`ModelSpec`](crate::format::spec::ModelSpec)), the offsets of its tensors, and the blob.
//! - [`Model`]: a checked view over a blob. Weights are read in place, never copied.
//! - [`Session`]: runs tokens through the model in an arena, a buffer borrowed from the caller that
//!   holds the key and value caches, and the logits.
//! - [`sample`] and [`task`]: choosing tokens, generating text, filling masks, labels, answers,
//!   sentence vectors, likelihood.
//! - [`tokenizer`]: text to tokens and back, equal to Hugging Face's `tokenizers`.
//! - [`golden`]: the self test that every blob carries.
//!
//! `kinglet export` writes a blob as a Rust module, in which model and tokenizer are constants.
//! Firmware that uses it does not link the code that reads and checks blobs.
//!
//! # Memory
//!
//! A session needs one buffer, its *arena*, at a 16-byte boundary, which [`arena!`] and [`Aligned`]
//! provide. [`arena_bytes`] reads the size from the blob, at compile time if the blob is a
//! constant. [`MemoryPlan`] computes it for other tiles and for beams. A tokenizer borrows scratch
//! memory, as `u32` words, for one call; while no session holds the arena, it can serve as scratch.
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
//! are. Bytes that are not a model give a [`LoadError`], misuse of a model gives a [`RunError`],
//! and both convert into an [`Error`]. Each has a code for telemetry. A blob's checksum detects
//! accidental damage; it does not prove where the blob came from.
//!
//! # Features
//!
//! The default features are parts that only some models have (`cross-attention`, `packed-weights`,
//! …). `default-features = false` leaves them out of firmware; loading a model that needs one then
//! fails with [`LoadError::FeatureOff`]. `signed` checks signatures of blobs; `cores` shares matrix
//! products with a chip's other cores; `defmt` formats errors and specifications; `dsp` and `mve`
//! declare the extensions of an Armv8-M core; `alloc` and `std` are for the host: aligned vectors,
//! the faster x86-64 kernels, threads.
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
mod convolution;
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
mod step;
pub mod task;
mod threads;
pub mod tokenizer;
mod workspace;

#[cfg(feature = "alloc")]
pub use aligned::AlignedVec;
pub use error::{Buffer, Error, LoadError, RunError};
pub use format::memory::MemoryPlan;
// Public lists of a manifest and of a tokenizer's header are `heapless::Vec`s.
pub use heapless;
pub use model::Model;
pub use session::{Pass, Prefix, Session, Suspended};
#[cfg(all(feature = "cores", not(feature = "std")))]
pub use threads::Cores;
#[doc(hidden)]
pub use workspace::arena_len;
pub use workspace::{Aligned, arena_bytes, arena_bytes_after, arena_bytes_beams, arena_bytes_seq2seq};
