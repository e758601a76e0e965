//! The caller's thread alone, which other cores may help with one token's products.

use super::{Filled, Others, Plan};
use crate::cache::KeyValueCache;
use crate::workspace::Scratch;

/// No threads but the caller's.
#[derive(Default)]
pub(crate) struct Threads {
    others: Others,
}

impl Threads {
    #[cfg(feature = "cores")]
    pub(crate) fn of(cores: &'static dyn super::Cores) -> Self {
        Self { others: Others::of(cores) }
    }

    /// Threads that take tokens of a text.
    pub(crate) fn count(&self) -> usize {
        1
    }

    /// Who shares the products of one token.
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
        rows: &mut [i32],
        _: usize,
        (_, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &mut [i32], &mut KeyValueCache<'_>, &mut Scratch<'_>),
    ) {
        work(start, rows, cache, scratch);
    }
}
