//! Products of rows, which are weights or keys, with a vector: each load of the vector is
//! multiplied by four rows.

use core::arch::naked_asm;

/// The shape of the rows of [`Product::rows`].
#[repr(C)]
pub(super) struct Rows {
    /// The number of blocks of four rows.
    blocks: usize,
    cols: usize,
}

/// Computes the products of blocks of four rows, loaded by `$load`, with a vector, loaded by
/// `$load_x`.
macro_rules! rows {
    ($lanes:expr, $load_x:expr, $load:expr, $step_x:expr, $step:expr, $product:expr, $scale:expr) => {
        lines!(
            "
              push {r1, r4-r11, lr}
              ldm r3, {r3, r11}
            1:
              ldr r1, [sp]
              mov r9, r0
            ",
            concat!("add r5, r0, r11, lsl #", $scale),
            concat!("add r6, r5, r11, lsl #", $scale),
            concat!("add r7, r6, r11, lsl #", $scale),
            "
              movs r4, #0
              mov r8, r4
              mov r10, r4
              mov r12, r4
            ",
            concat!("dlstp.", $lanes, " lr, r11"),
            "2:",
            concat!($load_x, " q0, [r1], #", $step_x),
            concat!($load, " q1, [r0], #", $step),
            concat!($load, " q2, [r5], #", $step),
            concat!($product, " r4, q0, q1"),
            concat!($load, " q1, [r6], #", $step),
            concat!($product, " r8, q0, q2"),
            concat!($load, " q2, [r7], #", $step),
            concat!($product, " r10, q0, q1"),
            concat!($product, " r12, q0, q2"),
            "
              letp lr, 2b
              stmia r2!, {r4, r8, r10, r12}
            ",
            concat!("add r0, r9, r11, lsl #(", $scale, " + 2)"),
            "
              subs r3, r3, #1
              bne 1b
              add sp, #4
              pop {r4-r11, pc}
            "
        )
    };
}

/// Computes the product of a row with a vector.
macro_rules! dot {
    ($lanes:expr, $load_x:expr, $load:expr, $step_x:expr, $step:expr, $product:expr) => {
        lines!(
            "
              push {r4, lr}
              mov r12, #0
            ",
            concat!("wlstp.", $lanes, " lr, r2, 2f"),
            "1:",
            concat!($load_x, " q0, [r1], #", $step_x),
            concat!($load, " q1, [r0], #", $step),
            concat!($product, " r12, q0, q1"),
            "
              letp lr, 1b
            2:
              mov r0, r12
              pop {r4, pc}
            "
        )
    };
}

/// Computes the products of 8-bit rows with an 8-bit vector.
///
/// # Safety
/// `rows` has `4 * blocks * cols` values, `x` has `cols`, and `out` has room for `4 * blocks` sums.
/// Neither `blocks` nor `cols` is 0.
#[unsafe(naked)]
unsafe extern "C" fn rows8(rows: *const i8, x: *const i8, out: *mut i32, shape: &Rows) {
    naked_asm!(cpu!(), rows!("8", "vldrb.u8", "vldrb.u8", "16", "16", "vmladava.s8", "0"), options(raw))
}

/// Computes the products of 8-bit rows with a 16-bit vector.
///
/// # Safety
/// The contract of [`rows8`].
#[unsafe(naked)]
unsafe extern "C" fn rows16(rows: *const i8, x: *const i16, out: *mut i32, shape: &Rows) {
    naked_asm!(cpu!(), rows!("16", "vldrh.u16", "vldrb.s16", "16", "8", "vmladava.s16", "0"), options(raw))
}

/// Computes the products of 16-bit rows with a 16-bit vector.
///
/// # Safety
/// The contract of [`rows8`].
#[unsafe(naked)]
unsafe extern "C" fn keys16(rows: *const i16, x: *const i16, out: *mut i32, shape: &Rows) {
    naked_asm!(cpu!(), rows!("16", "vldrh.u16", "vldrh.u16", "16", "16", "vmladava.s16", "1"), options(raw))
}

/// Computes the product of an 8-bit row with an 8-bit vector.
///
/// # Safety
/// `row` and `x` have `cols` values.
#[unsafe(naked)]
unsafe extern "C" fn dot8(row: *const i8, x: *const i8, cols: usize) -> i32 {
    naked_asm!(cpu!(), dot!("8", "vldrb.u8", "vldrb.u8", "16", "16", "vmladava.s8"), options(raw))
}

/// Computes the product of an 8-bit row with a 16-bit vector.
///
/// # Safety
/// `row` and `x` have `cols` values.
#[unsafe(naked)]
unsafe extern "C" fn dot16(row: *const i8, x: *const i16, cols: usize) -> i32 {
    naked_asm!(cpu!(), dot!("16", "vldrh.u16", "vldrb.s16", "16", "8", "vmladava.s16"), options(raw))
}

/// Computes the product of a 16-bit row with a 16-bit vector.
///
/// # Safety
/// `row` and `x` have `cols` values.
#[unsafe(naked)]
unsafe extern "C" fn dot_key16(row: *const i16, x: *const i16, cols: usize) -> i32 {
    naked_asm!(cpu!(), dot!("16", "vldrh.u16", "vldrh.u16", "16", "16", "vmladava.s16"), options(raw))
}

/// Rows per block.
pub(super) const BLOCK: usize = 4;

/// The loops that multiply blocks of rows, and single rows, by a vector.
pub(super) struct Product<X, W> {
    rows: unsafe extern "C" fn(*const W, *const X, *mut i32, &Rows),
    dot: unsafe extern "C" fn(*const W, *const X, usize) -> i32,
}

/// 8-bit rows and an 8-bit vector.
pub(super) const BYTES: Product<i8, i8> = Product { rows: rows8, dot: dot8 };
/// 8-bit rows and a 16-bit vector.
pub(super) const BYTES_BY_16: Product<i16, i8> = Product { rows: rows16, dot: dot16 };
/// 16-bit rows and a 16-bit vector.
pub(super) const HALFWORDS: Product<i16, i16> = Product { rows: keys16, dot: dot_key16 };

impl<X, W> Product<X, W> {
    /// `out[row] = rows[row] . x`, for as many rows as both slices have.
    #[inline(always)]
    pub(super) fn run(&self, out: &mut [i32], x: &[X], rows: &[W]) {
        let cols = x.len();
        let count = out.len().min(rows.len() / cols.max(1));
        let blocks = count / BLOCK;
        if blocks > 0 && cols > 0 {
            // SAFETY: it reads `x` and `4 * blocks` rows of its length, and writes as many
            // sums: the slices have these.
            unsafe { (self.rows)(rows.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &Rows { blocks, cols }) };
        }
        if count.is_multiple_of(BLOCK) {
            return;
        }
        for (out, row) in out.iter_mut().zip(rows.chunks_exact(cols.max(1))).skip(BLOCK * blocks) {
            // SAFETY: it reads `x` and a row of its length.
            *out = unsafe { (self.dot)(row.as_ptr(), x.as_ptr(), cols) };
        }
    }
}
