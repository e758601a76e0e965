//! Decides which boards a model fits, how much memory is left, and about how long a token takes.

mod boards;
mod costs;
mod counts;

use kinglet::MemoryPlan;
use kinglet::format::spec::ModelSpec;
use serde_json::{Value, json};

pub use boards::{BOARDS, Board, Core};
pub use costs::Estimate;

use costs::work;

/// The bytes of flash and of stack that a program takes besides the blob and the arena, with the
/// model as `kinglet export` writes it, a tokenizer, a self test and a logger. A Cortex-M4 has 46
/// KB and 6 KB; the rest is a margin.
const CODE: u64 = 64 * 1024;
const STACK: u64 = 8 * 1024;

/// The bytes of stack that some calls take on a Cortex-M4 below their caller: the larger
/// measurement of a decoder and an encoder.
pub fn stacks() -> [(&'static str, u64); 5] {
    let calls = [
        "Model::from_bytes",
        "Tokenizer::from_bytes",
        "Model::self_test",
        "Tokenizer::encode",
        "Session::prefill or encode",
    ];
    calls.map(|call| (call, counts::counted("M4F", "calls", &format!("bytes of stack, {call}")) as u64))
}

/// The fit of a blob on a board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The board.
    pub board: Board,
    /// The bytes of the blob.
    pub blob: u64,
    /// The bytes of flash that are left; `None` if blob and code do not fit.
    pub flash_left: Option<u64>,
    /// The longest text that fits, or the one that was asked for if it fits.
    pub tokens: Option<usize>,
    /// The bytes of RAM that are left at that length.
    pub ram_left: Option<u64>,
    /// The cost of a token, as the mean over a text of that length.
    pub estimate: Estimate,
}

impl Fit {
    /// The fit of a blob of `blob` bytes on a board, with texts of up to `wanted` tokens, or of the
    /// longest that fit.
    pub fn new(board: &Board, blob: u64, spec: &ModelSpec, wanted: Option<usize>) -> Self {
        let (flash, ram) = (board.flash * 1024, board.ram * 1024);
        let room = ram.saturating_sub(STACK);
        let arena = |tokens: usize| MemoryPlan::standard(spec, tokens).ok().map(|plan| plan.bytes());
        let fits = |tokens: &usize| arena(*tokens).is_some_and(|bytes| bytes <= room);
        let tokens = match wanted {
            Some(tokens) => Some(tokens).filter(fits),
            None => longest_that(longest(spec), fits),
        };
        let ram_left = tokens.and_then(arena).map(|bytes| room - bytes);
        let estimate = Estimate::of(board, spec, tokens.or(wanted).unwrap_or(1));
        Self { board: *board, blob, flash_left: flash.checked_sub(blob + CODE), tokens, ram_left, estimate }
    }

    /// Whether the model fits the flash and the RAM.
    pub fn fits(&self) -> bool {
        self.flash_left.is_some() && self.tokens.is_some()
    }

    /// The reason why the model does not fit the board; `None` if it does.
    pub fn obstacle(&self) -> Option<String> {
        let Board { flash, ram, .. } = self.board;
        match (self.flash_left, self.tokens) {
            (None, _) => Some(format!("{} KiB do not fit {flash} KiB of flash", (self.blob + CODE).div_ceil(1024))),
            (_, None) => Some(format!("the arena does not fit {ram} KiB of RAM")),
            _ => None,
        }
    }

    /// The figures as JSON.
    pub fn json(&self) -> Value {
        let Board { name, chip, core, clock, .. } = self.board;
        let Estimate { instructions, computing, bytes, reading } = self.estimate;
        json!({
            "board": name, "chip": chip, "core": core.name(), "megahertz": clock, "fits": self.fits(), "bytes": self.blob,
            "flash_left": self.flash_left, "tokens": self.tokens, "ram_left": self.ram_left,
            "estimated_milliseconds_per_token": self.estimate.milliseconds(),
            "instructions_per_token": instructions.round(), "milliseconds_of_computing": computing,
            "bytes_read_per_token": bytes.round(), "milliseconds_of_reading": reading,
        })
    }
}

/// The length of the longest text that every stack takes.
fn longest(spec: &ModelSpec) -> usize {
    let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
    stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(1)
}

/// The largest length up to `longest` that fits, by bisection: every length below one that fits
/// must fit, too.
fn longest_that(longest: usize, fits: impl Fn(&usize) -> bool) -> Option<usize> {
    let (mut fitting, mut beyond) = (0, longest + 1);
    while fitting + 1 < beyond {
        let middle = fitting.midpoint(beyond);
        if fits(&middle) { fitting = middle } else { beyond = middle }
    }
    (fitting > 0).then_some(fitting)
}

/// The number of products in matrices for a token, in a text of one token.
pub fn products_per_token(spec: &ModelSpec) -> u64 {
    work(spec, 1).products as u64
}

#[cfg(test)]
mod tests;
