//! Compares files of `torch.save` with safetensors files of equal tensors.

use std::fs;
use std::path::{Path, PathBuf};

use kinglet_convert::checkpoint::Checkpoint;
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use tempfile::TempDir;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A checkpoint's folder with given weight files.
fn checkpoint(config: &[u8], files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().expect("disk");
    for (name, bytes) in [("config.json", config)].iter().chain(files) {
        fs::write(dir.path().join(name), bytes).expect("disk");
    }
    dir
}

fn refusal(bytes: &[u8]) -> Option<String> {
    let dir = checkpoint(b"{}", &[("pytorch_model.bin", bytes)]);
    Checkpoint::open(dir.path()).err().map(|error| format!("{error:#}"))
}

#[test]
fn a_state_dictionary_gives_the_weights_of_its_safetensors() {
    for name in ["bert_old_names", "gpt2_bare", "gpt_neo_wide", "llama_sharded"] {
        let golden = folder("golden").join(name);
        let dir = tempfile::tempdir().expect("disk");
        fs::copy(golden.join("config.json"), dir.path().join("config.json")).expect("disk");
        for file in fs::read_dir(folder("torch").join(name)).expect("the folder is there") {
            let file = file.expect("an entry");
            fs::copy(file.path(), dir.path().join(file.file_name())).expect("disk");
        }
        let open =
            |folder: &Path| Source::open(folder, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (expected, found) = (open(&golden), open(dir.path()));
        assert_eq!(found.spec(), expected.spec(), "{name}");
        assert!(found.weights == expected.weights, "{name}: other weights");
    }
}

#[test]
fn views_of_shared_storages_are_gathered() {
    let expected =
        Checkpoint::open(checkpoint_of("model.safetensors", "model.safetensors").path()).expect("safetensors");
    for file in ["zip.bin", "pickles.bin"] {
        let found = Checkpoint::open(checkpoint_of(file, "pytorch_model.bin").path()).expect(file);
        assert!(found.names().eq(expected.names()), "{file}");
        for name in expected.names() {
            assert_eq!(found.tensor(name).expect(name), expected.tensor(name).expect(name), "{name} in {file}");
        }
    }
}

fn checkpoint_of(file: &str, name: &str) -> TempDir {
    checkpoint(b"{}", &[(name, &fs::read(folder("torch/views").join(file)).expect("it is there"))])
}

#[test]
fn safetensors_come_first_where_both_are_there() {
    let views = |name: &str| fs::read(folder("torch/views").join(name)).expect("it is there");
    let dir =
        checkpoint(b"{}", &[("model.safetensors", &views("model.safetensors")), ("pytorch_model.bin", b"broken")]);
    assert!(Checkpoint::open(dir.path()).is_ok());
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_by_name() {
    for file in ["zip.bin", "pickles.bin"] {
        let whole = fs::read(folder("torch/views").join(file)).expect("it is there");
        assert_eq!(refusal(&whole), None);
        for len in 0..whole.len() {
            let error = refusal(&whole[..len]).unwrap_or_else(|| panic!("{file} cut to {len} bytes was read"));
            assert!(error.contains("pytorch_model.bin is not a whole PyTorch file"), "{file} cut to {len}: {error}");
        }
    }
}

#[test]
fn a_file_with_a_changed_byte_is_read_or_refused_in_two_lines() {
    for file in ["zip.bin", "pickles.bin"] {
        let whole = fs::read(folder("torch/views").join(file)).expect("it is there");
        let dir = checkpoint(b"{}", &[]);
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= if at % 2 == 0 { 0x80 } else { 0x01 };
            fs::write(dir.path().join("pytorch_model.bin"), bytes).expect("disk");
            match Checkpoint::open(dir.path()) {
                // All offsets are within the file, so reading the tensors does not panic.
                Ok(opened) => opened.names().for_each(|name| drop(opened.tensor(name))),
                Err(error) => assert_eq!(error.to_string().lines().count(), 2, "{error}"),
            }
        }
    }
}
