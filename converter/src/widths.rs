//! Chooses the number of bits in the weights of each matrix.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use kinglet::format::layout::{BlockPart, HeadPart, Role, Shape, Stack, StackPart, can_be_packed, can_be_table, roles};
use kinglet::format::spec::{Blocks, ModelSpec, PackedSpec};

/// The bits of a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// Eight bits, with a scale for each output channel.
    #[default]
    Int8,
    /// Four bits, with a scale for each group of columns.
    Int4,
}

impl FromStr for Width {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "int8" => Ok(Self::Int8),
            "int4" => Ok(Self::Int4),
            _ => bail!("`{text}` is not a width of weights\ngive int8 or int4"),
        }
    }
}

/// The width of a part's weights, in all layers or in some.
///
/// ```
/// use kinglet_convert::widths::Rule;
///
/// let rule: Rule = "down:0-3,5=int4".parse()?;
/// assert_eq!(rule.to_string(), "down:0-3,5=int4");
/// assert!("sideways=int4".parse::<Rule>().is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    stack: Option<Stack>,
    part: &'static str,
    layers: Vec<RangeInclusive<u16>>,
    width: Width,
}

/// The widths of a model's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widths {
    /// The width of matrices that no rule names. Four bits need rows in multiples of four and
    /// columns in multiples of eight.
    pub weights: Width,
    /// The width of lookup tables that are not the output projection: tokens, positions and token
    /// types.
    pub tables: Width,
    /// The number of columns that share a scale in a matrix with four bits a weight: 32 or 64.
    pub group: u8,
    /// Exceptions; a later rule overrides an earlier one.
    pub rules: Vec<Rule>,
}

impl Default for Widths {
    fn default() -> Self {
        Self { weights: Width::Int8, tables: Width::Int8, group: 32, rules: Vec::new() }
    }
}

/// Matrices whose weights have one width, because one bit of the specification decides it: a part
/// of a block, the matrices of all its networks, or of both narrow streams.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The role of the first matrix.
    pub(crate) role: Role,
    /// The name of the matrices in a rule.
    part: &'static str,
    /// Whether all of the matrices can have four bits.
    pub(crate) fits: bool,
    /// The general width that the matrices have.
    pub(crate) kind: Kind,
}

/// The general width of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The width of the weights.
    Weights,
    /// The width of the tables.
    Table,
    /// No general width: a token table that is also the output projection has four bits only if a
    /// rule names it.
    Tied,
}

impl Widths {
    /// Writes the widths into a specification.
    ///
    /// # Errors
    /// When a rule names a part or a layer that the model lacks, or four bits for a matrix that
    /// cannot have them.
    ///
    /// ```
    /// use kinglet::format::spec::Blocks;
    /// use kinglet_convert::family::Options;
    /// use kinglet_convert::opened::Source;
    /// use kinglet_convert::widths::Widths;
    ///
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/stories").as_ref();
    /// let widths = Widths { rules: vec!["up:1-2=int4".parse()?], ..Widths::default() };
    /// let source = Source::open(folder, &Options { widths, ..Options::default() })?;
    /// assert_eq!(source.spec().numerics.packed.decoder.up, Blocks(0b110));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn apply(&self, spec: &mut ModelSpec) -> Result<()> {
        let units = units(spec);
        let mut packed = PackedSpec::NONE;
        for unit in units.iter().filter(|unit| unit.fits) {
            let width = match unit.kind {
                Kind::Weights => self.weights,
                Kind::Table => self.tables,
                Kind::Tied => Width::Int8,
            };
            packed.set(unit.role, width == Width::Int4);
        }
        for rule in &self.rules {
            let mut named = units.iter().filter(|unit| rule.names(spec, unit)).peekable();
            if named.peek().is_none() {
                return Err(rule.names_nothing(spec, &units));
            }
            for unit in named {
                ensure!(
                    unit.fits || rule.width == Width::Int8,
                    "`{rule}`: a matrix has four bits a weight only where its rows are whole fours and its columns \
                     whole eights, and a table where its columns are even\nleave the part in int8"
                );
                packed.set(unit.role, rule.width == Width::Int4);
            }
        }
        packed.group = if packed == PackedSpec::NONE { 0 } else { self.group };
        spec.numerics.packed = packed;
        spec.check().context("widths of the weights")
    }
}

impl Widths {
    /// Whether a rule names a matrix of the unit.
    pub(crate) fn names(&self, spec: &ModelSpec, unit: &Unit) -> bool {
        self.rules.iter().any(|rule| rule.names(spec, unit))
    }
}

impl Unit {
    /// Whether a role is one of the matrices.
    pub(crate) fn has(&self, role: Role) -> bool {
        named(role).is_some_and(|(_, first)| first == self.role)
    }

