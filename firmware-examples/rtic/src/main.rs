//! A classifier in an RTIC task processes a sentence every second, while a task of higher priority
//! interrupts it.
#![no_std]
#![no_main]

use rtic_monotonics::systick::prelude::*;

systick_monotonic!(Mono, 100);

/// The clock of QEMU's machine in hertz.
const CLOCK: u32 = 25_000_000;

#[rtic::app(device = lm3s6965, dispatchers = [SSI0, I2C0])]
mod app {
    use kinglet::Aligned;
    use kinglet_examples::assistant::Classifier;
    use kinglet_examples::classify::{ARENA, SENTENCES};
    use semihosting::{print, println, process};

    use super::*;

    #[shared]
    struct Shared {
        blinks: u32,
    }

    /// Resources of the task `listen`. The session in the classifier lives as long as the program.
    #[local]
    struct Local {
        classifier: Classifier,
    }

    #[init(local = [arena: Aligned<[u8; ARENA]> = kinglet::arena!(ARENA)])]
    fn init(cx: init::Context) -> (Shared, Local) {
        Mono::start(cx.core.SYST, CLOCK);
        let Ok(classifier) = Classifier::new(&mut cx.local.arena.0) else { process::exit(1) };
        if listen::spawn().is_err() || blink::spawn().is_err() {
            process::exit(1);
        }
        (Shared { blinks: 0 }, Local { classifier })
    }

    /// Classifies sentences, at low priority.
    #[task(local = [classifier], shared = [blinks], priority = 1)]
    async fn listen(mut cx: listen::Context) {
        let mut next = Mono::now();
        for sentence in SENTENCES {
            next += 1.secs();
            Mono::delay_until(next).await;
            let label = cx.local.classifier.hear(sentence).and_then(|()| {
                loop {
                    if let Some(label) = cx.local.classifier.step()? {
                        return Ok(label);
                    }
                    // Feed the watchdog here.
                }
            });
            let Ok(label) = label else { process::exit(1) };
            println!("{sentence} -> {label}");
        }
        // Ten blinks per second, even while the classifier worked.
        let blinks = cx.shared.blinks.lock(|blinks| *blinks);
        print!("# blinks: {blinks}\n");
        process::exit(i32::from(!(80..=82).contains(&blinks)));
    }

    /// Blinks at high priority, and must not be delayed.
    #[task(shared = [blinks], priority = 2)]
    async fn blink(mut cx: blink::Context) {
        let mut next = Mono::now();
        loop {
            next += 100.millis();
            Mono::delay_until(next).await;
            cx.shared.blinks.lock(|blinks| *blinks += 1);
        }
    }
}
