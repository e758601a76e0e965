//! Cortex-M.

#[cfg(kinglet_dsp)]
pub(crate) mod dsp;
