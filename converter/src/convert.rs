//! Converts a checkpoint to a blob.

use anyhow::{Context, Result};
use kinglet::format::blob::{self, Manifest, Provenance};
use kinglet::format::checksum::Checksum;
use kinglet::format::layout::{Role, roles};
use kinglet::format::spec::ModelSpec;
use kinglet::golden::{Golden, fingerprints, record};
use kinglet::{AlignedVec, MemoryPlan, Model};

use crate::calibrate::{Calibration, OWN_TOKENS, own_texts};
use crate::family::SpecialTokens;
use crate::opened::Source;
use crate::progress::Progress;
use crate::quantize::{Quantized, can_compensate, compensate, quantize};
use crate::refuse;
use crate::samples::Samples;
use crate::texts::{Measured, end, spread_ids};
use crate::weights::Weights;

/// A blob, with a report on each tensor.
#[derive(Debug)]
pub struct Converted {
    /// The bytes of the blob.
    pub blob: AlignedVec,
    /// The size and quantization error of each tensor.
    pub tensors: Vec<TensorReport>,
}

/// A quantized tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorReport {
    /// The role of the tensor.
    pub role: Role,
    /// The size of the tensor in the payload.
    pub bytes: usize,
    /// The root mean square of the quantization error, relative to that of the tensor.
    pub error: f64,
}

/// The number of texts that a decoder writes so that its layers can compensate rounding errors.
const OWN_TEXTS: usize = 48;

/// Lets each layer of a model with four-bit weights compensate the rounding errors of those before
/// it ([`compensate`]), if that is affordable. Only a calibrated model is changed, and it is changed
/// by its calibration texts; a decoder that is calibrated on texts of its own writes more of them.
///
/// `begin` is called with the number of layers before the work, and `progress` after each layer.
///
/// # Errors
/// When a text does not fit the model, or a value does not fit its integer.
pub fn compensate_rounding(
    source: &Source,
    samples: &Samples,
    calibration: &mut Calibration,
    begin: impl FnOnce(usize),
    progress: Progress<'_>,
) -> Result<()> {
    let is_own = samples.kind == Measured::OwnTexts;
    let given = || samples.calibrated.iter().map(|text| text.ids.len()).sum();
    let tokens = if is_own { OWN_TEXTS * OWN_TOKENS } else { given() };
    if calibration.is_empty() || !can_compensate(source.spec(), tokens) {
        return Ok(());
    }
    begin(source.spec().last_stack()?.num_hidden_layers.into());
    let texts = if is_own { &own_texts(source, OWN_TEXTS)? } else { &samples.calibrated };
    compensate(source, texts, calibration, progress)
}

/// Quantizes a checkpoint, and writes a blob with golden vectors that the runtime computes. Without
/// a calibration each weight is rounded independently. `progress` is called for each tensor.
///
/// # Errors
/// When a value does not fit its integer, or the blob does not pass its own checks.
pub fn convert(
    source: &Source,
    tokenizer: &[u8],
    calibration: Option<&Calibration>,
    progress: Progress<'_>,
) -> Result<Converted> {
    let spec = source.spec();
    let quantized = quantize(spec, &source.weights, calibration, progress)?;
    let tensors =
        quantized.iter().map(|t| TensorReport { role: t.role, bytes: t.bytes.len(), error: t.error }).collect();
    let payload = quantized.into_iter().flat_map(|tensor: Quantized| tensor.bytes).collect::<Vec<u8>>();
    Ok(Converted { blob: assemble(source, tokenizer, &payload)?, tensors })
}

/// The size of a blob without its tensors.
///
/// # Errors
/// See [`convert`].
pub(crate) fn bytes_around(source: &Source, tokenizer: &[u8]) -> Result<usize> {
    let tensors: u64 = roles(source.spec()).map(|(_, shape)| shape.bytes()).sum();
    let payload = vec![0; usize::try_from(tensors)?];
    Ok(assemble(source, tokenizer, &payload)?.len() - payload.len())
}

/// Writes a blob with these tensors, and with golden vectors that the runtime computes.
fn assemble(source: &Source, tokenizer: &[u8], payload: &[u8]) -> Result<AlignedVec> {
    let spec = source.spec();
    let labels = labels(&source.mapping.labels)?;
    let prompts = source.prompts.encoded();
    let manifest = Manifest {
        spec: *spec,
        tokens: special_tokens(&source.mapping.special, spec)?,
        generation: source.mapping.special.generation,
        labels: &labels,
        prompts: &prompts,
        provenance: Provenance {
            source: &source.name,
            source_checksum: weights_checksum(&source.weights),
            converter: env!("CARGO_PKG_VERSION"),
        },
    };
    let write = |golden: &[u8]| {
        let blob = blob::write(&manifest, payload, tokenizer, golden).context("writing the blob")?;
        Ok::<_, anyhow::Error>(AlignedVec::from(blob.as_slice()))
    };
    let golden = golden_vectors(&write(&[])?)?;
    let blob = write(&golden)?;
    Model::from_bytes(&blob).context("reading the blob back")?;
    Ok(blob)
}

