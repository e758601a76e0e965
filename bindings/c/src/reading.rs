//! Tokens through the model, and what a session has read as bytes.

use kinglet::{RunError, Session};

use crate::engine::{call, kinglet_engine, number};
use crate::pointers::{slice, slice_mut, tokens, write};
use crate::status::kinglet_status;

/// Runs the encoder over a whole text of `count` tokens. `token_types` are their segments; null for
/// a text of one segment.
///
/// # Safety
/// As of every function with an engine: see kinglet_close. The arrays have `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_encode(
    engine: *mut kinglet_engine,
    ids: *const u32,
    token_types: *const u8,
    count: usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let (ids, types) = tokens(ids, token_types, count)?;
            engine.with(|session, _| Ok(session.encode(ids, types)?))
        })
    }
}

/// The decoder reads `count` more tokens.
///
/// # Safety
/// As of every function with an engine; `ids` points to `count` ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_prefill(engine: *mut kinglet_engine, ids: *const u32, count: usize) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let ids = slice(ids, count)?;
            engine.with(|session, _| Ok(session.prefill(ids)?))
        })
    }
}

/// The decoder reads one token.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_step(engine: *mut kinglet_engine, id: u32) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe { call(engine, |engine| engine.with(|session, _| Ok(session.prefill(&[id])?))) }
}

/// What the head says of the text as a whole, or of the token that comes next: `*count` numbers in
/// fixed point, 65,536 for 1.0. They lie in the engine's memory until its next call.
///
/// # Safety
/// As of every function with an engine; `logits` and `count` point to what they are written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_logits(
    engine: *mut kinglet_engine,
    logits: *mut *const i32,
    count: *mut usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe { tell(engine, logits, count, |session| session.logits()) }
}

/// What the head says of the encoder's token at `position`, as kinglet_logits.
///
/// # Safety
/// As of every function with an engine; `logits` and `count` point to what they are written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_logits_at(
    engine: *mut kinglet_engine,
    position: usize,
    logits: *mut *const i32,
    count: *mut usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe { tell(engine, logits, count, |session| session.logits_at(position)) }
}

/// Tells where the numbers lie that the head has found, and how many they are; null and 0 where it
/// finds none.
///
/// # Safety
/// As of every function with an engine; `logits` and `count` point to what they are written to.
unsafe fn tell(
    engine: *mut kinglet_engine,
    logits: *mut *const i32,
    count: *mut usize,
    find: impl for<'l> FnOnce(&'l mut Session<'_, 'static>) -> Result<&'l [i32], RunError>,
) -> kinglet_status {
    // SAFETY: the caller's.
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

/// Tokens that the decoder has read.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_position(engine: *mut kinglet_engine) -> usize {
    // SAFETY: the caller's.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.position())).unwrap_or(0)) }
}

/// Tokens that the decoder can still read.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_remaining(engine: *mut kinglet_engine) -> usize {
    // SAFETY: the caller's.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.remaining())).unwrap_or(0)) }
}

/// The decoder forgets what it has read. The encoder's output stays.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_reset(engine: *mut kinglet_engine) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            engine.with(|session, _| {
                session.reset();
                Ok(())
            })
        })
    }
}

/// The decoder forgets what it has read from `position` on.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_rewind(engine: *mut kinglet_engine, position: usize) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe { call(engine, |engine| engine.with(|session, _| Ok(session.rewind(position)?))) }
}

/// Bytes of a snapshot of what the session has read.
///
/// # Safety
/// As of every function with an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_snapshot_bytes(engine: *mut kinglet_engine) -> usize {
    // SAFETY: the caller's.
    unsafe { number(engine, |engine| engine.with(|session, _| Ok(session.snapshot_bytes())).unwrap_or(0)) }
}

/// Writes down what the session has read, for kinglet_restore after the power was off; `*written`
/// is how many bytes of `out` it takes.
///
/// # Safety
/// As of every function with an engine; `out` points to `capacity` bytes, `written` to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_snapshot(
    engine: *mut kinglet_engine,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let (out, written) = (slice_mut(out, capacity)?, write(written)?);
            *written = 0;
            *written = engine.with(|session, _| Ok(session.snapshot(out)?))?;
            Ok(())
        })
    }
}

/// Goes on from a snapshot of an engine with this blob and as many tokens. Where the bytes are no
/// such snapshot, the session stays as it was.
///
/// # Safety
/// As of every function with an engine; `snapshot` points to `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_restore(
    engine: *mut kinglet_engine,
    snapshot: *const u8,
    bytes: usize,
) -> kinglet_status {
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let snapshot = slice(snapshot, bytes)?;
            engine.with(|session, _| Ok(session.restore(snapshot)?))
        })
    }
}
