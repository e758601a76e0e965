//! Decodes tokens to text, incrementally.

use super::Tokenizer;
use super::section::DecoderSpec;
use super::text::Char;

/// Decodes tokens one at a time. Bytes of an incomplete UTF-8 character are held back until the
/// next token.
///
/// ```
/// use kinglet::tokenizer::Tokenizer;
///
/// /// Streams a model's output to a serial port.
/// fn print(tokenizer: &Tokenizer, ids: &[u32], mut serial: impl FnMut(&str)) {
///     let mut decoder = tokenizer.decoder(true);
///     for &id in ids {
///         decoder.push(id, &mut serial);
///     }
///     decoder.finish(&mut serial);
/// }
/// # let _ = |tokenizer: &Tokenizer| print(tokenizer, &[], |_| ());
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'t, 'm> {
    tokenizer: &'t Tokenizer<'m>,
    skip_special: bool,
    /// The number of tokens decoded, without skipped ones.
    tokens: usize,
    /// Whether a space is due before the next token.
    pending_space: bool,
    /// The number of leading spaces still to strip.
    strip: u8,
    /// The first bytes of an incomplete character.
    partial: [u8; 4],
    partial_len: usize,
    /// Whether each byte of this run of byte tokens becomes U+FFFD, because the run is not UTF-8.
    broken: bool,
    /// Decodes one token.
    step: Step,
}

/// Decodes a token, given its id and whether it is the first. A function pointer, so that the
/// compiler drops the other decoders if the tokenizer is a constant.
type Step = fn(&mut Decoder<'_, '_>, u32, bool, &mut dyn FnMut(&str));

/// The replacement for bytes that are not UTF-8.
const REPLACEMENT: &str = "\u{fffd}";
/// The longest token of WordPiece and suffix decoders, in bytes.
pub(crate) const MAX_CLEANED: usize = 256;

impl<'t, 'm> Decoder<'t, 'm> {
    pub(super) fn new(tokenizer: &'t Tokenizer<'m>, skip_special: bool) -> Self {
        let mut strip = 0;
        let step: Step = match tokenizer.header.decoder {
            DecoderSpec::Spaces => spaces,
            DecoderSpec::Fuse => fuse,
            DecoderSpec::ByteLevel => byte_level,
            DecoderSpec::WordPiece { .. } => word_piece,
            DecoderSpec::Suffix { .. } => suffixed,
            DecoderSpec::Metaspace { .. } => metaspace,
            DecoderSpec::ByteFallback { strip: spaces, .. } => {
                strip = spaces;
                byte_fallback
            }
        };
        Self {
            tokenizer,
            skip_special,
            tokens: 0,
            pending_space: false,
            strip,
            partial: [0; 4],
            partial_len: 0,
            broken: false,
            step,
        }
    }

    /// Decodes the next token and passes the text that it completes to `out`. Unknown ids are
    /// ignored.
    pub fn push(&mut self, id: u32, out: &mut dyn FnMut(&str)) {
        let tokenizer = self.tokenizer;
        if !tokenizer.is_known(id) || (self.skip_special && tokenizer.is_special(id)) {
            return;
        }
        let first = self.tokens == 0;
        self.tokens += 1;
        (self.step)(self, id, first, out);
    }

    /// Ends the text: passes U+FFFD to `out` for an incomplete character.
    pub fn finish(mut self, out: &mut dyn FnMut(&str)) {
        self.end_bytes(out);
    }

    /// Sets whether the run of byte tokens that follows is not UTF-8 as a whole.
    pub(super) fn break_run(&mut self, broken: bool) {
        self.broken = broken;
    }

    /// Calls `each` with every character of a token.
    fn characters(&mut self, id: u32, mut each: impl FnMut(Option<char>, &mut Self)) {
        let tokenizer = self.tokenizer;
        let (mut bytes, mut filled) = ([0; 4], 0);
        tokenizer.pieces(id, &mut |piece| {
            for &byte in piece {
                if let Some(slot) = bytes.get_mut(filled) {
                    *slot = byte;
                    filled += 1;
                }
                if let Ok(text) = core::str::from_utf8(bytes.get(..filled).unwrap_or(&[])) {
                    each(text.chars().next(), self);
                    filled = 0;
                }
            }
        });
    }

