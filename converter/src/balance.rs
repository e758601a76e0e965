//! Chooses the binary point of a model, and the powers of two by which weights are multiplied so
//! that all numbers fit it.
//!
//! The runtime has one binary point. Most of its numbers can be multiplied by a power of two
//! without changing the results: a residual stream that ends in a norm, values before a projection,
//! a product of two projections. The weights before such a site are multiplied by the power that
//! its numbers need, and the weights after it are divided by it. Results and the arguments of
//! tabulated functions cannot be scaled, and decide the binary point.

mod flow;
mod ranges;

use core::fmt;
use std::collections::BTreeMap;

use anyhow::Result;
use kinglet::format::layout::{Role, Shape, Stack, StackPart, roles};
use kinglet::format::spec::{ModelSpec, Multiplier, NormKind, NormSpec, NumericsSpec, StackSpec, TokenScale};
use serde::Serialize;

use crate::fixed::multiplier;
use crate::opened::Source;
use crate::refuse;
use crate::weights::role_name;
use flow::{Flow, norm_mut, token_site};
use ranges::{Extent, site_name};

pub use flow::Site;
pub use ranges::Ranges;

/// The binary point unless a model needs another.
const USUAL_BITS: i32 = 16;
/// The headroom: the measured numbers may grow by this power of two.
const HEADROOM_BITS: i32 = 3;
/// A site whose numbers have fewer bits than this at the usual binary point gets another one, at
/// which they have [`ENOUGH_BITS`].
const TOO_FEW_BITS: i32 = 10;
const ENOUGH_BITS: i32 = 13;

/// The choices for a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Balance {
    /// The binary point of the runtime.
    pub fraction_bits: u8,
    /// The largest magnitude that was measured.
    pub largest: f32,
    /// The tensor that read or wrote it.
    pub largest_at: String,
    /// The sites that are multiplied by a power of two.
    pub scaled: Vec<Scaled>,
    /// The numbers that no binary point holds well.
    pub limits: Vec<String>,
}

/// A site with another binary point than the runtime's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scaled {
    /// The name of the site.
    pub what: String,
    /// The largest magnitude that was measured there.
    pub largest: f32,
    /// The fraction bits of its numbers.
    pub fraction_bits: i32,
}

impl fmt::Display for Balance {
    /// Prints nothing for the usual binary point without scales and limits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if i32::from(self.fraction_bits) == USUAL_BITS && self.scaled.is_empty() && self.limits.is_empty() {
            return Ok(());
        }
        write!(f, "numbers: {} fraction bits; ", self.fraction_bits)?;
        writeln!(f, "the largest is {} at {}", self.largest, self.largest_at)?;
        for Scaled { what, largest, fraction_bits } in &self.scaled {
            writeln!(f, "  {fraction_bits:>10}  fraction bits of {what}, up to {largest}")?;
        }
        for limit in &self.limits {
            writeln!(f, "  precision is lost: {limit}")?;
        }
        Ok(())
    }
}

