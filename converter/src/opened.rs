//! A checkpoint that was mapped and read.

use std::path::Path;

use anyhow::Result;
use kinglet::format::spec::ModelSpec;

use crate::checkpoint::{Checkpoint, Prompts};
use crate::family::{self, Mapping, Options};
use crate::weights::Weights;

/// A checkpoint, mapped and read: what the reference runs, and what a blob is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is.
    pub mapping: Mapping,
    /// Its tensors.
    pub weights: Weights,
    /// The name of its folder, and of its adapter's.
    pub name: String,
    /// What sentence-transformers puts before a text.
    pub prompts: Prompts,
}

impl Source {
    /// Opens, maps and reads a checkpoint.
    ///
    /// # Errors
    /// When something is missing or not implemented; the message names it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self> {
        let mut checkpoint = Checkpoint::open(dir)?;
        options.adapter.as_ref().map_or(Ok(()), |adapter| checkpoint.adapt(adapter))?;
        let mapping = family::map(&checkpoint, options)?;
        let weights = Weights::read(&checkpoint, &mapping)?;
        let folders = [Some(dir), options.adapter.as_deref()];
        let name = folders.into_iter().flatten().map(folder_name).collect::<Vec<_>>().join(" + ");
        Ok(Self { mapping, weights, name, prompts: checkpoint.prompts })
    }

    /// The architecture.
    pub fn spec(&self) -> &ModelSpec {
        &self.mapping.spec
    }
}

fn folder_name(dir: &Path) -> String {
    let canonical = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    canonical.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
