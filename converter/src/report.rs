//! Reports the result of a conversion: sizes, memory, and the cost of quantization.

use core::fmt;
use std::collections::BTreeMap;

use anyhow::Result;
use kinglet::format::layout::{HeadPart, Role, StackPart};
use kinglet::format::spec::ModelSpec;
use kinglet::{MemoryPlan, Model};
use serde::Serialize;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::convert::Converted;
use crate::direction::Losses;
use crate::fidelity::{self, Fidelity};
use crate::fit::{BOARDS, Fit};
use crate::losses::Loss;
use crate::numbers::Numbers;
use crate::opened::Source;
use crate::progress::Progress;
use crate::texts::{Input, Measured};
use crate::vocabulary::Pruned;
use crate::weights::role_name;

/// The report of a conversion.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name of the checkpoint.
    pub name: String,
    /// `model_type` of the checkpoint.
    pub model_type: String,
    /// The number of learned parameters.
    pub parameters: usize,
    /// The bytes of the blob by part, and in total.
    pub bytes: BTreeMap<&'static str, usize>,
    /// The arena at several lengths.
    pub memory: Vec<Memory>,
    /// The quantization error of each tensor, relative to the tensor.
    pub tensors: Vec<(String, f64)>,
    /// The agreement of the runtime with the reference.
    pub fidelity: Fidelity,
    /// The kind of texts that `fidelity` was measured on.
    pub measured: Measured,
    /// The number of these texts.
    pub texts: usize,
    /// The text with the smallest cosine, if it can be shown.
    pub least: Option<String>,
    /// The losses of texts read in either direction, if they were measured.
    pub direction: Option<Losses>,
    /// The number formats, if they were chosen.
    pub numbers: Option<Numbers>,
    /// The effect of cutting the vocabulary, if it was cut.
    pub vocabulary: Option<Pruned>,
    /// The matrices that have four bits to fit a size of flash, if one was given.
    pub budget: Option<Budget>,
    /// The cost of quantizing each part and each layer alone, if it was measured.
    pub losses: Vec<Loss>,
    /// The boards of the table, and how the blob fits each.
    #[serde(serialize_with = "serialize_boards")]
    pub boards: Vec<Fit>,
}

fn serialize_boards<S: serde::Serializer>(boards: &[Fit], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(boards.iter().map(Fit::json))
}

/// The memory at one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The number of input tokens, and of output tokens.
    pub tokens: usize,
    /// Bytes of arena.
    pub arena: u64,
    /// The bytes of the arena that hold keys and values.
    pub cache: u64,
}

/// The arena at common lengths, up to the longest that the model takes.
///
/// # Errors
/// When the specification is out of bounds.
pub fn memory(spec: &ModelSpec) -> Result<Vec<Memory>> {
    let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
    let longest = stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(0);
    let mut lengths: Vec<usize> =
        [16, 32, 64, 128, 256, 512, 1024, 2048].into_iter().filter(|len| *len < longest).collect();
    lengths.push(longest);
    let at = |tokens| {
        let plan = MemoryPlan::standard(spec, tokens)?;
        Ok(Memory { tokens, arena: plan.bytes(), cache: plan.cache_bytes(spec) })
    };
    lengths.into_iter().map(at).collect()
}

/// The part of a blob that a tensor belongs to, as the report names it.
fn part(role: Role) -> &'static str {
    match role {
        Role::Stack(_, StackPart::TokenEmbedding) => "token embedding",
        Role::Stack(
            _,
            StackPart::Rotary | StackPart::RotaryLocal | StackPart::RelativeBias | StackPart::ActivationTable,
        ) => "tables",
        Role::Stack(..) => "other embedding",
        Role::Block(..) => "blocks",
        Role::Head(HeadPart::ActivationTable | HeadPart::TanhTable) => "tables",
        Role::Head(_) => "head",
    }
}

