//! Random payloads for a specification.

use kinglet::AlignedVec;
use kinglet::format::blob::{GenerationDefaults, Manifest, Provenance, SpecialTokens, write};
use kinglet::format::layout::{Role, Shape, Stack, StackPart, roles};
use kinglet::format::places::MAX_GROUP_SCALE;
use kinglet::format::spec::{AttentionPosition, ModelSpec, Multiplier};

/// The random number generator SplitMix64.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// A generator with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "there is always a next number")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `least` to `most`.
    pub fn within(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }

    /// One of some numbers.
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[(self.next() % of.len() as u64) as usize]
    }
}

/// The tensors of a model. With `extreme`, most numbers are at the limits of what a blob may
/// contain; otherwise the results of layers have the magnitude of their inputs, so that differences
/// remain visible.
pub fn payload(spec: &ModelSpec, noise: &mut Noise, extreme: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    for (role, shape) in roles(spec) {
        let end = payload.len() + shape.bytes() as usize;
        let extreme = extreme && noise.within(0, 1) == 0;
        match shape {
            Shape::Matrix { rows, cols, bias, .. } => {
                let groups = shape.group_scales() as usize;
                let weights = (shape.weight_bytes() as usize).saturating_sub(groups.next_multiple_of(16));
                let ends = [0, 0x7f, 0x80, 0xff, 0x81];
                payload.extend((0..weights).map(|_| if extreme { noise.one_of(&ends) } else { noise.next() as u8 }));
                payload.extend((0..groups).map(|_| noise.within(0, MAX_GROUP_SCALE.into()) as u8));
                payload.resize(end - (shape.number_bytes() as usize).next_multiple_of(16), 0);
                // A row's multiplier is about 2^30, and a sum of products about 2^6 times the
                // square root of their number.
                let usual = 36 + i64::from(cols.ilog2()) / 2 + noise.within(-2, 3);
                numbers(&mut payload, noise, (usual, rows, 0..=i32::MAX), if bias { rows } else { 0 }, extreme);
            }
            Shape::Norm { size, bias, .. } => {
                let usual = 30 + noise.within(-1, 2);
                numbers(&mut payload, noise, (usual, size, i32::MIN..=i32::MAX), if bias { size } else { 0 }, extreme);
            }
            Shape::Words { len } => words(&mut payload, noise, len, 1 << 18, extreme),
            Shape::Halfwords { len } => {
                let most = match (role, vectors(spec, role)) {
                    (Role::Stack(_, StackPart::RelativeIndex), Some(vectors)) => Some(i64::from(vectors) - 1),
                    _ => None,
                };
                payload.extend((0..len).flat_map(|_| {
                    let value = match most {
                        Some(most) => noise.within(0, most) as i16,
                        None if extreme => noise.one_of(&[i16::MIN, i16::MAX, 0, -1]),
                        None => noise.next() as i16,
                    };
                    value.to_le_bytes()
                }));
            }
        }
        payload.resize(end, 0);
    }
    payload
}

/// The number of distance vectors that a relative index selects from.
fn vectors(spec: &ModelSpec, role: Role) -> Option<u16> {
    let Role::Stack(id, _) = role else { return None };
    let stack = match id {
        Stack::Encoder => spec.encoder,
        Stack::Decoder => spec.decoder,
    };
    match stack?.block.attention.position {
        AttentionPosition::Disentangled { positions, .. } => Some(positions),
        _ => None,
    }
}

/// An exponent, `factors` numbers near 2^30, and `biases` biases.
fn numbers(
    out: &mut Vec<u8>,
    noise: &mut Noise,
    (usual, factors, range): (i64, usize, core::ops::RangeInclusive<i32>),
    biases: usize,
    extreme: bool,
) {
    let (least, most) = (i64::from(*Multiplier::EXPONENTS.start()), i64::from(*Multiplier::EXPONENTS.end()));
    let exponent = if extreme { noise.within(least, most) } else { usual.clamp(least, most) };
    out.extend((exponent as i32).to_le_bytes());
    for _ in 0..factors {
        let factor = match extreme {
            true => noise.one_of(&[*range.start(), *range.end(), 0, 1, 1 << 30]),
            false => noise.within(1 << 28, i32::MAX.into()) as i32,
        };
        out.extend(factor.to_le_bytes());
    }
    words(out, noise, biases, 1 << 15, extreme);
}

/// Numbers up to `usual` on both sides of zero.
fn words(out: &mut Vec<u8>, noise: &mut Noise, len: usize, usual: i64, extreme: bool) {
    out.extend((0..len).flat_map(|_| {
        let ends = [i32::MIN, i32::MAX, 0, 1 << 30];
        if extreme { noise.one_of(&ends) } else { noise.within(-usual, usual) as i32 }.to_le_bytes()
    }));
}

/// A blob with random weights, and neither a tokenizer nor golden vectors.
///
/// # Panics
/// If the specification is not valid.
pub fn blob(spec: &ModelSpec, seed: u64, extreme: bool) -> AlignedVec {
    let manifest = Manifest {
        spec: *spec,
        tokens: SpecialTokens::default(),
        generation: GenerationDefaults::default(),
        labels: "O\nB-PER\nI-PER",
        prompts: "",
        provenance: Provenance { source: "random", source_checksum: seed as u32, converter: "test" },
    };
    let payload = payload(spec, &mut Noise::new(seed), extreme);
    AlignedVec::from(write(&manifest, &payload, &[], &[]).expect("a valid specification").as_slice())
}
