//! `kinglet fit`: list the boards that a model fits, converted or not, and the options that make it
//! fit.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use kinglet::format::blob::MAGIC;
use kinglet::format::spec::ModelSpec;
use kinglet::tokenizer::Tokenizer;
use kinglet_convert::checkpoint::Checkpoint;
use kinglet_convert::family::{self, Options};
use kinglet_convert::fit::{BOARDS, Board, Core, Estimate, Fit as Fitting, products_per_token};
use kinglet_convert::plan::{Subject, Way, payload};
use kinglet_convert::tokenizer;
use kinglet_convert::vocabulary::{Vocabulary, Wish, vocab_size};
use serde_json::{Value, json};

use super::engine::{locate, open, read_blob};
use super::{number, output};

/// Say which boards a model fits, how much memory is left, and about how long a token takes, as the
/// mean over the longest text that fits.
///
/// A checkpoint, or a config.json alone, is enough to plan before anything is trained or converted.
/// If a model does not fit, the options of `kinglet convert` that make it fit are listed, with the
/// size of the blob.
#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// A blob, a checkpoint's folder, a config.json, or a model of the Hub.
    model: PathBuf,
    /// Only boards whose name or chip contains NAME.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["flash", "ram", "core", "mhz"])]
    board: Option<String>,
    /// A chip of your own: flash for the program, such as 512K or 4M.
    #[arg(long, value_name = "SIZE", value_parser = number::size, requires_all = ["ram", "core", "mhz"])]
    flash: Option<u64>,
    /// RAM for the program.
    #[arg(long, value_name = "SIZE", value_parser = number::size, requires = "flash")]
    ram: Option<u64>,
    /// The core of the chip.
    #[arg(long, requires = "flash")]
    core: Option<CoreArg>,
    /// The clock in megahertz.
    #[arg(long, value_name = "N", value_parser = number::positive, requires = "flash")]
    mhz: Option<f64>,
    /// Megabytes per second that are read from flash, if it is a separate chip.
    #[arg(long, value_name = "MB/S", value_parser = number::positive, requires = "flash")]
    flash_rate: Option<f64>,
    /// The longest text; by default the longest that fits.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: Option<usize>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The names of cores on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CoreArg {
    M0Plus,
    M3,
    M4,
    M7,
    M33,
    M55,
    Riscv,
}

impl From<CoreArg> for Core {
    fn from(core: CoreArg) -> Self {
        match core {
            CoreArg::M0Plus => Self::M0Plus,
            CoreArg::M3 => Self::M3,
            CoreArg::M4 => Self::M4,
            CoreArg::M7 => Self::M7,
            CoreArg::M33 => Self::M33,
            CoreArg::M55 => Self::M55,
            CoreArg::Riscv => Self::RiscV,
        }
    }
}

/// About how many bytes a blob has besides weights and tokenizer: its manifest and golden vectors.
const REST: u64 = 3 * 1024;

/// About how many bytes a tokenizer has per token, if there is none to measure: BERT's has 11,
/// GPT-2's 17.
pub(super) const BYTES_PER_TOKEN: u64 = 14;

/// The size of a cut vocabulary, and the bytes of its tokenizer.
type Cut = Option<(u32, u64)>;

/// The model to plan for.
pub(super) struct Given {
    pub(super) spec: ModelSpec,
    pub(super) tokenizer: u64,
    pub(super) rest: u64,
    /// The folder of the tokenizer, and the tokenizer's section.
    folder: Option<(PathBuf, Vec<u8>)>,
    cuts: RefCell<BTreeMap<u32, Cut>>,
    notes: Vec<&'static str>,
}

impl Given {
    fn read(named: &Path) -> Result<Self> {
        if named.is_file() && named.extension().is_some_and(|extension| extension == "json") {
            let folder = named.parent().unwrap_or(named);
            return Self::of_checkpoint(&Checkpoint::without_weights(named)?, folder);
        }
        // Devices and sockets go this way, too: they are refused as a blob that is not a file.
        if named.is_file() || named.exists() && !named.is_dir() {
            return Self::of_blob(named);
        }
        let folder = locate(named)?.dir;
        let config = folder.join("config.json");
        let is_bare = config.is_file() && !Checkpoint::is_complete(&folder);
        let checkpoint = if is_bare { Checkpoint::without_weights(&config)? } else { Checkpoint::open(&folder)? };
        Self::of_checkpoint(&checkpoint, &folder)
    }

