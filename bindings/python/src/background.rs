//! Work on a thread of its own, which Ctrl-C does not have to wait for.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use anyhow::Result;
use pyo3::prelude::*;

use crate::error::{mistake, raise};

/// How long a signal may wait.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// As the first thread of a program has.
const STACK: usize = 8 << 20;

/// Starts a thread; `name` is what debuggers show.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)?;
    Ok(())
}

/// Does long work without Python's lock. A signal ends the wait with an exception: then the flag is
/// set that the work is given, and what the work makes is dropped.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    let started = spawn("kinglet", move || {
        // Nobody waits for what was cancelled.
        _ = sender.send(work(&flag));
    });
    started.map_err(|error| raise(py, &error))?;
    // The receiver is this thread's own, which `detach` does not leave.
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
