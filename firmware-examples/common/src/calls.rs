//! Measures the stack use of single calls, below the calling function, and the time to load a blob.
//! The blobs, a decoder and an encoder, are loaded at run time rather than constants.
//!
//! Each call is preceded by filling the stack with a pattern, so the board's report on the stack of
//! the whole program covers the time after the last call only.

use core::hint::black_box;

use kinglet::golden::Golden;
use kinglet::tokenizer::Tokenizer;
use kinglet::{Error, MemoryPlan, Model, Session, arena_bytes};

use crate::models::{home_intent, stories};
use crate::text::{MAX_TOKENS, ids_of, tokens};
use crate::{Board, count_of, measured};

/// Tokens of a text.
const TOKENS: usize = Golden::MAX_TOKENS;
/// Bytes of the larger session's arena.
pub const ARENA: usize = {
    let (stories, intent) = (arena_bytes(stories::BLOB, TOKENS), arena_bytes(home_intent::BLOB, TOKENS));
    if stories > intent { stories } else { intent }
};

/// The calls, in the order of the depths that `of_model` returns.
const CALLS: [&str; 10] = [
    "Model::from_bytes",
    "Model::from_bytes, and the model",
    "Tokenizer::from_bytes",
    "Tokenizer::from_bytes, and the tokenizer",
    "Model::self_test",
    "Tokenizer::encode",
    "MemoryPlan::standard",
    "Session::with_plan",
    "Session::prefill or encode",
    "Session::logits",
];

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let mut most = [0; CALLS.len()];
    for (blob, text) in [(stories::BLOB, "Once there was a fox."), (home_intent::BLOB, "Dim the lights, please.")] {
        let depths = of_model(board, black_box(blob), text, arena)?;
        most.iter_mut().zip(depths).for_each(|(most, depth)| *most = depth.max(*most));
        board.print("a model was read, tested and run\n");
    }
    for (call, depth) in CALLS.iter().zip(most) {
        board.print("# bytes of stack, ");
        board.print(call);
        board.print(": ");
        crate::number(board, depth);
        board.print("\n");
    }
    Ok(())
}

/// Loads a model and keeps it in this function's frame.
#[inline(never)]
fn held(blob: &[u8]) -> Result<u32, Error> {
    let model = Model::from_bytes(blob)?;
    Ok(black_box(&model).checksum())
}

/// Loads a tokenizer and keeps it in this function's frame.
#[inline(never)]
fn tokenizer_held(section: &[u8]) -> Result<u32, Error> {
    let tokenizer = Tokenizer::from_bytes(section)?;
    Ok(black_box(&tokenizer).vocab_size())
}

/// The bytes of stack of each call.
#[inline(never)]
fn of_model(board: &mut impl Board, blob: &[u8], text: &str, arena: &mut [u8]) -> Result<[u32; CALLS.len()], Error> {
    board.paint();
    let start = board.count();
    let model = Model::from_bytes(blob)?;
    let spent = board.count().saturating_sub(start);
    let reading = board.painted();
    measured(board, "instructions for 1000 bytes of a blob", count_of(spent * 1000) / blob.len().max(1) as u32);

    board.paint();
    held(blob)?;
    let holding = board.painted();

    board.paint();
    tokenizer_held(model.tokenizer_section())?;
    let tokenizer_holding = board.painted();

    board.paint();
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())?;
    let tokenizer_reading = board.painted();

    board.paint();
    model.self_test(arena)?;
    let testing = board.painted();

    let mut memory = [kinglet::tokenizer::Token::default(); MAX_TOKENS];
    board.paint();
    let found = tokens(&tokenizer, text, arena, &mut memory)?;
    let encoding = board.painted();
    let ids = ids_of(found);

    board.paint();
    let plan = MemoryPlan::standard(model.spec(), TOKENS)?;
    let planning = board.painted();

    board.paint();
    let mut session = Session::with_plan(&model, arena, plan)?;
    let beginning = board.painted();

    board.paint();
    if model.spec().encoder.is_some() {
        session.encode(&ids, &[])?;
    } else {
        session.prefill(&ids)?;
    }
    let running = board.painted();

    board.paint();
    session.logits()?;
    let heading = board.painted();
    Ok([
        reading,
        holding,
        tokenizer_reading,
        tokenizer_holding,
        testing,
        encoding,
        planning,
        beginning,
        running,
        heading,
    ])
}
