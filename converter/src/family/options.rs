//! What the caller of a mapping may choose.

use std::path::PathBuf;

use kinglet::format::spec::{ActivationWidth, Direction, KeyWidth, Pooling, Task, WeightLayout};

use crate::widths::Widths;

/// What the caller may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// The task, where the checkpoint's `architectures` does not say it or another is wanted.
    pub task: Option<Task>,
    /// Pooling of an embedding that no `modules.json` describes.
    pub pooling: Option<Pooling>,
    /// Width of a quantized row of activations.
    pub activations: ActivationWidth,
    /// Width of the keys in the cache.
    pub keys: KeyWidth,
    /// How matrices with weights of eight bits lie in the payload.
    pub weights: WeightLayout,
    /// Which matrices have weights of four bits.
    pub widths: Widths,
    /// Which way the checkpoint was trained to read; what its folder says where `None`, or else
    /// forward.
    pub direction: Option<Direction>,
    /// The longest sequence, where it should differ from the checkpoint's.
    pub max_tokens: Option<u32>,
    /// Tokens that go through a layer together; by default 8 where there is an encoder, else 1.
    pub tile: Option<u16>,
    /// Language of a model with language embeddings, by index.
    pub language: Option<u32>,
    /// The folder of an adapter of `peft` that the model is to be merged with.
    pub adapter: Option<PathBuf>,
    /// Keys of `config.json` and `generation_config.json` that the caller vouches for.
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
