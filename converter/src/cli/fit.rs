//! `kinglet fit`: which boards a blob fits.

use core::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use kinglet::MemoryPlan;
use kinglet::format::spec::{ActivationWidth, ModelSpec, StackSpec, WeightLayout};
use kinglet_convert::report::memory;
use serde_json::{Value, json};

use super::counts::counted;
use super::engine::{open, read_blob};
use super::{number, output};

/// Say which boards a blob fits, with what left over, and about how long a token takes there: the
/// mean of a text of that length.
#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// The blob.
    model: PathBuf,
    /// Only the boards whose name or chip contains this.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// The longest text; by default the longest that fits.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: Option<usize>,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// A core that boards have.
#[derive(Clone, Copy, Debug)]
enum Core {
    M0Plus,
    M4,
    M7,
    M33,
    RiscV,
}

/// Instructions that a core took under emulation.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Instructions for a product, "a16, 384 x 384, one token".
    wide: f64,
    /// "a16, 64 x 64, one token".
    narrow: f64,
    /// "a8 in rows, 384 x 384, one token".
    rows: f64,
    /// "a16 in pairs, 384 x 384, one token".
    wide_pairs: f64,
    /// "a16 in pairs, 64 x 64, one token".
    narrow_pairs: f64,
    /// Instructions of the story teller for "a token, the first 8".
    early: f64,
    /// "a token, up to 128", those from the 65th on.
    late: f64,
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

    /// The emulated core that is counted for it.
    const fn emulated(self) -> &'static str {
        match self {
            Self::M0Plus => "M0+ code",
            Self::M4 => "M4F",
            Self::M7 => "M7",
            Self::M33 => "M33",
            Self::RiscV => "RV32IMC",
        }
    }

    fn counted(self) -> Counted {
        let product =
            |what: &str| counted(self.emulated(), "kernels", &format!("{what}, hundredths of instructions")) / 100.0;
        let token = |what: &str| counted(self.emulated(), "bench", &format!("instructions a token, {what}"));
        Counted {
            wide: product("a16, 384 x 384, one token"),
            narrow: product("a16, 64 x 64, one token"),
            rows: product("a8 in rows, 384 x 384, one token"),
            wide_pairs: product("a16 in pairs, 384 x 384, one token"),
            narrow_pairs: product("a16 in pairs, 64 x 64, one token"),
            early: token("the first 8"),
            late: token("up to 128"),
        }
    }

    /// Instructions that a cycle completes, about: loads that wait, and the second pipeline of an
    /// M7.
    const fn per_cycle(self) -> f64 {
        match self {
            Self::M0Plus | Self::RiscV => 0.7,
            Self::M4 | Self::M33 => 0.75,
            Self::M7 => 1.3,
        }
    }
}

/// The work of a core for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Work {
    /// Products of the matrices.
    products: f64,
    /// Outputs of the matrices, each of which is requantized, and then quantized, normed or
    /// activated.
    outputs: f64,
    /// Positions that all heads of all layers attend to.
    attended: f64,
    /// Values of heads at these positions.
    values: f64,
}

impl Work {
    /// A matrix that runs `times`.
    fn matrix(rows: usize, cols: usize, times: usize) -> Self {
        let outputs = (rows * times) as f64;
        Self { products: outputs * cols as f64, outputs, ..Self::default() }
    }

    /// All heads of all layers of a stack attend to `positions` positions.
    fn attention(stack: &StackSpec, positions: f64) -> Self {
        let attention = &stack.block.attention;
        let heads = f64::from(stack.num_hidden_layers * attention.num_attention_heads);
        Self {
            attended: heads * positions,
            values: heads * positions * f64::from(attention.head_dim),
            ..Self::default()
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            products: self.products + other.products,
            outputs: self.outputs + other.outputs,
            attended: self.attended + other.attended,
            values: self.values + other.values,
        }
    }
}

