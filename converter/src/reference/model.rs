//! Looks up a model's weights by role, and applies them: products and norms.

use anyhow::{Context, Result};
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionSpec, ModelSpec, NormSpec, StackSpec};

use crate::real::{Rows, linear, norm};
use crate::weights::{Tensor, Weights, role_name};

/// A step of a run that an [`Observer`] sees.
#[derive(Clone, Copy, Debug)]
pub enum Step<'r> {
    /// A linear layer has computed `out` from `x`.
    Linear {
        /// The role of the matrix.
        role: Role,
        /// Its input.
        x: &'r Rows,
        /// Its output.
        out: &'r Rows,
    },
    /// A norm has computed `out` from `x`.
    Norm {
        /// The role of its weights.
        role: Role,
        /// Its input.
        x: &'r Rows,
        /// Its output.
        out: &'r Rows,
    },
    /// A short convolution has computed `out` from `x`.
    Convolution {
        /// The role of its kernel.
        role: Role,
        /// Its input.
        x: &'r Rows,
        /// Its output.
        out: &'r Rows,
    },
    /// The largest magnitude of a layer's attention scores, in base two.
    Score(f32),
    /// The results of the head, before the soft cap.
    Results(&'r Rows),
}

/// A function that sees every step of a run.
pub type Observer<'a> = &'a dyn Fn(&Step<'_>);

/// A specification and its weights.
#[derive(Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) spec: &'a ModelSpec,
    pub(super) weights: &'a Weights,
    /// Whether to round keys to eight bits.
    pub(super) narrow_keys: bool,
    pub(super) observer: Option<Observer<'a>>,
}

impl<'a> Model<'a> {
    pub(super) fn linear(&self, role: Role, x: &Rows) -> Result<Rows> {
        let tensor = self.tensor(role)?;
        let out = linear(&tensor.weight, &tensor.bias, x);
        self.observe(&Step::Linear { role, x, out: &out });
        Ok(out)
    }

    pub(super) fn norm(&self, spec: &NormSpec, role: Role, x: &Rows) -> Result<Rows> {
        let tensor = self.tensor(role)?;
        let out = norm(spec, &tensor.weight, &tensor.bias, x);
        self.observe(&Step::Norm { role, x, out: &out });
        Ok(out)
    }

    pub(super) fn tensor(&self, role: Role) -> Result<&'a Tensor> {
        self.weights.get(role).with_context(|| format!("the weights lack {}", role_name(role)))
    }

    /// The token table of a stack. A decoder may share the encoder's.
    pub(super) fn token_table(&self, id: Stack) -> Result<&'a Tensor> {
        let shared = self.spec.stack(id).is_some_and(|stack| stack.embedding.shared);
        self.tensor(Role::Stack(if shared { Stack::Encoder } else { id }, StackPart::TokenEmbedding))
    }

    pub(super) fn observe(&self, step: &Step<'_>) {
        if let Some(observer) = self.observer {
            observer(step);
        }
    }

    /// Rounds keys to eight bits with a scale for each token and head, if `narrow_keys` is set.
    pub(super) fn narrow(&self, spec: &AttentionSpec, keys: &mut [f32]) {
        if self.narrow_keys {
            keys.chunks_exact_mut(spec.head_dim.into()).for_each(round_to_bytes);
        }
    }
}

/// One layer of a stack, applied to a run of tokens.
#[derive(Clone, Copy)]
pub(super) struct Layer<'l, 'a> {
    pub(super) model: &'l Model<'a>,
    pub(super) id: Stack,
    pub(super) stack: &'a StackSpec,
    /// The index of the layer, from 0.
    pub(super) index: usize,
    /// The position of the first token.
    pub(super) first: usize,
}

impl Layer<'_, '_> {
    pub(super) fn role(&self, part: BlockPart) -> Role {
        Role::Block(self.id, self.stack.block_of(self.index) as u16, part)
    }

    pub(super) fn linear(&self, part: BlockPart, x: &Rows) -> Result<Rows> {
        self.model.linear(self.role(part), x)
    }

    /// One of the block's norms, which share a specification.
    pub(super) fn norm(&self, part: BlockPart, x: &Rows) -> Result<Rows> {
        self.model.norm(&self.stack.block.norm, self.role(part), x)
    }
}

/// Rounds a vector to eight bits with one scale.
fn round_to_bytes(vector: &mut [f32]) {
    let scale = vector.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
    if scale > 0.0 {
        vector.iter_mut().for_each(|x| *x = libm::rintf(*x / scale) * scale);
    }
}
