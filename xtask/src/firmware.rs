//! Builds the firmware examples, runs them on emulated cores, and compares what they print with what the host prints.
//!
//! Lines that begin with `#` are measurements: they are not compared, but make the table in docs/boards.md.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use object::{Object, ObjectSection};

use crate::{boards, cargo_in, root, template};

#[derive(Args, Default)]
pub(crate) struct Firmware {
    /// Write what the host prints to the expected files, and the measurements to docs/boards.md, in place of comparing.
    #[arg(long)]
    bless: bool,
    /// Only the cores whose name contains this.
    #[arg(long, default_value = "")]
    core: String,
    /// Count what single operations cost on each core, too.
    #[arg(long)]
    kernels: bool,
    /// A decoder's checkpoint to run on all cores besides, such as one that may not ship; with `keys` in 8 bits.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,
    /// Leave out the boards that are only built.
    #[arg(long)]
    emulated_only: bool,
    /// Only build and check the boards whose folder's name contains this.
    #[arg(long, conflicts_with = "emulated_only")]
    board: Option<String>,
}

/// A core that QEMU emulates.
pub(crate) struct Core {
    pub(crate) name: &'static str,
    folder: &'static str,
    target: &'static str,
    features: &'static str,
    qemu: &'static str,
}

impl Core {
    /// What cargo is told of the core besides its target, which is the one of the Cortex-M33: that loops may count in a register, that
    /// there are selects, and vectors.
    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        const CORTEX_M55: (&str, &str) =
            ("CARGO_TARGET_THUMBV8M_MAIN_NONE_EABIHF_RUSTFLAGS", "-C target-cpu=cortex-m55");
        if self.has_vectors() { &[CORTEX_M55] } else { &[] }
    }

    fn has_vectors(&self) -> bool {
        self.features.contains("m55")
    }
}

const CORTEX_M: &str = "qemu-system-arm -nographic -icount shift=6,align=off,sleep=off -machine";

pub(crate) const CORES: [Core; 7] = [
    Core { name: "M0+ code", folder: "qemu-cortex-m", target: "thumbv6m-none-eabi", features: "", qemu: "mps2-an385" },
    Core { name: "M3", folder: "qemu-cortex-m", target: "thumbv7m-none-eabi", features: "", qemu: "mps2-an385" },
    Core { name: "M4F", folder: "qemu-cortex-m", target: "thumbv7em-none-eabihf", features: "", qemu: "mps2-an386" },
    Core { name: "M7", folder: "qemu-cortex-m", target: "thumbv7em-none-eabihf", features: "", qemu: "mps2-an500" },
    Core {
        name: "M33",
        folder: "qemu-cortex-m",
        target: "thumbv8m.main-none-eabihf",
        features: "dsp",
        qemu: "mps2-an505",
    },
    Core {
        name: "M55",
        folder: "qemu-cortex-m",
        target: "thumbv8m.main-none-eabihf",
        features: "m55,dsp",
        qemu: "mps3-an547",
    },
    Core { name: "RV32IMC", folder: "qemu-riscv32", target: "riscv32imc-unknown-none-elf", features: "", qemu: "virt" },
];

pub(crate) const EXAMPLES: [&str; 11] = [
    "generate",
    "classify",
    "tag",
    "command",
    "score",
    "fill_mask",
    "bench",
    "self_test",
    "edges",
    "accuracy_intents",
    "accuracy_commands",
];

/// Those whose code is measured: they are built without the parts of the runtime that their models do not have.
const LEAN: [&str; 2] = ["generate", "classify"];

/// The checkpoints that ship, and how their blobs are made.
const BLOBS: [(&str, &str, &str); 6] = [
    ("models/stories", "stories", "--keys 16"),
    ("models/stories-backward", "stories-backward", "--keys 16"),
    ("models/home/words", "home-words", ""),
    ("models/home/intent", "home-intent", ""),
    ("models/home/slots", "home-slots", ""),
    ("models/home/command", "home-command", ""),
];

/// What a program counted of itself, by what it counted.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What a firmware measured of itself, and its sizes.
#[derive(Default)]
struct Measured {
    values: Counts,
    code: u64,
    model: u64,
    memory: u64,
}

pub(crate) const KINGLET: &str = "run --quiet --release --package kinglet-convert --bin kinglet --";