/// A core's instructions for each part of the work, fitted to the counts.
#[derive(Clone, Copy, Debug)]
struct Costs {
    product: f64,
    output: f64,
    attended: f64,
    value: f64,
}

impl Costs {
    /// The story teller: 5 layers of 64 with 8 heads of 8, half as many keys and values, 172
    /// inside, 512 tokens.
    const STORY: Work = Work { products: 259_328.0, outputs: 3512.0, attended: 40.0, values: 320.0 };
    /// Positions that the first eight tokens of `bench` look at, and those from the 65th to the
    /// 128th: their means.
    const POSITIONS: (f64, f64) = (4.5, 96.5);

    fn of(core: Core, spec: &ModelSpec) -> Self {
        let counted = core.counted();
        // A product costs `product + row / columns`.
        let slope = |wide: f64, narrow: f64| (384.0 * wide - 64.0 * narrow) / (384.0 - 64.0);
        let product = slope(counted.wide, counted.narrow);
        let position = (counted.late - counted.early) / (Self::POSITIONS.1 - Self::POSITIONS.0);
        // Each value of a head is in a product with a key's, and in one with a weight.
        let value = 2.0 * product;
        let attended = (position - value * Self::STORY.values) / Self::STORY.attended;
        let rest = counted.early - position * Self::POSITIONS.0 - product * Self::STORY.products;
        let as_they_lie = match (spec.numerics.weights, spec.numerics.activations) {
            (WeightLayout::RowMajor, ActivationWidth::A8) | (WeightLayout::WideTiled, _) => counted.rows,
            (WeightLayout::Paired, _) => slope(counted.wide_pairs, counted.narrow_pairs),
            _ => product,
        };
        Self { product: as_they_lie, output: rest / Self::STORY.outputs, attended, value }
    }

    fn instructions(&self, work: Work) -> f64 {
        self.product * work.products
            + self.output * work.outputs
            + self.attended * work.attended
            + self.value * work.values
    }
}

/// A board: its chip, the memory in KiB that one program may have, its clock in megahertz. Where
/// `firmware-examples` has a folder for a board, its `Cargo.toml` has these figures, too.
struct Board {
    name: &'static str,
    chip: &'static str,
    core: Core,
    flash: u64,
    ram: u64,
    clock: u32,
}

static BOARDS: [Board; 12] = [
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
    Board { name: "ESP32-C3-DevKit", chip: "ESP32-C3", core: Core::RiscV, flash: 4032, ram: 313, clock: 160 },
    Board { name: "Nucleo-G071RB", chip: "STM32G071RB", core: Core::M0Plus, flash: 128, ram: 36, clock: 64 },
];

/// What a program takes besides the blob and the arena, in bytes, with the model as `kinglet
/// export` writes it: code with a tokenizer, a self test and a logger, and its stack. 46 KB and 6
/// KB were counted on a Cortex-M4; some room is left.
const CODE: u64 = 64 * 1024;
const STACK: u64 = 8 * 1024;

/// How a blob fits a board.
struct Answer {
    board: &'static Board,
    flash_left: Option<u64>,
    /// The longest text that fits, or the one that was asked for if it fits.
    tokens: Option<usize>,
    ram_left: Option<u64>,
    milliseconds: f64,
    /// What would help, where it does not fit.
    advice: Option<&'static str>,
}

