//! Computes the high half of a product with the one instruction that a core has for it.
//!
//! The compiler misses that instruction if one factor is constant in a loop: it then extends that
//! factor to 64 bits and multiplies three times.
#![allow(unsafe_code)]

/// `floor(a * b / 2^32)`.
#[inline(always)]
#[cfg(kinglet_smmul)]
pub(crate) fn mul_high(a: i32, b: i32) -> i32 {
    let high;
    // SAFETY: it computes, and nothing else.
    unsafe {
        core::arch::asm!("smmul {}, {}, {}", lateout(reg) high, in(reg) a, in(reg) b, options(pure, nomem, nostack, preserves_flags))
    };
    high
}

/// `floor(a * b / 2^32)`.
#[inline(always)]
#[cfg(all(kinglet_thumb2, not(kinglet_smmul)))]
pub(crate) fn mul_high(a: i32, b: i32) -> i32 {
    let high;
    // SAFETY: it computes, and nothing else.
    unsafe {
        core::arch::asm!("smull {}, {}, {}, {}", out(reg) _, lateout(reg) high, in(reg) a, in(reg) b, options(pure, nomem, nostack, preserves_flags))
    };
    high
}

/// `floor(a * b / 2^32)`.
#[inline(always)]
#[cfg(all(target_arch = "riscv32", target_feature = "m"))]
pub(crate) fn mul_high(a: i32, b: i32) -> i32 {
    let high;
    // SAFETY: it computes, and nothing else.
    unsafe {
        core::arch::asm!("mulh {}, {}, {}", lateout(reg) high, in(reg) a, in(reg) b, options(pure, nomem, nostack, preserves_flags))
    };
    high
}

/// `floor(a * b / 2^32)`.
#[inline(always)]
#[cfg(not(any(kinglet_thumb2, kinglet_thumb1, all(target_arch = "riscv32", target_feature = "m"))))]
pub(crate) fn mul_high(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

/// `floor(a * b / 2^32)` from four 16-bit products (Warren, Hacker's Delight, 8-2). A core without
/// a long multiply would otherwise call a function that computes all 64 bits.
#[cfg_attr(kinglet_thumb1, inline(always))]
#[cfg(any(kinglet_thumb1, test))]
pub(crate) fn mul_high_by_parts(a: i32, b: i32) -> i32 {
    let (a_low, a_high) = (a & 0xffff, a >> 16);
    let (b_low, b_high) = (b & 0xffff, b >> 16);
    let low = (a_low as u32).wrapping_mul(b_low as u32);
    let middle = a_high * b_low + (low >> 16) as i32;
    let other = a_low * b_high + (middle & 0xffff);
    a_high * b_high + (middle >> 16) + (other >> 16)
}

#[cfg(kinglet_thumb1)]
pub(crate) use mul_high_by_parts as mul_high;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_whole() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            match state >> 62 {
                0 => [i32::MIN, i32::MAX, -1, 0, 1, 0xffff, -0x10000, 0x10000][(state >> 40 & 7) as usize],
                _ => (state >> 20) as i32,
            }
        };
        for _ in 0..100_000 {
            let (a, b) = (next(), next());
            let exact = ((i64::from(a) * i64::from(b)) >> 32) as i32;
            assert_eq!((mul_high_by_parts(a, b), mul_high(a, b)), (exact, exact), "{a} * {b}");
        }
    }
}
