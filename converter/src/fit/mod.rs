//! Which boards a model fits, with what left over, about how long a token takes there, and what
//! would make it fit.

mod boards;
mod costs;
mod counts;

use kinglet::MemoryPlan;
use kinglet::format::spec::ModelSpec;
use serde_json::{Value, json};

pub use boards::{BOARDS, Board, Core};
pub use costs::Estimate;

use costs::work;

/// What a program takes besides the blob and the arena, in bytes, with the model as `kinglet
/// export` writes it: code with a tokenizer, a self test and a logger, and its stack. 46 KB and 6
/// KB were counted on a Cortex-M4; some room is left.
const CODE: u64 = 64 * 1024;
const STACK: u64 = 8 * 1024;

/// Bytes of stack that some calls take on a Cortex-M4 below the function that calls them: the
/// larger of what was measured of a decoder and of an encoder.
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

/// How a blob fits a board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The board.
    pub board: Board,
    /// Bytes of the blob.
    pub blob: u64,
    /// Bytes of flash besides the blob and the code; none where they do not fit.
    pub flash_left: Option<u64>,
    /// The longest text that fits, or the one that was asked for if it fits.
    pub tokens: Option<usize>,
    /// Bytes of RAM besides the arena and the stack at that length.
    pub ram_left: Option<u64>,
    /// About what a token costs: the mean of a text of that length.
    pub estimate: Estimate,
}

impl Fit {
    /// A blob of `blob` bytes on a board, with texts of up to `wanted` tokens, or as long as fit.
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

    /// Whether it fits the flash and the RAM.
    pub fn fits(&self) -> bool {
        self.flash_left.is_some() && self.tokens.is_some()
    }

    /// Why it does not fit; nothing if it does.
    pub fn obstacle(&self) -> Option<String> {
        let Board { flash, ram, .. } = self.board;
        match (self.flash_left, self.tokens) {
            (None, _) => Some(format!("{} KiB do not fit {flash} KiB of flash", (self.blob + CODE).div_ceil(1024))),
            (_, None) => Some(format!("the arena does not fit {ram} KiB of RAM")),
            _ => None,
        }
    }

    /// The figures by name.
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

/// Tokens of the longest text that each stack takes.
fn longest(spec: &ModelSpec) -> usize {
    let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
    stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(1)
}

/// The longest length up to `longest` that fits, where whatever is shorter than one that fits does,
/// too.
fn longest_that(longest: usize, fits: impl Fn(&usize) -> bool) -> Option<usize> {
    let (mut fitting, mut beyond) = (0, longest + 1);
    while fitting + 1 < beyond {
        let middle = fitting.midpoint(beyond);
        if fits(&middle) { fitting = middle } else { beyond = middle }
    }
    (fitting > 0).then_some(fitting)
}

/// The products of matrices for a token of a text of one.
pub fn products_per_token(spec: &ModelSpec) -> u64 {
    work(spec, 1).products as u64
}

#[cfg(test)]
mod tests;
