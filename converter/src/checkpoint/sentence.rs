//! Reads sentence-transformers folders: `modules.json` and the modules that it lists.

use std::path::Path;

use anyhow::Result;
use kinglet::format::spec::{Activation, Pooling};
use serde_json::Value;

use crate::files::is_bare;
use crate::{json, refuse};

/// One module of a sentence-transformers model.
#[derive(Clone, Debug, PartialEq)]
pub enum Module {
    /// The transformer, in a folder of its own or beside `modules.json`.
    Transformer {
        /// The folder, if it has one.
        folder: Option<String>,
    },
    /// A table of token vectors, and their mean: a whole model of static embeddings, in a folder of
    /// its own or beside `modules.json`.
    StaticEmbedding {
        /// The folder, if it has one.
        folder: Option<String>,
    },
    /// Pools the token vectors to one vector.
    Pooling(Pooling),
    /// A dense layer on the pooled vector.
    Dense {
        /// The folder, which is the prefix of its tensors' names.
        folder: String,
        /// Width of its input.
        in_features: u32,
        /// Width of its output.
        out_features: u32,
        /// Whether it has a bias.
        bias: bool,
        /// The activation function.
        activation: Activation,
    },
    /// Scales the pooled vector to unit length.
    Normalize,
    /// A layer norm of the pooled vector.
    LayerNorm {
        /// The folder, which is the prefix of its tensors' names.
        folder: String,
        /// The length of the vector.
        dimension: u32,
    },
}

impl Module {
    /// The folder of the module's tensors, if they are not in the transformer's.
    pub(super) fn tensor_folder(&self) -> Option<&str> {
        match self {
            Self::Dense { folder, .. } | Self::LayerNorm { folder, .. } => Some(folder),
            _ => None,
        }
    }

    pub(super) fn transformer_folder(&self) -> Option<&str> {
        match self {
            Self::Transformer { folder } | Self::StaticEmbedding { folder } => folder.as_deref(),
            _ => None,
        }
    }

    /// Whether the module pools the token vectors.
    pub(crate) fn pools(&self) -> bool {
        matches!(self, Self::Pooling(_) | Self::StaticEmbedding { .. })
    }
}

/// Files that may hold a transformer's settings; old versions of sentence-transformers wrote every
/// name but the first.
pub(crate) const CONFIG_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Prompts: texts that are put before the input, by purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// The name of the prompt that is used unless the caller chooses another.
    pub default: Option<String>,
    /// Names and texts of the prompts.
    pub list: Vec<(String, String)>,
}

impl Prompts {
    /// Reads `prompts` and `default_prompt_name` of `config_sentence_transformers.json`.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let file = "config_sentence_transformers.json";
        let config = json::optional(&dir.join(file))?;
        let wrong =
            |key: &str, value: &Value, action: &str| refuse(format_args!("{file} has `{key}` = {value}"), action);
        let entries = config["prompts"].as_object().into_iter().flatten();
        let list = entries.map(|(name, text)| match text.as_str() {
            Some(text) if !text.contains('\0') && !name.is_empty() && !name.contains('\0') => {
                Ok((name.clone(), text.to_owned()))
            }
            _ => Err(wrong("prompts", &config["prompts"], "each prompt must be a text under a name")),
        });
        let list: Vec<(String, String)> = list.collect::<Result<_>>()?;
        let default = config["default_prompt_name"].as_str().map(str::to_owned);
        if default.as_ref().is_some_and(|default| !list.iter().any(|(name, _)| name == default)) {
            let action = "it must be one of the names in `prompts`";
            return Err(wrong("default_prompt_name", &config["default_prompt_name"], action));
        }
        Ok(Self { default, list })
    }

    /// The prompt called `name`, or without a name the default prompt. The empty name means no
    /// prompt.
    ///
    /// # Errors
    /// When no prompt has this name.
    pub fn choose(&self, name: Option<&str>) -> Result<Option<&(String, String)>> {
        let Some(name) = name.or(self.default.as_deref()).filter(|name| !name.is_empty()) else { return Ok(None) };
        let found = self.list.iter().find(|(other, _)| other == name);
        let names: Vec<&str> = self.list.iter().map(|(name, _)| name.as_str()).collect();
        let action = match names[..] {
            [] => "it has none: leave --prompt out".to_owned(),
            _ => format!("choose one of {}, or \"\" for none", names.join(", ")),
        };
        found.map(Some).ok_or_else(|| refuse(format_args!("the model has no prompt {name:?}"), action))
    }

    /// The prompts as a blob's manifest stores them: the default's name, then names and texts, each
    /// followed by a zero byte. Empty without prompts.
    pub(crate) fn encoded(&self) -> String {
        if self.list.is_empty() {
            return String::new();
        }
        let parts = self.list.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        let parts = core::iter::once(self.default.as_deref().unwrap_or_default()).chain(parts);
        parts.flat_map(|part| [part, "\0"]).collect()
    }
}

/// Reads `modules.json`; empty if there is none.
pub(super) fn modules(dir: &Path, prompts: &Prompts) -> Result<Vec<Module>> {
    let list = json::optional(&dir.join("modules.json"))?;
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    let found = entries.iter().map(|entry| module(dir, entry, prompts));
    found.filter_map(Result::transpose).collect()
}

