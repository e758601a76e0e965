//! What a call returns.

use kinglet::Error;

/// What a call returns: KINGLET_OK, one of the numbers below for a pointer that cannot be used, or
/// the number of an error of the runtime, which docs/errors.md lists: from 100 on for a blob that
/// cannot be read, from 200 on for a model that is used in a way that it cannot be.
/// kinglet_error_text says more, with the numbers that a person needs to put it right.
pub type kinglet_status = i32;

/// The call did what it says.
pub const KINGLET_OK: kinglet_status = 0;
/// A pointer is null that must not be.
pub const KINGLET_NULL_POINTER: kinglet_status = 1;
/// A pointer is not at the boundary that its type needs.
pub const KINGLET_MISALIGNED_POINTER: kinglet_status = 2;
/// A text is not UTF-8.
pub const KINGLET_NOT_UTF8: kinglet_status = 3;
/// The engine was closed, or never opened.
pub const KINGLET_NO_ENGINE: kinglet_status = 4;

/// Why a call ends early: one of the constants here, or an error of the runtime.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    Pointer(kinglet_status),
    Runtime(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Runtime(error.into())
    }
}

impl Failure {
    pub(crate) fn status(self) -> kinglet_status {
        match self {
            Self::Pointer(status) => status,
            Self::Runtime(error) => error.code().into(),
        }
    }
}

/// What the constants mean, for a person.
pub(crate) fn meaning(status: kinglet_status) -> &'static str {
    match status {
        KINGLET_OK => "there was no error",
        KINGLET_NULL_POINTER => "a pointer is null that must not be",
        KINGLET_MISALIGNED_POINTER => "a pointer is not at the boundary that its type needs",
        KINGLET_NOT_UTF8 => "a text is not UTF-8",
        _ => "the engine was closed, or never opened",
    }
}
