//! A chat of ten turns after a prefix in flash: the user and the model tell a story together.
//!
//! The session reads the prefix in place. The user's sentences are tokenized in memory that the
//! session lends. In the middle the power fails, and the chat continues from a snapshot.

use heapless::Vec;
use kinglet::golden::Fingerprint;
use kinglet::sample::Sampler;
use kinglet::task::{GenerateOptions, Generation};
use kinglet::tokenizer::{Decoder, EncodeOptions};
use kinglet::{Error, Session, arena_bytes_after};

use crate::models::{stories, stories_once};
use crate::{Board, bits, count_of, measured, took};

/// The maximum number of tokens after the prefix.
const TOKENS: usize = 96;
const SESSION: usize = arena_bytes_after(stories::BLOB, stories_once::BYTES, TOKENS);
/// Bytes for a snapshot, which real firmware would write to flash.
const SNAPSHOT: usize = 56 << 10;
/// Bytes of the session's arena and of the snapshot.
pub const ARENA: usize = SESSION + SNAPSHOT;

const TURNS: [&str; 10] = [
    "After lunch, Mia had a cookie for lunch.",
    "Mia sat down to eat her cookie.",
    "The squirrel looked very hungry.",
    "\"Yes, please,\" said the squirrel.",
    "The squirrel smiled.",
    "One day, Mia heard a strange sound.",
    "\"Who is there?\" asked Mia.",
    "Mia took a deep breath and went to look.",
    "They both laughed.",
    "It was the birthday of the squirrel.",
];
/// The turn before which the power fails.
const POWER_FAILS: usize = 5;
/// The maximum number of tokens of an answer.
const ANSWER: usize = 32;
const END: u32 = 2;
/// The token of a period, which ends an answer.
const PERIOD: u32 = 262;

/// The tokens of the chat so far, without the prefix.
type Text = Vec<u32, TOKENS>;

pub fn run(board: &mut impl Board, memory: &mut [u8]) -> Result<(), Error> {
    let (arena, flash) = memory.split_at_mut_checked(SESSION).unwrap_or((&mut [], &mut []));
    let (mut text, mut fingerprint) = (Text::new(), Fingerprint::default());
    board.print(stories_once::TEXT);
    board.print("\n");
    let (before, after) = TURNS.split_at_checked(POWER_FAILS).unwrap_or((&TURNS, &[]));

    let start = board.count();
    let mut session = Session::after(&stories::MODEL, stories_once::PREFIX, arena, TOKENS)?;
    took(board, "to begin after the prefix", start, 1);
    let mut spent = talk(board, &mut session, &mut text, before, &mut fingerprint)?;
    let bytes = session.snapshot(flash)?;
    measured(board, "bytes of the snapshot", bytes as u32);

    arena.fill(0xff);
    let mut session = Session::after(&stories::MODEL, stories_once::PREFIX, arena, TOKENS)?;
    session.restore(flash)?;
    spent += talk(board, &mut session, &mut text, after, &mut fingerprint)?;
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a turn", now.saturating_sub(spent), TURNS.len() as u32);
    Ok(())
}

/// Runs some turns of the chat, and returns the time that they took.
fn talk<B: Board>(
    board: &mut B,
    session: &mut Session<'_, '_>,
    text: &mut Text,
    turns: &[&str],
    fingerprint: &mut Fingerprint,
) -> Result<u64, Error> {
    let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
    let mut spent = 0;
    for said in turns {
        let start = board.count();
        let mut ids = [0; 32];
        let count = stories::TOKENIZER.encode_ids(said, None, &options, session.scratch(), &mut ids)?;
        if text.len() + count + ANSWER > TOKENS {
            // Returns to the end of the prefix, which costs nothing.
            session.reset();
            text.clear();
            board.print("(They begin again.)\n");
        }
        for id in ids.into_iter().take(count) {
            // The text has room, because it was cleared otherwise.
            _ = text.push(id);
        }
        board.print("> ");
        board.print(said);
        board.print("\n");
        let mut decoder: Decoder<'_, '_> = stories::TOKENIZER.decoder(true);
        let options = GenerateOptions { stop: &[END, PERIOD], ..GenerateOptions::new(ANSWER) };
        let mut answer = Generation::new(options, text);
        while let Some(token) = answer.next_token(session, text, &mut Sampler::greedy())? {
            decoder.push(token, &mut |piece| board.print(piece));
        }
        decoder.finish(&mut |piece| board.print(piece));
        board.print("\n");
        spent += board.count().saturating_sub(start);
        fingerprint.update(session.logits()?);
    }
    Ok(u64::from(count_of(spent)))
}
