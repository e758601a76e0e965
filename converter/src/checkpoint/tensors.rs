//! Reads the files that hold a checkpoint's tensors, and lists the tensors by name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use safetensors::SafeTensors;

use super::entry::Entry;
use super::{adapter, is_bare, is_there, torch};
use crate::{files, json, refuse};

/// A model's weight files, whole and sharded, in the order in which `transformers` prefers them.
pub(super) const NAMES: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// File extensions of other formats, and the programs that read them.
const OTHERS: [(&str, &str); 6] = [
    (".h5", "TensorFlow"),
    (".msgpack", "Flax"),
    (".gguf", "llama.cpp"),
    (".onnx", "ONNX"),
    (".ot", "rust-bert"),
    (".pth", "PyTorch, by its own names"),
];

/// The bytes of the files, and the tensors in them.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    files: Vec<File>,
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct File {
    name: String,
    bytes: Vec<u8>,
}

impl Tensors {
    /// Reads a model's weights from one file or from shards.
    ///
    /// # Errors
    /// When a file is missing, truncated, or of another format.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let mut tensors = Self::default();
        for (whole, index) in NAMES {
            if is_there(&dir.join(whole)) {
                tensors.read_file(dir, whole, "")?;
                return Ok(tensors);
            }
            if is_there(&dir.join(index)) {
                tensors.read_shards(dir, index)?;
                return Ok(tensors);
            }
        }
        if adapter::is_adapter(dir) {
            return Err(adapter::is_no_model(dir));
        }
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        let other = names.filter_map(|entry| entry.file_name().into_string().ok()).find_map(|name| {
            let (_, program) = OTHERS.iter().find(|(end, _)| name.ends_with(end))?;
            Some(format!("; {name} is a file of {program}"))
        });
        Err(refuse(
            format_args!(
                "{} has no model.safetensors and no pytorch_model.bin, nor an index of their shards{}",
                dir.display(),
                other.unwrap_or_default()
            ),
            "save the checkpoint again with `save_pretrained` of `transformers`",
        ))
    }

    fn read_shards(&mut self, dir: &Path, index_name: &str) -> Result<()> {
        let index = json::required(&dir.join(index_name))?;
        let map = index["weight_map"].as_object().ok_or_else(|| {
            refuse(format_args!("{index_name} has no object `weight_map`"), "download the index again")
        })?;
        let shards: BTreeSet<&str> = map
            .iter()
            .map(|(tensor, file)| {
                file.as_str().filter(|file| is_bare(file)).ok_or_else(|| {
                    refuse(
                        format_args!("{index_name} puts tensor `{tensor}` in {file}"),
                        "shards must be files beside the index",
                    )
                })
            })
            .collect::<Result<_>>()?;
        let missing: Vec<&str> = shards.iter().copied().filter(|shard| !is_there(&dir.join(shard))).collect();
        if !missing.is_empty() {
            return Err(refuse(
                format_args!("{} has no {}, which {index_name} lists", dir.display(), missing.join(", ")),
                "download the missing files into the folder",
            ));
        }
        for shard in shards {
            self.read_file(dir, shard, "")?;
        }
        for (tensor, file) in map {
            let found = self.entries.get(tensor).map(|entry| self.file_name(entry));
            if found != file.as_str() {
                return Err(refuse(
                    format_args!("{index_name} puts tensor `{tensor}` in {file}, where it is not"),
                    "the index and the shards are of different checkpoints: download them again",
                ));
            }
        }
        Ok(())
    }

    /// Reads one file, as safetensors if it has that extension and otherwise as `torch.save` writes
    /// it. `prefix` is prepended to the names of its tensors.
    pub(super) fn read_file(&mut self, dir: &Path, name: &str, prefix: &str) -> Result<()> {
        let bytes = files::read(&dir.join(name), u64::MAX)
            .with_context(|| format!("cannot read {}", dir.join(name).display()))?;
        let file = self.files.len();
        let found = if name.ends_with(".safetensors") {
            safetensors(&bytes, file, name)
        } else {
            torch::read(&bytes, file, name)
        };
        for (tensor, entry) in found? {
            if let Some(other) = self.entries.insert(format!("{prefix}{tensor}"), entry) {
                let other = self.files.get(other.file).map_or(name, |file| &file.name);
                return Err(anyhow!("tensor `{tensor}` is both in {other} and in {name}\ndownload the shards again"));
            }
        }
        self.files.push(File { name: format!("{prefix}{name}"), bytes });
        Ok(())
    }

    /// Reads the tensors of a sentence-transformers module from the module's own folder.
    pub(super) fn read_module(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let there = NAMES.iter().map(|(whole, _)| *whole).find(|whole| is_there(&dir.join(whole)));
        self.read_file(dir, there.unwrap_or(NAMES[0].0), prefix)
    }

    /// Takes tensors from `other`; `names` maps their names here to their names there.
    pub(super) fn adopt(&mut self, mut other: Self, names: BTreeMap<String, String>) {
        let files = self.files.len();
        for (name, stored) in names {
            if let Some(entry) = other.entries.remove(&stored) {
                self.entries.insert(name, Entry { file: files + entry.file, ..entry });
            }
        }
        self.files.extend(other.files);
    }

    /// The name of the file that holds a tensor.
    pub(super) fn file_name(&self, entry: &Entry) -> &str {
        &self.files[entry.file].name
    }

    /// A tensor's elements in row-major order.
    pub(super) fn bytes(&self, entry: &Entry) -> Cow<'_, [u8]> {
        let stored = &self.files[entry.file].bytes[entry.start..];
        let (count, width) = (entry.shape.iter().product::<usize>(), entry.dtype.bitsize());
        let Some(strides) = &entry.strides else { return Cow::Borrowed(&stored[..(count * width).div_ceil(8)]) };
        let width = width / 8;
        let mut gathered = Vec::with_capacity(count * width);
        for at in 0..count {
            let (mut left, mut place) = (at, 0);
            for (size, stride) in entry.shape.iter().zip(strides).rev() {
                place += left % size * stride;
                left /= size;
            }
            gathered.extend_from_slice(&stored[place * width..][..width]);
        }
        Cow::Owned(gathered)
    }
}

fn safetensors(bytes: &[u8], file: usize, name: &str) -> Result<Vec<(String, Entry)>> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        refuse(
            format_args!("{name} is not a whole safetensors file: {error}"),
            "download it again; a file of a few lines beginning with `version https://git-lfs` is only a pointer",
        )
    })?;
    let entry = |(tensor, info): (String, &safetensors::tensor::TensorInfo)| {
        let start = header + 8 + info.data_offsets.0;
        (tensor, Entry { file, dtype: info.dtype, shape: info.shape.clone(), start, strides: None })
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}
