//! Compiles the sources that `kinglet export --c` writes with GCC, as C and as C++. Run by `cargo
//! xtask emulators`, which needs both compilers anyway.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A blob that the firmware examples embed.
fn shipped(name: &str) -> String {
    format!("{}/../firmware-examples/common/models/{name}.kinglet", env!("CARGO_MANIFEST_DIR"))
}

fn export(blob: &str, folder: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinglet"));
    let output = command.args(["export", blob, "--c", folder]).output().expect("kinglet runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a compiler, and fails with its messages if it does.
fn compile(compiler: &str, folder: &str, arguments: &str) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]).args(arguments.split(' ')).current_dir(folder);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
    assert!(output.status.success(), "{compiler} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_exports_are_in_one_program_of_c_and_of_cpp() {
    const MAIN: &str = "
        #include \"home_command.h\"
        #include \"home_intent.h\"
        #include <stdio.h>
        static const char *const labels[HOME_INTENT_LABELS_COUNT] = HOME_INTENT_LABELS;
        static const uint32_t ends[HOME_COMMAND_TOKENS_EOS_COUNT] = HOME_COMMAND_TOKENS_EOS;
        int main(void) {
            printf(\"%u %u %d\", HOME_COMMAND_BLOB_BYTES, HOME_INTENT_BLOB_BYTES, home_intent_blob[4] == home_command_blob[4]);
            printf(\" %u %u %u %u\", (unsigned)((uintptr_t)home_intent_blob % 16), (unsigned)((uintptr_t)home_command_blob % 16),
                (unsigned)ends[0], HOME_COMMAND_TOKEN_DECODER_START);
            for (unsigned label = 0; label < HOME_INTENT_LABELS_COUNT; label++) printf(\" %s\", labels[label]);
            return 0;
        }";
    let folder = TempDir::new().expect("a folder");
    let to = folder.path().join("c").display().to_string();
    let (intent, command) = (shipped("home-intent"), shipped("home-command"));
    export(&intent, &to);
    export(&command, &to);
    fs::write(Path::new(&to).join("main.c"), MAIN).expect("a program");
    let sources = "main.c home_intent.c home_command.c";
    compile("gcc", &to, &format!("-std=c11 {sources} -o c"));
    compile("g++", &to, &format!("-std=c++17 -x c++ {sources} -o cpp"));
    // A C++ program with blobs that the C compiler built.
    compile("gcc", &to, "-std=c11 -c home_intent.c home_command.c");
    compile("g++", &to, "-std=c++17 -x c++ -c main.c -o main.o");
    compile("g++", &to, "main.o home_intent.o home_command.o -o both");

    let bytes = [fs::read(command).expect("a blob"), fs::read(intent).expect("a blob")];
    let [command, intent] = bytes.each_ref().map(|bytes| kinglet::AlignedVec::from(bytes.as_slice()));
    let models = [&command, &intent].map(|blob| kinglet::Model::from_bytes(blob).expect("a model"));
    let special = &models[0].manifest().tokens;
    let labels: Vec<&str> = models[1].labels().collect();
    let (end, start) = (special.eos[0], special.decoder_start.expect("it has one"));
    let wanted = format!("{} {} 1 0 0 {end} {start} {}", command.len(), intent.len(), labels.join(" "));
    for program in ["c", "cpp", "both"] {
        let output = Command::new(Path::new(&to).join(program)).output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{program}");
    }
}
