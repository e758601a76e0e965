//! Runs the command line with pipes, in shells and for people who read its output.

use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{change_config, copy_of_stories, kinglet, path, refused, run, run_json, shipped, stories, text};

/// Runs a command with `input` on standard input.
fn piped(input: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinglet"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kinglet runs");
    let mut standard_input = child.stdin.take().expect("a pipe");
    // A command that is given its text elsewhere may end before the pipe is written.
    match standard_input.write_all(input.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("it is read"),
    }
    drop(standard_input);
    child.wait_with_output().expect("it ends")
}

/// A command with more options.
fn and<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

fn answer(input: &str, arguments: &[&str]) -> String {
    let output = piped(input, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_text_may_come_on_standard_input() {
    let intent = shipped("home-intent");
    const TEXT: &str = "turn on the lights";
    let given = run(&["classify", &intent, "--text", TEXT]);
    for end in ["", "\n", "\r\n"] {
        let input = format!("{TEXT}{end}");
        assert_eq!(answer(&input, &["classify", &intent, "--text", "-"]), given);
        assert_eq!(answer(&input, &["classify", &intent]), given);
    }
    // Standard input is read only if no other input is given.
    assert_eq!(answer("what is the time", &["classify", &intent, "--text", TEXT]), given);
    let lines = answer(&format!("{TEXT}\nstop\n"), &["classify", &intent, "--input", "-"]);
    assert_eq!(lines.lines().count(), 2);
    for more in [&["--text", "-"][..], &[]] {
        let tokens = answer(TEXT, &and(&["tokenize", &intent], more));
        assert_eq!(tokens, run(&["tokenize", &intent, "--text", TEXT]));
    }
    for command in ["classify", "tokenize"] {
        let nothing = piped("", &[command, &intent]);
        let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert!(!nothing.status.success() && said.contains("nothing to work on"), "{command}: {said}");
    }
}

#[test]
fn examples_may_come_on_standard_input() {
    let (intent, stories) = (shipped("home-intent"), shipped("stories"));
    let example = r#"{"text": "Dim the hallway lights to thirty percent.", "label": "light.set"}"#;
    let measured = answer(&format!("{example}\n\n{example}\n"), &["eval", &intent, "--input", "-"]);
    assert_eq!(measured.trim(), "2 of 2 right: 100.0 %");
    assert!(answer("\"Once upon a time\"\n", &["eval", &stories, "--input", "-"]).contains("of 1 texts"));
    let refused = piped("lights on\n", &["eval", &intent, "--input", "-"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("must be a JSON"), "{said}");
}

/// Runs a command on a terminal of its own, with standard output in a file, and returns what it
/// wrote to the terminal.
#[cfg(target_os = "linux")]
fn shown(arguments: &[&str]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let line = format!("'{}' {} > /dev/null", env!("CARGO_BIN_EXE_kinglet"), quoted.join(" "));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
    let output = output.expect("util-linux is installed");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn long_runs_show_their_progress_unless_it_is_unwanted() {
    let folder = TempDir::new().expect("a folder");
    let (texts, labelled) = (path(&folder, "texts.txt"), path(&folder, "labelled.jsonl"));
    fs::write(&texts, "lights on\n".repeat(40)).expect("a file");
    fs::write(&labelled, "{\"text\": \"lights on\", \"label\": \"light.on\"}\n".repeat(40)).expect("a file");
    let (intent, stories) = (shipped("home-intent"), shipped("stories"));
    let checkpoint = crate::support::stories();
    let commands: [&[&str]; 5] = [
        &["classify", &intent, "--input", &texts],
        &["eval", &intent, "--input", &labelled],
        &["generate", &stories, "--input", &texts, "-n", "2"],
        &["verify", &stories, text(&checkpoint), "--texts", "4"],
        &["convert", text(&checkpoint), "--dry-run", "--no-calibration"],
    ];
    for command in commands {
        // A bar is redrawn on its line.
        assert!(shown(command).contains("\u{1b}["), "{command:?} shows no bar");
        let quiet = shown(&and(command, &["--quiet"]));
        assert!(!quiet.contains("\u{1b}["), "{command:?} shows a bar: {quiet:?}");
    }
}

#[test]
fn a_text_that_is_not_given_begins_as_the_model_does() {
    for (model, begin) in [("stories", "1"), ("stories-backward", "2")] {
        let written = ["generate", &shipped(model), "-n", "8", "--json"];
        assert_eq!(run_json(&written), run_json(&[&written[..], &["--ids", begin]].concat()));
    }
    let checkpoint = stories();
    let reference = ["generate", text(&checkpoint), "--reference", "-n", "4", "--json"];
    assert_eq!(run_json(&reference), run_json(&[&reference[..], &["--ids", "1"]].concat()));
    assert!(refused(&["generate", &shipped("home-command")]).contains("no text to write from"));
}

#[test]
fn people_are_shown_five_labels_and_programs_all() {
    let intent = shipped("home-intent");
    let classify = ["classify", &intent, "--text", "turn on the lights"];
    let labels = |answer: &Value| answer["labels"].as_array().map_or(0, Vec::len);
    let all = run_json(&and(&classify, &["--json"]));
    assert!(labels(&all) > 5, "{all}");
    let shown = run(&classify);
    assert_eq!(shown.lines().count(), 5);
    assert!(shown.lines().next().is_some_and(|line| line.ends_with(all["labels"][0]["label"].as_str().expect("text"))));
    assert_eq!(run(&and(&classify, &["--top-k", "2"])).lines().count(), 2);
    assert_eq!(run(&and(&classify, &["--top-k", "1000"])).lines().count(), labels(&all));
    assert_eq!(labels(&run_json(&and(&classify, &["--top-k", "3", "--json"]))), 3);
    let folder = TempDir::new().expect("a folder");
    let inputs = path(&folder, "inputs.txt");
    fs::write(&inputs, "turn on the lights\n").expect("a file");
    let many = |more: &[&str]| run_json(&[&["classify", &intent, "--input", &inputs], more].concat());
    assert_eq!((labels(&many(&[])), labels(&many(&["--top-k", "1"]))), (labels(&all), 1));
    let none =
        Command::new(env!("CARGO_BIN_EXE_kinglet")).args(and(&classify, &["--top-k", "0"])).output().expect("it runs");
    assert!(!none.status.success());
}

#[test]
fn numbers_in_json_have_the_digits_that_they_have() {
    let answer = run(&["classify", &shipped("home-intent"), "--text", "turn on the lights", "--json"]);
    let json: Value = serde_json::from_str(&answer).expect("JSON");
    for label in json["labels"].as_array().expect("a list") {
        let score = label["score"].as_f64().expect("a number");
        // Scores have the digits of single precision, and no more.
        assert_eq!(score, (score as f32).to_string().parse::<f64>().expect("a number"), "{answer}");
    }
}

#[test]
fn quiet_leaves_out_notes_and_keeps_answers() {
    let folder = copy_of_stories();
    change_config(&folder, "snake", 3.into());
    let convert = ["convert", text(folder.path()), "--dry-run", "--no-calibration"];
    let noted = run(&convert);
    assert!(noted.contains("note: ") && noted.contains("`snake`"), "{noted}");
    for option in ["--quiet", "-q"] {
        let output = kinglet(&[&convert[..], &[option]].concat());
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
        assert!(output.status.success() && !said.contains("note: "), "{said}");
        assert!(said.contains("against the f32 reference"), "{said}");
    }
    let write = ["generate", &shipped("stories"), "-n", "5"];
    assert_eq!(run(&[&["--quiet"], &write[..]].concat()), run(&write));
}

#[test]
fn shells_complete_commands_and_man_has_a_page_of_each() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]);
        assert!(["fill-mask", "max-new-tokens", "top-k"].iter().all(|word| script.contains(word)), "{shell}");
    }
    let folder = TempDir::new().expect("a folder");
    let pages = path(&folder, "man/man1");
    run(&["man", &pages]);
    let help = run(&["help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    for command in commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help") {
        let page = fs::read_to_string(format!("{pages}/kinglet-{command}.1")).expect("a page");
        assert!(page.contains(".SH OPTIONS"), "{page}");
        count += 1;
    }
    assert!(count > 15 && fs::metadata(format!("{pages}/kinglet.1")).is_ok());
}
