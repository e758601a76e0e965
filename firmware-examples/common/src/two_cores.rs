//! Runs a decoder on one core, and then on two that share the rows of its large matrices: equal
//! bits, in less time.

use kinglet::golden::Fingerprint;
use kinglet::{Cores, Error, Session, arena_bytes};

use crate::models::stories;
use crate::{Board, bits, took};

/// The number of tokens in the text.
const TOKENS: usize = 32;
/// The bytes that the session needs.
pub const ARENA: usize = arena_bytes(stories::BLOB, TOKENS);

pub fn run(board: &mut impl Board, cores: &'static dyn Cores, arena: &mut [u8]) -> Result<(), Error> {
    let alone = written(board, "a token with one core", None, arena)?;
    let together = written(board, "a token with two cores", Some(cores), arena)?;
    bits(board, together);
    board.print(if alone.value() == together.value() { "the same bits\n" } else { "FAILED: other bits\n" });
    Ok(())
}

/// The logits of a text.
fn written(
    board: &mut impl Board,
    what: &str,
    cores: Option<&'static dyn Cores>,
    arena: &mut [u8],
) -> Result<Fingerprint, Error> {
    let mut session = Session::new(&stories::MODEL, arena, TOKENS)?;
    if let Some(cores) = cores {
        session.set_cores(cores);
    }
    let (mut fingerprint, start) = (Fingerprint::default(), board.count());
    for token in 1..=TOKENS as u32 {
        fingerprint.update(session.step(token * 11 % 500)?);
    }
    took(board, what, start, TOKENS as u32);
    Ok(fingerprint)
}
