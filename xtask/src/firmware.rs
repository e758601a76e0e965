//! Builds the firmware examples, runs them on emulated cores, and compares their output with the
//! host's.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cargo::{cargo_in, target_folder};
use crate::counts::Counted;
use crate::emulate::{Counts, Measured, compared, counts, emulate, measure};
use crate::machines::{CORES, Core, EXAMPLES, LEAN};
use crate::programs::{build, build_lean, build_one, folder_of};
use crate::{boards, checkpoint, executors, pico, signed, table, talk, template};

#[derive(Args, Default)]
pub(crate) struct Firmware {
    /// Write the host's output to the expected files instead of comparing it, the measurements to
    /// firmware-examples/counts.json and converter/src/fit/counts.json, and their tables to
    /// docs/boards.md.
    #[arg(long)]
    bless: bool,
    /// Only the cores whose name contains this.
    #[arg(long, default_value = "")]
    core: String,
    /// Also measure single operations on each core.
    #[arg(long)]
    kernels: bool,
    /// Also run this checkpoint on all cores: a decoder, which generates text, a sentence encoder,
    /// which searches phrases, or a classifier of sentences.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,
    /// Options of `kinglet convert` for that checkpoint, such as `--vocabulary-size 8000`.
    #[arg(last = true, requires = "checkpoint")]
    conversion: Vec<String>,
    /// Skip the boards that are not emulated.
    #[arg(long)]
    emulated_only: bool,
    /// Only build and check the boards whose folder name contains this.
    #[arg(long, conflicts_with = "emulated_only")]
    board: Option<String>,
}

impl Firmware {
    /// All programs and single operations on all cores, and all boards.
    pub(crate) fn all() -> Self {
        Self { kernels: true, ..Self::default() }
    }
}

/// Checks the formatting of packages outside the workspace.
pub(crate) fn lint() -> Result<()> {
    let boards = boards::all()?;
    let folders =
        ["common", "host", "browser", "first", "qemu-cortex-m", "qemu-riscv32", "rtic", "embassy"].into_iter();
    let folders = folders.chain(boards.iter().map(|board| board.folder.as_str()));
    folders.into_iter().try_for_each(|name| cargo_in(&folder_of(name), &["fmt", "--check"], &[]))
}

pub(crate) fn run(options: &Firmware) -> Result<()> {
    if let Some(name) = &options.board {
        return boards::build(name);
    }
    let expected = on_the_host(options.bless)?;
    let two_cores = ["test", "--quiet", "--no-default-features", "--features", "cores"];
    cargo_in(&folder_of("common"), &[&two_cores[..], &["--target-dir", &target_folder("host")]].concat(), &[])?;
    let conversation = talk::here(options.bless)?;
    let mut rows = Vec::new();
    for core in CORES.iter().filter(|core| core.name.contains(&options.core)) {
        let programs = Programs::of(core)?;
        rows.push((core.name, programs.run(core, &expected)?));
        talk::on_core(core, &programs.all.join("talk"), &conversation)?;
    }
    with_a_heap(&expected)?;
    executors::check()?;
    signed::check()?;
    template::check()?;
    pico::check(&conversation)?;
    let mut counted = Counted::read()?;
    for (core, examples) in &rows {
        counted.add_examples(core, examples);
    }
    if options.kernels {
        for (core, counts) in kernels(&options.core)? {
            counted.add(core, KERNELS, &counts);
        }
    }
    let table = table::of_cores(&counted);
    let calls = table::of_calls(&counted);
    let steps = table::of_steps(&counted);
    eprintln!("{table}\n{calls}\n{steps}");
    if options.bless {
        counted.write()?;
        table::write("docs/boards.md", "firmware", &table)?;
        table::write("docs/boards.md", "calls", &calls)?;
        table::write("docs/boards.md", "steps", &steps)?;
    }
    if let Some(folder) = &options.checkpoint {
        let conversion: Vec<&str> = options.conversion.iter().map(String::as_str).collect();
        checkpoint::run(folder, &conversion, &options.core)?;
    }
    if !options.emulated_only {
        boards::build("")?;
    }
    Ok(())
}

