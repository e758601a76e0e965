//! Opens a Hugging Face model folder: its configuration and named tensors.
//!
//! Tensors come from `model.safetensors`, `pytorch_model.bin`, or the shards that the index of
//! either lists. They are decoded to `f32` on request, and each request is recorded, so that a
//! tensor nobody used can be refused by name at the end.

use core::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::config::Config;
use crate::files::{is_bare, is_there};
use crate::{json, refuse};

mod adapt;
mod adapter;
mod array;
mod entry;
pub(crate) mod sentence;
mod tensors;
mod torch;

use adapter::Adapter;
use array::decode;
use entry::Entry;
use tensors::Tensors;

pub use array::Array;
pub use sentence::{Module, Prompts};

/// Suffixes of tensors that some versions of `transformers` saved and no model needs.
const JUNK: [&str; 9] = [
    "position_ids",
    "token_type_ids",
    "attn.bias",
    "attn.masked_bias",
    "attention.bias",
    "attention.masked_bias",
    "rotary_emb.inv_freq",
    "embed_positions._float_tensor",
    "EncDecAttention.relative_attention_bias.weight",
];

/// Prefixes that a wrapper (`DataParallel`, `torch.compile`, `peft`, Lightning) adds to every
/// tensor name.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "base_model.model.", "model."];

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    /// `config.json`.
    pub config: Config,
    /// `generation_config.json`, or null.
    pub generation: Value,
    /// The modules of a sentence-transformers model; empty for other models.
    pub modules: Vec<Module>,
    /// The prompts of a sentence-transformers model.
    pub prompts: Prompts,
    /// `max_seq_length` of `sentence_bert_config.json`.
    pub max_seq_length: Option<u32>,
    /// Whether the tensors were read. Without them, the configuration is believed where a tensor
    /// would show otherwise.
    pub has_weights: bool,
    /// The wrapper prefix that was removed from every tensor name.
    pub wrapper: String,
    tensors: Tensors,
    adapter: Adapter,
    used: RefCell<BTreeSet<String>>,
}