/// Golden vectors of two inputs, of one token and of twelve: fingerprints of the results of each
/// layer.
fn golden_vectors(blob: &[u8]) -> Result<Vec<u8>> {
    let model = Model::from_bytes(blob)?;
    let spec = model.spec();
    let mut section = Vec::new();
    for len in [1, 12] {
        let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
        let mut lists =
            stacks.map(|stack| spread_ids(len.min(stack.max_positions as usize), stack.embedding.vocab_size));
        let (mut ids, mut decoder_ids) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
        end(spec, &mut ids, &mut decoder_ids);
        let longest = ids.len().max(decoder_ids.len());
        let mut arena = AlignedVec::zeroed(usize::try_from(MemoryPlan::standard(spec, longest)?.bytes())?);
        let found =
            fingerprints(&model, &mut arena, &ids, &decoder_ids, &mut || ()).context("running the golden vectors")?;
        section.extend(record(&ids, &decoder_ids, &found));
    }
    debug_assert_eq!(Golden::all(&section).count(), 2);
    Ok(section)
}

fn labels(labels: &[String]) -> Result<String> {
    if let Some(label) = labels.iter().find(|label| label.contains(['\n', '\r'])) {
        return Err(refuse(
            format_args!("the label {label:?} has a line break in it"),
            "rename it in config.json's `id2label`",
        ));
    }
    Ok(labels.join("\n"))
}

/// The special tokens of a mapping in the form of the blob. Ids outside of the vocabulary are left
/// out.
///
/// # Errors
/// When there are more than the blob can hold.
pub fn special_tokens(tokens: &SpecialTokens, spec: &ModelSpec) -> Result<blob::SpecialTokens> {
    let vocab_size = spec.last_stack().map_or(0, |stack| stack.embedding.vocab_size);
    let one = |id: Option<u32>| id.filter(|&id| id < vocab_size);
    let known = |ids: &[u32]| ids.iter().copied().filter(|&id| id < vocab_size).collect::<Vec<_>>();
    let too_many = |what: &str, most: usize| {
        refuse(
            format_args!("generation_config.json names more than {most} {what} tokens"),
            "shorten the list, or add --ignore-key and its name",
        )
    };
    let unknown = tokens.bad_words.iter().flatten().find(|&&id| id >= vocab_size);
    if let Some(id) = unknown {
        return Err(refuse(
            format_args!("`bad_words_ids` has token {id}, and the vocabulary is of {vocab_size}"),
            "remove it from generation_config.json, or add --ignore-key bad_words_ids",
        ));
    }
    let bad_words: Vec<u32> =
        tokens.bad_words.iter().flat_map(|word| [&[word.len() as u32], word.as_slice()].concat()).collect();
    Ok(blob::SpecialTokens {
        bos: one(tokens.bos),
        eos: heapless::Vec::from_slice(&known(&tokens.eos)).map_err(|_| too_many("end", 8))?,
        pad: one(tokens.pad),
        mask: one(tokens.mask),
        decoder_start: one(tokens.decoder_start),
        forced_bos: one(tokens.forced_bos),
        forced_eos: one(tokens.forced_eos),
        suppressed: heapless::Vec::from_slice(&known(&tokens.suppressed)).map_err(|_| too_many("suppressed", 16))?,
        suppressed_first: heapless::Vec::from_slice(&known(&tokens.suppressed_first))
            .map_err(|_| too_many("suppressed", 16))?,
        bad_words: heapless::Vec::from_slice(&bad_words).map_err(|_| {
            refuse(
                format_args!(
                    "`bad_words_ids` has {} runs of {} tokens in all, and a blob has room for 32 of both together",
                    tokens.bad_words.len(),
                    bad_words.len() - tokens.bad_words.len()
                ),
                "shorten the list in generation_config.json, or add --ignore-key bad_words_ids",
            )
        })?,
    })
}

fn weights_checksum(weights: &Weights) -> u32 {
    let mut sum = Checksum::new();
    for values in weights.iter().flat_map(|(_, tensor)| [&tensor.weight, &tensor.bias]) {
        sum.update(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
    sum.finish()
}
