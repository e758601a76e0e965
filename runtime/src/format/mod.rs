//! Describes, reads and writes the blob: an architecture as data, its tensors, its tokenizer.
//!
//! `docs/format.md` specifies it byte by byte. Any change to the bytes raises the version.

pub mod blob;
pub(crate) mod check;
pub mod checksum;
pub(crate) mod decode;
pub mod layout;
mod length;
mod manifest;
pub(crate) mod memory;
pub(crate) mod offsets;
mod parts;
pub mod places;
pub(crate) mod prefix;
#[cfg(feature = "signed")]
pub mod signed;
pub mod spec;
