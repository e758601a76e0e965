//! The machine's serial line, an NS16550, with polling instead of interrupts.

use kinglet_examples::Serial;

/// The address of the UART's registers, and their offsets in bytes.
const REGISTERS: *mut u8 = 0x1000_0000 as *mut u8;
const DATA: usize = 0;
const STATE: usize = 5;

/// Bits of the state register: a byte was received; the send buffer is empty.
const RECEIVED: u8 = 1;
const EMPTY: u8 = 1 << 5;

/// The serial line, which is enabled when the machine starts.
pub struct Uart(());

impl Uart {
    /// The serial line.
    pub fn new() -> Self {
        Self(())
    }
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Serial for Uart {
    fn send(&mut self, byte: u8) {
        while read(STATE) & EMPTY == 0 {}
        // SAFETY: this is a register of the machine, and no other code uses it.
        unsafe { REGISTERS.wrapping_add(DATA).write_volatile(byte) };
    }

    fn receive(&mut self) -> Option<u8> {
        while read(STATE) & RECEIVED == 0 {}
        Some(read(DATA))
    }
}

fn read(register: usize) -> u8 {
    // SAFETY: this is a register of the machine, and no other code uses it.
    unsafe { REGISTERS.wrapping_add(register).read_volatile() }
}