    /// Appends one byte, and outputs the character that it completes.
    fn byte(&mut self, byte: u8, out: &mut dyn FnMut(&str)) {
        if self.broken {
            return out(REPLACEMENT);
        }
        if let Some(slot) = self.partial.get_mut(self.partial_len) {
            *slot = byte;
            self.partial_len += 1;
        }
        loop {
            let partial = self.partial;
            let bytes = partial.get(..self.partial_len).unwrap_or(&[]);
            match core::str::from_utf8(bytes) {
                Ok(text) => {
                    self.strip = if text.is_empty() { self.strip } else { 0 };
                    out(text);
                    self.partial_len = 0;
                    return;
                }
                Err(error) => match error.error_len() {
                    None => return,
                    // One U+FFFD replaces the maximal prefix of a valid character.
                    Some(len) => {
                        out(REPLACEMENT);
                        let rest = bytes.len().saturating_sub(len.max(1));
                        let gone = bytes.len() - rest;
                        self.partial_len = rest;
                        if rest == 0 {
                            return;
                        }
                        self.partial = (u32::from_le_bytes(partial) >> (8 * gone)).to_le_bytes();
                    }
                },
            }
        }
    }

    /// Ends a run of bytes: those left over are not a character.
    fn end_bytes(&mut self, out: &mut dyn FnMut(&str)) {
        let left = core::mem::take(&mut self.partial_len);
        let marks = match self.tokenizer.header.decoder {
            DecoderSpec::ByteFallback { .. } => left,
            _ => left.min(1),
        };
        (0..marks).for_each(|_| out(REPLACEMENT));
        self.broken = false;
    }
}

fn spaces(decoder: &mut Decoder<'_, '_>, id: u32, first: bool, out: &mut dyn FnMut(&str)) {
    if !first {
        out(" ");
    }
    fuse(decoder, id, first, out);
}

/// Outputs a token's string unchanged.
fn fuse(decoder: &mut Decoder<'_, '_>, id: u32, _: bool, out: &mut dyn FnMut(&str)) {
    decoder.characters(id, |c, _| put(c, out));
}

fn byte_level(decoder: &mut Decoder<'_, '_>, id: u32, _: bool, out: &mut dyn FnMut(&str)) {
    decoder.tokenizer.pieces(id, &mut |piece| piece.iter().for_each(|&byte| decoder.byte(byte, out)));
}

fn metaspace(decoder: &mut Decoder<'_, '_>, id: u32, first: bool, out: &mut dyn FnMut(&str)) {
    let DecoderSpec::Metaspace { replacement, drop_first } = decoder.tokenizer.header.decoder else { return };
    let space = if first && drop_first { "" } else { " " };
    decoder.characters(id, |c, _| if c == Some(replacement) { out(space) } else { put(c, out) });
}

fn byte_fallback(decoder: &mut Decoder<'_, '_>, id: u32, _: bool, out: &mut dyn FnMut(&str)) {
    let DecoderSpec::ByteFallback { replacement, .. } = decoder.tokenizer.header.decoder else { return };
    if let Some(byte) = decoder.tokenizer.byte_of(id) {
        return decoder.byte(byte, out);
    }
    decoder.end_bytes(out);
    decoder.characters(id, |c, decoder| {
        let c = if c.is_some() && c == replacement { Some(' ') } else { c };
        if c != Some(' ') || decoder.strip == 0 {
            decoder.strip = 0;
            put(c, out);
        } else {
            decoder.strip -= 1;
        }
    });
}

