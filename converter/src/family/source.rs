//! Describes the sources of a role's values as data.

use std::collections::BTreeMap;

use kinglet::format::layout::{BlockPart, Role, Shape, Stack, StackPart, roles};
use kinglet::format::spec::{Activation, ModelSpec, NormSpec, StackSpec};

use crate::tables::{Buckets, PositionIndex, Rotation, Sinusoid};

/// The source of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The source of its weights, or of the table.
    pub weight: Value,
    /// The source of its biases, if the shape has any.
    pub bias: Option<Value>,
}

/// The source of some values.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A tensor of the checkpoint.
    Tensor(Pick),
    /// One number for all elements.
    Constant(f32),
    /// Cosines and sines of rotary positions.
    Rotary(Rotation),
    /// A table of sinusoidal positions.
    Sinusoidal(Sinusoid),
    /// Tables of learned biases `[buckets, heads]`, expanded over the distances.
    RelativeBias {
        /// One table for all layers, or one for each layer.
        tables: Vec<Pick>,
        /// The bucket of each distance.
        buckets: Buckets,
    },
    /// Biases that fall with the distance, with a slope for each head (ALiBi, arXiv 2108.12409).
    Slopes(Vec<f32>),
    /// The table of an activation function.
    Activation(Activation),
    /// Matrices with equal numbers of rows, joined column-wise.
    Beside(Vec<Pick>),
    /// A convolution's kernel, `[outputs, inputs, kernel_size]`.
    Convolution(Pick),
    /// Sinusoids of the distances from `-span` to `span - 1`; distances beyond `farthest` have its
    /// sinusoid.
    Distances {
        /// Half the number of distances.
        span: u32,
        /// The largest distance with a sinusoid of its own.
        farthest: u32,
    },
    /// A vector that is stored as a matrix with a row for each head.
    ByHead(Pick),
    /// A matrix or vector that is padded with zeros to the shape of the role.
    Padded {
        /// The stored tensor.
        pick: Pick,
        /// The number of its rows.
        rows: u32,
        /// The number of its columns; 1 for a vector.
        cols: u32,
    },
    /// A matrix of blocks along the diagonal: a grouped convolution over single tokens,
    /// `[outputs, inputs / groups, 1]`, or, transposed, a grouped linear layer,
    /// `[groups, inputs / groups, outputs / groups]`.
    Grouped {
        /// The blocks, one below the other.
        pick: Pick,
        /// How many there are.
        groups: u32,
    },
    /// The vector of each distance in disentangled attention.
    RelativeIndex(PositionIndex),
    /// The vectors of disentangled attention.
    PositionProjection(Box<PositionProjection>),
}

impl Value {
    /// Changes every pick in this value.
    pub(super) fn each_pick(&mut self, change: &mut impl FnMut(&mut Pick)) {
        match self {
            Self::Tensor(pick)
            | Self::ByHead(pick)
            | Self::Padded { pick, .. }
            | Self::Convolution(pick)
            | Self::Grouped { pick, .. } => pick.each(change),
            Self::RelativeBias { tables: picks, .. } | Self::Beside(picks) => {
                picks.iter_mut().for_each(|pick| pick.each(change));
            }
            Self::PositionProjection(projection) => {
                let PositionProjection { embeddings, norm, weight, bias } = &mut **projection;
                embeddings.each_pick(change);
                weight.each(change);
                norm.iter_mut().for_each(|(weight, bias, _)| {
                    weight.each(change);
                    bias.each(change);
                });
                bias.iter_mut().for_each(|bias| bias.each(change));
            }
            Self::Constant(_)
            | Self::Rotary(_)
            | Self::Sinusoidal(_)
            | Self::Slopes(_)
            | Self::Activation(_)
            | Self::Distances { .. }
            | Self::RelativeIndex(_) => {}
        }
    }
}

/// The vectors of distances in disentangled attention (DeBERTa, arXiv 2006.03654). They do not
/// depend on the text, so the converter computes them.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionProjection {
    /// The embeddings of distances, `[positions, hidden_size]`.
    pub embeddings: Value,
    /// Weight, bias and formula of a norm on the embeddings.
    pub norm: Option<(Pick, Pick, NormSpec)>,
    /// The projection to keys, or to queries.
    pub weight: Pick,
    /// The bias of the projection.
    pub bias: Option<Pick>,
}