/// Converts the models that ship and exports them again: the bytes must be those that the examples embed.
pub(crate) fn blobs(write: bool) -> Result<()> {
    let kept = folder_of("common").join("models");
    let made = if write { kept.clone() } else { root().join("target/models") };
    let folder = made.to_str().context("the project lies in a folder whose name is not text")?;
    fs::create_dir_all(&made)?;
    for (checkpoint, name, options) in BLOBS {
        let blob = format!("{folder}/{name}.kinglet");
        cargo_in(root(), &format!("{KINGLET} convert {checkpoint} --output {blob} --force {options}"), &[])?;
        cargo_in(root(), &format!("{KINGLET} export {blob} --rust {folder} --force"), &[])?;
        for file in [format!("{name}.kinglet"), format!("{}.rs", name.replace('-', "_"))] {
            let same = fs::read(kept.join(&file))? == fs::read(made.join(&file))?;
            ensure!(same, "{file} is not what {checkpoint} becomes: `cargo xtask blobs --write` makes it anew");
        }
    }
    Ok(())
}

/// Formatting, which the workspace's own check leaves out.
pub(crate) fn lint() -> Result<()> {
    let boards = boards::all()?;
    let folders = ["common", "host", "browser", "first", "qemu-cortex-m", "qemu-riscv32"].into_iter();
    let folders = folders.chain(boards.iter().map(|board| board.folder.as_str()));
    folders.into_iter().try_for_each(|name| cargo_in(&folder_of(name), "fmt --check", &[]))
}

pub(crate) fn run(options: &Firmware) -> Result<()> {
    if let Some(name) = &options.board {
        return boards::build(name);
    }
    let expected = on_the_host(options.bless)?;
    let conversation = talk(options.bless)?;
    let mut rows = Vec::new();
    for core in CORES.iter().filter(|core| core.name.contains(&options.core)) {
        rows.push((core.name, on_core(core, &expected)?));
        talk_to(core, &conversation)?;
    }
    with_a_heap(&expected)?;
    template::check()?;
    let table = table(&rows);
    eprintln!("{table}");
    if options.bless && options.core.is_empty() {
        write_table("docs/boards.md", "firmware", &table)?;
    }
    if options.kernels {
        for (core, examples) in &rows {
            for (what, count) in &examples["bench"].values {
                eprintln!("{core}: {what}: {count}");
            }
        }
        kernels(&options.core)?;
    }
    if let Some(folder) = &options.checkpoint {
        checkpoint(folder, &options.core)?;
    }
    if !options.emulated_only {
        boards::build("")?;
    }
    Ok(())
}

pub(crate) fn folder_of(name: &str) -> PathBuf {
    root().join("firmware-examples").join(name)
}

/// What each example prints on the host, which is what the expected files say.
fn on_the_host(bless: bool) -> Result<BTreeMap<&'static str, String>> {
    let target = target_folder("host");
    cargo_in(&folder_of("host"), &format!("build --quiet --release --target-dir {target}"), &[])?;
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

/// Single operations on every core, as the host has them: what each core counted.
pub(crate) fn kernels(only: &str) -> Result<Vec<(&'static str, Counts)>> {
    let wanted = Command::new(format!("{}/release/host", target_folder("host"))).arg("kernels").output()?;
    let wanted = compared(&String::from_utf8(wanted.stdout)?);
    let mut rows = Vec::new();
    for core in CORES.iter().filter(|core| core.name.contains(only)) {
        let out = target_folder(&format!("firmware/kernels-{}{}", core.folder, core.features));
        let (target, features) = (core.target, format!("bench,{}", core.features));
        let build =
            format!("build --quiet --release --bin kernels --target {target} --target-dir {out} --features {features}");
        cargo_in(&folder_of(core.folder), build.trim_end_matches(','), core.environment())?;
        let printed = emulate(core, &PathBuf::from(out).join(target).join("release/kernels"))?;
        ensure!(compared(&printed) == wanted, "{} prints:\n{printed}but the host prints:\n{wanted}", core.name);
        eprintln!("{}:\n{printed}", core.name);
        rows.push((core.name, counts(&printed)?));
    }
    Ok(rows)
}

