//! Reads the weights of a model as real numbers, by role.
//!
//! Executes the sources of a mapping: selects rows, transposes, scales, adds, and computes tables.
//! The results have exactly the shapes of the specification.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use kinglet::format::layout::{Role, Shape, Stack, StackPart, roles};
use kinglet::format::spec::{Activation, AttentionPosition, ModelSpec};

use crate::checkpoint::{Array, Checkpoint};
use crate::family::{Mapping, Pick, PositionProjection, Value};
use crate::real::{Rows, linear, norm};
use crate::refuse;
use crate::tables;

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The rows of a matrix, the weights of a norm, or a table.
    pub weight: Vec<f32>,
    /// One bias for each row of a matrix, or for each value of a norm; empty if there is none.
    pub bias: Vec<f32>,
}

/// All tensors of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<Role, Tensor>,
}

impl Weights {
    /// Reads every tensor of a mapping, and refuses the checkpoint if a tensor is left over.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape than the configuration says, holds a number that
    /// is not finite, or is not used.
    pub fn read(checkpoint: &Checkpoint, mapping: &Mapping) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (role, shape) in roles(&mapping.spec) {
            let Some(source) = mapping.sources.get(&role) else { bail!("the mapping has no source for {role:?}") };
            let build = Build { checkpoint, spec: &mapping.spec, role };
            let (rows, cols, bias) = dimensions(shape);
            let weight = build.value(&source.weight, rows, cols)?;
            let bias = match &source.bias {
                Some(value) if bias => build.value(value, rows, None)?,
                _ => Vec::new(),
            };
            tensors.insert(role, Tensor { weight, bias });
        }
        checkpoint.check_all_used()?;
        Self::new(&mapping.spec, tensors)
    }

    /// Takes tensors that are already in the form of the specification.
    ///
    /// # Errors
    /// When a tensor of the specification is missing, or has another length.
    pub fn new(spec: &ModelSpec, tensors: BTreeMap<Role, Tensor>) -> Result<Self> {
        for (role, shape) in roles(spec) {
            let (rows, cols, bias) = dimensions(shape);
            let (weights, biases) = (rows * cols.unwrap_or(1), if bias { rows } else { 0 });
            match tensors.get(&role) {
                Some(tensor) if tensor.weight.len() == weights && tensor.bias.len() == biases => {}
                Some(tensor) => bail!(
                    "{role:?} has {} weights and {} biases, {weights} and {biases} are wanted",
                    tensor.weight.len(),
                    tensor.bias.len()
                ),
                None => bail!("{role:?} is missing"),
            }
        }
        Ok(Self { tensors })
    }

    /// One tensor, if the model has it.
    pub fn get(&self, role: Role) -> Option<&Tensor> {
        self.tensors.get(&role)
    }

    /// One tensor, mutable.
    pub fn get_mut(&mut self, role: Role) -> Option<&mut Tensor> {
        self.tensors.get_mut(&role)
    }

    /// Every tensor by its role.
    pub fn iter(&self) -> impl Iterator<Item = (Role, &Tensor)> {
        self.tensors.iter().map(|(role, tensor)| (*role, tensor))
    }

    /// The number of learned parameters: all tensors except tables.
    pub fn parameters(&self, spec: &ModelSpec) -> usize {
        let learned = roles(spec).filter(|(_, shape)| matches!(shape, Shape::Matrix { .. } | Shape::Norm { .. }));
        learned.filter_map(|(role, _)| self.get(role)).map(|tensor| tensor.weight.len() + tensor.bias.len()).sum()
    }
}

/// Rows, columns (`None` for vectors and tables), and whether there are biases.
fn dimensions(shape: Shape) -> (usize, Option<usize>, bool) {
    match shape {
        Shape::Matrix { rows, cols, bias, .. } => (rows, Some(cols), bias),
        Shape::Norm { size, bias, .. } => (size, None, bias),
        Shape::Words { len } | Shape::Halfwords { len } => (len, None, false),
    }
}

/// The name of a role for people, such as `decoder.3.Query`.
pub fn role_name(role: Role) -> String {
    let stack = |stack| match stack {
        Stack::Encoder => "encoder",
        Stack::Decoder => "decoder",
    };
    match role {
        Role::Stack(id, part) => format!("{}.{part:?}", stack(id)),
        Role::Block(id, block, part) => format!("{}.{block}.{part:?}", stack(id)),
        Role::Head(part) => format!("head.{part:?}"),
    }
}

