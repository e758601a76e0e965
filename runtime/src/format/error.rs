//! What can be wrong with a blob, or with a call.

use core::fmt;

/// An error, with the numbers a person needs to put it right. No variant owns memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The bytes are fewer than the shortest blob.
    BlobTooShort {
        /// Bytes needed at least.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The bytes do not begin with `KNGL`: this is not a Kinglet blob.
    BadMagic,
    /// The blob is of another format version; convert the checkpoint again with this version's
    /// converter.
    UnsupportedVersion {
        /// The blob's version.
        found: u16,
        /// The one this runtime reads.
        supported: u16,
    },
    /// A reserved field of the prelude is not zero.
    ReservedBits,
    /// The blob's own length is not that of the bytes given: it was cut, or something was appended.
    LengthMismatch {
        /// The length written in the blob.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
    /// The blob does not begin where its tensors can be read in place: embed it with
    /// `include_model!`, not `include_bytes!`, or begin its slot in flash at a boundary.
    Misaligned {
        /// Bytes that the blob's address must be a multiple of.
        alignment: usize,
        /// Bytes that it is beyond the last such address.
        beyond: usize,
    },
    /// The checksum does not match: the bytes were changed after they were written.
    BadChecksum {
        /// The checksum written in the blob.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The manifest cannot be decoded.
    BadManifest,
    /// The manifest decodes, but is not the one way to write what it says.
    NonCanonicalManifest,
    /// A field of the specification is out of bounds.
    InvalidSpec(&'static str),
    /// A section does not lie where the specification puts it.
    BadLayout(&'static str),
    /// A tensor's exponent, multiplier or padding is out of bounds.
    InvalidTensor {
        /// Offset of the tensor in the payload.
        offset: usize,
    },
    /// The arena is too small for the model at this many tokens.
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The arena does not begin at a 16-byte boundary; declare it with `arena!`.
    ArenaMisaligned,
    /// More tokens than the session, or the model, can take.
    TooManyTokens {
        /// The most there may be.
        limit: usize,
        /// How many there were.
        given: usize,
    },
    /// The blob has no tokenizer: convert it from a folder with one.
    NoTokenizer,
    /// The tokenizer's section is not as it should be.
    InvalidTokenizer(&'static str),
    /// More texts at a time than the session has caches for.
    TooManyBeams {
        /// The most there may be.
        limit: usize,
        /// How many were asked for.
        given: usize,
    },
    /// The call needs at least one token.
    NoTokens,
    /// A token id that the vocabulary does not have.
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// The number of ids.
        vocab_size: u32,
    },
    /// The text lacks a token that the head needs: the one that ends texts, at whose place it reads
    /// the decoder.
    TokenMissing {
        /// The id.
        token: u32,
    },
    /// A token type that the model does not have.
    TokenTypeOutOfRange {
        /// The type.
        token_type: u32,
        /// The number of types.
        token_types: u32,
    },
    /// The model cannot do this: it has no such stack or head.
    NotSupported(&'static str),
    /// A buffer of the caller's is too small.
    BufferTooSmall {
        /// Which one.
        buffer: Buffer,
        /// Elements that are enough.
        needed: usize,
        /// Elements given.
        given: usize,
    },
    /// An option of the caller's is out of its range, or not a number.
    InvalidOption {
        /// Its name.
        option: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// Every token is suppressed, so that none can be written.
    AllSuppressed,
    /// The self test found other bits than the converter did.
    SelfTestFailed {
        /// The first layer that differs: 0 the embedding, then the layers, then the head.
        layer: u16,
    },
}

/// A buffer that a caller lends, by what its elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Buffer {
    /// Words of memory to encode a text in:
    /// [`Tokenizer::scratch_words`](crate::tokenizer::Tokenizer::scratch_words).
    Scratch,
    /// Tokens that a text is encoded to.
    Tokens,
    /// Token ids that a text is written to.
    Ids,
    /// Numbers of a sentence vector.
    Vector,
    /// Scores of labels or tokens.
    Scores,
    /// Pairs of logits, one for each token in which an answer is looked for.
    Spans,
    /// Words of memory for a beam search: [`BeamSearch::words`](crate::task::BeamSearch::words).
    Beams,
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scratch => "words of scratch memory for this text",
            Self::Tokens => "tokens for this text",
            Self::Ids => "token ids for this text",
            Self::Vector => "numbers for the sentence vector",
            Self::Scores => "scores",
            Self::Spans => "pairs of logits for this context",
            Self::Beams => "words of memory for this beam search",
        })
    }
}

impl fmt::Display for Error {
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
            Self::ArenaTooSmall { needed, given } => write!(
                f,
                "the arena is {} bytes too small: {needed} needed, {given} given; lend more, or ask for fewer tokens",
                needed.saturating_sub(given)
            ),
            Self::ArenaMisaligned => f.write_str("the arena must begin at a 16-byte boundary: declare it with arena!"),
            Self::TooManyTokens { limit, given } => write!(f, "{given} tokens, but at most {limit} fit"),
            Self::NoTokenizer => f.write_str("the blob has no tokenizer"),
            Self::InvalidTokenizer(what) => write!(f, "the blob's tokenizer is not valid: {what}"),
            Self::TooManyBeams { limit, given } => {
                write!(f, "{given} beams, but the session has caches for {limit}: plan its memory with_beams")
            }
            Self::NoTokens => f.write_str("no tokens were given"),
            Self::TokenOutOfRange { token, vocab_size } => {
                write!(f, "token {token} is not in the vocabulary of {vocab_size}")
            }
            Self::TokenMissing { token } => {
                write!(f, "the text lacks token {token}, at whose place the head reads it: end the text with it")
            }
            Self::TokenTypeOutOfRange { token_type, token_types } => {
                write!(f, "token type {token_type} is not one of the model's {token_types}")
            }
            Self::NotSupported(what) => write!(f, "this model cannot do that: {what}"),
            Self::BufferTooSmall { buffer, needed, given } => {
                write!(f, "{given} {buffer} are too few: lend {needed}")
            }
            Self::InvalidOption { option, wanted } => write!(f, "`{option}` must be {wanted}"),
            Self::AllSuppressed => f.write_str("every token is suppressed, so that none can be written"),
            Self::SelfTestFailed { layer } => write!(f, "the self test differs from layer {layer} on"),
        }
    }
}

impl core::error::Error for Error {}
