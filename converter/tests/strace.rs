//! Makes each system call that writes fail once, each in a conversion of its own: the output path
//! then has its old contents or the whole new blob.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The old contents of the output path.
const BEFORE: &[u8] = b"what was there before";

/// The calls that create a file, fill it, rename it and sync it, each with an error that it may
/// return.
const CALLS: [(&str, &str); 5] = [
    ("openat", "EMFILE"),
    ("write", "ENOSPC"),
    ("fsync", "EIO"),
    ("flock", "ENOLCK"),
    ("rename,renameat,renameat2,link,linkat", "EACCES"),
];

/// Converts under strace with an injected fault. Returns the output, and the number of calls that
/// were seen.
fn convert(blob: &Path, calls: &str, inject: Option<&str>) -> (Output, usize) {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stories");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-e", "signal=none", "-o"]).arg(log.path());
    command.args(inject.into_iter().flat_map(|what| ["-e", what]));
    command.arg(env!("CARGO_BIN_EXE_kinglet")).arg("convert").arg(checkpoint);
    // A tokenizer alone is converted fastest, and is written in the same way as a blob.
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
            // If the last message could not be printed, the file has been written.
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
