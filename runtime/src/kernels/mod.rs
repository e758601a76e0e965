//! The inner loops, and the choice between their implementations: one table of functions for each instruction set.
//!
//! `scalar` is the definition; every set gives the same bits, which one test checks for every set the machine has.

#[cfg(target_arch = "arm")]
mod arm;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_64;

/// One implementation of every inner loop.
pub(crate) struct Kernels {
    /// As the vendor writes the instruction set.
    pub(crate) name: &'static str,
    /// `out[token, row] = x[token] . weights[row]`: `x` is `[tokens, cols]`, `weights` `[rows, cols]`.
    pub(crate) matmul8: fn(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize),
    /// The same over sixteen-bit activations.
    pub(crate) matmul16: fn(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize),
    /// As `matmul8`, over weights in tiles ([`tile_place`](crate::format::spec::tile_place)).
    pub(crate) tiles8: fn(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize),
    /// As `matmul16`, over weights in tiles.
    pub(crate) tiles16: fn(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize),
    /// `out[key] = query . keys[key]`: `keys` is `[n, head_dim]`.
    pub(crate) scores8: fn(out: &mut [i32], query: &[i8], keys: &[i8]),
    /// The same over sixteen-bit keys.
    pub(crate) scores16: fn(out: &mut [i32], query: &[i8], keys: &[i16]),
    /// `out += weights[n] * values[n]` over all `n`: `values` is `[n, head_dim]`.
    pub(crate) weighted_sum: fn(out: &mut [i32], weights: &[u8], values: &[i8]),
}

impl Kernels {
    /// Every set that this machine runs, the fastest first.
    pub(crate) fn available() -> impl Iterator<Item = &'static Self> {
        #[cfg(target_arch = "x86_64")]
        let vector = x86_64::avx2::kernels();
        #[cfg(kinglet_dsp)]
        let vector = Some(&arm::dsp::DSP);
        #[cfg(not(any(target_arch = "x86_64", kinglet_dsp)))]
        let vector = None;
        [vector, Some(&scalar::SCALAR)].into_iter().flatten()
    }

    /// The fastest set that this machine runs.
    pub(crate) fn best() -> &'static Self {
        Self::available().next().unwrap_or(&scalar::SCALAR)
    }
}
