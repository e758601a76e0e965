//! The engine: a model, its tokenizer, and a session that is suspended between calls.

use core::ffi::{c_char, c_void};
use core::fmt::{self, Write};
use core::mem::{align_of, size_of};
use core::ptr;

use kinglet::tokenizer::Tokenizer;
use kinglet::{LoadError, Model, RunError, Session, Suspended, arena_bytes};

use crate::pointers::{slice, slice_mut, write};
use crate::status::{Failure, KINGLET_NO_ENGINE, KINGLET_OK, kinglet_status, meaning};

/// Bytes of an engine, without its session's arena.
pub const KINGLET_ENGINE_BYTES: usize = 4608;

const _: () = assert!(size_of::<kinglet_engine>() <= KINGLET_ENGINE_BYTES && align_of::<kinglet_engine>() <= 16);

/// The value of `kinglet_engine::open` while an engine is open.
const OPEN: u32 = u32::from_le_bytes(*b"KNGE");

/// A model, its tokenizer and a session, in memory that the caller lends. Only one thread at a time
/// may use an engine; different engines are independent.
pub struct kinglet_engine {
    open: u32,
    model: Model<'static>,
    tokenizer: Result<Tokenizer<'static>, LoadError>,
    session: Suspended,
    arena: *mut u8,
    arena_bytes: usize,
    pause: Option<(unsafe extern "C" fn(*mut c_void), Context)>,
    failure: Option<Failure>,
}

/// The context pointer of a callback, which the caller passes to its own function.
#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: the pointer is only passed to the caller's function, in the caller's thread.
unsafe impl Send for Context {}

impl Context {
    fn pointer(self) -> *mut c_void {
        self.0
    }
}

impl kinglet_engine {
    /// The engine that a pointer refers to.
    ///
    /// # Errors
    /// If the pointer is null or misaligned, or the engine is closed.
    ///
    /// # Safety
    /// `engine` is null or a result of [`kinglet_open`]. In the latter case its memory is still
    /// lent, and no other code uses the engine meanwhile.
    pub(crate) unsafe fn of<'a>(engine: *mut Self) -> Result<&'a mut Self, Failure> {
        // SAFETY: guaranteed by the caller; the memory is initialized, because it once was an
        // engine.
        let engine = unsafe { write(engine) }?;
        if engine.open == OPEN { Ok(engine) } else { Err(Failure::Pointer(KINGLET_NO_ENGINE)) }
    }

    pub(crate) fn model(&self) -> &Model<'static> {
        &self.model
    }

    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer<'static>, Failure> {
        self.tokenizer.as_ref().map_err(|error| Failure::from(*error))
    }

    /// A closure that calls the function of [`kinglet_set_pause`], if there is one.
    fn pauses(&self) -> impl FnMut() + Send + use<> {
        let pause = self.pause;
        move || {
            if let Some((pause, context)) = pause {
                // SAFETY: the caller of `kinglet_set_pause` guarantees that this call is valid.
                unsafe { pause(context.pointer()) }
            }
        }
    }

    /// Resumes the session, calls `call` with it, and suspends it again.
    pub(crate) fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Session<'_, 'static>, Result<&Tokenizer<'static>, Failure>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // SAFETY: the arena follows the engine in the memory that the caller lent, and no other
        // reference to it exists.
        let arena = unsafe { slice_mut(self.arena, self.arena_bytes) }?;
        let mut pause = self.pauses();
        let mut session = Session::resume(&self.model, arena, &self.session)?;
        session.set_pause(&mut pause);
        let tokenizer = self.tokenizer.as_ref().map_err(|error| Failure::from(*error));
        let result = call(&mut session, tokenizer);
        self.session = session.suspend();
        result
    }

    /// Stores an error for [`kinglet_error_text`], and returns its status.
    fn keep(&mut self, result: Result<(), Failure>) -> kinglet_status {
        self.failure = result.err();
        self.failure.map_or(KINGLET_OK, Failure::status)
    }
}

/// Calls a function with an engine, stores its error in the engine, and returns the status.
///
/// # Safety
/// The contract of [`kinglet_engine::of`].
pub(crate) unsafe fn call(
    engine: *mut kinglet_engine,
    call: impl FnOnce(&mut kinglet_engine) -> Result<(), Failure>,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    match unsafe { kinglet_engine::of(engine) } {
        Ok(engine) => {
            let result = call(engine);
            engine.keep(result)
        }
        Err(failure) => failure.status(),
    }
}

/// Calls a function with an engine and returns its result, or 0 if there is no open engine.
///
/// # Safety
/// The contract of [`kinglet_engine::of`].
pub(crate) unsafe fn number(engine: *mut kinglet_engine, number: impl FnOnce(&mut kinglet_engine) -> usize) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe { kinglet_engine::of(engine) }.map_or(0, number)
}

/// Bytes of memory that kinglet_open needs for texts of up to `max_tokens` tokens: the engine and
/// its session's arena. Returns SIZE_MAX if `blob` is null or does not begin with a blob's header.
///
/// kinglet export --c writes the arena's size as a constant:
/// KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + STORIES_ARENA_BYTES];
///
/// # Safety
/// `blob` points to `blob_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_memory_bytes(blob: *const u8, blob_bytes: usize, max_tokens: usize) -> usize {
    // SAFETY: guaranteed by the caller.
    let blob = unsafe { slice(blob, blob_bytes) }.unwrap_or(&[]);
    arena_bytes(blob, max_tokens).saturating_add(KINGLET_ENGINE_BYTES)
}

