//! Any decoder writes 64 tokens: what a blob given when the firmware is built costs on a core.

use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::tokenizer::Tokenizer;
use kinglet::{Error, Model, Session};

use crate::{Board, bits, measured, took};

const NEW_TOKENS: usize = 64;

/// Writes greedily from the token that begins a text, in an arena for `tokens` tokens.
pub fn run(
    board: &mut impl Board,
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    arena: &mut [u8],
) -> Result<(), Error> {
    measured(board, "bytes of arena", arena.len() as u32);
    let mut session = Session::new(model, arena, tokens)?;
    let mut decoder = tokenizer.decoder(true);
    let (mut fingerprint, mut spent) = (Fingerprint::default(), 0);
    let mut token = model.manifest().tokens.bos.unwrap_or(1);
    for _ in 0..NEW_TOKENS {
        let start = board.count();
        let logits = session.step(token)?;
        token = argmax(logits);
        spent += board.count().saturating_sub(start);
        fingerprint.update(session.logits()?);
        decoder.push(token, &mut |piece| board.print(piece));
    }
    decoder.finish(&mut |piece| board.print(piece));
    board.print("\n");
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a token", now.saturating_sub(spent), NEW_TOKENS as u32);
    Ok(())
}

/// A number from the environment of the build.
pub const fn number_of(text: &str) -> usize {
    let (bytes, mut number, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        number = 10 * number + (bytes[at] - b'0') as usize;
        at += 1;
    }
    number
}
