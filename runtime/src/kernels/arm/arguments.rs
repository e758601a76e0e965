//! What loops of several Cortex-M sets take besides pointers and a count: in one register, as the
//! address of a structure.

/// What a table of an activation says beyond its entries.
#[repr(C)]
pub(super) struct Beyond {
    /// The index from which on there is no pair of entries.
    pub(super) from: usize,
    /// What is added there: the last entry.
    pub(super) value: i32,
}

/// How a row is scaled.
#[cfg(any(not(kinglet_dsp), feature = "mve"))]
#[repr(C)]
pub(super) struct Scaling {
    /// What values are multiplied by.
    pub(super) factor: i32,
    /// By how much products are shifted: to the right without vectors, and with them to the left,
    /// or to the right if it is negative.
    pub(super) shift: i32,
}

/// How scores become weights.
#[cfg(any(all(kinglet_thumb2, not(kinglet_dsp)), feature = "mve"))]
#[repr(C)]
pub(super) struct Powers {
    pub(super) largest: i32,
    pub(super) lowered: u32,
    /// [`EXP2`](crate::kernels::scalar::softmax::EXP2).
    pub(super) table: *const u16,
}

/// Rows of keys or values.
#[cfg(not(kinglet_thumb1))]
#[repr(C)]
pub(super) struct Rows {
    pub(super) count: usize,
    /// Bytes of a row.
    pub(super) bytes: usize,
    /// Columns of a row, over eight.
    pub(super) blocks: usize,
}