/// Opens a blob of `blob_bytes` bytes: checks all of it, and creates an engine at the beginning of
/// `memory`, for texts of up to `max_tokens` tokens.
///
/// Blob and memory must begin at 16-byte boundaries, and must neither move nor be modified until
/// the engine is closed. If the call fails, `*engine` is null.
///
/// # Safety
/// `blob` points to `blob_bytes` bytes that do not change, `memory` to `memory_bytes` bytes that no
/// other code uses, `engine` to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_open(
    blob: *const u8,
    blob_bytes: usize,
    memory: *mut u8,
    memory_bytes: usize,
    max_tokens: usize,
    engine: *mut *mut kinglet_engine,
) -> kinglet_status {
    let open = || -> Result<(), Failure> {
        // SAFETY: guaranteed by the caller.
        let (blob, memory, engine) =
            unsafe { (slice(blob, blob_bytes)?, slice_mut(memory, memory_bytes)?, write(engine)?) };
        *engine = ptr::null_mut();
        let given = memory.len();
        let needed = arena_bytes(blob, max_tokens).saturating_add(KINGLET_ENGINE_BYTES);
        let (place, arena) =
            memory.split_at_mut_checked(KINGLET_ENGINE_BYTES).ok_or(RunError::ArenaTooSmall { needed, given })?;
        let place = place.as_mut_ptr().cast::<kinglet_engine>();
        if !place.addr().is_multiple_of(16) {
            return Err(RunError::ArenaMisaligned.into());
        }
        let model = Model::from_bytes(blob)?;
        let session = Session::new(&model, arena, max_tokens)?.suspend();
        let tokenizer = Tokenizer::from_bytes(model.tokenizer_section());
        if let Err(error) = tokenizer
            && error != LoadError::NoTokenizer
        {
            return Err(error.into());
        }
        let (arena, arena_bytes) = (arena.as_mut_ptr(), arena.len());
        let made =
            kinglet_engine { open: OPEN, model, tokenizer, session, arena, arena_bytes, pause: None, failure: None };
        // SAFETY: `place` is aligned to 16 bytes, and long enough: see the assertion of the sizes.
        unsafe { place.write(made) };
        *engine = place;
        Ok(())
    };
    open().map_or_else(Failure::status, |()| KINGLET_OK)
}

/// Closes an engine. The caller may then reuse the blob and the memory.
///
/// # Safety
/// `engine` is null or a result of kinglet_open, its memory is still lent, and no other thread uses
/// the engine during the call. Every function that takes an engine has this contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_close(engine: *mut kinglet_engine) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    match unsafe { kinglet_engine::of(engine) } {
        Ok(engine) => {
            engine.open = 0;
            KINGLET_OK
        }
        Err(failure) => failure.status(),
    }
}

/// Writes a description of the error of the last call with this engine to `text`: at most
/// `capacity` bytes, including the terminating zero. Returns the length of the whole description,
/// without the terminating zero.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `text` points to `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_error_text(engine: *mut kinglet_engine, text: *mut c_char, capacity: usize) -> usize {
    /// A buffer for text, which drops the bytes that do not fit but counts them.
    struct Cut<'t> {
        out: &'t mut [u8],
        bytes: usize,
    }
    impl fmt::Write for Cut<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                if let Some(place) = self.out.get_mut(self.bytes) {
                    *place = byte;
                }
                self.bytes = self.bytes.saturating_add(1);
            }
            Ok(())
        }
    }
    // SAFETY: guaranteed by the caller.
    let Ok(out) = (unsafe { slice_mut(text.cast::<u8>(), capacity) }) else { return 0 };
    // SAFETY: guaranteed by the caller.
    let failure = match unsafe { kinglet_engine::of(engine) } {
        Ok(engine) => engine.failure,
        Err(failure) => Some(failure),
    };
    let Some((end, out)) = out.split_last_mut() else { return 0 };
    *end = 0;
    let mut cut = Cut { out, bytes: 0 };
    // `Cut` never returns an error.
    _ = match failure {
        None => cut.write_str(meaning(KINGLET_OK)),
        Some(Failure::Pointer(status)) => cut.write_str(meaning(status)),
        Some(Failure::Runtime(error)) => write!(cut, "{error}"),
    };
    let Cut { out, bytes } = cut;
    if let Some(end) = out.get_mut(bytes) {
        *end = 0;
    }
    bytes
}

/// Registers a function that is called with `context` between any two steps of long calls, for
/// example to feed a watchdog; null removes it. The function must not use the engine.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `pause` can be called with `context` until it is
/// replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_set_pause(
    engine: *mut kinglet_engine,
    pause: Option<unsafe extern "C" fn(context: *mut c_void)>,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            engine.pause = pause.map(|pause| (pause, Context(context)));
            Ok(())
        })
    }
}

/// Runs the blob's golden vectors in the engine's arena, and compares the results with the bits
/// that the converter computed. The session forgets what it has read.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_self_test(engine: *mut kinglet_engine) -> kinglet_status {
    // SAFETY: guaranteed by the caller; the arena follows the engine in the memory that it lent.
    unsafe {
        call(engine, |engine| {
            engine.with(|session, _| {
                session.reset();
                Ok(())
            })?;
            let arena = slice_mut(engine.arena, engine.arena_bytes)?;
            Ok(engine.model.self_test_with(arena, &mut engine.pauses())?)
        })
    }
}
