//! Checks the signature of a blob chosen at build time, and of a copy with one bit changed.
//! Measures instructions and stack.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use kinglet::format::signed::{KEY_LEN, verify};
use kinglet::{Error, LoadError, Model, include_model};
use kinglet_examples::{Board, number};

const SIGNED: &[u8] = include_model!(env!("KINGLET_SIGNED"));
const KEY: &[u8; KEY_LEN] = include_bytes!(env!("KINGLET_KEY"));

fn run(board: &mut impl Board, copy: &mut [u8]) -> Result<(), Error> {
    board.paint();
    let start = board.count();
    let signed = verify(SIGNED, KEY, &mut || ())?;
    let spent = board.count().saturating_sub(start);
    let depth = board.painted();
    let model = Model::from_bytes(signed.blob)?;
    board.print(model.manifest().provenance.source);
    board.print(", release ");
    number(board, signed.counter as u32);
    board.print("\n");
    for (what, value) in [("instructions to check a signature", spent as u32), ("bytes of stack, verify", depth)] {
        board.print("# ");
        board.print(what);
        board.print(": ");
        number(board, value);
        board.print("\n");
    }

    copy.iter_mut().zip(SIGNED).for_each(|(to, from)| *to = *from);
    copy.iter_mut().skip(100_000).take(1).for_each(|byte| *byte ^= 1);
    let refused = verify(copy, KEY, &mut || ()).err() == Some(LoadError::BadSignature);
    board.print(if refused { "a changed blob is refused\n" } else { "A CHANGED BLOB IS ACCEPTED\n" });
    Ok(())
}

board::main!([u8; SIGNED.len()] = [0; SIGNED.len()], |board, copy| run(board, copy));

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    semihosting::process::exit(1)
}