    /// The name of the matrices in a rule.
    pub(crate) fn name(&self, spec: &ModelSpec) -> String {
        let both = spec.encoder.is_some() && spec.decoder.is_some();
        let of = |id: Stack| match (both, id) {
            (false, _) => "",
            (true, Stack::Encoder) => "encoder.",
            (true, Stack::Decoder) => "decoder.",
        };
        match self.role {
            Role::Block(id, block, _) => {
                let layers = spec.stack(id).map_or(0, |stack| usize::from(stack.num_hidden_layers));
                let is_run =
                    |layer: &usize| spec.stack(id).is_some_and(|stack| stack.block_of(*layer) == usize::from(block));
                let runs: Vec<String> = (0..layers).filter(is_run).map(|layer| layer.to_string()).collect();
                format!("{}{}:{}", of(id), self.part, runs.join(","))
            }
            Role::Stack(id, _) => format!("{}{}", of(id), self.part),
            Role::Head(_) => self.part.to_owned(),
        }
    }
}

/// The matrices of a model whose width can be chosen.
pub(crate) fn units(spec: &ModelSpec) -> Vec<Unit> {
    let mut units: BTreeMap<Role, Unit> = BTreeMap::new();
    for (role, shape) in roles(spec) {
        let (Some((part, first)), Shape::Matrix { rows, cols, .. }) = (named(role), shape) else { continue };
        let kind = match role {
            _ if spec.only_looks_up(role) => Kind::Table,
            Role::Stack(_, StackPart::TokenEmbedding) => Kind::Tied,
            _ => Kind::Weights,
        };
        let fits = if kind == Kind::Table { can_be_table(cols) } else { can_be_packed(rows, cols) };
        units.entry(first).and_modify(|unit| unit.fits &= fits).or_insert(Unit { role: first, part, fits, kind });
    }
    units.into_values().collect()
}

/// The name of the part of a matrix whose width can be chosen, and the first role that shares the
/// width.
fn named(role: Role) -> Option<(&'static str, Role)> {
    let Role::Block(id, block, part) = role else {
        let name = match role {
            Role::Stack(_, StackPart::EmbeddingProjection) => "embedding-projection",
            Role::Stack(_, StackPart::Convolution) => "convolution",
            Role::Stack(_, StackPart::TokenEmbedding) => "tokens",
            Role::Stack(_, StackPart::PositionEmbedding) => "positions",
            Role::Stack(_, StackPart::TokenTypeEmbedding) => "token-types",
            Role::Head(HeadPart::Transform) => "transform",
            Role::Head(HeadPart::Output) => "head",
            _ => return None,
        };
        return Some((name, role));
    };
    let (name, first) = match part {
        BlockPart::Query => ("query", part),
        BlockPart::Key | BlockPart::SpanKey => ("key", BlockPart::Key),
        BlockPart::Value | BlockPart::SpanValue => ("value", BlockPart::Value),
        BlockPart::Output => ("output", part),
        BlockPart::CrossQuery => ("cross-query", part),
        BlockPart::CrossKey => ("cross-key", part),
        BlockPart::CrossValue => ("cross-value", part),
        BlockPart::CrossOutput => ("cross-output", part),
        BlockPart::Gate => ("gate", part),
        BlockPart::Up | BlockPart::Up1 | BlockPart::Up2 | BlockPart::Up3 => ("up", BlockPart::Up),
        BlockPart::Down | BlockPart::Down1 | BlockPart::Down2 | BlockPart::Down3 => ("down", BlockPart::Down),
        BlockPart::Narrow | BlockPart::NarrowShared => ("narrow", BlockPart::Narrow),
        BlockPart::Widen => ("widen", part),
        _ => return None,
    };
    Some((name, Role::Block(id, block, first)))
}

/// The names of all parts.
const PARTS: [&str; 20] = [
    "query",
    "key",
    "value",
    "output",
    "cross-query",
    "cross-key",
    "cross-value",
    "cross-output",
    "gate",
    "up",
    "down",
    "narrow",
    "widen",
    "embedding-projection",
    "convolution",
    "transform",
    "head",
    "tokens",
    "positions",
    "token-types",
];

