//! Measures single operations: linear layers for one token and for 64 tokens, and a softmax.
//!
//!     cargo bench -p kinglet-benches --bench kernels
//!
//! The throughput is in products per second, for the softmax in elements per second.

#![expect(missing_docs, reason = "what the macro makes has none")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kinglet::AlignedVec;
use kinglet::bench::{Linear, softmax_of};
use kinglet::format::spec::{ActivationWidth, WeightLayout};

/// Pseudorandom numbers of 24 bits.
fn numbers() -> impl FnMut() -> u32 {
    let mut state = 1_u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    }
}

fn layers(criterion: &mut Criterion) {
    const GROUP: u8 = 32;
    let kinds = [
        ("int8, a16", ActivationWidth::A16, WeightLayout::Tiled),
        ("int8, a8", ActivationWidth::A8, WeightLayout::Tiled),
        ("int8 in wide tiles, a16", ActivationWidth::A16, WeightLayout::WideTiled),
        ("int8 in wide tiles, a8", ActivationWidth::A8, WeightLayout::WideTiled),
        ("int8 in rows, a8", ActivationWidth::A8, WeightLayout::RowMajor),
        ("int4, a16", ActivationWidth::A16, WeightLayout::Packed { group: GROUP }),
        ("int4, a8", ActivationWidth::A8, WeightLayout::Packed { group: GROUP }),
    ];
    for (kind, width, layout) in kinds {
        let mut group = criterion.benchmark_group(kind);
        for (size, tokens) in [(64, 1), (384, 1), (384, 64)] {
            let mut next = numbers();
            let mut weights = AlignedVec::zeroed(match layout {
                WeightLayout::Packed { .. } => size * size / 2,
                _ => size * size,
            });
            weights.iter_mut().for_each(|weight| *weight = (next() % 255) as u8);
            let groups: Vec<u8> = (0..size * size / usize::from(GROUP)).map(|_| 1 + (next() % 16) as u8).collect();
            let multipliers: Vec<i32> = (0..size).map(|_| (1 << 30 | next()) as i32).collect();
            let x: Vec<i32> = (0..tokens * size).map(|_| next() as i32 - (1 << 23)).collect();
            let layer = Linear::new(bytemuck::cast_slice(&weights), &groups, &multipliers, size, layout, width);
            let (mut quantized, mut scales) = (AlignedVec::zeroed(2 * tokens * size), vec![0; tokens]);
            layer.quantize(&x, &mut quantized, &mut scales);
            let mut out = vec![0; tokens * size];
            group.throughput(Throughput::Elements((tokens * size * size) as u64));
            group.bench_function(BenchmarkId::new(format!("{size} x {size}"), tokens), |bencher| {
                bencher.iter(|| layer.run(tokens, &quantized, &scales, &mut [], &mut out));
            });
        }
    }
}

fn softmax(criterion: &mut Criterion) {
    let mut next = numbers();
    let scores: Vec<i32> = (0..256).map(|_| (next() % (8 << 16)) as i32).collect();
    let scales: Vec<u16> = (0..256).map(|_| 10 << 11 | 1024 | (next() % 1024) as u16).collect();
    let mut weights = scores.clone();
    let mut group = criterion.benchmark_group("softmax");
    group.throughput(Throughput::Elements(scores.len() as u64));
    group.bench_function("256", |bencher| {
        bencher.iter(|| {
            weights.copy_from_slice(&scores);
            softmax_of(&mut weights, &scales);
        });
    });
}

criterion_group!(benches, layers, softmax);
criterion_main!(benches);
