//! The cache of one layer's keys and values, and where a position lies in it.

use core::ops::Range;

use crate::error::RunError;
use crate::fixed::Scale;
use crate::format::spec::{KeyWidth, StackSpec};
use crate::workspace::Carver;

/// One layer's keys and values, `[kv_heads, slots, head_dim]`, with the bits of a [`Scale`] for
/// each token and head.
pub(crate) struct KeyValueCache<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) values: &'a mut [i8],
    /// `[kv_heads, slots]`.
    pub(crate) key_scales: &'a mut [u16],
    /// `[kv_heads, slots]`.
    pub(crate) value_scales: &'a mut [u16],
    /// Tokens that fit; the token at position `p` is in slot `p % slots`.
    pub(crate) slots: usize,
}

/// Keys at either width.
pub(crate) enum Keys<'a> {
    K8(&'a mut [i8]),
    K16(&'a mut [i16]),
}

impl Keys<'_> {
    /// Bits that a key has besides its sign.
    pub(crate) fn bits(&self) -> u32 {
        match self {
            Self::K8(_) => 7,
            Self::K16(_) => 15,
        }
    }
}

impl<'a> KeyValueCache<'a> {
    /// Cuts a region into the buffers of a layer, for `slots` tokens.
    pub(crate) fn new(
        region: &'a mut [u8],
        stack: &StackSpec,
        width: KeyWidth,
        slots: usize,
    ) -> Result<Self, RunError> {
        let attention = &stack.block.attention;
        let values = attention.key_value_size() * slots;
        let scales = attention.num_key_value_heads as usize * slots * Scale::BYTES;
        let mut carver = Carver { rest: region };
        Ok(Self {
            keys: match width {
                KeyWidth::K8 => Keys::K8(carver.take(values)?),
                KeyWidth::K16 => Keys::K16(carver.take(2 * values)?),
            },
            values: carver.take(values)?,
            key_scales: carver.take(scales)?,
            value_scales: carver.take(scales)?,
            slots,
        })
    }

    /// Copies the tokens at `positions` from `other`.
    #[cfg(feature = "std")]
    pub(crate) fn copy_from(&mut self, other: &KeyValueCache<'_>, positions: Range<usize>) {
        let head_dim = self.values.len() / self.value_scales.len().max(1);
        for head in 0..self.value_scales.len() / self.slots.max(1) {
            for position in positions.clone() {
                let to = head * self.slots + position % self.slots;
                let from = head * other.slots + position % other.slots;
                let (to_row, from_row) = (to * head_dim..(to + 1) * head_dim, from * head_dim..(from + 1) * head_dim);
                self.key_scales[to] = other.key_scales[from];
                self.value_scales[to] = other.value_scales[from];
                self.values[to_row.clone()].copy_from_slice(&other.values[from_row.clone()]);
                match (&mut self.keys, &other.keys) {
                    (Keys::K8(keys), Keys::K8(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    (Keys::K16(keys), Keys::K16(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    _ => {}
                }
            }
        }
    }
}

/// The runs of slots that hold a range of positions of one head: the second is empty unless the
/// ring wraps.
pub(crate) fn slots(head: usize, positions: &Range<usize>, slots: usize) -> [Range<usize>; 2] {
    let (base, len) = (head * slots, positions.len().min(slots));
    let start = positions.start % slots.max(1);
    let first = len.min(slots - start);
    [base + start..base + start + first, base..base + len - first]
}

/// The `head_dim`-wide rows of some slots.
pub(crate) fn rows<'a, T>(all: &'a [T], slots: &Range<usize>, head_dim: usize) -> &'a [T] {
    all.get(slots.start * head_dim..slots.end * head_dim).unwrap_or(&[])
}