/// How a checkpoint is converted, what its firmware must have, and on which cores it runs. The last is left for this machine.
const CONVERSIONS: [(&str, &str, &[&str]); 4] = [
    ("--target m55 --activations a8", "checkpoint", &["M55"]),
    ("--target m55", "checkpoint", &["M55"]),
    ("--target cortex-m4", "checkpoint,pairs", &["M4F", "M7", "M33"]),
    ("--target portable", "checkpoint", &["M0+ code", "M3", "RV32IMC"]),
];

/// A checkpoint on every core, at two lengths: the same text and bits as on the host, and what it takes at the shorter, with
/// 16-bit activations.
pub(crate) fn checkpoint(folder: &Path, only: &str) -> Result<Vec<(&'static str, Counts)>> {
    let mut rows = Vec::new();
    for (options, features, names) in CONVERSIONS {
        let cores = CORES.iter().filter(|core| core.name.contains(only) && names.contains(&core.name));
        let cores: Vec<_> = cores.collect();
        if !cores.is_empty() {
            let converted = converted(folder, options, features, &cores)?;
            rows.extend(converted.into_iter().filter(|_| !options.contains("a8")));
        }
    }
    Ok(rows)
}

/// A checkpoint, converted with these options, on some cores, with firmware of these features.
fn converted(
    folder: &Path,
    options: &str,
    features: &str,
    cores: &[&'static Core],
) -> Result<Vec<(&'static str, Counts)>> {
    let blob = target_folder("checkpoint.kinglet");
    let folder = folder.to_str().context("a folder whose name is not text")?;
    cargo_in(root(), &format!("{KINGLET} convert {folder} --output {blob} --force {options}"), &[])?;
    cargo_in(root(), &format!("{KINGLET} export {blob} --rust {} --force", target_folder("")), &[])?;
    let module = target_folder("checkpoint.rs");
    let mut rows = Vec::new();
    for tokens in ["512", "128"] {
        let program = format!("{}/release/host", target_folder("host"));
        let wanted = Command::new(program).args(["checkpoint", &blob, tokens]).output()?;
        let wanted = compared(&String::from_utf8(wanted.stdout)?);
        rows.clear();
        for core in cores {
            let out = target_folder(&format!("firmware/checkpoint-{}{}", core.folder, core.features));
            let features = format!("{features},{}", core.features);
            let target = core.target;
            let environment = [&[("KINGLET_MODULE", module.as_str()), ("KINGLET_TOKENS", tokens)], core.environment()];
            let build = format!(
                "build --quiet --release --bin checkpoint --target {target} --target-dir {out} --features {features}"
            );
            cargo_in(&folder_of(core.folder), build.trim_end_matches(','), &environment.concat())?;
            let program = PathBuf::from(out).join(target).join("release/checkpoint");
            let printed = emulate(core, &program)?;
            ensure!(compared(&printed) == wanted, "{} prints:\n{printed}but the host prints:\n{wanted}", core.name);
            let measured = measure(&program, &printed)?;
            let value = |what: &str| measured.values.get(what).copied().unwrap_or(0);
            eprintln!(
                "{} at {tokens}, {options}: {} instructions a token, {} bytes of static RAM and {} of stack",
                core.name,
                grouped(value("instructions a token")),
                grouped(measured.memory),
                grouped(value("bytes of stack"))
            );
            rows.push((core.name, measured.values));
        }
    }
    Ok(rows)
}

/// What a person types, and what comes back.
struct Conversation {
    typed: String,
    answered: String,
}

/// A conversation with the example that reads sentences from a line.
fn talk(bless: bool) -> Result<Conversation> {
    let (typed, answered) = (folder_of("expected").join("talk.in.txt"), folder_of("expected").join("talk.txt"));
    let output = Command::new(format!("{}/release/host", target_folder("host")))
        .arg("talk")
        .stdin(fs::File::open(&typed)?)
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the conversation fails:\n{printed}");
    if bless {
        fs::write(&answered, &printed)?;
    }
    let kept = fs::read_to_string(answered)?;
    ensure!(kept == printed, "the conversation was:\n{printed}but should be:\n{kept}");
    Ok(Conversation { typed: fs::read_to_string(typed)?, answered: kept })
}

/// The same conversation over a core's serial line, which shows what is typed, too.
fn talk_to(core: &Core, conversation: &Conversation) -> Result<()> {
    const BACKSPACE: &str = "\u{8}";
    const END: &str = "\u{4}";
    // A key that is taken back leaves no trace but on the way.
    let typed = conversation.typed.replacen('\n', &format!("x{BACKSPACE}\n"), 1) + END;
    let shown = conversation.typed.replacen('\n', &format!("x{BACKSPACE} {BACKSPACE}\n"), 1);
    let mut answers = conversation.answered.lines();
    let mut wanted = answers.next().map_or_else(String::new, |greeting| greeting.to_owned() + "\n");
    for (line, answer) in shown.lines().zip(answers) {
        wanted += &format!("{line}\n{answer}\n");
    }
    let input = target_folder("talk.in.txt");
    fs::write(&input, typed)?;
    let mut emulator = emulator(core, &release_of(core).join("talk"));
    let output = emulator.args(["-monitor", "none", "-serial", "stdio"]).stdin(fs::File::open(input)?).output()?;
    let printed = String::from_utf8(output.stdout).context("what comes over the line is no text")?;
    ensure!(output.status.success(), "the conversation with {} fails:\n{printed}", core.name);
    let found = printed.replace("\r\n", "\n");
    ensure!(found == wanted, "{} says over the line:\n{found}but should say:\n{wanted}", core.name);
    Ok(())
}

/// The one example with a heap writes the story that the others write.
fn with_a_heap(expected: &BTreeMap<&'static str, String>) -> Result<()> {
    let core = &CORES[2];
    let release = build(&folder_of(core.folder), core.target, "heap", &[])?;
    let printed = compared(&emulate(core, &release.join("heap"))?);
    ensure!(printed == expected["generate"], "with a heap the story is:\n{printed}");
    Ok(())
}

/// Builds all examples for a core and runs them, two at a time.
fn on_core(core: &Core, expected: &BTreeMap<&'static str, String>) -> Result<BTreeMap<&'static str, Measured>> {
    let release = build(&folder_of(core.folder), core.target, core.features, core.environment())?;
    let lean = build_lean(core)?;
    let measured = Mutex::new(BTreeMap::new());
    let queue = Mutex::new(expected.keys());
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().expect("nobody panics with it").next();
            let Some(&example) = next else { return Ok(()) };
            let program = if LEAN.contains(&example) { &lean } else { &release }.join(example);
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

/// Some examples on every core: what each counted of itself.
pub(crate) fn examples(names: &[&str], only: &str) -> Result<Vec<(&'static str, BTreeMap<&'static str, Counts>)>> {
    let mut expected = on_the_host(false)?;
    expected.retain(|example, _| names.contains(example));
    let cores = CORES.iter().filter(|core| core.name.contains(only));
    let rows = cores.map(|core| {
        let measured = on_core(core, &expected)?.into_iter();
        Ok((core.name, measured.map(|(example, measured)| (example, measured.values)).collect()))
    });
    rows.collect()
}

/// An example on this machine, as it was built for [`examples`]: what it counted of itself.
pub(crate) fn here(arguments: &[&str]) -> Result<Counts> {
    let output = Command::new(format!("{}/release/host", target_folder("host"))).args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?} fails on the host");
    counts(&String::from_utf8(output.stdout)?)
}

/// Builds the programs whose code is measured, and says where they are.
fn build_lean(core: &Core) -> Result<PathBuf> {
    let Core { folder, target, features, .. } = core;
    let out = target_folder(&format!("firmware/lean-{folder}{features}"));
    let bins = LEAN.map(|name| format!("--bin {name}")).join(" ");
    let build = format!("build --quiet --release {bins} --target {target} --target-dir {out} --no-default-features");
    let features = if features.is_empty() { String::new() } else { format!(" --features {features}") };
    cargo_in(&folder_of(folder), &(build + &features), core.environment())?;
    Ok(PathBuf::from(out).join(target).join("release"))
}

/// Builds a folder's programs and says where they are.
pub(crate) fn build(folder: &Path, target: &str, features: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    let name = folder.file_name().and_then(|name| name.to_str()).context("a folder has a name")?;
    let out = target_folder(&format!("firmware/{name}{features}"));
    let bins = if features == "heap" { "--bin heap" } else { "--bins" };
    let features = if features.is_empty() { String::new() } else { format!("--features {features}") };
    let build = format!("build --quiet --release {bins} --target {target} --target-dir {out} {features}");
    cargo_in(folder, &build, environment)?;
    Ok(PathBuf::from(out).join(target).join("release"))
}

pub(crate) fn target_folder(name: &str) -> String {
    root().join("target").join(name).to_string_lossy().into_owned()
}

/// Where [`build`] puts a core's programs.
fn release_of(core: &Core) -> PathBuf {
    let out = target_folder(&format!("firmware/{}{}", core.folder, core.features));
    PathBuf::from(out).join(core.target).join("release")
}

/// A machine with a core, and a program in it.
fn emulator(core: &Core, program: &Path) -> Command {
    let options = match core.qemu {
        "virt" => "qemu-system-riscv32 -nographic -icount shift=0 -cpu rv32 -bios none -machine virt".to_owned(),
        machine => format!("{CORTEX_M} {machine}"),
    };
    // Where a program hangs, the emulator must not.
    let mut command = Command::new("timeout");
    command.arg("300").args(options.split_whitespace());
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
    command
}

fn emulate(core: &Core, program: &Path) -> Result<String> {
    let output = emulator(core, program).output().context("running QEMU: is it installed?")?;
    // Semihosting writes to one or the other.
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).context("what the firmware prints is no text")?;
    ensure!(output.status.success(), "{} on {}: {}\n{printed}", program.display(), core.name, output.status);
    Ok(printed)
}

/// The lines that must be the same everywhere.
pub(crate) fn compared(printed: &str) -> String {
    printed.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n")
}

/// The lines that are not compared.
fn counts(printed: &str) -> Result<Counts> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix("# "));
    let each = lines.map(|line| {
        let (what, value) = line.rsplit_once(": ").with_context(|| format!("no measurement: {line}"))?;
        Ok((what.to_owned(), value.parse()?))
    });
    each.collect()
}