/// Reads one entry of `modules.json`; `None` for a type that adds no [`Module`].
fn module(dir: &Path, entry: &Value, prompts: &Prompts) -> Result<Option<Module>> {
    let kind = entry["type"].as_str().unwrap_or_default();
    // Some programs write `.` for the folder of modules.json itself.
    let folder = entry["path"].as_str().filter(|path| *path != ".").unwrap_or_default();
    if !folder.is_empty() && !is_bare(folder) {
        return Err(refuse(
            format_args!("modules.json names the folder `{folder}`"),
            "the modules must be folders beside modules.json",
        ));
    }
    let path = dir.join(folder);
    let class = kind.rsplit('.').next().unwrap_or_default();
    let module = match class {
        // A transformer with its head for masked tokens, from which SPLADE makes sparse vectors.
        "Transformer" | "MLMTransformer" => {
            Module::Transformer { folder: (!folder.is_empty()).then(|| folder.to_owned()) }
        }
        "StaticEmbedding" => Module::StaticEmbedding { folder: (!folder.is_empty()).then(|| folder.to_owned()) },
        "Pooling" => Module::Pooling(pooling(folder, &json::required(&path.join("config.json"))?, prompts)?),
        "Dense" => dense(folder, &json::required(&path.join("config.json"))?)?,
        "Normalize" => Module::Normalize,
        "LayerNorm" => Module::LayerNorm {
            folder: folder.to_owned(),
            dimension: size(folder, &json::required(&path.join("config.json"))?, "dimension")?,
        },
        "Dropout" => return Ok(None),
        "SpladePooling" => {
            let config = json::required(&path.join("config.json"))?;
            for (key, value) in [("pooling_strategy", "max"), ("activation_function", "relu")] {
                if config[key].as_str().is_some_and(|said| said != value) {
                    return Err(refuse(
                        format_args!("{folder}/config.json says `{key}` = {}, which is not implemented", config[key]),
                        format_args!("only {value} is implemented"),
                    ));
                }
            }
            return Ok(None);
        }
        _ => {
            return Err(refuse(
                format_args!("modules.json has a module of type `{kind}`, which is not implemented"),
                "only Transformer, StaticEmbedding, Pooling, SpladePooling, Dense, LayerNorm and Normalize are implemented: remove the module if it has no effect",
            ));
        }
    };
    Ok(Some(module))
}

/// Reads the pooling mode: newer files name it, older files set the flag of one mode.
fn pooling(folder: &str, config: &Value, prompts: &Prompts) -> Result<Pooling> {
    if config["include_prompt"] == false && prompts.list.iter().any(|(_, text)| !text.is_empty()) {
        return Err(refuse(
            format_args!("{folder}/config.json says `include_prompt` = false, which is not implemented"),
            "prompts are pooled with the text: set it to true, or take the prompts out of config_sentence_transformers.json",
        ));
    }
    let flags = config.as_object().into_iter().flatten();
    let flagged = flags.filter(|(key, value)| key.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let mut modes: Vec<&str> =
        flagged.map(|(key, _)| key["pooling_mode_".len()..].trim_end_matches("_tokens")).collect();
    modes.extend(config["pooling_mode"].as_str());
    match modes[..] {
        ["cls_token" | "cls"] => Ok(Pooling::First),
        ["mean"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => Err(refuse(
            format_args!(
                "{folder}/config.json asks for the pooling `{}`, which is not implemented",
                modes.join("` and `")
            ),
            "only one of cls, mean and lasttoken is implemented",
        )),
    }
}

fn size(folder: &str, config: &Value, key: &str) -> Result<u32> {
    config[key]
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| refuse(format_args!("{folder}/config.json does not say `{key}`"), "download the folder again"))
}

fn dense(folder: &str, config: &Value) -> Result<Module> {
    let name = config["activation_function"].as_str().unwrap_or("torch.nn.modules.activation.Tanh");
    let activation = match name.rsplit('.').next().unwrap_or_default() {
        "Identity" => Activation::Identity,
        "Tanh" => Activation::Tanh,
        "ReLU" => Activation::Relu,
        "GELU" => Activation::Gelu,
        "SiLU" => Activation::Silu,
        "Sigmoid" => Activation::Sigmoid,
        _ => {
            return Err(refuse(
                format_args!("{folder}/config.json asks for the activation `{name}`, which is not implemented"),
                "only Identity, Tanh, ReLU, GELU, SiLU and Sigmoid are implemented",
            ));
        }
    };
    Ok(Module::Dense {
        folder: folder.to_owned(),
        in_features: size(folder, config, "in_features")?,
        out_features: size(folder, config, "out_features")?,
        bias: config["bias"].as_bool().unwrap_or(true),
        activation,
    })
}

/// The `model_type` of static embeddings.
pub(crate) const STATIC: &str = "model2vec";

/// Completes a folder of static embeddings. Adds the modules that model2vec's configuration implies
/// if no `modules.json` lists them, and supplies a configuration if the listed folder has none.
/// Returns other configurations unchanged.
pub(super) fn static_embedding(config: Value, modules: &mut Vec<Module>) -> Value {
    let listed = modules.iter().any(|module| matches!(module, Module::StaticEmbedding { .. }));
    if config["model_type"] == STATIC && modules.is_empty() {
        modules.push(Module::StaticEmbedding { folder: None });
        modules.extend((config["normalize"] == true).then_some(Module::Normalize));
    }
    if !listed || config["model_type"] == STATIC {
        return config;
    }
    serde_json::json!({ "model_type": STATIC, "architectures": ["StaticModel"] })
}
