//! An encoder classifies the intents of sentences.

use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::tokenizer::Tokenizer;
use kinglet::{Error, Model, RunError, Session, arena_bytes};

use crate::models::home_intent;
use crate::text::ids;
use crate::{Board, bits, took};

/// Tokens of a sentence.
pub const TOKENS: usize = 32;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(home_intent::BLOB, TOKENS);

/// The sentences to classify.
pub const SENTENCES: [&str; 8] = [
    "Turn the lamp on in the kitchen, please.",
    "Dim the hallway lights to thirty percent.",
    "I need light in the cellar!",
    "Wake me up at half past six.",
    "Could you please roll the bedroom blinds up?",
    "Skip to the next song",
    "Do I need a coat tomorrow?",
    "Let the robot vacuum the living room.",
];

/// The intent of a sentence; `see` receives the logits.
pub fn intent(sentence: &str, arena: &mut [u8], see: impl FnOnce(&[i32])) -> Result<&'static str, RunError> {
    label(&home_intent::MODEL, &home_intent::TOKENIZER, TOKENS, sentence, arena, see)
}

/// The label of a sentence, with an arena for `tokens` tokens; `see` receives the logits.
#[inline(always)]
fn label<'m>(
    model: &Model<'m>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    sentence: &str,
    arena: &mut [u8],
    see: impl FnOnce(&[i32]),
) -> Result<&'m str, RunError> {
    let ids = ids(tokenizer, sentence, arena)?;
    let mut session = Session::new(model, arena, tokens)?;
    session.encode(&ids, &[])?;
    let logits = session.logits()?;
    see(logits);
    Ok(model.labels().nth(argmax(logits) as usize).unwrap_or("?"))
}

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    sentences(board, &home_intent::MODEL, &home_intent::TOKENIZER, TOKENS, arena)
}

/// Prints the label of each of [`SENTENCES`], with an arena for `tokens` tokens.
#[inline(always)]
pub(crate) fn sentences(
    board: &mut impl Board,
    model: &Model<'_>,
    tokenizer: &Tokenizer<'_>,
    tokens: usize,
    arena: &mut [u8],
) -> Result<(), Error> {
    let (mut fingerprint, mut spent) = (Fingerprint::default(), 0);
    for sentence in SENTENCES {
        let start = board.count();
        let label = label(model, tokenizer, tokens, sentence, arena, |logits| fingerprint.update(logits))?;
        spent += board.count().saturating_sub(start);
        board.print(sentence);
        board.print(" -> ");
        board.print(label);
        board.print("\n");
    }
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a sentence", now.saturating_sub(spent), SENTENCES.len() as u32);
    Ok(())
}
