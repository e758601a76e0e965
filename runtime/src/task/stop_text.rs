//! Finds stop strings in generated text, also across tokens.

use heapless::String;

use crate::error::RunError;

/// The longest stop string, in bytes.
pub const MAX_STOP: usize = 64;

/// The longest character, in bytes.
const MAX_CHAR: usize = 4;

/// Searches a text for stop strings while it is generated, and holds back text that may be the
/// beginning of one.
///
/// ```
/// use kinglet::task::StopText;
///
/// let mut stop = StopText::new(&["\n\n", "User:"])?;
/// let mut shown = String::new();
/// assert!(!stop.write("Hello Us", |text| shown += text));
/// assert_eq!(shown, "Hello ");
/// assert!(stop.write("er: ", |text| shown += text));
/// assert_eq!(shown, "Hello ");
/// # Ok::<(), kinglet::RunError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopText<'s> {
    strings: &'s [&'s str],
    /// The end of the text so far that is a prefix of a stop string.
    held: String<{ MAX_STOP + MAX_CHAR }>,
}

impl<'s> StopText<'s> {
    /// A search for any of `strings`.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] when a string is empty or longer than [`MAX_STOP`].
    pub fn new(strings: &'s [&'s str]) -> Result<Self, RunError> {
        if strings.iter().all(|string| (1..=MAX_STOP).contains(&string.len())) {
            return Ok(Self { strings, held: String::new() });
        }
        Err(RunError::InvalidOption { option: "stop", wanted: "strings of 1 to 64 bytes" })
    }

    /// Adds a piece of the text, and passes to `out` everything that cannot be part of a stop
    /// string, a few characters at a time. Returns whether a stop string was found; neither it nor
    /// the text after it goes to `out`.
    pub fn write(&mut self, text: &str, mut out: impl FnMut(&str)) -> bool {
        for character in text.chars() {
            // Cannot fail: `held` is shorter than the longest stop string.
            let _ = self.held.push(character);
            let held = self.held.as_str();
            // Of several stop strings that end here, the longest one begins first.
            let ended = self.strings.iter().filter_map(|string| held.strip_suffix(string));
            if let Some(before) = ended.min_by_key(|before| before.len()) {
                out(before);
                self.held.clear();
                return true;
            }
            let may_begin = |rest: &str| self.strings.iter().any(|string| string.starts_with(rest));
            let mut starts = held.char_indices().map(|(start, _)| start);
            let start = starts.find(|&start| held.get(start..).is_some_and(may_begin)).unwrap_or(held.len());
            if let Some((certain, rest)) = held.split_at_checked(start).filter(|_| start > 0) {
                out(certain);
                let mut kept = String::new();
                let _ = kept.push_str(rest);
                self.held = kept;
            }
        }
        false
    }

    /// Ends the text, and passes the text held back to `out`.
    pub fn finish(self, mut out: impl FnMut(&str)) {
        out(&self.held);
    }

    /// Adds a piece of the text. Returns whether a stop string was found.
    pub fn push(&mut self, text: &str) -> bool {
        self.write(text, |_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_string_is_written_and_nothing_of_it() {
        let cases: [(&[&str], &str, &str, bool); 9] = [
            (&["STOP"], "go STOP and on", "go ", true),
            (&["STOP"], "STOSTOP", "STO", true),
            (&["STOP"], "a STO", "a STO", false),
            (&["abcd", "bc"], "xabce", "xa", true),
            (&["bc", "abc"], "xabc", "x", true),
            (&["aab"], "aaab", "a", true),
            (&["\u{e9}t\u{e9}"], "l'\u{e9}t\u{e8} l'\u{e9}t\u{e9}!", "l'\u{e9}t\u{e8} l'", true),
            (&["\u{1f642}\u{1f642}"], "\u{1f642} \u{1f642}\u{1f642}", "\u{1f642} ", true),
            (&[], "all of it", "all of it", false),
        ];
        for (strings, text, wanted, found) in cases {
            for size in 1..=text.len() {
                let mut stop = StopText::new(strings).expect("short");
                let (mut written, mut stopped) = (std::string::String::new(), false);
                let mut rest = text;
                while !rest.is_empty() && !stopped {
                    let cut = (size..rest.len()).find(|&cut| rest.is_char_boundary(cut)).unwrap_or(rest.len());
                    let (piece, after) = rest.split_at(cut);
                    stopped = stop.write(piece, |text| written += text);
                    rest = after;
                }
                if !stopped {
                    stop.finish(|text| written += text);
                }
                assert_eq!((written.as_str(), stopped), (wanted, found), "{strings:?} in pieces of {size}");
            }
        }
    }

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
        assert!(StopText::new(&[""]).is_err() && StopText::new(&["x"; 2]).is_ok());
    }
}
