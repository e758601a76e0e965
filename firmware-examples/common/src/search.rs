//! A sentence encoder finds, among a hundred phrases, the one with the meaning of a question.

use kinglet::golden::Fingerprint;
use kinglet::{Error, RunError, Session, arena_bytes};

use crate::models::search;
use crate::text::ids;
use crate::{Board, bits, check, took};

/// Tokens of a question.
pub const TOKENS: usize = 32;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(search::BLOB, TOKENS);

/// The phrases, one per line.
const PHRASES: &str = include_str!("../../../models/search/phrases.txt");
/// The unit vectors of the phrases, in the order of the lines, as little-endian Q15.
/// `cargo xtask blobs --write` computes them on the host.
const VECTORS: &[u8] = include_bytes!("../models/search.vectors");

/// The questions.
pub const QUESTIONS: [&str; 10] = [
    "There is water under the dish washer!",
    "My laundry machine makes knocking sounds",
    "How much electricity does the deep freezer need?",
    "Why does the refrigerator stink?",
    "The espresso machine is full of lime, what can I do?",
    "The hoover has become weak.",
    "The smoke detector chirps all night",
    "I forgot the login of the internet box",
    "why is the screen of the telly black",
    "I dropped my telephone and the display broke",
];

/// The phrases. A `char` as pattern would use `memchr`, which can panic; an array of one does not.
pub fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.split_terminator(['\n'])
}

/// The phrase whose vector has the largest dot product with a question's. This is the smallest
/// angle, because the phrases' vectors have equal length.
fn nearest(question: &[i32]) -> Option<&'static str> {
    let rows = VECTORS.as_chunks::<2>().0.chunks_exact(question.len().max(1));
    let product = |row: &[[u8; 2]]| -> i64 {
        question.iter().zip(row).map(|(&x, &y)| i64::from(x) * i64::from(i16::from_le_bytes(y))).sum()
    };
    phrases().zip(rows).max_by_key(|(_, row)| product(row)).map(|(phrase, _)| phrase)
}

/// The phrase that is nearest to a question; `see` receives the question's vector.
pub fn find(question: &str, arena: &mut [u8], see: impl FnOnce(&[i32])) -> Result<&'static str, RunError> {
    let ids = ids(&search::TOKENIZER, question, arena)?;
    let mut session = Session::new(&search::MODEL, arena, TOKENS)?;
    session.encode(&ids, &[])?;
    let vector = session.logits()?;
    see(vector);
    Ok(nearest(vector).unwrap_or("?"))
}

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &search::MODEL, arena)?;
    let (mut fingerprint, mut spent) = (Fingerprint::default(), 0);
    for question in QUESTIONS {
        let start = board.count();
        let phrase = find(question, arena, |vector| fingerprint.update(vector))?;
        spent += board.count().saturating_sub(start);
        board.print(question);
        board.print(" -> ");
        board.print(phrase);
        board.print("\n");
    }
    bits(board, fingerprint);
    let now = board.count();
    took(board, "a question", now.saturating_sub(spent), QUESTIONS.len() as u32);
    Ok(())
}
