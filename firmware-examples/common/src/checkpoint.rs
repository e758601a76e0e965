//! Measures a blob that is chosen when the firmware is built: a decoder generates 64 tokens, a
//! sentence encoder searches phrases, and a classifier classifies sentences.

use kinglet::format::spec::Task;
use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::task::embed;
use kinglet::tokenizer::Tokenizer;
use kinglet::{Error, Model, Session};

use crate::classify::sentences;
use crate::search::{QUESTIONS, phrases};
use crate::text::ids;
use crate::{Board, bits, measured, took};

const NEW_TOKENS: usize = 64;
/// A late position of a long text, where attention costs most.
const LATE: usize = 500;
/// The maximum width of a sentence vector.
const WIDTH: usize = 1024;
/// The number of questions.
const ASKED: usize = 2;

/// Generates greedily from the model's first token, searches, or classifies, with an arena for
/// `tokens` tokens. With room for more than [`LATE`] tokens a decoder continues to that position,
/// and prints what its token took.
pub fn run(
    board: &mut impl Board,
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    arena: &mut [u8],
) -> Result<(), Error> {
    measured(board, "bytes of arena", arena.len() as u32);
    match model.spec().head.task {
        Task::Embedding => return search(board, model, tokenizer, tokens, arena),
        Task::Classification => return sentences(board, model, tokenizer, tokens, arena),
        _ => {}
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
    let mut late = 0;
    if tokens > LATE {
        for _ in NEW_TOKENS..=LATE {
            let start = board.count();
            let logits = session.step(token)?;
            token = argmax(logits);
            late = board.count().saturating_sub(start);
        }
        fingerprint.update(session.logits()?);
    }
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a token", now.saturating_sub(spent), NEW_TOKENS as u32);
    if tokens > LATE {
        let now = board.count();
        took(board, "a token at position 500", now.saturating_sub(late), 1);
    }
    Ok(())
}

/// Finds the phrase that is nearest to each question. The phrases are encoded again for every
/// question, so no vectors are stored.
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

/// Parses a decimal number from an environment variable of the build.
pub const fn number_of(text: &str) -> usize {
    let (bytes, mut number, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        number = 10 * number + (bytes[at] - b'0') as usize;
        at += 1;
    }
    number
}
