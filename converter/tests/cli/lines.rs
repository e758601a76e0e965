//! Gives commands files of JSON lines that are damaged in many ways.

use std::fs;

use tempfile::TempDir;

use crate::support::{kinglet, path, shipped, stories, text};

/// Lines of every kind that a command reads.
const LINES: [&str; 5] = [
    "\"turn on the lights\"",
    "{\"text\": \"lights on\", \"pair\": \"\\ud83d\\ude00\", \"label\": \"light.set\", \"labels\": [\"O\", \"O\"], \"target\": \"x\"}",
    "[1, 5, 9]",
    "{\"ids\": [1, 4, 2], \"token_type_ids\": [0, 0, 0], \"decoder_ids\": [0, 5], \"continues\": [0, 1, 0]}",
    "{\"text\": \"\"}",
];

/// Values that replace one of a line.
const VALUES: [&str; 12] =
    ["-1", "4294967296", "1e400", "null", "true", "{}", "[[0]]", "\"\\ud800\"", "0.5", "\"\u{0}\"", "999999", "["];

/// A file of four lines: a damaged one, that line undamaged, an empty one, and another. The
/// damaged line is cut off, or has another value in place of one of its own.
fn damaged(seed: usize) -> String {
    let line = LINES[seed % LINES.len()];
    let seed = seed / LINES.len();
    let starts: Vec<usize> =
        line.char_indices().filter(|(_, c)| "\"[{0123456789".contains(*c)).map(|(at, _)| at).collect();
    let at = starts[seed * 7 % starts.len()];
    let end = line[at + 1..].find([',', '}', ']', ':']).map_or(line.len(), |end| at + 1 + end);
    let value = VALUES[seed % VALUES.len()];
    let first =
        if seed.is_multiple_of(4) { line[..at].to_owned() } else { format!("{}{value}{}", &line[..at], &line[end..]) };
    format!("{first}\n{line}\n\n{}\n", LINES[(seed + 1) % LINES.len()])
}

#[test]
fn damaged_lines_are_refused_in_two_lines_or_answered_by_every_command() {
    let folder = TempDir::new().expect("a folder");
    let (lines, cut) = (path(&folder, "lines.jsonl"), path(&folder, "cut.kinglet"));
    let models = ["home-intent", "stories", "home-command", "home-slots"].map(shipped);
    let stories = stories();
    let commands: Vec<Vec<&str>> = vec![
        vec!["classify", &models[0]],
        vec!["logits", &models[0]],
        vec!["tokenize", &models[1]],
        vec!["score", &models[1]],
        vec!["eval", &models[0]],
        vec!["eval", &models[1]],
        vec!["eval", &models[2]],
        vec!["tag", &models[3]],
        vec!["generate", &models[1], "-n", "3"],
        vec!["generate", &models[2], "-n", "3"],
    ];
    let (mut answered, mut refused) = (0, 0);
    let mut check = |command: &[&str]| {
        let output = kinglet(command);
        let said = String::from_utf8(output.stderr).expect("text");
        let two_lines = said.lines().filter(|line| line.starts_with("error: ")).count() == 1 && said.contains("\n  ");
        assert!(output.status.success() || output.status.code() == Some(1) && two_lines, "{command:?}: {said}\n");
        if output.status.success() { answered += 1 } else { refused += 1 }
    };
    for seed in 0..60 {
        fs::write(&lines, damaged(seed)).expect("a file");
        for command in commands.iter().skip(seed % 2).step_by(2) {
            check(&[command, &["--input", lines.as_str(), "--json"][..]].concat());
        }
        if seed % 20 == 0 {
            let convert = ["convert", text(&stories), "--force", "-o", &cut, "--keep-vocabulary", &lines];
            check(&[&convert[..], &["--no-calibration"]].concat());
        }
    }
    assert!(answered > 20 && refused > 20, "{answered} answered, {refused} refused");
}
