//! Lines of text: for a logger that takes whole ones, and from a terminal that sends them byte by
//! byte.

use heapless::String;

/// Collects pieces of text until a line is whole.
#[derive(Default)]
pub struct Lines(String<512>);

impl Lines {
    /// Hands every line that `text` ends to `log`.
    pub fn print(&mut self, text: &str, mut log: impl FnMut(&str)) {
        for piece in text.split_inclusive(['\n']) {
            let (words, ends) = piece.strip_suffix('\n').map_or((piece, false), |words| (words, true));
            if self.0.push_str(words).is_err() {
                log(&self.0);
                self.0.clear();
                _ = self.0.push_str(words);
            }
            if ends {
                log(&self.0);
                self.0.clear();
            }
        }
    }
}

/// The longest line that is read.
pub type Line = String<128>;

/// Where a person types sentences and reads answers.
pub trait Terminal {
    /// Shows text.
    fn print(&mut self, text: &str);

    /// The next line that is typed; nothing when there are no more.
    fn line(&mut self) -> Option<Line>;
}

/// A serial line, with a terminal at its other end.
pub trait Serial {
    /// Sends a byte. When nothing is at the other end there is no one to tell.
    fn send(&mut self, byte: u8);

    /// Waits for a byte; nothing when there will be no more.
    fn receive(&mut self) -> Option<u8>;
}

/// Ctrl-D: the end of a transmission.
const END: u8 = 4;
/// What terminals send for the key that takes back a character.
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

impl<S: Serial> Terminal for S {
    fn print(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
    }

    /// What is typed is shown; what does not fit is not taken, and empty lines are not lines.
    fn line(&mut self) -> Option<Line> {
        let mut line = Line::new();
        loop {
            let byte = self.receive()?;
            match byte {
                END => return None,
                b'\r' | b'\n' if line.is_empty() => {}
                b'\r' | b'\n' => {
                    self.print("\n");
                    return Some(line);
                }
                BACKSPACE | DELETE => {
                    if line.pop().is_some() {
                        self.print("\x08 \x08");
                    }
                }
                b' '..DELETE if line.push(byte.into()).is_ok() => self.send(byte),
                _ => {}
            }
        }
    }
}
