//! Finds the span of a text that answers a question.

use core::ops::{Range, RangeInclusive};

use crate::error::{Buffer, RunError};
use crate::format::spec::Task;
use crate::session::Session;

/// An answer: a span of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer {
    /// The position of the first token.
    pub start: usize,
    /// The position of the last token.
    pub end: usize,
    /// The sum of start and end logit, in fixed point.
    pub score: i32,
    /// The score of "no answer": the sum of start and end logit of the first token.
    pub none: i32,
}

impl Answer {
    /// The positions of the answer; `None` if "no answer" scores at least as high.
    pub fn span(&self) -> Option<RangeInclusive<usize>> {
        (self.score > self.none).then_some(self.start..=self.end)
    }
}

/// Finds the best span of at most `max_len` tokens inside `context`, a range of positions. Of equal
/// spans it returns the first.
///
/// `scratch` receives the start and end logit of each token of the context.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::WrongHead`] when the head does not answer
/// questions; [`RunError::InvalidOption`] when the context is not in the text;
/// [`RunError::BufferTooSmall`] when `scratch` is shorter than the context.
pub fn answer(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    context: Range<usize>,
    max_len: usize,
    scratch: &mut [[i32; 2]],
) -> Result<Answer, RunError> {
    if session.model().spec().head.task != Task::QuestionAnswering || session.model().spec().encoder.is_none() {
        return Err(RunError::WrongHead("answer questions"));
    }
    if context.is_empty() || context.end > ids.len() {
        return Err(RunError::InvalidOption { option: "context", wanted: "a range of tokens within the text" });
    }
    let (needed, given) = (context.len(), scratch.len());
    let scratch = scratch.get_mut(..needed).ok_or(RunError::BufferTooSmall { buffer: Buffer::Spans, needed, given })?;
    session.encode(ids, token_types)?;
    let mut logits_at = |position| -> Result<[i32; 2], RunError> {
        session.logits_at(position)?.first_chunk().copied().ok_or(RunError::WrongHead("answer questions"))
    };
    let [start, end] = logits_at(0)?;
    let none = start.saturating_add(end);
    for (logits, position) in scratch.iter_mut().zip(context.clone()) {
        *logits = logits_at(position)?;
    }
    let mut best = Answer { start: context.start, end: context.start, score: i32::MIN, none };
    for (first, [start, _]) in scratch.iter().enumerate() {
        for (more, [_, end]) in scratch.iter().skip(first).take(max_len.max(1)).enumerate() {
            let score = start.saturating_add(*end);
            if score > best.score {
                best = Answer { start: context.start + first, end: context.start + first + more, score, none };
            }
        }
    }
    Ok(best)
}
