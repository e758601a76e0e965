//! Caches one layer's keys and values in a ring of slots.
//!
//! The cache of a short convolution holds products instead: rows of keys of one head, without
//! values.

use core::ops::Range;

use bytemuck::{Pod, try_cast_slice};

use crate::error::RunError;
use crate::features;
use crate::fixed::Scale;
use crate::format::prefix;
use crate::format::spec::{KeyWidth, StackSpec};
use crate::workspace::Carver;

/// One layer's keys and values, `[kv_heads, slots, head_dim]`, and the bits of a [`Scale`] for each
/// head and slot.
pub(crate) struct KeyValueCache<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) values: &'a mut [i8],
    /// `[kv_heads, slots]`.
    pub(crate) key_scales: &'a mut [u16],
    /// `[kv_heads, slots]`.
    pub(crate) value_scales: &'a mut [u16],
    /// The capacity in tokens; the token at position `first + n` is in slot `n % slots`.
    pub(crate) slots: usize,
    /// The first position that is stored here: the length of the prefix.
    pub(crate) first: usize,
    /// The prefix, which holds the positions before `first`.
    pub(crate) prefix: Option<&'a Prefixed<'a>>,
}

/// Keys of 8 or 16 bits.
pub(crate) enum Keys<'a> {
    K8(&'a mut [i8]),
    K16(&'a mut [i16]),
}

impl Keys<'_> {
    /// The bits of a key besides the sign.
    pub(crate) fn bits(&self) -> u32 {
        match self {
            Self::K8(_) => 7,
            Self::K16(_) => 15,
        }
    }
}

/// One layer's keys and values of a prefix, read-only, in the format of a cache.
pub(crate) struct Prefixed<'a> {
    run: Run<'a>,
    slots: usize,
}

impl<'a> Prefixed<'a> {
    /// Splits the bytes of a decoder's layer in a prefix of `tokens` tokens.
    #[inline(always)]
    pub(crate) fn of_layer(bytes: &'a [u8], stack: &StackSpec, layer: usize, width: KeyWidth, tokens: usize) -> Self {
        let slots = prefix::slots(stack, layer, tokens);
        if stack.short_convolution(layer).is_none() {
            return Self::new(bytes, stack, width, slots);
        }
        let mut rest = bytes;
        let keys = KeyRows::K16(cut(&mut rest, 2 * stack.hidden_size as usize * slots));
        Self { run: Run { keys, key_scales: cut(&mut rest, Scale::BYTES * slots), ..Run::default() }, slots }
    }

    /// Splits the bytes of a layer with `slots` slots per head. Empty if there are too few bytes.
    pub(crate) fn new(bytes: &'a [u8], stack: &StackSpec, width: KeyWidth, slots: usize) -> Self {
        let attention = &stack.block.attention;
        let values = attention.key_value_size() * slots;
        let scales = attention.num_key_value_heads as usize * slots * Scale::BYTES;
        let mut rest = bytes;
        let keys = match width {
            KeyWidth::K8 => KeyRows::K8(cut(&mut rest, values)),
            KeyWidth::K16 => KeyRows::K16(cut(&mut rest, 2 * values)),
        };
        let values = cut(&mut rest, values);
        Self {
            run: Run { keys, values, key_scales: cut(&mut rest, scales), value_scales: cut(&mut rest, scales) },
            slots,
        }
    }
}

/// Splits `bytes` bytes off the front of `rest`, as numbers.
fn cut<'a, T: Pod>(rest: &mut &'a [u8], bytes: usize) -> &'a [T] {
    let (taken, after) = rest.split_at_checked(bytes).unwrap_or((&[], &[]));
    *rest = after;
    try_cast_slice(taken).unwrap_or(&[])
}

/// The part of a cache in consecutive slots.
#[derive(Clone, Copy, Default)]
pub(crate) struct Run<'a> {
    pub(crate) keys: KeyRows<'a>,
    pub(crate) key_scales: &'a [u16],
    pub(crate) values: &'a [i8],
    pub(crate) value_scales: &'a [u16],
}