/// Chooses the binary point of a model by the magnitude of its numbers, and scales the sites that
/// need another one. The results change only by rounding.
///
/// # Errors
/// When numbers that cannot be scaled are too large for any binary point; the message names them.
pub fn balance(source: &mut Source, ranges: &Ranges) -> Result<Balance> {
    let spec = source.mapping.spec;
    let sites = ranges.sites();
    let most = sites.values().max_by(|a, b| a.largest.total_cmp(&b.largest));
    let mut balance = Balance {
        fraction_bits: USUAL_BITS as u8,
        largest: most.map_or(0.0, |extent| extent.largest),
        largest_at: most.map_or_else(String::new, |extent| role_name(extent.at)),
        scaled: Vec::new(),
        limits: ranges.score_limit().into_iter().collect(),
    };
    if let Some(infinite) = sites.values().find(|extent| !extent.largest.is_finite()) {
        return Err(refuse(
            format_args!("the numbers of this model grow beyond all bounds at {}", role_name(infinite.at)),
            "it does not run in f32 either: take its weights from its page again",
        ));
    }
    let (least, greatest) = NumericsSpec::FRACTION_BITS.into_inner();
    if let Some(fixed) = sites.get(&Site::Fixed) {
        let bits = point(fixed.largest, fixed.smallest).min(i32::from(greatest));
        if bits < i32::from(least) {
            return Err(refuse(
                format_args!(
                    "{} reaches {}, and numbers beyond {} fit no binary point with a headroom of {}",
                    role_name(fixed.at),
                    fixed.largest,
                    1_u32 << (31 - HEADROOM_BITS - i32::from(least)),
                    1 << HEADROOM_BITS
                ),
                "scale its weights down, or use a checkpoint that was trained with smaller numbers",
            ));
        }
        balance.fraction_bits = bits as u8;
        balance.limits.extend(limit(Site::Fixed, fixed, bits));
    }
    let bits = i32::from(balance.fraction_bits);
    let mut shifts = Shifts::default();
    for (&site, extent) in sites.iter().filter(|(site, _)| **site != Site::Fixed) {
        let mut point = point(extent.largest, extent.smallest);
        if extent.product > 0.0 {
            // A product of two numbers has the fraction bits of both, minus the runtime's.
            point = point.min((fitting(extent.product) - bits).div_euclid(2) + bits);
        }
        let shift = (point - bits).min(epsilon_room(&spec, site));
        if shift != 0 {
            shifts.0.insert(site, shift);
        }
        let (what, largest) = (site_name(site), extent.largest);
        balance.limits.extend(limit(site, extent, bits + shift));
        if bits + shift != USUAL_BITS {
            balance.scaled.push(Scaled { what, largest, fraction_bits: bits + shift });
        }
    }
    source.mapping.spec.numerics.fraction_bits = balance.fraction_bits;
    shifts.apply(source)?;
    Ok(balance)
}

/// The largest binary point at which numbers fit with the headroom.
fn fitting(largest: f32) -> i32 {
    31 - HEADROOM_BITS - libm::frexpf(largest).1
}

/// The usual binary point if numbers of these magnitudes fit it with enough bits, otherwise the
/// nearest one at which they do.
fn point(largest: f32, smallest: f32) -> i32 {
    let wanted = match libm::frexpf(smallest).1 {
        size if smallest > 0.0 && size + USUAL_BITS < TOO_FEW_BITS => ENOUGH_BITS - size,
        _ => USUAL_BITS,
    };
    if largest > 0.0 { wanted.min(fitting(largest)) } else { wanted }
}

/// The loss at a site whose numbers are small in one layer, if the binary point is that of another
/// layer.
fn limit(site: Site, extent: &Extent, bits: i32) -> Option<String> {
    let few = extent.smallest > 0.0 && libm::frexpf(extent.smallest).1 + bits < TOO_FEW_BITS;
    let (largest, smallest) = (extent.largest, extent.smallest);
    few.then(|| format!("{} reach {largest}, and in one layer only {smallest}", site_name(site)))
}

/// The most by which the inputs of norms at a site can be multiplied, as a power of two, so that
/// their epsilons still fit.
fn epsilon_room(spec: &ModelSpec, site: Site) -> i32 {
    let norms = norms(spec).filter(|(role, norm)| Flow::of(spec, *role).reads == site && norm.epsilon > 0);
    norms.map(|(_, norm)| (norm.epsilon.leading_zeros() as i32 - 3) / 2).min().unwrap_or(i32::MAX)
}

/// The norms that divide, by the roles of their weights.
fn norms(spec: &ModelSpec) -> impl Iterator<Item = (Role, NormSpec)> {
    roles(spec).filter_map(|(role, _)| {
        let norm = *norm_mut(&mut { *spec }, role)?;
        (norm.kind != NormKind::Affine).then_some((role, norm))
    })
}

/// The power of two by which the numbers of each site are multiplied; 0 for sites that are not in
/// the map.
#[derive(Debug, Default)]
struct Shifts(BTreeMap<Site, i32>);

impl Shifts {
    fn of(&self, site: Site) -> i32 {
        self.0.get(&site).copied().unwrap_or(0)
    }

