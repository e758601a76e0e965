//! The arguments of the kernels of attention.

#[cfg(feature = "std")]
use core::ops::Range;

/// How a product of a query and a key becomes a score, besides the key's scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreFactor {
    /// The first right shift of a product, to nineteen bits.
    pub(crate) narrow: u32,
    /// The last right shift, besides the exponent of the key.
    pub(crate) shift: i32,
}

/// A quantized query times the softmax's scale, of which `mantissa` has fifteen bits.
#[inline(always)]
pub(crate) fn scale_query(q: i16, mantissa: i32) -> i16 {
    ((i32::from(q) * mantissa + (1 << 14)) >> 15) as i16
}

/// The keys and values of one head in a run of slots, and how its queries are scaled.
#[cfg(feature = "std")]
pub(crate) struct Head<'a> {
    /// `[keys, width]`.
    pub(crate) keys: &'a [i8],
    /// Bits of the keys' scales.
    pub(crate) key_scales: &'a [u16],
    /// `[keys, width]`.
    pub(crate) values: &'a [i8],
    /// Bits of the values' scales.
    pub(crate) value_scales: &'a [u16],
    /// Columns of a key, a value and a query.
    pub(crate) width: usize,
    /// Bits of a quantized query.
    pub(crate) query_bits: u32,
    /// The multiplier of a quantized query, of fifteen bits.
    pub(crate) query_mantissa: i32,
    /// The exponent of the unit of such a query, besides that of the query's own scale.
    pub(crate) query_power: i32,
    /// How products become scores, without that exponent.
    pub(crate) factor: ScoreFactor,
}

/// Rows of queries of the heads that share keys, by token, then by head.
#[cfg(feature = "std")]
pub(crate) struct Queries<'a> {
    pub(crate) rows: &'a mut [i32],
    pub(crate) tokens: usize,
    pub(crate) stride: usize,
    pub(crate) group: usize,
    pub(crate) width: usize,
    pub(crate) visible: &'a dyn Fn(usize) -> Range<usize>,
}

#[cfg(feature = "std")]
impl Queries<'_> {
    pub(crate) fn count(&self) -> usize {
        self.tokens * self.group
    }

    /// A query, which its result replaces.
    pub(crate) fn row(&mut self, index: usize) -> &mut [i32] {
        let start = index / self.group * self.stride + index % self.group * self.width;
        self.rows.get_mut(start..start + self.width).unwrap_or(&mut [])
    }

    /// The range of keys that a query sees, counted from the first key of the run.
    pub(crate) fn visible(&self, index: usize) -> Range<usize> {
        (self.visible)(index / self.group)
    }
}