/// The context in which one tensor is built.
struct Build<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a ModelSpec,
    role: Role,
}

impl Build<'_> {
    fn value(&self, value: &Value, rows: usize, cols: Option<usize>) -> Result<Vec<f32>> {
        let len = rows * cols.unwrap_or(1);
        let values = match value {
            Value::Tensor(pick) => self.pick(pick, rows, cols)?,
            Value::Constant(x) => vec![*x; len],
            Value::Activation(kind) => tables::activation_table(*kind),
            Value::Sinusoidal(sinusoid) => sinusoid.table(rows, cols.unwrap_or(1)),
            Value::Rotary(rotation) => {
                let (dims, _) = self.position()?;
                rotation.table(dims as usize, len / (dims as usize).max(1))
            }
            Value::Distances { span, farthest } => tables::distance_sinusoids(*span, *farthest, cols.unwrap_or(1)),
            Value::ByHead(pick) => {
                let heads = self.stack().map_or(1, |stack| stack.block.attention.num_attention_heads) as usize;
                self.pick(pick, heads, Some(rows / heads.max(1)))?
            }
            Value::Padded { pick, rows: inner, cols: width } => {
                let (inner, width) = (*inner as usize, *width as usize);
                let values = self.pick(pick, inner, cols.map(|_| width))?;
                let wide = cols.unwrap_or(1);
                let mut padded = vec![0.0; len];
                for (row, values) in padded.chunks_exact_mut(wide).zip(values.chunks_exact(width.max(1))) {
                    row[..width].copy_from_slice(values);
                }
                padded
            }
            Value::Beside(picks) => self.beside(picks, rows)?,
            Value::Grouped { pick, groups } => self.grouped(pick, *groups as usize, rows, cols.unwrap_or(1))?,
            Value::Convolution(pick) => self.convolution(pick, rows, cols.unwrap_or(1))?,
            Value::RelativeIndex(buckets) => {
                let (_, distance) = self.position()?;
                buckets.indices(distance)
            }
            Value::Slopes(slopes) => {
                let (_, distance) = self.position()?;
                let distance = i64::from(distance);
                let ahead = if matches!(self.role, Role::Stack(Stack::Encoder, _)) { distance } else { 0 };
                // Distances from the farthest key to the query and on to the farthest key after it,
                // or backwards from the query.
                let distances: Vec<i64> =
                    if ahead > 0 { (-distance..=ahead).collect() } else { (0..=distance).collect() };
                let of = |slope: &f32| distances.iter().map(|far| -slope * far.abs() as f32).collect::<Vec<_>>();
                slopes.iter().flat_map(of).collect()
            }
            Value::PositionProjection(projection) => self.position_projection(projection)?,
            Value::RelativeBias { tables, buckets } => {
                let (_, distance) = self.position()?;
                let heads = self.stack().map_or(1, |stack| stack.block.attention.num_attention_heads) as usize;
                let mut values = Vec::new();
                for table in tables {
                    let table = self.pick(table, buckets.count as usize, Some(heads))?;
                    values.extend(buckets.spread(&table, heads, distance));
                }
                values
            }
        };
        if values.len() != len {
            bail!("{} was made with {} values, {len} are wanted", role_name(self.role), values.len());
        }
        Ok(values)
    }

    fn stack(&self) -> Option<&kinglet::format::spec::StackSpec> {
        match self.role {
            Role::Stack(id, _) | Role::Block(id, ..) => self.spec.stack(id),
            Role::Head(_) => None,
        }
    }

    /// The number of rotated dimensions, and the distance of a relative bias.
    fn position(&self) -> Result<(u32, u32)> {
        match self.stack().map(|stack| stack.block.attention.position) {
            Some(AttentionPosition::Rotary { dims, .. }) => Ok((u32::from(dims), 0)),
            Some(
                AttentionPosition::RelativeBias { distance }
                | AttentionPosition::LayerRelativeBias { distance }
                | AttentionPosition::Disentangled { distance, .. },
            ) => Ok((0, distance)),
            _ => bail!("{} is a table of positions in a stack without", role_name(self.role)),
        }
    }

    /// Joins matrices of equal height side by side.
    fn beside(&self, picks: &[Pick], rows: usize) -> Result<Vec<f32>> {
        let mut parts = Vec::new();
        for pick in picks {
            let name = pick.names.iter().find(|name| self.checkpoint.shape(name).is_some());
            let shape = name.and_then(|name| self.checkpoint.shape(name)).unwrap_or_default();
            let cols = if pick.transposed { shape.first() } else { shape.last() }.copied().unwrap_or(0);
            parts.push((self.pick(pick, rows, Some(cols))?, cols));
        }
        Ok((0..rows)
            .flat_map(|row| parts.iter().flat_map(move |(part, cols)| &part[row * cols..][..*cols]))
            .copied()
            .collect())
    }

    /// Spreads blocks that are stored one below the other along the diagonal of a matrix of zeros.
    fn grouped(&self, pick: &Pick, groups: usize, rows: usize, cols: usize) -> Result<Vec<f32>> {
        let (group_rows, group_cols) = (rows / groups.max(1), cols / groups.max(1));
        let blocks = if pick.transposed {
            let stored = Pick { transposed: false, ..pick.clone() };
            let stored = self.pick(&stored, groups * group_cols, Some(group_rows))?;
            let at =
                |row: usize, col: usize| stored[(row / group_rows * group_cols + col) * group_rows + row % group_rows];
            (0..rows)
                .flat_map(|row| (0..group_cols).map(move |col| (row, col)))
                .map(|(row, col)| at(row, col))
                .collect()
        } else {
            self.pick(pick, rows * group_cols, Some(1))?
        };
        let mut values = vec![0.0; rows * cols];
        for (row, block) in blocks.chunks_exact(group_cols.max(1)).enumerate() {
            let first = row * cols + row / group_rows.max(1) * group_cols;
            values[first..first + group_cols].copy_from_slice(block);
        }
        Ok(values)
    }

    /// Reorders a kernel stored as `[outputs, inputs, kernel_size]`, so that all inputs of one
    /// kernel position are together.
    fn convolution(&self, pick: &Pick, rows: usize, cols: usize) -> Result<Vec<f32>> {
        let Some(kernel) = self.stack().and_then(|stack| stack.convolution.parallel()) else {
            bail!("{} is a kernel in a stack without", role_name(self.role));
        };
        let seen = usize::from(kernel.kernel_size);
        let inputs = cols / seen;
        let values = self.pick(pick, rows * inputs, Some(seen))?;
        let at = |row: usize, col: usize| values[(row * inputs + col % inputs) * seen + col / inputs];
        Ok((0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))).map(|(row, col)| at(row, col)).collect())
    }

    /// Computes the vectors of distances, `[heads, positions, head_dim]`: embeddings of distances,
    /// normalized and projected.
    fn position_projection(&self, projection: &PositionProjection) -> Result<Vec<f32>> {
        let Some(stack) = self.stack() else { bail!("{} is not in a stack", role_name(self.role)) };
        let AttentionPosition::Disentangled { positions, .. } = stack.block.attention.position else {
            bail!("{} is of a stack without disentangled attention", role_name(self.role));
        };
        let (positions, hidden) = (usize::from(positions), stack.hidden_size as usize);
        let (width, head_dim) = (stack.block.attention.query_size(), usize::from(stack.block.attention.head_dim));
        let values = self.value(&projection.embeddings, positions, Some(hidden))?;
        let mut embeddings = Rows { width: hidden, values };
        if let Some((weight, bias, spec)) = &projection.norm {
            let (weight, bias) = (self.pick(weight, hidden, None)?, self.pick(bias, hidden, None)?);
            embeddings = norm(spec, &weight, &bias, &embeddings);
        }
        let weight = self.pick(&projection.weight, width, Some(hidden))?;
        let bias = projection.bias.as_ref().map(|bias| self.pick(bias, width, None)).transpose()?;
        let projected = linear(&weight, bias.as_deref().unwrap_or_default(), &embeddings);
        let heads = (0..width / head_dim).flat_map(|head| (0..positions).map(move |position| (head, position)));
        Ok(heads
            .flat_map(|(head, position)| &projected.values[position * width + head * head_dim..][..head_dim])
            .copied()
            .collect())
    }

    /// Reads a tensor of the checkpoint, and applies the operations of the pick.
    fn pick(&self, pick: &Pick, rows: usize, cols: Option<usize>) -> Result<Vec<f32>> {
        let present = pick.names.iter().find(|name| self.checkpoint.shape(name).is_some());
        let Some(name) = present else {
            return Err(refuse(
                format_args!("the checkpoint has no tensor `{}`", pick.names.join("` or `")),
                format_args!(
                    "{} is made of it: config.json is of another model, or a file is missing{}",
                    role_name(self.role),
                    self.checkpoint.nearest(pick.names.first().map_or("", String::as_str))
                ),
            ));
        };
        // A head may be stored under two names, with equal values.
        for other in pick.names.iter().filter(|other| self.checkpoint.same(name, other)) {
            self.checkpoint.dismiss(|tensor| tensor == other);
        }
        let array = self.checkpoint.adapted(name, pick.transposed)?;
        let mismatch = || {
            let wanted = cols.map_or(format!("[{rows}]"), |cols| format!("[{rows}, {cols}]"));
            refuse(
                format_args!(
                    "tensor `{name}` is {:?}, but config.json makes {} {wanted}",
                    array.shape,
                    role_name(self.role)
                ),
                "config.json is not of this checkpoint, or this variant is not supported",
            )
        };
        let (stored_rows, width, mut values) = matrix(&array, pick.transposed, cols).ok_or_else(mismatch)?;
        if pick.of.is_some_and(|rows| rows as usize != stored_rows) {
            return Err(mismatch());
        }
        match &pick.rows {
            Some(picked) => {
                let mut taken = Vec::with_capacity(picked.len() * width);
                for row in picked {
                    let row = *row as usize;
                    if row >= stored_rows {
                        return Err(mismatch());
                    }
                    taken.extend_from_slice(&values[row * width..][..width]);
                }
                values = taken;
            }
            // A longer table of positions may be cut, and no other tensor.
            None if self.is_position_table() && stored_rows > rows => values.truncate(rows * width),
            None => {}
        }
        if width != cols.unwrap_or(1) || values.len() != rows * width {
            return Err(mismatch());
        }
        if pick.factor != 1.0 || pick.offset != 0.0 {
            values.iter_mut().for_each(|x| *x = *x * pick.factor + pick.offset);
        }
        if let Some(added) = &pick.added {
            let count = added.rows.as_ref().map_or(1, Vec::len);
            let added = self.pick(added, count, Some(width))?;
            for (values, added) in values.chunks_exact_mut(width).zip(added.chunks_exact(width).cycle()) {
                values.iter_mut().zip(added).for_each(|(x, y)| *x += y);
            }
        }
        Ok(values)
    }

    fn is_position_table(&self) -> bool {
        matches!(self.role, Role::Stack(_, StackPart::PositionEmbedding))
    }
}

