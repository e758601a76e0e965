//! A classifier in an RTIC task: it hears a sentence every second, and a task of a higher priority
//! interrupts it while it thinks.
#![no_std]
#![no_main]

use rtic_monotonics::systick::prelude::*;

systick_monotonic!(Mono, 100);

/// Times that the clock of QEMU's machine ticks in a second.
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

    /// The classifier is the task's own: its session lives as long as the program.
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

    /// What the device is for: whatever has a higher priority need not wait for it.
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
                    // A watchdog is fed here.
                }
            });
            let Ok(label) = label else { process::exit(1) };
            println!("{sentence} -> {label}");
        }
        // Ten a second, also while the classifier worked.
        let blinks = cx.shared.blinks.lock(|blinks| *blinks);
        print!("# blinks: {blinks}\n");
        process::exit(i32::from(!(80..=82).contains(&blinks)));
    }

    /// Something that must not wait.
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
