//! Reorders activations to the column order of a tile.

use core::arch::naked_asm;

/// Label 9: the offsets of the columns of four tiles, `$bytes` bytes each.
macro_rules! order {
    ($bytes:literal) => {
        lines!(
            ".balign 4",
            "9:",
            ".irp column, 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15",
            concat!(r".byte \column * ", $bytes),
            ".endr"
        )
    };
}

/// Reorders bytes to the column order of a tile.
///
/// # Safety
/// `x` has `count` values, a multiple of four, and `out` has room for them.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn order8(out: *mut i8, x: *const i8, count: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          adr r3, 9f
          vldrb.u8 q1, [r3]
          wlstp.8 lr, r2, 2f
        1:
          vldrb.u8 q0, [r1, q1]
          vstrb.8 q0, [r0], #16
          adds r1, #16
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        order!(1),
        options(raw)
    )
}

/// Reorders values to the column order of a tile, split into low and high bytes. Returns the largest
/// high byte.
///
/// # Safety
/// `x` has `count` values, a multiple of four, and `lower` and `upper` have room for them.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn order16(lower: *mut i8, x: *const i16, count: usize, upper: *mut i8) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
          adr r4, 9f
          vldrb.u8 q2, [r4]
          mov r12, #-128
          adds r4, r1, #1
          wlstp.8 lr, r2, 2f
        1:
          vldrb.u8 q1, [r4, q2]
          vldrb.u8 q0, [r1, q2]
          vmaxv.s8 r12, q1
          vstrb.8 q0, [r0], #16
          vshr.s8 q0, q0, #7
          adds r1, #32
          vqsub.s8 q1, q1, q0
          adds r4, #32
          vstrb.8 q1, [r3], #16
          letp lr, 1b
        2:
          sxtb r0, r12
          pop {r4, pc}
        ",
        order!(2),
        options(raw)
    )
}
