//! NOR flash emulated in memory, with power failures at any write, for the example `update`.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::slots::{MappedFlash, PAGE};

/// Bytes of a sector, the unit of erases.
pub const SECTOR: usize = 4096;

/// The effect of a write during which the power fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Torn {
    /// Nothing is written.
    Nothing,
    /// Half of the bytes are written, and the next byte has an undefined value.
    Half,
    /// All bytes are written, but the call returns an error.
    All,
}

/// The error of a flash operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlashError {
    /// The power failed.
    PowerLost,
    /// The call is not allowed for NOR flash.
    Misused(NorFlashErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::PowerLost => NorFlashErrorKind::Other,
            Self::Misused(kind) => *kind,
        }
    }
}

/// NOR flash: an erase sets all bits of a sector to one, and a write can only clear bits.
pub struct Emulated<'f> {
    bytes: &'f mut [u8],
    /// Erases and writes so far.
    pub writes: u32,
    /// The erase or write at which the power fails, and its effect.
    cut: Option<(u32, Torn)>,
}

impl<'f> Emulated<'f> {
    /// Flash with the given contents, whose power does not fail.
    pub fn new(bytes: &'f mut [u8]) -> Self {
        Self { bytes, writes: 0, cut: None }
    }

    /// Makes the power fail at an erase or write, counted from 0.
    pub fn cut_at(mut self, write: u32, torn: Torn) -> Self {
        self.cut = Some((write, torn));
        self
    }

    /// Changes bytes unless the power has failed.
    fn change(&mut self, at: usize, len: usize, change: impl Fn(usize, &mut u8)) -> Result<(), FlashError> {
        let this = self.writes;
        self.writes += 1;
        let torn = match self.cut {
            Some((write, _)) if this > write => Torn::Nothing,
            Some((write, torn)) if this == write => torn,
            _ => Torn::All,
        };
        let whole = match torn {
            Torn::Nothing => 0,
            Torn::Half => len / 2,
            Torn::All => len,
        };
        let bytes = self.bytes.get_mut(at..at + len).unwrap_or(&mut []);
        bytes.iter_mut().enumerate().take(whole).for_each(|(index, byte)| change(index, byte));
        if torn == Torn::Half {
            bytes.iter_mut().skip(whole).take(1).for_each(|byte| *byte &= 0x5a);
        }
        if self.cut.is_some_and(|(write, _)| this >= write) { Err(FlashError::PowerLost) } else { Ok(()) }
    }
}

impl MappedFlash for Emulated<'_> {
    fn mapped(&self) -> &[u8] {
        self.bytes
    }
}

impl ErrorType for Emulated<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for Emulated<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len()).map_err(FlashError::Misused)?;
        let from = self.bytes.iter().skip(offset as usize);
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Emulated<'_> {
    const WRITE_SIZE: usize = PAGE;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to).map_err(FlashError::Misused)?;
        self.change(from as usize, (to - from) as usize, |_, byte| *byte = 0xff)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len()).map_err(FlashError::Misused)?;
        self.change(offset as usize, bytes.len(), |index, byte| *byte &= bytes.get(index).copied().unwrap_or(0xff))
    }
}
