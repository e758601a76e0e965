//! Generates text, token by token.

use crate::error::RunError;
use crate::format::spec::Direction;
use crate::sample::Sampler;
use crate::session::{Pass, Session};

use super::{Choices, Grammar, TokenBuffer};

/// The options of text generation: when to stop, and which tokens are allowed.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'o> {
    /// The most tokens to generate.
    pub max_new_tokens: usize,
    /// Stop tokens: any of them ends the text, of which it is part.
    pub stop: &'o [u32],
    /// Stop sequences: any of them ends the text, of which it is part.
    pub stop_sequences: &'o [&'o [u32]],
    /// The fewest tokens before a stop token.
    pub min_new_tokens: usize,
    /// Tokens that are never generated.
    pub suppressed: &'o [u32],
    /// Tokens that are not generated first, or second if the first token is forced.
    pub suppressed_first: &'o [u32],
    /// Sequences of tokens that are never generated: if prompt and text end with all but the last
    /// token of one, its last token is suppressed.
    pub bad_words: &'o [&'o [u32]],
    /// The size of n-grams that may occur only once in prompt and text; 0 for no limit.
    pub no_repeat_ngram_size: usize,
    /// The texts of which one must be generated. If one is a prefix of others, a stop token ends
    /// it.
    pub choices: Option<Choices<'o>>,
    /// The grammar that the text must follow. If a text may either end or continue, a stop token
    /// ends it.
    pub grammar: Option<Grammar<'o>>,
    /// What to do when the session or the buffer is full.
    pub when_full: WhenFull,
    /// The token that is forced after a prompt of one token.
    pub forced_bos: Option<u32>,
    /// The token that is forced as the last of `max_new_tokens`.
    pub forced_eos: Option<u32>,
}

impl GenerateOptions<'_> {
    /// At most `max_new_tokens` tokens, without stop tokens or constraints.
    pub const fn new(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            stop: &[],
            stop_sequences: &[],
            min_new_tokens: 0,
            suppressed: &[],
            suppressed_first: &[],
            bad_words: &[],
            no_repeat_ngram_size: 0,
            choices: None,
            grammar: None,
            when_full: WhenFull::Stop,
            forced_bos: None,
            forced_eos: None,
        }
    }
}

/// What to do when the session or the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// The text ends.
    Stop,
    /// The oldest tokens are removed from the text, and generation continues.
    ///
    /// The session rewinds to the first `keep` tokens, which is free, and reads the tokens after
    /// the removed ones again, at their new positions. The results are bit for bit those of a
    /// session that reads the shortened text. With `drop` half of the session's capacity, one token
    /// is read again for each token generated.
    ///
    /// Keeping the cached keys and shifting their positions, as StreamingLLM does (arXiv
    /// 2309.17453), is not supported: such keys still depend on the removed tokens, and rotating a
    /// quantized key a second time changes its value.
    DropOldest {
        /// The number of tokens at the beginning of the text that stay. A
        /// [prefix](Session::set_prefix) always stays.
        keep: usize,
        /// The number of tokens to remove at a time: at least 1, and less than the number of tokens
        /// after `keep`.
        drop: usize,
    },
}

impl WhenFull {
    /// Whether tokens can be removed from a text of `len` tokens.
    fn drops_of(self, len: usize) -> bool {
        match self {
            Self::Stop => false,
            Self::DropOldest { keep, drop } => drop > 0 && keep.saturating_add(drop) < len,
        }
    }
}

/// The reason why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stop {
    /// A stop token, a stop sequence, one of the choices or a text of the grammar is complete.
    Token,
    /// `max_new_tokens` tokens were generated.
    Length,
    /// The session or the buffer is full.
    Full,
    /// The caller asked to stop.
    Caller,
}

/// The result of one step of a [`Generation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Progress {
    /// The next token needs more steps of the model.
    Working,
    /// A token was added to the text.
    Token(u32),
    /// The text has ended.
    Ended(Stop),
}

