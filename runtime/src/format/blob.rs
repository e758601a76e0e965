//! Reads and writes the file: prelude, manifest, payload, tokenizer, golden vectors, checksum.

use super::checksum::Checksum;
#[cfg(feature = "alloc")]
use super::checksum::checksum;
use super::decode::{Decoder, InPlace};
use super::layout::ALIGNMENT;
use super::length::encoded_len;
use super::memory::{Coefficients, address};
use super::offsets::Layout;
use crate::error::LoadError;

pub use super::manifest::{EarlyStopping, GenerationDefaults, Manifest, Provenance, SpecialTokens};

/// The first four bytes of every blob.
pub const MAGIC: [u8; 4] = *b"KNGL";
/// The format version that this crate reads and writes. Any change to the bytes raises it.
pub const FORMAT_VERSION: u16 = 6;
/// Bytes of the prelude.
pub const PRELUDE_LEN: usize = 64;
/// Bytes of the checksum at the end.
pub const CHECKSUM_LEN: usize = 4;

/// The sizes stated in a blob's first [`PRELUDE_LEN`] bytes: see [`peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek {
    /// Bytes of the whole blob.
    pub bytes: usize,
    coefficients: Coefficients,
}

impl Peek {
    /// Bytes of arena for up to `max_tokens` tokens of input, and of output; `usize::MAX` when they
    /// cannot be addressed.
    pub fn arena_bytes(&self, max_tokens: usize) -> usize {
        let tile = self.coefficients.tile as usize;
        address(self.coefficients.bytes_of_beams(max_tokens, max_tokens, tile, 1))
    }
}

/// Reads the beginning of a blob, such as the first packet of a download: is it a blob of this
/// version, does it fit its slot, does its arena fit the memory?
///
/// Only the prelude is read. [`Model::from_bytes`](crate::Model::from_bytes) checks, on all bytes,
/// that the blob is complete and that the stated sizes are right.
///
/// # Errors
/// [`LoadError::BlobTooShort`] with fewer than [`PRELUDE_LEN`] bytes, [`LoadError::BadMagic`] and
/// [`LoadError::UnsupportedVersion`].
///
/// ```
/// use kinglet::LoadError;
/// use kinglet::format::blob::peek;
///
/// /// Whether a slot and an arena of these sizes can take the model that a server offers.
/// fn takes(first_packet: &[u8], slot: usize, arena: usize) -> Result<bool, LoadError> {
///     let offered = peek(first_packet)?;
///     Ok(offered.bytes <= slot && offered.arena_bytes(128) <= arena)
/// }
/// assert_eq!(takes(&[0; 64], 1 << 20, 1 << 16), Err(LoadError::BadMagic));
/// ```
pub fn peek(first: &[u8]) -> Result<Peek, LoadError> {
    let prelude = Prelude::read(first)?;
    Ok(Peek { bytes: prelude.total_len as usize, coefficients: prelude.coefficients })
}

/// The prelude's fields after magic and version, in order, each a `u32`.
#[derive(Clone, Copy, Debug)]
struct Prelude {
    total_len: u32,
    manifest_len: u32,
    payload_len: u32,
    tokenizer_len: u32,
    golden_len: u32,
    coefficients: Coefficients,
}

/// The sections of a blob, and the memory coefficients of its prelude.
pub(crate) struct Sections<'m> {
    coefficients: Coefficients,
    pub(crate) manifest: &'m [u8],
    pub(crate) payload: &'m [u8],
    pub(crate) tokenizer: &'m [u8],
    pub(crate) golden: &'m [u8],
    /// The checksum at the end, which identifies the blob in snapshots and prefixes.
    pub(crate) checksum: u32,
}

impl Prelude {
    const WORDS: usize = (PRELUDE_LEN - 8) / 4;

    fn read(blob: &[u8]) -> Result<Self, LoadError> {
        let short = LoadError::BlobTooShort { needed: PRELUDE_LEN + CHECKSUM_LEN, given: blob.len() };
        let prelude = blob.first_chunk::<PRELUDE_LEN>().ok_or(short)?;
        if prelude.first_chunk() != Some(&MAGIC) {
            return Err(LoadError::BadMagic);
        }
        let [_, _, _, _, v0, v1, r0, r1, ..] = prelude;
        let found = u16::from_le_bytes([*v0, *v1]);
        if found != FORMAT_VERSION {
            return Err(LoadError::UnsupportedVersion { found, supported: FORMAT_VERSION });
        }
        let [total_len, manifest_len, payload_len, tokenizer_len, golden_len, plan @ ..] = prelude_words(prelude);
        if [*r0, *r1] != [0; 2] {
            return Err(LoadError::ReservedBits);
        }
        let coefficients = Coefficients::from_words(plan);
        Ok(Self { total_len, manifest_len, payload_len, tokenizer_len, golden_len, coefficients })
    }

