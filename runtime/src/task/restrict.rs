//! Restricts the tokens that a model may generate: suppressed and forced tokens, repeated n-grams,
//! choices and grammars.

use crate::sample::SUPPRESSED;

use super::GenerateOptions;

impl GenerateOptions<'_> {
    /// The token that is forced after `text`, whose first `begun` tokens are the prompt.
    pub fn forced(&self, text: &[u32], begun: usize) -> Option<u32> {
        let is_last = text.len().saturating_sub(begun) + 1 == self.max_new_tokens;
        self.forced_eos.filter(|_| is_last).or(self.forced_bos.filter(|_| text.len() == 1))
    }

    /// Calls `forbid` with every token that must not follow `text`, whose first `begun` tokens are
    /// the prompt. Tokens may repeat.
    pub fn forbid(&self, text: &[u32], begun: usize, vocab_size: u32, mut forbid: impl FnMut(u32)) {
        let written = text.get(begun..).unwrap_or(&[]);
        self.suppressed.iter().for_each(|&token| forbid(token));
        // If the first token is forced, the second is the first that the model chooses.
        let first = usize::from(begun <= 1 && self.forced_bos.is_some());
        if written.len() == first {
            self.suppressed_first.iter().for_each(|&token| forbid(token));
        }
        for word in self.bad_words {
            if let Some((&last, _)) = word.split_last().filter(|(_, before)| text.ends_with(before)) {
                forbid(last);
            }
        }
        if written.len() < self.min_new_tokens {
            self.stop.iter().for_each(|&token| forbid(token));
        }
        if let Some(begin) = self.no_repeat_ngram_size.checked_sub(1).filter(|&begin| begin < text.len()) {
            let last = text.get(text.len() - begin..).unwrap_or(&[]);
            let repeated = text.windows(begin + 1).filter(|ngram| ngram.starts_with(last));
            repeated.filter_map(|ngram| ngram.last()).for_each(|&token| forbid(token));
        }
        if let Some(choices) = &self.choices {
            // A choice that is a prefix of others may end here.
            let may_end = choices.find(written).is_some();
            self.forbid_others(choices.next(choices.narrow(written)), may_end, vocab_size, &mut forbid);
        }
        if let Some(grammar) = &self.grammar {
            match grammar.state_after(written) {
                Some(state) => {
                    self.forbid_others(grammar.allowed(state), grammar.may_end(state), vocab_size, &mut forbid);
                }
                None => (0..vocab_size).for_each(forbid),
            }
        }
    }

    /// Calls `forbid` with every token that is not in `allowed`, which is ascending; with
    /// `may_end`, stop tokens are allowed, too.
    fn forbid_others(
        &self,
        allowed: impl Iterator<Item = u32>,
        may_end: bool,
        vocab_size: u32,
        forbid: &mut impl FnMut(u32),
    ) {
        let mut allowed = allowed.peekable();
        for token in 0..vocab_size {
            while allowed.next_if(|&next| next < token).is_some() {}
            if allowed.peek() != Some(&token) && !(may_end && self.stop.contains(&token)) {
                forbid(token);
            }
        }
    }

    /// Suppresses the logit of every token that [`forbid`](Self::forbid) reports. For callers with
    /// their own generation loop, to call before choosing a token.
    ///
    /// ```
    /// use kinglet::sample::argmax;
    /// use kinglet::task::GenerateOptions;
    ///
    /// let options = GenerateOptions { suppressed: &[1], ..GenerateOptions::new(8) };
    /// let mut logits = [3 << 16, 9 << 16, 5 << 16];
    /// options.suppress(&[0], 1, &mut logits);
    /// assert_eq!(argmax(&logits), 2);
    /// ```
    pub fn suppress(&self, text: &[u32], begun: usize, logits: &mut [i32]) {
        self.forbid(text, begun, logits.len() as u32, |token| {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = SUPPRESSED;
            }
        });
    }

    /// Whether `text`, whose first `begun` tokens are the prompt, has ended.
    pub fn is_done(&self, text: &[u32], begun: usize) -> bool {
        let written = text.get(begun..).unwrap_or(&[]);
        let stopped = written.last().is_some_and(|token| self.stop.contains(token));
        let sequence =
            || self.stop_sequences.iter().any(|sequence| !sequence.is_empty() && written.ends_with(sequence));
        let chosen = || {
            let choices = self.choices.as_ref();
            choices.is_some_and(|choices| choices.next(choices.narrow(written)).next().is_none())
        };
        // A text after which the grammar allows no token is complete.
        let whole = || {
            let grammar = self.grammar.as_ref();
            grammar.is_some_and(|grammar| {
                grammar.state_after(written).is_some_and(|state| grammar.allowed(state).next().is_none())
            })
        };
        stopped || sequence() || chosen() || whole()
    }
}
