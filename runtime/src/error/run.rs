//! Defines the errors of calls on a loaded model.

use core::fmt;

errors! {
    /// The reason why a call on a model, a tokenizer or a sampler failed. No variant owns memory.
    ///
    /// Sessions, tasks, samplers and [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode)
    /// return it. A session remains usable after an error. The codes are from 200 to 299.
    pub enum RunError {
        /// The arena is too small for the model and the number of tokens.
        ///
        /// Pass an arena of the size that `arena_bytes` or the `MemoryPlan` returns, or plan for
        /// fewer tokens, fewer beams or a smaller tile.
        ArenaTooSmall {
            /// Bytes needed.
            needed: usize,
            /// Bytes given.
            given: usize,
        } = 201,
        /// The arena does not begin at a 16-byte boundary.
        ///
        /// Declare the arena with `arena!`, or as a static `Aligned`.
        ArenaMisaligned = 202,
        /// The specification needs buffers of 4 GB or more.
        ///
        /// Plan with the specification of a loaded model, which has been checked.
        ModelTooLarge = 203,
        /// The memory plan was made for another model.
        ///
        /// Make the plan from the specification of the session's model.
        WrongPlan = 204,
        /// A buffer of the caller is too small.
        ///
        /// Pass a buffer with the number of elements that the error names.
        BufferTooSmall {
        /// The buffer.
        buffer: Buffer,
        /// A sufficient number of elements.
            needed: usize,
            /// Elements given.
            given: usize,
        } = 205,
        /// The call needs at least one token, or there are no logits because the session has read
        /// no token.
        ///
        /// Read tokens first, with `encode`, `prefill` or `step`.
        NoTokens = 210,
        /// There are more tokens than the session, the model or the buffer can hold.
        ///
        /// Shorten the text, or make the session with more `max_tokens`, up to the model's
        /// positions.
        TooManyTokens {
        /// The most tokens allowed.
        limit: usize,
        /// The number of tokens.
            given: usize,
        } = 211,
        /// The token id is not in the vocabulary.
        ///
        /// Use the tokenizer that belongs to the model.
        TokenOutOfRange {
            /// The id.
            token: u32,
            /// The size of the vocabulary.
            vocab_size: u32,
        } = 212,
        /// The model does not have the token type.
        ///
        /// Pass types below the model's number of types, or no types.
        TokenTypeOutOfRange {
            /// The type.
            token_type: u32,
            /// The number of types.
            token_types: u32,
        } = 213,
        /// The text lacks the end-of-text token, at whose position the head reads the decoder.
        ///
        /// End the text with the token.
        TokenMissing {
            /// The id.
            token: u32,
        } = 214,
        /// The text has no mask to fill.
        ///
        /// Put the mask token in place of the word to predict.
        NothingToFill = 215,
        /// The text has a word or character that the vocabulary lacks, and there is no unknown
        /// token.
        ///
        /// Remove such characters from the text.
        NoUnknownToken = 216,
        /// The model has no encoder.
        ///
        /// Read the text with `prefill`.
        NoEncoder = 220,
        /// The model has no decoder.
        ///
        /// Read the text with `encode`.
        NoDecoder = 221,
        /// The model's head is for another task. The error says what the head cannot do.
        ///
        /// Call the function for the task in the manifest, or convert a checkpoint with the head
        /// that you need.
        WrongHead(&'static str) = 222,
        /// The decoder attends to the encoder's output, but the encoder has not run.
        ///
        /// Call `encode` first.
        EncoderNotRun = 223,
        /// A decoder with a sliding window or short convolutions cannot rewind: later tokens have
        /// overwritten what it kept of earlier ones.
        ///
        /// Call `reset`, and read the text again from its beginning.
        CannotRewind = 224,
        /// The session has read something else since the pass began, or the text has another
        /// length.
        ///
        /// Begin a new pass.
        StalePass = 225,
        /// There are more beams than the session has caches for.
        ///
        /// Plan the session's memory with `with_beams`.
        TooManyBeams {
        /// The most beams allowed.
        limit: usize,
        /// The number of beams.
            given: usize,
        } = 226,
        /// Beam search does not support decoders that read backward.
        ///
        /// Call `generate`.
        CannotSearchBackward = 227,
        /// This machine does not support the named kernel set, or the program was built without it.
        ///
        /// Name `scalar`, or a set that the machine supports. By default, the session uses the best
        /// set.
        NoSuchKernels = 228,
        /// An option is out of range or NaN. The error names the option and its range.
        ///
        /// Choose a value in the range.
        InvalidOption {
            /// The name of the option.
            option: &'static str,
            /// The valid range.
            wanted: &'static str,
        } = 230,
        /// The options suppress every token.
        ///
        /// Suppress fewer tokens, or allow the text to end.
        AllSuppressed = 231,
        /// The blob has no golden vectors for the self test.
        ///
        /// Convert the checkpoint with `kinglet convert`, which writes them.
        NoGoldenVectors = 240,
        /// This machine computes other bits than the converter's.
        ///
        /// Suspect the memory of the blob or the arena, and compare with `kinglet verify` on the
        /// host.
        SelfTestFailed {
        /// The first layer that differs: 0 is the embedding; the layers and the head follow.
            layer: u16,
        } = 241,
        /// The bytes are not a snapshot of a session with this model and this memory plan. The
        /// error says what differs.
        ///
        /// Read the text again, and write a new snapshot.
        BadSnapshot(&'static str) = 250,
        /// The bytes are not a prefix for this model and this session. The error says what differs.
        ///
        /// Compile the prefix again with `kinglet prefix`, for the blob that is flashed with it.
        BadPrefix(&'static str) = 251,
        /// The bytes are not a grammar for this tokenizer. The error says what differs.
        ///
        /// Compile the grammar again with `kinglet grammar`, for the blob that is flashed with it.
        BadGrammar(&'static str) = 252,
    }
}

/// A buffer of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Buffer {
    /// The scratch words of a tokenizer:
    /// [`Tokenizer::scratch_words`](crate::tokenizer::Tokenizer::scratch_words).
    Scratch,
    /// The tokens of an encoded text.
    Tokens,
    /// The token ids of a text.
    Ids,
    /// The numbers of a sentence vector.
    Vector,
    /// The scores of labels or tokens.
    Scores,
    /// The pairs of logits, one for each token of the context.
    Spans,
    /// The bytes of a snapshot: [`Session::snapshot_bytes`](crate::Session::snapshot_bytes).
    Snapshot,
    /// The words of a beam search: [`BeamSearch::words`](crate::task::BeamSearch::words).
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
            Self::Snapshot => "bytes for this snapshot",
            Self::Beams => "words of memory for this beam search",
        })
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ArenaTooSmall { needed, given } => write!(
                f,
                "the arena is {} bytes too small: {needed} needed, {given} given; lend more, or ask for fewer tokens",
                needed.saturating_sub(given)
            ),
            Self::ArenaMisaligned => f.write_str("the arena must begin at a 16-byte boundary: declare it with arena!"),
            Self::ModelTooLarge => f.write_str("the specification needs buffers of 4 GB or more"),
            Self::WrongPlan => {
                f.write_str("the memory plan is for another model: make it from this model's specification")
            }
            Self::BufferTooSmall { buffer, needed, given } => {
                write!(f, "{given} {buffer} are too few: lend {needed}")
            }
            Self::NoTokens => f.write_str("no tokens were given"),
            Self::TooManyTokens { limit, given } => write!(f, "{given} tokens, but at most {limit} fit"),
            Self::TokenOutOfRange { token, vocab_size } => {
                write!(f, "token {token} is not in the vocabulary of {vocab_size}")
            }
            Self::TokenTypeOutOfRange { token_type, token_types } => {
                write!(f, "token type {token_type} is not one of the model's {token_types}")
            }
            Self::TokenMissing { token } => {
                write!(f, "the text lacks token {token}, at whose position the head reads it: end the text with it")
            }
            Self::NothingToFill => f.write_str("the text has no mask to fill"),
            Self::NoUnknownToken => {
                f.write_str("the text has a word or character that the vocabulary lacks, and there is no unknown token")
            }
            Self::NoEncoder => f.write_str("the model has no encoder: read the text with prefill"),
            Self::NoDecoder => f.write_str("the model has no decoder: read the text with encode"),
            Self::WrongHead(task) => write!(f, "the model's head does not {task}"),
            Self::EncoderNotRun => f.write_str("the decoder needs the encoder's output: encode a text first"),
            Self::CannotRewind => f.write_str(
                "a decoder with windows or convolutions cannot rewind: reset the session, and read the text again",
            ),
            Self::StalePass => {
                f.write_str("the session has read something else since this pass began, or its text has another length")
            }
            Self::TooManyBeams { limit, given } => {
                write!(f, "{given} beams, but the session has caches for {limit}: plan its memory with_beams")
            }
            Self::CannotSearchBackward => f.write_str("beam search does not support decoders that read backward"),
            Self::NoSuchKernels => f.write_str("this machine has no kernels of that name"),
            Self::InvalidOption { option, wanted } => write!(f, "`{option}` must be {wanted}"),
            Self::AllSuppressed => f.write_str("every token is suppressed"),
            Self::NoGoldenVectors => f.write_str("the blob has no golden vectors to test with"),
            Self::BadSnapshot(what) => write!(f, "the snapshot cannot be restored: {what}"),
            Self::BadPrefix(what) => write!(f, "the prefix cannot be used: {what}"),
            Self::BadGrammar(what) => write!(f, "the grammar cannot be used: {what}"),
            Self::SelfTestFailed { layer } => write!(f, "the self test differs from layer {layer} on"),
        }
    }
}

impl core::error::Error for RunError {}
