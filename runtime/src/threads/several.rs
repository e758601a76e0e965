//! Shares work between the caller's thread and a thread pool of the session.

use core::hint;
use core::iter::{once, repeat_n};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::format;
use std::sync::Arc;
use std::time::Instant;
use std::vec::Vec;

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::{Filled, Plan};
use crate::aligned::AlignedVec;
use crate::cache::KeyValueCache;
use crate::error::RunError;
use crate::format::layout::ALIGNMENT;
use crate::format::memory::{MemoryPlan, decoder_layer_bytes};
use crate::format::places::WIDE_TILE_ROWS;
use crate::format::spec::StackSpec;
use crate::kernels::Kernels;
use crate::model::Matrix;
use crate::ops::linear::{QuantizedRows, linear};
use crate::workspace::Scratch;

/// The fewest tokens that a thread takes.
const LEAST_TOKENS: usize = 4;

/// The fewest weights of a matrix whose rows threads share for a single token.
const LEAST_WEIGHTS: usize = 1 << 17;

/// The time that a thread spins while it waits for its next work.
const PATIENCE: Duration = Duration::from_micros(100);

/// The threads of a session.
#[derive(Default)]
pub(crate) struct Threads {
    /// The threads other than the caller's.
    others: Others,
    /// The memory of each of these threads.
    memory: Vec<Memory>,
}

/// The threads other than the caller's.
#[derive(Clone, Default)]
pub(crate) struct Others {
    pool: Option<Arc<Pool>>,
}

struct Pool {
    threads: ThreadPool,
    /// The number of rounds of work begun so far.
    turn: Arc<AtomicUsize>,
}

/// The memory of a thread.
struct Memory {
    scratch: AlignedVec,
    /// The keys and values of a tile.
    cache: AlignedVec,
}

/// The memory of a thread: the session's for the caller's thread.
enum Lent<'a, T> {
    Callers(T),
    Own(&'a mut Memory),
}

impl Threads {
    /// A pool of `count` threads, at least one; only the caller's if the system cannot start more.
    pub(crate) fn new(count: usize, plan: Plan<'_>) -> Result<Self, RunError> {
        let others = Others::new(count.saturating_sub(1));
        let memory = (0..others.count()).map(|_| Memory::new(plan)).collect::<Result<_, _>>()?;
        Ok(Self { others, memory })
    }

    pub(crate) fn count(&self) -> usize {
        self.others.count() + 1
    }

    /// The threads that share the products of `tokens` tokens: none for several tokens, which are
    /// shared themselves.
    pub(crate) fn beside(&self, tokens: usize) -> Others {
        if tokens == 1 { self.others.clone() } else { Others::default() }
    }

    /// The number of tokens per thread; the last thread may take fewer.
    fn share(&self, tokens: usize, plan: &MemoryPlan) -> usize {
        tokens.div_ceil(self.count()).max(LEAST_TOKENS.min(plan.tile())).max(1)
    }

    /// Splits rows of `width` values into shares, and calls `work` on each with the index of its
    /// first row.
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
        self.others.share_out(rows.chunks_mut(share * width), memory, |index, rows, memory| match memory {
            Lent::Callers(scratch) => work(0, rows, scratch),
            Lent::Own(memory) => {
                if let Ok(mut scratch) = Scratch::new(spec, plan, &mut memory.scratch) {
                    work(index * share, rows, &mut scratch);
                }
            }
        });
    }

    /// [`run`](Self::run) for at most a tile of tokens per thread, where `work` stores keys and
    /// values: it gets the position of the share's first token, and a cache.
    pub(crate) fn fill(
        &mut self,
        (spec, plan): Plan<'_>,
        rows: &[i32],
        width: usize,
        (stack, layer, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl Fn(usize, &[i32], &mut KeyValueCache<'_>, &mut Scratch<'_>) + Sync,
    ) {
        let (keys, slots) = (spec.numerics.keys, slots(plan));
        let tokens = rows.len() / width.max(1);
        let share = self.share(tokens, plan);
        let memory = once(Lent::Callers((scratch, &mut *cache))).chain(self.memory.iter_mut().map(Lent::Own));
        self.others.share_out(rows.chunks(share * width), memory, |index, rows, memory| match memory {
            Lent::Callers((scratch, cache)) => work(start, rows, cache, scratch),
            Lent::Own(Memory { scratch, cache }) => {
                let cache = KeyValueCache::of_layer(cache, stack, layer, keys, slots);
                if let (Ok(mut scratch), Ok(mut cache)) = (Scratch::new(spec, plan, scratch), cache) {
                    work(start + index * share, rows, &mut cache, &mut scratch);
                }
            }
        });
        for (first, memory) in (share..tokens).step_by(share).zip(&mut self.memory) {
            if let Ok(theirs) = KeyValueCache::of_layer(&mut memory.cache, stack, layer, keys, slots) {
                cache.copy_from(&theirs, start + first..start + tokens.min(first + share));
            }
        }
    }
}

