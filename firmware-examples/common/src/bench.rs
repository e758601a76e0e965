//! Measures the cost of a decoder's tokens, at the beginning of a text and later.

use kinglet::golden::Fingerprint;
use kinglet::{Error, Session, arena_bytes};

use crate::models::stories;
use crate::{Board, bits, check, took};

/// Tokens of the text.
pub const TOKENS: usize = 128;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(stories::BLOB, TOKENS);

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &stories::MODEL, arena)?;
    let mut session = Session::new(&stories::MODEL, arena, TOKENS)?;
    let mut fingerprint = Fingerprint::default();
    let mut position = 0;
    for (what, until) in [("a token, the first 8", 8), ("a token, up to 64", 64), ("a token, up to 128", 128)] {
        let (first, mut spent) = (position, 0);
        while position < until {
            let start = board.count();
            let logits = session.step((position as u32 * 37 + 1) % 512)?;
            spent += board.count().saturating_sub(start);
            fingerprint.update(logits);
            position += 1;
        }
        let now = board.count();
        took(board, what, now.saturating_sub(spent), (position - first) as u32);
    }
    session.reset();
    let ids: [u32; 64] = core::array::from_fn(|position| (position as u32 * 37 + 1) % 512);
    let start = board.count();
    session.prefill(&ids)?;
    took(board, "a token of a text of 64", start, 64);
    fingerprint.update(session.logits()?);
    bits(board, fingerprint);
    Ok(())
}
