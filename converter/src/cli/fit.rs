//! `kinglet fit`: which boards a blob fits.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use kinglet::MemoryPlan;
use kinglet::format::spec::{ModelSpec, StackSpec};
use kinglet_convert::report::memory;
use serde_json::json;

use super::engine::{open, read_blob};
use super::output;

/// Say which boards a blob fits, with what left over, and about how long a token takes there.
#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// The blob.
    model: PathBuf,
    /// Only the boards whose name or chip contains this.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// The longest text; by default the longest that fits.
    #[arg(long)]
    tokens: Option<usize>,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// How many instructions a core takes for one product of a model's matrices, everything else of a token included: counted under
/// emulation, on the models that ship.
#[derive(Clone, Copy)]
enum Core {
    M0Plus,
    M4,
    M7,
    M33,
    RiscV,
}

impl Core {
    const fn name(self) -> &'static str {
        match self {
            Self::M0Plus => "Cortex-M0+",
            Self::M4 => "Cortex-M4F",
            Self::M7 => "Cortex-M7",
            Self::M33 => "Cortex-M33",
            Self::RiscV => "RV32IMC",
        }
    }

    /// Of `cargo xtask firmware`: a sentence classified, over the products of its matrices.
    const fn instructions_per_product(self) -> f64 {
        match self {
            Self::M0Plus => 6.0,
            Self::M4 | Self::M7 => 2.4,
            Self::M33 => 2.5,
            Self::RiscV => 5.0,
        }
    }

    /// Instructions that a cycle completes, about: loads that wait, and the second pipeline of an M7.
    const fn per_cycle(self) -> f64 {
        match self {
            Self::M0Plus | Self::RiscV => 0.7,
            Self::M4 | Self::M33 => 0.75,
            Self::M7 => 1.3,
        }
    }
}

/// A board: its chip, its memory in KiB, its clock in megahertz.
struct Board {
    name: &'static str,
    chip: &'static str,
    core: Core,
    flash: u64,
    ram: u64,
    clock: u32,
}

const BOARDS: [Board; 12] = [
    Board { name: "Raspberry Pi Pico", chip: "RP2040", core: Core::M0Plus, flash: 2048, ram: 264, clock: 125 },
    Board { name: "Raspberry Pi Pico 2", chip: "RP2350", core: Core::M33, flash: 4096, ram: 520, clock: 150 },
    Board { name: "Nucleo-F446RE", chip: "STM32F446RE", core: Core::M4, flash: 512, ram: 128, clock: 180 },
    Board { name: "STM32F4 Discovery", chip: "STM32F407VG", core: Core::M4, flash: 1024, ram: 128, clock: 168 },
    Board { name: "Nucleo-L476RG", chip: "STM32L476RG", core: Core::M4, flash: 1024, ram: 96, clock: 80 },
    Board { name: "Nucleo-H743ZI", chip: "STM32H743ZI", core: Core::M7, flash: 2048, ram: 512, clock: 480 },
    Board { name: "Nucleo-U575ZI-Q", chip: "STM32U575ZI", core: Core::M33, flash: 2048, ram: 768, clock: 160 },
    Board { name: "nRF52840-DK", chip: "nRF52840", core: Core::M4, flash: 1024, ram: 256, clock: 64 },
    Board { name: "BBC micro:bit v2", chip: "nRF52833", core: Core::M4, flash: 512, ram: 128, clock: 64 },
    Board { name: "nRF5340-DK", chip: "nRF5340", core: Core::M33, flash: 1024, ram: 512, clock: 128 },
    Board { name: "ESP32-C3-DevKit", chip: "ESP32-C3", core: Core::RiscV, flash: 4096, ram: 400, clock: 160 },
    Board { name: "Nucleo-G071RB", chip: "STM32G071RB", core: Core::M0Plus, flash: 128, ram: 36, clock: 64 },
];

/// What the runtime takes besides the blob and the arena, in bytes: its code with a tokenizer, and its stack.
const CODE: u64 = 112 * 1024;
const STACK: u64 = 20 * 1024;