fn measure(program: &Path, printed: &str) -> Result<Measured> {
    let mut measured = Measured { values: counts(printed)?, ..Measured::default() };
    let bytes = fs::read(program)?;
    ensure!(!bytes.windows(12).any(|name| name == b"__rust_alloc"), "{} has a heap", program.display());
    let file = object::File::parse(bytes.as_slice())?;
    for section in file.sections() {
        match section.name()? {
            ".vector_table" | ".text" | ".init" | ".trap" | ".text.dummy" => measured.code += section.size(),
            ".rodata" => measured.model += section.size(),
            ".data" | ".bss" => measured.memory += section.size(),
            _ => {}
        }
    }
    Ok(measured)
}

/// The table for docs/boards.md.
fn table(rows: &[(&str, BTreeMap<&str, Measured>)]) -> String {
    let mut table = String::from(
        "| core | instructions: a story's token | a sentence classified | a sentence to a command | `generate`: code | model and tables | static RAM | stack | `classify`: code |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (core, examples) in rows {
        let value = |example: &str, what: &str| examples[example].values.get(what).copied().unwrap_or(0);
        let generate = &examples["generate"];
        _ = writeln!(
            table,
            "| {core} | {} | {} | {} | {} | {} | {} | {} | {} |",
            grouped(value("generate", "instructions a token")),
            grouped(value("classify", "instructions a sentence")),
            grouped(value("command", "instructions a sentence")),
            grouped(generate.code),
            grouped(generate.model),
            grouped(generate.memory),
            grouped(value("generate", "bytes of stack")),
            grouped(examples["classify"].code),
        );
    }
    table
}

/// A number with commas.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let first = digits.len() % 3;
    let parts = [&digits[..first]].into_iter().filter(|part| !part.is_empty());
    let parts = parts.chain(digits.as_bytes()[first..].chunks(3).filter_map(|part| core::str::from_utf8(part).ok()));
    parts.collect::<Vec<_>>().join(",")
}

/// Puts a table between its marks in a file of the project.
pub(crate) fn write_table(file: &str, name: &str, table: &str) -> Result<()> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let path = root().join(file);
    let text = fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(&start).with_context(|| format!("{file} has no place for the table"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the table in {file} has no end"))?;
    fs::write(path, format!("{before}{start}{table}{end}{after}"))?;
    Ok(())
}
