//! Support for programs on emulated cores: measuring the stack, and a panic handler that does not
//! link.

use crate::{Board, number};

/// A stack that was filled with a pattern ("painted") before use.
pub struct Stack {
    end: *const u32,
    start: *const u32,
    paint: u32,
}

impl Stack {
    /// A stack that grows from `start` down to `end`.
    ///
    /// # Safety
    ///
    /// The words from `end` to `start` are readable as long as the program runs.
    pub const unsafe fn new(end: *const u32, start: *const u32, paint: u32) -> Self {
        Self { end, start, paint }
    }

    /// The maximum number of bytes in use: those above the lowest word without the pattern.
    fn used(&self) -> u32 {
        let mut word = self.end;
        // SAFETY: the contract of `new`.
        while word < self.start && unsafe { word.read_volatile() } == self.paint {
            word = word.wrapping_add(1);
        }
        (self.start.addr() - word.addr()) as u32
    }

    /// Prints how much stack an example used, and whether the example failed.
    // Inlined, because otherwise `classify` grows by half a kilobyte on Cortex-M3 through other
    // inlining decisions.
    #[inline(always)]
    pub fn report(&self, board: &mut impl Board, failed: bool) {
        board.print("# bytes of stack: ");
        number(board, self.used());
        board.print("\n");
        if failed {
            board.print("FAILED\n");
        }
    }
}

/// Bytes of stack that are painted before a call.
const PAINTED: usize = 24 * 1024;
/// The pattern.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes at the top of the painted area that `paint` itself may use.
const OWN: usize = 128;

/// Fills the stack below the caller with a pattern, and returns the address of its top.
///
/// # Safety
///
/// The 25 KB below the caller's frame belong to the stack.
#[inline(never)]
pub unsafe fn paint() -> usize {
    let here = 0_u32;
    let top = (&raw const here).cast_mut();
    let mut word = top.wrapping_byte_sub(PAINTED);
    while word < top.wrapping_byte_sub(OWN) {
        // SAFETY: the caller guarantees that this memory belongs to the stack, and no frame uses
        // it.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
    top.expose_provenance()
}

/// The maximum number of bytes below `top` that were in use since [`paint`] returned `top`.
///
/// # Safety
///
/// The contract of [`paint`].
#[inline(never)]
pub unsafe fn painted(top: usize) -> u32 {
    let top = core::ptr::with_exposed_provenance::<u32>(top);
    let mut word = top.wrapping_byte_sub(PAINTED);
    // SAFETY: the caller guarantees that this memory belongs to the stack.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top.addr() - word.addr()) as u32
}

/// Defines a panic handler that calls an undefined function, so a reachable panic is a link error.
#[macro_export]
macro_rules! panics_do_not_link {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                fn kinglet_firmware_can_panic() -> !;
            }
            // SAFETY: a program with this call does not link.
            unsafe { kinglet_firmware_can_panic() }
        }
    };
}
