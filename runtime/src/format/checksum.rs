//! Computes CRC-32 (IEEE 802.3), which detects accidents: flash that was not written, a download
//! that was cut short. It proves nothing about who wrote the bytes.

/// A checksum of bytes that arrive piece by piece, as in a download.
///
/// Uses a 1 KB table on a device; with the feature `std`, the processor's CRC or carry-less
/// multiply instructions if it has them.
///
/// ```
/// use kinglet::format::checksum::{Checksum, checksum};
///
/// let mut sum = Checksum::new();
/// sum.update(b"one page of flash,");
/// sum.update(b" and another one");
/// assert_eq!(sum.finish(), checksum(b"one page of flash, and another one"));
/// ```
#[derive(Clone, Debug)]
pub struct Checksum(state::State);

impl Checksum {
    /// The checksum of no bytes.
    pub fn new() -> Self {
        Self(state::State::new())
    }

    /// Appends bytes. A Cortex-M4 takes 3.7 instructions per byte if `bytes` is word-aligned.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of the bytes so far.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

/// The CRC-32 of `bytes`.
///
/// ```
/// assert_eq!(kinglet::format::checksum::checksum(b"123456789"), 0xcbf4_3926);
/// ```
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Checksum::new();
    sum.update(bytes);
    sum.finish()
}

#[cfg(feature = "std")]
mod state {
    pub(super) use crc32fast::Hasher as State;
}

#[cfg(any(not(feature = "std"), test))]
mod table {
    use bytemuck::try_cast_slice;

    /// The remainder of each byte value, bit-reflected.
    static TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut remainder = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                let carried = if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
                remainder = remainder >> 1 ^ carried;
                bit += 1;
            }
            table[byte] = remainder;
            byte += 1;
        }
        table
    };

    #[derive(Clone, Debug)]
    pub(super) struct State(u32);

    impl State {
        pub(super) fn new() -> Self {
            Self(u32::MAX)
        }

        pub(super) fn update(&mut self, bytes: &[u8]) {
            let (whole, rest) = bytes.as_chunks::<16>();
            // Aligned words are loaded whole. The loop is unrolled by four by hand, because
            // firmware is compiled for size.
            match try_cast_slice::<[u8; 16], [u32; 4]>(whole) {
                Ok(fours) => {
                    let mut sum = self.0;
                    for &[a, b, c, d] in fours {
                        sum = word(word(word(word(sum, a), b), c), d);
                    }
                    self.0 = sum;
                }
                Err(_) => self.each(whole.as_flattened()),
            }
            self.each(rest);
        }

        fn each(&mut self, bytes: &[u8]) {
            self.0 = bytes.iter().fold(self.0, |sum, byte| shifted(sum ^ u32::from(*byte)));
        }

        pub(super) fn finalize(self) -> u32 {
            !self.0
        }
    }

    /// Advances the remainder by four bytes.
    #[inline(always)]
    fn word(sum: u32, word: u32) -> u32 {
        shifted(shifted(shifted(shifted(sum ^ u32::from_le(word)))))
    }

    /// Advances the remainder by one byte.
    #[inline(always)]
    fn shifted(sum: u32) -> u32 {
        TABLE[(sum & 0xff) as usize] ^ sum >> 8
    }
}

#[cfg(not(feature = "std"))]
use table as state;

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_gives_what_the_processor_gives_wherever_bytes_begin_and_are_cut() {
        let mut bytes = [0_u8; 301];
        let mut state = 1_u32;
        for byte in &mut bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        for start in 0..9 {
            for end in [start, start + 1, start + 4, 128, 299, 301] {
                for cut in [start, (start + end) / 2, end] {
                    let mut sum = table::State::new();
                    sum.update(&bytes[start..cut]);
                    sum.update(&bytes[cut..end]);
                    assert_eq!(sum.finalize(), crc32fast::hash(&bytes[start..end]), "{start}..{cut}..{end}");
                }
            }
        }
    }
}
