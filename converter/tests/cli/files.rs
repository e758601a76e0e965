//! Puts other things in the place of files: they are read, or refused by name, without waiting and
//! without losing anything.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{copy_of_stories, kinglet, path, refused, run, shipped, stories, text};

/// The fastest conversion.
fn convert<'a>(folder: &'a TempDir, more: &[&'a str]) -> Vec<&'a str> {
    [&["convert", text(folder.path()), "--no-calibration"], more].concat()
}

/// A checkpoint with a changed `tokenizer.json`.
fn with_tokenizer(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = copy_of_stories();
    let file = folder.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&file).expect("it ships")).expect("JSON");
    change(&mut tokenizer);
    fs::write(&file, tokenizer.to_string()).expect("a changed file");
    folder
}

#[test]
fn an_id_sizes_no_table() {
    for id in [1_u32 << 31, u32::MAX] {
        let folder = with_tokenizer(|tokenizer| tokenizer["model"]["vocab"]["▁played"] = id.into());
        let said = refused(&convert(&folder, &["--dry-run"]));
        assert!(said.contains(&format!("the id {id}")) && said.contains("is supported"), "{said}");
    }
}

#[test]
fn the_number_of_normalizers_is_bounded() {
    let many = vec![json!({ "type": "NFD" }); 1000];
    let folder =
        with_tokenizer(|tokenizer| tokenizer["normalizer"] = json!({ "type": "Sequence", "normalizers": many }));
    assert!(refused(&convert(&folder, &["--dry-run"])).contains("1000 normalizers"));
}

#[test]
fn the_number_of_threads_is_bounded() {
    let asked = kinglet(&["bench", &shipped("stories"), "--threads", "100000"]);
    assert!(!asked.status.success() && String::from_utf8_lossy(&asked.stderr).contains("1..=256"));
}

#[test]
fn the_length_of_json_is_bounded() {
    let folder = copy_of_stories();
    let file = File::options().write(true).open(folder.path().join("tokenizer.json")).expect("it is there");
    // A sparse file takes no space.
    file.set_len(1 << 40).expect("a longer file");
    assert!(refused(&convert(&folder, &["--dry-run"])).contains("more than 268435456 bytes"));
}

#[test]
fn the_files_of_a_checkpoint_are_not_replaced() {
    let folder = copy_of_stories();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let (file, before) = (path(&folder, name), fs::read(folder.path().join(name)).expect("a copy"));
        let said = refused(&convert(&folder, &["--force", "-o", &file]));
        assert!(said.contains("is a file of the checkpoint"), "{said}");
        let blob = path(&folder, "out.kinglet");
        assert!(refused(&convert(&folder, &["--force", "-o", &blob, "--report", &file])).contains("of the checkpoint"));
        assert!(fs::read(&file).expect("a copy") == before);
    }
    // Files that the program wrote may be in the folder, and are replaced.
    let (blob, report) = (path(&folder, "out.kinglet"), path(&folder, "report.json"));
    for _ in 0..2 {
        run(&convert(&folder, &["--force", "-o", &blob, "--report", &report]));
    }
}

#[test]
fn partial_files_of_runs_that_were_killed_are_swept_and_those_of_others_stay() {
    let (folder, out) = (copy_of_stories(), TempDir::new().expect("a folder"));
    let [left, held] = ["a", "b"].map(|name| out.path().join(format!(".kinglet-{name}.partial")));
    let other = out.path().join("c.partial");
    for file in [&left, &held, &other] {
        fs::write(file, "half").expect("a file");
    }
    let running = File::open(&held).expect("a file");
    running.lock().expect("a lock");
    let blob = path(&out, "out.kinglet");
    run(&convert(&folder, &["-o", &blob, "--tokenizer-only"]));
    assert_eq!([&left, &held, &other].map(|file| file.exists()), [false, true, true]);
    drop(running);
    run(&convert(&folder, &["-o", &blob, "--tokenizer-only", "--force"]));
    assert!(!held.exists() && other.exists() && Path::new(&blob).exists());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::{Command, Stdio};

    use super::*;

    fn pipe(place: &Path) {
        assert!(Command::new("mkfifo").arg(place).status().expect("mkfifo runs").success());
    }

    /// The files of a checkpoint that are replaced by something else.
    const FILES: [&str; 4] = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];

    #[test]
    fn pipes_devices_and_links_to_nothing_are_no_files_of_a_checkpoint() {
        for name in FILES {
            let folder = copy_of_stories();
            let place = folder.path().join(name);
            let replaced = |make: &dyn Fn(), expected: &str| {
                fs::remove_file(&place).expect("it is there");
                make();
                let said = refused(&convert(&folder, &["--dry-run"]));
                assert!(said.contains(name) && said.contains(expected), "{said}");
            };
            replaced(&|| pipe(&place), "not a regular file");
            replaced(&|| symlink("/dev/zero", &place).expect("a link"), "not a regular file");
            replaced(&|| symlink("nowhere", &place).expect("a link"), "a link to nothing");
            // Caches keep the files in another folder, and link to them.
            fs::remove_file(&place).expect("it is there");
            symlink(stories().join(name), &place).expect("a link");
        }
        let linked = copy_of_stories();
        for name in FILES {
            fs::remove_file(linked.path().join(name)).expect("it is there");
            symlink(stories().join(name), linked.path().join(name)).expect("a link");
        }
        run(&convert(&linked, &["--dry-run"]));
    }

    #[test]
    fn pipes_and_devices_are_no_blobs() {
        let folder = TempDir::new().expect("a folder");
        let place = folder.path().join("pipe");
        pipe(&place);
        for blob in [text(&place), "/dev/zero"] {
            for command in ["inspect", "fit", "tokenize"] {
                let more: &[&str] = if command == "tokenize" { &["--text", "a"] } else { &[] };
                let said = refused(&[&[command, blob], more].concat());
                assert!(said.contains("not a regular file"), "{said}");
            }
        }
    }

    #[test]
    fn texts_come_out_of_pipes_and_an_endless_device_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let place = folder.path().join("pipe.jsonl");
        pipe(&place);
        let mut writer = Command::new("sh")
            .args(["-c", "echo '[1, 300]' > \"$0\"", text(&place)])
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        let answers = run(&["logits", &shipped("stories"), "--input", text(&place)]);
        assert!(writer.wait().expect("it ends").success() && answers.lines().count() == 1);
        let said = refused(&["logits", &shipped("stories"), "--input", "/dev/zero"]);
        assert!(said.contains("/dev/zero") && said.contains("more than"), "{said}");
    }

    #[test]
    fn pipes_and_devices_are_not_replaced() {
        let folder = copy_of_stories();
        let place = folder.path().join("out");
        pipe(&place);
        for output in [text(&place), "/dev/null"] {
            let said = refused(&convert(&folder, &["--force", "--tokenizer-only", "-o", output]));
            assert!(said.contains("not a regular file"), "{said}");
        }
        assert!(place.metadata().expect("it is there").file_type().is_fifo());
        assert!(Path::new("/dev/null").metadata().expect("it is there").file_type().is_char_device());
    }
}
