//! Text for a logger that takes whole lines.

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
