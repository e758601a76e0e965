//! A Hugging Face folder: configuration and named tensors.
//!
//! Opens `config.json` beside `model.safetensors`, or the shards that `model.safetensors.index.json` lists,
//! and what sentence-transformers and tokenizers add. Tensors are decoded to `f32` when asked for, and asking
//! is remembered, so that at the end a tensor that nobody used can be refused by name.

use core::cell::RefCell;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::config::Config;
use crate::files::is_bare;
use crate::{json, refuse};

pub(crate) mod sentence;

pub use sentence::{Module, Prompts};

/// Buffers that some versions of `transformers` saved and no version needs, by how their names end.
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

/// What programs put before the names of all tensors, when they save the module that wraps a model.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "base_model.model.", "model."];

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    /// `config.json`.
    pub config: Config,
    /// `generation_config.json`, or null.
    pub generation: Value,
    /// The modules of a sentence-transformers model; empty when it is none.
    pub modules: Vec<Module>,
    /// What sentence-transformers puts before a text.
    pub prompts: Prompts,
    /// `max_seq_length` of `sentence_bert_config.json`.
    pub max_seq_length: Option<u32>,
    /// What was left out before the names of all tensors.
    pub wrapper: String,
    files: Vec<File>,
    tensors: BTreeMap<String, Entry>,
    used: RefCell<BTreeSet<String>>,
}

#[derive(Debug)]
struct File {
    name: String,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// A tensor of a checkpoint as `f32`, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

impl Checkpoint {
    /// Opens the folder of a checkpoint.
    ///
    /// # Errors
    /// When a file is missing, cut or not what it should be; the message names it.
    pub fn open(dir: &Path) -> Result<Self> {
        let prompts = Prompts::read(dir)?;
        let modules = sentence::modules(dir, &prompts)?;
        let dir = modules.iter().find_map(Module::transformer_folder).map_or_else(|| dir.to_owned(), |f| dir.join(f));
        let config = json::required(&dir.join("config.json"))?;
        let sentence_file = sentence::CONFIG_FILES.into_iter().find(|name| dir.join(name).is_file());
        let max_seq_length = json::optional(&dir.join(sentence_file.unwrap_or(sentence::CONFIG_FILES[0])))?;
        let max_seq_length = max_seq_length["max_seq_length"].as_u64().and_then(|n| u32::try_from(n).ok());
        let mut checkpoint = Self {
            config: Config::new(config)?,
            generation: json::optional(&dir.join("generation_config.json"))?,
            modules,
            prompts,
            max_seq_length,
            wrapper: String::new(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            used: RefCell::default(),
            dir,
        };
        checkpoint.read_tensors()?;
        checkpoint.unwrap_names();
        for (folder, path) in checkpoint.dense_folders() {
            checkpoint.read_file(&path, "model.safetensors", &format!("{folder}/"))?;
        }
        Ok(checkpoint)
    }

    /// The folder that `config.json` lies in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A JSON file beside `config.json`; null when there is none.
    ///
    /// # Errors
    /// When it cannot be read as JSON.
    pub fn json(&self, name: &str) -> Result<Value> {
        json::optional(&self.dir.join(name))
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The dimensions of a tensor, if it is there; old names of norms count.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// The tensor of this name as `f32`. It counts as used.
    ///
    /// # Errors
    /// When there is none, its type is not a floating-point one, or a value is not finite.
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
        let file = &self.files[entry.file];
        let bytes = &file.bytes[entry.bytes.clone()];
        let values = decode(entry.dtype, bytes).ok_or_else(|| {
            refuse(
                format_args!("tensor `{name}` in {} is of type {:?}", file.name, entry.dtype),
                "only F64, F32, F16 and BF16 are read: save the checkpoint unquantized",
            )
        })?;
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(refuse(
                format_args!("tensor `{name}` in {} holds {} at position {at}", file.name, values[at]),
                "every value must be a finite number: the checkpoint is broken, or overflowed its type",
            ));
        }
        Ok(Array { shape: entry.shape.clone(), values })
    }

    /// Counts tensors as used without reading them: those that are known and not needed.
    pub fn dismiss(&self, unwanted: impl Fn(&str) -> bool) {
        let names = self.tensors.keys().filter(|name| unwanted(name)).cloned();
        self.used.borrow_mut().extend(names);
    }

    /// Whether two tensors hold the same bytes.
    pub fn same(&self, a: &str, b: &str) -> bool {
        let bytes = |name| self.find(name).map(|(_, e)| (e.dtype, &self.files[e.file].bytes[e.bytes.clone()]));
        bytes(a) == bytes(b)
    }

