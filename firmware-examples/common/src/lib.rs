//! The examples, shared by all boards and the host. Most modules are one example, with the size of
//! its `ARENA` and a function `run`.
//!
//! Output lines that begin with `#` are measurements and differ between cores; all other lines are
//! equal everywhere.
#![no_std]

mod accuracy;
mod emulated;
pub mod flash;
mod lines;
pub mod models;
pub mod slots;
mod text;

#[cfg(feature = "command")]
pub mod accuracy_commands;
pub mod accuracy_intents;
pub mod assistant;
pub mod bench;
pub mod calls;
pub mod chat;
pub mod checkpoint;
pub mod classify;
#[cfg(feature = "command")]
pub mod command;
pub mod edges;
pub mod fill_mask;
pub mod generate;
#[cfg(feature = "bench")]
pub mod kernels;
pub mod score;
pub mod search;
#[cfg(feature = "cores")]
pub mod second;
pub mod self_test;
#[cfg(feature = "command")]
pub mod steps;
pub mod tag;
#[cfg(feature = "cores")]
pub mod two_cores;
pub mod update;

pub use emulated::{Stack, paint, painted};
pub use lines::{Line, Lines, Serial, Terminal};

use kinglet::golden::Fingerprint;
use kinglet::{Aligned, Error, Model};

/// The interface of an example to its board.
pub trait Board {
    /// The unit of [`count`](Self::count).
    const UNIT: &'static str;

    /// Prints text for the developer.
    fn print(&mut self, text: &str);

    /// Instructions, cycles or microseconds since the start, depending on the board.
    fn count(&mut self) -> u64;

    /// Fills the unused stack with a pattern, if the board supports it.
    fn paint(&mut self) {}

    /// The maximum bytes of stack in use since [`paint`](Self::paint); 0 if the board cannot tell.
    fn painted(&mut self) -> u32 {
        0
    }
}

/// An arena of `BYTES` bytes.
pub type Arena<const BYTES: usize> = Aligned<[u8; BYTES]>;

/// Defines the program of an example on a board. `$entry` is the attribute of the board's entry
/// point, and the crate `board` runs the example. For an example that needs other memory than an
/// arena, the second form takes the memory and a closure that runs the example in it.
#[macro_export]
macro_rules! program {
    ($entry:meta, kinglet_examples::$example:ident) => {
        $crate::program!(
            $entry,
            $crate::Arena<{ $crate::$example::ARENA }> = kinglet::arena!($crate::$example::ARENA),
            |board, arena| $crate::$example::run(board, &mut arena.0)
        );
    };
    ($entry:meta, $memory:ty = $zeros:expr, |$board:ident, $lent:ident| $run:expr) => {
        #[$entry]
        fn main() -> ! {
            let $lent = {
                static mut MEMORY: $memory = $zeros;
                // SAFETY: `main` runs once, and no other code can name the memory.
                unsafe { &mut *&raw mut MEMORY }
            };
            board::run(|$board| $run)
        }
    };
}

/// Runs the model's golden vectors, which compare every layer with the converter's bits.
fn check(board: &mut impl Board, model: &Model<'_>, arena: &mut [u8]) -> Result<(), Error> {
    model.self_test(arena)?;
    board.print("self test: PASS\n");
    Ok(())
}

/// Saturates a count to 32 bits, because a 64-bit division is a kilobyte of code on most boards.
fn count_of(count: u64) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

/// Prints a measurement, which is not part of the expected output.
fn measured(board: &mut impl Board, what: &str, value: u32) {
    board.print("# ");
    board.print(what);
    board.print(": ");
    number(board, value);
    board.print("\n");
}

/// The `clock` in a board's `Cargo.toml`, in megahertz. In a constant, a missing key is a compile
/// error.
pub const fn megahertz(manifest: &str) -> u32 {
    const KEY: &[u8] = b"\nclock = ";
    let (text, mut at) = (manifest.as_bytes(), 0);
    loop {
        let (_, rest) = text.split_at(at);
        let Some((found, mut digits)) = rest.split_first_chunk::<{ KEY.len() }>() else {
            panic!("no clock in Cargo.toml")
        };
        let mut same = 0;
        while same < KEY.len() && found[same] == KEY[same] {
            same += 1;
        }
        if same == KEY.len() {
            let mut value = 0;
            while let [digit @ b'0'..=b'9', rest @ ..] = digits {
                value = value * 10 + (*digit - b'0') as u32;
                digits = rest;
            }
            return value;
        }
        at += 1;
    }
}

/// Prints the core's clock in whole megahertz.
pub fn clock(board: &mut impl Board, hertz: u32) {
    measured(board, "megahertz", hertz / 1_000_000);
}

/// Prints the average time of `times` repetitions since `since`, in the board's unit.
fn took<B: Board>(board: &mut B, what: &str, since: u64, times: u32) {
    let count = count_of(board.count().saturating_sub(since)) / times.max(1);
    board.print("# ");
    board.print(B::UNIT);
    board.print(" ");
    board.print(what);
    board.print(": ");
    number(board, count);
    board.print("\n");
}

/// Prints the fingerprint of the exact logits, which must be equal on every core.
fn bits(board: &mut impl Board, fingerprint: Fingerprint) {
    board.print("logits ");
    for shift in (0..8).rev() {
        digit(board, fingerprint.value() >> (4 * shift) & 15);
    }
    board.print("\n");
}

/// Prints a number. [`core::fmt`] would need ten times the code, and could panic.
pub fn number(board: &mut impl Board, value: u32) {
    if value >= 10 {
        number(board, value / 10);
    }
    digit(board, value % 10);
}

fn digit(board: &mut impl Board, value: u32) {
    const DIGITS: &str = "0123456789abcdef";
    let at = value as usize & 15;
    board.print(DIGITS.get(at..=at).unwrap_or("?"));
}