/// The generation of a text, step by step, after the tokens that the session has read.
///
/// `text` begins with the tokens that the session has read; tokens after these are read first. So a
/// chat is one session with a new generation for each turn: append the user's tokens to the text,
/// all of which the options consider. The tokens of a [prefix](Session::set_prefix) are not in the
/// text. Nothing is borrowed between two calls, so that session, text and generation can be fields
/// of one structure. Without [`heapless`], `text` is a [`TokenSlice`](super::TokenSlice).
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Generation};
/// use kinglet::{RunError, Session};
///
/// /// One turn of a chat: appends the user's message and generates the answer.
/// fn turn(
///     session: &mut Session,
///     text: &mut heapless::Vec<u32, 256>,
///     user: &[u32],
/// ) -> Result<(), RunError> {
///     let given = text.len() + user.len();
///     text.extend_from_slice(user).map_err(|_| RunError::TooManyTokens { limit: 256, given })?;
///     let options = GenerateOptions { stop: &[2], ..GenerateOptions::new(40) };
///     let mut answer = Generation::new(options, text);
///     let mut sampler = Sampler::greedy();
///     while let Some(_token) = answer.next_token(session, text, &mut sampler)? {}
///     Ok(())
/// }
/// # let _ = turn;
/// ```
#[derive(Clone, Debug)]
pub struct Generation<'o> {
    options: GenerateOptions<'o>,
    /// The number of tokens of the prompt.
    begun: usize,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The next step begins to read the rest of the text.
    Begin,
    /// The session reads the text from token `from` on. If `turned`, the tokens in `text` are
    /// reversed meanwhile.
    Read {
        pass: Pass,
        from: usize,
        turned: bool,
    },
    /// The next step chooses a token.
    Choose,
    Ended(Stop),
}

impl<'o> Generation<'o> {
    /// Prepares to continue `text`, of which the session may already have read the beginning.
    pub fn new(options: GenerateOptions<'o>, text: &[u32]) -> Self {
        Self { options, begun: text.len(), stage: Stage::Begin }
    }

    /// Takes one step: a step of [`Session::advance`], or the choice of a token.
    ///
    /// A model that reads backward reads a text from its end. While it reads the prompt, the tokens
    /// in `text` are reversed.
    ///
    /// # Errors
    /// The errors of [`generate`]; [`RunError::TooManyTokens`] when the session has read more
    /// tokens than `text` has.
    pub fn advance(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
    ) -> Result<Progress, RunError> {
        self.advance_by(session, text, sampler, false)
    }

    fn advance_by(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
        all: bool,
    ) -> Result<Progress, RunError> {
        match &mut self.stage {
            Stage::Ended(stop) => return Ok(Progress::Ended(*stop)),
            Stage::Begin => self.begin(session, text)?,
            Stage::Read { pass, from, turned } => {
                let more = session.advance_by(pass, text.tokens().get(*from..).unwrap_or(&[]), &[], all);
                if !matches!(more, Ok(true)) {
                    if *turned {
                        text.tokens_mut().reverse();
                    }
                    self.stage = Stage::Choose;
                }
                more?;
            }
            Stage::Choose => return self.choose(session, text, sampler, all),
        }
        Ok(Progress::Working)
    }

    /// Generates the next token, appends it to the text and returns it; `None` if the text has
    /// [ended](Self::ended).
    ///
    /// # Errors
    /// The errors of [`advance`](Self::advance).
    pub fn next_token(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
    ) -> Result<Option<u32>, RunError> {
        let all = !session.pauses();
        loop {
            match self.advance_by(session, text, sampler, all)? {
                Progress::Working => session.pause(),
                Progress::Token(token) => return Ok(Some(token)),
                Progress::Ended(_) => return Ok(None),
            }
        }
    }

    /// The reason why the text ended, or `None` if it has not. The last token is then in the text.
    pub fn ended(&self) -> Option<Stop> {
        match self.stage {
            Stage::Ended(stop) => Some(stop),
            _ => None,
        }
    }

    fn begin(&mut self, session: &mut Session<'_, '_>, text: &mut (impl TokenBuffer + ?Sized)) -> Result<(), RunError> {
        while text.tokens().len() > session.limit() && self.make_room(session, text)? {}
        let (from, limit) = (session.position() - session.prefix_len(), text.tokens().len());
        if from > limit {
            return Err(RunError::TooManyTokens { limit, given: from });
        }
        if from == limit && session.position() > 0 {
            self.stage = Stage::Choose;
            return Ok(());
        }
        let turned = from == 0 && session.model().spec().direction == Direction::Backward;
        if turned {
            text.tokens_mut().reverse();
        }
        let pass = session.begin_prefill(text.tokens().get(from..).unwrap_or(&[]));
        if turned && pass.is_err() {
            text.tokens_mut().reverse();
        }
        self.stage = Stage::Read { pass: pass?, from, turned };
        Ok(())
    }

