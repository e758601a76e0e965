//! Any decoder writes 64 tokens, and any sentence encoder searches phrases: what a blob given when
//! the firmware is built costs on a core.

use kinglet::format::spec::Task;
use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::task::embed;
use kinglet::tokenizer::Tokenizer;
use kinglet::{Error, Model, Session};

use crate::search::{QUESTIONS, phrases};
use crate::text::ids;
use crate::{Board, bits, measured, took};

const NEW_TOKENS: usize = 64;
/// Numbers of the widest vector.
const WIDTH: usize = 1024;
/// How many questions are asked.
const ASKED: usize = 2;

/// Writes greedily from the token that begins a text, or searches, in an arena for `tokens` tokens.
pub fn run(
    board: &mut impl Board,
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    arena: &mut [u8],
) -> Result<(), Error> {
    measured(board, "bytes of arena", arena.len() as u32);
    if model.spec().head.task == Task::Embedding {
        return search(board, model, tokenizer, tokens, arena);
    }
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

/// Finds the phrases that are nearest to some questions. Every phrase is read anew for each, so
/// that no vectors need be stored.
fn search(
    board: &mut impl Board,
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    arena: &mut [u8],
) -> Result<(), Error> {
    let (mut fingerprint, mut spent, mut texts) = (Fingerprint::default(), 0, 0);
    for question in QUESTIONS.into_iter().take(ASKED) {
        let (mut asked, mut nearest) = ([0.0; WIDTH], (f32::MIN, "?"));
        for text in core::iter::once(question).chain(phrases()) {
            let start = board.count();
            let ids = ids(tokenizer, text, arena)?;
            let mut session = Session::new(model, arena, tokens)?;
            let mut vector = [0.0; WIDTH];
            embed(&mut session, &ids, &[], &mut vector)?;
            spent += board.count().saturating_sub(start);
            fingerprint.update(session.logits()?);
            texts += 1;
            if text == question {
                asked = vector;
                continue;
            }
            let product: f32 = asked.iter().zip(&vector).map(|(x, y)| x * y).sum();
            if product > nearest.0 {
                nearest = (product, text);
            }
        }
        board.print(question);
        board.print(" -> ");
        board.print(nearest.1);
        board.print("\n");
    }
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a text", now.saturating_sub(spent), texts);
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
