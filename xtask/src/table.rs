//! Tables for pages of the project.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::cargo::root;
use crate::emulate::Measured;

/// The table for docs/boards.md.
pub(crate) fn of_cores(rows: &[(&str, BTreeMap<&str, Measured>)]) -> String {
    let mut table = String::from(
        "| core | instructions: a story's token | a sentence classified | a sentence to a command | `generate`: code | model and tables | static RAM | stack | `classify`: code |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (core, examples) in rows {
        let value = |example: &str, what: &str| examples[example].values.get(what).copied().unwrap_or(0);
        let generate = &examples["generate"];
        _ = writeln!(
            table,
            "| {core} | {} | {} | {} | {} | {} | {} | {} | {} |",
            grouped(value("generate", "instructions a token")),
            grouped(value("classify", "instructions a sentence")),
            grouped(value("command", "instructions a sentence")),
            grouped(generate.code),
            grouped(generate.model),
            grouped(generate.memory),
            grouped(value("generate", "bytes of stack")),
            grouped(examples["classify"].code),
        );
    }
    table
}

/// A number with commas.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let first = digits.len() % 3;
    let parts = [&digits[..first]].into_iter().filter(|part| !part.is_empty());
    let parts = parts.chain(digits.as_bytes()[first..].chunks(3).filter_map(|part| core::str::from_utf8(part).ok()));
    parts.collect::<Vec<_>>().join(",")
}

/// Puts a table between its marks in a file of the project.
pub(crate) fn write(file: &str, name: &str, table: &str) -> Result<()> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let path = root().join(file);
    let text = fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(&start).with_context(|| format!("{file} has no place for the table"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the table in {file} has no end"))?;
    fs::write(path, format!("{before}{start}{table}{end}{after}"))?;
    Ok(())
}
