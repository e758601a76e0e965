//! Several threads for one text. Of many tokens, each thread takes some through a layer, in memory
//! of its own. Of one token's products, each thread takes some rows of the matrix.
//!
//! A token's result depends on no other token of its tile, nor a row's product on another row, so
//! the bits are equal for any number of threads. Threads wait for each other awake: to wake one up
//! takes as long as a small layer's arithmetic.
//!
//! Without the feature `std` there is one thread, the caller's, and nothing of this is left. With
//! the feature `cores` other cores of a microcontroller share one token's products.

#[cfg(all(feature = "cores", not(feature = "std")))]
mod cores;
#[cfg(not(any(feature = "cores", feature = "std")))]
mod nobody;
#[cfg(not(feature = "std"))]
mod one;
#[cfg(feature = "std")]
mod several;

use crate::cache::KeyValueCache;
use crate::format::memory::MemoryPlan;
use crate::format::spec::{ModelSpec, StackSpec};

#[cfg(all(feature = "cores", not(feature = "std")))]
pub use cores::Cores;
#[cfg(all(feature = "cores", not(feature = "std")))]
pub(crate) use cores::Others;
#[cfg(not(any(feature = "cores", feature = "std")))]
pub(crate) use nobody::Others;
#[cfg(not(feature = "std"))]
pub(crate) use one::Threads;
#[cfg(feature = "std")]
pub(crate) use several::{Others, Threads};

/// The specification and the plan by which scratch memory is cut.
pub(crate) type Plan<'a> = (&'a ModelSpec, &'a MemoryPlan);

/// A stack, the cache of one of its layers, and the position of the first token to store.
pub(crate) type Filled<'a, 'c> = (&'a StackSpec, &'a mut KeyValueCache<'c>, usize);
