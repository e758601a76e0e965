//! The state in which a tokenizer's section is built: its tables, and how much a text may grow.

use anyhow::{Result, bail};
use serde_json::Value;

use super::kept::Kept;
use super::tables::Tables;

/// The most characters, and bytes, that one byte of a text may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansion {
    pub(super) chars: u16,
    pub(super) bytes: u16,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { chars: 1, bytes: 1 }
    }
}

impl Expansion {
    /// Raises the growth to at least `chars` and `bytes`.
    pub(super) fn at_least(&mut self, chars: u16, bytes: u16) {
        (self.chars, self.bytes) = (self.chars.max(chars), self.bytes.max(bytes));
    }

    /// Multiplies the growth by `chars` and `bytes`.
    pub(super) fn times(&mut self, chars: usize, bytes: usize) -> Result<()> {
        let product = |a: u16, b: usize| u16::try_from(usize::from(a) * b).ok().filter(|&product| product <= 512);
        match (product(self.chars, chars), product(self.bytes, bytes)) {
            (Some(chars), Some(bytes)) => (self.chars, self.bytes) = (chars, bytes),
            _ => bail!("the tokenizer may make a text more than 512 times as long\nleave it out with --no-tokenizer"),
        }
        Ok(())
    }
}

/// Builds the parts of a tokenizer's section.
pub(super) struct Builder<'d> {
    pub(super) tables: Tables,
    pub(super) description: &'d Value,
    /// The tokens of the section; `None` for all.
    pub(super) kept: Option<&'d Kept>,
    pub(super) expansion: Expansion,
}

impl Builder<'_> {
    /// The id of a token in the section; `None` if it is left out.
    pub(super) fn new_id(&self, id: u32) -> Option<u32> {
        self.kept.map_or(Some(id), |kept| kept.new_id(id))
    }

    /// Removes strings that are not kept, and gives the others their new ids.
    pub(super) fn renumber<T>(&self, strings: &mut Vec<(T, u32)>) {
        strings.retain_mut(|(_, id)| self.new_id(*id).map(|new| *id = new).is_some());
    }
}
