//! What people use a model for: labels, answers, sentence vectors, masks, likelihood.

use core::ffi::{c_char, c_void};

use kinglet::task;

use crate::engine::{call, kinglet_engine};
use crate::pointers::{slice, slice_mut, tokens, write};
use crate::status::kinglet_status;

/// Takes the scores of all labels for the token at `position`.
pub type kinglet_take_scores =
    Option<unsafe extern "C" fn(context: *mut c_void, position: usize, scores: *const f32, count: usize)>;

/// Takes the logits at the mask at `position`.
pub type kinglet_take_logits =
    Option<unsafe extern "C" fn(context: *mut c_void, position: usize, logits: *const i32, count: usize)>;

/// Takes the log-probability of the token at `position`, in nats.
pub type kinglet_take_score = Option<unsafe extern "C" fn(context: *mut c_void, position: usize, log_probability: f32)>;

/// An answer: the tokens of the context that it spans.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct kinglet_span {
    /// Whether there is an answer: none may be likelier than any.
    pub found: bool,
    /// Its first token.
    pub start: usize,
    /// Its last token.
    pub end: usize,
    /// Start and end logit together, in fixed point.
    pub score: i32,
    /// The score of no answer at all.
    pub none: i32,
}

/// Scores of all labels for a text, in the order of the labels: probabilities, or plain numbers of
/// a regression. `*labels` is how many.
///
/// # Safety
/// As of every function with an engine: see kinglet_close. The arrays have `count` elements, null
/// for no types; `scores` points to `capacity` numbers, `labels` to one.
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
    // SAFETY: the caller's.
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

/// Scores of all labels for each token of a text, which `each` takes. `scores` is memory for them.
///
/// # Safety
/// As kinglet_classify; `each` can be called with `context`, and must not use the engine.
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
    // SAFETY: the caller's.
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

/// The text of label `index`, which no zero ends: `*label` points into the blob.
///
/// # Safety
/// As of every function with an engine; `label` and `bytes` point to what they are written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_label(
    engine: *mut kinglet_engine,
    index: usize,
    label: *mut *const c_char,
    bytes: *mut usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let found = engine.model().labels().nth(index).unwrap_or("");
            (*write(label)?, *write(bytes)?) = (found.as_ptr().cast(), found.len());
            Ok(())
        })
    }
}

/// One vector for a text, of unit length where the model says so. `*width` is how many numbers.
///
/// # Safety
/// As kinglet_classify.
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
    // SAFETY: the caller's.
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

/// Finds the best answer of at most `max_tokens` tokens in the tokens from `context_start` to
/// before `context_end`. `scratch` is memory for two numbers for each of these.
///
/// # Safety
/// As of every function with an engine; the arrays have `count` elements, `scratch` has twice
/// `scratch_pairs`, `span` points to what is written.
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
    // SAFETY: the caller's.
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

/// Guesses the tokens at each place of `mask` in a text: `each` takes the logits.
///
/// # Safety
/// As kinglet_tag.
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
    // SAFETY: the caller's.
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

/// How likely a text is: `each` takes the log-probability of every token but the first.
///
/// # Safety
/// As kinglet_tag.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_score(
    engine: *mut kinglet_engine,
    ids: *const u32,
    count: usize,
    each: kinglet_take_score,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: the caller's.
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
