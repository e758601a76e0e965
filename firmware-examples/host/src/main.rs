//! Runs an example on the desktop: `cargo run --release -- generate`. `talk` reads sentences from
//! the terminal.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use kinglet::tokenizer::Tokenizer;
use kinglet::{AlignedVec, Error, Model};
use kinglet_examples::{
    Board, Line, Terminal, accuracy_commands, accuracy_intents, bench, calls, chat, checkpoint, classify, command,
    edges, fill_mask, generate, kernels, score, search, self_test, steps, tag, update,
};

struct Desktop(Instant);

impl Board for Desktop {
    const UNIT: &'static str = "nanoseconds";

    fn print(&mut self, text: &str) {
        // Fails only if the reader has closed the pipe.
        _ = io::stdout().write_all(text.as_bytes());
    }

    fn count(&mut self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

impl Terminal for Desktop {
    fn print(&mut self, text: &str) {
        Board::print(self, text);
    }

    fn line(&mut self) -> Option<Line> {
        Line::try_from(io::stdin().lines().next()?.ok()?.as_str()).ok()
    }
}

/// Runs `checkpoint` with the blob and the number of tokens of the command line.
fn checkpoint(desktop: &mut Desktop) -> Result<(), Error> {
    let mut words = std::env::args().skip(2);
    let blob = std::fs::read(words.next().unwrap_or_default()).unwrap_or_default();
    let blob = AlignedVec::from(blob.as_slice());
    let tokens = words.next().and_then(|word| word.parse().ok()).unwrap_or(64);
    let model = Model::from_bytes(&blob)?;
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section())?;
    checkpoint::run(desktop, &model, &tokenizer, tokens, &mut AlignedVec::zeroed(kinglet::arena_bytes(&blob, tokens)))
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
        return Some(command::talk(&mut desktop, &mut AlignedVec::zeroed(command::ARENA)));
    }
    if example == "kernels" {
        return Some(kernels::run(&mut desktop, &mut Box::new(kernels::Memory::new())));
    }
    if example == "update" {
        return Some(update::run(&mut desktop, &mut Box::new(update::Memory::new())));
    }
    if example == "checkpoint" {
        return Some(checkpoint(&mut desktop));
    }
    examples!(
        generate,
        classify,
        tag,
        command,
        score,
        fill_mask,
        search,
        bench,
        calls,
        steps,
        chat,
        self_test,
        edges,
        accuracy_intents,
        accuracy_commands
    )
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
