//! Compares the device's tokenizers with the `tokenizers` crate, on small tokenizers of every kind.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet::format::checksum::checksum;
use kinglet::tokenizer::section::PRELUDE;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{Buffer, LoadError, RunError};
use kinglet_convert::tokenizer::{build, decode, encode};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers")
}

/// The names of the small tokenizers, and the paths of those in the folder `KINGLET_TOKENIZERS`, if
/// that variable is set.
fn names() -> Vec<String> {
    let inside = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.join("tokenizer.json").exists()).collect()
    };
    let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<String> = inside(folder()).into_iter().map(name).collect();
    assert!(names.len() >= 27, "only {} tokenizers", names.len());
    if let Some(folder) = std::env::var_os("KINGLET_TOKENIZERS") {
        names.extend(inside(folder.into()).into_iter().map(|path| path.to_string_lossy().into_owned()));
    }
    names.sort();
    names
}

pub(crate) fn corpus() -> Vec<String> {
    let file = fs::read_to_string(folder().join("corpus.jsonl")).expect("the corpus");
    let texts: Vec<String> = file.lines().map(|line| serde_json::from_str(line).expect("a JSON string")).collect();
    assert!(texts.len() >= 2000);
    texts
}

fn section(name: &str) -> Vec<u8> {
    build(&folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error:?}")).expect("a tokenizer")
}

fn theirs(name: &str) -> tokenizers::Tokenizer {
    let file = folder().join(name).join("tokenizer.json");
    let mut theirs = tokenizers::Tokenizer::from_file(file).expect("the crate reads it");
    // On the device, padding and truncation of batches are up to the caller.
    theirs.with_padding(None).with_truncation(None).expect("nothing to cut");
    theirs
}

/// Fails if the device and the crate differ on a text or a pair.
pub(crate) fn compare(
    name: &str,
    device: &Tokenizer<'_>,
    theirs: &tokenizers::Tokenizer,
    text: &str,
    pair: Option<&str>,
) {
    for special in [true, false] {
        let expected = match pair {
            Some(pair) => theirs.encode((text, pair), special),
            None => theirs.encode(text, special),
        };
        let expected = expected.expect("the crate tokenizes it");
        let options = EncodeOptions { add_special_tokens: special, max_length: None };
        let tokens = encode(device, text, pair, &options).expect("the device tokenizes it");
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, expected.get_ids(), "{name}: {text:?} {pair:?}: {:?}", expected.get_tokens());
        let types: Vec<u32> = tokens.iter().map(|token| token.type_id.into()).collect();
        assert_eq!(types, expected.get_type_ids(), "{name}: segments of {text:?} {pair:?}");
        let offsets: Vec<(usize, usize)> =
            tokens.iter().map(|token| (token.start as usize, token.end as usize)).collect();
        assert_eq!(offsets, expected.get_offsets(), "{name}: offsets of {text:?} {pair:?}");
        // One of the crate's decoders panics on an empty list.
        let nothing = ids.iter().all(|&id| special && device.is_special(id));
        let text = if nothing { String::new() } else { theirs.decode(&ids, special).expect("the crate decodes it") };
        assert_eq!(decode(device, &ids, special), text, "{name}: text of {ids:?}");
    }
}

/// Calls `check` with every tokenizer, on several threads.
pub(crate) fn each(check: impl Fn(&str, &Tokenizer<'_>, &tokenizers::Tokenizer) + Sync) {
    let names = names();
    let next = core::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, core::sync::atomic::Ordering::Relaxed)) {
                    let section = section(name);
                    check(name, &Tokenizer::from_bytes(&section).expect("a tokenizer"), &theirs(name));
                }
            });
        }
    });
}

#[test]
fn every_tokenizer_pauses_as_often_as_its_text_is_long_and_finds_the_same_tokens() {
    for name in names() {
        let section = section(&name);
        let device = Tokenizer::from_bytes(&section).expect("it reads");
        let (options, mut scratch) = (EncodeOptions::default(), vec![0; 1 << 20]);
        let mut count = |repeats: usize| {
            let text = "The quick brown fox, 12 of them. ".repeat(repeats);
            let (mut plain, mut ids) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let found = device.encode_ids(&text, None, &options, &mut scratch, &mut plain).expect("it encodes");
            let mut pauses = 0;
            let pause = &mut || pauses += 1;
            let paused = device.encode_ids_with(&text, None, &options, &mut scratch, &mut ids, pause);
            assert_eq!(paused, Ok(found), "{name}");
            assert!(ids[..found] == plain[..found], "{name}");
            // Loading the text is a step already.
            assert!(pauses >= text.len() / 32, "{name}: {pauses} pauses for {} characters", text.len());
            pauses
        };
        let (short, long) = (count(10), count(40));
        assert!((3 * short..=5 * short).contains(&long), "{name}: {short} and {long} pauses");
    }
}

