//! Generates inputs without a fuzzer: mutates the initial inputs as an attacker would mutate files.

use kinglet_random::Noise;

/// The maximum length of an input without an initial input.
const MAX_FRESH: usize = 700;

/// A generator of inputs.
#[derive(Clone, Debug)]
pub struct Mutator {
    noise: Noise,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// A generator with a seed and initial inputs; without initial inputs it generates random
    /// bytes.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { noise: Noise::new(seed), seeds }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.noise.next() % end.max(1) as u64) as usize
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        if self.seeds.is_empty() {
            let len = self.below(MAX_FRESH);
            return (0..len).map(|_| self.noise.next() as u8).collect();
        }
        let seed = self.below(self.seeds.len());
        let mut bytes = self.seeds[seed].clone();
        for _ in 0..1 + self.below(4) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        const WORDS: [u64; 12] =
            [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 1 << 31, i32::MAX as u64, u32::MAX as u64, 1 << 63];
        const TEXTS: [&str; 16] = [
            "-1",
            "0",
            "1e400",
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "18446744073709551616",
            "4294967296",
            "0.5",
            "[[[[[[[[",
            "\\u0000",
            "\"\\ud800\"",
            "NaN",
            "65537",
        ];
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = self.noise.next() as u8,
            3 => {
                let word = WORDS[self.below(WORDS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)];
                for (to, from) in bytes.iter_mut().skip(at).zip(&word[..width]) {
                    *to = *from;
                }
            }
            4 => {
                let end = (at + 1 + self.below(16)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            5 => {
                let end = (at + 1 + self.below(64)).min(bytes.len());
                let copied = bytes[at.min(end)..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            // Replaces a JSON value by one that is rarely valid.
            6 | 7 => {
                let starts = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'"' | b'[' | b't' | b'f' | b'n');
                let start = bytes[at..].iter().position(|&byte| starts(byte)).map_or(at, |skipped| at + skipped);
                let ends = |byte: u8| matches!(byte, b',' | b'}' | b']' | b':' | b'\n');
                let len = bytes[start..].iter().position(|&byte| ends(byte)).unwrap_or(0).min(64);
                let text = TEXTS[self.below(TEXTS.len())].bytes();
                bytes.splice(start..start + len, text);
            }
            _ => bytes.truncate(at),
        }
    }
}
