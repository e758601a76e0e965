//! Kernels for Cortex-M: a folder for each instruction set, and a file for each group of kernels.

mod arguments;
#[cfg(kinglet_dsp)]
pub(crate) mod dsp;
#[cfg(all(kinglet_dsp, feature = "mve"))]
pub(crate) mod mve;
#[cfg(kinglet_thumb1)]
pub(crate) mod thumb1;
#[cfg(all(kinglet_thumb2, not(kinglet_dsp)))]
pub(crate) mod thumb2;

use super::table::Kernels;

/// The kernel set for this core.
pub(crate) const KERNELS: &Kernels = {
    #[cfg(all(kinglet_dsp, feature = "mve"))]
    let set = &mve::MVE;
    #[cfg(all(kinglet_dsp, not(feature = "mve")))]
    let set = &dsp::DSP;
    #[cfg(all(kinglet_thumb2, not(kinglet_dsp)))]
    let set = &thumb2::THUMB2;
    #[cfg(kinglet_thumb1)]
    let set = &thumb1::THUMB1;
    set
};
