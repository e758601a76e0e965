//! The options of a mapping.

use std::path::PathBuf;

use kinglet::format::spec::{ActivationWidth, Direction, KeyWidth, Pooling, Task, WeightLayout};

use crate::widths::Widths;

/// The options of a mapping.
#[derive(Clone, Debug)]
pub struct Options {
    /// The task, if the checkpoint's `architectures` does not name one or another is wanted.
    pub task: Option<Task>,
    /// The pooling of an embedding that no `modules.json` describes.
    pub pooling: Option<Pooling>,
    /// The width of a quantized row of activations.
    pub activations: ActivationWidth,
    /// The width of the cached keys.
    pub keys: KeyWidth,
    /// The order of 8-bit weights in the payload.
    pub weights: WeightLayout,
    /// The matrices with 4-bit weights.
    pub widths: Widths,
    /// The direction in which the checkpoint was trained to read; `None` for the one that its
    /// folder names, or forward.
    pub direction: Option<Direction>,
    /// The longest sequence, if it differs from the checkpoint's.
    pub max_tokens: Option<u32>,
    /// The number of tokens that go through a layer together; by default 8 with an encoder,
    /// otherwise 1.
    pub tile: Option<u16>,
    /// The language of a model with language embeddings, by index.
    pub language: Option<u32>,
    /// The folder of a `peft` adapter to merge into the model.
    pub adapter: Option<PathBuf>,
    /// Keys of `config.json` and `generation_config.json` that the caller says may be ignored.
    pub ignored_keys: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            task: None,
            pooling: None,
            activations: ActivationWidth::A16,
            keys: KeyWidth::K8,
            weights: WeightLayout::Tiled,
            widths: Widths::default(),
            direction: None,
            max_tokens: None,
            tile: None,
            language: None,
            adapter: None,
            ignored_keys: Vec::new(),
        }
    }
}
