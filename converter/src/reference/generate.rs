//! Generates text with the reference: greedily, or by the runtime's beam search.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kinglet::format::spec::Direction;
use kinglet::task::{BeamOptions, BeamSearch, GenerateOptions};

use super::Reference;

/// The most tokens that the reference writes.
const MAX_TEXT: usize = 1 << 15;

/// A generated text, without the tokens that it began with.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The token ids, in the order in which they were written.
    pub ids: Vec<u32>,
    /// Whether the text reached its own end, rather than a limit.
    pub done: bool,
    /// The score of the text, if a beam search found it.
    pub score: Option<f32>,
}

impl Reference<'_> {
    /// Greedy generation after the tokens `begin`. `penalty` lowers the logits of tokens that the
    /// text already has; 1 leaves them unchanged. The encoder, if there is one, must have run.
    ///
    /// # Errors
    /// When a token or a length is out of range.
    pub fn generate(&mut self, begin: &[u32], options: &GenerateOptions<'_>, penalty: f32) -> Result<Written> {
        self.reset();
        let mut text = begin.to_vec();
        let mut next = begin.to_vec();
        if self.model.spec.direction == Direction::Backward {
            next.reverse();
        }
        let mut done = false;
        while !done && text.len() < begin.len() + options.max_new_tokens {
            let mut logits = self.next_logits(&next)?;
            penalize(&mut logits, &text, penalty);
            options.forbid(&text, begin.len(), logits.len() as u32, |token| logits[token as usize] = f32::NEG_INFINITY);
            let token = match options.forced(&text, begin.len()) {
                Some(token) => token,
                None => likeliest(&logits)?,
            };
            text.push(token);
            next = vec![token];
            done = options.is_done(&text, begin.len());
        }
        Ok(Written { ids: text.split_off(begin.len()), done, score: None })
    }

    /// The texts that a beam search finds, the best first. The encoder, if there is one, must have
    /// run.
    ///
    /// # Errors
    /// When a token or a length is out of range, or the options are.
    pub fn beam_search(
        &mut self,
        begin: &[u32],
        options: &GenerateOptions<'_>,
        beams: BeamOptions,
    ) -> Result<Vec<Written>> {
        self.reset();
        let mut memory = vec![0; BeamSearch::words(beams.num_beams, options.max_new_tokens)];
        let mut search = BeamSearch::new(beams, options.max_new_tokens, options.stop.len(), &mut memory)?;
        let mut text = heapless::Vec::<u32, MAX_TEXT>::new();
        let room = text.extend_from_slice(begin);
        room.ok().with_context(|| format!("the text is longer than {MAX_TEXT} tokens\nshorten it"))?;
        let mut open = vec![self.clone()];
        let mut going_on = true;
        while going_on {
            for (beam, model) in open.iter_mut().enumerate() {
                search.write_open(beam, &mut text)?;
                let next = if search.is_empty() { begin } else { &text[text.len() - 1..] };
                let mut logits = model.next_logits(next)?;
                if let Some(token) = options.forced(&text, begin.len()) {
                    search.offer(beam, token, 0.0);
                } else {
                    normalize(&mut logits);
                    // Log-probabilities are negative, so the penalty multiplies all of them.
                    penalize(&mut logits, &text, beams.repetition_penalty);
                    let vocab_size = logits.len() as u32;
                    options.forbid(&text, begin.len(), vocab_size, |token| logits[token as usize] = f32::NEG_INFINITY);
                    if beams.renormalize_logits {
                        normalize(&mut logits);
                    }
                    for (token, log_probability) in logits.iter().enumerate() {
                        search.offer(beam, token as u32, *log_probability);
                    }
                }
                text.truncate(begin.len());
            }
            going_on = search.advance(|search, beam, token| {
                let done = search.write_open(beam, &mut text).is_err()
                    || text.push(token).is_err()
                    || options.is_done(&text, begin.len());
                text.truncate(begin.len());
                done
            });
            open = search.parents().iter().map(|&parent| open[parent].clone()).collect();
        }
        let mut found = Vec::new();
        while let Some(score) = search.write_finished(found.len(), &mut text)? {
            let ids = text[begin.len()..].to_vec();
            found.push(Written { done: options.is_done(&text, begin.len()), ids, score: Some(score) });
            text.truncate(begin.len());
        }
        Ok(found)
    }

    /// The logits after the next tokens.
    fn next_logits(&mut self, next: &[u32]) -> Result<Vec<f32>> {
        let hidden = self.decode(next)?;
        let logits = self.head(&hidden)?;
        Ok(logits.rows().last().context("the model has no logits")?.to_vec())
    }
}

/// The index of the largest logit, the first one if several are equal.
fn likeliest(logits: &[f32]) -> Result<u32> {
    let best = (0..logits.len()).reduce(|best, at| if logits[at] > logits[best] { at } else { best });
    let best = best.filter(|&best| logits[best] > f32::NEG_INFINITY);
    best.map(|at| at as u32).context("every token is suppressed, so that none can be written\nallow one")
}

/// Divides the positive logits of tokens that are in `text` by `penalty`, and multiplies the
/// negative ones by it.
fn penalize(logits: &mut [f32], text: &[u32], penalty: f32) {
    for token in text.iter().collect::<BTreeSet<_>>() {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// Turns logits into log-probabilities.
fn normalize(logits: &mut [f32]) {
    let most = logits.iter().fold(f32::NEG_INFINITY, |most, &x| most.max(x));
    let sum = most + libm::logf(logits.iter().map(|x| libm::expf(x - most)).sum());
    logits.iter_mut().for_each(|x| *x -= sum);
}