/// Rows of 8-bit or 16-bit keys.
#[derive(Clone, Copy)]
pub(crate) enum KeyRows<'a> {
    K8(&'a [i8]),
    K16(&'a [i16]),
}

impl Default for KeyRows<'_> {
    fn default() -> Self {
        Self::K8(&[])
    }
}

impl<'a> Run<'a> {
    #[inline(never)]
    pub(crate) fn new(cache: &'a KeyValueCache<'_>, slots: &Range<usize>, head_dim: usize) -> Self {
        Self {
            keys: match &cache.keys {
                Keys::K8(keys) => KeyRows::K8(rows(keys, slots, head_dim)),
                Keys::K16(keys) => KeyRows::K16(rows(keys, slots, head_dim)),
            },
            key_scales: cache.key_scales.get(slots.clone()).unwrap_or(&[]),
            values: rows(cache.values, slots, head_dim),
            value_scales: cache.value_scales.get(slots.clone()).unwrap_or(&[]),
        }
    }

    /// The part of this run in a range of slots.
    #[inline(never)]
    fn part(&self, slots: &Range<usize>, head_dim: usize) -> Self {
        Self {
            keys: match &self.keys {
                KeyRows::K8(keys) => KeyRows::K8(rows(keys, slots, head_dim)),
                KeyRows::K16(keys) => KeyRows::K16(rows(keys, slots, head_dim)),
            },
            key_scales: self.key_scales.get(slots.clone()).unwrap_or(&[]),
            values: rows(self.values, slots, head_dim),
            value_scales: self.value_scales.get(slots.clone()).unwrap_or(&[]),
        }
    }
}

