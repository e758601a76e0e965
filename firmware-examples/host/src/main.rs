//! Runs an example on the desktop: `cargo run --release -- generate`, or `talk`, which reads sentences from the terminal.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use kinglet::{AlignedVec, Error};
use kinglet_examples::{Board, bench, classify, command, fill_mask, generate, score, self_test, tag};

struct Desktop(Instant);

impl Board for Desktop {
    const UNIT: &'static str = "nanoseconds";

    fn print(&mut self, text: &str) {
        // Whoever closed the other end does not want to hear more.
        _ = io::stdout().write_all(text.as_bytes());
    }

    fn count(&mut self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

fn run(example: &str) -> Option<Result<(), Error>> {
    let mut desktop = Desktop(Instant::now());
    macro_rules! examples {
        ($($name:ident),*) => {
            match example {
                $(stringify!($name) => Some($name::run(&mut desktop, &mut AlignedVec::zeroed($name::ARENA))),)*
                _ => None,
            }
        };
    }
    if example == "talk" {
        let line = |_: &mut Desktop| {
            let line = io::stdin().lines().next()?.ok()?;
            heapless::String::try_from(line.as_str()).ok()
        };
        return Some(command::talk(&mut desktop, &mut AlignedVec::zeroed(command::ARENA), line));
    }
    examples!(generate, classify, tag, command, score, fill_mask, bench, self_test)
}

fn main() -> ExitCode {
    let example = std::env::args().nth(1).unwrap_or_default();
    match run(&example) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("error: there is no example {example:?}\nName one of the files in firmware-examples/expected.");
            ExitCode::FAILURE
        }
    }
}
