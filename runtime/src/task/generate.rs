//! Text generation, one token after the other.

use crate::error::RunError;
use crate::format::spec::Direction;
use crate::sample::Sampler;
use crate::session::{Pass, Session};

use super::{Choices, Grammar, TokenBuffer};

/// When to stop, and what may be written.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'o> {
    /// The most tokens that are written.
    pub max_new_tokens: usize,
    /// Any of these ends the text; it is written too.
    pub stop: &'o [u32],
    /// Any of these sequences of tokens ends the text; it is written too.
    pub stop_sequences: &'o [&'o [u32]],
    /// The least number of tokens before a stop token.
    pub min_new_tokens: usize,
    /// Tokens that are never written.
    pub suppressed: &'o [u32],
    /// Tokens that are not written first, or second where the first token is forced.
    pub suppressed_first: &'o [u32],
    /// Sequences of tokens that never appear: where the text, including the prompt, ends with all
    /// but the last token of one, that token is not written.
    pub bad_words: &'o [&'o [u32]],
    /// No sequence of this number of tokens appears twice in prompt and text together; 0 allows
    /// all.
    pub no_repeat_ngram_size: usize,
    /// The texts to choose from: one of them is written, and nothing else. Where one is the
    /// beginning of others, a stop token ends it.
    pub choices: Option<Choices<'o>>,
    /// What is written: exactly the tokens that the grammar allows at each step. Where a text may
    /// end or go on, a stop token ends it.
    pub grammar: Option<Grammar<'o>>,
    /// What happens when the session or the buffer holds no more tokens.
    pub when_full: WhenFull,
    /// The token that is written after a text of one token, whatever the logits are. Longer texts
    /// are not affected.
    pub forced_bos: Option<u32>,
    /// The token that is written last where the text reaches `max_new_tokens`.
    pub forced_eos: Option<u32>,
}

impl GenerateOptions<'_> {
    /// At most `max_new_tokens` tokens, with no token treated differently from the others.
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

/// What happens when the session or the buffer holds no more tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// The text ends.
    Stop,
    /// The oldest tokens are taken out of the text, and it goes on.
    ///
    /// What the session has read after the first `keep` tokens is read anew, each token at its new
    /// position: the bits are those of a session that reads the shorter text, whatever a model's
    /// positions are. The session goes back to the tokens that are kept, which costs nothing, so
    /// `drop` tokens that are written cost the reading of what is left after them once. Half of the
    /// session's tokens for `drop` reads as many tokens again as are written.
    ///
    /// Keys that stay in the cache and get other positions, as in StreamingLLM (arXiv 2309.17453),
    /// are not offered: they still hold what was dropped, and a quantized key that is rotated again
    /// is another number than one that is rotated once.
    DropOldest {
        /// Tokens at the beginning of the text that stay. What stands in a
        /// [prefix](Session::set_prefix) stays in any case.
        keep: usize,
        /// Tokens that are taken out at a time: at least one, and so few that a token is left after
        /// them.
        drop: usize,
    },
}

impl WhenFull {
    /// Whether tokens are taken out of a text of this length.
    fn drops_of(self, len: usize) -> bool {
        match self {
            Self::Stop => false,
            Self::DropOldest { keep, drop } => drop > 0 && keep.saturating_add(drop) < len,
        }
    }
}

/// Why the text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stop {
    /// A stop token, a stop sequence, one of the choices or a text of the grammar was written.
    Token,
    /// `max_new_tokens` tokens were written.
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
    /// The model has more steps to take before the next token.
    Working,
    /// A token was added to the text.
    Token(u32),
    /// The text has ended.
    Ended(Stop),
}

/// A text that is being written, step by step, after the tokens that the session has read.
///
/// `text` holds what the session has read, and may hold tokens that it has not read yet: they are
/// read first. So a chat goes on in one session, each turn a new generation: what a user says is
/// added to the text, which the options see as a whole. What a session has read of a
/// [prefix](Session::set_prefix) is not in the text. The session, the text and the generation
/// may be fields of one structure; nothing is borrowed between two calls. A text without
/// [`heapless`] is a [`TokenSlice`](super::TokenSlice).
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Generation};
/// use kinglet::{RunError, Session};
///
/// /// One turn of a chat: reads what `user` said after all that was said before, and writes the answer.
/// fn turn(session: &mut Session, text: &mut heapless::Vec<u32, 256>, user: &[u32]) -> Result<(), RunError> {
///     text.extend_from_slice(user).map_err(|_| RunError::TooManyTokens { limit: 256, given: text.len() + user.len() })?;
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
    /// Tokens of the prompt.
    begun: usize,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The session reads the rest of the text next.
    Begin,
    /// The session reads the text from this token on, which lies in the text in reading order when
    /// it is turned round.
    Read {
        pass: Pass,
        from: usize,
        turned: bool,
    },
    /// The next token is chosen next.
    Choose,
    Ended(Stop),
}