/// Runs the examples on the host, compares their output with the expected files, and returns it.
fn on_the_host(bless: bool) -> Result<BTreeMap<&'static str, String>> {
    let target = target_folder("host");
    cargo_in(&folder_of("host"), &["build", "--quiet", "--release", "--target-dir", &target], &[])?;
    let mut expected = BTreeMap::new();
    for example in EXAMPLES {
        let output = Command::new(format!("{target}/release/host")).arg(example).output()?;
        ensure!(output.status.success(), "{example} fails on the host");
        let printed = compared(&String::from_utf8(output.stdout)?);
        let file = folder_of("expected").join(format!("{example}.txt"));
        if bless {
            fs::write(&file, &printed)?;
        }
        let kept = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        ensure!(kept == printed, "the host prints for {example}:\n{printed}but {} says:\n{kept}", file.display());
        expected.insert(example, printed);
    }
    Ok(expected)
}

/// The program that measures single operations.
pub(crate) const KERNELS: &str = "kernels";

/// Measures single operations on every core, and compares their results with the host's.
pub(crate) fn kernels(only: &str) -> Result<Vec<(&'static str, Counts)>> {
    let wanted = Command::new(format!("{}/release/host", target_folder("host"))).arg("kernels").output()?;
    let wanted = compared(&String::from_utf8(wanted.stdout)?);
    let mut rows = Vec::new();
    for core in CORES.iter().filter(|core| core.name.contains(only)) {
        let printed = emulate(core, &build_one(core, KERNELS, "bench", core.environment())?)?;
        ensure!(compared(&printed) == wanted, "{} prints:\n{printed}but the host prints:\n{wanted}", core.name);
        eprintln!("{}:\n{printed}", core.name);
        rows.push((core.name, counts(&printed)?));
    }
    Ok(rows)
}

/// Checks that the example with a heap writes the story of `generate`.
fn with_a_heap(expected: &BTreeMap<&'static str, String>) -> Result<()> {
    let core = &CORES[2];
    let printed = compared(&emulate(core, &build_one(core, "heap", "heap", &[])?)?);
    ensure!(printed == expected["generate"], "with a heap the story is:\n{printed}");
    Ok(())
}

/// The folders of a core's programs.
struct Programs {
    all: PathBuf,
    /// The programs of [`LEAN`], built with minimal features.
    lean: PathBuf,
}

impl Programs {
    /// Builds the programs of a core.
    fn of(core: &Core) -> Result<Self> {
        let all = build(&folder_of(core.folder), core.target, core.features, core.environment())?;
        Ok(Self { all, lean: build_lean(core)? })
    }

    /// Runs the examples, two at a time.
    fn run(&self, core: &Core, expected: &BTreeMap<&'static str, String>) -> Result<BTreeMap<&'static str, Measured>> {
        let measured = Mutex::new(BTreeMap::new());
        let queue = Mutex::new(expected.keys().filter(|example| core.builds(example)));
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().expect("nobody panics with it").next();
                let Some(&example) = next else { return Ok(()) };
                let program = if LEAN.contains(&example) { &self.lean } else { &self.all }.join(example);
                let printed = emulate(core, &program)?;
                let wanted = &expected[example];
                let found = compared(&printed);
                ensure!(&found == wanted, "{} prints for {example}:\n{found}but the host prints:\n{wanted}", core.name);
                measured.lock().expect("nobody panics with it").insert(example, measure(&program, &printed)?);
            }
        };
        thread::scope(|scope| {
            let other = scope.spawn(work);
            let mine = work();
            other.join().expect("it returns its errors").and(mine)
        })?;
        eprintln!("{}: {} examples print what the host prints", core.name, expected.len());
        Ok(measured.into_inner().expect("nobody panics with it"))
    }
}

/// Runs some examples on every core, and returns their measurements.
pub(crate) fn examples(names: &[&str], only: &str) -> Result<Vec<(&'static str, BTreeMap<&'static str, Measured>)>> {
    let mut expected = on_the_host(false)?;
    expected.retain(|example, _| names.contains(example));
    let cores = CORES.iter().filter(|core| core.name.contains(only));
    cores.map(|core| Ok((core.name, Programs::of(core)?.run(core, &expected)?))).collect()
}

/// Runs an example on the host, as built by [`examples`], and returns its measurements.
pub(crate) fn here(arguments: &[&str]) -> Result<Counts> {
    let output = Command::new(format!("{}/release/host", target_folder("host"))).args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?} fails on the host");
    counts(&String::from_utf8(output.stdout)?)
}