#[test]
fn hard_texts_become_the_tokens_of_the_crate() {
    let texts = corpus();
    each(|name, device, theirs| {
        for (index, text) in texts.iter().enumerate() {
            let pair = (index % 3 == 0).then(|| texts[(index * 7 + 3) % texts.len()].as_str());
            compare(name, device, theirs, text, pair);
        }
    });
}

#[test]
fn random_texts_become_the_tokens_of_the_crate() {
    each(|name, device, theirs| {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let strange = prop::collection::vec(any::<char>(), 0..24);
        let marks = prop::collection::vec(
            prop_oneof!["[\\x20-\\x7e]", "[\u{300}-\u{36f}]", "[\u{900}-\u{11ff}]", "[ \n\t▁]", "\\PC"],
            0..24,
        );
        let texts = prop_oneof![strange.prop_map(String::from_iter), marks.prop_map(|parts| parts.concat())];
        runner
            .run(&texts, |text| {
                compare(name, device, theirs, &text, None);
                Ok(())
            })
            .expect("they agree");
    });
}

#[test]
fn texts_are_cut_as_the_crate_cuts_them() {
    for name in ["bert_uncased", "roberta", "gpt2", "t5"] {
        let (section, mut theirs) = (section(name), theirs(name));
        let device = Tokenizer::from_bytes(&section).expect("a tokenizer");
        let texts =
            ["a b c d e f g h i j k l m n o p q r s t u v w x y z", "one two three", "jumping over the lamp", ""];
        for max_length in [4, 5, 8, 9, 16, 21, 40] {
            let truncation = tokenizers::TruncationParams { max_length, ..Default::default() };
            theirs.with_truncation(Some(truncation)).expect("a truncation");
            for text in texts {
                for pair in [None, Some(texts[0]), Some(texts[1]), Some(texts[2])] {
                    let expected = match pair {
                        Some(pair) => theirs.encode((text, pair), true),
                        None => theirs.encode(text, true),
                    };
                    let expected = expected.expect("the crate tokenizes it");
                    let options = EncodeOptions { max_length: Some(max_length), ..EncodeOptions::default() };
                    let tokens = encode(&device, text, pair, &options).expect("the device tokenizes it");
                    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                    assert_eq!(ids, expected.get_ids(), "{name}: {text:?} {pair:?} to {max_length}");
                    // Only the tokens that may be kept need room.
                    let room = if pair.is_some() { 2 * max_length } else { max_length };
                    let (mut scratch, mut out) = (vec![0; 4096], vec![Token::default(); room]);
                    assert_eq!(device.encode(text, pair, &options, &mut scratch, &mut out), Ok(ids.len()), "{name}");
                }
            }
        }
    }
}

#[test]
fn text_comes_as_soon_as_its_characters_are_whole() {
    for name in names() {
        let section = section(&name);
        let device = Tokenizer::from_bytes(&section).expect("a tokenizer");
        for text in ["Über 👍🏽 the lamp, 作り方 isn't here.", "e\u{301} a b", "中文 😀"] {
            let ids: Vec<u32> =
                encode(&device, text, None, &EncodeOptions::default()).expect("tokens").iter().map(|t| t.id).collect();
            let mut decoder = device.decoder(true);
            let mut pieces = Vec::new();
            ids.iter().for_each(|&id| decoder.push(id, &mut |piece| pieces.push(piece.to_owned())));
            decoder.finish(&mut |piece| pieces.push(piece.to_owned()));
            assert_eq!(pieces.concat(), decode(&device, &ids, true), "{name}");
        }
    }
}

#[test]
fn too_little_memory_is_an_error_that_says_so() {
    let section = section("gpt2");
    let device = Tokenizer::from_bytes(&section).expect("a tokenizer");
    let text = "the lamp in the kitchen is on and the one in the hall is not";
    let (mut scratch, mut out) = (vec![0; device.scratch_words(text.len())], [Token::default(); 64]);
    let options = EncodeOptions::default();
    let count = device.encode(text, None, &options, &mut scratch, &mut out).expect("there is room");
    assert!(count > 4);
    for given in [0, 1, 7, 100, 300] {
        let found = device.encode(text, None, &options, &mut scratch[..given], &mut out);
        let needed = device.scratch_words(text.len());
        assert_eq!(found, Err(RunError::BufferTooSmall { buffer: Buffer::Scratch, needed, given }));
    }
    for given in [0, 1, count - 1] {
        let found = device.encode(text, None, &options, &mut scratch, &mut out[..given]);
        assert_eq!(found, Err(RunError::BufferTooSmall { buffer: Buffer::Tokens, needed: count, given }));
    }
    let said = RunError::BufferTooSmall { buffer: Buffer::Tokens, needed: 12, given: 3 }.to_string();
    assert_eq!(said, "3 tokens for this text are too few: lend 12");
}

