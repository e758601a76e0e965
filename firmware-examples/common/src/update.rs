//! Updates a model over the air while the power fails, and boots an intact model each time.

use kinglet::format::blob::CHECKSUM_LEN;
use kinglet::format::checksum::checksum;
use kinglet::golden::Golden;
use kinglet::{Aligned, Error, Model, arena_bytes};

use crate::flash::{Emulated, FlashError, SECTOR, Torn};
use crate::models::stories;
use crate::slots::{PAGE, Update, UpdateError, boot};
use crate::{Board, number};

const BLOB: &[u8] = stories::BLOB;
/// The size of a slot: the blob and a seal, rounded up to whole sectors.
const SLOT: usize = (BLOB.len() + PAGE).next_multiple_of(SECTOR);
/// The number of erases and writes of an update: the slot, the blob, its seal.
pub const WRITES: u32 = (SLOT / SECTOR + BLOB.len().div_ceil(PAGE) + 1) as u32;
/// The number of power failures.
const CUTS: u32 = 8;

/// Memory of the example: the offered blob, flash with two slots, and an arena for testing the
/// model.
pub struct Memory {
    offer: Aligned<[u8; BLOB.len()]>,
    /// Flash with two slots.
    pub flash: Aligned<[u8; 2 * SLOT]>,
    arena: Aligned<[u8; Self::ARENA]>,
}

impl Memory {
    const ARENA: usize = arena_bytes(BLOB, Golden::MAX_TOKENS);

    /// Memory of zeros.
    pub const fn new() -> Self {
        Self { offer: Aligned([0; BLOB.len()]), flash: Aligned([0; 2 * SLOT]), arena: Aligned([0; Self::ARENA]) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills `blob` with the blob that ships, under another name; the model's results are equal.
pub fn renamed(blob: &mut [u8], first_letter: u8) {
    blob.iter_mut().zip(BLOB).for_each(|(to, from)| *to = *from);
    let name = BLOB.windows(7).position(|bytes| bytes == b"stories").unwrap_or(0);
    blob.get_mut(name).into_iter().for_each(|letter| *letter = first_letter);
    if let Some((content, sum)) = blob.split_last_chunk_mut::<CHECKSUM_LEN>() {
        *sum = checksum(content).to_le_bytes();
    }
}

/// Flashes as a factory does: the blob that ships in the first slot, and nothing else.
pub fn flashed(flash: &mut [u8]) {
    let bytes = BLOB.iter().copied().chain(core::iter::repeat(0xff));
    flash.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
}

/// Installs a blob in the slot that was not booted, page by page.
pub fn install(
    flash: &mut Emulated<'_>,
    blob: &[u8],
    accept: impl FnOnce(&Model<'_>) -> Result<(), Error>,
) -> Result<(), UpdateError<FlashError>> {
    let mut update = Update::begin(flash, blob)?;
    for page in blob.chunks(PAGE) {
        update.write(page)?;
    }
    update.finish(accept)
}

pub fn run(board: &mut impl Board, memory: &mut Memory) -> Result<(), Error> {
    let Memory { offer, flash, arena } = memory;
    renamed(&mut offer.0, b'S');
    flashed(&mut flash.0);
    for cut in 0..=CUTS {
        let mut flash = Emulated::new(&mut flash.0);
        if cut == CUTS {
            board.print("the power stays: ");
        } else {
            let write = WRITES * cut / CUTS;
            flash = flash.cut_at(write, Torn::Half);
            board.print("the power goes at write ");
            number(board, write);
            board.print(": ");
        }
        let installed = install(&mut flash, &offer.0, |model| Ok(model.self_test(&mut arena.0)?));
        board.print(match installed {
            Ok(()) => "the update is there, ",
            Err(UpdateError::Flash(FlashError::PowerLost)) => "the update is lost, ",
            Err(_) => "the update is refused, ",
        });
        match boot(&flash) {
            Some(booted) => {
                board.print(booted.model.manifest().provenance.source);
                board.print(" boots from slot ");
                number(board, booted.slot as u32);
                board.print(" after update ");
                number(board, booted.update);
                board.print("\n");
            }
            None => board.print("nothing boots\n"),
        }
    }
    Ok(())
}
