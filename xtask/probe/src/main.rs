//! A program that calls everything between texts and logits, and nothing else, for `cargo xtask
//! floats`.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{Error, Model, Session};

const WARM: SamplerOptions = SamplerOptions { temperature: 0.8, top_p: 0.9, ..SamplerOptions::GREEDY };
static SAMPLER: Sampler = match Sampler::new(WARM) {
    Ok(sampler) => sampler,
    Err(_) => panic!("an option is out of range"),
};

fn read(section: &[u8], text: &str) -> Result<usize, Error> {
    let tokenizer = Tokenizer::from_bytes(section)?;
    let (mut scratch, mut tokens) = ([0; 64], [Token::default(); 8]);
    let count = tokenizer.encode(text, Some(text), &EncodeOptions::default(), &mut scratch, &mut tokens)?;
    let ids = tokens.map(|token| token.id);
    tokenizer.decode(&ids, true, &mut |piece| _ = black_box(piece));
    Ok(count)
}

fn run(blob: &[u8], arena: &mut [u8], ids: &[u32]) -> Result<u32, Error> {
    let model = Model::from_bytes(blob)?;
    black_box(read(model.tokenizer_section(), black_box("text"))?);
    model.self_test(arena)?;
    let mut session = Session::new(&model, arena, 64)?;
    session.encode(ids, &[])?;
    black_box(session.logits_at(0)?);
    session.prefill(ids)?;
    black_box(session.step(1)?);
    let token = SAMPLER.clone().sample(session.logits_mut()?, 16, ids)?;
    #[cfg(feature = "floats")]
    {
        let mut vector = [0.0; 4];
        kinglet::task::embed(&mut session, ids, &[], &mut vector)?;
        // Otherwise the compiler would remove the computation.
        black_box(&vector);
    }
    Ok(token)
}

/// The entry point.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut arena = [0; 64];
    loop {
        _ = black_box(run(black_box(&[]), black_box(&mut arena), black_box(&[1, 2])));
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
