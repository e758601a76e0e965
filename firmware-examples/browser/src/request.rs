//! What a model can be asked.

use anyhow::Result;
use kinglet::tokenizer::EncodeOptions;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::opened::Opened;
use crate::tasks;
use crate::text::Places;
use crate::writing::{Options, Writing};

/// A request: `do` says which, and what it takes is among the other fields. One structure for all
/// of them is a tenth of the code of one for each.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Request {
    r#do: String,
    #[serde(default)]
    text: String,
    /// A second text; a context; a prompt.
    pair: Option<String>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    token_types: Vec<u8>,
    #[serde(default)]
    decoder_ids: Vec<u32>,
    /// A number of tokens: of a text, of an answer, of guesses.
    tokens: Option<usize>,
    /// Special tokens are added, or skipped; logits are wanted.
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
            // What is in the blob.
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
            // What the head makes of tokens, as numbers.
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
            // Begins to write.
            "begin" => {
                *writing = Some(Writing::begin(opened, ids, &token_types, &options.unwrap_or_default())?);
                Ok(Value::Null)
            }
            // The next token of what is written, with the logits that it was chosen from as
            // numbers.
            "next" => match writing {
                Some(text) => text.next(opened, yes.then_some(numbers)),
                None => Err(anyhow::anyhow!("nothing is being written")),
            },
            other => Err(anyhow::anyhow!("there is no request {other}")),
        }
    }
}

/// A text as the model reads it: cut to what it takes.
pub(crate) fn read(opened: &Opened, text: &str, pair: Option<&str>) -> Result<Vec<kinglet::tokenizer::Token>> {
    let options = EncodeOptions { max_length: Some(opened.positions()), ..EncodeOptions::default() };
    Ok(opened.tokenizer()?.encode_to_vec(text, pair, &options)?)
}