impl Answer {
    fn new(board: &'static Board, blob: &[u8], spec: &ModelSpec, wanted: Option<usize>) -> Result<Self> {
        let (flash, ram) = (board.flash * 1024, board.ram * 1024);
        let flash_left = flash.checked_sub(blob.len() as u64 + CODE);
        let room = ram.saturating_sub(STACK);
        let arena = |tokens: usize| MemoryPlan::standard(spec, tokens).map(|plan| plan.bytes());
        let fits = |tokens: &usize| arena(*tokens).is_ok_and(|bytes| bytes <= room);
        let longest = memory(spec)?.iter().map(|memory| memory.tokens).max().unwrap_or(1);
        let tokens = match wanted {
            Some(tokens) => Some(tokens).filter(fits),
            None => (1..=longest).rev().find(fits),
        };
        let instructions = Costs::of(board.core, spec).instructions(work(spec, tokens.unwrap_or(1)));
        let milliseconds = instructions / board.core.per_cycle() / (f64::from(board.clock) * 1000.0);
        let ram_left = tokens.map(|tokens| arena(tokens).map(|bytes| room - bytes)).transpose()?;
        let advice = match (flash_left, tokens) {
            (Some(_), Some(_)) => None,
            (None, _) => Some("a smaller vocabulary, or fewer layers: it is too large for the flash"),
            (_, None) if wanted.is_some() => Some("fewer --tokens, or 8-bit keys"),
            _ => Some("a model with a narrower hidden state"),
        };
        Ok(Self { board, flash_left, tokens, ram_left, milliseconds, advice })
    }

