//! The machine's first serial line, a CMSDK UART, with polling instead of interrupts.

use kinglet_examples::Serial;

/// The address of the UART's registers, from the build script's table of machines, and the offsets
/// of its registers in words.
const REGISTERS: *mut u32 = include!(concat!(env!("OUT_DIR"), "/serial.rs")) as *mut u32;
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const DIVISOR: usize = 4;

/// Bits of the state register: the send buffer is full; a byte was received.
const FULL: u32 = 1;
const RECEIVED: u32 = 2;
/// Bits of the control register: enable sending and receiving.
const SWITCHED_ON: u32 = 3;
/// The minimum clock divisor.
const CLOCKS_A_BIT: u32 = 16;

/// The enabled serial line.
pub struct Uart(());

impl Uart {
    /// Enables the line.
    pub fn new() -> Self {
        write(DIVISOR, CLOCKS_A_BIT);
        write(CONTROL, SWITCHED_ON);
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
        while read(STATE) & FULL != 0 {}
        write(DATA, byte.into());
    }

    fn receive(&mut self) -> Option<u8> {
        while read(STATE) & RECEIVED == 0 {}
        Some(read(DATA) as u8)
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: this is a register of the machine, and no other code uses it.
    unsafe { REGISTERS.wrapping_add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: this is a register of the machine, and no other code uses it.
    unsafe { REGISTERS.wrapping_add(register).write_volatile(value) };
}
