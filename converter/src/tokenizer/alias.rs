//! Maps bytes to the printable characters that stand for them in byte-level vocabularies.

/// The printable character that stands for a byte in byte-level vocabularies.
pub fn alias(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if plain(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|&byte| !plain(byte)).count() as u32;
    char::from_u32(256 + before).unwrap_or_default()
}

/// The bytes that a string of a byte-level vocabulary stands for, or its own UTF-8 if a character
/// stands for none.
pub(super) fn unalias(string: &str) -> Vec<u8> {
    static BYTES: std::sync::LazyLock<std::collections::HashMap<char, u8>> =
        std::sync::LazyLock::new(|| (0..=255).map(|byte| (alias(byte), byte)).collect());
    let bytes: Option<Vec<u8>> = string.chars().map(|c| BYTES.get(&c).copied()).collect();
    bytes.unwrap_or_else(|| string.as_bytes().to_vec())
}