    #[cfg(feature = "alloc")]
    fn write(&self) -> [u8; PRELUDE_LEN] {
        let mut out = [0; PRELUDE_LEN];
        let words = [self.total_len, self.manifest_len, self.payload_len, self.tokenizer_len, self.golden_len];
        let fields = words.into_iter().chain(self.coefficients.to_words());
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        for (bytes, field) in out[8..].chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        out
    }
}

/// Splits a blob into its sections. Checks prelude, length, alignment, checksum and padding.
pub(crate) fn sections<'m>(blob: &'m [u8], pause: &mut dyn FnMut()) -> Result<Sections<'m>, LoadError> {
    let given = blob.len();
    let prelude = Prelude::read(blob)?;
    if prelude.total_len as usize != given {
        return Err(LoadError::LengthMismatch { expected: prelude.total_len as usize, given });
    }
    let beyond = blob.as_ptr().addr() % ALIGNMENT;
    if beyond != 0 {
        return Err(LoadError::Misaligned { alignment: ALIGNMENT, beyond });
    }
    let short = LoadError::BlobTooShort { needed: PRELUDE_LEN + CHECKSUM_LEN, given };
    let (content, written) = blob.split_last_chunk::<CHECKSUM_LEN>().ok_or(short)?;
    let mut sum = Checksum::new();
    for piece in content.chunks(PAUSE_BYTES) {
        sum.update(piece);
        pause();
    }
    let (expected, found) = (u32::from_le_bytes(*written), sum.finish());
    if expected != found {
        return Err(LoadError::BadChecksum { expected, found });
    }

    let mut rest = content.get(PRELUDE_LEN..).ok_or(short)?;
    let manifest = section(&mut rest, PRELUDE_LEN, prelude.manifest_len, "manifest")?;
    let payload = section(&mut rest, 0, prelude.payload_len, "payload")?;
    let tokenizer = section(&mut rest, 0, prelude.tokenizer_len, "tokenizer")?;
    let golden = section(&mut rest, 0, prelude.golden_len, "golden vectors")?;
    if !rest.is_empty() {
        return Err(LoadError::BadLayout("end"));
    }

    Ok(Sections { coefficients: prelude.coefficients, manifest, payload, tokenizer, golden, checksum: found })
}

/// Decodes a blob's manifest into `manifest`, which must be [empty](Manifest::EMPTY), and the
/// offsets of its tensors into `layout`. Checks that both agree with the sections' sizes.
#[inline(never)]
pub(crate) fn describe<'m>(
    sections: &Sections<'m>,
    manifest: &mut Manifest<'m>,
    layout: &mut Layout,
) -> Result<(), LoadError> {
    let mut decoder = Decoder::new(sections.manifest);
    manifest.decode(&mut decoder).ok_or(LoadError::BadManifest)?;
    if !decoder.ends() || encoded_len(manifest) != Some(sections.manifest.len()) {
        return Err(LoadError::NonCanonicalManifest);
    }
    manifest.spec.check()?;
    manifest.tokens.check()?;
    layout.find(&manifest.spec).ok_or(LoadError::BadLayout("payload"))?;
    if layout.bytes() != sections.payload.len() {
        return Err(LoadError::BadLayout("payload"));
    }
    if Some(sections.coefficients) != Coefficients::new(&manifest.spec) {
        return Err(LoadError::BadLayout("memory plan"));
    }
    Ok(())
}

/// Splits a section of `len` bytes, and the zeros that pad it to the alignment, off `rest`.
fn section<'m>(rest: &mut &'m [u8], start: usize, len: u32, name: &'static str) -> Result<&'m [u8], LoadError> {
    let len = len as usize;
    let padding = start.wrapping_add(len).wrapping_neg() % ALIGNMENT;
    let split = || {
        let (section, after) = rest.split_at_checked(len)?;
        let (zeros, after) = after.split_at_checked(padding)?;
        zeros.iter().all(|&byte| byte == 0).then_some((section, after))
    };
    let (section, after) = split().ok_or(LoadError::BadLayout(name))?;
    *rest = after;
    Ok(section)
}

/// The prelude's words after magic and version.
const fn prelude_words(prelude: &[u8; PRELUDE_LEN]) -> [u32; Prelude::WORDS] {
    let mut words = [0; Prelude::WORDS];
    if let Some((_, fields)) = prelude.as_chunks::<4>().0.split_last_chunk::<{ Prelude::WORDS }>() {
        let mut word = 0;
        while word < Prelude::WORDS {
            words[word] = u32::from_le_bytes(fields[word]);
            word += 1;
        }
    }
    words
}

