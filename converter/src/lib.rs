//! Converts Hugging Face checkpoints to Kinglet blobs.
//!
//! A conversion has four steps: [`checkpoint`] opens the folder, [`family`] maps its configuration
//! to a [`ModelSpec`](kinglet::format::spec::ModelSpec) and locates the source of each tensor,
//! [`weights`] reads the tensors, and [`quantize`](mod@quantize) encodes them as the bytes of the
//! payload. [`mod@reference`] runs the specification on the checkpoint's weights in `f32`, and the
//! integers of the runtime are compared with it.

pub mod balance;
pub mod biases;
pub mod budget;
pub mod calibrate;
pub mod centre;
pub mod checkpoint;
pub mod config;
pub mod convert;
pub mod direction;
pub mod family;
pub mod fidelity;
pub mod files;
pub mod fit;
pub mod fixed;
pub mod grammar;
#[cfg(feature = "hub")]
pub mod hub;
pub mod inputs;
mod json;
pub mod keys;
pub mod located;
pub mod losses;
pub mod numbers;
pub mod opened;
pub mod page;
pub mod plan;
pub mod progress;
pub mod quantize;
pub(crate) mod real;
pub mod reference;
pub mod report;
pub mod samples;
pub mod source;
pub mod tables;
pub mod texts;
pub mod tokenizer;
pub mod vocabulary;
pub mod weights;
pub mod widths;

use core::fmt::Display;

/// An error of two lines: what is wrong, and what to do about it.
pub(crate) fn refuse(what: impl Display, action: impl Display) -> anyhow::Error {
    anyhow::anyhow!("{what}\n{action}")
}

#[cfg(test)]
mod testing;