impl Report {
    /// Measures a conversion on inputs that calibration did not use. `shown` has the text of each
    /// input, if there are texts. `progress` is called for each input.
    ///
    /// # Errors
    /// When the blob and the checkpoint do not belong together.
    pub fn new(
        source: &Source,
        converted: &Converted,
        measured: Measured,
        inputs: &[Input],
        shown: &[String],
        progress: Progress<'_>,
    ) -> Result<Self> {
        let model = Model::from_bytes(&converted.blob)?;
        let spec = model.spec();
        let mut bytes = BTreeMap::new();
        for tensor in &converted.tensors {
            *bytes.entry(part(tensor.role)).or_insert(0) += tensor.bytes;
        }
        bytes.insert("tokenizer", model.tokenizer_section().len());
        let rest = converted.blob.len() - bytes.values().sum::<usize>();
        bytes.insert("manifest and golden vectors", rest);
        bytes.insert("total", converted.blob.len());
        let fidelity = fidelity::compare(source, &model, inputs, 16, progress)?;
        let boards = BOARDS.iter().map(|board| Fit::new(board, converted.blob.len() as u64, spec, None)).collect();
        Ok(Self {
            name: source.name.clone(),
            model_type: source.mapping.model_type.clone(),
            parameters: source.weights.parameters(spec),
            bytes,
            memory: memory(spec)?,
            tensors: converted.tensors.iter().map(|tensor| (role_name(tensor.role), tensor.error)).collect(),
            fidelity,
            measured,
            texts: inputs.len(),
            least: shown.get(fidelity.least).cloned(),
            direction: None,
            numbers: None,
            vocabulary: None,
            budget: None,
            losses: Vec::new(),
            boards,
        })
    }

    /// The report without the errors of single tensors.
    pub fn summary(&self) -> Value {
        json!({
            "name": self.name,
            "model_type": self.model_type,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "memory": self.memory,
            "fidelity": self.fidelity,
            "measured": self.measured,
            "texts": self.texts,
            "least": self.least,
            "direction": self.direction,
            "numbers": self.numbers,
            "vocabulary": self.vocabulary,
            "budget": self.budget,
        })
    }

    /// Writes the losses of parts and layers, the largest first.
    fn write_losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut losses: Vec<(String, &Loss)> = Vec::new();
        for loss in &self.losses {
            match (&loss.layer, &loss.part) {
                (None, Some(part)) => losses.push((part.clone(), loss)),
                (Some(layer), None) => losses.push((format!("layer {layer}"), loss)),
                _ => {}
            }
        }
        losses.sort_by(|a, b| b.1.cosine.total_cmp(&a.1.cosine));
        if !losses.is_empty() {
            writeln!(f, "each quantized alone, all else in f32: bytes, and the loss:")?;
        }
        for (name, Loss { bytes, cosine, kl, .. }) in losses {
            write!(f, "  {bytes:>10}  {cosine:>7.1e} of cosine")?;
            kl.map_or(Ok(()), |kl| write!(f, ", {kl:.1e} nats a token"))?;
            writeln!(f, "  {name}")?;
        }
        Ok(())
    }

    /// The tensors with the largest quantization errors.
    fn worst(&self) -> Vec<&(String, f64)> {
        let mut worst: Vec<_> = self.tensors.iter().collect();
        worst.sort_by(|a, b| b.1.total_cmp(&a.1));
        worst.truncate(3);
        worst
    }
}

/// A text on one line, quoted as in JSON: `Debug` would escape the vowel signs of many scripts.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    let mut short: String = text.chars().take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    serde_json::Value::from(short).to_string()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} with {} parameters", self.model_type, self.parameters)?;
        if let Some(Pruned { kept, of, bytes_saved }) = self.vocabulary {
            writeln!(f, "vocabulary: {kept} of {of} tokens kept, {bytes_saved} bytes saved")?;
        }
        if let Some(budget) = &self.budget {
            write!(f, "{budget}")?;
        }
        writeln!(f, "flash, bytes:")?;
        for (part, bytes) in self.bytes.iter().filter(|(part, bytes)| **part != "total" && **bytes > 0) {
            writeln!(f, "  {bytes:>10}  {part}")?;
        }
        writeln!(f, "  {:>10}  in all", self.bytes.get("total").copied().unwrap_or(0))?;
        writeln!(f, "RAM, bytes of arena (of which keys and values):")?;
        for memory in &self.memory {
            writeln!(f, "  {:>10}  at {} tokens ({})", memory.arena, memory.tokens, memory.cache)?;
        }
        writeln!(f, "quantization, largest relative errors of tensors:")?;
        for (name, error) in self.worst() {
            writeln!(f, "  {error:>10.5}  {name}")?;
        }
        if let Some(numbers) = &self.numbers {
            write!(f, "{numbers}")?;
        }
        writeln!(f, "measured on {} {}:", self.texts, self.measured)?;
        writeln!(f, "{}", self.fidelity)?;
        if let Some(least) = &self.least {
            writeln!(f, "least for: {}", shortened(least))?;
        }
        self.write_losses(f)?;
        let Some(losses) = &self.direction else { return Ok(()) };
        writeln!(f, "{}{losses}", if losses.contradict() { "warning: " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_text_of_any_script_is_printed_as_it_is_written() {
        assert_eq!(shortened("मुझे \"बारिश\"\n"), r#""मुझे \"बारिश\"\n""#);
        assert_eq!(shortened(&"a".repeat(101)), format!("\"{}…\"", "a".repeat(100)));
    }
}
