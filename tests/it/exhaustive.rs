//! Exhaustive tests: all truncations and flipped bits of the blobs that ship, and all code points
//! of Unicode through the tokenizers.

use std::fs;
use std::path::Path;

use kinglet::format::blob::{CHECKSUM_LEN, PRELUDE_LEN};
use kinglet::format::checksum::Checksum;
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet::{AlignedVec, LoadError, MemoryPlan, Model, Session};
use kinglet_convert::tokenizer::encode;

use crate::tokenizer::each;

/// The blobs that ship.
fn shipped() -> Vec<(String, AlignedVec)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-examples/common/models");
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let blobs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "kinglet"));
    let mut blobs: Vec<_> = blobs
        .map(|path| (path.display().to_string(), AlignedVec::from(fs::read(&path).expect("a blob").as_slice())))
        .collect();
    blobs.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(blobs.len() >= 6, "only {} blobs ship", blobs.len());
    blobs
}

#[test]
fn every_truncation_of_a_blob_that_ships_is_refused() {
    for (name, blob) in shipped() {
        for len in 0..blob.len() {
            let error = Model::from_bytes(&blob[..len]).err();
            let short = matches!(error, Some(LoadError::BlobTooShort { .. } | LoadError::LengthMismatch { .. }));
            assert!(short, "{name} cut to {len}: {error:?}");
            assert!(Model::from_slot(&blob[..len]).is_err(), "{name} cut to {len}");
        }
    }
}

/// Loads a blob and, if it is accepted and not much larger than the blobs that ship, runs it on a
/// token.
fn read(blob: &[u8]) -> Option<LoadError> {
    let model = match Model::from_bytes(blob) {
        Ok(model) => model,
        Err(error) => return Some(error),
    };
    if let Ok(plan) = MemoryPlan::new(model.spec(), 1, 1, 1)
        && plan.bytes() < 1 << 22
    {
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(&model, &mut arena, plan).expect("there is room");
        let encoded = model.spec().encoder.is_none() || session.encode(&[1], &[]).is_ok();
        let _ =
            (encoded, model.spec().decoder.map(|_| session.prefill(&[1])), session.logits().map(|logits| logits[0]));
    }
    None
}

#[test]
fn every_flipped_bit_of_a_manifest_that_ships_is_refused_or_runs() {
    for (name, mut blob) in shipped() {
        let manifest_len = u32::from_le_bytes(blob[12..16].try_into().expect("four bytes")) as usize;
        let end = PRELUDE_LEN + manifest_len;
        // The bytes after the manifest do not change, so their checksum is computed only once.
        let (mut refused, mut ran) = (0, 0);
        for bit in 0..end * 8 {
            blob[bit / 8] ^= 1 << (bit % 8);
            let content = blob.len() - CHECKSUM_LEN;
            let mut sum = Checksum::new();
            sum.update(&blob[..content]);
            blob[content..].copy_from_slice(&sum.finish().to_le_bytes());
            match read(&blob) {
                Some(_) => refused += 1,
                None => ran += 1,
            }
            blob[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(refused > 8 * PRELUDE_LEN && ran > 100, "{name}: {refused} refused, {ran} ran");
    }
}

/// Every code point, several per text, through every small tokenizer: tokens, offsets and ids equal
/// those of the crate `tokenizers`. This takes minutes, so only one text in 24 is tested unless
/// `KINGLET_EXHAUSTIVE` is set.
#[test]
fn code_points_become_the_tokens_of_the_crate() {
    let alone = std::env::var_os("KINGLET_EXHAUSTIVE").is_some();
    let characters: Vec<char> = (0..=0x10_ffff).filter_map(char::from_u32).collect();
    let texts: Vec<String> = if alone {
        characters.iter().map(|c| format!("a{c}b {c}")).collect()
    } else {
        // Neighbouring code points must not compose, and a word must be short enough for every
        // model.
        let text = |some: &[char]| some.iter().flat_map(|c| [*c, ' ', 'a']).collect();
        characters.chunks(24).step_by(24).map(text).collect()
    };
    each(|name, device, theirs| {
        for text in &texts {
            agrees(name, device, theirs, text);
        }
    });
}

fn agrees(name: &str, device: &Tokenizer<'_>, theirs: &tokenizers::Tokenizer, text: &str) {
    let expected = theirs.encode(text, false).expect("the crate tokenizes it");
    let options = EncodeOptions { add_special_tokens: false, max_length: None };
    let tokens = encode(device, text, None, &options).expect("the device tokenizes it");
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    assert_eq!(ids, expected.get_ids(), "{name}: {text:?}");
    let offsets: Vec<(usize, usize)> = tokens.iter().map(|token| (token.start as usize, token.end as usize)).collect();
    assert_eq!(offsets, expected.get_offsets(), "{name}: offsets of {text:?}");
}
