#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use kinglet::sample::argmax;
use kinglet::tokenizer::{EncodeOptions, Token};
use kinglet::{Error, Session};
use panic_semihosting as _;

#[rustfmt::skip]
mod model; // written by `kinglet export`: MODEL, TOKENIZER, LABELS, MAX_TOKENS, ARENA

fn intent(text: &str) -> Result<&'static str, Error> {
    let (mut scratch, mut tokens) = ([0; 1024], [Token::default(); model::MAX_TOKENS]);
    let count = model::TOKENIZER.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens)?;
    let ids = tokens.map(|token| token.id);

    let mut arena = kinglet::arena!(model::ARENA); // on the stack here; a static does as well
    let mut session = Session::new(&model::MODEL, &mut arena.0, model::MAX_TOKENS)?;
    session.encode(&ids[..count], &[])?;
    Ok(model::LABELS[argmax(session.logits()?) as usize])
}

#[entry]
fn main() -> ! {
    match intent("Dim the hallway lights to thirty percent.") {
        Ok(label) => hprintln!("{}", label),
        Err(error) => hprintln!("{}", error),
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}