    fn of_blob(file: &Path) -> Result<Self> {
        let blob = read_blob(file)?;
        if !blob.starts_with(&MAGIC) {
            bail!("{} is not a blob\ngive a blob, a checkpoint's folder or a config.json", file.display());
        }
        let model = open(&blob)?;
        let (spec, tokenizer) = (*model.spec(), model.tokenizer_section().len() as u64);
        let rest = blob.len() as u64 - payload(&spec) - tokenizer;
        Ok(Self { spec, tokenizer, rest, folder: None, cuts: RefCell::default(), notes: Vec::new() })
    }

    fn of_checkpoint(checkpoint: &Checkpoint, folder: &Path) -> Result<Self> {
        let mut given = Self::without_tokenizer(family::map(checkpoint, &Options::default())?.spec);
        given.notes.push("sizes are for a conversion without options: weights and keys of eight bits");
        match tokenizer::build_noted(folder)? {
            Some((section, _)) => {
                given.tokenizer = section.len() as u64;
                given.folder = Some((folder.to_owned(), section));
            }
            None => given.notes.push("there is no tokenizer, and its bytes are estimated"),
        }
        Ok(given)
    }

    /// A specification without a tokenizer, whose bytes are estimated.
    pub(super) fn without_tokenizer(spec: ModelSpec) -> Self {
        let tokenizer = BYTES_PER_TOKEN * u64::from(vocab_size(&spec));
        Self { spec, tokenizer, rest: REST, folder: None, cuts: RefCell::default(), notes: Vec::new() }
    }

    /// The tokenizer's bytes with a vocabulary of about `size` tokens: measured if there is a
    /// folder, in proportion otherwise.
    pub(super) fn cut(&self, size: u32) -> Cut {
        let measured = |(folder, section): &(PathBuf, Vec<u8>)| {
            let full = Tokenizer::from_bytes(section).ok()?;
            let wish = Wish { size: Some(size as usize), ..Wish::default() };
            let cut = Vocabulary::choose(folder, &full, &wish, None).ok()?;
            Some((cut.kept.old_ids().len() as u32, cut.section.len() as u64))
        };
        let in_proportion = || (size, self.tokenizer * u64::from(size) / u64::from(vocab_size(&self.spec).max(1)));
        let find = || self.folder.as_ref().map_or_else(|| Some(in_proportion()), measured);
        *self.cuts.borrow_mut().entry(size).or_insert_with(find)
    }
}

/// The columns of the table. The last three are times of a token.
const COLUMNS: [&str; 7] = ["board", "flash left", "RAM left", "tokens", "a token", "computing", "reading flash"];

/// The row of a board; or the board's name, and the reason why the model does not fit.
fn row(fit: &Fitting) -> Result<[String; 7], [String; 2]> {
    let Board { name, chip, core, clock, flash_rate, .. } = fit.board;
    let board = format!("{name} ({chip}, {})", core.name());
    let (Some(flash), Some(ram), Some(tokens)) = (fit.flash_left, fit.ram_left, fit.tokens) else {
        return Err([board, fit.obstacle().unwrap_or_default()]);
    };
    let Estimate { instructions, computing, bytes, reading } = fit.estimate;
    Ok([
        board,
        format!("{} KiB", flash / 1024),
        format!("{} KiB", ram / 1024),
        tokens.to_string(),
        milliseconds(fit),
        format!("{computing:.1} ms, {:.2} M at {clock} MHz", instructions / 1e6),
        reading
            .zip(flash_rate)
            .map_or_else(String::new, |(time, rate)| format!("{time:.1} ms, {:.0} KB at {rate} MB/s", bytes / 1e3)),
    ])
}

