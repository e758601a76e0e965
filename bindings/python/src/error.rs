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
    "What is wrong, and what to do about it.\n\n`code` is the number of the error in `docs/errors.md`, or `None` where the error is not the runtime's."
);

/// The exception of an error, with the runtime's code where the runtime is the cause.
pub(crate) fn raise(py: Python<'_>, error: &anyhow::Error) -> PyErr {
    let code = error.chain().find_map(|cause| {
        let run = cause.downcast_ref::<RunError>().map(RunError::code);
        run.or_else(|| cause.downcast_ref::<LoadError>().map(LoadError::code))
    });
    let raised = Error::new_err(format!("{error:#}"));
    raised.value(py).setattr("code", code).err().unwrap_or(raised)
}

/// What a thread that panicked leaves behind.
pub(crate) fn mistake() -> anyhow::Error {
    anyhow!("the call ended without a result\nthis is a mistake in Kinglet: please report it")
}
