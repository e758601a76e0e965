//! Chooses the texts that a conversion is calibrated and measured on.

use anyhow::Result;
use kinglet::tokenizer::{EncodeOptions, Tokenizer};

use crate::calibrate::{fit, standard_texts};
use crate::fidelity::{sample_texts, spread_texts};
use crate::opened::Source;
use crate::texts::{Input, Measured, calibration_texts, collection, end, halves};
use crate::tokenizer::encode;

/// The fewest texts of the collection that the tokenizer must encode; with fewer, token ids are
/// used.
const LEAST: usize = 16;

/// The inputs of a conversion.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The inputs that weights are calibrated on.
    pub calibrated: Vec<Input>,
    /// The inputs that the report is measured on.
    pub measured: Vec<Input>,
    /// The texts of `measured`; empty if these are token ids only.
    pub shown: Vec<String>,
    /// The origin of `measured`.
    pub kind: Measured,
}

impl Samples {
    /// Splits given texts between calibration and measurement. A single text serves both.
    pub fn given(texts: Vec<(Input, String)>) -> Self {
        let (calibrated, mut measured) = halves(texts);
        if measured.is_empty() {
            measured.clone_from(&calibrated);
        }
        let calibrated = calibrated.into_iter().map(|(input, _)| input).collect();
        let (measured, shown) = measured.into_iter().unzip();
        Self { calibrated, measured, shown, kind: Measured::GivenTexts }
    }

    /// The default samples. A decoder is measured on texts that it writes itself, and other models
    /// on one half of the collection; they are calibrated on the other half and on further texts,
    /// or without a tokenizer on token ids. With `ids`, token ids are calibrated on in any case;
    /// without `calibrate`, nothing is.
    ///
    /// # Errors
    /// When the reference cannot run.
    pub fn standard(source: &Source, tokenizer: Option<&Tokenizer<'_>>, calibrate: bool, ids: bool) -> Result<Self> {
        let standard = || if calibrate { standard_texts(source) } else { Ok(Vec::new()) };
        let without_text = |measured, kind| Ok(Self { calibrated: standard()?, measured, shown: Vec::new(), kind });
        if source.spec().encoder.is_none() {
            return without_text(sample_texts(source, 8, 48, 0)?, Measured::OwnTexts);
        }
        let collected = tokenizer.map_or(Ok(Vec::new()), |tokenizer| read(source, tokenizer, collection()))?;
        if collected.len() < LEAST {
            return without_text(spread_texts(source, 8, 24), Measured::TokenIds);
        }
        let mut samples = Self { kind: Measured::CollectedTexts, ..Self::given(collected) };
        if ids || !calibrate {
            samples.calibrated = standard()?;
        } else if let Some(tokenizer) = tokenizer {
            let more = read(source, tokenizer, calibration_texts())?;
            samples.calibrated.extend(more.into_iter().map(|(input, _)| input));
        }
        Ok(samples)
    }
}

/// Encodes texts with the model's default prompt, and leaves out texts that the tokenizer cannot
/// encode.
///
/// # Errors
/// When the folder names a default prompt that it does not have.
pub fn read<'t>(
    source: &Source,
    tokenizer: &Tokenizer<'_>,
    texts: impl Iterator<Item = &'t str>,
) -> Result<Vec<(Input, String)>> {
    let spec = source.spec();
    let max_length = spec.encoder.or(spec.decoder).map(|stack| stack.max_positions as usize);
    let prompt = source.prompts.choose(None)?.map_or("", |(_, text)| text);
    let options = EncodeOptions { max_length, ..EncodeOptions::default() };
    let read = |text: &str| {
        let tokens = encode(tokenizer, &format!("{prompt}{text}"), None, &options).ok()?;
        let mut input = Input {
            ids: tokens.iter().map(|token| token.id).collect(),
            token_types: tokens.iter().map(|token| token.type_id).collect(),
            ..Input::default()
        };
        fit(source, &mut input).ok()?;
        end(spec, &mut input.ids, &mut input.decoder_ids);
        input.token_types.truncate(input.ids.len());
        Some((input, text.to_owned()))
    };
    Ok(texts.filter_map(read).collect())
}
