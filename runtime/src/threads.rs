//! Several threads for one text: each takes some of the tokens through a layer, with memory of its own.
//!
//! What a token becomes depends on no other token of its tile, so the results are the same bits for any number of threads. Threads
//! wait for each other twice in a layer, awake: to wake one up takes as long as a small layer's arithmetic. Of one token they share but
//! a large vocabulary's logits.
//!
//! Without the feature `std` there is one thread, the caller's, and nothing of this is left.

#[cfg(feature = "std")]
use core::{
    hint,
    iter::{once, repeat_n},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
#[cfg(feature = "std")]
use std::{format, sync::Arc, time::Instant, vec::Vec};

#[cfg(feature = "std")]
use rayon_core::{ThreadPool, ThreadPoolBuilder};

#[cfg(feature = "std")]
use crate::aligned::AlignedVec;
#[cfg(feature = "std")]
use crate::format::error::Error;
#[cfg(feature = "std")]
use crate::format::layout::ALIGNMENT;
use crate::format::spec::{ModelSpec, StackSpec};
#[cfg(feature = "std")]
use crate::format::spec::{WIDE_TILE_ROWS, at_least_one};
use crate::kernels::Kernels;
use crate::model::{Matrix, Words};
use crate::ops::linear::{QuantizedRows, linear_with_bias};
use crate::workspace::{KeyValueCache, MemoryPlan, Scratch};

/// Fewer tokens than this are not worth a thread.
#[cfg(feature = "std")]
const LEAST_TOKENS: usize = 4;

/// Fewer weights than this are not worth one.
#[cfg(feature = "std")]
const LEAST_WEIGHTS: usize = 1 << 20;

/// How long a thread stays awake for what comes next.
#[cfg(feature = "std")]
const PATIENCE: Duration = Duration::from_micros(100);

/// The threads of a session.
#[derive(Default)]
pub(crate) struct Threads {
    /// All but the caller's.
    #[cfg(feature = "std")]
    pool: Option<Pool>,
    /// Memory of each of them.
    #[cfg(feature = "std")]
    memory: Vec<Memory>,
}

/// What scratch memory is cut by.
pub(crate) type Plan<'a> = (&'a ModelSpec, &'a MemoryPlan);

/// A layer's cache, of this stack, that gets tokens from a position on.
pub(crate) type Filled<'a, 'c> = (&'a StackSpec, &'a mut KeyValueCache<'c>, usize);

#[cfg(feature = "std")]
struct Pool {
    threads: ThreadPool,
    /// Counts what there was to do.
    turn: Arc<AtomicUsize>,
}

/// What a thread has of its own.
#[cfg(feature = "std")]
struct Memory {
    scratch: AlignedVec,
    /// Keys and values of a tile.
    cache: AlignedVec,
}

/// What a thread works with: the caller's has what the session has.
#[cfg(feature = "std")]
enum Lent<'a, T> {
    Callers(T),
    Own(&'a mut Memory),
}

#[cfg(feature = "std")]
impl Threads {
    /// So many threads, at least one. Where the system has no others to give it is one.
    pub(crate) fn new(count: usize, plan: Plan<'_>) -> Result<Self, Error> {
        let pool = Pool::new(count.saturating_sub(1));
        let others = pool.as_ref().map_or(0, |pool| pool.threads.current_num_threads());
        let memory = (0..others).map(|_| Memory::new(plan)).collect::<Result<_, _>>()?;
        Ok(Self { pool, memory })
    }

    pub(crate) fn count(&self) -> usize {
        self.memory.len() + 1
    }

    /// Tokens that each thread takes; the last one may get fewer.
    fn share(&self, tokens: usize, plan: &MemoryPlan) -> usize {
        tokens.div_ceil(self.count()).max(LEAST_TOKENS.min(plan.tile())).max(1)
    }

    /// Cuts rows of `width` into shares, and does some work on each: it is told the first row's index.
    pub(crate) fn run(
        &mut self,
        (spec, plan): Plan<'_>,
        rows: &mut [i32],
        width: usize,
        scratch: &mut Scratch<'_>,
        work: impl Fn(usize, &mut [i32], &mut Scratch<'_>) + Sync,
    ) {
        let share = self.share(rows.len() / width.max(1), plan);
        let memory = once(Lent::Callers(scratch)).chain(self.memory.iter_mut().map(Lent::Own));
        share_out(self.pool.as_ref(), rows, share * width, memory, |index, rows, memory| match memory {
            Lent::Callers(scratch) => work(0, rows, scratch),
            Lent::Own(memory) => {
                if let Ok(mut scratch) = Scratch::new(spec, plan, &mut memory.scratch) {
                    work(index * share, rows, &mut scratch);
                }
            }
        });
    }

    /// The same for at most a tile of tokens for each thread, whose keys and values the work stores: it is told the first one's position,
    /// and where they go.
    pub(crate) fn fill(
        &mut self,
        (spec, plan): Plan<'_>,
        rows: &mut [i32],
        width: usize,
        (stack, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl Fn(usize, &mut [i32], &mut KeyValueCache<'_>, &mut Scratch<'_>) + Sync,
    ) {
        let (keys, slots) = (spec.numerics.keys, slots(plan));
        let tokens = rows.len() / width.max(1);
        let share = self.share(tokens, plan);
        let memory = once(Lent::Callers((scratch, &mut *cache))).chain(self.memory.iter_mut().map(Lent::Own));
        share_out(self.pool.as_ref(), rows, share * width, memory, |index, rows, memory| match memory {
            Lent::Callers((scratch, cache)) => work(start, rows, cache, scratch),
            Lent::Own(Memory { scratch, cache }) => {
                let cache = KeyValueCache::new(cache, stack, keys, slots);
                if let (Ok(mut scratch), Ok(mut cache)) = (Scratch::new(spec, plan, scratch), cache) {
                    work(start + index * share, rows, &mut cache, &mut scratch);
                }
            }
        });
        for (first, memory) in (share..tokens).step_by(share).zip(&mut self.memory) {
            if let Ok(theirs) = KeyValueCache::new(&mut memory.cache, stack, keys, slots) {
                cache.copy_from(&theirs, start + first..start + tokens.min(first + share));
            }
        }
    }

    /// One row through a matrix of which each thread takes some rows: see [`linear_with_bias`].
    pub(crate) fn linear_with_bias(
        &mut self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        bias: Words<'_>,
        out: &mut [i32],
    ) {
        let least_rows = LEAST_WEIGHTS.div_ceil(at_least_one(matrix.cols));
        let share = matrix.rows.div_ceil(self.count()).max(least_rows).next_multiple_of(WIDE_TILE_ROWS);
        share_out(self.pool.as_ref(), out, share, repeat_n((), self.count()), |index, out, ()| {
            let first = index * share;
            linear_with_bias(kernels, x, &matrix.rows(first, out.len()), bias.from(first), out);
        });
    }
}

#[cfg(feature = "std")]
impl Pool {
    fn new(count: usize) -> Option<Self> {
        let name = |index| format!("kinglet {}", index + 1);
        let threads = (count > 0).then(|| ThreadPoolBuilder::new().num_threads(count).thread_name(name).build());
        Some(Self { threads: threads?.ok()?, turn: Arc::default() })
    }
}

#[cfg(feature = "std")]
impl Memory {
    fn new((spec, plan): Plan<'_>) -> Result<Self, Error> {
        let mut scratch = AlignedVec::zeroed(Scratch::bytes(spec, plan));
        Scratch::new(spec, plan, &mut scratch)?;
        let stacks = spec.encoder.iter().chain(&spec.decoder);
        let cache = stacks.map(|stack| KeyValueCache::bytes(stack, spec.numerics.keys, slots(plan))).max();
        Ok(Self { scratch, cache: AlignedVec::zeroed(cache.unwrap_or(0)) })
    }
}

/// Tokens that fit the cache of a thread.
#[cfg(feature = "std")]
fn slots(plan: &MemoryPlan) -> usize {
    plan.tile().next_multiple_of(ALIGNMENT)
}

/// Cuts values into shares of so many, and does some work on each, with what the thread is lent: it is told the share's number.
#[cfg(feature = "std")]
fn share_out<T: Send>(
    pool: Option<&Pool>,
    values: &mut [i32],
    share: usize,
    lent: impl IntoIterator<Item = T>,
    work: impl Fn(usize, &mut [i32], T) + Sync,
) {
    let (first, others) = values.split_at_mut(values.len().min(share));
    let mut lent = lent.into_iter();
    let Some(callers) = lent.next() else { return };
    let Some(pool) = pool.filter(|_| !others.is_empty()) else { return work(0, first, callers) };
    let (work, at_work) = (&work, &AtomicUsize::new(0));
    pool.threads.in_place_scope(|scope| {
        for (index, (values, lent)) in others.chunks_mut(share).zip(lent).enumerate() {
            at_work.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move |_| {
                work(index + 1, values, lent);
                at_work.fetch_sub(1, Ordering::Release);
            });
        }
        // What they are awake for is there.
        pool.turn.fetch_add(1, Ordering::Release);
        work(0, first, callers);
        wait_awake(|| at_work.load(Ordering::Acquire) == 0);
    });
    let turn = Arc::clone(&pool.turn);
    let now = turn.load(Ordering::Relaxed);
    pool.threads.spawn_broadcast(move |_| wait_awake(|| turn.load(Ordering::Acquire) != now));
}

/// Waits for a while.
#[cfg(feature = "std")]
fn wait_awake(over: impl Fn() -> bool) {
    let since = Instant::now();
    while !over() && since.elapsed() < PATIENCE {
        hint::spin_loop();
    }
}

#[cfg(not(feature = "std"))]
impl Threads {
    pub(crate) fn count(&self) -> usize {
        1
    }

    #[inline(always)]
    pub(crate) fn run(
        &mut self,
        _: Plan<'_>,
        rows: &mut [i32],
        _: usize,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &mut [i32], &mut Scratch<'_>),
    ) {
        work(0, rows, scratch);
    }

    #[inline(always)]
    pub(crate) fn fill(
        &mut self,
        _: Plan<'_>,
        rows: &mut [i32],
        _: usize,
        (_, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &mut [i32], &mut KeyValueCache<'_>, &mut Scratch<'_>),
    ) {
        work(start, rows, cache, scratch);
    }

    #[inline(always)]
    pub(crate) fn linear_with_bias(
        &mut self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        bias: Words<'_>,
        out: &mut [i32],
    ) {
        linear_with_bias(kernels, x, matrix, bias, out);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::vec;

    use super::*;
    use crate::format::spec::{ActivationWidth, WeightLayout};
    use crate::ops::linear::quantize_rows;

    #[test]
    fn logits_are_the_same_bits_for_any_number_of_threads_in_every_layout() {
        const COLS: usize = 256;
        let kernels = Kernels::best();
        // More rows than any number of threads divides, with whole tiles and without.
        for rows in [4 * LEAST_WEIGHTS / COLS + 48, 2 * LEAST_WEIGHTS / COLS + 7] {
            let weights: Vec<i8> = (0..rows * COLS).map(|n| (n * 7919 / 8) as i8).collect();
            let (group_scales, numbers) = (vec![9; rows * COLS / 32], (1 << 30..).take(rows).collect::<Vec<i32>>());
            let (mut buffer, mut scales) = ([0; COLS], [0]);
            let row: Vec<i32> = (0..COLS as i32).map(|n| (n * n * 97 % 5003 - 2500) << 6).collect();
            quantize_rows(kernels, ActivationWidth::A8, &row, COLS, &mut buffer, &mut scales);
            let x = QuantizedRows::new(ActivationWidth::A8, 1, COLS, &buffer, &scales);

            let packed = WeightLayout::Packed { group: 32 };
            let tiled = [WeightLayout::Tiled, WeightLayout::WideTiled, WeightLayout::Paired, packed];
            let layouts = tiled.into_iter().filter(|_| rows.is_multiple_of(WIDE_TILE_ROWS));
            for layout in layouts.chain([WeightLayout::RowMajor]) {
                let (weights, group_scales) = match layout {
                    WeightLayout::Packed { .. } => (&weights[..weights.len() / 2], &*group_scales),
                    _ => (&*weights, &[][..]),
                };
                let (multipliers, bias) = (Words::new(&numbers), Words::new(&numbers));
                let matrix =
                    Matrix { rows, cols: COLS, layout, weights, scales: group_scales, exponent: 36, multipliers, bias };
                let run = |others| {
                    let memory =
                        (0..others).map(|_| Memory { scratch: AlignedVec::zeroed(0), cache: AlignedVec::zeroed(0) });
                    let mut threads = Threads { pool: Pool::new(others), memory: memory.collect() };
                    let mut out = vec![0; rows];
                    threads.linear_with_bias(kernels, &x, &matrix, bias, &mut out);
                    out
                };
                let alone = run(0);
                assert!(alone.iter().zip(&numbers).any(|(logit, bias)| logit != bias), "{layout:?}");
                for others in 1..4 {
                    assert!(run(others) == alone, "{others} others, {rows} rows, {layout:?}");
                }
            }
        }
    }
}
