//! Products over packed 4-bit weights, without unpacking: a weight takes a product and a shift.
//!
//! [`words::packed`] explains factors and shifted words. A tile of 32 weights takes two loads of
//! factors and one of weights: 63 instructions.

use core::arch::naked_asm;

use crate::kernels::table::Weights;
use crate::kernels::words::{self, Factor, OneGroup};

/// Adds the products of the shifted words of four rows with a factor.
macro_rules! products {
    ($factor:literal) => {
        lines!(
            concat!("mla r6, r2, ", $factor, ", r6"),
            concat!("mla r7, r3, ", $factor, ", r7"),
            concat!("mla r8, r4, ", $factor, ", r8"),
            concat!("mla r9, r5, ", $factor, ", r9")
        )
    };
}

/// Shifts the words of four rows to the next weight.
macro_rules! next {
    () => {
        "
          lsrs r2, r2, #4
          lsrs r3, r3, #4
          lsrs r4, r4, #4
          lsrs r5, r5, #4
        "
    };
}

/// A tile: a word of eight columns for each of four rows.
macro_rules! tile {
    () => {
        lines!(
            "ldmia r0!, {r2-r5}",
            "ldmia r1!, {r10-r12, lr}",
            products!("r10"),
            next!(),
            products!("r11"),
            next!(),
            products!("r12"),
            next!(),
            products!("lr"),
            next!(),
            "ldmia r1!, {r10-r12, lr}",
            products!("r10"),
            next!(),
            products!("r11"),
            next!(),
            products!("r12"),
            next!(),
            products!("lr")
        )
    };
}

/// Adds a group of columns of one token to the sums of all rows.
///
/// # Safety
/// `weights`, `factors`, `sums` and `group` are those of a call by [`words::packed`].
#[unsafe(naked)]
unsafe extern "C" fn one_group(weights: *const u8, factors: *const Factor, sums: *mut i32, group: &OneGroup) {
    naked_asm!(
        "
          push {r4-r11, lr}
          ldm r3, {r4-r9}
          // On the stack, the initial registers of a block: factors, four sums, and the entry of
          // the loop, which is unrolled by two and entered halfway if the number of tiles is odd.
          // Then sums, scales, factors_end, bytes to the next block, scale_bytes, sums_end.
          sub sp, #48
          subs r10, r4, r1
          sub r6, r6, r10, lsr #1
          tst r10, #32
          ite eq
          ldreq r10, =2f + 1
          ldrne r10, =3f + 1
          strd r1, r5, [sp]
          strd r5, r5, [sp, #8]
          strd r5, r10, [sp, #16]
          strd r2, r7, [sp, #24]
          strd r4, r6, [sp, #32]
          strd r8, r9, [sp, #40]
        1:
          ldm sp, {r1, r6-r9, pc}
        2:
        ",
        tile!(),
        "3:",
        tile!(),
        "
          ldr r2, [sp, #32]
          cmp r1, r2
          bne 2b
          ldrd r1, r2, [sp, #24]
          ldr r3, [r2]
          ldm r1, {r10-r12, lr}
          uxtb r4, r3
          mla r10, r6, r4, r10
          ubfx r4, r3, #8, #8
          mla r11, r7, r4, r11
          ubfx r4, r3, #16, #8
          mla r12, r8, r4, r12
          lsrs r3, r3, #24
          mla lr, r9, r3, lr
          stmia r1!, {r10-r12, lr}
          ldrd r3, r4, [sp, #36]
          add r0, r3
          add r2, r4
          strd r1, r2, [sp, #24]
          ldr r3, [sp, #44]
          cmp r1, r3
          bne 1b
          add sp, #48
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |weights, factors, sums, group| {
        // SAFETY: these are the arguments that `words::packed` guarantees.
        unsafe { one_group(weights.as_ptr().cast(), factors.as_ptr(), sums.as_mut_ptr(), group) };
    })
}
