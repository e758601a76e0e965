//! Reads `peft` adapters: LoRA updates, which are added to a model's matrices, and whole tensors,
//! which replace the model's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use regex_lite::Regex;
use serde_json::Value;

use super::array::Array;
use super::is_there;
use crate::{json, refuse};

pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Options of `peft` that change what an adapter computes in ways that are not implemented.
const VARIANTS: [&str; 15] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "layer_replication",
    "megatron_config",
    "alora_invocation_tokens",
    "arrow_config",
    "corda_config",
    "kasa_config",
    "lora_ga_config",
    "monteclora_config",
    "velora_config",
];

/// The changes that an adapter makes to a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Adapter {
    /// LoRA updates by tensor name.
    pub(super) updates: BTreeMap<String, Update>,
    /// Names of the model's tensors that the adapter replaces.
    pub(super) replaced: BTreeSet<String>,
    /// Whether a head tied to the token table changes with it (`ensure_weight_tying`).
    pub(super) tied: bool,
}

/// A LoRA update, `scale * B A`.
#[derive(Debug)]
pub(super) struct Update {
    /// `[rank, inputs]`.
    pub(super) a: Array,
    /// `[outputs, rank]`.
    pub(super) b: Array,
    pub(super) scale: f32,
    /// Whether the updated matrix is an embedding table, stored as `[inputs, outputs]`.
    pub(super) table: bool,
}

impl Adapter {
    /// Whether the adapter updates or replaces a tensor.
    pub(super) fn changes(&self, name: &str) -> bool {
        self.updates.contains_key(name) || self.replaced.contains(name)
    }

    /// Whether the adapter changes a tensor and leaves open whether the tensors tied to it change:
    /// `merge_and_unload` changes them, unmerged `peft` does not.
    pub(super) fn parts(&self, name: &str) -> bool {
        !self.tied && self.changes(name)
    }

    /// Whether the adapter has a LoRA update for a tensor.
    pub(super) fn updates(&self, name: &str) -> bool {
        self.updates.contains_key(name)
    }

    /// Adds the update of `name`, if there is one, to `array`. `transposed` means that a dense
    /// layer's matrix is stored as `[inputs, outputs]`.
    pub(super) fn add_to(&self, name: &str, transposed: bool, array: &mut Array) -> Result<()> {
        let Some(Update { a, b, scale, table }) = self.updates.get(name) else { return Ok(()) };
        let (rank, inputs, outputs) = (a.shape[0], a.shape[1], b.shape[0]);
        let by_input = transposed != *table;
        let wanted = if by_input { [inputs, outputs] } else { [outputs, inputs] };
        if array.shape != wanted {
            return Err(refuse(
                format_args!("the adapter updates a matrix of {wanted:?}, but tensor `{name}` is {:?}", array.shape),
                "the adapter is of another model: its base is named in adapter_config.json",
            ));
        }
        for (at, x) in array.values.iter_mut().enumerate() {
            let (row, col) = (at / wanted[1], at % wanted[1]);
            let (output, input) = if by_input { (col, row) } else { (row, col) };
            let product = (0..rank).map(|k| b.values[output * rank + k] * a.values[k * inputs + input]).sum::<f32>();
            *x += scale * product;
        }
        Ok(())
    }
}

/// The settings in `adapter_config.json`.
pub(super) struct Settings {
    r: u64,
    lora_alpha: f64,
    use_rslora: bool,
    rank_pattern: Vec<(Regex, f64)>,
    alpha_pattern: Vec<(Regex, f64)>,
    targets: Targets,
}

enum Targets {
    All,
    Names(Vec<String>),
    Pattern(Regex),
}

impl Settings {
    pub(super) fn read(config: &Value) -> Result<Self> {
        let wrong = |key: &str, action: &str| {
            refuse(format_args!("{CONFIG} says `{key}` = {}, which is not implemented", config[key]), action)
        };
        if config["peft_type"] != "LORA" {
            return Err(wrong(
                "peft_type",
                "only LORA is implemented: merge the adapter with `merge_and_unload()` of peft, and convert the result",
            ));
        }
        let merge = "merge the adapter with `merge_and_unload()` of peft, save that, and convert what was saved";
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if let Some(key) = VARIANTS.into_iter().find(|key| !off(&config[*key])) {
            return Err(wrong(key, merge));
        }
        // Every other initialization changes the model's own matrices before training.
        if !matches!(config["init_lora_weights"].as_str(), None | Some("gaussian" | "eva" | "orthogonal")) {
            return Err(wrong("init_lora_weights", merge));
        }
        let number = |key: &str| config[key].as_f64().filter(|x| *x > 0.0);
        let missing =
            |key: &str| refuse(format_args!("{CONFIG} says no `{key}` above 0"), "download the adapter again");
        Ok(Self {
            r: number("r").map(|r| r as u64).ok_or_else(|| missing("r"))?,
            lora_alpha: config["lora_alpha"].as_f64().ok_or_else(|| missing("lora_alpha"))?,
            use_rslora: config["use_rslora"].as_bool().unwrap_or(false),
            rank_pattern: patterns(&config["rank_pattern"])?,
            alpha_pattern: patterns(&config["alpha_pattern"])?,
            targets: match &config["target_modules"] {
                Value::String(all) if all == "all-linear" => Targets::All,
                Value::String(pattern) => Targets::Pattern(regex(pattern, &format!("^({pattern})$"))?),
                Value::Array(names) => {
                    Targets::Names(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                _ => return Err(wrong("target_modules", "it must be a list of modules, a pattern or all-linear")),
            },
        })
    }

    pub(super) fn is_target(&self, module: &str) -> bool {
        match &self.targets {
            Targets::All => true,
            Targets::Pattern(pattern) => pattern.is_match(module),
            Targets::Names(names) => names.iter().any(|name| {
                module.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }),
        }
    }

    /// The rank of a module's update, and the factor of its product.
    pub(super) fn scale(&self, module: &str) -> (u64, f32) {
        let of = |patterns: &[(Regex, f64)]| patterns.iter().find(|(key, _)| key.is_match(module)).map(|(_, x)| *x);
        let r = of(&self.rank_pattern).map_or(self.r, |r| r as u64);
        let alpha = of(&self.alpha_pattern).unwrap_or(self.lora_alpha);
        let by = if self.use_rslora { libm::sqrt(r as f64) } else { r as f64 };
        (r, (alpha / by) as f32)
    }
}

/// Numbers by module pattern, in the order of the file; the first pattern that matches counts.
fn patterns(map: &Value) -> Result<Vec<(Regex, f64)>> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| Ok((regex(key, &format!(r"^(.*\.)?({key})$"))?, value.as_f64().unwrap_or(0.0))))
        .collect()
}

fn regex(said: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        refuse(format_args!("{CONFIG} has the pattern `{said}`: {error}"), "write it without Python's own syntax")
    })
}

/// Whether a folder holds an adapter.
pub(super) fn is_adapter(dir: &Path) -> bool {
    is_there(&dir.join(CONFIG)) || FILES.iter().any(|name| is_there(&dir.join(name)))
}

/// The error for a folder that holds an adapter instead of a model.
pub(super) fn is_no_model(dir: &Path) -> anyhow::Error {
    let config = json::optional(&dir.join(CONFIG)).unwrap_or_default();
    let base = config["base_model_name_or_path"].as_str().unwrap_or("its base model");
    refuse(
        format_args!("{} holds an adapter, not a model", dir.display()),
        format_args!("name the folder of {base}, and this one with --adapter"),
    )
}
