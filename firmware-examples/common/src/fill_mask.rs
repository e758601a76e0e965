//! An encoder guesses masked words.

use kinglet::golden::Fingerprint;
use kinglet::sample::top;
use kinglet::task::fill_mask;
use kinglet::{Error, Session, arena_bytes};

use crate::models::home_words;
use crate::text::ids;
use crate::{Board, bits, check};

/// Tokens of a sentence.
pub const TOKENS: usize = 32;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(home_words::BLOB, TOKENS);

const SENTENCES: [&str; 3] =
    ["turn the lights [MASK] in the kitchen", "set a [MASK] for ten minutes", "what is the [MASK] like tomorrow"];
const MASK: u32 = 4;

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &home_words::MODEL, arena)?;
    let mut fingerprint = Fingerprint::default();
    for sentence in SENTENCES {
        let ids = ids(&home_words::TOKENIZER, sentence, arena)?;
        let mut session = Session::new(&home_words::MODEL, arena, TOKENS)?;
        let mut guesses = [0; 3];
        fill_mask(&mut session, &ids, &[], MASK, |_, logits| {
            fingerprint.update(logits);
            top(logits, &mut guesses);
        })?;
        board.print(sentence);
        board.print(" ->");
        for guess in guesses {
            board.print(" ");
            home_words::TOKENIZER.decode(&[guess], true, &mut |piece| board.print(piece));
        }
        board.print("\n");
    }
    bits(board, fingerprint);
    Ok(())
}
