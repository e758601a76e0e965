//! Reads the input of a command: token ids, or text if the blob has a tokenizer; one input, or a
//! file of them.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet::LoadError;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet_convert::files::read_text;
use kinglet_convert::texts;
use kinglet_convert::tokenizer::{decode, encode, spelling};
use serde_json::Value;

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

/// One input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    /// The token ids that the first stack reads.
    pub(crate) ids: Vec<u32>,
    /// The segment of each id.
    pub(crate) token_types: Vec<u8>,
    /// The token ids that the decoder of an encoder-decoder reads.
    pub(crate) decoder_ids: Vec<u32>,
    /// Whether each token continues the word of the previous one.
    pub(crate) continues: Vec<bool>,
    /// The texts that were encoded; empty for an input of ids.
    pub(crate) texts: Vec<String>,
    /// The tokens, with their ranges in the texts; empty for an input of ids.
    pub(crate) tokens: Vec<Token>,
}

impl From<Input> for texts::Input {
    fn from(input: Input) -> Self {
        Self { ids: input.ids, token_types: input.token_types, decoder_ids: input.decoder_ids }
    }
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

/// The numbered lines of a file: JSON values in `.jsonl`, which may have empty lines, and texts in
/// other files.
pub(crate) fn lines(path: &Path, text: &str) -> Result<Vec<(usize, Value)>> {
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return Ok((1..).zip(text.lines().map(Value::from)).collect());
    }
    json_lines(path, text)
}

/// The numbered JSON values of a file with one on each line that is not empty.
pub(crate) fn json_lines(path: &Path, text: &str) -> Result<Vec<(usize, Value)>> {
    let parse = |(number, line): (usize, &str)| {
        let value = serde_json::from_str(line).map_err(|error| {
            anyhow!("{} line {number}: {error}\neach line must be a JSON string, object or list of ids", path.display())
        })?;
        Ok((number, value))
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

/// Encodes texts as tokens of a model.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// The model's tokenizer, if it has one.
    pub(crate) tokenizer: Option<Tokenizer<'static>>,
    /// The most tokens that the model takes.
    pub(crate) limit: Option<usize>,
    /// The prompt that is put before every text.
    pub(crate) prompt: String,
}

impl Reader {
    /// Checks a tokenizer's section, which is empty if the model has no tokenizer. The program
    /// opens one section and never frees it.
    pub(crate) fn new(section: &'static [u8]) -> Result<Self> {
        let tokenizer = match Tokenizer::from_bytes(section) {
            Err(LoadError::NoTokenizer) => None,
            tokenizer => Some(tokenizer.map_err(|error| anyhow!("{error}\nconvert the checkpoint again"))?),
        };
        Ok(Self { tokenizer, limit: None, prompt: String::new() })
    }

    fn text(&self, text: &str, pair: Option<&str>) -> Result<Input> {
        let tokenizer = self.tokenizer.as_ref().ok_or_else(|| {
            anyhow!(
                "the model has no tokenizer\nconvert a folder with tokenizer.json in it, or give token ids with --ids"
            )
        })?;
        let text = &format!("{}{text}", self.prompt);
        let options = EncodeOptions { max_length: self.limit, ..EncodeOptions::default() };
        let tokens = encode(tokenizer, text, pair, &options)?;
        Ok(Input {
            ids: tokens.iter().map(|token| token.id).collect(),
            token_types: tokens.iter().map(|token| token.type_id).collect(),
            continues: tokens.iter().map(|token| token.continues).collect(),
            texts: [Some(text.as_str()), pair].into_iter().flatten().map(str::to_owned).collect(),
            tokens,
            ..Input::default()
        })
    }

    /// The tokens of a choice, which the model would write: token ids, or a text without special
    /// tokens.
    pub(crate) fn choice(&self, line: &str) -> Result<Vec<u32>> {
        let ids = parse_ids(line);
        match &self.tokenizer {
            Some(tokenizer) if ids.is_err() => {
                let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
                let tokens = encode(tokenizer, line.trim_end(), None, &options)?;
                Ok(tokens.iter().map(|token| token.id).collect())
            }
            _ => ids,
        }
    }

    /// The text of some tokens; `None` without a tokenizer.
    pub(crate) fn decode(&self, ids: &[u32]) -> Option<String> {
        self.tokenizer.as_ref().map(|tokenizer| decode(tokenizer, ids, true))
    }

    /// The spelling of some tokens in the vocabulary; `None` without a tokenizer.
    pub(crate) fn spell(&self, ids: &[u32]) -> Option<Vec<String>> {
        self.tokenizer.as_ref().map(|tokenizer| ids.iter().map(|&id| spelling(tokenizer, id)).collect())
    }
}

/// The number of characters before each byte of a text, and before its end.
pub(crate) fn char_offsets(text: &str) -> Vec<usize> {
    let bytes = text.chars().enumerate().flat_map(|(index, c)| core::iter::repeat_n(index, c.len_utf8()));
    bytes.chain([text.chars().count()]).collect()
}

impl Input {
    /// The part of the text that a range of tokens covers, with its range in characters; `None` for
    /// an input of ids.
    pub(crate) fn span(&self, tokens: core::ops::Range<usize>) -> Option<(String, usize, usize)> {
        let (first, last) = (self.tokens.get(tokens.start)?, self.tokens.get(tokens.end.checked_sub(1)?)?);
        let text = self.texts.get(usize::from(first.text?))?;
        let part = text.get(first.start as usize..last.end as usize)?;
        let offsets = char_offsets(text);
        Some((part.to_owned(), *offsets.get(first.start as usize)?, *offsets.get(last.end as usize)?))
    }
}

pub(crate) fn parse(value: &Value, reader: &Reader) -> Result<Input> {
    match value {
        Value::String(text) => reader.text(text, None),
        Value::Array(_) => Ok(Input { ids: numbers(value)?, ..Input::default() }),
        Value::Object(fields) => {
            let field =
                |name: &str| fields.get(name).map_or(Ok(Vec::new()), |value| numbers(value).context(name.to_owned()));
            if let Some(text) = fields.get("text").and_then(Value::as_str) {
                let pair = fields.get("pair").and_then(Value::as_str);
                return Ok(Input { decoder_ids: field("decoder_ids")?, ..reader.text(text, pair)? });
            }
            if !fields.contains_key("ids") {
                bail!("the object has neither `text` nor `ids`\ngive one of them on each line");
            }
            let types = field("token_type_ids")?.into_iter().map(u8::try_from).collect::<Result<_, _>>();
            Ok(Input {
                ids: field("ids")?,
                token_types: types.context("token_type_ids")?,
                decoder_ids: field("decoder_ids")?,
                continues: field("continues")?.into_iter().map(|continues| continues != 0).collect(),
                ..Input::default()
            })
        }
        _ => {
            bail!("it is neither a text, an object nor a list\neach line must be a JSON string, object or list of ids")
        }
    }
}

fn numbers(value: &Value) -> Result<Vec<u32>> {
    let list = value.as_array().context("it is not a list of ids")?;
    let number = |value: &Value| {
        value.as_u64().and_then(|n| u32::try_from(n).ok()).with_context(|| format!("{value} is not a token id"))
    };
    list.iter().map(number).collect()
}

pub(super) fn parse_ids(list: &str) -> Result<Vec<u32>> {
    let ids = list.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    ids.map(|id| {
        id.trim().parse().map_err(|_| anyhow!("\"{list}\" is not a list of token ids\ngive ids such as 1,2,3"))
    })
    .collect()
}
