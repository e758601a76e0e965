//! Classifies a text, or each of its tokens.

use crate::error::{Buffer, RunError};
use crate::format::spec::Task;
use crate::session::Session;

/// Computes the score of each label for a text: a probability, or the value of a regression.
/// Returns the number of labels.
///
/// # Errors
/// The errors of [`Session::encode`] and [`Session::prefill`]; [`RunError::BufferTooSmall`] when
/// `out` is shorter than the number of labels; [`RunError::WrongHead`] when the head does not
/// classify.
pub fn classify(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [f32],
) -> Result<usize, RunError> {
    let spec = session.model().spec();
    let task = spec.head.task;
    if !matches!(task, Task::Classification | Task::MultiLabelClassification | Task::Regression) {
        return Err(RunError::WrongHead("classify texts"));
    }
    session.read_text(ids, token_types)?;
    probabilities(task, session.logits()?, spec.numerics.fraction_bits, out)
}

/// Computes the score of each label for each token of a text, and calls `each` with the token's
/// position and scores.
///
/// # Errors
/// The errors of [`classify`].
pub fn tag(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [f32],
    mut each: impl FnMut(usize, &[f32]),
) -> Result<(), RunError> {
    let spec = session.model().spec();
    let task = spec.head.task;
    if !matches!(task, Task::TokenClassification | Task::ReplacedToken) {
        return Err(RunError::WrongHead("label tokens"));
    }
    session.encode(ids, token_types)?;
    for position in 0..ids.len() {
        let labels = probabilities(task, session.logits_at(position)?, spec.numerics.fraction_bits, out)?;
        each(position, out.get(..labels).unwrap_or(&[]));
    }
    Ok(())
}

/// Converts the logits of a task to scores: by a softmax, by a sigmoid of each, or unchanged for a
/// regression. Returns their number.
///
/// # Errors
/// [`RunError::BufferTooSmall`] when `out` is shorter than the logits.
pub fn probabilities(task: Task, logits: &[i32], fraction_bits: u8, out: &mut [f32]) -> Result<usize, RunError> {
    let (needed, given) = (logits.len(), out.len());
    let out = out.get_mut(..needed).ok_or(RunError::BufferTooSmall { buffer: Buffer::Scores, needed, given })?;
    let unit = libm::ldexpf(1.0, -i32::from(fraction_bits));
    let largest = logits.iter().copied().fold(i32::MIN, i32::max);
    for (out, &logit) in out.iter_mut().zip(logits) {
        *out = match task {
            Task::Regression => logit as f32 * unit,
            Task::MultiLabelClassification | Task::ReplacedToken => 1.0 / (1.0 + libm::expf(-(logit as f32) * unit)),
            _ => libm::expf(-(largest.abs_diff(logit) as f32) * unit),
        };
    }
    if !matches!(task, Task::Regression | Task::MultiLabelClassification | Task::ReplacedToken) {
        let sum: f32 = out.iter().sum();
        out.iter_mut().for_each(|probability| *probability /= sum);
    }
    Ok(needed)
}
