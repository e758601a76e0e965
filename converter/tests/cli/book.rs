//! Checks the book in `docs/`: its commands run, they print the output that it shows, and its links
//! resolve.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A block of a page between two fences.
struct Block {
    language: String,
    text: String,
}

/// The fenced blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
        blocks.push(Block { language: language.to_owned(), text: inside.join("\n") });
    }
    blocks
}

/// A page without fenced blocks and inline code.
fn prose(page: &str) -> String {
    let mut open = false;
    let outside = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        open ^= fence;
        !open && !fence && !line.starts_with("    ")
    });
    let text: Vec<&str> = outside.collect();
    text.join("\n").split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The pages of a folder and of its subfolders.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Splits a command into words, with quotes and comments as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for character in line.chars() {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            '#' if !quoted && !begun => break,
            ' ' if !quoted => {
                if begun {
                    words.push(core::mem::take(&mut word));
                }
                begun = false;
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Runs a command of the book in a folder, or checks the parts of it that can be checked here.
/// Returns its output.
fn run(line: &str, folder: &Path) -> String {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["kinglet", arguments @ ..] => {
            let output = Command::new(env!("CARGO_BIN_EXE_kinglet")).args(arguments).current_dir(folder).output();
            let output = output.expect("kinglet runs");
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        }
        ["openssl", arguments @ ..] => {
            let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        }
        // A task of `xtask` is a variant of its command line.
        ["cargo", "xtask", task, ..] => {
            let tasks = fs::read_to_string(Path::new(ROOT).join("xtask/src/main.rs")).expect("xtask");
            assert!(tasks.contains(&format!("Task::{}{}", task[..1].to_uppercase(), &task[1..])), "{line}");
            String::new()
        }
        ["cargo", "install", "--path", path] => {
            assert!(Path::new(ROOT).join(path).join("Cargo.toml").exists(), "{line}");
            String::new()
        }
        ["pip", "install", rest @ ..] | ["python", rest @ ..] => {
            for path in rest.iter().filter(|word| word.contains('/')) {
                assert!(Path::new(ROOT).join(path).exists(), "{line}: there is no {path}");
            }
            // Nothing is trained here: a classifier that ships stands in for the one that the script would write.
            if let Some(out) = rest.iter().skip_while(|word| **word != "--out").nth(1) {
                let trained = fs::canonicalize(Path::new(ROOT).join("models/home/intent")).expect("it ships");
                std::os::unix::fs::symlink(trained, folder.join(out)).expect("a link");
            }
            String::new()
        }
        _ => panic!("no rule says how to check `{line}`"),
    }
}

#[test]
fn every_command_of_the_book_runs_and_prints_what_is_said() {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).expect("the summary");
    let (mut commands, mut printed) = (0, 0);
    for (chapter, _) in links(&summary) {
        let page = fs::read_to_string(Path::new(ROOT).join("docs").join(&chapter)).expect("a chapter");
        let folder = TempDir::new().expect("a folder");
        for name in ["models", "firmware-examples", "tests"] {
            let from = fs::canonicalize(Path::new(ROOT).join(name)).expect("it is there");
            std::os::unix::fs::symlink(from, folder.path().join(name)).expect("a link");
        }
        for line in page.lines().filter(|line| line.starts_with("    kinglet ")) {
            // Tests with a server of their own download models of the Hub.
            assert!(line.contains(" org/name"), "{chapter}: `{}` is not in a block `sh`", line.trim());
        }
        let mut last = String::new();
        for block in blocks(&page) {
            match block.language.as_str() {
                "sh" => {
                    last.clear();
                    for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
                        last.push_str(&run(line, folder.path()));
                        commands += 1;
                    }
                }
                "text" if !last.is_empty() => {
                    for line in block.text.lines() {
                        assert!(last.contains(line), "{chapter} says that it prints {line:?}, but it prints:\n{last}");
                        printed += 1;
                    }
                }
                _ => {}
            }
        }
    }
    assert!(commands > 25 && printed > 0, "{commands} commands, {printed} lines of output");
}

/// The targets and the texts of a page's links.
fn links(page: &str) -> Vec<(String, String)> {
    let mut links = Vec::new();
    for (at, _) in page.match_indices("](") {
        let Some((place, _)) = page[at + 2..].split_once(')') else { continue };
        let text = page[..at].rsplit('[').next().unwrap_or_default();
        links.push((place.to_owned(), text.to_owned()));
    }
    links
}

/// The anchors of a page's headings, as GitHub and mdBook generate them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    let root = Path::new(ROOT);
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "firmware-examples/README.md"];
    let more = ["firmware-examples/browser/README.md", "bindings/c/README.md", "bindings/python/README.md"];
    let outside = others.into_iter().chain(more).map(|name| root.join(name));
    for path in pages(&root.join("docs")).into_iter().chain(outside) {
        let page = fs::read_to_string(&path).expect("a page");
        for (place, text) in links(&prose(&page)) {
            if place.starts_with("https://") {
                continue;
            }
            let (file, anchor) = place.split_once('#').unwrap_or((&place, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{}: [{text}] leads to {place}, which is not there", path.display());
            if !anchor.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                let there = anchors(&fs::read_to_string(&target).expect("a page"));
                assert!(there.iter().any(|a| a == anchor), "{}: {place}: there is no such heading", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} links");
}

#[test]
fn every_page_is_a_chapter() {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).expect("the summary");
    let chapters: Vec<String> = links(&summary).into_iter().map(|(place, _)| place).collect();
    let docs = Path::new(ROOT).join("docs");
    for page in pages(&docs) {
        let name = page.strip_prefix(&docs).expect("in docs").to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || chapters.contains(&name), "docs/SUMMARY.md lacks {name}");
    }
}
