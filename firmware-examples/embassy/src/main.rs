//! Two models in an embassy task, which share an arena. Every second one model classifies the
//! intent of a sentence, and the other labels its words. Meanwhile another task blinks.
#![no_std]
#![no_main]

mod clock;

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_executor::Spawner;
use embassy_futures::yield_now;
use embassy_time::{Duration, Ticker};
use kinglet::sample::argmax;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{Aligned, Model, RunError, Session};
use kinglet_examples::classify::SENTENCES;
use kinglet_examples::models::{home_intent, home_slots};
use kinglet_examples::{classify, tag};
use semihosting::{print, println, process};
use static_cell::ConstStaticCell;

/// The size of the arena that both models use in turn: that of the larger one.
const ARENA: usize = if classify::ARENA > tag::ARENA { classify::ARENA } else { tag::ARENA };
/// The maximum number of tokens of a sentence.
const TOKENS: usize = 32;

static BLINKS: AtomicU32 = AtomicU32::new(0);

#[embassy_executor::task]
async fn blink() {
    let mut ticker = Ticker::every(Duration::from_millis(100));
    loop {
        ticker.next().await;
        BLINKS.store(BLINKS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Reads a sentence with a model, and lets other tasks run between its steps. The session is stored
/// in the task's memory, like all values that live across an `await`.
async fn read<'s>(
    model: &'s Model<'static>,
    tokenizer: &Tokenizer<'_>,
    sentence: &str,
    arena: &'s mut [u8],
    tokens: &mut [Token; TOKENS],
) -> Result<(Session<'s, 'static>, usize), RunError> {
    let mut session = Session::new(model, arena, TOKENS)?;
    let count = tokenizer.encode(sentence, None, &EncodeOptions::default(), session.scratch(), tokens)?;
    let ids = tokens.map(|token| token.id);
    let ids = ids.get(..count).unwrap_or(&[]);
    let mut pass = session.begin_encode(ids, &[])?;
    while session.advance(&mut pass, ids, &[])? {
        yield_now().await;
    }
    Ok((session, count))
}

async fn answer(sentence: &str, arena: &mut [u8]) -> Result<(), RunError> {
    let mut tokens = [Token::default(); TOKENS];
    {
        let (model, tokenizer) = (&home_intent::MODEL, &home_intent::TOKENIZER);
        let (mut session, _) = read(model, tokenizer, sentence, arena, &mut tokens).await?;
        let label = argmax(session.logits()?) as usize;
        print!("{sentence} -> {}", model.labels().nth(label).unwrap_or("?"));
    }
    // The first session was dropped, so the arena is free. The second model was trained on
    // sentences without punctuation at the end.
    let sentence = sentence.trim_end_matches(['.', '!', '?']);
    let (model, tokenizer) = (&home_slots::MODEL, &home_slots::TOKENIZER);
    let (mut session, count) = read(model, tokenizer, sentence, arena, &mut tokens).await?;
    for (position, token) in tokens.iter().enumerate().take(count) {
        let label = model.labels().nth(argmax(session.logits_at(position)?) as usize).unwrap_or("?");
        if label != "O" && token.text.is_some() && !token.continues {
            print!(" {}/{label}", sentence.get(token.start as usize..token.end as usize).unwrap_or("?"));
        }
    }
    println!();
    Ok(())
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static MEMORY: ConstStaticCell<Aligned<[u8; ARENA]>> = ConstStaticCell::new(kinglet::arena!(ARENA));
    let Some(core) = cortex_m::Peripherals::take() else { process::exit(1) };
    clock::start(core.SYST);
    match blink() {
        Ok(task) => spawner.spawn(task),
        Err(_) => process::exit(1),
    }
    let arena = &mut MEMORY.take().0;
    let mut second = Ticker::every(Duration::from_secs(1));
    for sentence in SENTENCES {
        second.next().await;
        if answer(sentence, arena).await.is_err() {
            process::exit(1);
        }
    }
    let blinks = BLINKS.load(Ordering::Relaxed);
    println!("# blinks: {blinks}");
    process::exit(i32::from(!(80..=90).contains(&blinks)));
}
