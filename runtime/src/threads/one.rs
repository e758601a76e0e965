//! Runs everything on the caller's thread, with other cores for the products of single tokens.

use super::{Filled, Others, Plan};
use crate::cache::KeyValueCache;
use crate::workspace::Scratch;

/// The caller's thread, and other cores.
#[derive(Default)]
pub(crate) struct Threads {
    others: Others,
}

impl Threads {
    #[cfg(feature = "cores")]
    pub(crate) fn of(cores: &'static dyn super::Cores) -> Self {
        Self { others: Others::of(cores) }
    }

    /// The number of threads that share the tokens of a text.
    pub(crate) fn count(&self) -> usize {
        1
    }

    /// The cores that share the products of `tokens` tokens: none for several tokens.
    pub(crate) fn beside(&self, tokens: usize) -> Others {
        if tokens == 1 { self.others.clone() } else { Others::default() }
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
        rows: &[i32],
        _: usize,
        (_, _, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &[i32], &mut KeyValueCache<'_>, &mut Scratch<'_>),
    ) {
        work(start, rows, cache, scratch);
    }
}
