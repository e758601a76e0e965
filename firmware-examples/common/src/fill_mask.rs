//! An encoder guesses words that are missing.

use kinglet::golden::Fingerprint;
use kinglet::sample::top;
use kinglet::task::fill_mask;
use kinglet::{Error, Model, Session, arena_bytes, include_model};

use crate::text::Text;
use crate::{Board, bits, check};

/// What the encoders for commands were before they learned what commands mean.
pub const MODEL: &[u8] = include_model!("../models/home-words.kinglet");
/// Tokens of a sentence.
pub const TOKENS: usize = 32;
/// Bytes that the session needs.
pub const ARENA: usize = arena_bytes(MODEL, TOKENS);

const SENTENCES: [&str; 3] =
    ["turn the lights [MASK] in the kitchen", "set a [MASK] for ten minutes", "what is the [MASK] like tomorrow"];
const MASK: u32 = 4;

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let model = Model::from_bytes(MODEL)?;
    check(board, &model, arena)?;
    let mut fingerprint = Fingerprint::default();
    for sentence in SENTENCES {
        let text = Text::new(&model, sentence, arena)?;
        let mut session = Session::new(&model, arena, TOKENS)?;
        let mut guesses = [0; 3];
        fill_mask(&mut session, &text.ids(), &[], MASK, |_, logits| {
            fingerprint.update(logits);
            top(logits, &mut guesses);
        })?;
        board.print(sentence);
        board.print(" ->");
        for guess in guesses {
            board.print(" ");
            text.tokenizer.decode(&[guess], true, &mut |piece| board.print(piece));
        }
        board.print("\n");
    }
    bits(board, fingerprint);
    Ok(())
}
