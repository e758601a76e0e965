//! Measures how many held-out sentences get the right intent.

use kinglet::Error;

pub use crate::classify::ARENA;
use crate::classify::intent;
use crate::{Board, accuracy};

/// Every fortieth line of `models/home/intent/heldout.jsonl`.
const SAMPLE: &str = include_str!("../heldout/intent.txt");

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    accuracy::of(board, SAMPLE, |sentence, label| Ok(intent(sentence, arena, |_| ())? == label))
}
