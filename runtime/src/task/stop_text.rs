//! Strings that end a text, wherever tokens cut them.

use crate::format::error::Error;

/// The longest string, in bytes.
pub const MAX_STOP: usize = 64;

/// Watches a text as it is written for strings that end it.
///
/// ```
/// use kinglet::task::StopText;
/// let mut stop = StopText::new(&["\n\n", "User:"])?;
/// assert!(!stop.push("Hello Us"));
/// assert!(stop.push("er: "));
/// # Ok::<(), kinglet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopText<'s> {
    strings: &'s [&'s str],
    /// The end of the text so far.
    tail: [u8; MAX_STOP],
    len: usize,
}

impl<'s> StopText<'s> {
    /// Watches for any of these.
    ///
    /// # Errors
    /// [`Error::NotSupported`] when one is empty or longer than [`MAX_STOP`].
    pub fn new(strings: &'s [&'s str]) -> Result<Self, Error> {
        if strings.iter().all(|string| (1..=MAX_STOP).contains(&string.len())) {
            return Ok(Self { strings, tail: [0; MAX_STOP], len: 0 });
        }
        Err(Error::NotSupported("a string that ends a text has 1 to 64 bytes"))
    }

    /// More of the text; whether one of the strings is in it now.
    pub fn push(&mut self, text: &str) -> bool {
        let mut found = false;
        for byte in text.bytes() {
            found |= self.push_byte(byte);
        }
        found
    }

    fn push_byte(&mut self, byte: u8) -> bool {
        if self.len == MAX_STOP {
            self.tail.rotate_left(1);
            self.len -= 1;
        }
        if let Some(slot) = self.tail.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        let tail = self.tail.get(..self.len).unwrap_or(&[]);
        self.strings.iter().any(|string| tail.ends_with(string.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_however_it_is_cut() {
        let text = "one two three four five six seven eight nine ten, and then all of them again: STOP and on";
        for size in 1..20 {
            let mut stop = StopText::new(&["STOP", "never"]).expect("short");
            let found: heapless::Vec<bool, 96> = text
                .as_bytes()
                .chunks(size)
                .map(|part| stop.push(core::str::from_utf8(part).expect("ASCII")))
                .collect();
            let end = text.find("STOP").expect("it is there") + 3;
            assert_eq!(found.iter().position(|&found| found), Some(end / size), "pieces of {size}");
        }
        assert!(StopText::new(&[""]).is_err() && StopText::new(&["x"]).is_ok());
    }
}
