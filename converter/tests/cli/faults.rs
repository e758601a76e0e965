//! Interrupts conversions while the blob is written: the output path then has its old contents or
//! the whole new blob.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::{copy_of, path, refused, run, shipped, stories, text};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kinglet");
/// The old contents of the output path.
const BEFORE: &[u8] = b"what was there before";

/// The fastest conversion, which replaces an existing file.
fn arguments<'a>(checkpoint: &'a str, blob: &'a str) -> [&'a str; 7] {
    ["convert", checkpoint, "--no-calibration", "--quiet", "--force", "-o", blob]
}

/// The names of files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The blob of the story teller.
fn whole() -> Vec<u8> {
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "whole.kinglet");
    run(&arguments(text(&stories()), &blob));
    fs::read(blob).expect("the blob")
}

#[test]
fn a_disk_that_is_full_at_any_byte_leaves_what_was_there() {
    let bytes = whole().len() as u64;
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "stories.kinglet");
    // The shell counts in blocks of 512 bytes. The program gets an error instead of a signal.
    let blocks = bytes.div_ceil(512);
    for limit in [0, 1, 2, blocks / 4, blocks / 2, blocks - 2, blocks - 1] {
        fs::write(&blob, BEFORE).expect("a file");
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, PROGRAM]).args(arguments(text(&stories()), &blob));
        let output = shell.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.starts_with("error: writing "), "{limit} blocks: {said}");
        assert_eq!(fs::read(&blob).expect("the file"), BEFORE, "{limit} blocks");
        assert_eq!(names(folder.path()), ["stories.kinglet"], "{limit} blocks");
    }
}

#[test]
fn a_run_that_is_killed_leaves_the_old_blob_or_the_new_one() {
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "stories.kinglet");
    let start = Instant::now();
    let new = whole();
    let whole_run = start.elapsed();
    let mut old = 0;
    for step in 0..16 {
        fs::write(&blob, BEFORE).expect("a file");
        let mut child = Command::new(PROGRAM)
            .args(arguments(text(&stories()), &blob))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kinglet runs");
        // Most runs are killed near the end, when the file is written.
        thread::sleep(whole_run * (8 + step) / 20);
        child.kill().expect("it is there, or has ended");
        child.wait().expect("it ends");
        let found = fs::read(&blob).expect("the file");
        assert!(found == BEFORE || found == new, "after {step} twentieths there are {} bytes", found.len());
        old += usize::from(found == BEFORE);
    }
    assert!(old > 0, "every run was over before it was killed");
    // The next run removes the partial files.
    run(&arguments(text(&stories()), &blob));
    assert_eq!(names(folder.path()), ["stories.kinglet"]);
}

#[test]
fn several_runs_at_once_write_one_blob() {
    let folder = TempDir::new().expect("a folder");
    let checkpoint = stories();
    for (name, force) in [("forced.kinglet", true), ("first.kinglet", false)] {
        let blob = path(&folder, name);
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let all = arguments(text(&checkpoint), &blob);
                let chosen = all.into_iter().filter(|argument| force || *argument != "--force");
                Command::new(PROGRAM).args(chosen).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a run")
            })
            .collect();
        let ends: Vec<Output> = runs.into_iter().map(|run| run.wait_with_output().expect("it ends")).collect();
        let ended_well = ends.iter().filter(|end| end.status.success()).count();
        assert_eq!(ended_well, if force { 3 } else { 1 }, "{ends:?}");
        assert_eq!(fs::read(&blob).expect("the blob"), whole(), "{name}");
    }
    let mut left = names(folder.path());
    left.sort();
    assert_eq!(left, ["first.kinglet", "forced.kinglet"]);
}

#[test]
fn a_checkpoint_that_changes_meanwhile_is_refused_or_makes_a_whole_blob() {
    let checkpoint = copy_of("stories");
    let folder = TempDir::new().expect("a folder");
    let blob = path(&folder, "stories.kinglet");
    let files = ["config.json", "tokenizer.json", "model.safetensors", "generation_config.json"];
    let contents = files.map(|name| fs::read(checkpoint.path().join(name)).expect("a file"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Each file is cut, then removed, and is whole for most of the time.
            for step in (0..2000).take_while(|_| !done.load(Ordering::Relaxed)) {
                let (name, content) = (files[step % 4], &contents[step % 4]);
                let file = checkpoint.path().join(name);
                fs::write(&file, &content[..content.len() * (step % 7) / 7]).expect("a shorter file");
                thread::sleep(Duration::from_millis(2));
                fs::remove_file(&file).expect("it was written");
                fs::write(&file, content).expect("the whole file");
                thread::sleep(Duration::from_millis(20));
            }
        });
        for _ in 0..8 {
            let _ = fs::remove_file(&blob);
            let output = Command::new(PROGRAM).args(arguments(text(checkpoint.path()), &blob)).output();
            let output = output.expect("kinglet runs");
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                run(&["inspect", &blob]);
            } else {
                assert!(said.starts_with("error: ") && said.lines().count() == 2, "{said}");
                assert_eq!(names(folder.path()), [""; 0], "{said}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_folder_that_takes_no_files_is_refused_before_the_work() {
    for place in ["/proc/stories.kinglet", "/nowhere/stories.kinglet"] {
        let start = Instant::now();
        let said = refused(&arguments(text(&stories()), place));
        assert!(said.contains(place) && said.contains("cannot be written"), "{said}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn answers_that_go_where_there_is_no_room_are_an_error_that_says_so() {
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let blob = shipped("stories");
    let output = Command::new(PROGRAM).args(["inspect", &blob]).stdout(full).output().expect("kinglet runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = "error: standard output cannot be written: No space left on device (os error 28)\n  free space";
    assert!(!output.status.success() && said.starts_with(wanted) && said.lines().count() == 2, "{said}");
    // Errors that cannot be printed are still errors, not panics.
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let status = Command::new(PROGRAM).args(["inspect", "/nowhere"]).stderr(full).status().expect("kinglet runs");
    assert_eq!(status.code(), Some(1));
}
