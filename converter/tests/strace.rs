//! Each system call that writes fails once, in a conversion of its own: its place has what was
//! there before, or all of the new blob.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What is where the blob goes, before.
const BEFORE: &[u8] = b"what was there before";

/// The calls that make a file, fill it, move it and keep it, with an error that each may give.
const CALLS: [(&str, &str); 5] = [
    ("openat", "EMFILE"),
    ("write", "ENOSPC"),
    ("fsync", "EIO"),
    ("flock", "ENOLCK"),
    ("rename,renameat,renameat2,link,linkat", "EACCES"),
];

/// Converts, with what strace is told to do, and the calls that it saw.
fn convert(blob: &Path, calls: &str, inject: Option<&str>) -> (Output, usize) {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stories");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-e", "signal=none", "-o"]).arg(log.path());
    command.args(inject.into_iter().flat_map(|what| ["-e", what]));
    command.arg(env!("CARGO_BIN_EXE_kinglet")).arg("convert").arg(checkpoint);
    // A tokenizer alone is made soonest, and is written as a blob is.
    command.args(["--tokenizer-only", "--quiet", "--force", "-o"]).arg(blob);
    let output = command.output().expect("strace is installed");
    let seen = fs::read_to_string(log.path()).expect("what strace wrote");
    (output, seen.lines().filter(|line| line.contains('(')).count())
}

#[test]
fn every_call_that_writes_may_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let blob = folder.path().join("stories.kinglet");
    let (mut failed, mut tried) = (0, 0);
    for (calls, error) in CALLS {
        let (output, count) = convert(&blob, calls, None);
        assert!(output.status.success() && count > 0, "{calls}: {output:?}");
        let new = fs::read(&blob).expect("the blob");
        for number in 1..=count {
            fs::write(&blob, BEFORE).expect("a file");
            let (output, _) = convert(&blob, calls, Some(&format!("inject={calls}:error={error}:when={number}")));
            let found = fs::read(&blob).expect("the file");
            let said = String::from_utf8_lossy(&output.stderr);
            // Who cannot say that the file was written has written it.
            let told = said.contains("standard output");
            let wanted = if output.status.success() || told { &new[..] } else { BEFORE };
            assert!(found == wanted, "{calls} {number}: {} bytes, {said}", found.len());
            assert!(!said.contains("panicked"), "{calls} {number}: {said}");
            (tried, failed) = (tried + 1, failed + usize::from(!output.status.success()));
        }
    }
    println!("{tried} conversions, of which {failed} failed");
    assert!(failed > 8, "{failed} of {tried}");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
