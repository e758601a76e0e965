//! Runs tokens through the model; saves and restores the session's state.

use kinglet::{RunError, Session};

use crate::engine::{call, kinglet_engine, number};
use crate::pointers::{slice, slice_mut, tokens, write};
use crate::status::kinglet_status;

/// Runs the encoder on a whole text of `count` tokens. `token_types` has the segment of each token;
/// it may be null for a single segment.
///
/// # Safety
/// The contract of kinglet_close for `engine`. The arrays have `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_encode(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            engine.with(|session, _| Ok(session.encode(ids, types)?))
        })
    }
}

/// Lets the decoder read `count` more tokens.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `ids` points to `count` ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_prefill(engine: *mut kinglet_engine, ids: *const u32, count: usize) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let ids = slice(ids, count)?;
            engine.with(|session, _| Ok(session.prefill(ids)?))
        })
    }
}

/// Lets the decoder read one token.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_step(engine: *mut kinglet_engine, id: u32) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe { call(engine, |engine| engine.with(|session, _| Ok(session.prefill(&[id])?))) }
}

/// The head's logits for the whole text, or for the next token: `*count` numbers in fixed point,
/// 65,536 for 1.0. They are in the engine's memory, and valid until the next call with it.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `logits` and `count` point to values of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_logits(
    engine: *mut kinglet_engine,
    logits: *mut *const i32,
    count: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe { tell(engine, logits, count, |session| session.logits()) }
}

/// The head's logits for the encoder's token at `position`, in the form of kinglet_logits.
///
/// # Safety
/// The contract of kinglet_logits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_logits_at(
    engine: *mut kinglet_engine,
    position: usize,
    logits: *mut *const i32,
    count: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe { tell(engine, logits, count, |session| session.logits_at(position)) }
}

/// Writes the address and the number of the logits that `find` returns, or null and 0 on an error.
///
/// # Safety
/// The contract of [`kinglet_logits`].
unsafe fn tell(
    engine: *mut kinglet_engine,
    logits: *mut *const i32,
    count: *mut usize,
    find: impl for<'l> FnOnce(&'l mut Session<'_, 'static>) -> Result<&'l [i32], RunError>,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (logits, count) = (write(logits)?, write(count)?);
            (*logits, *count) = (core::ptr::null(), 0);
            (*logits, *count) = engine.with(|session, _| {
                let found = find(session)?;
                Ok((found.as_ptr(), found.len()))
            })?;
            Ok(())
        })
    }
}

/// The number of tokens that the decoder has read.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_position(engine: *mut kinglet_engine) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.position())).unwrap_or(0)) }
}

/// The number of tokens that the decoder can still read.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_remaining(engine: *mut kinglet_engine) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.remaining())).unwrap_or(0)) }
}

/// Makes the decoder forget all tokens. The encoder's output is kept.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_reset(engine: *mut kinglet_engine) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            engine.with(|session, _| {
                session.reset();
                Ok(())
            })
        })
    }
}

/// Makes the decoder forget the tokens from `position` on.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_rewind(engine: *mut kinglet_engine, position: usize) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe { call(engine, |engine| engine.with(|session, _| Ok(session.rewind(position)?))) }
}

/// The size in bytes of a snapshot of the session's state.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_snapshot_bytes(engine: *mut kinglet_engine) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.snapshot_bytes())).unwrap_or(0)) }
}

/// Writes a snapshot of the session's state to `out`, for kinglet_restore after a restart. Writes
/// its size to `*written`.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `out` points to `capacity` bytes, `written` to a
/// number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_snapshot(
    engine: *mut kinglet_engine,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (out, written) = (slice_mut(out, capacity)?, write(written)?);
            *written = 0;
            *written = engine.with(|session, _| Ok(session.snapshot(out)?))?;
            Ok(())
        })
    }
}

/// Restores a snapshot of an engine with this blob and this `max_tokens`. If the bytes are not such
/// a snapshot, the session's state does not change.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `snapshot` points to `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_restore(
    engine: *mut kinglet_engine,
    snapshot: *const u8,
    bytes: usize,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let snapshot = slice(snapshot, bytes)?;
            engine.with(|session, _| Ok(session.restore(snapshot)?))
        })
    }
}
