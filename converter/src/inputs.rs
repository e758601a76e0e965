//! Reads files of inputs: one text per line, or in `.jsonl` one JSON value per line.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use kinglet::LoadError;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use serde_json::Value;

use crate::texts;
use crate::tokenizer::{decode, encode, spelling};

/// One input.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The token ids that the first stack reads.
    pub ids: Vec<u32>,
    /// The segment of each id.
    pub token_types: Vec<u8>,
    /// The token ids that the decoder of an encoder-decoder reads.
    pub decoder_ids: Vec<u32>,
    /// Whether each token continues the word of the previous one.
    pub continues: Vec<bool>,
    /// The texts that were encoded; empty for an input of ids.
    pub texts: Vec<String>,
    /// The tokens, with their ranges in the texts; empty for an input of ids.
    pub tokens: Vec<Token>,
}

impl From<Input> for texts::Input {
    fn from(input: Input) -> Self {
        Self { ids: input.ids, token_types: input.token_types, decoder_ids: input.decoder_ids }
    }
}

/// The numbered lines of a file: JSON values in `.jsonl`, which may have empty lines, and texts in
/// other files.
///
/// # Errors
/// The errors of [`json_lines`].
pub fn lines(path: &Path, text: &str) -> Result<Vec<(usize, Value)>> {
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return Ok((1..).zip(text.lines().map(Value::from)).collect());
    }
    json_lines(path, text)
}

/// The numbered JSON values of a file with one on each line that is not empty.
///
/// # Errors
/// When a line is not JSON; the message names the line.
pub fn json_lines(path: &Path, text: &str) -> Result<Vec<(usize, Value)>> {
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
pub struct Reader {
    /// The model's tokenizer, if it has one.
    pub tokenizer: Option<Tokenizer<'static>>,
    /// The most tokens that the model takes.
    pub limit: Option<usize>,
    /// The prompt that is put before every text.
    pub prompt: String,
}

impl Reader {
    /// Checks a tokenizer's section, which is empty if the model has no tokenizer. The program
    /// opens one section and never frees it.
    ///
    /// # Errors
    /// When the runtime refuses the section.
    pub fn new(section: &'static [u8]) -> Result<Self> {
        let tokenizer = match Tokenizer::from_bytes(section) {
            Err(LoadError::NoTokenizer) => None,
            tokenizer => Some(tokenizer.map_err(|error| anyhow!("{error}\nconvert the checkpoint again"))?),
        };
        Ok(Self { tokenizer, limit: None, prompt: String::new() })
    }

    /// The input of a text, and of a second one if there is a pair.
    ///
    /// # Errors
    /// When there is no tokenizer, or it refuses the text.
    pub fn text(&self, text: &str, pair: Option<&str>) -> Result<Input> {
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
    ///
    /// # Errors
    /// When the line is no list of token ids and there is no tokenizer, or the tokenizer refuses the
    /// text.
    pub fn choice(&self, line: &str) -> Result<Vec<u32>> {
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
    pub fn decode(&self, ids: &[u32]) -> Option<String> {
        self.tokenizer.as_ref().map(|tokenizer| decode(tokenizer, ids, true))
    }

    /// The spelling of some tokens in the vocabulary; `None` without a tokenizer.
    pub fn spell(&self, ids: &[u32]) -> Option<Vec<String>> {
        self.tokenizer.as_ref().map(|tokenizer| ids.iter().map(|&id| spelling(tokenizer, id)).collect())
    }
}

/// The number of characters before each byte of a text, and before its end.
pub fn char_offsets(text: &str) -> Vec<usize> {
    let bytes = text.chars().enumerate().flat_map(|(index, c)| core::iter::repeat_n(index, c.len_utf8()));
    bytes.chain([text.chars().count()]).collect()
}

impl Input {
    /// The part of the text that a range of tokens covers, with its range in characters; `None` for
    /// an input of ids.
    pub fn span(&self, tokens: core::ops::Range<usize>) -> Option<(String, usize, usize)> {
        let (first, last) = (self.tokens.get(tokens.start)?, self.tokens.get(tokens.end.checked_sub(1)?)?);
        let text = self.texts.get(usize::from(first.text?))?;
        let part = text.get(first.start as usize..last.end as usize)?;
        let offsets = char_offsets(text);
        Some((part.to_owned(), *offsets.get(first.start as usize)?, *offsets.get(last.end as usize)?))
    }
}

/// The input that a JSON value describes: a text, a list of ids, or an object with `text` and
/// `pair`, or with `ids`, `token_type_ids`, `decoder_ids` and `continues`.
///
/// # Errors
/// When the value is none of these, a number is not an id, or the tokenizer refuses the text.
pub fn parse(value: &Value, reader: &Reader) -> Result<Input> {
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

/// Reads token ids such as `1,2,3` or `[1, 2, 3]`.
///
/// # Errors
/// When a part between commas is not a number of 32 bits.
pub fn parse_ids(list: &str) -> Result<Vec<u32>> {
    let ids = list.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    ids.map(|id| {
        id.trim().parse().map_err(|_| anyhow!("\"{list}\" is not a list of token ids\ngive ids such as 1,2,3"))
    })
    .collect()
}
