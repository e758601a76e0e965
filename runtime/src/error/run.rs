//! What can be wrong with a call on a model that was read.

use core::fmt;

errors! {
    /// Why a model, a tokenizer or a sampler cannot do what it was asked. No variant owns memory.
    ///
    /// Sessions, tasks, samplers and [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode)
    /// return it. After an error the session can be used again. The codes are from 200 to 299.
    pub enum RunError {
        /// The arena is too small for the model at the number of tokens.
        ///
        /// Lend the arena that `arena_bytes` or the `MemoryPlan` asks for, or ask for fewer tokens,
        /// beams, or a smaller tile.
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
        /// The specification asks for buffers of 4 GB and more.
        ///
        /// Plan with the specification of a model that was read: it has been checked.
        ModelTooLarge = 203,
        /// The memory plan was made for another model.
        ///
        /// Make the plan of the specification of the model that the session is for.
        WrongPlan = 204,
        /// A buffer that the caller lends is too small.
        ///
        /// Lend the number of elements that the error names.
        BufferTooSmall {
            /// Which buffer.
            buffer: Buffer,
            /// Elements that are enough.
            needed: usize,
            /// Elements given.
            given: usize,
        } = 205,
        /// The call needs at least one token, or there are no logits because the head has read
        /// none.
        ///
        /// Give the session tokens first: `encode`, `prefill` or `step`.
        NoTokens = 210,
        /// More tokens than the session, the model or the buffer can take.
        ///
        /// Cut the text, or make the session with more `max_tokens`, up to the model's positions.
        TooManyTokens {
            /// The most there may be.
            limit: usize,
            /// How many there were.
            given: usize,
        } = 211,
        /// The vocabulary does not have the token id.
        ///
        /// Use the tokenizer that belongs to the model.
        TokenOutOfRange {
            /// The id.
            token: u32,
            /// The number of ids.
            vocab_size: u32,
        } = 212,
        /// The model does not have the token type.
        ///
        /// Give types below the number that the model has, or none.
        TokenTypeOutOfRange {
            /// The type.
            token_type: u32,
            /// The number of types.
            token_types: u32,
        } = 213,
        /// The text lacks a token that the head needs: the one that ends texts, at whose place the
        /// head reads the decoder.
        ///
        /// End the text with the token.
        TokenMissing {
            /// The id.
            token: u32,
        } = 214,
        /// The text has no mask to fill.
        ///
        /// Put the mask's token where a word is to be guessed.
        NothingToFill = 215,
        /// The text has a word or character that the vocabulary lacks, and there is no token for
        /// the unknown.
        ///
        /// Take such characters out of the text.
        NoUnknownToken = 216,
        /// The model has no encoder.
        ///
        /// Read the text with `prefill`.
        NoEncoder = 220,
        /// The model has no decoder.
        ///
        /// Read the text with `encode`.
        NoDecoder = 221,
        /// The model's head is for another task. The error says what the head does not do.
        ///
        /// Call what belongs to the task that the manifest names, or convert a checkpoint with such
        /// a head.
        WrongHead(&'static str) = 222,
        /// The decoder attends to the encoder's output, and the encoder has read nothing.
        ///
        /// Call `encode` first.
        EncoderNotRun = 223,
        /// A decoder with a sliding window cannot go back: the tokens to forget have displaced
        /// older ones.
        ///
        /// Call `reset`, and read the text again from its beginning.
        CannotRewind = 224,
        /// The pass is of a text that the session no longer reads, or the text has another length
        /// now.
        ///
        /// Begin a new pass.
        StalePass = 225,
        /// More texts at a time than the session has caches for.
        ///
        /// Plan the session's memory `with_beams`.
        TooManyBeams {
            /// The most there may be.
            limit: usize,
            /// How many were asked for.
            given: usize,
        } = 226,
        /// A decoder that reads backward writes no texts by beam search.
        ///
        /// Call `generate`.
        CannotSearchBackward = 227,
        /// This machine has no kernel set of the name, or the program was built without it.
        ///
        /// Name `scalar`, or a set that the machine has; without a call the session takes the best
        /// one.
        NoSuchKernels = 228,
        /// An option is out of its range, or not a number. The error names the option and its
        /// range.
        ///
        /// Give a value in the range.
        InvalidOption {
            /// The option's name.
            option: &'static str,
            /// What it must be.
            wanted: &'static str,
        } = 230,
        /// The options suppress every token, so that none can be written.
        ///
        /// Suppress fewer tokens, or allow the text to end.
        AllSuppressed = 231,
        /// The blob has no golden vectors to test the machine with.
        ///
        /// Convert the checkpoint with `kinglet convert`, which writes them.
        NoGoldenVectors = 240,
        /// The machine computes other bits than the converter did.
        ///
        /// Suspect the memory that the blob and the arena lie in, and compare `kinglet verify` on
        /// the host.
        SelfTestFailed {
            /// The first layer that differs: 0 is the embedding, then come the layers, then the
            /// head.
            layer: u16,
        } = 241,
        /// The bytes are no snapshot of a session with this model and this memory plan: it says
        /// what differs.
        ///
        /// Read the text again, and write a new snapshot.
        BadSnapshot(&'static str) = 250,
        /// The bytes are no prefix for this model or this session: it says what differs.
        ///
        /// Make the prefix anew with `kinglet prefix`, of the blob that is flashed with it.
        BadPrefix(&'static str) = 251,
        /// The bytes are no grammar for this tokenizer: it says what differs.
        ///
        /// Compile the grammar anew with `kinglet grammar`, for the blob that is flashed with it.
        BadGrammar(&'static str) = 252,
    }
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
    /// Bytes of a snapshot: [`Session::snapshot_bytes`](crate::Session::snapshot_bytes).
    Snapshot,
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
            Self::ModelTooLarge => f.write_str("the specification asks for buffers of 4 GB and more"),
            Self::WrongPlan => f.write_str("the memory plan is of another model: make it of this one's specification"),
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
                write!(f, "the text lacks token {token}, at whose place the head reads it: end the text with it")
            }
            Self::NothingToFill => f.write_str("the text has no mask to fill"),
            Self::NoUnknownToken => f.write_str(
                "the text has a word or character that the vocabulary lacks, and no token stands for the unknown",
            ),
            Self::NoEncoder => f.write_str("the model has no encoder: read the text with prefill"),
            Self::NoDecoder => f.write_str("the model has no decoder: read the text with encode"),
            Self::WrongHead(task) => write!(f, "the model's head does not {task}"),
            Self::EncoderNotRun => f.write_str("the decoder needs the encoder's output: encode a text first"),
            Self::CannotRewind => {
                f.write_str("a decoder with a sliding window cannot go back: reset it, and read the text again")
            }
            Self::StalePass => {
                f.write_str("the session has read something else since this pass began, or its text has another length")
            }
            Self::TooManyBeams { limit, given } => {
                write!(f, "{given} beams, but the session has caches for {limit}: plan its memory with_beams")
            }
            Self::CannotSearchBackward => f.write_str("beams do not search with a decoder that reads backward"),
            Self::NoSuchKernels => f.write_str("this machine has no kernels of that name"),
            Self::InvalidOption { option, wanted } => write!(f, "`{option}` must be {wanted}"),
            Self::AllSuppressed => f.write_str("every token is suppressed, so that none can be written"),
            Self::NoGoldenVectors => f.write_str("the blob has no golden vectors to test with"),
            Self::BadSnapshot(what) => write!(f, "the snapshot cannot be restored: {what}"),
            Self::BadPrefix(what) => write!(f, "the prefix cannot be used: {what}"),
            Self::BadGrammar(what) => write!(f, "the grammar cannot be used: {what}"),
            Self::SelfTestFailed { layer } => write!(f, "the self test differs from layer {layer} on"),
        }
    }
}

impl core::error::Error for RunError {}
