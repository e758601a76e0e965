//! Defines the arguments of the attention kernels.

#[cfg(feature = "std")]
use core::ops::Range;

/// The conversion of a product of a query and a key to a score, apart from the key's scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreFactor {
    /// The right shift of a product to 19 bits.
    pub(crate) narrow: u32,
    /// The right shift of the scaled product, minus the exponent of the key's scale.
    pub(crate) shift: i32,
}

/// Multiplies a quantized query by the softmax scale's 15-bit mantissa.
#[inline(always)]
pub(crate) fn scale_query(q: i16, mantissa: i32) -> i16 {
    ((i32::from(q) * mantissa + (1 << 14)) >> 15) as i16
}

/// The keys and values of one head in a run of slots, and the scaling of its queries.
#[cfg(feature = "std")]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only sets of x86-64 attend together"))]
pub(crate) struct Head<'a> {
    /// The keys, `[keys, width]`.
    pub(crate) keys: &'a [i8],
    /// The bits of the keys' scales.
    pub(crate) key_scales: &'a [u16],
    /// The values, `[keys, width]`.
    pub(crate) values: &'a [i8],
    /// The bits of the values' scales.
    pub(crate) value_scales: &'a [u16],
    /// The width of a key, a value and a query: `head_dim`.
    pub(crate) width: usize,
    /// The number of bits of a quantized query.
    pub(crate) query_bits: u32,
    /// The softmax scale's mantissa, in 15 bits.
    pub(crate) query_mantissa: i32,
    /// The softmax scale's exponent, which is added to that of the query's scale.
    pub(crate) query_power: i32,
    /// The conversion of products to scores, without `query_power`.
    pub(crate) factor: ScoreFactor,
}

/// The queries of a group of heads that share keys, by token, then by head.
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
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only sets of x86-64 attend together"))]
impl Queries<'_> {
    pub(crate) fn count(&self) -> usize {
        self.tokens * self.group
    }

    /// The row of a query, which its result replaces.
    pub(crate) fn row(&mut self, index: usize) -> &mut [i32] {
        let start = index / self.group * self.stride + index % self.group * self.width;
        self.rows.get_mut(start..start + self.width).unwrap_or(&mut [])
    }

    /// The range of keys that a query sees, relative to the run's first key.
    pub(crate) fn visible(&self, index: usize) -> Range<usize> {
        (self.visible)(index / self.group)
    }
}
