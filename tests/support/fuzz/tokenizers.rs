//! Fuzz targets for tokenizers: forged tables, texts compared with the `tokenizers` crate, and
//! files that describe tokenizers.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, str};

use arbitrary::Unstructured;
use kinglet::tokenizer::section::{Header, PRELUDE};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet_convert::tokenizer::{build, decode, encode, section};

/// Texts that exercise every step of a tokenizer.
const TEXTS: [&str; 4] = [
    "Zoë isn't in <s> [MASK] the kitchen 中文 ﬁ 가 e\u{301}\u{323}\n  x",
    "a\u{0}b  12345 👍🏽 \u{200d} <unk>",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "",
];

/// SentencePiece files, the class of `transformers` that reads each, and the file name that the
/// class expects.
const SENTENCE_PIECES: [(&str, &str, &str); 5] = [
    ("LlamaTokenizer", "tokenizer.model", "llama.model"),
    ("T5Tokenizer", "spiece.model", "t5.model"),
    ("AlbertTokenizer", "spiece.model", "albert.model"),
    ("GemmaTokenizer", "tokenizer.model", "gemma.model"),
    ("XLMRobertaTokenizer", "sentencepiece.bpe.model", "fairseq.model"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers")
}

/// A small tokenizer. Each of its forms is made when it is first used.
pub(super) struct Small {
    folder: PathBuf,
    section: OnceLock<Vec<u8>>,
    theirs: OnceLock<tokenizers::Tokenizer>,
}

impl Small {
    /// The section of Kinglet's tokenizer.
    pub(super) fn section(&self) -> &[u8] {
        self.section.get_or_init(|| build(&self.folder).expect("it is read").expect("a tokenizer"))
    }

    /// The tokenizer of the `tokenizers` crate.
    fn theirs(&self) -> &tokenizers::Tokenizer {
        self.theirs.get_or_init(|| {
            let file = self.folder.join("tokenizer.json");
            let mut theirs = tokenizers::Tokenizer::from_file(file).expect("the crate reads it");
            theirs.with_padding(None).with_truncation(None).expect("nothing to cut");
            theirs
        })
    }
}

/// The small tokenizers, in the order of their names.
pub(super) fn all() -> &'static [Small] {
    static ALL: OnceLock<Vec<Small>> = OnceLock::new();
    ALL.get_or_init(|| {
        let entries = fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
        let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("tokenizer.json").exists()).collect();
        folders.sort();
        let small = |folder| Small { folder, section: OnceLock::new(), theirs: OnceLock::new() };
        folders.into_iter().map(small).collect()
    })
}

/// Encodes texts and decodes arbitrary tokens.
pub(super) fn use_tokenizer(device: &Tokenizer<'_>, texts: &[&str]) {
    let (mut scratch, mut out) = (vec![0; 4096], vec![Token::default(); 256]);
    for (index, text) in texts.iter().enumerate() {
        let pair = texts.get(index + 1).copied();
        let max_length = (index % 2 == 1).then_some(5);
        let options = EncodeOptions { add_special_tokens: index % 3 != 2, max_length };
        if let Ok(count) = device.encode(text, pair, &options, &mut scratch, &mut out) {
            for token in &out[..count] {
                let of = [Some(*text), pair][usize::from(token.text.unwrap_or(0)).min(1)].unwrap_or_default();
                let places = token.start <= token.end && token.end as usize <= of.len();
                assert!(token.text.is_none() || places, "{token:?} of {of:?}");
            }
            let ids: Vec<u32> = out[..count].iter().map(|token| token.id).collect();
            device.decode(&ids, false, &mut |_| {});
        }
    }
    let ids: Vec<u32> = (0..70).chain([u32::MAX, 1 << 31, 0x8000_0041, 1 << 20]).collect();
    device.decode(&ids, true, &mut |_| {});
    for id in ids {
        device.pieces(id, &mut |_| {});
        let _ = (device.is_known(id), device.is_added(id), device.is_special(id));
    }
}

/// A section with modified tables or header, and a correct checksum, is refused or tokenizes
/// without a panic.
pub(super) fn tables(bytes: &[u8]) {
    let _ = forge(&mut Unstructured::new(bytes));
}

