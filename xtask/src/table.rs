//! Tables for pages of the project.

use core::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::cargo::root;
use crate::counts::Counted;
use crate::machines::CORES;

/// The table for docs/boards.md.
pub(crate) fn of_cores(counted: &Counted) -> String {
    const COLUMNS: [(&str, &str); 8] = [
        ("generate", "instructions a token"),
        ("classify", "instructions a sentence"),
        ("command", "instructions a sentence"),
        ("generate", "bytes of code"),
        ("generate", "bytes of constants"),
        ("generate", "bytes of static memory"),
        ("generate", "bytes of stack"),
        ("classify", "bytes of code"),
    ];
    let mut table = String::from(
        "| core | instructions: a story's token | a sentence classified | a sentence to a command | `generate`: code | model and tables | static RAM | stack | `classify`: code |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for core in &CORES {
        let figure =
            |(program, what): (&str, &str)| counted.get(core.name, program, what).map_or_else(String::new, grouped);
        _ = writeln!(table, "| {} | {} |", core.name, COLUMNS.map(figure).join(" | "));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_boards_has_what_was_counted() {
        let page = fs::read_to_string(root().join("docs/boards.md")).expect("it is there").replace("\r\n", "\n");
        let table = of_cores(&Counted::read().expect("it is there"));
        assert!(page.contains(&table), "docs/boards.md is not made from converter/src/fit/counts.json");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
