//! Cortex-M. The weights come in tiles of four rows by four columns; each core has its own way through one.

#[cfg(kinglet_dsp)]
pub(crate) mod dsp;
#[cfg(all(kinglet_dsp, feature = "mve"))]
pub(crate) mod mve;
#[cfg(kinglet_thumb1)]
pub(crate) mod thumb1;
#[cfg(all(kinglet_thumb2, not(kinglet_dsp)))]
pub(crate) mod thumb2;
