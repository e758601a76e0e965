//! Defines arguments that loops of several Cortex-M sets share. They are passed as the address of a
//! structure, in one register.

/// The values of an activation's table beyond its end.
#[repr(C)]
pub(super) struct Beyond {
    /// The index from which on there is no pair of entries.
    pub(super) from: usize,
    /// The last entry, which is added from there on.
    pub(super) value: i32,
}

/// The scaling of a row.
#[cfg(any(not(kinglet_dsp), feature = "mve"))]
#[repr(C)]
pub(super) struct Scaling {
    /// The factor of all values.
    pub(super) factor: i32,
    /// The shift of products: right in sets without vectors; in MVE left, or right if negative.
    pub(super) shift: i32,
}

/// The conversion of scores to weights.
#[cfg(any(all(kinglet_thumb2, not(kinglet_dsp)), feature = "mve"))]
#[repr(C)]
pub(super) struct Powers {
    pub(super) largest: i32,
    pub(super) lowered: u32,
    /// [`EXP2`](crate::kernels::scalar::softmax::EXP2).
    pub(super) table: *const u16,
}

/// The shape of keys or values.
#[cfg(not(kinglet_thumb1))]
#[repr(C)]
pub(super) struct Rows {
    pub(super) count: usize,
    /// Bytes per row.
    pub(super) bytes: usize,
    /// Columns per row, divided by eight.
    pub(super) blocks: usize,
}
