//! What programs on emulated cores have in common: they say how much stack they used, and do not
//! link when they can panic.

use crate::{Board, number};

/// A stack that was filled with a pattern before it was used.
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
    /// The words from `end` to `start` can be read as long as the program runs.
    pub const unsafe fn new(end: *const u32, start: *const u32, paint: u32) -> Self {
        Self { end, start, paint }
    }

    /// The most bytes that were in use: those above the last word that still has the pattern.
    fn used(&self) -> u32 {
        let mut word = self.end;
        // SAFETY: whoever made this says that these words can be read.
        while word < self.start && unsafe { word.read_volatile() } == self.paint {
            word = word.wrapping_add(1);
        }
        (self.start.addr() - word.addr()) as u32
    }

    /// Prints how much of it an example used, and whether the example failed.
    // As a function of its own it would make `classify` half a kilobyte larger on Cortex-M3: the
    // compiler then inlines otherwise.
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

/// Bytes of stack that are painted for a call.
const PAINTED: usize = 24 * 1024;
/// What they are filled with.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes below the function that paints, which it may need itself.
const OWN: usize = 128;

/// Fills the stack below the caller, and says where that begins.
///
/// # Safety
///
/// 25 KB below the caller are the stack's.
#[inline(never)]
pub unsafe fn paint() -> usize {
    let here = 0_u32;
    let top = (&raw const here).cast_mut();
    let mut word = top.wrapping_byte_sub(PAINTED);
    while word < top.wrapping_byte_sub(OWN) {
        // SAFETY: the caller says that this memory is the stack's, and no function is using it.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
    top.expose_provenance()
}

/// The most bytes below `top`, which [`paint`] returned, that were in use since.
///
/// # Safety
///
/// As [`paint`].
#[inline(never)]
pub unsafe fn painted(top: usize) -> u32 {
    let top = core::ptr::with_exposed_provenance::<u32>(top);
    let mut word = top.wrapping_byte_sub(PAINTED);
    // SAFETY: the caller says that this memory is the stack's.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top.addr() - word.addr()) as u32
}

/// A panic that can be reached does not link: its handler calls a function that is nowhere.
#[macro_export]
macro_rules! panics_do_not_link {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                fn kinglet_firmware_can_panic() -> !;
            }
            // SAFETY: never linked, so never called.
            unsafe { kinglet_firmware_can_panic() }
        }
    };
}
