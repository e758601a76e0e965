//! Blinks while the model computes: between two steps of the model the executor runs other tasks.
#![no_std]
#![no_main]

use board::{Pico, start};
use defmt::{error, println};
use embassy_executor::Spawner;
use embassy_futures::yield_now;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::watchdog::Watchdog;
use embassy_time::{Duration, Instant, Timer};
use kinglet::sample::argmax;
use kinglet::{RunError, Session};
use kinglet_examples::Arena;
use kinglet_examples::generate::{ARENA, TOKENS};
use kinglet_examples::models::stories;

#[embassy_executor::task]
async fn blink(mut led: Output<'static>) {
    loop {
        led.toggle();
        Timer::after_millis(50).await;
    }
}

/// Writes a story, and yields to other tasks after every step.
async fn think(arena: &mut [u8], mut between: impl FnMut()) -> Result<(), RunError> {
    let mut session = Session::new(&stories::MODEL, arena, TOKENS)?;
    let mut decoder = stories::TOKENIZER.decoder(true);
    let mut token = 1;
    while session.remaining() > 0 && token != 2 {
        let ids = [token];
        let mut pass = session.begin_prefill(&ids)?;
        while session.advance(&mut pass, &ids, &[])? {
            between();
            yield_now().await;
        }
        token = argmax(session.logits()?);
        decoder.push(token, &mut |piece| println!("{=str}", piece));
    }
    Ok(())
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static ARENA_CELL: static_cell::ConstStaticCell<Arena<ARENA>> =
        static_cell::ConstStaticCell::new(kinglet::Aligned([0; ARENA]));
    let board = start(&mut Pico::default());
    let mut watchdog = Watchdog::new(board.WATCHDOG);
    match blink(Output::new(board.PIN_25, Level::Low)) {
        Ok(task) => spawner.spawn(task),
        Err(_) => error!("no room for the task"),
    }
    // A layer takes a fraction of this.
    watchdog.start(Duration::from_millis(1000));
    let start = Instant::now();
    if let Err(error) = think(&mut ARENA_CELL.take().0, || watchdog.feed(Duration::from_millis(1000))).await {
        error!("{}", error);
    }
    println!("{=u64} ms", start.elapsed().as_millis());
    loop {
        watchdog.feed(Duration::from_millis(1000));
        Timer::after_millis(500).await;
    }
}