/// The matrices with four bits a weight in a model, as rules.
///
/// ```
/// use kinglet_convert::family::Options;
/// use kinglet_convert::opened::Source;
/// use kinglet_convert::widths::{Widths, packed};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/stories").as_ref();
/// let widths = Widths { rules: vec!["up=int4".parse()?, "up:0=int8".parse()?], ..Widths::default() };
/// let source = Source::open(folder, &Options { widths, ..Options::default() })?;
/// assert_eq!(packed(source.spec())[0].to_string(), "up:1-4=int4");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn packed(spec: &ModelSpec) -> Vec<Rule> {
    let both = spec.encoder.is_some() && spec.decoder.is_some();
    let mut rules: Vec<Rule> = Vec::new();
    for unit in units(spec).iter().filter(|unit| spec.numerics.packed.contains(unit.role)) {
        let (id, block) = match unit.role {
            Role::Block(id, block, _) => (Some(id), Some(block)),
            Role::Stack(id, _) => (Some(id), None),
            Role::Head(_) => (None, None),
        };
        let stack = id.filter(|_| both);
        let known = rules.iter().position(|rule| rule.part == unit.part && rule.stack == stack);
        let at = known.unwrap_or_else(|| {
            rules.push(Rule { stack, part: unit.part, layers: Vec::new(), width: Width::Int4 });
            rules.len() - 1
        });
        let Some((run, block)) = id.and_then(|id| spec.stack(id)).zip(block) else { continue };
        let Role::Block(id, _, part) = unit.role else { continue };
        let all = spec.numerics.packed.stack(id).blocks(part) == Blocks::first(run.num_blocks());
        let layers = (0..run.num_hidden_layers).filter(|&layer| run.block_of(layer.into()) == usize::from(block));
        layers.filter(|_| !all).for_each(|layer| match rules[at].layers.last_mut() {
            Some(range) if range.end() + 1 == layer => *range = *range.start()..=layer,
            _ => rules[at].layers.push(layer..=layer),
        });
    }
    rules
}

impl Rule {
    /// Whether the rule names a matrix.
    fn names(&self, spec: &ModelSpec, unit: &Unit) -> bool {
        let (stack, block) = match unit.role {
            Role::Block(id, block, _) => (Some(id), Some(block)),
            Role::Stack(id, _) => (Some(id), None),
            Role::Head(_) => (None, None),
        };
        let in_layers = || {
            let Some((stack, block)) = stack.and_then(|id| spec.stack(id)).zip(block) else { return false };
            let mut layers = self.layers.iter().cloned().flatten().take_while(|&layer| layer < stack.num_hidden_layers);
            layers.any(|layer| stack.block_of(layer.into()) == usize::from(block))
        };
        let in_stack = self.stack.is_none() || self.stack == stack;
        self.part == unit.part && in_stack && (self.layers.is_empty() || in_layers())
    }

    fn names_nothing(&self, spec: &ModelSpec, units: &[Unit]) -> anyhow::Error {
        let mut parts: Vec<&str> = units.iter().map(|unit| unit.part).collect();
        parts.sort_unstable();
        parts.dedup();
        let layers = [spec.encoder, spec.decoder].into_iter().flatten().map(|stack| stack.num_hidden_layers).max();
        anyhow::anyhow!(
            "`{self}` names no matrix of this model\nit has {}, in layers 0 to {}",
            parts.join(", "),
            layers.unwrap_or(1).saturating_sub(1)
        )
    }
}

impl FromStr for Rule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let how =
            || format!("`{text}` is not a width of a part\nwrite PART=int4, or PART:LAYERS=int4 as in down:0-3,5=int4");
        let (what, width) = text.split_once('=').with_context(how)?;
        let (name, layers) = what.split_once(':').map_or((what, None), |(name, layers)| (name, Some(layers)));
        let (stack, name) = match name.split_once('.') {
            Some(("encoder", name)) => (Some(Stack::Encoder), name),
            Some(("decoder", name)) => (Some(Stack::Decoder), name),
            _ => (None, name),
        };
        let part = PARTS.into_iter().find(|part| *part == name);
        let part =
            part.with_context(|| format!("`{name}` is not a part of a model\nthe parts are {}", PARTS.join(", ")))?;
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?).filter(|range| !range.is_empty())
        };
        let layers: Option<Vec<_>> = layers.map_or(Some(Vec::new()), |layers| layers.split(',').map(range).collect());
        Ok(Self { stack, part, layers: layers.with_context(how)?, width: width.parse()? })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = match self.stack {
            Some(Stack::Encoder) => "encoder.",
            Some(Stack::Decoder) => "decoder.",
            None => "",
        };
        write!(f, "{stack}{}", self.part)?;
        for (at, range) in self.layers.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { ':' } else { ',' }, range.start())?;
            if range.end() > range.start() {
                write!(f, "-{}", range.end())?;
            }
        }
        write!(f, "={}", self.width)
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Rule>().expect_err(text).to_string()
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["down=int4", "encoder.query:3=int8", "decoder.cross-key:0-3,5,7-11=int4", "tokens=int4"] {
            assert_eq!(text.parse::<Rule>().expect(text).to_string(), text);
        }
        assert_eq!("up:2-2=int4".parse::<Rule>().expect("a range of one").to_string(), "up:2=int4");
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_would_be_one() {
        for text in ["down", "down:3-1=int4", "down:=int4", "down:a=int4", "down:-1=int4"] {
            assert!(refused(text).contains("write PART=int4"), "{text}");
        }
        assert!(refused("sideways=int4").contains("the parts are query, key"));
        assert!(refused("middle.down=int4").contains("`middle.down` is not a part of a model"));
        assert!(refused("down=int2").contains("give int8 or int4"));
    }
}
