//! Activation functions.

use core::arch::naked_asm;

use crate::kernels::{scalar, words};

/// Rectifies all values. Beyond the table, from index `beyond` on, adds `last`.
///
/// # Safety
/// `values` ends at `end`, and has at least one value; `table` has `beyond + 1` entries.
#[unsafe(naked)]
unsafe extern "C" fn rectify_loop(values: *mut i32, end: *const i32, table: *const i16, beyond: usize, last: i32) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        "
          lui a7, 0x80000
          not a7, a7
        1:
          lw t0, 0(a0)
          srai t1, t0, 31
          xor t2, t0, t1
          sub t2, t2, t1
          not t1, t1
          and t0, t0, t1
          srli t1, t2, 10
          bgeu t1, a3, 3f
          slli t1, t1, 1
          add t1, t1, a2
          lh t3, 0(t1)
          lh t1, 2(t1)
          andi t2, t2, 1023
          sub t1, t1, t3
          mul t1, t1, t2
          add t0, t0, t3
          srai t1, t1, 10
          add t0, t0, t1
        2:
          sw t0, 0(a0)
          addi a0, a0, 4
          bne a0, a1, 1b
          ret
        3:
          // t0 is not negative, so the sum can only overflow upward.
          add t1, t0, a4
          slti t2, a4, 0
          slt t3, t1, t0
          mv t0, t1
          beq t2, t3, 2b
          mv t0, a7
          j 2b
        ",
        ".option pop",
        options(raw)
    )
}

/// See [`Kernels::rectify`](crate::kernels::Kernels::rectify).
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((from, value)) = words::last_entry(values, table) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let range = values.as_mut_ptr_range();
    // SAFETY: it reads and writes all values, at least one, and reads pairs of entries, of which
    // the first is not the table's last entry.
    unsafe { rectify_loop(range.start, range.end, table.as_ptr(), from, value) };
}
