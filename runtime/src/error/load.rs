//! Defines the errors of a blob's bytes, and of the tokenizer in it.

use core::fmt;

errors! {
    /// The reason why bytes are not a model, or a section is not a tokenizer. No variant owns
    /// memory.
    ///
    /// [`Model::from_bytes`](crate::Model::from_bytes),
    /// [`Tokenizer::from_bytes`](crate::tokenizer::Tokenizer::from_bytes) and
    /// [`peek`](crate::format::blob::peek) return it. The codes are from 100 to 199.
    pub enum LoadError {
        /// There are fewer bytes than in the shortest blob.
        ///
        /// Check how the file was read or sent: it is empty or truncated.
        BlobTooShort {
            /// Bytes needed at least.
            needed: usize,
            /// Bytes given.
            given: usize,
        } = 101,
        /// The bytes do not begin with `KNGL`: this is not a Kinglet blob.
        ///
        /// Use, or flash, a file that `kinglet convert` wrote. Erased flash also gives this error.
        BadMagic = 102,
        /// The blob has a format version that this runtime does not support.
        ///
        /// Convert the checkpoint again with the converter of this version.
        UnsupportedVersion {
            /// The blob's version.
            found: u16,
            /// The version that this runtime supports.
            supported: u16,
        } = 103,
        /// A reserved field of the prelude is not zero.
        ///
        /// Copy or download the blob again.
        ReservedBits = 104,
        /// The length stored in the blob is not the number of bytes given: the blob was truncated,
        /// or bytes were appended.
        ///
        /// Copy or download the blob again. If it is in a longer flash slot, read it with
        /// `Model::from_slot`.
        LengthMismatch {
            /// The length stored in the blob.
            expected: usize,
            /// Bytes given.
            given: usize,
        } = 105,
        /// The blob does not begin at an address where its tensors can be read in place.
        ///
        /// Embed the blob with `include_model!` instead of `include_bytes!`, align its flash slot,
        /// or read it into an `AlignedVec`.
        Misaligned {
            /// The alignment that the blob needs, in bytes.
            alignment: usize,
            /// The blob's address modulo the alignment.
            beyond: usize,
        } = 106,
        /// The checksum does not match: the bytes have changed since they were written.
        ///
        /// Copy or download the blob again. If the error persists, suspect the memory that holds
        /// the blob.
        BadChecksum {
            /// The checksum stored in the blob.
            expected: u32,
            /// The checksum of the bytes.
            found: u32,
        } = 107,
        /// The manifest cannot be decoded.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        BadManifest = 108,
        /// The manifest decodes, but not from its canonical encoding.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        NonCanonicalManifest = 109,
        /// A field of the specification is out of the bounds that the runtime relies on. The error
        /// names it.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        InvalidSpec(&'static str) = 110,
        /// A section is not at the offset that follows from the specification. The error names the
        /// section.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        BadLayout(&'static str) = 111,
        /// A tensor's exponent, multiplier, scale or index is out of bounds.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        InvalidTensor {
            /// The offset of the tensor in the payload.
            offset: usize,
        } = 112,
        /// The model has a part that this program was built without. The error names the crate
        /// feature that adds it.
        ///
        /// Enable the feature of `kinglet` in `Cargo.toml`.
        FeatureOff(&'static str) = 113,
        /// The signature after the blob does not match its bytes and the key.
        ///
        /// Do not use the blob: it was changed, or signed with another key.
        BadSignature = 114,
        /// The blob has no tokenizer.
        ///
        /// Convert a folder that has one, or pass token ids instead of text.
        NoTokenizer = 120,
        /// The tokenizer's section is invalid. The error names the table at fault.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        InvalidTokenizer(&'static str) = 121,
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BlobTooShort { needed, given } => {
                write!(f, "the blob is {given} bytes, fewer than the {needed} that any blob has")
            }
            Self::BadMagic => f.write_str("not a Kinglet blob: it does not begin with KNGL"),
            Self::UnsupportedVersion { found, supported } => {
                write!(
                    f,
                    "the blob has format version {found}, this runtime supports {supported}: convert the checkpoint again"
                )
            }
            Self::ReservedBits => f.write_str("a reserved field of the blob's prelude is not zero"),
            Self::LengthMismatch { expected, given } => {
                write!(f, "the blob says it is {expected} bytes but {given} were given: it was cut or appended to")
            }
            Self::Misaligned { alignment, beyond } => write!(
                f,
                "the blob begins {beyond} bytes beyond a {alignment}-byte boundary: embed it with include_model! in place of include_bytes!, or begin its slot in flash at a multiple of {alignment} bytes"
            ),
            Self::BadChecksum { expected, found } => {
                write!(f, "the blob's checksum is {found:08x}, {expected:08x} is written in it: its bytes were changed")
            }
            Self::BadManifest => f.write_str("the blob's manifest cannot be decoded"),
            Self::NonCanonicalManifest => f.write_str("the blob's manifest is not in canonical form"),
            Self::InvalidSpec(what) => write!(f, "the blob's specification is out of bounds: {what}"),
            Self::BadLayout(what) => write!(f, "the blob's {what} is not at the offset that its specification gives"),
            Self::InvalidTensor { offset } => {
                write!(f, "the tensor at payload offset {offset} has numbers out of bounds")
            }
            Self::FeatureOff(feature) => {
                write!(f, "the model needs the feature `{feature}` of the crate kinglet, which is off")
            }
            Self::BadSignature => f.write_str("the signature does not match the blob and the key"),
            Self::NoTokenizer => f.write_str("the blob has no tokenizer"),
            Self::InvalidTokenizer(what) => write!(f, "the blob's tokenizer is not valid: {what}"),
        }
    }
}

impl core::error::Error for LoadError {}
