//! What a conversion made: sizes, memory, and what quantization cost.

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
    /// Learned numbers.
    pub parameters: usize,
    /// Bytes of the blob by part, and in all.
    pub bytes: BTreeMap<&'static str, usize>,
    /// Arena at several lengths.
    pub memory: Vec<Memory>,
    /// What quantization changed in each tensor, relative to the tensor.
    pub tensors: Vec<(String, f64)>,
    /// The runtime against the reference.
    pub fidelity: Fidelity,
    /// What it was measured on.
    pub measured: Measured,
    /// How many texts that were.
    pub texts: usize,
    /// The text with the smallest cosine, where it is one that can be shown.
    pub least: Option<String>,
    /// How likely texts are to it read either way, where that was measured.
    pub direction: Option<Losses>,
    /// How numbers are held, where that was chosen.
    pub numbers: Option<Numbers>,
    /// What cutting the vocabulary gained, where it was cut.
    pub vocabulary: Option<Pruned>,
    /// What has four bits to fit a size of flash, where one was asked for.
    pub budget: Option<Budget>,
    /// What quantizing each part and each layer alone costs, where that was measured.
    pub losses: Vec<Loss>,
    /// How it fits the boards that people own.
    #[serde(serialize_with = "serialize_boards")]
    pub boards: Vec<Fit>,
}

fn serialize_boards<S: serde::Serializer>(boards: &[Fit], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(boards.iter().map(Fit::json))
}

/// Memory at one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tokens of input, and of output.
    pub tokens: usize,
    /// Bytes of arena.
    pub arena: u64,
    /// Bytes of it that are keys and values.
    pub cache: u64,
}

/// Arena at the lengths that people ask for, up to the longest the model takes.
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

/// Which part of a blob a tensor belongs to, as people think of it.
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
    /// Measures a conversion on inputs that calibration did not see. `shown` has the text of each,
    /// where there are texts; `progress` is called for each.
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

    /// The report without its tensors.
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

    /// What parts and layers lose, the largest loss first.
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
            writeln!(f, "quantized alone, all else in f32: bytes, and what is lost:")?;
        }
        for (name, Loss { bytes, cosine, kl, .. }) in losses {
            write!(f, "  {bytes:>10}  {cosine:>7.1e} of cosine")?;
            kl.map_or(Ok(()), |kl| write!(f, ", {kl:.1e} nats a token"))?;
            writeln!(f, "  {name}")?;
        }
        Ok(())
    }

    /// The tensors that quantization changed most.
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
        writeln!(f, "quantization, relative error of the tensors it changed most:")?;
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