    /// Applies the shifts to the weights, and to the parts of the specification that depend on
    /// magnitudes.
    fn apply(&self, source: &mut Source) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let spec = source.mapping.spec;
        for (role, shape) in roles(&spec) {
            let flow = Flow::of(&spec, role);
            let (reads, writes) = (self.of(flow.reads) + self.of(flow.times), self.of(flow.writes));
            let weights = match shape {
                // The table may also be a projection, so the factor on its vectors is in the
                // specification.
                _ if matches!(role, Role::Stack(_, StackPart::TokenEmbedding)) => continue,
                Shape::Norm { kind: NormKind::Layer | NormKind::Rms, .. } => writes,
                Shape::Matrix { .. } | Shape::Norm { .. } => writes - reads,
                Shape::Words { .. } | Shape::Halfwords { .. } => continue,
            };
            let Some(tensor) = source.weights.get_mut(role) else { continue };
            tensor.weight.iter_mut().for_each(|x| *x = libm::ldexpf(*x, weights));
            tensor.bias.iter_mut().for_each(|x| *x = libm::ldexpf(*x, writes));
        }
        for (role, norm) in norms(&spec) {
            let scaled = scale_epsilon(norm.epsilon, 2 * self.of(Flow::of(&spec, role).reads));
            if let Some(norm) = norm_mut(&mut source.mapping.spec, role) {
                norm.epsilon = scaled;
            }
        }
        let stacks = &mut source.mapping.spec;
        for (id, stack) in [(Stack::Encoder, &mut stacks.encoder), (Stack::Decoder, &mut stacks.decoder)] {
            let Some(stack) = stack else { continue };
            self.factors(id, stack)?;
        }
        Ok(())
    }

    /// Applies the shifts to the factors on token vectors and on scores.
    fn factors(&self, id: Stack, stack: &mut StackSpec) -> Result<()> {
        let times = |factor: Multiplier, power: i32| {
            let exponent = i32::from(factor.exponent) - power;
            let held = Multiplier::EXPONENTS.contains(&exponent);
            let scaled = Multiplier { exponent: exponent as i8, ..factor };
            held.then_some(scaled).ok_or_else(|| {
                refuse("a factor of this model is too far from one", "its weights are out of any useful range")
            })
        };
        let power = self.of(token_site(id, stack));
        if power != 0 {
            let scale = stack.embedding.scale.factor().map_or_else(|| multiplier(1.0), Ok)?;
            stack.embedding.scale = stack.embedding.scale.with_factor(times(scale, power)?);
        }
        let attention = &mut stack.block.attention;
        attention.scale = times(attention.scale, -self.of(Site::Queries(id)) - self.of(Site::Keys(id)))?;
        Ok(())
    }
}

/// `epsilon * 2^power`, rounded.
fn scale_epsilon(epsilon: u64, power: i32) -> u64 {
    match power {
        0.. => epsilon << power.min(62),
        _ => ((epsilon >> (-power - 1).min(63)) + 1) >> 1,
    }
}

/// A specification without the changes of [`balance`]: equal for a checkpoint and its blob.
pub fn architecture(spec: &ModelSpec) -> ModelSpec {
    let mut plain = *spec;
    plain.numerics.fraction_bits = USUAL_BITS as u8;
    for (role, _) in norms(spec) {
        if let Some(norm) = norm_mut(&mut plain, role) {
            norm.epsilon = 0;
        }
    }
    for stack in [&mut plain.encoder, &mut plain.decoder].into_iter().flatten() {
        stack.embedding.scale = match stack.embedding.scale {
            TokenScale::None | TokenScale::Fixed(_) => TokenScale::None,
            // The exponent has the power of two of the vectors.
            TokenScale::Unmasked { factor, mask } => {
                TokenScale::Unmasked { factor: Multiplier { exponent: 0, ..factor }, mask }
            }
        };
        // The exponent has the powers of two of queries and keys.
        stack.block.attention.scale.exponent = 0;
    }
    plain
}

#[cfg(test)]
mod tests;