fn forge(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let small = u.choose(all())?;
    let mut section = small.section().to_vec();
    let word = |section: &[u8], at: usize| u32::from_le_bytes(section[at..at + 4].try_into().expect("four bytes"));
    let header_at = section.len() - word(&section, 8) as usize;
    if u.arbitrary()? {
        // Changes numbers in a header that can be decoded.
        let mut header = section.split_off(header_at);
        for _ in 0..u.int_in_range(1..=3)? {
            let at = u.choose_index(header.len())?;
            header[at] = if u.arbitrary()? { u.arbitrary()? } else { header[at] ^ 1 << u.int_in_range(0..=6)? };
        }
        if postcard::from_bytes::<Header>(&header).is_err() && u.ratio(9, 10)? {
            return Ok(());
        }
        section.extend(header);
    }
    for _ in 0..u.int_in_range(0..=5)? {
        let at = PRELUDE + u.choose_index(section.len() - PRELUDE)?;
        match u.int_in_range(0..=2)? {
            0 => section[at] = u.arbitrary()?,
            1 => section[at] ^= 1 << u.int_in_range(0..=7)?,
            _ => {
                let value = *u.choose(&[0_u32, 1, u32::MAX, 1 << 31, section.len() as u32, u32::from('a')])?;
                let at = (at & !3).min(section.len() - 4);
                section[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    let sum = checksum(&section);
    section[12..16].copy_from_slice(&sum);
    let Ok(device) = Tokenizer::from_bytes(&section) else { return Ok(()) };
    let own = String::from_utf8_lossy(u.bytes(u.len())?).into_owned();
    use_tokenizer(&device, &[TEXTS[0], &own, TEXTS[1], TEXTS[2], TEXTS[3]]);
    Ok(())
}

/// Arbitrary bytes, loaded as a section after correcting the checksum.
pub(super) fn section_bytes(bytes: &[u8]) {
    let mut section = bytes.to_vec();
    if section.len() >= PRELUDE {
        let sum = checksum(&section);
        section[12..16].copy_from_slice(&sum);
    }
    if let Ok(device) = Tokenizer::from_bytes(&section) {
        use_tokenizer(&device, &TEXTS);
    }
}

/// Sections of every kind, as initial inputs.
pub(super) fn sections() -> Vec<Vec<u8>> {
    all().iter().map(|small| small.section().to_vec()).collect()
}

fn checksum(section: &[u8]) -> [u8; 4] {
    kinglet::format::checksum::checksum(&section[PRELUDE..]).to_le_bytes()
}

/// A text, converted to UTF-8, yields the tokens of the `tokenizers` crate. The first byte selects
/// the tokenizer.
pub(super) fn text(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let small = &all()[usize::from(*first) % all().len()];
    let device = Tokenizer::from_bytes(small.section()).expect("a tokenizer");
    let text = String::from_utf8_lossy(rest);
    let expected = small.theirs().encode(&*text, true).expect("the crate tokenizes it");
    let tokens = encode(&device, &text, None, &EncodeOptions::default()).expect("the device tokenizes it");
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    assert_eq!(ids, expected.get_ids(), "{}: {text:?}", small.folder.display());
    let offsets: Vec<(usize, usize)> = tokens.iter().map(|token| (token.start as usize, token.end as usize)).collect();
    assert_eq!(offsets, expected.get_offsets(), "{}: offsets of {text:?}", small.folder.display());
    // One of the crate's decoders panics on an empty list.
    if !ids.is_empty() {
        let back = small.theirs().decode(&ids, false).expect("the crate decodes it");
        assert_eq!(decode(&device, &ids, false), back, "{}: text of {ids:?}", small.folder.display());
    }
}

/// Every fifth text of the corpus, each with a tokenizer.
pub(super) fn texts() -> Vec<Vec<u8>> {
    let corpus = fs::read_to_string(folder().join("corpus.jsonl")).expect("the corpus");
    let texts = corpus.lines().map(|line| serde_json::from_str::<String>(line).expect("a JSON string"));
    (0..).zip(texts).step_by(5).map(|(index, text)| [&[(index % 251) as u8], text.as_bytes()].concat()).collect()
}

/// A `tokenizer.json` is refused, or yields a section that tokenizes.
pub(super) fn json(bytes: &[u8]) {
    let Ok(description) = serde_json::from_slice(bytes) else { return };
    match section(&description) {
        Ok(section) => use_section(&section),
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

fn use_section(section: &[u8]) {
    let device = Tokenizer::from_bytes(section).expect("what the converter writes is valid");
    use_tokenizer(&device, &TEXTS);
}

/// The shortest `tokenizer.json` files of the small tokenizers.
pub(super) fn files() -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> =
        all().iter().map(|small| fs::read(small.folder.join("tokenizer.json")).expect("a file")).collect();
    files.sort_by_key(Vec::len);
    files.truncate(12);
    files
}

/// A SentencePiece model is refused, or yields a section that tokenizes. The first byte selects the
/// class that reads it.
pub(super) fn sentence_piece(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (class, file, _) = SENTENCE_PIECES[usize::from(*first) % SENTENCE_PIECES.len()];
    let directory = super::checkpoints::with_file(class, file, rest, |directory| {
        let settings = serde_json::json!({ "tokenizer_class": class });
        fs::write(directory.join("tokenizer_config.json"), settings.to_string()).expect("memory");
    });
    match build(&directory) {
        Ok(Some(section)) => use_section(&section),
        Ok(None) => panic!("{file} was overlooked"),
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// The SentencePiece models of the small tokenizers.
pub(super) fn sentence_pieces() -> Vec<Vec<u8>> {
    let file = |(index, (_, _, name)): (u8, &(_, _, &str))| {
        [vec![index], fs::read(folder().join("folders/material").join(name)).expect("a file")].concat()
    };
    (0..).zip(&SENTENCE_PIECES).map(file).collect()
}
