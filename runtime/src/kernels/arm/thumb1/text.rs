//! Macros for text that assembly functions share.

/// Saves the callee-saved registers.
macro_rules! save {
    () => {
        "
          push {r4-r7, lr}
          mov r4, r8
          mov r5, r9
          mov r6, r10
          mov r7, r11
          push {r4-r7}
        "
    };
}

/// Restores the registers that [`save`] saved, and returns.
macro_rules! restore {
    () => {
        "
          pop {r4-r7}
          mov r8, r4
          mov r9, r5
          mov r10, r6
          mov r11, r7
          pop {r4-r7, pc}
        "
    };
}

/// Adds to `$sum` the product of r5 and the value that `$load` reads at `$from` plus r4.
macro_rules! product {
    ($load:expr, $from:literal, $sum:literal) => {
        lines!(concat!($load, " r6, [", $from, ", r4]"), "muls r6, r5", concat!("add ", $sum, ", r6"))
    };
}

/// Adds to r8 to r11 the products of r5 and the values at r0 to r3, each plus r4.
macro_rules! four_products {
    ($load:expr) => {
        lines!(
            product!($load, "r0", "r8"),
            product!($load, "r1", "r9"),
            product!($load, "r2", "r10"),
            product!($load, "r3", "r11")
        )
    };
}

/// Clears four sums.
macro_rules! no_sums {
    () => {
        "
          movs r5, #0
          mov r8, r5
          mov r9, r5
          mov r10, r5
          mov r11, r5
        "
    };
}

/// Loads four sums from the address stored on the stack at `$at`.
macro_rules! load_sums {
    ($at:expr) => {
        lines!(
            concat!("ldr r7, [sp, #", $at, "]"),
            "
              ldmia r7!, {r5, r6}
              mov r8, r5
              mov r9, r6
              ldmia r7!, {r5, r6}
              mov r10, r5
              mov r11, r6
            "
        )
    };
}

/// Stores four sums at the address stored on the stack at `$at`, and advances it. Leaves the new
/// address in r7, too.
macro_rules! store_sums {
    ($at:expr) => {
        lines!(
            concat!("ldr r7, [sp, #", $at, "]"),
            "
              mov r5, r8
              mov r6, r9
              stmia r7!, {r5, r6}
              mov r5, r10
              mov r6, r11
              stmia r7!, {r5, r6}
            ",
            concat!("str r7, [sp, #", $at, "]")
        )
    };
}
