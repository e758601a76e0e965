//! Status codes.

use kinglet::Error;

/// The result of a call: KINGLET_OK, one of the numbers below for an invalid argument, or the code
/// of a runtime error as listed in docs/errors.md: 100 and above for a blob that cannot be read,
/// 200 and above for an invalid use of a model. kinglet_error_text describes the error in detail.
pub type kinglet_status = i32;

/// The call succeeded.
pub const KINGLET_OK: kinglet_status = 0;
/// A pointer is null although it must not be.
pub const KINGLET_NULL_POINTER: kinglet_status = 1;
/// A pointer is not aligned for its type.
pub const KINGLET_MISALIGNED_POINTER: kinglet_status = 2;
/// A text is not UTF-8.
pub const KINGLET_NOT_UTF8: kinglet_status = 3;
/// The engine was closed, or never opened.
pub const KINGLET_NO_ENGINE: kinglet_status = 4;

/// The error of a call: one of the constants of this module, or an error of the runtime.
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

/// The text of a status for `kinglet_error_text`.
pub(crate) fn meaning(status: kinglet_status) -> &'static str {
    match status {
        KINGLET_OK => "there was no error",
        KINGLET_NULL_POINTER => "a pointer is null that must not be",
        KINGLET_MISALIGNED_POINTER => "a pointer is not at the boundary that its type needs",
        KINGLET_NOT_UTF8 => "a text is not UTF-8",
        _ => "the engine was closed, or never opened",
    }
}