impl Checkpoint {
    /// Opens the folder of a checkpoint.
    ///
    /// # Errors
    /// When a file is missing, truncated or malformed; the message names it.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::read(dir, None)
    }

    /// Opens a configuration without tensors, and the other files of its folder, for estimates made
    /// before there are weights.
    ///
    /// # Errors
    /// When a file is malformed; the message names it.
    pub fn without_weights(config: &Path) -> Result<Self> {
        let dir = config.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::read(dir, Some(config))
    }

    /// Whether a folder has a weight file, or the index of one, in either format. Shards are not
    /// checked.
    pub fn is_complete(dir: &Path) -> bool {
        let inner = sentence::modules(dir, &Prompts::default()).unwrap_or_default();
        let inner = inner.iter().find_map(Module::transformer_folder).map_or_else(|| dir.to_owned(), |f| dir.join(f));
        tensors::NAMES.iter().any(|(whole, index)| is_there(&inner.join(whole)) || is_there(&inner.join(index)))
    }

    /// Opens a folder or, given `config`, that configuration without tensors.
    fn read(dir: &Path, config: Option<&Path>) -> Result<Self> {
        let root = dir;
        let prompts = Prompts::read(root)?;
        let mut modules = sentence::modules(root, &prompts)?;
        let dir = modules.iter().find_map(Module::transformer_folder).map_or_else(|| dir.to_owned(), |f| dir.join(f));
        let path = config.map_or_else(|| dir.join("config.json"), Path::to_owned);
        if !is_there(&path) && adapter::is_adapter(&dir) {
            return Err(adapter::is_no_model(&dir));
        }
        let is_static = modules.iter().any(|module| matches!(module, Module::StaticEmbedding { .. }));
        let json = if is_static { json::optional(&path)? } else { json::required(&path)? };
        let json = sentence::static_embedding(json, &mut modules);
        let sentence_file = sentence::CONFIG_FILES.into_iter().find(|name| is_there(&dir.join(name)));
        let max_seq_length = json::optional(&dir.join(sentence_file.unwrap_or(sentence::CONFIG_FILES[0])))?;
        let max_seq_length = max_seq_length["max_seq_length"].as_u64().and_then(|n| u32::try_from(n).ok());
        let mut checkpoint = Self {
            config: Config::new(json)?,
            generation: json::optional(&dir.join("generation_config.json"))?,
            modules,
            prompts,
            max_seq_length,
            wrapper: String::new(),
            has_weights: config.is_none(),
            tensors: if config.is_some() { Tensors::default() } else { Tensors::open(&dir)? },
            adapter: Adapter::default(),
            used: RefCell::default(),
            dir,
        };
        if config.is_some() {
            return Ok(checkpoint);
        }
        checkpoint.unwrap_names();
        for folder in checkpoint.modules.iter().filter_map(Module::tensor_folder) {
            checkpoint.tensors.read_module(&root.join(folder), &format!("{folder}/"))?;
        }
        Ok(checkpoint)
    }

    /// The folder that holds `config.json`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads a JSON file of that folder; null if it does not exist.
    ///
    /// # Errors
    /// When the file is not JSON.
    pub fn json(&self, name: &str) -> Result<Value> {
        json::optional(&self.dir.join(name))
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.entries.keys().map(String::as_str)
    }

    /// The dimensions of a tensor, if the checkpoint has it. Old names of norms (`gamma`, `beta`)
    /// count.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// Decodes the tensor `name` to `f32` and marks it as used.
    ///
    /// # Errors
    /// When it is missing, is not of a floating-point type, or holds a value that is not finite.
    pub fn tensor(&self, name: &str) -> Result<Array> {
        let (name, entry) = self.find(name).ok_or_else(|| {
            refuse(
                format_args!("the checkpoint has no tensor `{name}`"),
                format_args!(
                    "config.json does not describe this checkpoint, or a file of it is missing{}",
                    self.nearest(name)
                ),
            )
        })?;
        self.used.borrow_mut().insert(name.to_owned());
        let file = self.tensors.file_name(entry);
        let values = decode(entry.dtype, &self.tensors.bytes(entry)).ok_or_else(|| {
            refuse(
                format_args!("tensor `{name}` in {file} is of type {:?}", entry.dtype),
                "only F64, F32, F16 and BF16 are read: save the checkpoint unquantized",
            )
        })?;
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(refuse(
                format_args!("tensor `{name}` in {file} holds {} at position {at}", values[at]),
                "every value must be a finite number: the checkpoint is broken, or overflowed its type",
            ));
        }
        Ok(Array { shape: entry.shape.clone(), values })
    }

    /// Decodes the tensor `name` and adds the adapter's update to it. `transposed` means that the
    /// tensor is stored as `[inputs, outputs]`.
    ///
    /// # Errors
    /// When the tensor is missing, or its shape is not the adapter's.
    pub fn adapted(&self, name: &str, transposed: bool) -> Result<Array> {
        let mut array = self.tensor(name)?;
        let stored = self.find(name).map_or(name, |(stored, _)| stored);
        self.adapter.add_to(stored, transposed, &mut array)?;
        Ok(array)
    }

    /// Whether an adapter changes a tensor and leaves open whether the tensors tied to it change.
    pub fn parts(&self, name: &str) -> bool {
        self.adapter.parts(name)
    }

    /// Marks tensors that are known and not needed as used, without reading them.
    pub fn dismiss(&self, unwanted: impl Fn(&str) -> bool) {
        let names = self.tensors.entries.keys().filter(|name| unwanted(name)).cloned();
        self.used.borrow_mut().extend(names);
    }

    /// Whether two tensors are bitwise equal and no adapter updates either.
    pub fn same(&self, a: &str, b: &str) -> bool {
        if a != b && [a, b].iter().any(|name| self.adapter.updates(name)) {
            return false;
        }
        let bytes = |name| self.find(name).map(|(_, entry)| (entry.dtype, self.tensors.bytes(entry)));
        bytes(a) == bytes(b)
    }

    /// Refuses a checkpoint with tensors that nobody used.
    ///
    /// # Errors
    /// When there are such tensors; the message names up to eight.
    pub fn check_all_used(&self) -> Result<()> {
        let used = self.used.borrow();
        let junk = |name: &str| {
            JUNK.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        };
        // PyTorch stores the values of tied tensors once, under every name.
        let entries = &self.tensors.entries;
        let shared = |name: &str| used.iter().any(|other| entries.get(other) == entries.get(name));
        let left = self.names().filter(|name| !used.contains(*name) && !junk(name) && !shared(name));
        let left: Vec<&str> = left.collect();
        if left.is_empty() {
            return Ok(());
        }
        let shown = left[..left.len().min(8)].join("`, `");
        let more = if left.len() > 8 { format!(" and {} more", left.len() - 8) } else { String::new() };
        Err(refuse(
            format_args!("the checkpoint has tensors that its config.json does not account for: `{shown}`{more}"),
            "this variant of the architecture is not supported; no tensor is silently ignored",
        ))
    }

    /// Finds a tensor by name, or by the name that old checkpoints give to norms.
    fn find(&self, name: &str) -> Option<(&str, &Entry)> {
        let entries = &self.tensors.entries;
        let old = || {
            let norm = name.rsplit_once('.').filter(|(module, _)| module.ends_with("LayerNorm"))?;
            let old = match norm {
                (module, "weight") => format!("{module}.gamma"),
                (module, "bias") => format!("{module}.beta"),
                _ => return None,
            };
            entries.get_key_value(&old)
        };
        entries.get_key_value(name).or_else(old).map(|(name, entry)| (name.as_str(), entry))
    }

    /// Removes a wrapper's prefix from all names. Base models also call themselves `model`, so
    /// `model.` counts as a wrapper only if some name continues with a part that a base model
    /// lacks, such as a head or another `model.`.
    fn unwrap_names(&mut self) {
        let entries = &mut self.tensors.entries;
        while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| {
            let mut names = entries.keys().filter_map(|name| name.strip_prefix(**wrapper)).peekable();
            let own = **wrapper == "model." && !names.clone().any(|rest| !is_part(rest));
            !own && names.peek().is_some() && names.count() == entries.len()
        }) {
            let wrapped = core::mem::take(entries);
            *entries = wrapped.into_iter().map(|(name, entry)| (name[wrapper.len()..].to_owned(), entry)).collect();
            self.wrapper.push_str(wrapper);
        }
    }

    /// For error messages: names the tensor whose name is most like the missing one.
    pub fn nearest(&self, name: &str) -> String {
        let alike = |other: &str| {
            let end = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
            let begin = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            end + begin
        };
        let nearest = self.names().max_by_key(|other| (alike(other), core::cmp::Reverse(other.len())));
        nearest.map_or_else(String::new, |nearest| format!("; the nearest that it has is `{}{nearest}`", self.wrapper))
    }
}

/// Whether a name that follows `model.` is that of a base model's tensor.
fn is_part(name: &str) -> bool {
    let part = name.split('.').next().unwrap_or_default();
    ["embed_tokens", "layers", "norm", "final_layernorm", "shared", "encoder", "decoder", "embeddings", "final_norm"]
        .contains(&part)
}

/// Files that may hold a model's or an adapter's weights, in order of preference.
#[cfg(feature = "hub")]
pub(crate) fn weight_files() -> impl Iterator<Item = &'static str> {
    tensors::NAMES.into_iter().flat_map(|(whole, index)| [whole, index]).chain(adapter::FILES)
}

#[cfg(test)]
mod tests;
