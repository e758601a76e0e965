//! Measures the cost of single operations: linear layers for one token and for 64 tokens, a
//! softmax, sampling, and loading a blob.

use core::hint::black_box;

use kinglet::bench::{Linear, attend, compare, softmax_of};
use kinglet::format::spec::{ActivationWidth, WeightLayout};
use kinglet::golden::Fingerprint;
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::{Aligned, Error, MemoryPlan, Model, Session};

use crate::models::home_intent;
use crate::{Board, bits, count_of, measured, number};

/// The width of the widest layer.
const SIZE: usize = 384;
/// The number of tokens of a short text.
const TOKENS: usize = 64;
/// Keys that a query meets.
const POSITIONS: usize = 512;
/// Columns of a group of packed weights.
const GROUP: usize = 64;
const PACKED: WeightLayout = WeightLayout::Packed { group: GROUP as u8 };

/// The buffers of the operations, which are too large for a stack.
pub struct Memory {
    weights: Aligned<[i8; SIZE * SIZE]>,
    group_scales: Aligned<[u8; SIZE * SIZE / GROUP]>,
    multipliers: [i32; SIZE],
    x: [i32; TOKENS * SIZE],
    quantized: Aligned<[u8; 2 * TOKENS * SIZE]>,
    scales: [u16; TOKENS],
    out: [i32; TOKENS * SIZE],
}