    fn json(&self) -> Value {
        json!({
            "board": self.board.name, "chip": self.board.chip, "core": self.board.core.name(),
            "megahertz": self.board.clock, "fits": self.advice.is_none(), "flash_left": self.flash_left,
            "tokens": self.tokens, "ram_left": self.ram_left,
            "estimated_milliseconds_per_token": self.milliseconds, "advice": self.advice,
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Board { name, chip, core, clock, .. } = self.board;
        write!(f, "{name} ({chip}, {}): ", core.name())?;
        match (self.flash_left, self.tokens, self.ram_left, self.advice) {
            (Some(flash_left), Some(tokens), Some(ram_left), None) => write!(
                f,
                "fits at {tokens} tokens; {} KiB of flash and {} KiB of RAM are left; a token takes about {:.1} ms at {clock} MHz (an estimate)",
                flash_left / 1024,
                ram_left / 1024,
                self.milliseconds
            ),
            _ => write!(f, "does not fit; try {}", self.advice.unwrap_or_default()),
        }
    }
}

impl Fit {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let wanted = self.board.as_deref().unwrap_or_default().to_lowercase();
        let named = |board: &&Board| format!("{} {}", board.name, board.chip).to_lowercase().contains(&wanted);
        let boards: Vec<&Board> = BOARDS.iter().filter(named).collect();
        if boards.is_empty() {
            let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
            bail!("no board is called \"{wanted}\"\nthere are {}", names.join(", "));
        }
        let answers = boards.into_iter().map(|board| Answer::new(board, &blob, spec, self.tokens));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        if self.json {
            let boards: Vec<Value> = answers.iter().map(Answer::json).collect();
            let products = work(spec, 1).products as u64;
            return output::json(&json!({ "boards": boards, "products_per_token": products }));
        }
        answers.iter().try_for_each(|answer| output::line(&answer.to_string()))
    }
}

/// The mean work for a token of a text of `tokens` tokens; an encoder-decoder reads one and writes
/// one. The few instructions of a tokenizer are left out, and a classifier's head, which runs once
/// a text.
fn work(spec: &ModelSpec, tokens: usize) -> Work {
    let writing = spec.decoder.as_ref().map_or(Work::default(), |stack| {
        let attention = &stack.block.attention;
        // As many positions as are before it: half of the text, or the window.
        let half = (tokens as f64 + 1.0) / 2.0;
        let seen = if attention.sliding_layers == 0 { half } else { half.min(f64::from(attention.window)) };
        let sliding = f64::from(attention.sliding_layers.count_ones()) / f64::from(stack.num_hidden_layers.max(1));
        writing(spec, stack, seen * sliding + half * (1.0 - sliding), tokens as f64)
    });
    spec.encoder.as_ref().map_or(writing, |stack| reading(spec, stack, tokens as f64).and(writing))
}

/// An encoder's work for a token of a text of `tokens` tokens.
fn reading(spec: &ModelSpec, stack: &StackSpec, tokens: f64) -> Work {
    let crossed = spec.decoder.as_ref().filter(|decoder| decoder.block.cross_attention);
    let stored = crossed.map_or(Work::default(), |decoder| {
        let width = decoder.block.attention.key_value_size();
        Work::matrix(width, decoder.hidden_size as usize, 2 * decoder.num_hidden_layers as usize)
    });
    blocks(stack).and(Work::attention(stack, tokens)).and(stored)
}

/// A decoder's work for a token that attends to `positions` positions, and to `source` positions of
/// the encoder.
fn writing(spec: &ModelSpec, stack: &StackSpec, positions: f64, source: f64) -> Work {
    let hidden = stack.hidden_size as usize;
    let crossing = if stack.block.cross_attention {
        let (queries, layers) = (stack.block.attention.query_size(), stack.num_hidden_layers as usize);
        let around = Work::matrix(queries, hidden, layers).and(Work::matrix(hidden, queries, layers));
        around.and(Work::attention(stack, source))
    } else {
        Work::default()
    };
    let head = Work::matrix(spec.head.num_outputs as usize, hidden, 1);
    blocks(stack).and(Work::attention(stack, positions)).and(crossing).and(head)
}

/// The matrices of a stack's blocks, but for those of cross-attention.
fn blocks(stack: &StackSpec) -> Work {
    let (attention, network) = (&stack.block.attention, &stack.block.feed_forward);
    let (hidden, layers) = (stack.hidden_size as usize, stack.num_hidden_layers as usize);
    let size = stack.block.inner_size(stack.hidden_size) as usize;
    let (queries, keys, inner) =
        (attention.query_size(), attention.key_value_size(), network.intermediate_size as usize);
    let networks = layers * usize::from(network.networks);
    let around = if stack.block.bottleneck.is_some() {
        Work::matrix(size, hidden, layers).and(Work::matrix(hidden, size, layers))
    } else {
        Work::default()
    };
    Work::matrix(queries + 2 * keys, size, layers)
        .and(Work::matrix(size, queries, layers))
        .and(Work::matrix(inner, size, networks * if network.gated { 2 } else { 1 }))
        .and(Work::matrix(size, inner, networks))
        .and(around)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
    use kinglet::{AlignedVec, Model};

    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn blob(name: &str) -> AlignedVec {
        let path = Path::new(ROOT).join(format!("firmware-examples/common/models/{name}.kinglet"));
        AlignedVec::from(fs::read(path).expect("it ships").as_slice())
    }

    fn tokens(model: &Model<'_>, text: &str) -> f64 {
        let tokenizer = Tokenizer::from_bytes(model.tokenizer_section()).expect("it has one");
        let (mut scratch, mut tokens) = ([0; 8192], [Token::default(); 128]);
        let options = EncodeOptions::default();
        tokenizer.encode(text, None, &options, &mut scratch, &mut tokens).expect("room") as f64
    }

    /// What an example answers, as its expected file says: texts and what becomes of them.
    fn answers(example: &str) -> Vec<(String, String)> {
        let path = Path::new(ROOT).join(format!("firmware-examples/expected/{example}.txt"));
        let text = fs::read_to_string(path).expect("it is kept");
        let pairs = text.lines().filter_map(|line| line.split_once(" -> "));
        pairs.map(|(text, answer)| (text.to_owned(), answer.to_owned())).collect()
    }

    /// What stands in a manifest after a key at the beginning of a line.
    fn said<'t>(manifest: &'t str, key: &str) -> &'t str {
        manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap_or_else(|| panic!("no {key}"))
    }

    #[test]
    fn boards_with_a_folder_are_what_the_folder_says() {
        let mut boards = 0;
        for entry in fs::read_dir(Path::new(ROOT).join("firmware-examples")).expect("the folder") {
            let manifest = entry.expect("an entry").path().join("Cargo.toml");
            let manifest = fs::read_to_string(manifest).unwrap_or_default();
            let Some((_, manifest)) = manifest.split_once("[package.metadata.kinglet]\n") else { continue };
            let name = said(manifest, "board").trim_matches('"');
            let board = BOARDS.iter().find(|board| board.name == name).unwrap_or_else(|| panic!("no {name}"));
            let kib = |key: &str| said(manifest, key).trim_end_matches(']').rsplit(' ').next().map(str::parse);
            assert_eq!(said(manifest, "chip").trim_matches('"'), board.chip, "{name}");
            assert_eq!(said(manifest, "core").trim_matches('"'), board.core.name(), "{name}");
            assert_eq!(said(manifest, "clock").parse(), Ok(board.clock), "{name}");
            assert_eq!((kib("flash"), kib("ram")), (Some(Ok(board.flash)), Some(Ok(board.ram))), "{name}");
            boards += 1;
        }
        assert_eq!(boards, 7, "folders of boards");
    }

    #[test]
    fn the_readme_has_the_estimates_of_its_boards() {
        let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("it is there");
        let blob = blob("stories");
        let spec = *Model::from_bytes(&blob).expect("it is whole").spec();
        let mut found = 0;
        for board in &BOARDS {
            // A row may be of several boards.
            let row = readme
                .lines()
                .find(|line| line.starts_with("| ") && line.contains(board.name.trim_start_matches("BBC ")));
            let Some(row) = row else { continue };
            let answer = Answer::new(board, &blob, &spec, None).expect("it is counted");
            let estimate = format!("| {:.1} ms at {} MHz |", answer.milliseconds, board.clock);
            assert!(row.ends_with(&estimate), "{}: {estimate} in place of {row}", board.name);
            found += 1;
        }
        assert_eq!(found, 7, "boards in the table");
    }

    #[test]
    fn the_estimate_is_within_a_seventh_of_what_was_counted() {
        let [stories, intent, command] = ["stories", "home-intent", "home-command"].map(blob);
        let [stories, intent, command] =
            [&stories, &intent, &command].map(|blob| Model::from_bytes(blob).expect("it is whole"));
        let story = writing(stories.spec(), stories.spec().decoder.as_ref().expect("it writes"), 47.5, 0.0);
        let classified: Vec<f64> = answers("classify").iter().map(|(text, _)| tokens(&intent, text)).collect();
        let commanded: Vec<(f64, f64)> = answers("command")
            .iter()
            .map(|(text, answer)| (tokens(&command, text), tokens(&command, answer)))
            .collect();
        for core in [Core::M0Plus, Core::M4, Core::M7, Core::M33, Core::RiscV] {
            let take = |model: &Model<'_>, work| Costs::of(core, model.spec()).instructions(work);
            let read = |model: &Model<'_>, tokens: f64| {
                tokens * take(model, reading(model.spec(), model.spec().encoder.as_ref().expect("it reads"), tokens))
            };
            let written = |source: f64, tokens: f64| {
                let spec = command.spec();
                let stack = spec.decoder.as_ref().expect("it writes");
                tokens * take(&command, writing(spec, stack, (tokens + 1.0) / 2.0, source))
            };
            let estimates = [
                take(&stories, story),
                classified.iter().map(|&tokens| read(&intent, tokens)).sum::<f64>() / classified.len() as f64,
                commanded.iter().map(|&(source, target)| read(&command, source) + written(source, target)).sum::<f64>()
                    / commanded.len() as f64,
            ];
            for (estimate, (program, unit)) in
                estimates.into_iter().zip([("generate", "token"), ("classify", "sentence"), ("command", "sentence")])
            {
                let counted = counted(core.emulated(), program, &format!("instructions a {unit}"));
                let ratio = estimate / counted;
                assert!((ratio - 1.0).abs() < 1.0 / 7.0, "{core:?}, {program}: {estimate:.0} for {counted:.0}");
            }
        }
    }
}
