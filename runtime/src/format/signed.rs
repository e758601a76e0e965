//! Verifies the signed blobs that `kinglet sign` writes: a blob, a counter, and an Ed25519
//! signature of both (RFC 8032). A checksum detects accidents; a signature proves who made the
//! blob.

use ed25519_compact::{PublicKey, Signature};

use super::blob::{PAUSE_BYTES, peek};
use crate::error::LoadError;

/// Bytes of the little-endian counter that follows the blob.
pub const COUNTER_LEN: usize = 8;
/// Bytes of the signature that follows the counter.
pub const SIGNATURE_LEN: usize = Signature::BYTES;
/// Bytes of a public key.
pub const KEY_LEN: usize = PublicKey::BYTES;

/// A blob whose signature was checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Signed<'m> {
    /// The blob, for [`Model::from_bytes`](crate::Model::from_bytes).
    pub blob: &'m [u8],
    /// A release number, which must grow with every release. A device that stores the largest
    /// counter it has seen and refuses smaller ones is safe from downgrades.
    pub counter: u64,
}

/// Verifies the signed blob at the beginning of a slot, which may be longer. Only the prelude is
/// parsed before the signature is verified.
///
/// `pause` is called after every 16 KB. A blob of 297 KB takes a Cortex-M4 48 million instructions,
/// most of them for hashing, and 6,924 bytes of stack.
///
/// # Errors
/// The errors of [`peek`]; [`LoadError::LengthMismatch`] when the slot is shorter than blob,
/// counter and signature; [`LoadError::BadSignature`] when the signature does not match.
///
/// ```
/// use kinglet::format::signed::{KEY_LEN, verify};
/// use kinglet::{LoadError, Model};
///
/// /// A model signed by the owner of `key`; `None` if it is older than release `least`.
/// fn model<'m>(slot: &'m [u8], key: &[u8; KEY_LEN], least: u64) -> Result<Option<Model<'m>>, LoadError> {
///     let signed = verify(slot, key, &mut || ())?;
///     if signed.counter < least { Ok(None) } else { Model::from_bytes(signed.blob).map(Some) }
/// }
/// assert_eq!(model(&[0xff; 4096], &[0; 32], 1).err(), Some(LoadError::BadMagic));
/// ```
pub fn verify<'m>(slot: &'m [u8], key: &[u8; KEY_LEN], pause: &mut dyn FnMut()) -> Result<Signed<'m>, LoadError> {
    let expected = peek(slot)?.bytes.saturating_add(COUNTER_LEN + SIGNATURE_LEN);
    let short = LoadError::LengthMismatch { expected, given: slot.len() };
    let (content, signature) = slot.get(..expected).and_then(<[u8]>::split_last_chunk::<SIGNATURE_LEN>).ok_or(short)?;
    let (blob, counter) = content.split_last_chunk::<COUNTER_LEN>().ok_or(short)?;
    let mut state =
        PublicKey::new(*key).verify_incremental(&Signature::new(*signature)).map_err(|_| LoadError::BadSignature)?;
    for piece in content.chunks(PAUSE_BYTES) {
        state.absorb(piece);
        pause();
    }
    state.verify().map_err(|_| LoadError::BadSignature)?;
    Ok(Signed { blob, counter: u64::from_le_bytes(*counter) })
}
