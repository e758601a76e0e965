//! A decoder writes a story.

use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::{Error, Session, arena_bytes};

use crate::models::stories;
use crate::text::ids;
use crate::{Board, bits, took};

/// Tokens of the text, including its beginning.
pub const TOKENS: usize = 128;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(stories::BLOB, TOKENS);

const BEGINNING: &str = "Once there was a brave little fox who lived near the river.";
const NEW_TOKENS: usize = 64;
const END: u32 = 2;

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let ids = ids(&stories::TOKENIZER, BEGINNING, arena)?;
    let mut session = Session::new(&stories::MODEL, arena, TOKENS)?;
    let mut decoder = stories::TOKENIZER.decoder(true);
    for &id in &ids {
        decoder.push(id, &mut |piece| board.print(piece));
    }

    session.prefill(&ids)?;
    let (mut fingerprint, mut written, mut spent) = (Fingerprint::default(), 0, 0);
    while written < NEW_TOKENS {
        let start = board.count();
        let logits = session.logits()?;
        let token = argmax(logits);
        spent += board.count().saturating_sub(start);
        fingerprint.update(logits);
        if token == END {
            break;
        }
        decoder.push(token, &mut |piece| board.print(piece));
        let start = board.count();
        session.prefill(&[token])?;
        spent += board.count().saturating_sub(start);
        written += 1;
    }
    decoder.finish(&mut |piece| board.print(piece));
    board.print("\n");
    bits(board, fingerprint);
    crate::measured(board, "tokens written", written as u32);
    let now = board.count();
    took(board, "a token", now.saturating_sub(spent), written as u32);
    Ok(())
}
