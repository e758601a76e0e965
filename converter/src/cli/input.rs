//! Reads the input of a command: token ids, or text if the blob has a tokenizer; one input, or a
//! file of them.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use kinglet_convert::files::read_text;
use kinglet_convert::inputs::{Input, Reader, lines, parse};

/// The options that give a command its input.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct InputArgs {
    /// The text; `-` reads all of standard input, which is also read if it is a pipe or a file and
    /// no other input is given.
    #[arg(long, conflicts_with = "ids")]
    text: Option<String>,
    /// A second text: the one that the first is compared with, or the context of a question.
    #[arg(long, requires = "text")]
    pair: Option<String>,
    /// Truncate a text to the number of tokens that the model takes.
    #[arg(long)]
    truncate: bool,
    /// Token ids instead of a text, such as 1,2,3.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    ids: Option<Vec<u32>>,
    /// Segment of each token, such as 0,0,1.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    token_type_ids: Option<Vec<u8>>,
    /// Token ids for the decoder of an encoder-decoder.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    decoder_ids: Option<Vec<u32>>,
    /// A file of inputs, `-` for standard input: one text per line, or in `.jsonl` one JSON value
    /// per line: a string, a list of ids, or an object with the fields `text` and `pair`, or `ids`,
    /// `token_type_ids`, `decoder_ids`, `continues` (1 for a token that continues the word of the
    /// previous one).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "ids", "token_type_ids", "decoder_ids"])]
    input: Option<PathBuf>,
}

impl InputArgs {
    /// Whether there is a file of inputs, each of which gets a line of output.
    pub(crate) fn is_many(&self) -> bool {
        self.input.is_some()
    }

    /// Whether an option gives an input.
    pub(crate) fn is_given(&self) -> bool {
        self.input.is_some() || self.ids.is_some() || self.text.is_some()
    }

    /// Reads the inputs in order. The model's tokenizer encodes texts.
    pub(crate) fn read(&self, reader: &Reader) -> Result<Vec<Input>> {
        self.read_some(reader)?.ok_or_else(nothing_given)
    }

    /// Like [`read`](Self::read); `None` if no input is given and standard input is empty.
    pub(crate) fn read_some(&self, reader: &Reader) -> Result<Option<Vec<Input>>> {
        let reader = Reader { limit: reader.limit.filter(|_| self.truncate), ..reader.clone() };
        let piped = if self.is_given() { None } else { piped()? };
        let text = self.text.as_deref().map(given_text).transpose()?.or(piped);
        if let Some(text) = &text {
            let decoder_ids = self.decoder_ids.clone().unwrap_or_default();
            return Ok(Some(vec![Input { decoder_ids, ..reader.text(text, self.pair.as_deref())? }]));
        }
        let Some(path) = &self.input else {
            let Some(ids) = self.ids.clone() else { return Ok(None) };
            let list = |list: &Option<Vec<u8>>| list.clone().unwrap_or_default();
            let decoder_ids = self.decoder_ids.clone().unwrap_or_default();
            return Ok(Some(vec![Input {
                ids,
                token_types: list(&self.token_type_ids),
                decoder_ids,
                ..Input::default()
            }]));
        };
        let text = read_text(path).with_context(|| format!("reading {}", path.display()))?;
        let lines = lines(path, &text)?.into_iter();
        let inputs = lines
            .map(|(number, line)| parse(&line, &reader).with_context(|| format!("{} line {number}", path.display())))
            .collect::<Result<_>>()?;
        Ok(Some(inputs))
    }
}

/// The error of a command without an input.
pub(crate) fn nothing_given() -> anyhow::Error {
    anyhow!("there is nothing to work on\ngive a text with --text, token ids with --ids, or a file with --input")
}

/// The text of an option: `-` stands for standard input.
pub(crate) fn given_text(text: &str) -> Result<String> {
    if text == "-" { Ok(piped_text()?.unwrap_or_default()) } else { Ok(text.to_owned()) }
}

/// The text on standard input if that is a pipe or a file, and not empty.
pub(crate) fn piped() -> Result<Option<String>> {
    if is_piped() { piped_text() } else { Ok(None) }
}

/// The text on standard input, without the end of its last line; `None` if it is empty.
fn piped_text() -> Result<Option<String>> {
    let mut text = read_text(Path::new("-")).context("reading standard input")?;
    if text.ends_with('\n') {
        text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Whether standard input is a pipe or a file, which has an end. Other kinds may stay open for as
/// long as the parent process runs.
fn is_piped() -> bool {
    #[cfg(unix)]
    {
        use std::os::{fd::AsFd, unix::fs::FileTypeExt};
        let input = io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let kind = input.and_then(|input| input.metadata()).map(|about| about.file_type());
        kind.is_ok_and(|kind| kind.is_fifo() || kind.is_file())
    }
    #[cfg(not(unix))]
    !io::IsTerminal::is_terminal(&io::stdin())
}