    /// Refuses tensors that nobody used.
    ///
    /// # Errors
    /// Naming them.
    pub fn check_all_used(&self) -> Result<()> {
        let used = self.used.borrow();
        let junk = |name: &str| {
            JUNK.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        };
        let left: Vec<&str> = self.names().filter(|name| !used.contains(*name) && !junk(name)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let shown = left[..left.len().min(8)].join("`, `");
        let more = if left.len() > 8 { format!(" and {} more", left.len() - 8) } else { String::new() };
        Err(refuse(
            format_args!("the checkpoint has tensors that its config.json does not account for: `{shown}`{more}"),
            "this variant of the architecture is not supported; nothing is dropped in silence",
        ))
    }

    /// A tensor under its name, or under the one that old checkpoints gave it.
    fn find(&self, name: &str) -> Option<(&str, &Entry)> {
        let old = || {
            let norm = name.rsplit_once('.').filter(|(module, _)| module.ends_with("LayerNorm"))?;
            let old = match norm {
                (module, "weight") => format!("{module}.gamma"),
                (module, "bias") => format!("{module}.beta"),
                _ => return None,
            };
            self.tensors.get_key_value(&old)
        };
        self.tensors.get_key_value(name).or_else(old).map(|(name, entry)| (name.as_str(), entry))
    }

    /// Leaves out what all names begin with because a wrapped module was saved. What a family's own names begin with may
    /// be left out, too, so `model.` counts where another one follows, or a head lies in it.
    fn unwrap_names(&mut self) {
        while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| {
            let mut names = self.tensors.keys().filter_map(|name| name.strip_prefix(**wrapper)).peekable();
            let own = **wrapper == "model." && !names.clone().any(|rest| !is_part(rest));
            !own && names.peek().is_some() && names.count() == self.tensors.len()
        }) {
            let tensors = core::mem::take(&mut self.tensors);
            self.tensors = tensors.into_iter().map(|(name, entry)| (name[wrapper.len()..].to_owned(), entry)).collect();
            self.wrapper.push_str(wrapper);
        }
    }

    /// For an error: the tensor whose name is most like one that is missing.
    pub fn nearest(&self, name: &str) -> String {
        let alike = |other: &str| {
            let end = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
            let begin = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            end + begin
        };
        let nearest = self.names().max_by_key(|other| (alike(other), core::cmp::Reverse(other.len())));
        nearest.map_or_else(String::new, |nearest| format!("; the nearest that it has is `{}{nearest}`", self.wrapper))
    }

    fn read_tensors(&mut self) -> Result<()> {
        let dir = self.dir.clone();
        let index_path = dir.join("model.safetensors.index.json");
        if dir.join("model.safetensors").is_file() {
            return self.read_file(&dir, "model.safetensors", "");
        }
        if !index_path.is_file() {
            if dir.join("adapter_model.safetensors").is_file() {
                return Err(refuse(
                    format_args!("{} holds an adapter, not a model", dir.display()),
                    "merge it into its model (`merge_and_unload()` of peft), save that, and convert what was saved",
                ));
            }
            return Err(refuse(
                format_args!("{} has no model.safetensors and no model.safetensors.index.json", dir.display()),
                "a checkpoint in another format must be saved again with `save_pretrained(..., safe_serialization=True)`",
            ));
        }
        let index = json::required(&index_path)?;
        let map = index["weight_map"].as_object().ok_or_else(|| {
            refuse("model.safetensors.index.json has no object `weight_map`", "download the index again")
        })?;
        let shards: BTreeSet<&str> = map
            .iter()
            .map(|(tensor, file)| {
                file.as_str().filter(|file| is_bare(file)).ok_or_else(|| {
                    refuse(
                        format_args!("model.safetensors.index.json puts tensor `{tensor}` in {file}"),
                        "shards must be files beside the index",
                    )
                })
            })
            .collect::<Result<_>>()?;
        let missing: Vec<&str> = shards.iter().copied().filter(|shard| !dir.join(shard).is_file()).collect();
        if !missing.is_empty() {
            return Err(refuse(
                format_args!(
                    "{} has no {}, which model.safetensors.index.json lists",
                    dir.display(),
                    missing.join(", ")
                ),
                "download what is missing into the folder",
            ));
        }
        for shard in shards {
            self.read_file(&dir, shard, "")?;
        }
        for (tensor, file) in map {
            let found = self.tensors.get(tensor).map(|entry| self.files[entry.file].name.as_str());
            if found != file.as_str() {
                return Err(refuse(
                    format_args!("model.safetensors.index.json puts tensor `{tensor}` in {file}, where it is not"),
                    "the index and the shards are of different checkpoints: download them again",
                ));
            }
        }
        Ok(())
    }

    fn read_file(&mut self, dir: &Path, name: &str, prefix: &str) -> Result<()> {
        let bytes = fs::read(dir.join(name)).with_context(|| format!("cannot read {}", dir.join(name).display()))?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| {
            refuse(
                format_args!("{name} is not a whole safetensors file: {error}"),
                "download it again; a file of a few lines beginning with `version https://git-lfs` is only a pointer",
            )
        })?;
        let start = header + 8;
        for (tensor, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let entry = Entry {
                file: self.files.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: start + from..start + to,
            };
            let key = format!("{prefix}{tensor}");
            if let Some(other) = self.tensors.insert(key, entry) {
                let other = &self.files[other.file].name;
                return Err(anyhow!("tensor `{tensor}` is both in {other} and in {name}\ndownload the shards again"));
            }
        }
        self.files.push(File { name: format!("{prefix}{name}"), bytes });
        Ok(())
    }

    fn dense_folders(&self) -> Vec<(String, PathBuf)> {
        let dense = self.modules.iter().filter_map(|module| match module {
            Module::Dense { folder, path, .. } => Some((folder.clone(), path.clone())),
            _ => None,
        });
        dense.collect()
    }
}

/// Whether a name may be that of a tensor in a base model called `model`.
fn is_part(name: &str) -> bool {
    let part = name.split('.').next().unwrap_or_default();
    ["embed_tokens", "layers", "norm", "final_layernorm", "shared", "encoder", "decoder", "embeddings", "final_norm"]
        .contains(&part)
}

/// Little-endian floating-point numbers as `f32`; `None` for other types.
fn decode(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
