//! Fuzz targets for blobs: random models with every kernel set, tile and number of threads, and
//! forged blobs.

use arbitrary::Unstructured;
use kinglet::format::blob::{CHECKSUM_LEN, Manifest, PRELUDE_LEN, write};
use kinglet::format::checksum::checksum;
use kinglet::format::layout::roles;
use kinglet::golden::{Golden, fingerprints, record};
use kinglet::tokenizer::Tokenizer;
use kinglet::{AlignedVec, MemoryPlan, Model, arena_bytes, arena_bytes_beams};
use kinglet_random::{Noise, Way, kernel_sets, payload, transcript};

use crate::tiny;

/// The maximum bytes of tensors of a forged manifest.
const MAX_PAYLOAD: u64 = 1 << 17;

/// A valid model computes equal bits with every kernel set, in every tiling, on any number of
/// threads.
pub(super) fn model(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let Some(blob) = kinglet_random::model(&mut choices) else { return };
    let model = Model::from_bytes(&blob).expect("a valid specification makes a valid blob");
    use_model(&model, choices.take_rest());
}

/// Makes calls of a session in random order, first with the scalar set and one token at a time,
/// then with every other set, in tiles and on several threads.
///
/// # Panics
/// If results differ.
pub fn use_model(model: &Model<'_>, calls: &[u8]) {
    look_at(model);
    let scalar = Way { kernels: "scalar", tile: 1, threads: 1 };
    // A model that needs more memory than the limit has no session.
    let Ok(wanted) = transcript(model, calls, scalar) else { return };
    let salt = calls.iter().fold(0_usize, |salt, &byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
    for (index, kernels) in kernel_sets(model).into_iter().enumerate() {
        let way = Way { kernels, tile: 1 + (salt >> index) % 24, threads: 1 + (salt >> (8 + index)) % 3 };
        let found = transcript(model, calls, way).expect("it ran with other kernels");
        for (call, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert_eq!(found, wanted, "call {call} in {way:?} of {:#?}", model.spec());
        }
        assert_eq!(found.len(), wanted.len(), "{way:?}");
    }
}

/// Calls the functions of a model that need no session.
fn look_at(model: &Model<'_>) {
    let told = model.labels().map(str::len).sum::<usize>()
        + model.prompts().map(|(name, text)| name.len() + text.len()).sum::<usize>()
        + model.default_prompt().map_or(0, str::len)
        + model.manifest().tokens.each_bad_word().map(<[u32]>::len).sum::<usize>();
    assert!(told <= model.manifest().labels.len() + 2 * model.manifest().prompts.len() + 32);
    let defaults = &model.manifest().generation;
    for begun in [0, 1, usize::MAX] {
        let _ = (defaults.min_new_tokens_after(begun), defaults.max_new_tokens_after(begun));
    }
    for (role, shape) in roles(model.spec()) {
        assert!(model.tensor_offset(role) as u64 + shape.bytes() <= model.payload().len() as u64, "{role:?}");
    }
    if let Ok(tokenizer) = Tokenizer::from_bytes(model.tokenizer_section()) {
        super::tokenizers::use_tokenizer(&tokenizer, &["in the kitchen"]);
    }
    // The golden vectors of a forged blob may be wrong.
    let tokens = Golden::all(model.golden_section()).map(|golden| golden.ids.iter().len()).max().unwrap_or(0);
    if let Ok(plan) = MemoryPlan::standard(model.spec(), tokens.clamp(1, Golden::MAX_TOKENS))
        && plan.bytes() <= 1 << 22
    {
        let _ = model.self_test(&mut AlignedVec::zeroed(plan.bytes() as usize));
    }
}

/// A blob with a modified manifest, tensors, golden vectors or bytes, and a correct checksum.
pub(super) fn blob(bytes: &[u8]) {
    let _ = forge(&mut Unstructured::new(bytes));
}

fn forge(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let good = match u.int_in_range(0..=7)? {
        n @ 0..=3 => tiny::blob(&tiny::specs()[usize::from(n as u8)].1, 1),
        _ => match kinglet_random::model(u) {
            Some(blob) => blob,
            None => return Ok(()),
        },
    };
    let model = Model::from_bytes(&good).expect("a valid blob");
    let mut manifest = model.manifest().clone();
    let mut encoded = postcard::to_allocvec(&manifest).expect("a manifest");
    if u.arbitrary()? {
        for _ in 0..u.int_in_range(1..=3)? {
            let at = u.choose_index(encoded.len())?;
            encoded[at] = if u.arbitrary()? { u.arbitrary()? } else { encoded[at] ^ 1 << u.int_in_range(0..=6)? };
        }
        let Ok(changed) = postcard::from_bytes::<Manifest<'_>>(&encoded) else { return Ok(()) };
        // `changed` borrows its names from the modified bytes.
        manifest = changed;
    }
    // A refused specification has no layout of tensors.
    let fits = manifest.spec.check().is_ok()
        && roles(&manifest.spec).map(|(_, shape)| shape.bytes()).sum::<u64>() <= MAX_PAYLOAD;
    if !fits {
        return Ok(());
    }
    let tensors = payload(&manifest.spec, &mut Noise::new(u.arbitrary()?), u.ratio(1, 2)?);
    let golden = golden_vectors(u, &manifest, &tensors)?;
    let Ok(written) = write(&manifest, &tensors, &[], &golden) else { return Ok(()) };
    let mut blob = AlignedVec::from(written.as_slice());
    if u.arbitrary()? {
        for _ in 0..u.int_in_range(1..=4)? {
            let end = if u.arbitrary()? { PRELUDE_LEN + encoded.len() } else { blob.len() };
            let at = u.choose_index(end.min(blob.len()))?;
            blob[at] = *u.choose(&[0, 1, 0x7f, 0x80, 0xff, blob[at] ^ 1, blob[at] ^ 0x40])?;
        }
    }
    read(&mut blob, u.bytes(u.len())?);
    Ok(())
}

/// Golden vectors for random ids: correct, wrong or none.
fn golden_vectors(u: &mut Unstructured<'_>, manifest: &Manifest<'_>, tensors: &[u8]) -> arbitrary::Result<Vec<u8>> {
    if u.ratio(2, 3)? {
        return Ok(Vec::new());
    }
    let Ok(blob) = write(manifest, tensors, &[], &[]) else { return Ok(Vec::new()) };
    let blob = AlignedVec::from(blob.as_slice());
    let Ok(model) = Model::from_bytes(&blob) else { return Ok(Vec::new()) };
    let Ok(plan) = MemoryPlan::standard(model.spec(), 1) else { return Ok(Vec::new()) };
    if plan.bytes() > 1 << 22 {
        return Ok(Vec::new());
    }
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    let found = fingerprints(&model, &mut arena, &[0], &[0], &mut || ());
    let mut section = record(&[0], &[0], found.as_deref().unwrap_or(&[]));
    if let Ok(values) = found {
        // The self test must accept the fingerprints that were just computed.
        let sealed = write(manifest, tensors, &[], &record(&[0], &[0], &values)).expect("it was written before");
        let sealed = AlignedVec::from(sealed.as_slice());
        let model = Model::from_bytes(&sealed).expect("it was read before");
        assert_eq!(model.self_test(&mut arena), Ok(()), "{:#?}", model.spec());
    }
    if u.arbitrary()? {
        let at = u.choose_index(section.len())?;
        section[at] ^= u.arbitrary::<u8>()?;
    }
    Ok(section)
}

/// Corrects the checksum of a blob, loads it, and runs the model if it is accepted.
fn read(blob: &mut AlignedVec, calls: &[u8]) {
    if let Some((content, written)) = blob.split_last_chunk_mut::<CHECKSUM_LEN>() {
        *written = checksum(content).to_le_bytes();
    }
    let before = arena_bytes(blob, 3);
    let slot = Model::from_slot(blob).map(|model| model.checksum());
    match Model::from_bytes(blob) {
        Ok(model) => {
            assert_eq!(slot, Ok(model.checksum()));
            let plan = MemoryPlan::standard(model.spec(), 3.min(before));
            assert!(plan.is_err() || plan.is_ok_and(|plan| plan.bytes() == before as u64));
            assert!(arena_bytes_beams(blob, 3, 3, 2) >= before);
            use_model(&model, calls);
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 1000);
        }
    }
}

/// Arbitrary bytes, loaded as a blob.
pub(super) fn bytes(bytes: &[u8]) {
    read(&mut AlignedVec::from(bytes), bytes);
}

/// Blobs of every kind, as initial inputs.
pub(super) fn blobs() -> Vec<Vec<u8>> {
    tiny::specs().map(|(_, spec)| tiny::blob(&spec, 1).to_vec()).to_vec()
}