#[test]
fn a_second_try_with_what_the_first_asked_for_is_enough() {
    let texts = corpus();
    each(|name, device, theirs| {
        for (index, text) in texts.iter().step_by(7).enumerate() {
            let pair = (index % 2 == 0).then_some(texts[index * 7 / 2].as_str());
            let expected = match pair {
                Some(pair) => theirs.encode((text.as_str(), pair), true),
                None => theirs.encode(text.as_str(), true),
            };
            let count = expected.expect("the crate tokenizes it").len();
            let mut scratch = vec![0; device.scratch_words(text.len().max(pair.map_or(0, str::len)))];
            let needed = match device.encode(text, pair, &EncodeOptions::default(), &mut scratch, &mut []) {
                Err(RunError::BufferTooSmall { buffer: Buffer::Tokens, needed, given: 0 }) => needed,
                found => found.unwrap_or_else(|error| panic!("{name}: {error} for {text:?} {pair:?}")),
            };
            assert_eq!(needed, count, "{name}: {text:?} {pair:?}");
            let mut tokens = vec![Token::default(); needed];
            let found = device.encode(text, pair, &EncodeOptions::default(), &mut scratch, &mut tokens);
            assert_eq!(found, Ok(count), "{name}: {text:?} {pair:?}");
        }
    });
}

#[test]
fn a_section_that_was_tampered_with_never_panics() {
    for name in ["bert_uncased", "qwen2", "albert", "llama2", "gpt1", "words_level"] {
        let whole = section(name);
        let mut state = 5_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..150 {
            let mut bytes = whole.clone();
            // Half of the changes are in the header, which is at the end.
            let from = if round % 2 == 0 { PRELUDE } else { bytes.len().saturating_sub(250) };
            for _ in 0..1 + round % 5 {
                let at = from + random(bytes.len() - from);
                bytes[at] = [0, 0xff, random(256) as u8, bytes[at].wrapping_add(1)][random(4)];
            }
            let sum = checksum(&bytes[PRELUDE..]);
            bytes[12..16].copy_from_slice(&sum.to_le_bytes());
            let Ok(device) = Tokenizer::from_bytes(&bytes) else { continue };
            let (mut scratch, mut out) = (vec![0; 4096], vec![Token::default(); 256]);
            for text in ["Zoë isn't in <s> [MASK] the kitchen 中文 ﬁ 가 e\u{301}\u{323}\n  x", ""] {
                let pair = Some("second lamp").filter(|_| round % 3 == 0);
                let _ = device.encode(text, pair, &EncodeOptions::default(), &mut scratch, &mut out);
            }
            let ids: Vec<u32> = (0..300).chain([u32::MAX, 1 << 20]).collect();
            device.decode(&ids, round % 2 == 0, &mut |_| {});
        }
        for len in [0, 1, PRELUDE - 1, PRELUDE, whole.len() / 2, whole.len() - 1] {
            let cut = Tokenizer::from_bytes(&whole[..len]).err();
            assert!(
                matches!(cut, Some(LoadError::NoTokenizer | LoadError::InvalidTokenizer(_))),
                "{name} cut to {len}: {cut:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let file = fs::read_to_string(folder().join("bert_uncased/tokenizer.json")).expect("a tokenizer");
    let whole: serde_json::Value = serde_json::from_str(&file).expect("JSON");
    let refused = |path: &str, value: serde_json::Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(path).expect("a place") = value;
        format!("{:#}", kinglet_convert::tokenizer::section(&changed).expect_err("it is refused"))
    };
    use serde_json::json;
    for (path, value, named) in [
        ("/normalizer", json!({ "type": "Nmt" }), "Nmt"),
        ("/pre_tokenizer", json!({ "type": "UnicodeScripts" }), "UnicodeScripts"),
        (
            "/pre_tokenizer",
            json!({ "type": "Split", "pattern": { "Regex": "(a|b)+" }, "behavior": "Isolated" }),
            "(a|b)+",
        ),
        ("/post_processor", json!({ "type": "Other" }), "Other"),
        ("/decoder", json!({ "type": "CTC" }), "CTC"),
        ("/model/type", json!("Magic"), "Magic"),
        ("/model/vocab", json!({ "a": -1 }), "model.vocab"),
        ("/model/unk_token", json!("none such"), "model.unk_token"),
        ("/added_tokens/0/content", json!(3), "added_tokens[0].content"),
    ] {
        let said = refused(path, value);
        assert!(said.contains(named), "{path}: {said}");
    }
}
