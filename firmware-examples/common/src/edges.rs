//! Passes malformed bytes and invalid arguments to the functions that accept bytes. Each must
//! return an error.
//!
//! Because the panic handler of the boards does not link (see `qemu-cortex-m`), building this
//! program also proves that none of these functions can panic.

use core::hint::black_box;

use kinglet::format::checksum::checksum;
use kinglet::golden::{Golden, fingerprints};
use kinglet::task::{Grammar, classify, embed, tag};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{Error, MemoryPlan, Model, Prefix, Session, arena_bytes, arena_bytes_beams, arena_bytes_seq2seq};

use crate::models::home_intent;
use crate::{Board, number};

/// The maximum number of tokens of the session.
const TOKENS: usize = 8;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(home_intent::BLOB, TOKENS);

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    let blob = home_intent::BLOB;
    let changed = {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(blob).for_each(|(to, from)| *to = *from);
        bytes.last_mut().into_iter().for_each(|last| *last = 1);
        bytes
    };
    let half = blob.get(..blob.len() / 2).unwrap_or(&[]);
    for (what, bytes) in [
        ("no bytes", &[][..]),
        ("bytes that are all ones", &[0xff; 128]),
        ("zeros", &[0; 128]),
        ("a beginning", &changed),
        ("half of a blob", half),
        ("a blob one byte on", blob.get(1..).unwrap_or(&[])),
    ] {
        board.print(what);
        refused(board, black_box(bytes));
    }

    let model = Model::from_bytes(black_box(blob))?;
    board.print("a blob");
    memory(board, blob);
    board.print("; calls refused:");
    number_after(board, wrong_calls(&model, arena));
    board.print("\n");
    Ok(())
}

/// Passes bytes that are not a blob to the loaders, and prints how many refuse them.
fn refused(board: &mut impl Board, bytes: &[u8]) {
    memory(board, bytes);
    let refusals = [Model::from_bytes(bytes).is_err(), Tokenizer::from_bytes(bytes).is_err()];
    board.print("; refused:");
    number_after(board, refusals.iter().filter(|refused| **refused).count());
    board.print(", golden vectors:");
    number_after(board, Golden::all(bytes).count());
    // Any result is right; the call must return.
    black_box(checksum(bytes));
    board.print("\n");
}

/// Prints the arena's size for one text, for a pair of encoder and decoder texts, for several
/// beams, and for texts of the maximum length.
fn memory(board: &mut impl Board, bytes: &[u8]) {
    let most = black_box(usize::MAX);
    board.print(": arena");
    for needed in [
        arena_bytes(bytes, black_box(TOKENS)),
        arena_bytes_seq2seq(bytes, black_box(TOKENS), black_box(1)),
        arena_bytes_beams(bytes, black_box(TOKENS), black_box(1), black_box(2)),
        arena_bytes(bytes, most),
        arena_bytes_beams(bytes, most, most, most),
    ] {
        if needed == usize::MAX { board.print(" none") } else { number_after(board, needed) }
    }
}

fn number_after(board: &mut impl Board, value: usize) {
    board.print(" ");
    number(board, value as u32);
}

/// Makes invalid calls of a valid model, and returns how many were refused.
fn wrong_calls(model: &Model<'_>, arena: &mut [u8]) -> usize {
    let (spec, most) = (model.spec(), black_box(usize::MAX));
    let mut refusals = 0;
    let mut count = |refused: bool| refusals += usize::from(refused);
    count(MemoryPlan::new(spec, most, most, most).is_err());
    count(MemoryPlan::standard(spec, most).is_err());
    // An encoder ignores the number of decoder tokens.
    count(MemoryPlan::new(spec, most, 1, most).map_or(0, |plan| plan.with_beams(most).bytes()) > arena.len() as u64);
    count(Session::new(model, arena, most).is_err());
    count(Session::new(model, &mut [], TOKENS).is_err());
    count(Session::new(model, arena.get_mut(1..).unwrap_or(&mut []), TOKENS).is_err());
    count(model.self_test(&mut []).is_err());
    count(fingerprints(model, &mut [], black_box(&[u32::MAX]), &[], &mut || ()).is_err());

    let (mut scratch, mut tokens) = ([0; 64], [Token::default(); 1]);
    let options = EncodeOptions::default();
    if let Ok(tokenizer) = Tokenizer::from_bytes(model.tokenizer_section()) {
        let text = black_box("\u{0}\u{301}\u{fffd}a\u{10ffff}");
        count(tokenizer.encode(text, Some(text), &options, &mut scratch, &mut tokens).is_err());
        count(tokenizer.encode(text, None, &options, &mut [], &mut tokens).is_err());
        tokenizer.decode(black_box(&[u32::MAX, 0]), false, &mut |piece| _ = black_box(piece));
        tokenizer.pieces(black_box(u32::MAX), &mut |piece| _ = black_box(piece));
    }
    // Headers of a prefix and of a grammar with huge lengths.
    let (prefix, grammar) = (black_box(*b"KPFX\x01\0\x05\0\xff\xff\xff\xff"), black_box(*b"KGRM\x01\0\0\0"));
    let long = |beginning: &[u8]| {
        let mut bytes = [0xff; 256];
        bytes.iter_mut().zip(beginning).for_each(|(to, from)| *to = *from);
        bytes
    };
    count(Prefix::from_bytes(&long(&prefix), model).is_err());
    count(Prefix::from_bytes(black_box(&[]), model).is_err());
    count(Grammar::from_bytes(&long(&grammar), model.tokenizer_section()).is_err());
    count(Grammar::from_bytes(black_box(&[]), &[]).is_err());
    let Ok(mut session) = Session::new(model, arena, TOKENS) else { return refusals };
    let (ids, types) = (black_box(&[u32::MAX][..]), black_box(&[0xff][..]));
    let mut out = [0.0; 1];
    count(session.encode(ids, &[]).is_err());
    count(session.encode(black_box(&[1]), types).is_err());
    count(session.begin_encode(black_box(&[]), &[]).is_err());
    count(session.logits().is_err());
    count(classify(&mut session, ids, types, &mut out).is_err());
    count(embed(&mut session, ids, types, &mut out).is_err());
    count(tag(&mut session, ids, types, &mut out, |_, _| {}).is_err());
    refusals
}
