//! Locates a checkpoint by its name: a local folder, or a model of the Hub.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::opened::Source;
use crate::refuse;

/// The folder of a checkpoint.
#[derive(Clone, Debug)]
pub struct Located {
    /// The folder, which is in the Hub's cache if the model was downloaded.
    pub dir: PathBuf,
    /// The model's name on the Hub, if it comes from there.
    name: Option<String>,
}

impl Located {
    /// The folder called `named`, or a download of the Hub's model of this name. With `progress`, a
    /// terminal shows a bar for each download.
    ///
    /// # Errors
    /// When there is neither such a folder nor such a model, or a download fails.
    ///
    /// # Example
    /// ```
    /// use std::path::Path;
    ///
    /// use kinglet_convert::located::Located;
    ///
    /// let located = Located::find(Path::new("../models/stories"), false)?;
    /// assert!(located.dir.join("config.json").exists());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn find(named: &Path, progress: bool) -> Result<Self> {
        if named.is_dir() {
            return Ok(Self { dir: named.to_owned(), name: None });
        }
        let model = named.to_str().filter(|_| !named.exists());
        model.and_then(|model| of_hub(model, progress)).unwrap_or_else(|| {
            Err(refuse(
                format_args!("{} is not a folder", named.display()),
                format_args!("name the checkpoint's folder, the one with config.json in it{MODELS}"),
            ))
        })
    }

    /// Gives a source that was read from this folder the model's name on the Hub.
    pub fn rename(&self, source: &mut Source) {
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
fn of_hub(named: &str, progress: bool) -> Option<Result<Located>> {
    let id = crate::hub::Id::parse(named)?;
    Some(id.fetch(progress).map(|snapshot| Located { dir: snapshot.dir, name: Some(snapshot.name) }))
}

#[cfg(not(feature = "hub"))]
fn of_hub(_: &str, _: bool) -> Option<Result<Located>> {
    None
}
