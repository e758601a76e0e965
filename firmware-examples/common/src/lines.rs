//! Lines of text: collects output for loggers that print whole lines, and reads input from a serial
//! terminal.

use heapless::String;

/// Collects pieces of text to lines.
#[derive(Default)]
pub struct Lines(String<512>);

impl Lines {
    /// Appends text, and passes each completed line to `log`.
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

/// A line of input.
pub type Line = String<128>;

/// A terminal where the user types sentences and reads answers.
pub trait Terminal {
    /// Shows text.
    fn print(&mut self, text: &str);

    /// The next line of input; `None` at the end.
    fn line(&mut self) -> Option<Line>;
}

/// A serial line, with a terminal at its other end.
pub trait Serial {
    /// Sends a byte, and ignores errors.
    fn send(&mut self, byte: u8);

    /// Waits for a byte; `None` at the end of the input.
    fn receive(&mut self) -> Option<u8>;
}

/// Ctrl-D, the end of the input.
const END: u8 = 4;
/// Terminals send one of these for the backspace key.
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

    /// Echoes the input, ignores characters beyond the maximum length, and skips empty lines.
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
