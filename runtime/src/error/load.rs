//! What can be wrong with the bytes of a blob, or of a tokenizer in it.

use core::fmt;

errors! {
    /// Why bytes are not a model, or a section of them not a tokenizer. No variant owns memory.
    ///
    /// [`Model::from_bytes`](crate::Model::from_bytes),
    /// [`Tokenizer::from_bytes`](crate::tokenizer::Tokenizer::from_bytes) and
    /// [`peek`](crate::format::blob::peek) return it. The codes are from 100 to 199.
    pub enum LoadError {
        /// The bytes are fewer than the shortest blob has.
        ///
        /// Look at how the file was read or sent: it is empty, or only its first packet has come.
        BlobTooShort {
            /// Bytes needed at least.
            needed: usize,
            /// Bytes given.
            given: usize,
        } = 101,
        /// The bytes do not begin with `KNGL`: this is not a Kinglet blob.
        ///
        /// Give a file that `kinglet convert` wrote, or flash one: erased flash reads so, too.
        BadMagic = 102,
        /// The blob is of a format version that this runtime does not read.
        ///
        /// Convert the checkpoint again with the converter of this version.
        UnsupportedVersion {
            /// The blob's version.
            found: u16,
            /// The version that this runtime reads.
            supported: u16,
        } = 103,
        /// A reserved field of the prelude is not zero.
        ///
        /// Copy or download the blob again.
        ReservedBits = 104,
        /// The length written in the blob is not the number of bytes given: the blob was cut, or
        /// something was appended.
        ///
        /// Copy or download the blob again; read one out of a longer slot of flash with
        /// `Model::from_slot`.
        LengthMismatch {
            /// The length written in the blob.
            expected: usize,
            /// Bytes given.
            given: usize,
        } = 105,
        /// The blob does not begin at an address where its tensors can be read in place.
        ///
        /// Embed the blob with `include_model!` in place of `include_bytes!`, begin its slot in
        /// flash at a multiple of the alignment, or read it into an `AlignedVec`.
        Misaligned {
            /// Bytes that the blob's address must be a multiple of.
            alignment: usize,
            /// Bytes that the address is beyond such a multiple.
            beyond: usize,
        } = 106,
        /// The checksum does not match: the bytes were changed after they were written.
        ///
        /// Copy or download the blob again; if it then still happens, suspect the memory it lies
        /// in.
        BadChecksum {
            /// The checksum written in the blob.
            expected: u32,
            /// The checksum of the bytes.
            found: u32,
        } = 107,
        /// The manifest cannot be decoded.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        BadManifest = 108,
        /// The manifest decodes, but is not in the one form that a converter writes.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        NonCanonicalManifest = 109,
        /// A field of the specification is out of the bounds that the runtime relies on. The error
        /// names it.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        InvalidSpec(&'static str) = 110,
        /// A section does not lie where the specification puts it. The error names the section.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        BadLayout(&'static str) = 111,
        /// A tensor's exponent, multiplier, scale or index is out of bounds.
        ///
        /// Convert the checkpoint again: no converter of this version wrote these bytes.
        InvalidTensor {
            /// Offset of the tensor in the payload.
            offset: usize,
        } = 112,
        /// The model has a part that this program was built without. The error names the crate's
        /// feature that brings it.
        ///
        /// Switch the feature on where `Cargo.toml` names `kinglet`.
        FeatureOff(&'static str) = 113,
        /// The signature after the blob is not of these bytes by the key.
        ///
        /// Do not use the blob: it was changed, or made by another than the key's owner.
        BadSignature = 114,
        /// The blob has no tokenizer.
        ///
        /// Convert a folder that has one, or give token ids in place of texts.
        NoTokenizer = 120,
        /// The tokenizer's section is not as it should be. The error names the table that is not.
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
                    "the blob is of format version {found}, this runtime reads {supported}: convert the checkpoint again"
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
            Self::BadLayout(what) => write!(f, "the blob's {what} does not lie where its specification puts it"),
            Self::InvalidTensor { offset } => {
                write!(f, "the tensor at payload offset {offset} has numbers out of bounds")
            }
            Self::FeatureOff(feature) => {
                write!(f, "the model needs the feature `{feature}` of the crate kinglet, which is off")
            }
            Self::BadSignature => f.write_str("the signature is not of this blob by the given key"),
            Self::NoTokenizer => f.write_str("the blob has no tokenizer"),
            Self::InvalidTokenizer(what) => write!(f, "the blob's tokenizer is not valid: {what}"),
        }
    }
}

impl core::error::Error for LoadError {}
