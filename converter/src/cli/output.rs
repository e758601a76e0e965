//! How answers are printed: for people, or as JSON.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

/// Prints one JSON object on a line.
pub(crate) fn json(answer: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string(answer)?)
}

/// Prints one line. A reader who has seen enough, such as `head`, is no error.
pub(crate) fn line(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// Says on standard error what was decided for the user.
pub(crate) fn note(text: &str) {
    eprintln!("note: {text}");
}

/// A list as people write one.
pub(crate) fn join<T: ToString>(values: &[T], separator: &str) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
