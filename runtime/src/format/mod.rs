//! The blob: an architecture as data, where its tensors lie, and how the whole is read and written.
//!
//! Described byte by byte in `docs/format.md`. The version goes up with any change.

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
