//! What a role is made of, as data.

use std::collections::BTreeMap;

use kinglet::format::layout::{BlockPart, Role, Shape, Stack, StackPart, roles};
use kinglet::format::spec::{Activation, ModelSpec, NormSpec, StackSpec};

use crate::tables::{Buckets, PositionIndex, Rotation, Sinusoid};

/// Where the numbers of a tensor come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its weights, or the table itself.
    pub weight: Value,
    /// Its biases, where the shape has them.
    pub bias: Option<Value>,
}

/// Where some numbers come from.
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
    /// Tables of learned biases `[buckets, heads]`, spread over the distances.
    RelativeBias {
        /// One for all layers, or one for each.
        tables: Vec<Pick>,
        /// How distances fall into buckets.
        buckets: Buckets,
    },
    /// Biases that fall with the distance, by a slope for each head (ALiBi, arXiv 2108.12409).
    Slopes(Vec<f32>),
    /// The table of an activation function.
    Activation(Activation),
    /// Matrices with equal numbers of rows, joined column-wise.
    Beside(Vec<Pick>),
    /// A convolution's kernel, `[outputs, inputs, kernel_size]`.
    Convolution(Pick),
    /// A matrix of blocks along the diagonal, `[outputs, inputs / groups, 1]`: a grouped
    /// convolution over single tokens.
    Grouped {
        /// The blocks, one below the other.
        pick: Pick,
        /// How many there are.
        groups: u32,
    },
    /// Which vector of disentangled attention belongs to each distance.
    RelativeIndex(PositionIndex),
    /// The vectors of disentangled attention.
    PositionProjection(Box<PositionProjection>),
}

/// Vectors of distances (DeBERTa, arXiv 2006.03654): they depend on no text, so they are computed
/// once.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionProjection {
    /// The embeddings of distances, `[positions, hidden_size]`.
    pub embeddings: Pick,
    /// Weight, bias and formula of a norm on them.
    pub norm: Option<(Pick, Pick, NormSpec)>,
    /// The projection of keys, or of queries.
    pub weight: Pick,
    /// Its bias.
    pub bias: Option<Pick>,
}

/// A tensor of the checkpoint, or rows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// Its name, and others that it may go by; the first that is there counts.
    pub names: Vec<String>,
    /// A matrix is stored `[inputs, outputs]`.
    pub transposed: bool,
    /// The rows to take, in order; all when `None`.
    pub rows: Option<Vec<u32>>,
    /// How many rows there must be in all, where some are taken.
    pub of: Option<u32>,
    /// A factor on every value.
    pub factor: f32,
    /// A number added to every value.
    pub offset: f32,
    /// A tensor of one row that is added to every row.
    pub added: Option<Box<Pick>>,
}

impl Pick {
    /// The whole tensor of this name.
    pub fn new(names: Vec<String>) -> Self {
        Self { names, transposed: false, rows: None, of: None, factor: 1.0, offset: 0.0, added: None }
    }

    /// These rows of the tensor only.
    #[must_use]
    pub fn rows(mut self, rows: impl IntoIterator<Item = u32>) -> Self {
        self.rows = Some(rows.into_iter().collect());
        self
    }
}

/// The names of a stack's tensors: modules, to which `.weight` and `.bias` are put.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// What may stand before all of them, in checkpoints with a head.
    pub(super) prefixes: Prefixes,
    /// The parts outside the blocks.
    pub(super) stack: &'static [(StackPart, &'static str)],
    /// What stands before the parts of a block.
    pub(super) layer: &'static str,
    /// The parts of a block. In these and in `layer`, `{}` is the block, `{group}` and `{inner}`
    /// are where it lies among shared ones.
    pub(super) block: &'static [(BlockPart, &'static str)],
}

/// What may stand before the names of a base model; nothing may always.
pub(super) type Prefixes = &'static [&'static str];

/// The sources of a model under construction.
pub(super) type Sources = BTreeMap<Role, Source>;

/// The names that something may have: with one of the prefixes, or without.
pub(super) fn prefixed(prefixes: Prefixes, name: &str) -> Vec<String> {
    prefixes.iter().chain(&[""]).map(|prefix| format!("{prefix}{name}")).collect()
}

/// A module's tensor.
pub(super) fn tensor(prefixes: Prefixes, module: &str, kind: &str) -> Pick {
    Pick::new(prefixed(prefixes, &format!("{module}.{kind}")))
}

/// A module's weight, and its bias where there is one.
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

/// The sources of a stack by its table of names, and the table of its activation. Parts that the
/// table lacks are left out.
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
                stack.convolution.map(|convolution| Value::Activation(convolution.activation).into())
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

/// Changes how the tensors of some roles are taken, weights and biases alike.
pub(super) fn edit(sources: &mut Sources, change: impl Fn(Role, &mut Pick)) {
    for (role, source) in sources {
        for value in [Some(&mut source.weight), source.bias.as_mut()].into_iter().flatten() {
            if let Value::Tensor(pick) = value {
                change(*role, pick);
            }
        }
    }
}

/// Changes how the tensors of some parts of every block are taken.
pub(super) fn edit_blocks(sources: &mut Sources, change: impl Fn(u16, BlockPart, &mut Pick)) {
    edit(sources, |role, pick| {
        if let Role::Block(_, block, part) = role {
            change(block, part, pick);
        }
    });
}

/// Takes apart what has one name: queries, keys and values that lie one after the other in one
/// matrix, and the gate and what it gates.
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

/// The rows of one of several parts, where a fused matrix has them one after the other.
pub(super) fn stacked(part: u32, size: u32) -> impl Iterator<Item = u32> {
    part * size..(part + 1) * size
}

/// The rows of one of several parts, where each head has its rows of every part together.
pub(super) fn by_head(part: u32, parts: u32, heads: u32, head_dim: u32) -> impl Iterator<Item = u32> {
    (0..heads).flat_map(move |head| (0..head_dim).map(move |row| (head * parts + part) * head_dim + row))
}

/// The rows of queries, keys or values where the queries of each key head stand before it and its
/// value; `None` of other parts.
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

/// The rows of a projection whose rotated pairs are neighbours, put so that the first half is
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
