//! Runs a model's golden vectors, which compare the bits of every layer with the host's.

use kinglet::golden::Golden;
use kinglet::{Error, Model, RunError, arena_bytes};

use crate::models::stories;
use crate::{Board, number};

/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(stories::BLOB, Golden::MAX_TOKENS);

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let model = Model::from_bytes(stories::BLOB)?;
    let vectors = Golden::all(model.golden_section());
    number(board, vectors.count() as u32);
    board.print(" golden vectors: ");
    match model.self_test(arena) {
        Ok(()) => board.print("PASS\n"),
        Err(RunError::SelfTestFailed { layer }) => {
            board.print("FAIL from layer ");
            number(board, layer.into());
            board.print("\n");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
