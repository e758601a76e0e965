//! Several threads for one text: each takes some of the tokens through a layer, with scratch memory of its own.
//!
//! What a token becomes depends on no other token of its tile, so the results are the same bits for any number of threads. Threads
//! wait for each other twice in a layer: they pay for many tokens of a model that is hundreds of columns wide. One token at a time
//! stays on one thread.
//!
//! Without the feature `std` there is one thread, the caller's, and nothing of this is left.

#[cfg(feature = "std")]
use std::format;
#[cfg(feature = "std")]
use std::vec::Vec;

#[cfg(feature = "std")]
use rayon_core::{ThreadPool, ThreadPoolBuilder};

#[cfg(feature = "std")]
use crate::aligned::AlignedVec;
#[cfg(feature = "std")]
use crate::format::error::Error;
use crate::format::spec::ModelSpec;
use crate::workspace::{MemoryPlan, Scratch};

/// Fewer tokens than this are not worth a thread.
#[cfg(feature = "std")]
const LEAST_TOKENS: usize = 4;

/// The threads of a session.
#[derive(Default)]
pub(crate) struct Threads {
    /// All but the caller's.
    #[cfg(feature = "std")]
    pool: Option<ThreadPool>,
    /// Scratch memory of each of them.
    #[cfg(feature = "std")]
    others: Vec<AlignedVec>,
}

/// What scratch memory is cut by.
pub(crate) type Plan<'a> = (&'a ModelSpec, &'a MemoryPlan);

#[cfg(feature = "std")]
impl Threads {
    /// So many threads, at least one. Where the system has no others to give it is one.
    pub(crate) fn new(count: usize, (spec, plan): Plan<'_>) -> Result<Self, Error> {
        let others_wanted = count.saturating_sub(1);
        let pool = if others_wanted > 0 {
            ThreadPoolBuilder::new()
                .num_threads(others_wanted)
                .thread_name(|index| format!("kinglet {index}"))
                .build()
                .ok()
        } else {
            None
        };
        let mut others = Vec::new();
        for _ in 0..pool.as_ref().map_or(0, ThreadPool::current_num_threads) {
            let mut bytes = AlignedVec::zeroed(Scratch::bytes(spec, plan));
            Scratch::new(spec, plan, &mut bytes)?;
            others.push(bytes);
        }
        Ok(Self { pool, others })
    }

    pub(crate) fn count(&self) -> usize {
        self.others.len() + 1
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
        let (first, others) = rows.split_at_mut(rows.len().min(share * width));
        let Some(pool) = self.pool.as_ref().filter(|_| !others.is_empty()) else {
            return work(0, first, scratch);
        };
        pool.in_place_scope(|scope| {
            let work = &work;
            let shares = others.chunks_mut((share * width).max(1));
            for (index, (rows, bytes)) in shares.zip(&mut self.others).enumerate() {
                scope.spawn(move |_| {
                    if let Ok(mut scratch) = Scratch::new(spec, plan, bytes) {
                        work((index + 1) * share, rows, &mut scratch);
                    }
                });
            }
            work(0, first, scratch);
        });
    }

    /// What is left to do with the scratch memory of each thread after [`run`](Self::run) for so many tokens, in their order: it is told
    /// the first one's index and their number.
    pub(crate) fn after(
        &mut self,
        (spec, plan): Plan<'_>,
        tokens: usize,
        scratch: &mut Scratch<'_>,
        mut work: impl FnMut(usize, usize, &mut Scratch<'_>),
    ) {
        let share = self.share(tokens, plan);
        work(0, tokens.min(share), scratch);
        for (first, bytes) in (share..tokens).step_by(share).zip(&mut self.others) {
            if let Ok(mut scratch) = Scratch::new(spec, plan, bytes) {
                work(first, share.min(tokens - first), &mut scratch);
            }
        }
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
    pub(crate) fn after(
        &mut self,
        _: Plan<'_>,
        tokens: usize,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, usize, &mut Scratch<'_>),
    ) {
        work(0, tokens, scratch);
    }
}
