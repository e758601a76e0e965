//! Runs a model on a {{chip}}: first its self test, then a text.
#![no_std]
#![no_main]

use bytemuck::try_cast_slice_mut;
use cortex_m_rt::entry;
use defmt::{error, println};
use defmt_rtt as _;
use kinglet::sample::argmax;
use kinglet::tokenizer::{EncodeOptions, Token};
use kinglet::{Aligned, RunError, Session};
use panic_probe as _;

#[allow(dead_code)]
#[rustfmt::skip]
mod model;

use model::{ARENA, MAX_TOKENS, MODEL, TOKENIZER};

const TEXT: &str = "Hello";
/// The maximum number of tokens of `TEXT`.
const LONGEST: usize = 32;

/// The token ids of a text, and their number. The arena is the tokenizer's scratch memory while no
/// session uses it.
fn tokens(text: &str, arena: &mut [u8]) -> Result<([u32; LONGEST], usize), RunError> {
    let scratch = try_cast_slice_mut(arena).map_err(|_| RunError::ArenaMisaligned)?;
    let mut tokens = [Token::default(); LONGEST];
    let count = TOKENIZER.encode(text, None, &EncodeOptions::default(), scratch, &mut tokens)?;
    Ok((tokens.map(|token| token.id), count))
}

/// Generates text: a decoder continues the given text, an encoder-decoder translates it.
fn write(session: &mut Session<'_, '_>, ids: &[u32]) -> Result<(), RunError> {
    let special = &MODEL.manifest().tokens;
    if MODEL.spec().encoder.is_some() {
        session.encode(ids, &[])?;
        session.prefill(&[special.decoder_start.or(special.bos).unwrap_or(0)])?;
    } else {
        session.prefill(ids)?;
    }
    let mut decoder = TOKENIZER.decoder(true);
    while session.remaining() > 0 {
        let token = argmax(session.logits()?);
        if special.eos.contains(&token) {
            break;
        }
        decoder.push(token, &mut |piece| println!("{=str}", piece));
        session.prefill(&[token])?;
    }
    decoder.finish(&mut |piece| println!("{=str}", piece));
    Ok(())
}

/// Classifies the text with an encoder.
fn classify(session: &mut Session<'_, '_>, ids: &[u32]) -> Result<(), RunError> {
    session.encode(ids, &[])?;
    let label = argmax(session.logits()?) as usize;
    println!("{=str}", MODEL.labels().nth(label).unwrap_or("?"));
    Ok(())
}

fn run(arena: &mut [u8]) -> Result<(), RunError> {
    MODEL.self_test(arena)?;
    println!("self test: PASS");
    let (ids, count) = tokens(TEXT, arena)?;
    let ids = ids.get(..count).unwrap_or(&[]);
    let mut session = Session::new(&MODEL, arena, MAX_TOKENS)?;
    if MODEL.spec().decoder.is_some() {
        write(&mut session, ids)
    } else {
        classify(&mut session, ids)
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Aligned<[u8; ARENA]> = kinglet::arena!(ARENA);
    if let Err(error) = run(&mut MEMORY.0) {
        error!("{}", error);
    }
    loop {
        cortex_m::asm::wfi();
    }
}
