//! Builds the programs of boards that are not emulated, and checks that the boot code of each chip
//! would find them.
//!
//! A folder in `firmware-examples` is a board if its `Cargo.toml` describes the hardware in
//! `[package.metadata.kinglet]`.

use core::ops::Range;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;

use crate::cargo::output_of;
use crate::programs::{self, folder_of};

/// A board, as its folder describes it.
pub(crate) struct Board {
    pub(crate) folder: String,
    pub(crate) target: String,
    pub(crate) memory: Memory,
    boot: Boot,
    programs: Vec<String>,
}

/// The memory regions of a chip.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) flash: Range<u64>,
    pub(crate) ram: Range<u64>,
}

/// The data that a chip's boot code expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Boot {
    /// A stack pointer and a reset vector at the beginning of the flash.
    Vectors,
    /// RP2040: 256 bytes of code that set up the flash, including their checksum, then the vectors.
    Boot2,
    /// RP2350: the vectors, and a start block in the first 4 KiB.
    StartBlock,
    /// ESP32: an application descriptor at the beginning of the first flash segment.
    ApplicationDescriptor,
    /// i.MX RT: how the serial flash is read, and 4 KiB after it where the vectors are. The stack
    /// lies in memory of the core's own.
    FlexSpi,
}

impl Boot {
    fn named(name: &str) -> Result<Self> {
        let known = [
            ("vectors", Self::Vectors),
            ("boot2", Self::Boot2),
            ("start-block", Self::StartBlock),
            ("application-descriptor", Self::ApplicationDescriptor),
            ("flexspi", Self::FlexSpi),
        ];
        let found = known.iter().find(|(known, _)| *known == name);
        found.map(|(_, boot)| *boot).with_context(|| format!("`boot` has the unknown value \"{name}\""))
    }
}

/// All boards, in the order of their folders' names.
pub(crate) fn all() -> Result<Vec<Board>> {
    let mut boards = Vec::new();
    for entry in fs::read_dir(folder_of(""))? {
        let entry = entry?;
        let folder = entry.file_name().into_string().ok().context("the name of a folder is not UTF-8")?;
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("\n[package.metadata.kinglet]\n") {
            boards.push(board(folder).with_context(|| entry.path().display().to_string())?);
        }
    }
    boards.sort_by(|a, b| a.folder.cmp(&b.folder));
    ensure!(!boards.is_empty(), "no folder of firmware-examples has a section [package.metadata.kinglet]");
    Ok(boards)
}

/// Builds and checks the boards whose folder name contains `name`.
pub(crate) fn build(name: &str) -> Result<()> {
    let boards: Vec<Board> = all()?.into_iter().filter(|board| board.folder.contains(name)).collect();
    ensure!(!boards.is_empty(), "no folder of a board has a name with \"{name}\"");
    boards.iter().try_for_each(Board::build)
}

fn board(folder: String) -> Result<Board> {
    let path = folder_of(&folder);
    let said = output_of(&path, &["metadata", "--no-deps", "--offline", "--format-version", "1"])?;
    let said: Value = serde_json::from_str(&said)?;
    let package = &said["packages"][0];
    let board = &package["metadata"]["kinglet"];
    let range = |name: &str| -> Result<Range<u64>> {
        let (start, kib) = (board[name][0].as_u64(), board[name][1].as_u64());
        let (start, kib) = start.zip(kib).with_context(|| format!("`{name}` must be [start address, KiB]"))?;
        Ok(start..start + kib * 1024)
    };
    let memory = Memory { flash: range("flash")?, ram: range("ram")? };
    let boot = Boot::named(board["boot"].as_str().context("`boot` must be a string")?)?;
    let config = fs::read_to_string(path.join(".cargo/config.toml"))?;
    let target = config.lines().find_map(|line| line.strip_prefix("target = "));
    let target = target.context(".cargo/config.toml names no target")?.trim_matches('"').to_owned();
    let targets = package["targets"].as_array().context("no targets")?.iter();
    let programs = targets.filter(|target| target["kind"][0] == "bin").filter_map(|target| target["name"].as_str());
    Ok(Board { folder, target, memory, boot, programs: programs.map(str::to_owned).collect() })
}