impl Fit {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let longest = memory(spec)?.iter().map(|memory| memory.tokens).max().unwrap_or(1);
        let wanted = self.board.as_deref().unwrap_or_default().to_lowercase();
        let named = |board: &&Board| format!("{} {}", board.name, board.chip).to_lowercase().contains(&wanted);
        let boards: Vec<&Board> = BOARDS.iter().filter(named).collect();
        if boards.is_empty() {
            let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
            bail!("no board is called \"{wanted}\"\nthere are {}", names.join(", "));
        }
        let products = products(spec);
        let mut answers = Vec::new();
        for board in boards {
            let (flash, ram) = (board.flash * 1024, board.ram * 1024);
            let flash_left = flash.checked_sub(blob.len() as u64 + CODE);
            let room = ram.saturating_sub(STACK);
            let arena = |tokens: usize| MemoryPlan::standard(spec, tokens).map(|plan| plan.bytes());
            let fits = |tokens: &usize| arena(*tokens).is_ok_and(|bytes| bytes <= room);
            let tokens = match self.tokens {
                Some(tokens) => Some(tokens).filter(fits),
                None => (1..=longest).rev().find(fits),
            };
            let milliseconds = products as f64 * board.core.instructions_per_product()
                / board.core.per_cycle()
                / (f64::from(board.clock) * 1000.0);
            let ram_left = tokens.map(|tokens| arena(tokens).map(|bytes| room - bytes)).transpose()?;
            let advice = match (flash_left, tokens) {
                (Some(_), Some(_)) => None,
                (None, _) => Some("a smaller vocabulary, or fewer layers: it is too large for the flash"),
                (_, None) if self.tokens.is_some() => Some("fewer --tokens, or 8-bit keys"),
                _ => Some("a model with a narrower hidden state"),
            };
            answers.push((board, flash_left, tokens, ram_left, milliseconds, advice));
        }
        if self.json {
            let boards: Vec<_> = answers
                .iter()
                .map(|(board, flash_left, tokens, ram_left, milliseconds, advice)| {
                    json!({
                        "board": board.name, "chip": board.chip, "core": board.core.name(), "fits": advice.is_none(),
                        "flash_left": flash_left, "tokens": tokens, "ram_left": ram_left,
                        "estimated_milliseconds_per_token": milliseconds, "advice": advice,
                    })
                })
                .collect();
            return output::json(&json!({ "boards": boards, "products_per_token": products }));
        }
        for (board, flash_left, tokens, ram_left, milliseconds, advice) in answers {
            let name = format!("{} ({}, {})", board.name, board.chip, board.core.name());
            match (flash_left, tokens, ram_left, advice) {
                (Some(flash_left), Some(tokens), Some(ram_left), None) => output::line(&format!(
                    "{name}: fits at {tokens} tokens; {} KiB of flash and {} KiB of RAM are left; a token takes about {milliseconds:.1} ms (an estimate)",
                    flash_left / 1024,
                    ram_left / 1024
                ))?,
                _ => output::line(&format!("{name}: does not fit; try {}", advice.unwrap_or_default()))?,
            }
        }
        Ok(())
    }
}

/// Products of the matrices for one token.
fn products(spec: &ModelSpec) -> u64 {
    let stack = |stack: &StackSpec| {
        let (hidden, attention, network) =
            (u64::from(stack.hidden_size), &stack.block.attention, &stack.block.feed_forward);
        let queries = attention.query_size() as u64;
        let keys = attention.key_value_size() as u64;
        let crossing = if stack.block.cross_attention { 2 * queries * hidden } else { 0 };
        let network = u64::from(network.intermediate_size)
            * hidden
            * if network.gated { 3 } else { 2 }
            * u64::from(network.networks);
        u64::from(stack.num_hidden_layers) * (2 * hidden * (queries + keys) + crossing + network)
    };
    // A classifier's head runs once a text, a writer's with every token.
    let head = spec.decoder.map_or(0, |stack| u64::from(stack.hidden_size) * u64::from(spec.head.num_outputs));
    [spec.encoder, spec.decoder].iter().flatten().map(stack).sum::<u64>() + head
}
