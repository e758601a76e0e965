//! Prints answers, for people or as JSON, and notes.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Number, Value};

/// Whether to print only answers, warnings and errors.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses notes and progress bars.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes and progress bars are suppressed.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A progress bar of `steps` steps on standard error.
pub(crate) fn bar(steps: usize) -> ProgressBar {
    if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(steps as u64) }
}

/// A progress bar of `steps` steps, for a command that prints an answer at each step. There is none
/// for a single answer, nor on a terminal, where the answers show the progress.
pub(crate) fn bar_beside_answers(steps: usize) -> ProgressBar {
    if steps < 2 || io::stdout().is_terminal() { ProgressBar::hidden() } else { bar(steps) }
}

/// A progress bar on standard error, for work in several phases.
pub(crate) struct Phases(ProgressBar);

impl Phases {
    /// Begins with a phase of unknown length.
    pub(crate) fn begin(name: &'static str) -> Self {
        // Without a terminal nobody sees the spinner, and its thread is not started: WebAssembly
        // has no threads.
        if is_quiet() || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar.with_message(name))
    }

    /// Begins a phase of unknown length.
    pub(crate) fn next(&self, name: &'static str) {
        self.0.set_style(ProgressStyle::default_spinner());
        self.0.set_message(name);
    }

    /// Begins a phase of `steps` steps.
    pub(crate) fn next_of(&self, name: &'static str, steps: usize) {
        let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}");
        self.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_length(steps as u64);
        self.0.set_position(0);
        self.0.set_message(name);
    }

    /// Counts a step.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}

/// Prints one JSON object on a line.
pub(crate) fn json(answer: &impl Serialize) -> Result<()> {
    let mut answer = serde_json::to_value(answer)?;
    shorten(&mut answer);
    line(&answer.to_string())
}

/// Gives single-precision numbers their shortest digits: 0.1, which as a double would be
/// 0.10000000149011612.
fn shorten(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let single = number.as_f64().map(|double| (double, double as f32));
            let short = single.filter(|(double, single)| f64::from(*single) == *double);
            let short = short.and_then(|(_, single)| Number::from_f64(single.to_string().parse().ok()?));
            *number = short.unwrap_or_else(|| number.clone());
        }
        Value::Array(list) => list.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// Prints one line. Exits without an error if the reader, such as `head`, has closed the pipe.
pub(crate) fn line(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.context("standard output cannot be written\nfree space on its device, or redirect it"),
    }
}

/// Prints a note on standard error about a choice that was made for the user.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        say(&format!("note: {text}"));
    }
}

/// Prints a line on standard error. A failure is ignored, because there is nowhere to report it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Joins values with a separator.
pub(crate) fn join<T: ToString>(values: &[T], separator: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_the_digits_that_they_have() {
        let double = 0.1_f64 + 0.2;
        let mut value = json!({ "single": [0.1_f32, 1e-7_f32, f32::MAX, -2.5_f32], "double": double, "count": 3 });
        shorten(&mut value);
        let single = [0.1, 1e-7, 3.4028235e38, -2.5];
        assert_eq!(value, json!({ "single": single, "double": double, "count": 3 }));
        assert!(value["single"].as_array().is_some_and(|list| {
            list.iter().zip([0.1, 1e-7, f32::MAX, -2.5]).all(|(value, x)| value.as_f64().is_some_and(|y| y as f32 == x))
        }));
    }
}
