//! `kinglet tokenize`: turn a text into tokens, and tokens into a text.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use kinglet::tokenizer::section::MAGIC;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet_convert::files::read_text;
use kinglet_convert::inputs::{char_offsets, lines};
use kinglet_convert::tokenizer::{decode, encode, spelling};
use serde_json::{Value, json};

use super::engine::{open, read_blob};
use super::input::{given_text, nothing_given, piped};
use super::{number, output};

/// Turn a text into tokens, or tokens into a text, as the device does.
#[derive(Args, Debug)]
pub(crate) struct Tokenize {
    /// The blob, or a tokenizer that was converted with --tokenizer-only.
    model: PathBuf,
    /// The text; `-` reads all of standard input, which is also read if it is a pipe or a file and
    /// no other input is given.
    #[arg(long)]
    text: Option<String>,
    /// A second text.
    #[arg(long, requires = "text")]
    pair: Option<String>,
    /// Leave out the special tokens around a text, or those among --ids.
    #[arg(long)]
    no_special: bool,
    /// The most tokens to keep.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    max_length: Option<usize>,
    /// Token ids to turn into a text, such as 1,2,3.
    #[arg(long, value_delimiter = ',', value_name = "IDS", conflicts_with_all = ["text", "input"])]
    ids: Option<Vec<u32>>,
    /// A file of texts: one per line, or in `.jsonl` one JSON value per line: a string, an object
    /// with `text` and `pair`, or an object with `ids`.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    input: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Tokenize {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let section = if blob.starts_with(&MAGIC) { &blob[..] } else { open(&blob)?.tokenizer_section() };
        let tokenizer = Tokenizer::from_bytes(section)
            .map_err(|error| anyhow!("{error}\nconvert a folder with tokenizer.json in it"))?;
        if let Some(ids) = &self.ids {
            return self.print_text(&tokenizer, ids, self.json);
        }
        let Some(path) = &self.input else {
            let text = match &self.text {
                Some(text) => given_text(text)?,
                None => piped()?.ok_or_else(nothing_given)?,
            };
            return self.print_tokens(&tokenizer, &text, self.pair.as_deref(), self.json);
        };
        let file = read_text(path).with_context(|| format!("reading {}", path.display()))?;
        for (number, line) in lines(path, &file)? {
            let place = || format!("{} line {number}", path.display());
            match &line {
                Value::String(text) => self.print_tokens(&tokenizer, text, None, true)?,
                line if line["ids"].is_array() => {
                    let ids: Vec<u32> = serde_json::from_value(line["ids"].clone()).with_context(place)?;
                    self.print_text(&tokenizer, &ids, true)?;
                }
                line => {
                    let text = line["text"].as_str().with_context(|| format!("{}: no `text`", place()))?;
                    self.print_tokens(&tokenizer, text, line["pair"].as_str(), true)?;
                }
            }
        }
        Ok(())
    }

    fn print_tokens(&self, tokenizer: &Tokenizer<'_>, text: &str, pair: Option<&str>, json: bool) -> Result<()> {
        let options = EncodeOptions { add_special_tokens: !self.no_special, max_length: self.max_length };
        let tokens = encode(tokenizer, text, pair, &options)?;
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let spelt: Vec<String> = ids.iter().map(|&id| spelling(tokenizer, id)).collect();
        if !json {
            let mut each = ids.iter().zip(&spelt).map(|(id, token)| format!("{id} {token:?}"));
            return each.try_for_each(|line| output::line(&line));
        }
        let types: Vec<u8> = tokens.iter().map(|token| token.type_id).collect();
        let offsets: Vec<(usize, usize)> = offsets(&tokens, text, pair);
        output::json(&json!({ "ids": ids, "tokens": spelt, "offsets": offsets, "token_type_ids": types }))
    }

    fn print_text(&self, tokenizer: &Tokenizer<'_>, ids: &[u32], json: bool) -> Result<()> {
        let text = decode(tokenizer, ids, self.no_special);
        if json { output::json(&json!({ "text": text })) } else { output::line(&text) }
    }
}

/// The ranges of tokens in characters, not bytes; (0, 0) for special tokens.
fn offsets(tokens: &[Token], text: &str, pair: Option<&str>) -> Vec<(usize, usize)> {
    let (first, second) = (char_offsets(text), char_offsets(pair.unwrap_or_default()));
    let of = |token: &Token| {
        let table = if token.text == Some(1) { &second } else { &first };
        let at = |byte: u32| table.get(byte as usize).copied().unwrap_or(0);
        if token.text.is_some() { (at(token.start), at(token.end)) } else { (0, 0) }
    };
    tokens.iter().map(of).collect()
}
