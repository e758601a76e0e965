//! Reads the texts that `convert` is given to calibrate and measure on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kinglet_convert::calibrate::fit;
use kinglet_convert::files::read_text;
use kinglet_convert::inputs::{Input, Reader, lines, parse};
use kinglet_convert::opened::Source;
use kinglet_convert::texts;
use kinglet_convert::tokenizer::Kept;
use serde_json::Value;

/// The lines of a file of texts.
pub(crate) struct Given {
    file: PathBuf,
    lines: Vec<(usize, Value)>,
}

impl Given {
    /// Reads the file, without its empty lines. Called first, so that a bad file is refused early.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = read_text(file).with_context(|| format!("reading {}", file.display()))?;
        let mut lines = lines(file, &text)?;
        lines.retain(|(_, line)| line.as_str().is_none_or(|line| !line.trim().is_empty()));
        if lines.is_empty() {
            return Err(anyhow!("{} has no texts\ngive one on each line", file.display()));
        }
        Ok(Self { file: file.to_owned(), lines })
    }

    /// The file and line of a text, for messages.
    fn place(&self, number: usize) -> String {
        format!("{} line {number}", self.file.display())
    }

    /// The inputs that `reader` makes of all lines. Given ids are those of the checkpoint, and are
    /// replaced if `kept` cuts the vocabulary.
    pub(crate) fn inputs(&self, reader: &Reader, kept: Option<&Kept>) -> Result<Vec<Input>> {
        let read = |(number, line): &(usize, Value)| {
            let input = parse(line, reader);
            input.and_then(|input| renumber(input, kept)).with_context(|| self.place(*number))
        };
        self.lines.iter().map(read).collect()
    }

    /// The texts of `inputs` as the model reads them, each with its line. A note of the source says
    /// how many were truncated.
    pub(crate) fn texts(
        &self,
        inputs: Vec<Input>,
        source: &mut Source,
        reader: &Reader,
    ) -> Result<Vec<(texts::Input, String)>> {
        let spec = source.spec();
        let positions = spec.encoder.or(spec.decoder).map(|stack| stack.max_positions as usize);
        // A text that its tokenizer truncates keeps the special tokens around it.
        let cutting = Reader { limit: positions, ..reader.clone() };
        let (mut texts, mut cut) = (Vec::new(), 0);
        for ((number, line), mut input) in self.lines.iter().zip(inputs) {
            let long = positions.is_some_and(|positions| input.ids.len() > positions);
            if long && !input.texts.is_empty() {
                let decoder_ids = input.decoder_ids;
                input = Input { decoder_ids, ..parse(line, &cutting)? };
            }
            let mut text = input.into();
            cut += usize::from(fit(source, &mut text).with_context(|| self.place(*number))? || long);
            texts.push((text, line.as_str().map_or_else(|| line.to_string(), str::to_owned)));
        }
        if cut > 0 {
            source.mapping.notes.push(format!(
                "{cut} of the {} texts to calibrate on were longer than the model's {} positions, and were cut",
                texts.len(),
                positions.unwrap_or(0)
            ));
        }
        Ok(texts)
    }
}

/// Replaces given ids by the ids of a cut vocabulary; encoded texts have these already.
fn renumber(mut input: Input, kept: Option<&Kept>) -> Result<Input> {
    let Some(kept) = kept else { return Ok(input) };
    let given = if input.texts.is_empty() { Some(&mut input.ids) } else { None };
    for id in given.into_iter().chain([&mut input.decoder_ids]).flatten() {
        *id = kept.new_id(*id).with_context(|| {
            format!("token {id} is not in the vocabulary that is kept\nadd it to the file of --keep-vocabulary")
        })?;
    }
    Ok(input)
}
