//! Tasks: labels, answers, sentence vectors, masked tokens, likelihoods.

use core::ffi::{c_char, c_void};

use kinglet::task;

use crate::engine::{call, kinglet_engine};
use crate::pointers::{slice, slice_mut, tokens, write};
use crate::status::kinglet_status;

/// Receives the scores of all labels for the token at `position`.
pub type kinglet_take_scores =
    Option<unsafe extern "C" fn(context: *mut c_void, position: usize, scores: *const f32, count: usize)>;

/// Receives the logits of the mask token at `position`.
pub type kinglet_take_logits =
    Option<unsafe extern "C" fn(context: *mut c_void, position: usize, logits: *const i32, count: usize)>;

/// Receives the log-probability of the token at `position`, in nats.
pub type kinglet_take_score = Option<unsafe extern "C" fn(context: *mut c_void, position: usize, log_probability: f32)>;

/// An answer, as a span of tokens of the context.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct kinglet_span {
    /// Whether an answer is likelier than none.
    pub found: bool,
    /// The position of the answer's first token.
    pub start: usize,
    /// The position of the answer's last token.
    pub end: usize,
    /// The sum of the start and end logits, in fixed point.
    pub score: i32,
    /// The score of "no answer".
    pub none: i32,
}

/// Computes the scores of all labels for a text, in the order of the labels: probabilities, or the
/// numbers of a regression. Writes the number of labels to `*labels`.
///
/// # Safety
/// The contract of kinglet_close for `engine`. `ids` and `token_types` have `count` elements, and
/// `token_types` may be null; `scores` points to `capacity` numbers, `labels` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_classify(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
    scores: *mut f32,
    capacity: usize,
    labels: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            let (scores, labels) = (slice_mut(scores, capacity)?, write(labels)?);
            *labels = 0;
            *labels = engine.with(|session, _| Ok(task::classify(session, ids, types, scores)?))?;
            Ok(())
        })
    }
}

/// Computes the scores of all labels for each token of a text, and passes them to `each`. `scores`
/// is memory for the scores of one token.
///
/// # Safety
/// The contract of kinglet_classify; `each` can be called with `context`, and must not use the
/// engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_tag(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
    scores: *mut f32,
    capacity: usize,
    each: kinglet_take_scores,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            let scores = slice_mut(scores, capacity)?;
            engine.with(|session, _| {
                task::tag(session, ids, types, scores, |position, scores| {
                    if let Some(each) = each {
                        each(context, position, scores.as_ptr(), scores.len());
                    }
                })?;
                Ok(())
            })
        })
    }
}

/// Points `*label` to the text of label `index` in the blob, without a terminating zero, and writes
/// its length to `*bytes`. The text is empty if the model has no such label.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `label` and `bytes` point to values of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_label(
    engine: *mut kinglet_engine,
    index: usize,
    label: *mut *const c_char,
    bytes: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let found = engine.model().labels().nth(index).unwrap_or("");
            (*write(label)?, *write(bytes)?) = (found.as_ptr().cast(), found.len());
            Ok(())
        })
    }
}

/// Computes the vector of a text, with unit length if the model normalizes. Writes the number of
/// its elements to `*width`.
///
/// # Safety
/// The contract of kinglet_classify.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_embed(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
    vector: *mut f32,
    capacity: usize,
    width: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            let (vector, width) = (slice_mut(vector, capacity)?, write(width)?);
            *width = 0;
            *width = engine.with(|session, _| Ok(task::embed(session, ids, types, vector)?))?;
            Ok(())
        })
    }
}

/// Finds the best answer of at most `max_tokens` tokens in the context, which is the tokens from
/// `context_start` to before `context_end`. `scratch` has room for a pair of numbers per token of
/// the context.
///
/// # Safety
/// The contract of kinglet_classify for `ids` and `token_types`; `scratch` has `2 * scratch_pairs`
/// elements, and `span` points to a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_answer(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
    context_start: usize,
    context_end: usize,
    max_tokens: usize,
    scratch: *mut i32,
    scratch_pairs: usize,
    span: *mut kinglet_span,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            let (scratch, span) = (slice_mut(scratch.cast::<[i32; 2]>(), scratch_pairs)?, write(span)?);
            *span = kinglet_span::default();
            let context = context_start..context_end;
            let answer =
                engine.with(|session, _| Ok(task::answer(session, ids, types, context, max_tokens, scratch)?))?;
            let task::Answer { start, end, score, none } = answer;
            *span = kinglet_span { found: answer.span().is_some(), start, end, score, none };
            Ok(())
        })
    }
}

/// Computes the logits at each occurrence of the token `mask` in a text, and passes them to `each`.
///
/// # Safety
/// The contract of kinglet_tag.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_fill_mask(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
    mask: u32,
    each: kinglet_take_logits,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            engine.with(|session, _| {
                task::fill_mask(session, ids, types, mask, |position, logits| {
                    if let Some(each) = each {
                        each(context, position, logits.as_ptr(), logits.len());
                    }
                })?;
                Ok(())
            })
        })
    }
}

/// Computes the log-probability of every token of a text but the first, and passes it to `each`.
///
/// # Safety
/// The contract of kinglet_tag.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_score(
    engine: *mut kinglet_engine,
    ids: *const u32,
    count: usize,
    each: kinglet_take_score,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let ids = slice(ids, count)?;
            engine.with(|session, _| {
                task::score(session, ids, |position, probability| {
                    if let Some(each) = each {
                        each(context, position, probability);
                    }
                })?;
                Ok(())
            })
        })
    }
}