/// A tensor of the checkpoint, or rows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// The possible names; the first one in the checkpoint counts.
    pub names: Vec<String>,
    /// Whether the matrix is stored as `[inputs, outputs]`.
    pub transposed: bool,
    /// The rows to take, in order; `None` for all.
    pub rows: Option<Vec<u32>>,
    /// The number of rows that the tensor must have, if only some are taken.
    pub of: Option<u32>,
    /// A factor on every value.
    pub factor: f32,
    /// A number added to every value.
    pub offset: f32,
    /// A tensor to add: one row, which is added to every row, or as many rows as are taken.
    pub added: Option<Box<Pick>>,
}

impl Pick {
    /// The whole tensor, under the first of these names.
    pub fn new(names: Vec<String>) -> Self {
        Self { names, transposed: false, rows: None, of: None, factor: 1.0, offset: 0.0, added: None }
    }

    /// Changes this pick, and the one that is added to it.
    fn each(&mut self, change: &mut impl FnMut(&mut Self)) {
        change(self);
        self.added.iter_mut().for_each(|added| added.each(change));
    }

    /// Takes only these rows of the tensor.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = u32>) -> Self {
        self.rows = Some(rows.into_iter().collect());
        self
    }
}

/// The names of a stack's modules; their tensors are called `NAME.weight` and `NAME.bias`.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// The prefixes that all names may have, in checkpoints with a head.
    pub(super) prefixes: Prefixes,
    /// The modules outside the blocks.
    pub(super) stack: &'static [(StackPart, &'static str)],
    /// The prefix of a block's modules.
    pub(super) layer: &'static str,
    /// The modules of a block. In these and in `layer`, `{}` is the block, and `{group}` and
    /// `{inner}` are its indices among shared blocks.
    pub(super) block: &'static [(BlockPart, &'static str)],
}

/// The possible prefixes of a base model's names, which may also have none.
pub(super) type Prefixes = &'static [&'static str];

/// The sources of a model under construction.
pub(super) type Sources = BTreeMap<Role, Source>;

/// All possible names: with each of the prefixes, and without.
pub(super) fn prefixed(prefixes: Prefixes, name: &str) -> Vec<String> {
    prefixes.iter().chain(&[""]).map(|prefix| format!("{prefix}{name}")).collect()
}

/// The tensor `module.kind`.
pub(super) fn tensor(prefixes: Prefixes, module: &str, kind: &str) -> Pick {
    Pick::new(prefixed(prefixes, &format!("{module}.{kind}")))
}

/// The source of a module's weight, and of its bias if it has one.
pub(super) fn module(prefixes: Prefixes, name: &str, bias: bool) -> Source {
    Source {
        weight: Value::Tensor(tensor(prefixes, name, "weight")),
        bias: bias.then(|| Value::Tensor(tensor(prefixes, name, "bias"))),
    }
}

impl From<Value> for Source {
    fn from(weight: Value) -> Self {
        Self { weight, bias: None }
    }
}

/// The sources of a stack by its table of names, and that of its activation table. Parts that the
/// table of names lacks are left out.
pub(super) fn stack_sources(spec: &ModelSpec, id: Stack, names: &Names) -> Sources {
    let mut sources = Sources::new();
    let Some(stack) = spec.stack(id) else { return sources };
    for (role, shape) in roles(spec) {
        let bias = matches!(shape, Shape::Matrix { bias: true, .. } | Shape::Norm { bias: true, .. });
        let found = match role {
            Role::Stack(of, StackPart::ActivationTable) if of == id => {
                Some(Value::Activation(stack.block.feed_forward.activation).into())
            }
            Role::Stack(of, StackPart::ConvolutionTable) if of == id => {
                stack.convolution.parallel().map(|convolution| Value::Activation(convolution.activation).into())
            }
            Role::Stack(of, part) if of == id => {
                look_up(names.stack, part).map(|name| module(names.prefixes, name, bias))
            }
            Role::Block(of, block, part) if of == id => look_up(names.block, part).map(|name| {
                let inner = stack.inner_group_num;
                let name = format!("{}{name}", names.layer)
                    .replace("{}", &block.to_string())
                    .replace("{group}", &(block / inner).to_string())
                    .replace("{inner}", &(block % inner).to_string());
                module(names.prefixes, &name, bias)
            }),
            _ => None,
        };
        if let Some(source) = found {
            sources.insert(role, source);
        }
    }
    sources
}

