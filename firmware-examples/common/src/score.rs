//! A decoder that reads from right to left says how likely sentences are.

use kinglet::golden::Fingerprint;
use kinglet::task::score;
use kinglet::{Error, Model, Session, arena_bytes, include_model};

use crate::text::Text;
use crate::{Board, bits, check, number};

/// The story teller that was trained on reversed stories: `p(x)` is the product of `p(x_t | x_>t)`.
pub const MODEL: &[u8] = include_model!("../models/stories-backward.kinglet");
/// Tokens of a text.
pub const TOKENS: usize = 64;
/// Bytes that the session needs.
pub const ARENA: usize = arena_bytes(MODEL, TOKENS);

const TEXTS: [&str; 3] = [
    "They played together until the sun went down.",
    "They sun together down the played went until.",
    "Ella was very happy and went home.",
];

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let model = Model::from_bytes(MODEL)?;
    check(board, &model, arena)?;
    let mut fingerprint = Fingerprint::default();
    for line in TEXTS {
        let text = Text::new(&model, line, arena)?;
        let mut session = Session::new(&model, arena, TOKENS)?;
        let mut sum = 0.0;
        score(&mut session, &text.ids(), |_, log_probability| sum -= log_probability)?;
        fingerprint.update(session.logits()?);
        board.print(line);
        board.print(" -> ");
        number(board, (sum * 1000.0) as u64);
        board.print(" thousandths of a nat\n");
    }
    bits(board, fingerprint);
    Ok(())
}
