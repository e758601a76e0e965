//! Updates of a model in two slots of flash. At any power failure at least one slot holds an intact
//! model.
//!
//! An update writes the new blob to the slot that was not booted. It reads the blob back, checks it
//! and tests it, and only then writes the *seal*, which contains the number of the update and the
//! blob's checksum. A device boots the slot with the higher number, or the other slot if that model
//! is not intact. A blob without a seal is update 0, so a factory flashes the first slot with just
//! a blob.

use embedded_storage::nor_flash::NorFlash;
use kinglet::format::blob::peek;
use kinglet::format::checksum::checksum;
use kinglet::{Error, LoadError, Model};

/// Flash whose bytes can be read in place, at a 16-byte boundary.
pub trait MappedFlash: NorFlash {
    /// The contents of the flash.
    fn mapped(&self) -> &[u8];
}

/// The size of a write in bytes, a multiple of the write sizes of common chips.
pub const PAGE: usize = 256;

/// A model loaded from a slot.
pub struct Booted<'f> {
    /// The slot: 0 or 1.
    pub slot: usize,
    /// The number of the update that wrote it.
    pub update: u32,
    /// The model.
    pub model: Model<'f>,
}

/// The error of an update. The device keeps booting the old model.
#[derive(Debug)]
pub enum UpdateError<E> {
    /// An error of the flash driver.
    Flash(E),
    /// The blob is malformed, or not for this program.
    Refused(Error),
    /// The blob is longer than a slot.
    TooLong,
}

impl<E> From<LoadError> for UpdateError<E> {
    fn from(error: LoadError) -> Self {
        Self::Refused(error.into())
    }
}

/// Loads the newest intact model.
pub fn boot<F: MappedFlash>(flash: &F) -> Option<Booted<'_>> {
    let [first, second] = slots(flash);
    let order = if updates_of(second) > updates_of(first) { [1, 0] } else { [0, 1] };
    order.into_iter().find_map(|slot| {
        let bytes = if slot == 0 { first } else { second };
        Some(Booted { slot, update: updates_of(bytes), model: Model::from_slot(bytes).ok()? })
    })
}

/// An update in progress.
pub struct Update<'f, F> {
    flash: &'f mut F,
    /// The start and the end of the slot.
    slot: (usize, usize),
    count: u32,
    written: usize,
    len: usize,
}

impl<'f, F: MappedFlash> Update<'f, F> {
    /// Begins an update, given at least the first 64 bytes of the blob: checks that the blob fits,
    /// and erases the slot that was not booted.
    pub fn begin(flash: &'f mut F, first: &[u8]) -> Result<Self, UpdateError<F::Error>> {
        let booted = boot(flash).map(|booted| (booted.slot, booted.update));
        let half = slot_len(flash);
        let slot = if booted.is_some_and(|(slot, _)| slot == 0) { (half, 2 * half) } else { (0, half) };
        let len = peek(first)?.bytes;
        if len > half.saturating_sub(PAGE) {
            return Err(UpdateError::TooLong);
        }
        // The sector with the seal is erased first, so a half-erased slot never has a seal.
        for end in (slot.0..slot.1).step_by(F::ERASE_SIZE.max(1)).rev() {
            flash.erase(end as u32, (end + F::ERASE_SIZE) as u32).map_err(UpdateError::Flash)?;
        }
        let count = booted.map_or(0, |(_, update)| update).saturating_add(1);
        Ok(Self { flash, slot, count, written: 0, len })
    }

    /// Writes the next [`PAGE`] bytes, or fewer at the end of the blob.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UpdateError<F::Error>> {
        if bytes.len() > PAGE || bytes.len() + self.written > self.len {
            return Err(UpdateError::TooLong);
        }
        let mut page = [0xff; PAGE];
        page.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let at = self.slot.0 + self.written;
        self.written += bytes.len();
        self.flash.write(at as u32, &page).map_err(UpdateError::Flash)
    }

    /// Checks the written blob, lets `accept` test the model, and seals the slot, which then boots.
    pub fn finish(self, accept: impl FnOnce(&Model<'_>) -> Result<(), Error>) -> Result<(), UpdateError<F::Error>> {
        let slot = self.flash.mapped().get(self.slot.0..self.slot.1).unwrap_or(&[]);
        let model = Model::from_slot(slot)?;
        accept(&model).map_err(UpdateError::Refused)?;
        let seal = seal(self.count, model.checksum());
        self.flash.write((self.slot.1 - PAGE) as u32, &seal).map_err(UpdateError::Flash)
    }
}

/// The size of a slot: half of the flash, rounded down to whole sectors.
fn slot_len<F: NorFlash>(flash: &F) -> usize {
    let sectors = (flash.capacity() / 2).checked_div(F::ERASE_SIZE).unwrap_or(0);
    sectors * F::ERASE_SIZE
}

fn slots<F: MappedFlash>(flash: &F) -> [&[u8]; 2] {
    let len = slot_len(flash);
    [0, len].map(|start| flash.mapped().get(start..start + len).unwrap_or(&[]))
}

/// A seal: the number of the update, the checksum of the blob, and a checksum of both.
fn seal(count: u32, blob: u32) -> [u8; PAGE] {
    let [words @ .., _, _, _, _] = seal_words(count, blob, 0);
    let mut page = [0xff; PAGE];
    page.iter_mut().zip(seal_words(count, blob, checksum(&words))).for_each(|(to, from)| *to = from);
    page
}

fn seal_words(count: u32, blob: u32, sum: u32) -> [u8; 12] {
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l]] = [count, blob, sum].map(u32::to_le_bytes);
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The number of the update that wrote a slot; 0 if it has no valid seal for its blob.
fn updates_of(slot: &[u8]) -> u32 {
    let count = || {
        let at = slot.len().checked_sub(PAGE)?;
        let found = slot.get(at..)?;
        let count = u32::from_le_bytes(*found.first_chunk()?);
        let end = peek(slot).ok()?.bytes;
        let written = slot.get(..end)?.last_chunk()?;
        (*found == seal(count, u32::from_le_bytes(*written))).then_some(count)
    };
    count().unwrap_or(0)
}
