//! Which boards a blob fits, with what left over, and about how long a token takes there.

mod costs;
mod counts;

use core::fmt;

use anyhow::Result;
use kinglet::MemoryPlan;
use kinglet::format::spec::ModelSpec;
use serde_json::{Value, json};

use costs::{Core, Costs, work};

/// A board: its chip, the memory in KiB that one program may have, its clock in megahertz. Where
/// `firmware-examples` has a folder for a board, its `Cargo.toml` has these figures, too.
#[derive(Debug)]
pub struct Board {
    /// As its maker calls it.
    pub name: &'static str,
    /// Its chip.
    pub chip: &'static str,
    core: Core,
    /// Flash in KiB.
    pub flash: u64,
    /// RAM in KiB.
    pub ram: u64,
    /// Megahertz.
    pub clock: u32,
}

/// The boards that are known.
pub static BOARDS: [Board; 12] = [
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

/// Bytes of stack that some calls take on a Cortex-M4 below the function that calls them: the larger of
/// what was measured of a decoder and of an encoder.
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
#[derive(Debug)]
pub struct Fit {
    /// The board.
    pub board: &'static Board,
    /// Bytes of flash besides the blob and the code; none where they do not fit.
    pub flash_left: Option<u64>,
    /// The longest text that fits, or the one that was asked for if it fits.
    pub tokens: Option<usize>,
    /// Bytes of RAM besides the arena and the stack at that length.
    pub ram_left: Option<u64>,
    /// About how long a token takes: the mean of a text of that length.
    pub milliseconds: f64,
    /// What would help, where it does not fit.
    pub advice: Option<&'static str>,
}

impl Fit {
    /// A blob of `bytes` bytes on a board, with texts of up to `wanted` tokens, or as long as fit.
    ///
    /// # Errors
    /// When the specification has no memory plan.
    pub fn new(board: &'static Board, bytes: usize, spec: &ModelSpec, wanted: Option<usize>) -> Result<Self> {
        let (flash, ram) = (board.flash * 1024, board.ram * 1024);
        let flash_left = flash.checked_sub(bytes as u64 + CODE);
        let room = ram.saturating_sub(STACK);
        let arena = |tokens: usize| MemoryPlan::standard(spec, tokens).map(|plan| plan.bytes());
        let fits = |tokens: &usize| arena(*tokens).is_ok_and(|bytes| bytes <= room);
        let longest = longest(spec);
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

    /// The figures by name.
    pub fn json(&self) -> Value {
        json!({
            "board": self.board.name, "chip": self.board.chip, "core": self.board.core.name(),
            "megahertz": self.board.clock, "fits": self.advice.is_none(), "flash_left": self.flash_left,
            "tokens": self.tokens, "ram_left": self.ram_left,
            "estimated_milliseconds_per_token": self.milliseconds, "advice": self.advice,
        })
    }
}

impl fmt::Display for Fit {
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

/// The longest text that a model takes, in tokens.
fn longest(spec: &ModelSpec) -> usize {
    let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
    stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(1)
}

/// The products of matrices for a token of a text of one.
pub fn products_per_token(spec: &ModelSpec) -> u64 {
    work(spec, 1).products as u64
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
    use kinglet::{AlignedVec, Model};

    use super::costs::{reading, writing};
    use super::counts::counted;
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
            let answer = Fit::new(board, blob.len(), &spec, None).expect("it is counted");
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