/// The rows, width and values of a stored tensor; `None` if it does not have the wanted number of
/// dimensions. `cols` is `None` for a vector.
fn matrix(array: &Array, transposed: bool, cols: Option<usize>) -> Option<(usize, usize, Vec<f32>)> {
    let Some(wanted) = cols else {
        // Buffers with one row, such as `final_logits_bias [1, vocab_size]`, or with one column are
        // vectors.
        let len = array.values.len();
        let vector = array.shape.is_empty() || array.shape.contains(&len);
        return vector.then(|| (len, 1, array.values.clone()));
    };
    let (rows, cols) = match array.shape[..] {
        [rows, cols] => (rows, cols),
        // Projections may be stored as `[hidden_size, heads, head_dim]`.
        [outer, heads, width] if (if transposed { outer } else { heads * width }) == wanted => (outer, heads * width),
        // The kernel of a convolution is a matrix whose width is the last dimension.
        [outer, inner, cols] => (outer * inner, cols),
        _ => return None,
    };
    if !transposed {
        return Some((rows, cols, array.values.clone()));
    }
    let turned = (0..cols).flat_map(|col| (0..rows).map(move |row| array.values[row * cols + col]));
    Some((cols, rows, turned.collect()))
}

/// The activation that a role tabulates; `None` for other roles.
pub fn tabulated(spec: &ModelSpec, role: Role) -> Option<Activation> {
    use kinglet::format::layout::HeadPart;
    match role {
        Role::Stack(id, StackPart::ConvolutionTable) => {
            spec.stack(id).and_then(|stack| stack.convolution.parallel()).map(|convolution| convolution.activation)
        }
        Role::Stack(id, StackPart::ActivationTable) => spec.stack(id).map(|stack| stack.block.feed_forward.activation),
        Role::Head(HeadPart::ActivationTable) => spec.head.transform.map(|transform| transform.activation),
        Role::Head(HeadPart::TanhTable) => Some(Activation::Tanh),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
