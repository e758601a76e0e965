//! What a command is to work on: ids, or text where the blob has a tokenizer; one, or a file of many.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet_convert::fidelity;
use serde_json::Value;

/// The input of a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct InputArgs {
    /// Token ids in place of text, such as 1,2,3.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    ids: Option<Vec<u32>>,
    /// Segment of each token, such as 0,0,1.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    token_type_ids: Option<Vec<u8>>,
    /// Token ids for the decoder of an encoder-decoder.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    decoder_ids: Option<Vec<u32>>,
    /// Many inputs: `.jsonl`, each line an object with the fields `ids`, `token_type_ids`, `decoder_ids`, `continues` (1 for
    /// a token that goes on with the word of the one before it), or a list of ids.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "token_type_ids", "decoder_ids"])]
    input: Option<PathBuf>,
}

/// One input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    /// What the first stack reads.
    pub(crate) ids: Vec<u32>,
    /// Its segments.
    pub(crate) token_types: Vec<u8>,
    /// What the decoder of an encoder-decoder reads.
    pub(crate) decoder_ids: Vec<u32>,
    /// Whether each token goes on with the word of the one before it.
    pub(crate) continues: Vec<bool>,
}

impl From<Input> for fidelity::Input {
    fn from(input: Input) -> Self {
        Self { ids: input.ids, token_types: input.token_types, decoder_ids: input.decoder_ids }
    }
}

impl InputArgs {
    /// The inputs of a file.
    pub(crate) fn from_file(path: &Path) -> Self {
        Self { input: Some(path.to_owned()), ..Self::default() }
    }

    /// Whether there is a file of inputs, each of which gets an answer on a line.
    pub(crate) fn is_many(&self) -> bool {
        self.input.is_some()
    }

    /// Whether there is anything to work on.
    pub(crate) fn is_given(&self) -> bool {
        self.input.is_some() || self.ids.is_some()
    }

    /// The inputs in order.
    pub(crate) fn read(&self) -> Result<Vec<Input>> {
        let Some(path) = &self.input else {
            let ids = self.ids.clone().ok_or_else(|| {
                anyhow!("there is nothing to work on\ngive token ids with --ids, or a file with --input")
            })?;
            let list = |list: &Option<Vec<u8>>| list.clone().unwrap_or_default();
            let decoder_ids = self.decoder_ids.clone().unwrap_or_default();
            return Ok(vec![Input { ids, token_types: list(&self.token_type_ids), decoder_ids, ..Input::default() }]);
        };
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| parse(line).with_context(|| format!("{} line {}", path.display(), number + 1)))
            .collect()
    }
}

fn parse(line: &str) -> Result<Input> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| anyhow!("{error}\neach line must be a JSON object or a list of ids"))?;
    match &value {
        Value::Array(_) => Ok(Input { ids: numbers(&value)?, ..Input::default() }),
        Value::Object(fields) => {
            let field =
                |name: &str| fields.get(name).map_or(Ok(Vec::new()), |value| numbers(value).context(name.to_owned()));
            if !fields.contains_key("ids") {
                bail!("the object has no field `ids`\neach line must be an object with `ids`, or a list of ids");
            }
            let types = field("token_type_ids")?.into_iter().map(u8::try_from).collect::<Result<_, _>>();
            Ok(Input {
                ids: field("ids")?,
                token_types: types.context("token_type_ids")?,
                decoder_ids: field("decoder_ids")?,
                continues: field("continues")?.into_iter().map(|continues| continues != 0).collect(),
            })
        }
        _ => bail!("it is neither an object nor a list\neach line must be an object with `ids`, or a list of ids"),
    }
}

fn numbers(value: &Value) -> Result<Vec<u32>> {
    let list = value.as_array().context("it is not a list of ids")?;
    let number = |value: &Value| {
        value.as_u64().and_then(|n| u32::try_from(n).ok()).with_context(|| format!("{value} is not a token id"))
    };
    list.iter().map(number).collect()
}
