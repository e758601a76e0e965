//! A decoder that reads from right to left computes the likelihood of sentences.

use kinglet::golden::Fingerprint;
use kinglet::task::score;
use kinglet::{Error, Session, arena_bytes};

use crate::models::stories_backward;
use crate::text::ids;
use crate::{Board, bits, check, number};

/// Tokens of a text.
pub const TOKENS: usize = 64;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(stories_backward::BLOB, TOKENS);

const TEXTS: [&str; 3] = [
    "They played together until the sun went down.",
    "They sun together down the played went until.",
    "Ella was very happy and went home.",
];

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &stories_backward::MODEL, arena)?;
    let mut fingerprint = Fingerprint::default();
    for line in TEXTS {
        let ids = ids(&stories_backward::TOKENIZER, line, arena)?;
        let mut session = Session::new(&stories_backward::MODEL, arena, TOKENS)?;
        let mut sum = 0.0;
        score(&mut session, &ids, |_, log_probability| sum -= log_probability)?;
        fingerprint.update(session.logits()?);
        board.print(line);
        board.print(" -> ");
        number(board, (sum * 1000.0) as u32);
        board.print(" thousandths of a nat\n");
    }
    bits(board, fingerprint);
    Ok(())
}
