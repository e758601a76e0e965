//! Runs long work on its own thread, so that Ctrl-C can interrupt it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use anyhow::Result;
use pyo3::prelude::*;

use crate::error::{mistake, raise};

/// The interval at which Python's signals are checked.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// The stack size of a thread, equal to that of a program's main thread on Linux.
const STACK: usize = 8 << 20;

/// Starts a thread; debuggers show its `name`.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)?;
    Ok(())
}

/// Runs long work without holding Python's global interpreter lock. A signal raises an exception in
/// the caller; the flag passed to `work` is then set, and the result of `work` is dropped.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    let started = spawn("kinglet", move || {
        // After a cancellation there is no receiver.
        _ = sender.send(work(&flag));
    });
    started.map_err(|error| raise(py, &error))?;
    // `detach` requires `Sync`; the closure runs on this thread.
    let receiver = Mutex::new(receiver);
    loop {
        let received = py.detach(|| receiver.lock().ok().map(|receiver| receiver.recv_timeout(PATIENCE)));
        match received {
            Some(Ok(result)) => return result.map_err(|error| raise(py, &error)),
            Some(Err(mpsc::RecvTimeoutError::Timeout)) => {
                if let Err(signal) = py.check_signals() {
                    cancelled.store(true, Ordering::Relaxed);
                    return Err(signal);
                }
            }
            _ => return Err(raise(py, &mistake())),
        }
    }
}
