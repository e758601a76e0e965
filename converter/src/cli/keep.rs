//! The options that cut a vocabulary.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use kinglet_convert::opened::Source;
use kinglet_convert::vocabulary::{Vocabulary, Wish};

use super::input::Reader;
use super::number;

/// Which tokens a blob keeps.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KeepArgs {
    /// Cut the vocabulary to the tokens that these texts use, and what they are made of: one text a
    /// line, `.jsonl` with a text, a list of ids, or an object with `text` or `ids` on each line,
    /// or `.json` with one list of tokens or ids. These texts become the tokens that they were; all
    /// others become more tokens, of equal text.
    #[arg(long, value_name = "FILE")]
    keep_vocabulary: Option<PathBuf>,
    /// Cut the vocabulary to this many tokens: the ones that --keep-vocabulary uses most, then the
    /// first of the vocabulary's own.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::at_least_one())]
    vocabulary_size: Option<usize>,
}

impl KeepArgs {
    /// What is to be kept, if anything is to be cut: read before there is anything else to do.
    pub(crate) fn wish(&self) -> Result<Option<Wish>> {
        let size = self.vocabulary_size;
        match &self.keep_vocabulary {
            Some(file) => Ok(Some(Wish { size, ..Wish::read(file)? })),
            None => Ok(size.map(|_| Wish { size, ..Wish::default() })),
        }
    }
}

/// Cuts the vocabulary of a folder, whose tokenizer `reader` has. The model is cut, too, where
/// there is one.
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
