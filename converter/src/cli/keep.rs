//! The options that cut a vocabulary.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use kinglet_convert::inputs::Reader;
use kinglet_convert::opened::Source;
use kinglet_convert::vocabulary::{Vocabulary, Wish};

use super::number;

/// The tokens that a blob keeps.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KeepArgs {
    /// Cut the vocabulary to the tokens of these texts, and the tokens that merge into them: one
    /// text per line, `.jsonl` with a text, a list of ids, or an object with `text` or `ids` on
    /// each line, or `.json` with one list of tokens or ids. The tokens of these texts stay the
    /// same; other texts may become more tokens.
    #[arg(long, value_name = "FILE")]
    keep_vocabulary: Option<PathBuf>,
    /// Cut the vocabulary to N tokens: the most frequent in --keep-vocabulary, then the first of
    /// the vocabulary.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::at_least_one())]
    vocabulary_size: Option<usize>,
}

impl KeepArgs {
    /// The tokens to keep, if the vocabulary is to be cut. Read first, so that a bad file is
    /// refused early.
    pub(crate) fn wish(&self) -> Result<Option<Wish>> {
        let size = self.vocabulary_size;
        match &self.keep_vocabulary {
            Some(file) => Ok(Some(Wish { size, ..Wish::read(file)? })),
            None => Ok(size.map(|_| Wish { size, ..Wish::default() })),
        }
    }
}

/// Cuts the vocabulary of a folder's tokenizer, which is the one in `reader`, and of the model, if
/// given.
pub(crate) fn cut(folder: &Path, reader: &Reader, wish: &Wish, source: Option<&mut Source>) -> Result<Vocabulary> {
    let Some(full) = &reader.tokenizer else {
        bail!(
            "{} has no tokenizer, and --keep-vocabulary and --vocabulary-size cut one\nname a folder with tokenizer.json in it",
            folder.display()
        );
    };
    let vocabulary = Vocabulary::choose(folder, full, wish, source.as_deref())?;
    source.map_or(Ok(()), |source| source.keep(&vocabulary.kept))?;
    Ok(vocabulary)
}
