//! Each system call that writes fails once, in a conversion of its own: its place has what was there
//! before, or all of the new blob.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What is where the blob goes, before.
const BEFORE: &[u8] = b"what was there before";

/// The calls that make a file, fill it, move it and keep it, with an error that each may give.
const CALLS: [(&str, &str); 6] = [
    ("openat", "EMFILE"),
    ("write", "ENOSPC"),
    ("fsync", "EIO"),
    ("flock", "ENOLCK"),
    ("rename,renameat,renameat2,link,linkat", "EACCES"),
    ("mmap", "ENOMEM"),
];

/// More calls of a kind than a conversion makes.
const MANY: u32 = 600;

fn convert(blob: &Path, inject: Option<&str>) -> Output {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stories");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(inject.into_iter().flat_map(|what| ["-e", what]));
    command.arg(env!("CARGO_BIN_EXE_kinglet")).arg("convert").arg(checkpoint);
    command.args(["--no-calibration", "--quiet", "--force", "-o"]).arg(blob);
    command.output().expect("strace is installed")
}

#[test]
fn every_call_that_writes_may_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let blob = folder.path().join("stories.kinglet");
    assert!(convert(&blob, None).status.success());
    let new = fs::read(&blob).expect("the blob");
    let (mut failed, mut tried) = (0, 0);
    for (calls, error) in CALLS {
        let mut in_a_row = 0;
        for number in 1..MANY {
            fs::write(&blob, BEFORE).expect("a file");
            let output = convert(&blob, Some(&format!("inject={calls}:error={error}:when={number}")));
            let found = fs::read(&blob).expect("the file");
            let said = String::from_utf8_lossy(&output.stderr);
            let wanted = if output.status.success() { &new[..] } else { BEFORE };
            // The name is safe before the folder is told to keep it.
            assert!(found == wanted || found == new, "{calls} {number}: {} bytes, {said}", found.len());
            tried += 1;
            if output.status.success() {
                in_a_row += 1;
            } else {
                assert!(!said.contains("panicked"), "{calls} {number}: {said}");
                (failed, in_a_row) = (failed + 1, 0);
            }
            // The conversion makes fewer such calls.
            if in_a_row == 12 {
                break;
            }
        }
    }
    println!("{tried} conversions, of which {failed} failed");
    assert!(failed > 10, "{failed} of {tried}");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