impl<'a> KeyValueCache<'a> {
    /// Carves the buffers of a layer, for `slots` tokens, out of a region.
    pub(crate) fn new(
        region: &'a mut [u8],
        stack: &StackSpec,
        width: KeyWidth,
        slots: usize,
    ) -> Result<Self, RunError> {
        let heads = stack.cached_heads();
        let values = heads * stack.block.attention.head_dim as usize * slots;
        let scales = heads * slots * Scale::BYTES;
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
            first: 0,
            prefix: None,
        })
    }

    /// Carves the buffers of a decoder's layer, for `slots` tokens, out of a region.
    #[inline(always)]
    pub(crate) fn of_layer(
        region: &'a mut [u8],
        stack: &StackSpec,
        layer: usize,
        width: KeyWidth,
        slots: usize,
    ) -> Result<Self, RunError> {
        if stack.short_convolution(layer).is_none() {
            return Self::new(region, stack, width, slots);
        }
        let mut carver = Carver { rest: region };
        Ok(Self {
            keys: Keys::K16(carver.take(2 * stack.hidden_size as usize * slots)?),
            values: &mut [],
            key_scales: carver.take(Scale::BYTES * slots)?,
            value_scales: &mut [],
            slots,
            first: 0,
            prefix: None,
        })
    }

    /// The product of key and value at a position, a row of `width` numbers, and its scale; `None`
    /// if the cache does not hold it.
    pub(crate) fn product(&self, position: usize, width: usize) -> Option<(&[i16], Scale)> {
        let (rows, scales, slot) = match (&self.keys, self.prefix) {
            (_, Some(Prefixed { run: Run { keys: KeyRows::K16(rows), key_scales, .. }, slots }))
                if position < self.first =>
            {
                // The prefix has its last products.
                (*rows, *key_scales, (position + slots).checked_sub(self.first)?)
            }
            (Keys::K16(rows), _) => (&**rows, &*self.key_scales, self.slot(position)),
            _ => return None,
        };
        let row = rows.get(slot * width..(slot + 1) * width)?;
        Some((row, Scale::from_bits(*scales.get(slot)?)))
    }

    /// The number of all keys.
    pub(crate) fn key_count(&self) -> usize {
        match &self.keys {
            // Without short convolutions there are as many values.
            _ if !features::SHORT_CONVOLUTIONS => self.values.len(),
            Keys::K8(keys) => keys.len(),
            Keys::K16(keys) => keys.len(),
        }
    }

    /// The part of the cache for the heads from `head` on.
    pub(crate) fn heads_from(&mut self, head: usize, head_dim: usize) -> KeyValueCache<'_> {
        let first = head * self.slots;
        KeyValueCache {
            keys: match &mut self.keys {
                Keys::K8(keys) => Keys::K8(keys.get_mut(first * head_dim..).unwrap_or(&mut [])),
                Keys::K16(keys) => Keys::K16(keys.get_mut(first * head_dim..).unwrap_or(&mut [])),
            },
            values: self.values.get_mut(first * head_dim..).unwrap_or(&mut []),
            key_scales: self.key_scales.get_mut(first..).unwrap_or(&mut []),
            value_scales: self.value_scales.get_mut(first..).unwrap_or(&mut []),
            ..*self
        }
    }

    /// The slot of a position, which must not be in the prefix.
    pub(crate) fn slot(&self, position: usize) -> usize {
        position.wrapping_sub(self.first) % self.slots.max(1)
    }

    /// The slots of one head that hold a range of positions, as two runs. The second is empty
    /// unless the ring wraps or the range begins in the prefix, whose slots are then the first run.
    /// A range that begins in the prefix does not wrap.
    #[inline(always)]
    pub(crate) fn slots(&self, head: usize, positions: &Range<usize>) -> [Range<usize>; 2] {
        if positions.start < self.first {
            return self.slots_from_prefix(head, positions);
        }
        slots(head, &(positions.start - self.first..positions.end - self.first), self.slots)
    }

    #[cold]
    #[inline(never)]
    fn slots_from_prefix(&self, head: usize, positions: &Range<usize>) -> [Range<usize>; 2] {
        let base = head * self.prefix.map_or(0, |prefix| prefix.slots);
        let before = base + positions.start..base + positions.end.min(self.first);
        let base = head * self.slots;
        [before, base..base + positions.end.saturating_sub(self.first).min(self.slots)]
    }

    /// The keys and values of a range of positions in its first run of slots.
    #[inline(always)]
    pub(crate) fn near(&'a self, positions: &Range<usize>, slots: &Range<usize>, head_dim: usize) -> Run<'a> {
        match self.prefix {
            Some(prefix) if positions.start < self.first => prefix.run.part(slots, head_dim),
            _ => Run::new(self, slots, head_dim),
        }
    }

    /// Copies the tokens at `positions` from `other`.
    #[cfg(feature = "alloc")]
    pub(crate) fn copy_from(&mut self, other: &KeyValueCache<'_>, positions: Range<usize>) {
        let head_dim = self.key_count() / self.key_scales.len().max(1);
        let has_values = !self.values.is_empty();
        for head in 0..self.key_scales.len() / self.slots.max(1) {
            for position in positions.clone() {
                let to = head * self.slots + self.slot(position);
                let from = head * other.slots + other.slot(position);
                let (to_row, from_row) = (to * head_dim..(to + 1) * head_dim, from * head_dim..(from + 1) * head_dim);
                self.key_scales[to] = other.key_scales[from];
                if has_values {
                    self.value_scales[to] = other.value_scales[from];
                    self.values[to_row.clone()].copy_from_slice(&other.values[from_row.clone()]);
                }
                match (&mut self.keys, &other.keys) {
                    (Keys::K8(keys), Keys::K8(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    (Keys::K16(keys), Keys::K16(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    _ => {}
                }
            }
        }
    }
}

/// The slots of one head that hold a range of positions in a ring, as two runs. The second is empty
/// unless the ring wraps.
pub(crate) fn slots(head: usize, positions: &Range<usize>, slots: usize) -> [Range<usize>; 2] {
    let (base, len) = (head * slots, positions.len().min(slots));
    let start = positions.start % slots.max(1);
    let first = len.min(slots - start);
    [base + start..base + start + first, base..base + len - first]
}

/// The rows, `head_dim` wide, of a range of slots.
pub(crate) fn rows<'a, T>(all: &'a [T], slots: &Range<usize>, head_dim: usize) -> &'a [T] {
    all.get(slots.start * head_dim..slots.end * head_dim).unwrap_or(&[])
}
