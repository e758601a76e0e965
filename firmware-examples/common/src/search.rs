//! A sentence encoder finds, among a hundred phrases, the one that means what a question asks.

use kinglet::golden::Fingerprint;
use kinglet::{Error, RunError, Session, arena_bytes};

use crate::models::search;
use crate::text::ids;
use crate::{Board, bits, check, took};

/// Tokens of a question.
pub const TOKENS: usize = 32;
/// Bytes that the session needs.
pub const ARENA: usize = arena_bytes(search::BLOB, TOKENS);

/// The phrases, one a line.
const PHRASES: &str = include_str!("../../../models/search/phrases.txt");
/// Their vectors in the order of the lines, each of length one, in sixteen bits of which fifteen
/// are behind the point. `cargo xtask blobs --write` has the host compute them, so that the board
/// need not.
const VECTORS: &[u8] = include_bytes!("../models/search.vectors");

/// What is asked.
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

/// The phrases. A search for one character is done with `memchr`, which can panic; for one of a
/// list it is not.
pub fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.split_terminator(['\n'])
}

/// The phrase whose vector has the largest product with a question's: the smallest angle, because
/// the phrases' vectors are of one length.
fn nearest(question: &[i32]) -> Option<&'static str> {
    let rows = VECTORS.as_chunks::<2>().0.chunks_exact(question.len().max(1));
    let product = |row: &[[u8; 2]]| -> i64 {
        question.iter().zip(row).map(|(&x, &y)| i64::from(x) * i64::from(i16::from_le_bytes(y))).sum()
    };
    phrases().zip(rows).max_by_key(|(_, row)| product(row)).map(|(phrase, _)| phrase)
}

/// The phrase that is nearest to a question; the question's vector goes to `see`.
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