impl Others {
    fn new(count: usize) -> Self {
        let name = |index| format!("kinglet {}", index + 1);
        let threads = (count > 0).then(|| ThreadPoolBuilder::new().num_threads(count).thread_name(name).build());
        let pool = threads.and_then(Result::ok).map(|threads| Pool { threads, turn: Arc::default() });
        Self { pool: pool.map(Arc::new) }
    }

    fn count(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.threads.current_num_threads())
    }

    /// Computes [`linear`](crate::ops::linear::linear). If there are other threads, `x` is one row,
    /// and the rows of the matrix are shared. No kernel set with threads needs room.
    pub(crate) fn linear(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        room: &mut [i32],
        out: &mut [i32],
    ) {
        if self.pool.is_none() {
            return linear(kernels, x, matrix, room, out);
        }
        let out = out.get_mut(..matrix.rows).unwrap_or(&mut []);
        let threads = (matrix.rows * matrix.cols / LEAST_WEIGHTS).clamp(1, self.count() + 1);
        let share = matrix.rows.div_ceil(threads).next_multiple_of(WIDE_TILE_ROWS);
        self.share_out(out.chunks_mut(share.max(1)), repeat_n((), threads), |index, out, ()| {
            let first = index * share;
            linear(kernels, x, &matrix.rows(first, out.len()), &mut [], out);
        });
    }

    /// Calls `work` on each of `pieces` with its index and one of `lent`.
    fn share_out<P: Send, T: Send>(
        &self,
        pieces: impl Iterator<Item = P>,
        lent: impl IntoIterator<Item = T>,
        work: impl Fn(usize, P, T) + Sync,
    ) {
        let mut shares = pieces.zip(lent).peekable();
        let Some((first, callers)) = shares.next() else { return };
        let others = shares.peek().is_some();
        let Some(pool) = self.pool.as_ref().filter(|_| others) else { return work(0, first, callers) };
        let (work, at_work) = (&work, &AtomicUsize::new(0));
        pool.threads.in_place_scope(|scope| {
            for (index, (piece, lent)) in shares.enumerate() {
                at_work.fetch_add(1, Ordering::Relaxed);
                scope.spawn(move |_| {
                    work(index + 1, piece, lent);
                    at_work.fetch_sub(1, Ordering::Release);
                });
            }
            // Spinning threads notice the new round.
            pool.turn.fetch_add(1, Ordering::Release);
            work(0, first, callers);
            wait_awake(|| at_work.load(Ordering::Acquire) == 0);
        });
        // Let all threads spin until the next round.
        let turn = Arc::clone(&pool.turn);
        let now = turn.load(Ordering::Relaxed);
        pool.threads.spawn_broadcast(move |_| wait_awake(|| turn.load(Ordering::Acquire) != now));
    }
}

impl Memory {
    fn new((spec, plan): Plan<'_>) -> Result<Self, RunError> {
        let mut scratch = AlignedVec::zeroed(Scratch::bytes(spec, plan));
        Scratch::new(spec, plan, &mut scratch)?;
        let stacks = spec.encoder.iter().chain(&spec.decoder);
        let (keys, slots) = (spec.numerics.keys, slots(plan));
        let layers = |stack: &StackSpec| {
            (0..stack.num_hidden_layers as usize).map(|layer| decoder_layer_bytes(stack, layer, keys, slots)).max()
        };
        let cache = stacks.filter_map(layers).max();
        Ok(Self { scratch, cache: AlignedVec::zeroed(cache.unwrap_or(0)) })
    }
}

/// The capacity of a thread's cache in tokens.
fn slots(plan: &MemoryPlan) -> usize {
    plan.tile().next_multiple_of(ALIGNMENT)
}

/// Spins until `over` holds, or for [`PATIENCE`].
fn wait_awake(over: impl Fn() -> bool) {
    let since = Instant::now();
    while !over() && since.elapsed() < PATIENCE {
        hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::format::spec::{ActivationWidth, WeightLayout};
    use crate::kernels::Weights;
    use crate::model::Words;
    use crate::ops::linear::quantize_rows;

    #[test]
    fn a_row_times_a_matrix_is_the_same_bits_for_any_number_of_threads_in_every_layout() {
        const COLS: usize = 256;
        let kernels = Kernels::best();
        // Numbers of rows that no number of threads divides, with and without whole tiles.
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
                let (bytes, scales) = match layout {
                    WeightLayout::Packed { .. } => (&weights[..weights.len() / 2], &*group_scales),
                    _ => (&*weights, &[][..]),
                };
                let weights = Weights { bytes, scales, layout };
                let (multipliers, bias) = (Words::new(&numbers), Words::new(&numbers));
                let matrix = Matrix { rows, cols: COLS, weights, exponent: 36, multipliers, bias };
                let run = |others| {
                    let mut out = vec![0; rows];
                    Others::new(others).linear(kernels, &x, &matrix, &mut [], &mut out);
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
