//! Measures how many held-out sentences become the right command.

use kinglet::Error;
use kinglet::golden::Fingerprint;

pub use crate::command::ARENA;
use crate::command::understand;
use crate::{Board, accuracy};

/// A sample of `models/home/command/heldout.jsonl`.
const SAMPLE: &str = include_str!("../heldout/command.txt");

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    accuracy::of(board, SAMPLE, |sentence, command| {
        Ok(understand(sentence, arena, &mut Fingerprint::default())? == command)
    })
}