impl Board {
    /// Builds and checks all programs.
    fn build(&self) -> Result<()> {
        let folder = folder_of(&self.folder);
        let release = programs::build(&folder, &self.target, "", &[])?;
        for program in &self.programs {
            check(&release.join(program), &self.memory, self.boot)
                .with_context(|| format!("{} would not start", self.folder))?;
        }
        let programs = self.programs.len();
        eprintln!("{}: {programs} programs that the chip would start", self.folder);
        Ok(())
    }
}

/// Checks that a chip's boot code would start a program.
pub(crate) fn check(program: &Path, memory: &Memory, boot: Boot) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    Image::of(&object::File::parse(bytes.as_slice())?)?.check(memory, boot).context(program.display().to_string())
}

/// The loaded sections of a program.
#[derive(Clone, Debug, Default)]
struct Image {
    sections: Vec<Section>,
    /// The initial stack pointer, which is the end of RAM.
    stack_start: u64,
}

#[derive(Clone, Debug)]
struct Section {
    name: String,
    address: u64,
    size: u64,
    /// The contents; empty for sections such as `.bss`.
    bytes: Vec<u8>,
}

impl Section {
    fn range(&self) -> Range<u64> {
        self.address..self.address + self.size
    }

    fn word(&self, index: usize) -> Result<u32> {
        let word = self.bytes.as_chunks().0.get(index).copied();
        word.map(u32::from_le_bytes).with_context(|| format!("{} is too short", self.name))
    }
}

impl Image {
    fn of(file: &object::File<'_>) -> Result<Self> {
        let mut image = Self::default();
        for section in file.sections() {
            // Other sections are for debuggers, and not loaded.
            let object::SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            if sh_flags & u64::from(object::elf::SHF_ALLOC) != 0 && section.size() > 0 {
                let (name, address) = (section.name()?.to_owned(), section.address());
                image.sections.push(Section { name, address, size: section.size(), bytes: section.data()?.to_vec() });
            }
        }
        let stack = file.symbols().find(|symbol| symbol.name() == Ok("_stack_start"));
        image.stack_start = stack.context("the program has no stack")?.address();
        Ok(image)
    }

    fn section(&self, name: &str) -> Result<&Section> {
        let found = self.sections.iter().find(|section| section.name == name && !section.bytes.is_empty());
        found.with_context(|| format!("{name} is not there, or is empty"))
    }

    fn check(&self, memory: &Memory, boot: Boot) -> Result<()> {
        let Memory { flash, ram } = memory;
        // Cargo.toml has whole KiB.
        ensure!(
            self.stack_start / 1024 == ram.end / 1024 || boot == Boot::FlexSpi,
            "the linker's RAM ends at {:#x}, that of Cargo.toml at {:#x}",
            self.stack_start,
            ram.end
        );
        for name in [".data", ".bss"] {
            let mut sections = self.sections.iter().filter(|section| section.name == name);
            ensure!(sections.all(|section| inside(&section.range(), ram)), "{name} is not in RAM");
        }
        for name in [".text", ".rodata"] {
            let section = self.section(name)?;
            // An ESP32 maps code to other addresses.
            let mapped = boot == Boot::ApplicationDescriptor && name == ".text";
            ensure!(mapped || inside(&section.range(), flash), "{name} is not in flash");
        }
        match boot {
            Boot::Vectors => self.vectors(memory, flash.start),
            Boot::Boot2 => {
                let section = self.section(".boot2")?;
                ensure!(section.address == flash.start, ".boot2 is at {:#x}", section.address);
                ensure!(section.bytes.len() == 256, ".boot2 has {} bytes in place of 256", section.bytes.len());
                let (code, sum) = (&section.bytes[..252], section.word(63)?);
                ensure!(checksum(code) == sum, "the checksum of .boot2 is wrong");
                self.vectors(memory, flash.start + 256)
            }
            Boot::StartBlock => {
                let section = self.section(".start_block")?;
                let first = flash.start..flash.start + 4096;
                ensure!(inside(&section.range(), &first), ".start_block is at {:#x}", section.address);
                let (begin, end) = (section.word(0)?, section.word(section.bytes.len() / 4 - 1)?);
                ensure!((begin, end) == (0xffff_ded3, 0xab12_3579), ".start_block lacks its marks");
                self.vectors(memory, flash.start)
            }
            Boot::ApplicationDescriptor => {
                let section = self.section(".flash.appdesc")?;
                // The image header has 24 bytes, and the segment header 8.
                ensure!(section.address == flash.start + 32, ".flash.appdesc is at {:#x}", section.address);
                ensure!(section.bytes.len() == 256, ".flash.appdesc has {} bytes", section.bytes.len());
                ensure!(section.word(0)? == 0xabcd_5432, ".flash.appdesc lacks its mark");
                Ok(())
            }
            Boot::FlexSpi => {
                let section = self.section(".boot")?;
                ensure!(section.address == flash.start, ".boot is at {:#x}", section.address);
                ensure!(section.word(0)?.to_le_bytes() == *b"FCFB", ".boot has not the mark of a serial flash");
                ensure!(section.word(1024)? == 0x4020_00d1, ".boot has not the mark of an image 4 KiB on");
                let vectors = u64::from(section.word(1025)?);
                ensure!(flash.contains(&vectors), "the vectors are at {vectors:#x}");
                let image = u64::from(section.word(1032)?);
                ensure!(image == flash.start, "the image begins at {image:#x}");
                Ok(())
            }
        }
    }