/// Outputs a token after a space, or without its prefix if it continues a word.
fn word_piece(decoder: &mut Decoder<'_, '_>, id: u32, first: bool, out: &mut dyn FnMut(&str)) {
    let tokenizer = decoder.tokenizer;
    let DecoderSpec::WordPiece { prefix, cleanup } = tokenizer.header.decoder else { return };
    let prefix = tokenizer.bytes(prefix);
    let mut buffer = [0; MAX_CLEANED];
    let mut filled = 0;
    let mut add = |bytes: &[u8]| {
        if let Some(to) = buffer.get_mut(filled..filled + bytes.len()) {
            to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            filled += bytes.len();
        }
    };
    add(b" ");
    tokenizer.pieces(id, &mut add);
    let token = buffer.get(1..filled).unwrap_or(&[]);
    let begin = match first {
        true => 1,
        false if token.starts_with(prefix) => 1 + prefix.len(),
        false => 0,
    };
    let text = buffer.get_mut(begin..filled).unwrap_or(&mut []);
    let len = if cleanup { clean(text) } else { text.len() };
    out(core::str::from_utf8(text.get(..len).unwrap_or(&[])).unwrap_or(REPLACEMENT));
}

/// Outputs a token with each suffix replaced by a space, except at the end of the text.
fn suffixed(decoder: &mut Decoder<'_, '_>, id: u32, _: bool, out: &mut dyn FnMut(&str)) {
    let tokenizer = decoder.tokenizer;
    let DecoderSpec::Suffix { suffix } = tokenizer.header.decoder else { return };
    let suffix = tokenizer.bytes(suffix);
    if core::mem::take(&mut decoder.pending_space) {
        out(" ");
    }
    let mut buffer = [0; MAX_CLEANED];
    let mut filled = 0;
    tokenizer.pieces(id, &mut |piece: &[u8]| {
        if let Some(to) = buffer.get_mut(filled..filled + piece.len()) {
            to.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            filled += piece.len();
        }
    });
    let mut text = buffer.get(..filled).unwrap_or(&[]);
    while let Some(at) = text.windows(suffix.len().max(1)).position(|window| window == suffix) {
        let (before, after) = text.split_at_checked(at).unwrap_or((&[], &[]));
        out(core::str::from_utf8(before).unwrap_or(REPLACEMENT));
        text = after.get(suffix.len()..).unwrap_or(&[]);
        // Hugging Face drops every suffix of the last token, even one in its middle; no vocabulary
        // has such a token.
        decoder.pending_space = true;
        if !text.is_empty() {
            decoder.pending_space = false;
            out(" ");
        }
    }
    out(core::str::from_utf8(text).unwrap_or(REPLACEMENT));
}

fn put(c: Option<char>, out: &mut dyn FnMut(&str)) {
    let Some(c) = c else { return };
    let char = Char::new(c.into(), 0, 0);
    out(core::str::from_utf8(char.utf8().get(..char.len_utf8()).unwrap_or(&[])).unwrap_or(REPLACEMENT));
}

/// Removes spaces before punctuation in place (`clean_up_tokenization_spaces`), one rule after the
/// other. Returns the new length.
fn clean(text: &mut [u8]) -> usize {
    const RULES: [(&[u8], &[u8]); 11] = [
        (b" .", b"."),
        (b" ?", b"?"),
        (b" !", b"!"),
        (b" ,", b","),
        (b" ' ", b"'"),
        (b" n't", b"n't"),
        (b" 'm", b"'m"),
        (b" do not", b" don't"),
        (b" 's", b"'s"),
        (b" 've", b"'ve"),
        (b" 're", b"'re"),
    ];
    let mut len = text.len();
    for (from, to) in RULES {
        let (mut read, mut written) = (0, 0);
        while read < len {
            let found = text.get(read..len).is_some_and(|rest| rest.starts_with(from));
            let step = if found { from.len() } else { 1 };
            if found {
                text.iter_mut().skip(written).zip(to).for_each(|(slot, byte)| *slot = *byte);
                written += to.len();
            } else if let Some(&byte) = text.get(read) {
                text.iter_mut().skip(written).take(1).for_each(|slot| *slot = byte);
                written += 1;
            }
            read += step;
        }
        len = written;
    }
    len
}
