//! The texts that `convert` calibrates and measures on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kinglet_convert::calibrate::{fit, standard_texts};
use kinglet_convert::fidelity::{sample_texts, spread_texts};
use kinglet_convert::files::read_text;
use kinglet_convert::opened::Source;
use kinglet_convert::texts::{self, Measured, collection, end, halves};
use kinglet_convert::tokenizer::Kept;
use serde_json::Value;

use super::input::{Input, Reader, lines, parse};

/// Fewer texts than this are no collection.
const LEAST: usize = 16;

/// What is calibrated on, and what is measured on.
pub(crate) struct Texts {
    /// What weights are calibrated on.
    pub(crate) calibrated: Vec<texts::Input>,
    /// What the report is measured on.
    pub(crate) measured: Vec<texts::Input>,
    /// The texts of these, where there are texts.
    pub(crate) shown: Vec<String>,
    /// What these are.
    pub(crate) kind: Measured,
}

impl Texts {
    /// Half of a person's own texts each. A single one serves both.
    pub(crate) fn given(given: &[(texts::Input, String)], source: &mut Source) -> Self {
        let (calibrated, mut measured) = halves(given.to_vec());
        if measured.is_empty() {
            source
                .mapping
                .notes
                .push("the report is measured on the one text that was calibrated on: give more".to_owned());
            measured = calibrated.clone();
        } else {
            let (half, other) = (calibrated.len(), measured.len());
            let note = format!(
                "{half} of the given texts were calibrated on, and the report is measured on the other {other}"
            );
            source.mapping.notes.push(note);
        }
        let calibrated = calibrated.into_iter().map(|(input, _)| input).collect();
        let (measured, shown) = measured.into_iter().unzip();
        Self { calibrated, measured, shown, kind: Measured::GivenTexts }
    }

    /// What a decoder writes itself; half of the project's texts each for other models with a tokenizer, and token ids for those without.
    /// With `ids`, token ids are calibrated on in any case.
    pub(crate) fn standard(source: &Source, reader: &Reader, calibrate: bool, ids: bool) -> Result<Self> {
        let spec = source.spec();
        let standard = || if calibrate { standard_texts(source) } else { Ok(Vec::new()) };
        if spec.encoder.is_none() {
            let measured = sample_texts(source, 8, 48, 0)?;
            return Ok(Self { calibrated: standard()?, measured, shown: Vec::new(), kind: Measured::OwnTexts });
        }
        let collected = collected(source, reader)?;
        if collected.len() < LEAST {
            let measured = spread_texts(source, 8, 24);
            return Ok(Self { calibrated: standard()?, measured, shown: Vec::new(), kind: Measured::TokenIds });
        }
        let (half, other) = halves(collected);
        let half = || half.into_iter().map(|(input, _)| input).collect();
        let calibrated = if ids || !calibrate { standard()? } else { half() };
        let (measured, shown) = other.into_iter().unzip();
        Ok(Self { calibrated, measured, shown, kind: Measured::CollectedTexts })
    }
}

/// The project's texts as a model reads them, without texts that its tokenizer has no tokens for.
fn collected(source: &Source, reader: &Reader) -> Result<Vec<(texts::Input, String)>> {
    let spec = source.spec();
    let limit = spec.encoder.or(spec.decoder).map(|stack| stack.max_positions as usize);
    let prompt = source.prompts.choose(None)?.map_or(String::new(), |(_, text)| text.clone());
    let reader = Reader { limit, prompt, ..reader.clone() };
    let read = |text: &'static str| {
        let mut input: texts::Input = parse(&text.into(), &reader).ok()?.into();
        fit(source, &mut input).ok()?;
        end(spec, &mut input.ids, &mut input.decoder_ids);
        input.token_types.truncate(input.ids.len());
        Some((input, text.to_owned()))
    };
    Ok(collection().filter_map(read).collect())
}

/// The texts of a file to calibrate on, as they stand in it.
pub(crate) struct Given {
    file: PathBuf,
    lines: Vec<(usize, Value)>,
}

impl Given {
    /// Reads the file before there is anything else to do. Empty lines are passed over.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = read_text(file).with_context(|| format!("reading {}", file.display()))?;
        let mut lines = lines(file, &text)?;
        lines.retain(|(_, line)| line.as_str().is_none_or(|line| !line.trim().is_empty()));
        if lines.is_empty() {
            return Err(anyhow!("{} has no texts\ngive one on each line", file.display()));
        }
        Ok(Self { file: file.to_owned(), lines })
    }

    /// The line of a text, for messages.
    fn place(&self, number: usize) -> String {
        format!("{} line {number}", self.file.display())
    }

    /// All of them as a reader reads them. Ids are the checkpoint's: they get their new ones where tokens were kept.
    pub(crate) fn inputs(&self, reader: &Reader, kept: Option<&Kept>) -> Result<Vec<Input>> {
        let read = |(number, line): &(usize, Value)| {
            let input = parse(line, reader);
            input.and_then(|input| renumber(input, kept)).with_context(|| self.place(*number))
        };
        self.lines.iter().map(read).collect()
    }

    /// All of them as the model reads them, of what a reader made of them, with the line of each. The notes say how many were cut.
    pub(crate) fn texts(
        &self,
        inputs: Vec<Input>,
        source: &mut Source,
        reader: &Reader,
    ) -> Result<Vec<(texts::Input, String)>> {
        let spec = source.spec();
        let positions = spec.encoder.or(spec.decoder).map(|stack| stack.max_positions as usize);
        // Cut by its tokenizer, a text keeps the tokens that go around it.
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

/// Replaces the ids in a file by the ids of a cut vocabulary. Texts have these already.
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
