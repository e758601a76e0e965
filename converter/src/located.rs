//! Locates the checkpoint that a command names: a local folder, or a model of the Hub.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use kinglet_convert::opened::Source;

/// The folder of a checkpoint.
pub(crate) struct Located {
    pub(crate) dir: PathBuf,
    /// The model's name on the Hub, if it comes from there.
    name: Option<String>,
}

impl Located {
    /// The folder called `named`, or a download of the Hub's model of this name.
    pub(crate) fn find(named: &Path) -> Result<Self> {
        if named.is_dir() {
            return Ok(Self { dir: named.to_owned(), name: None });
        }
        match named.to_str().filter(|_| !named.exists()).and_then(of_hub) {
            Some(found) => found,
            None => Err(anyhow!(
                "{} is not a folder\nname the checkpoint's folder, the one with config.json in it{MODELS}",
                named.display()
            )),
        }
    }

    /// Gives a source that was read from this folder the model's name on the Hub.
    pub(crate) fn rename(&self, source: &mut Source) {
        if let (Some(name), Some(folder)) = (&self.name, self.dir.file_name().and_then(|name| name.to_str())) {
            source.name = source.name.replacen(folder, name, 1);
        }
    }
}

#[cfg(feature = "hub")]
const MODELS: &str = ", or a model of the Hub as org/name";
#[cfg(not(feature = "hub"))]
const MODELS: &str = "; models of the Hub are downloaded by programs with the feature `hub`";

#[cfg(feature = "hub")]
fn of_hub(named: &str) -> Option<Result<Located>> {
    let id = kinglet_convert::hub::Id::parse(named)?;
    Some(id.fetch().map(|snapshot| Located { dir: snapshot.dir, name: Some(snapshot.name) }))
}

#[cfg(not(feature = "hub"))]
fn of_hub(_: &str) -> Option<Result<Located>> {
    None
}