impl<'o> Generation<'o> {
    /// Continues a text, of which the session may have read the beginning.
    pub fn new(options: GenerateOptions<'o>, text: &[u32]) -> Self {
        Self { options, begun: text.len(), stage: Stage::Begin }
    }

    /// Takes the text a step further: a step of [`Session::advance`], or the choice of a token.
    ///
    /// A model that reads backward reads a text from its end. While it reads the text that it was
    /// given, tokens in `text` lie in the order in which they are read.
    ///
    /// # Errors
    /// As [`generate`]; [`RunError::TooManyTokens`] when the session has read more tokens than the
    /// text has.
    pub fn advance(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
    ) -> Result<Progress, RunError> {
        match &mut self.stage {
            Stage::Ended(stop) => return Ok(Progress::Ended(*stop)),
            Stage::Begin => self.begin(session, text)?,
            Stage::Read { pass, from, turned } => {
                let more = session.advance(pass, text.tokens().get(*from..).unwrap_or(&[]), &[]);
                if !matches!(more, Ok(true)) {
                    if *turned {
                        text.tokens_mut().reverse();
                    }
                    self.stage = Stage::Choose;
                }
                more?;
            }
            Stage::Choose => return self.choose(session, text, sampler),
        }
        Ok(Progress::Working)
    }

    /// The next token, which is added to the text; none when the text has [ended](Self::ended).
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn next_token(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
        sampler: &mut Sampler,
    ) -> Result<Option<u32>, RunError> {
        loop {
            match self.advance(session, text, sampler)? {
                Progress::Working => session.pause(),
                Progress::Token(token) => return Ok(Some(token)),
                Progress::Ended(_) => return Ok(None),
            }
        }
    }

    /// Why the text ended; none while it goes on. The token that ends a text has been added then.
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

    /// Takes the oldest tokens out of the text, and sends the session back to what is left before
    /// them. Returns false where the options do not say so, or too few tokens would be left.
    fn make_room(
        &mut self,
        session: &mut Session<'_, '_>,
        text: &mut (impl TokenBuffer + ?Sized),
    ) -> Result<bool, RunError> {
        let WhenFull::DropOldest { keep, drop } = self.options.when_full else { return Ok(false) };
        let refused = |wanted| Err(RunError::InvalidOption { option: "when_full", wanted });
        if session.model().spec().direction == Direction::Backward {
            return refused("to stop: a model that reads backward has read the end of the text first");
        }
        if self.options.choices.is_some() || self.options.grammar.is_some() {
            return refused("to stop: the beginning of an answer says what may follow it");
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
        // Tokens of the answer that are no longer there count all the same.
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
        let bits = session.model().spec().numerics.fraction_bits;
        let logits = session.logits_mut()?;
        let token = match options.forced(so_far, begun) {
            Some(token) => token,
            None => {
                options.suppress(so_far, begun, logits);
                sampler.sample(logits, bits, so_far)?
            }
        };
        // There is room: the capacity was checked before.
        let _ = text.push(token);
        let text = text.tokens();
        self.stage = if options.is_done(text, begun) {
            Stage::Ended(Stop::Token)
        } else if text.len().saturating_sub(begun) >= options.max_new_tokens {
            // No token follows, so the model need not read the last one.
            Stage::Ended(Stop::Length)
        } else if session.remaining() == 0 && !options.when_full.drops_of(text.len()) {
            Stage::Ended(Stop::Full)
        } else {
            Stage::Begin
        };
        Ok(Progress::Token(token))
    }
}

/// Continues the tokens in `text`, which are in reading order, and adds each new token to it in the
/// order of writing. The session is reset first; a [`Generation`] continues from its state instead.
///
/// A model that reads backward reads `text` from its end and writes what comes before it: what it
/// adds is to be read from the end.
///
/// `each` is called once for every token that is added, in order: for the one that ends the text,
/// too, be it a stop token or the last of a stop sequence or of a choice. It says whether to go on;
/// where the text has ended already, that is [`Stop::Token`] whatever it says. A token that `text`
/// has no room for is not chosen.
///
/// The session has then read all of `text` but the last token.
///
/// # Errors
/// As [`Session::prefill`]; [`RunError::NoTokens`] when there is no text to begin with;
/// [`RunError::AllSuppressed`] when the options let nothing follow, with what was written until
/// then in `text`.
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Stop, generate};
/// use kinglet::{RunError, Session};
///
/// /// Twenty tokens after the first, the likeliest each time.
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
