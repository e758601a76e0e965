//! An encoder labels the words for places, amounts and times.

use kinglet::golden::Fingerprint;
use kinglet::sample::argmax;
use kinglet::tokenizer::Token;
use kinglet::{Error, Session, arena_bytes};

use crate::models::home_slots;
use crate::text::{MAX_TOKENS, ids_of, tokens};
use crate::{Board, bits, check};

/// Tokens of a sentence.
pub const TOKENS: usize = 32;
/// Bytes of the session's arena.
pub const ARENA: usize = arena_bytes(home_slots::BLOB, TOKENS);

const SENTENCES: [&str; 3] = [
    "set the lights in the living room to thirty percent at half past six",
    "play some jazz in the kitchen",
    "warm up the office to twenty one degrees",
];

pub fn run(board: &mut impl Board, arena: &mut [u8]) -> Result<(), Error> {
    check(board, &home_slots::MODEL, arena)?;
    let mut fingerprint = Fingerprint::default();
    for sentence in SENTENCES {
        let mut memory = [Token::default(); MAX_TOKENS];
        let tokens = tokens(&home_slots::TOKENIZER, sentence, arena, &mut memory)?;
        let mut session = Session::new(&home_slots::MODEL, arena, TOKENS)?;
        session.encode(&ids_of(tokens), &[])?;
        let mut words = 0;
        for (position, token) in tokens.iter().enumerate() {
            let logits = session.logits_at(position)?;
            fingerprint.update(logits);
            let label = home_slots::MODEL.labels().nth(argmax(logits) as usize).unwrap_or("?");
            // The label of a word is that of its first token; special tokens have no text.
            if token.text.is_none() || token.continues {
                continue;
            }
            let end = tokens.iter().skip(position + 1).take_while(|next| next.continues).last().unwrap_or(token).end;
            board.print(if words > 0 { " " } else { "" });
            board.print(sentence.get(token.start as usize..end as usize).unwrap_or("?"));
            if label != "O" {
                board.print("/");
                board.print(label);
            }
            words += 1;
        }
        board.print("\n");
    }
    bits(board, fingerprint);
    Ok(())
}
