//! The requests that a model can carry out.

use anyhow::Result;
use kinglet::tokenizer::EncodeOptions;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::opened::Opened;
use crate::tasks;
use crate::text::Places;
use crate::writing::{Options, Writing};

/// A request. `do` is its name, and the other fields are its arguments. One structure for all
/// requests takes a tenth of the code of one for each.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Request {
    r#do: String,
    #[serde(default)]
    text: String,
    /// The second text, the context or the prompt.
    pair: Option<String>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    token_types: Vec<u8>,
    #[serde(default)]
    decoder_ids: Vec<u32>,
    /// The maximum number of tokens of a text or answer, or the number of guesses.
    tokens: Option<usize>,
    /// Whether to add special tokens (`tokenize`), to skip them (`decode`), or to return logits
    /// (`next`).
    #[serde(default)]
    yes: bool,
    options: Option<Options>,
}

impl Request {
    pub(crate) fn carry_out(
        self,
        opened: &Opened,
        writing: &mut Option<Writing>,
        numbers: &mut Vec<i32>,
    ) -> Result<Value> {
        let Self { text, pair, ids, token_types, decoder_ids, tokens, yes, options, .. } = self;
        let pair = pair.as_deref();
        match self.r#do.as_str() {
            // The contents of the blob.
            "inspect" => Ok(opened.inspect()),
            // The golden vectors.
            "selfTest" => opened.self_test(),
            // The arena for texts of `tokens`.
            "memory" => opened.memory(tokens.unwrap_or_else(|| opened.positions())),
            // The boards that the blob fits.
            "fit" => opened.fit(tokens),
            "tokenize" => {
                let options = EncodeOptions { add_special_tokens: yes, max_length: tokens };
                let tokens = opened.tokenizer()?.encode_to_vec(&text, pair, &options)?;
                let places = Places::new(&text, pair);
                Ok(tokens.iter().map(|token| places.json(token)).collect())
            }
            "decode" => Ok(opened.tokenizer()?.decode_to_string(&ids, yes).into()),
            // The head's outputs, as numbers.
            "logits" => {
                let (rows, width) = opened.rows(ids, &token_types, decoder_ids)?;
                *numbers = rows;
                Ok(json!({ "width": width }))
            }
            "classify" => tasks::classify(opened, &text, pair),
            "tag" => tasks::tag(opened, &text),
            "fillMask" => tasks::fill_mask(opened, &text, tokens.unwrap_or(5)),
            "answer" => tasks::answer(opened, &text, pair.unwrap_or_default(), tokens.unwrap_or(30)),
            "embed" => tasks::embed(opened, &text, pair),
            "score" => tasks::score(opened, &text),
            // Begins to generate.
            "begin" => {
                *writing = Some(Writing::begin(opened, ids, &token_types, &options.unwrap_or_default())?);
                Ok(Value::Null)
            }
            // The next generated token; the logits that it was chosen from are numbers.
            "next" => match writing {
                Some(text) => text.next(opened, yes.then_some(numbers)),
                None => Err(anyhow::anyhow!("nothing is being written")),
            },
            other => Err(anyhow::anyhow!("there is no request {other}")),
        }
    }
}

/// The tokens of a text, truncated to the maximum number of tokens.
pub(crate) fn read(opened: &Opened, text: &str, pair: Option<&str>) -> Result<Vec<kinglet::tokenizer::Token>> {
    let options = EncodeOptions { max_length: Some(opened.positions()), ..EncodeOptions::default() };
    Ok(opened.tokenizer()?.encode_to_vec(text, pair, &options)?)
}
