//! An encoder-decoder translates sentences into commands that a program can execute.

use heapless::String;
use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::{Error, RunError, Session, arena_bytes};

use crate::models::home_command;
use crate::text::ids;
use crate::{Board, Terminal, bits, check, took};

/// Tokens of a sentence, and of a command.
pub const TOKENS: usize = 48;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(home_command::BLOB, TOKENS);

const SENTENCES: [&str; 4] = [
    "turn the kitchen lights down to thirty percent at half past six",
    "let me hear some jazz in the lounge",
    "set my alarm for quarter to seven in the morning",
    "I want the bathroom lights blue, please",
];
/// The tokens at the beginning and the end of the decoder's text.
const START: u32 = 0;
const END: u32 = 1;

/// The command that a sentence means.
pub fn understand(sentence: &str, arena: &mut [u8], fingerprint: &mut Fingerprint) -> Result<String<96>, RunError> {
    let ids = ids(&home_command::TOKENIZER, sentence, arena)?;
    let mut session = Session::new(&home_command::MODEL, arena, TOKENS)?;
    session.encode(&ids, &[])?;
    let (mut decoder, mut command, mut token) = (home_command::TOKENIZER.decoder(true), String::new(), START);
    let mut write = |piece: &str| _ = command.push_str(piece);
    while session.remaining() > 0 {
        let logits = session.step(token)?;
        fingerprint.update(logits);
        token = argmax(logits);
        if token == END {
            break;
        }
        decoder.push(token, &mut write);
    }
    decoder.finish(&mut write);
    Ok(command)
}

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &home_command::MODEL, arena)?;
    let (mut fingerprint, start) = (Fingerprint::default(), board.count());
    for sentence in SENTENCES {
        let command = understand(sentence, arena, &mut fingerprint)?;
        board.print(sentence);
        board.print(" -> ");
        board.print(&command);
        board.print("\n");
    }
    bits(board, fingerprint);
    took(board, "a sentence", start, SENTENCES.len() as u32);
    Ok(())
}

/// Answers each line of a terminal with its command, until the input ends.
pub fn talk(terminal: &mut impl Terminal, arena: &mut [u8]) -> Result<(), Error> {
    terminal.print("Say what you want.\n");
    while let Some(sentence) = terminal.line() {
        let command = understand(&sentence, arena, &mut Fingerprint::default());
        terminal.print(command.as_ref().map_or("that is too long", |command| command));
        terminal.print("\n");
    }
    Ok(())
}
