//! Macros for text that assembly functions share.

/// Saves the callee-saved registers.
macro_rules! save {
    () => {
        "
          addi sp, sp, -48
          sw s0, 0(sp)
          sw s1, 4(sp)
          sw s2, 8(sp)
          sw s3, 12(sp)
          sw s4, 16(sp)
          sw s5, 20(sp)
          sw s6, 24(sp)
          sw s7, 28(sp)
          sw s8, 32(sp)
          sw s9, 36(sp)
          sw s10, 40(sp)
          sw s11, 44(sp)
        "
    };
}

/// Restores the registers that [`save`] saved, and returns.
macro_rules! restore {
    () => {
        "
          lw s0, 0(sp)
          lw s1, 4(sp)
          lw s2, 8(sp)
          lw s3, 12(sp)
          lw s4, 16(sp)
          lw s5, 20(sp)
          lw s6, 24(sp)
          lw s7, 28(sp)
          lw s8, 32(sp)
          lw s9, 36(sp)
          lw s10, 40(sp)
          lw s11, 44(sp)
          addi sp, sp, 48
          ret
        "
    };
}
