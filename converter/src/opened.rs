//! Opens, maps and reads a checkpoint in one call.

use std::path::Path;

use anyhow::Result;
use kinglet::format::spec::ModelSpec;

use crate::checkpoint::{Checkpoint, Prompts};
use crate::family::{self, Mapping, Options};
use crate::weights::Weights;

/// A checkpoint that is mapped and read. The reference runs it, and a blob is made from it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The architecture, and the sources of the tensors.
    pub mapping: Mapping,
    /// The tensors.
    pub weights: Weights,
    /// The name of the folder, and of the adapter's.
    pub name: String,
    /// The prompts of a sentence-transformers model.
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