impl Memory {
    /// Buffers of zeros.
    pub const fn new() -> Self {
        Self {
            weights: Aligned([0; SIZE * SIZE]),
            group_scales: Aligned([0; SIZE * SIZE / GROUP]),
            multipliers: [0; SIZE],
            x: [0; TOKENS * SIZE],
            quantized: Aligned([0; 2 * TOKENS * SIZE]),
            scales: [0; TOKENS],
            out: [0; TOKENS * SIZE],
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints a count per unit, in hundredths of instructions.
fn each(board: &mut impl Board, what: &str, count: u64, units: u32) {
    let hundredths = match u32::try_from(count * 100) {
        Ok(hundreds) => hundreds / units.max(1),
        Err(_) => count_of(count) / (units / 100).max(1),
    };
    board.print("# ");
    board.print(what);
    board.print(", hundredths of instructions: ");
    number(board, hundredths);
    board.print("\n");
}

pub fn run(board: &mut impl Board, memory: &mut Memory) -> Result<(), Error> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    memory.weights.0.iter_mut().for_each(|weight| *weight = (next() % 255) as u8 as i8);
    memory.group_scales.0.iter_mut().for_each(|scale| *scale = 1 + (next() % 16) as u8);
    memory.multipliers.iter_mut().for_each(|multiplier| *multiplier = 1 << 30 | next() as i32);
    memory.x.iter_mut().for_each(|x| *x = (next() as i32 - (1 << 23)) >> 4);
    let mut fingerprint = Fingerprint::default();
    let layers = [
        ("a16, 384 x 384, one token", 384, 1, ActivationWidth::A16, WeightLayout::Tiled),
        ("a16, 64 x 64, one token", 64, 1, ActivationWidth::A16, WeightLayout::Tiled),
        ("a16, 384 x 384, 64 tokens", 384, 64, ActivationWidth::A16, WeightLayout::Tiled),
        ("a8, 384 x 384, one token", 384, 1, ActivationWidth::A8, WeightLayout::Tiled),
        ("a8, 384 x 384, 64 tokens", 384, 64, ActivationWidth::A8, WeightLayout::Tiled),
        ("a16 in pairs, 384 x 384, one token", 384, 1, ActivationWidth::A16, WeightLayout::Paired),
        ("a16 in pairs, 64 x 64, one token", 64, 1, ActivationWidth::A16, WeightLayout::Paired),
        ("a16 in pairs, 384 x 384, 64 tokens", 384, 64, ActivationWidth::A16, WeightLayout::Paired),
        ("a8 in pairs, 384 x 384, one token", 384, 1, ActivationWidth::A8, WeightLayout::Paired),
        ("a8 in pairs, 384 x 384, 64 tokens", 384, 64, ActivationWidth::A8, WeightLayout::Paired),
        ("a8 in rows, 384 x 384, one token", 384, 1, ActivationWidth::A8, WeightLayout::RowMajor),
        ("a8 in rows, 384 x 384, 64 tokens", 384, 64, ActivationWidth::A8, WeightLayout::RowMajor),
        ("int4, a16, 384 x 384, one token", 384, 1, ActivationWidth::A16, PACKED),
        ("int4, a16, 64 x 64, one token", 64, 1, ActivationWidth::A16, PACKED),
    ];
    let mut room = [0; 2 * 384];
    for (what, size, tokens, width, layout) in layers {
        let packed = matches!(layout, WeightLayout::Packed { .. });
        let bytes = if packed { size * size / 2 } else { size * size };
        let (Some(weights), Some(multipliers), Some(scales)) = (
            memory.weights.0.get(..bytes),
            memory.multipliers.get(..size),
            memory.group_scales.0.get(..if packed { size * size / GROUP } else { 0 }),
        ) else {
            continue;
        };
        let layer = Linear::new(weights, scales, multipliers, size, layout, width);
        let x = memory.x.get(..tokens * size).unwrap_or(&[]);
        layer.quantize(x, &mut memory.quantized.0, &mut memory.scales);
        let out = memory.out.get_mut(..tokens * size).unwrap_or(&mut []);
        let start = board.count();
        layer.run(tokens, &memory.quantized.0, &memory.scales, &mut room, out);
        let count = board.count().saturating_sub(start);
        fingerprint.update(out);
        each(board, what, count, (tokens * size * size) as u32);
    }
    let (mut scores, mut scales) = ([0; 256], [0; 256]);
    scores.iter_mut().for_each(|score| *score = (next() % (8 << 16)) as i32);
    scales.iter_mut().for_each(|scale| *scale = 10 << 11 | 1024 | (next() % 1024) as u16);
    let start = board.count();
    softmax_of(&mut scores, &scales);
    let count = board.count().saturating_sub(start);
    each(board, "softmax of 256, an element", count, 256);
    fingerprint.update(&scores);
    for (what, width) in [
        ("attention over 512 positions, a head of 8, a position", 8),
        ("attention over 512 positions, a head of 32, a position", 32),
    ] {
        let (mut query, mut scales) = (Aligned([0; 32]), [0; POSITIONS]);
        query.0.iter_mut().for_each(|q| *q = (next() >> 8) as i16 >> 2);
        scales.iter_mut().for_each(|scale| *scale = 10 << 11 | 1024 | (next() % 1024) as u16);
        let (keys, values) = memory.weights.0.split_at(POSITIONS * 32);
        let (Some(query), Some(keys)) = (query.0.get(..width), keys.get(..POSITIONS * width)) else { continue };
        let Some((scores, out)) = memory.out.split_at_mut_checked(POSITIONS) else { continue };
        let (Some(out), Some(values)) = (out.get_mut(..width), values.get(..POSITIONS * width)) else { continue };
        let start = board.count();
        attend(out, query, keys, values, &scales, scores);
        let count = board.count().saturating_sub(start);
        each(board, what, count, POSITIONS as u32);
        fingerprint.update(out);
    }
    sampling(board, &mut next)?;
    let start = board.count();
    let _ = black_box(Model::from_bytes(black_box(home_intent::BLOB))?);
    let count = board.count().saturating_sub(start);
    each(board, "reading a blob, a byte", count, home_intent::BLOB.len() as u32);
    longest_step(board, &mut memory.quantized.0)?;
    bits(board, fingerprint);
    compare(&mut |what, at| {
        board.print(what);
        board.print(" is not as defined at ");
        number(board, at);
        board.print("\n");
    });
    Ok(())
}

/// Measures the longest step of classifying a sentence, including the logits at the end, with tiles
/// of one token.
fn longest_step(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    const TOKENS: usize = 11;
    let ids: [u32; TOKENS] = core::array::from_fn(|position| position as u32 * 37 + 1);
    let plan = MemoryPlan::new(home_intent::MODEL.spec(), 0, TOKENS, 1)?;
    let mut session = Session::with_plan(&home_intent::MODEL, arena, plan)?;
    let mut pass = session.begin_encode(&ids, &[])?;
    let (mut longest, mut more) = (0, true);
    while more {
        let start = board.count();
        more = session.advance(&mut pass, &ids, &[])?;
        longest = longest.max(board.count().saturating_sub(start));
    }
    let start = board.count();
    session.logits()?;
    longest = longest.max(board.count().saturating_sub(start));
    measured(board, "the longest step of a sentence classified", count_of(longest));
    Ok(())
}

/// The size of a small vocabulary.
const VOCABULARY: usize = 512;

/// Measures the cost of choosing one of 512 tokens, and of a repetition penalty for 100 tokens.
fn sampling(board: &mut impl Board, next: &mut impl FnMut() -> u32) -> Result<(), Error> {
    const PLAIN: SamplerOptions = SamplerOptions { temperature: 0.8, seed: 1, ..SamplerOptions::GREEDY };
    const FILTERS: SamplerOptions = SamplerOptions { top_k: 40, top_p: 0.9, min_p: 0.05, ..PLAIN };
    const PENALTY: SamplerOptions = SamplerOptions { repetition_penalty: 1.1, ..SamplerOptions::GREEDY };
    let mut logits = [0; VOCABULARY];
    let mut seen = [0; 100];
    seen.iter_mut().for_each(|token| *token = next() % VOCABULARY as u32);
    for (what, options, seen) in [
        ("the likeliest of 512 tokens", SamplerOptions::GREEDY, &[][..]),
        ("one of 512 tokens at random", PLAIN, &[][..]),
        ("one of 512 tokens with top-k, top-p and min-p", FILTERS, &[][..]),
        ("the likeliest of 512 tokens with a penalty for 100", PENALTY, &seen[..]),
    ] {
        let mut sampler = Sampler::new(options)?;
        // Sums of four random numbers: about normally distributed, within a range of 20.
        logits.iter_mut().for_each(|logit| *logit = (0..4).map(|_| (next() % (5 << 16)) as i32).sum());
        let start = board.count();
        let _ = sampler.sample(&mut logits, 16, seen)?;
        let count = board.count().saturating_sub(start);
        measured(board, what, count_of(count));
    }
    Ok(())
}
