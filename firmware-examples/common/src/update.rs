//! A model is updated over the air, the power goes in the middle, and a whole model boots.

use kinglet::format::blob::CHECKSUM_LEN;
use kinglet::format::checksum::checksum;
use kinglet::golden::Golden;
use kinglet::{Aligned, Error, Model, arena_bytes};

use crate::flash::{Emulated, FlashError, SECTOR, Torn};
use crate::models::stories;
use crate::slots::{PAGE, Update, UpdateError, boot};
use crate::{Board, number};

const BLOB: &[u8] = stories::BLOB;
/// Bytes of a slot: the blob and a seal, in whole sectors.
const SLOT: usize = (BLOB.len() + PAGE).next_multiple_of(SECTOR);
/// Erases and writes of an update: the slot, the blob, its seal.
pub const WRITES: u32 = (SLOT / SECTOR + BLOB.len().div_ceil(PAGE) + 1) as u32;
/// How often the power goes.
const CUTS: u32 = 8;

/// Memory of the example: what a server offers, flash with two slots, and an arena in which a new
/// model is tried.
pub struct Memory {
    offer: Aligned<[u8; BLOB.len()]>,
    /// Two slots.
    pub flash: Aligned<[u8; 2 * SLOT]>,
    arena: Aligned<[u8; Self::ARENA]>,
}

impl Memory {
    const ARENA: usize = arena_bytes(BLOB, Golden::MAX_TOKENS);

    /// Zeros.
    pub const fn new() -> Self {
        Self { offer: Aligned([0; BLOB.len()]), flash: Aligned([0; 2 * SLOT]), arena: Aligned([0; Self::ARENA]) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a blob the one that ships, under another name: its model computes the same.
pub fn renamed(blob: &mut [u8], first_letter: u8) {
    blob.iter_mut().zip(BLOB).for_each(|(to, from)| *to = *from);
    let name = BLOB.windows(7).position(|bytes| bytes == b"stories").unwrap_or(0);
    blob.get_mut(name).into_iter().for_each(|letter| *letter = first_letter);
    if let Some((content, sum)) = blob.split_last_chunk_mut::<CHECKSUM_LEN>() {
        *sum = checksum(content).to_le_bytes();
    }
}

/// A factory's flash: the blob that ships in the first slot, and nothing else.
pub fn flashed(flash: &mut [u8]) {
    let bytes = BLOB.iter().copied().chain(core::iter::repeat(0xff));
    flash.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
}

/// Takes a blob into the slot that was not booted, a page at a time.
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
