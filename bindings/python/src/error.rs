//! Errors of both crates as one exception.

use anyhow::anyhow;
use kinglet::{LoadError, RunError};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    kinglet,
    Error,
    PyException,
    "An error of the converter or the runtime. The message states the problem and its remedy.\n\n`code` is the error's number in `docs/errors.md`, or `None` if it is not an error of the runtime."
);

/// Converts an error to an exception, with a code if the runtime is the cause.
pub(crate) fn raise(py: Python<'_>, error: &anyhow::Error) -> PyErr {
    let code = error.chain().find_map(|cause| {
        let run = cause.downcast_ref::<RunError>().map(RunError::code);
        run.or_else(|| cause.downcast_ref::<LoadError>().map(LoadError::code))
    });
    let raised = Error::new_err(format!("{error:#}"));
    raised.value(py).setattr("code", code).err().unwrap_or(raised)
}

/// The error of a thread that ended without a result, because it panicked.
pub(crate) fn mistake() -> anyhow::Error {
    anyhow!("the call ended without a result\nthis is a mistake in Kinglet: please report it")
}
