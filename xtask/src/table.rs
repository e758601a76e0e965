//! Tables for pages in `docs/`.

use core::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::cargo::root;
use crate::counts::Counted;
use crate::machines::CORES;

/// The table of measurements per core in docs/boards.md.
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
        "| core | instructions: a token of a story | classifying a sentence | translating a sentence to a command | `generate`: code | model and tables | static RAM | stack | `classify`: code |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for core in &CORES {
        let figure =
            |(program, what): (&str, &str)| counted.get(core.name, program, what).map_or_else(String::new, grouped);
        _ = writeln!(table, "| {} | {} |", core.name, COLUMNS.map(figure).join(" | "));
    }
    table
}

/// The calls whose stack use is listed in docs/boards.md and by `kinglet inspect`.
pub(crate) const CALLS: [&str; 10] = [
    "Model::from_bytes",
    "Model::from_bytes, and the model",
    "Tokenizer::from_bytes",
    "Tokenizer::from_bytes, and the tokenizer",
    "Model::self_test",
    "Tokenizer::encode",
    "MemoryPlan::standard",
    "Session::with_plan",
    "Session::prefill or encode",
    "Session::logits",
];

/// The table of stack use in docs/boards.md.
pub(crate) fn of_calls(counted: &Counted) -> String {
    let names: Vec<&str> = CORES.iter().map(|core| core.name).collect();
    let mut table = format!("| bytes of stack | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for call in CALLS {
        let what = format!("bytes of stack, {call}");
        let figures = names.iter().map(|core| counted.get(core, "calls", &what).map_or_else(String::new, grouped));
        _ = writeln!(table, "| `{call}` | {} |", figures.collect::<Vec<_>>().join(" | "));
    }
    table.replace(", and the model`", "`, and the model").replace(", and the tokenizer`", "`, and the tokenizer")
}

/// The table of the C library's samples for bindings/c/README.md, beside the examples in Rust.
pub(crate) fn of_c(counted: &Counted) -> String {
    const PROGRAMS: [(&str, &str); 2] = [("intents.c", "classify"), ("story.c", "generate")];
    let mut table = String::from(
        "| bytes | core | code in C | in Rust | constants in C | in Rust | static RAM in C | in Rust |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (sample, example) in PROGRAMS {
        for core in CORES.iter().filter(|core| counted.get(core.name, sample, "bytes of code").is_some()) {
            let figure = |program, what| counted.get(core.name, program, what).map_or_else(String::new, grouped);
            let cells = ["bytes of code", "bytes of constants", "bytes of static memory"]
                .map(|what| [figure(sample, what), figure(example, what)].join(" | "));
            _ = writeln!(table, "| `{sample}`, `{example}` | {} | {} |", core.name, cells.join(" | "));
        }
    }
    table
}

/// The beginning of the names of the longest steps' counts.
const LONGEST: &str = "instructions of the longest step, ";

/// The table of longest steps for docs/boards.md.
pub(crate) fn of_steps(counted: &Counted) -> String {
    let names: Vec<&str> = CORES.iter().map(|core| core.name).collect();
    let mut table =
        format!("| instructions of the longest step | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for call in counted.whats("M4F", "steps").filter_map(|what| what.strip_prefix(LONGEST)) {
        let what = format!("{LONGEST}{call}");
        let figures = names.iter().map(|core| counted.get(core, "steps", &what).map_or_else(String::new, grouped));
        let (name, of) = call.split_once(", ").map_or((call, String::new()), |(name, of)| (name, format!(", {of}")));
        _ = writeln!(table, "| `{name}`{of} | {} |", figures.collect::<Vec<_>>().join(" | "));
    }
    table
}

/// Formats a number with commas.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let first = digits.len() % 3;
    let parts = [&digits[..first]].into_iter().filter(|part| !part.is_empty());
    let parts = parts.chain(digits.as_bytes()[first..].chunks(3).filter_map(|part| core::str::from_utf8(part).ok()));
    parts.collect::<Vec<_>>().join(",")
}

/// Replaces the table between two marks in a file of the project.
pub(crate) fn write(file: &str, name: &str, table: &str) -> Result<()> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let path = root().join(file);
    let text = fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(&start).with_context(|| format!("{file} has no mark for the table"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the table in {file} has no end mark"))?;
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
        assert!(page.contains(&table), "docs/boards.md is not made from the counts");
        let calls = of_calls(&Counted::read().expect("it is there"));
        assert!(page.contains(&calls), "docs/boards.md is not made from the counts:\n{calls}");
        let steps = of_steps(&Counted::read().expect("it is there"));
        assert!(page.contains(&steps), "docs/boards.md is not made from the counts:\n{steps}");
    }

    #[test]
    fn no_step_of_a_model_that_ships_is_longer_than_a_deadline_on_a_cortex_m4() {
        /// A millisecond at 150 MHz.
        const DEADLINE: u64 = 150_000;
        let counted = Counted::read().expect("it is there");
        let steps: Vec<_> = counted.whats("M4F", "steps").filter(|what| what.starts_with(LONGEST)).collect();
        assert!(steps.len() > 10, "{steps:?}");
        for what in steps {
            let longest = counted.get("M4F", "steps", what).expect("it is counted");
            assert!(longest <= DEADLINE, "{what}: {longest}");
        }
    }

    #[test]
    fn the_page_of_the_c_library_has_what_was_counted() {
        let page = fs::read_to_string(root().join("bindings/c/README.md")).expect("it is there").replace("\r\n", "\n");
        let table = of_c(&Counted::read().expect("it is there"));
        assert!(page.contains(&table), "bindings/c/README.md is not made from the counts:\n{table}");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