fn look_up<P: PartialEq>(names: &'static [(P, &'static str)], part: P) -> Option<&'static str> {
    names.iter().find(|(of, _)| *of == part).map(|(_, name)| *name)
}

/// Changes the picks of all roles, of weights and biases alike.
pub(super) fn edit(sources: &mut Sources, change: impl Fn(Role, &mut Pick)) {
    for (role, source) in sources {
        for value in [Some(&mut source.weight), source.bias.as_mut()].into_iter().flatten() {
            if let Value::Tensor(pick) = value {
                change(*role, pick);
            }
        }
    }
}

/// Changes the picks of all parts of the blocks.
pub(super) fn edit_blocks(sources: &mut Sources, change: impl Fn(u16, BlockPart, &mut Pick)) {
    edit(sources, |role, pick| {
        if let Role::Block(_, block, part) = role {
            change(block, part, pick);
        }
    });
}

/// Splits fused matrices: queries, keys and values that are stored one after the other under one
/// name, and a gate that is stored with its values.
pub(super) fn split_fused(sources: &mut Sources, stack: &StackSpec) {
    let attention = &stack.block.attention;
    let (query, key_value) = (attention.query_size() as u32, attention.key_value_size() as u32);
    let inner = stack.block.feed_forward.intermediate_size;
    let parts: [&[(BlockPart, u32)]; 2] = [
        &[(BlockPart::Query, query), (BlockPart::Key, key_value), (BlockPart::Value, key_value)],
        &[(BlockPart::Gate, inner), (BlockPart::Up, inner)],
    ];
    let names = |sources: &Sources, part| {
        sources.iter().find_map(|(role, source)| match (role, &source.weight) {
            (Role::Block(_, 0, of), Value::Tensor(pick)) if *of == part => Some(pick.names.clone()),
            _ => None,
        })
    };
    for fused in parts {
        let name = names(sources, fused[0].0);
        if name.is_none() || fused.iter().any(|(part, _)| names(sources, *part) != name) {
            continue;
        }
        edit_blocks(sources, |_, part, pick| {
            let mut first = 0;
            for (of, rows) in fused {
                if *of == part {
                    pick.rows = Some((first..first + rows).collect());
                    pick.of = Some(fused.iter().map(|(_, rows)| rows).sum());
                }
                first += rows;
            }
        });
    }
}

/// The rows of part `part` in a matrix that has parts of `size` rows one after the other.
pub(super) fn stacked(part: u32, size: u32) -> impl Iterator<Item = u32> {
    part * size..(part + 1) * size
}

/// The rows of part `part` in a matrix in which each head has its rows of every part together.
pub(super) fn by_head(part: u32, parts: u32, heads: u32, head_dim: u32) -> impl Iterator<Item = u32> {
    (0..heads).flat_map(move |head| (0..head_dim).map(move |row| (head * parts + part) * head_dim + row))
}

/// The rows of queries, keys or values in a matrix in which each key head is preceded by its
/// queries and followed by its values; `None` for other parts.
pub(super) fn by_group(part: BlockPart, heads: u32, groups: u32, head_dim: u32) -> Option<Vec<u32>> {
    let queries = heads.checked_div(groups)?;
    let places = match part {
        BlockPart::Query => 0..queries,
        BlockPart::Key => queries..queries + 1,
        BlockPart::Value => queries + 1..queries + 2,
        _ => return None,
    };
    let heads = (0..groups).flat_map(|group| places.clone().map(move |place| group * (queries + 2) + place));
    Some(heads.flat_map(|head| head * head_dim..(head + 1) * head_dim).collect())
}

/// The rows of a projection whose rotated pairs are adjacent, reordered so that the first half is
/// paired with the second.
pub(super) fn paired_halves(heads: u32, head_dim: u32, dims: u32) -> impl Iterator<Item = u32> {
    let half = dims / 2;
    let source = move |row: u32| match row {
        row if row < half => 2 * row,
        row if row < dims => 2 * (row - half) + 1,
        row => row,
    };
    (0..heads).flat_map(move |head| (0..head_dim).map(move |row| head * head_dim + source(row)))
}