    /// Removes the oldest tokens from the text and rewinds the session to the tokens before them.
    /// Returns `false` if the options forbid it or no token would be left after them.
    fn make_room(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
    ) -> Result<bool, RunError> {
        let WhenFull::DropOldest { keep, drop } = self.options.when_full else { return Ok(false) };
        let refused = |wanted| Err(RunError::InvalidOption { option: "when_full", wanted });
        if session.model().spec().direction == Direction::Backward {
            return refused("`Stop`: a model that reads backward has read the end of the text first");
        }
        if self.options.choices.is_some() || self.options.grammar.is_some() {
            return refused("`Stop`: with choices or a grammar, the next token depends on the whole answer");
        }
        let (len, end) = (text.tokens().len(), keep.saturating_add(drop));
        if !self.options.when_full.drops_of(len) {
            return Ok(false);
        }
        let moved = text.tokens_mut().get_mut(keep..).unwrap_or(&mut []);
        for index in 0..len - end {
            let token = moved.get(index + drop).copied();
            moved.iter_mut().skip(index).zip(token).for_each(|(to, token)| *to = token);
        }
        text.truncate(len - drop);
        // Removed tokens of the answer still count as generated.
        let of_answer = end.saturating_sub(self.begun.max(keep));
        self.begun -= drop - of_answer;
        self.options.max_new_tokens = self.options.max_new_tokens.saturating_sub(of_answer);
        self.options.min_new_tokens = self.options.min_new_tokens.saturating_sub(of_answer);
        let kept = session.prefix_len() + keep;
        if session.position() > kept && session.rewind(kept).is_err() {
            session.reset();
        }
        Ok(true)
    }

    fn choose(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
        all: bool,
    ) -> Result<Progress, RunError> {
        let (options, begun) = (self.options, self.begun);
        let end = |stage: &mut Stage, stop| {
            *stage = Stage::Ended(stop);
            Ok(Progress::Ended(stop))
        };
        let so_far = text.tokens();
        if so_far.len().saturating_sub(begun) >= options.max_new_tokens {
            return end(&mut self.stage, Stop::Length);
        }
        if so_far.len() >= text.capacity() {
            if self.make_room(session, text)? {
                self.stage = Stage::Begin;
                return Ok(Progress::Working);
            }
            return end(&mut self.stage, Stop::Full);
        }
        if session.advance_logits_by(all)? {
            return Ok(Progress::Working);
        }
        let bits = session.model().spec().numerics.fraction_bits;
        let logits = session.logits_mut()?;
        let token = match options.forced(so_far, begun) {
            Some(token) => token,
            None => {
                options.suppress(so_far, begun, logits);
                sampler.sample(logits, bits, so_far)?
            }
        };
        // Cannot fail: the capacity was checked above.
        let _ = text.push(token);
        let text = text.tokens();
        self.stage = if options.is_done(text, begun) {
            Stage::Ended(Stop::Token)
        } else if text.len().saturating_sub(begun) >= options.max_new_tokens {
            // No token follows: the model need not read the last one.
            Stage::Ended(Stop::Length)
        } else if session.remaining() == 0 && !options.when_full.drops_of(text.len()) {
            Stage::Ended(Stop::Full)
        } else {
            Stage::Begin
        };
        Ok(Progress::Token(token))
    }
}

/// Generates a continuation of `text` and appends it. Resets the session first; a [`Generation`]
/// continues from the session's state instead.
///
/// A model that reads backward reads `text` from its end and generates the tokens that precede it:
/// they are appended in the order of generation, that is, last token first.
///
/// Calls `each` with every generated token, including the one that ends the text. Generation stops
/// with [`Stop::Caller`] when `each` returns `false`, unless the token has ended the text
/// ([`Stop::Token`]). No token is chosen if `text` has no room for it.
///
/// Afterwards the session has read all of `text` except the last token.
///
/// # Errors
/// The errors of [`Session::prefill`]; [`RunError::NoTokens`] when `text` is empty;
/// [`RunError::AllSuppressed`] when the options allow no token, with the tokens generated so far in
/// `text`.
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Stop, generate};
/// use kinglet::{RunError, Session};
///
/// /// Generates up to twenty tokens, the most likely at each step.
/// fn tell(session: &mut Session, bos: u32) -> Result<Stop, RunError> {
///     let mut text = heapless::Vec::<u32, 21>::from_array([bos]);
///     let options = GenerateOptions { stop: &[2], ..GenerateOptions::new(20) };
///     generate(session, &mut text, &options, &mut Sampler::greedy(), |_| true)
/// }
/// # let _ = tell;
/// ```
pub fn generate(
    session: &mut Session<'_, '_>,
    text: &mut (impl TokenBuffer + ?Sized),
    options: &GenerateOptions<'_>,
    sampler: &mut Sampler,
    mut each: impl FnMut(u32) -> bool,
) -> Result<Stop, RunError> {
    session.reset();
    let mut generation = Generation::new(*options, text.tokens());
    while let Some(token) = generation.next_token(session, text, sampler)? {
        if !each(token) && generation.ended() != Some(Stop::Token) {
            return Ok(Stop::Caller);
        }
    }
    Ok(generation.ended().unwrap_or(Stop::Length))
}