fn milliseconds(fit: &Fitting) -> String {
    format!("{:.1} ms", fit.estimate.milliseconds())
}

/// One line with options that make a model fit.
fn line_of(way: &Way) -> String {
    let (options, fit) = (way.options.join(" "), &way.fit);
    let (kib, tokens) = (fit.blob.div_ceil(1024), fit.tokens.unwrap_or(0));
    format!("    {options}: {kib} KiB, {tokens} tokens, {} a token", milliseconds(fit))
}

/// Prints the table of boards, and for each board that the model does not fit, options with which
/// it does.
fn table(answers: &[(Fitting, Vec<Way>)]) -> Result<()> {
    let rows: Vec<_> = answers.iter().map(|(fit, _)| row(fit)).collect();
    let mut widths = COLUMNS.map(str::len);
    for row in &rows {
        let cells = match row {
            Ok(cells) => &cells[..],
            Err([board, _]) => core::slice::from_ref(board),
        };
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.len());
        }
    }
    let print = |cells: [&str; 7]| {
        let [board, flash, ram, tokens, time, computing, reading] = cells;
        let [a, b, c, d, e, f, _] = widths;
        let line = format!("{board:a$}  {flash:>b$}  {ram:>c$}  {tokens:>d$}  {time:>e$}  {computing:f$}  {reading}");
        output::line(line.trim_end())
    };
    print(COLUMNS)?;
    for (row, (_, ways)) in rows.iter().zip(answers) {
        match row {
            Ok(cells) => print(cells.each_ref().map(String::as_str))?,
            Err([board, why]) => {
                output::line(&format!("{board:width$}  does not fit: {why}", width = widths[0]))?;
                ways.iter().try_for_each(|way| output::line(&line_of(way)))?;
                if ways.is_empty() {
                    output::line(
                        "    no option makes it fit: take shorter texts, or a model with fewer or narrower layers",
                    )?;
                }
            }
        }
    }
    Ok(())
}

impl Fit {
    pub(crate) fn run(self) -> Result<()> {
        let boards = self.boards()?;
        let given = Given::read(&self.model)?;
        given.notes.iter().for_each(|note| output::note(note));
        let cut = |size| given.cut(size);
        let Given { spec, tokenizer, rest, .. } = given;
        let subject = Subject { spec, tokenizer, rest, cut: &cut };
        let answers = boards.iter().map(|board| {
            let fit = subject.fit(board, self.tokens);
            (fit, if fit.fits() { Vec::new() } else { subject.ways(board, self.tokens) })
        });
        if self.json {
            let board = |(fit, ways): (Fitting, Vec<Way>)| {
                let mut value = fit.json();
                value["ways"] = ways.iter().map(Way::json).collect();
                value
            };
            let (boards, bytes) = (answers.map(board).collect::<Vec<Value>>(), subject.blob());
            let products = products_per_token(&spec);
            return output::json(&json!({ "boards": boards, "bytes": bytes, "products_per_token": products }));
        }
        output::note("times are estimates: the longer of computing, counted on an emulated core, and of reading flash");
        table(&answers.collect::<Vec<_>>())
    }

    /// The boards to consider.
    fn boards(&self) -> Result<Vec<Board>> {
        if let (Some(flash), Some(ram), Some(core), Some(clock)) = (self.flash, self.ram, self.core, self.mhz) {
            let (flash, ram, flash_rate) = (flash / 1024, ram / 1024, self.flash_rate);
            let (name, chip) = ("your board", "your chip");
            return Ok(vec![Board { name, chip, core: core.into(), flash, ram, clock, flash_rate }]);
        }
        let wanted = self.board.as_deref().unwrap_or_default().to_lowercase();
        let named = |board: &&Board| format!("{} {}", board.name, board.chip).to_lowercase().contains(&wanted);
        let boards: Vec<Board> = BOARDS.iter().filter(named).copied().collect();
        if boards.is_empty() {
            let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
            return Err(anyhow!("no board is called \"{wanted}\"\nthere are {}", names.join(", ")));
        }
        Ok(boards)
    }
}
