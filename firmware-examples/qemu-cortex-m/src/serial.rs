//! The first serial line of the machine, a CMSDK UART: bytes are waited for, without interrupts.

use kinglet_examples::Serial;

/// Where its registers are, as the build script knows it of the machine: data, state, control, and
/// the divisor of the clock.
const REGISTERS: *mut u32 = include!(concat!(env!("OUT_DIR"), "/serial.rs")) as *mut u32;
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const DIVISOR: usize = 4;

/// Bits of the state: there is no room for another byte, and there is a byte.
const FULL: u32 = 1;
const RECEIVED: u32 = 2;
/// Bits of the control: send and receive.
const SWITCHED_ON: u32 = 3;
/// The least that it takes.
const CLOCKS_A_BIT: u32 = 16;

/// The line, switched on.
pub struct Uart(());

impl Uart {
    /// Switches it on.
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
    // SAFETY: a register of the machine, which nobody else uses.
    unsafe { REGISTERS.wrapping_add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: a register of the machine, which nobody else uses.
    unsafe { REGISTERS.wrapping_add(register).write_volatile(value) };
}