/// Bytes between two calls of `pause` while the checksum is computed.
pub(super) const PAUSE_BYTES: usize = 16 << 10;

/// The memory coefficients of the prelude, for constants; `None` if the magic or the version
/// differs.
pub(crate) const fn plan_words(blob: &[u8]) -> Option<[u32; Coefficients::WORDS]> {
    let Some(prelude) = blob.first_chunk::<PRELUDE_LEN>() else { return None };
    let [m0, m1, m2, m3, v0, v1, ..] = *prelude;
    let magic = u32::from_le_bytes([m0, m1, m2, m3]) == u32::from_le_bytes(MAGIC);
    if !magic || u16::from_le_bytes([v0, v1]) != FORMAT_VERSION {
        return None;
    }
    let [_, _, _, _, _, plan @ ..] = prelude_words(prelude);
    Some(plan)
}

/// The sections of a blob that the exporter has checked, for a constant: the stored checksum is
/// compared with `checksum`, not computed.
///
/// # Panics
/// If the format version or the checksum differs: the constant then does not compile.
pub(crate) const fn known_sections(blob: &[u8], checksum: u32) -> Sections<'_> {
    let Some(prelude) = blob.first_chunk::<PRELUDE_LEN>() else { panic!("this is not a blob") };
    assert!(u16::from_le_bytes([blob[4], blob[5]]) == FORMAT_VERSION, "the blob is of another format: export it again");
    let Some((_, written)) = blob.split_last_chunk::<CHECKSUM_LEN>() else { panic!("this is not a blob") };
    assert!(u32::from_le_bytes(*written) == checksum, "the blob is not the one that was exported: export it again");
    let [_, manifest, payload, tokenizer, golden, plan @ ..] = prelude_words(prelude);
    let payload_at = PRELUDE_LEN + (manifest as usize).next_multiple_of(ALIGNMENT);
    let tokenizer_at = payload_at + (payload as usize).next_multiple_of(ALIGNMENT);
    let golden_at = tokenizer_at + (tokenizer as usize).next_multiple_of(ALIGNMENT);
    Sections {
        coefficients: Coefficients::from_words(plan),
        manifest: cut(blob, PRELUDE_LEN, manifest),
        payload: cut(blob, payload_at, payload),
        tokenizer: cut(blob, tokenizer_at, tokenizer),
        golden: cut(blob, golden_at, golden),
        checksum,
    }
}

const fn cut(blob: &[u8], at: usize, len: u32) -> &[u8] {
    blob.split_at(at).1.split_at(len as usize).0
}

/// Encodes a blob.
///
/// `payload` holds the tensors in the order of [`roles`](super::layout::roles), each padded to
/// [`Shape::bytes`](super::layout::Shape::bytes); `tokenizer` and `golden` may be empty.
///
/// # Errors
/// [`LoadError::InvalidSpec`] when the specification is out of bounds, [`LoadError::BadLayout`]
/// when `payload` has another length than it or the blob would exceed 32 bits.
#[cfg(feature = "alloc")]
pub fn write(
    manifest: &Manifest,
    payload: &[u8],
    tokenizer: &[u8],
    golden: &[u8],
) -> Result<alloc::vec::Vec<u8>, LoadError> {
    manifest.spec.check()?;
    manifest.tokens.check()?;
    let mut layout = Layout::EMPTY;
    layout.find(&manifest.spec).ok_or(LoadError::BadLayout("payload"))?;
    if layout.bytes() != payload.len() {
        return Err(LoadError::BadLayout("payload"));
    }
    let coefficients = Coefficients::new(&manifest.spec).ok_or(LoadError::BadLayout("memory plan"))?;
    let manifest = postcard::to_allocvec(manifest).map_err(|_| LoadError::BadManifest)?;
    let sections = [manifest.as_slice(), payload, tokenizer, golden];
    let padded = sections.iter().map(|section| section.len().next_multiple_of(ALIGNMENT)).sum::<usize>();
    let length = |len: usize| u32::try_from(len).map_err(|_| LoadError::BadLayout("length"));
    let prelude = Prelude {
        total_len: length(PRELUDE_LEN + padded + CHECKSUM_LEN)?,
        manifest_len: length(manifest.len())?,
        payload_len: length(payload.len())?,
        tokenizer_len: length(tokenizer.len())?,
        golden_len: length(golden.len())?,
        coefficients,
    };
    let mut blob = prelude.write().to_vec();
    for section in sections {
        blob.extend_from_slice(section);
        blob.resize(blob.len().next_multiple_of(ALIGNMENT), 0);
    }
    blob.extend_from_slice(&checksum(&blob).to_le_bytes());
    Ok(blob)
}