    fn vectors(&self, memory: &Memory, at: u64) -> Result<()> {
        let Memory { flash, ram } = memory;
        let section = self.section(".vector_table")?;
        ensure!(section.address == at, ".vector_table is at {:#x} in place of {at:#x}", section.address);
        let (stack, reset) = (u64::from(section.word(0)?), u64::from(section.word(1)?));
        ensure!(ram.start < stack && stack <= ram.end && stack % 8 == 0, "the stack begins at {stack:#x}");
        ensure!(reset % 2 == 1 && flash.contains(&reset), "the reset vector is {reset:#x}");
        Ok(())
    }
}

fn inside(inner: &Range<u64>, outer: &Range<u64>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// CRC-32/MPEG-2, which the boot ROM of the RP2040 uses: most significant bit first, not inverted.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Memory = Memory { flash: 0x1000_0000..0x1020_0000, ram: 0x2000_0000..0x2004_0000 };

    fn section(name: &str, address: u64, words: &[u32]) -> Section {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Section { name: name.to_owned(), address, size: bytes.len() as u64, bytes }
    }

    /// A program that starts on a chip of this kind.
    fn good(boot: Boot) -> Image {
        let mut vectors = 0x1000_0000;
        let mut sections = Vec::new();
        match boot {
            Boot::Vectors => {}
            Boot::Boot2 => {
                let code = [0x1234_5678_u32; 63];
                let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
                sections.push(section(".boot2", 0x1000_0000, &[code.as_slice(), &[checksum(&bytes)]].concat()));
                vectors += 256;
            }
            Boot::StartBlock => {
                sections.push(section(".start_block", 0x1000_0100, &[0xffff_ded3, 1, 2, 3, 0xab12_3579]))
            }
            Boot::ApplicationDescriptor => {
                let mut words = [0; 64];
                words[0] = 0xabcd_5432;
                sections.push(section(".flash.appdesc", 0x1000_0020, &words));
            }
            Boot::FlexSpi => {
                let mut words = [0; 2048];
                words[0] = u32::from_le_bytes(*b"FCFB");
                words[1024..1026].copy_from_slice(&[0x4020_00d1, 0x1000_2000]);
                words[1032] = 0x1000_0000;
                sections.push(section(".boot", 0x1000_0000, &words));
                vectors += 8192;
            }
        }
        if boot != Boot::ApplicationDescriptor {
            sections.push(section(".vector_table", vectors, &[0x2004_0000, 0x1000_0401]));
        }
        sections.push(section(".text", 0x1000_4000, &[0; 16]));
        sections.push(section(".rodata", 0x1000_5000, &[0; 16]));
        sections.push(section(".data", 0x2000_0000, &[0; 4]));
        Image { sections, stack_start: 0x2004_0000 }
    }

    const KINDS: [Boot; 5] = [Boot::Vectors, Boot::Boot2, Boot::StartBlock, Boot::ApplicationDescriptor, Boot::FlexSpi];

    /// The error of a good program after a change to one of its sections.
    fn spoilt(boot: Boot, name: &str, change: impl FnOnce(&mut Section)) -> String {
        let mut image = good(boot);
        change(image.sections.iter_mut().find(|section| section.name == name).expect("it has this section"));
        image.check(&MEMORY, boot).expect_err("it cannot start").to_string()
    }

    #[test]
    fn a_program_that_starts_is_let_through() {
        for boot in KINDS {
            good(boot).check(&MEMORY, boot).expect("it starts");
        }
    }

    #[test]
    fn a_program_without_one_of_its_sections_is_found_out() {
        for (boot, name) in [
            (Boot::Vectors, ".vector_table"),
            (Boot::Boot2, ".boot2"),
            (Boot::Boot2, ".vector_table"),
            (Boot::StartBlock, ".start_block"),
            (Boot::StartBlock, ".vector_table"),
            (Boot::ApplicationDescriptor, ".flash.appdesc"),
            (Boot::FlexSpi, ".boot"),
        ] {
            let mut image = good(boot);
            image.sections.retain(|section| section.name != name);
            let said = image.check(&MEMORY, boot).expect_err("it cannot start").to_string();
            assert!(said.contains(name) && said.contains("not there"), "{boot:?}: {said}");
            // If a crate and the HAL name a section differently, the linker leaves it empty.
            assert!(spoilt(boot, name, |section| section.bytes.clear()).contains("empty"), "{boot:?}");
            assert!(spoilt(boot, name, |section| section.address += 8192).contains(" at 0x"), "{boot:?}");
        }
    }

    #[test]
    fn vectors_that_lead_nowhere_are_found_out() {
        for (word, bytes, wanted) in [
            (0, 0x2000_0000, "the stack begins"),
            (0, 0x2004_0008, "the stack begins"),
            (0, u32::MAX, "the stack begins"),
            (1, 0x1000_0400, "the reset vector"),
            (1, 0x0000_0401, "the reset vector"),
        ] {
            let said = spoilt(Boot::Vectors, ".vector_table", |section| {
                section.bytes[4 * word..4 * word + 4].copy_from_slice(&bytes.to_le_bytes());
            });
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn marks_and_checksums_are_read() {
        assert!(spoilt(Boot::Boot2, ".boot2", |section| section.bytes[7] ^= 1).contains("checksum"));
        assert!(spoilt(Boot::StartBlock, ".start_block", |section| section.bytes[0] = 0).contains("marks"));
        assert!(spoilt(Boot::ApplicationDescriptor, ".flash.appdesc", |section| section.bytes[0] = 0).contains("mark"));
        assert!(spoilt(Boot::FlexSpi, ".boot", |section| section.bytes[0] = 0).contains("serial flash"));
        assert!(spoilt(Boot::FlexSpi, ".boot", |section| section.bytes[4096] = 0).contains("4 KiB"));
        assert!(spoilt(Boot::FlexSpi, ".boot", |section| section.bytes[4103] = 0).contains("vectors"));
        assert!(spoilt(Boot::FlexSpi, ".boot", |section| section.bytes[4131] = 0).contains("image"));
        // CRC-32/MPEG-2 of the usual nine digits.
        assert_eq!(checksum(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn a_linker_with_other_memory_than_the_board_is_found_out() {
        let mut image = good(Boot::Vectors);
        image.stack_start -= 1024;
        assert!(image.check(&MEMORY, Boot::Vectors).expect_err("less RAM").to_string().contains("RAM ends at"));
        assert!(spoilt(Boot::Vectors, ".data", |section| section.address = 0x3000_0000).contains(".data"));
        assert!(spoilt(Boot::Vectors, ".rodata", |section| section.address = 0x3000_0000).contains(".rodata"));
    }

    #[test]
    fn every_folder_with_a_memory_of_its_own_says_what_board_it_is() {
        let boards = all().expect("they are read");
        for entry in fs::read_dir(folder_of("")).expect("the folder") {
            let path = entry.expect("an entry").path();
            let config = fs::read_to_string(path.join(".cargo/config.toml")).unwrap_or_default();
            if config.contains("probe-rs run") && !config.contains("{{") {
                let name = path.file_name().expect("a name");
                assert!(boards.iter().any(|board| *board.folder == *name), "{} has no metadata", path.display());
            }
        }
    }
}
