//! Tests the example `talk`, which answers typed sentences, on the host and over the serial lines
//! of emulated cores.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::target_folder;
use crate::emulate::emulator;
use crate::machines::Core;
use crate::programs::folder_of;

/// The typed input and the expected output of `talk`.
pub(crate) struct Conversation {
    typed: String,
    answered: String,
}

/// Runs `talk` on the host, and compares its output with the expected file.
pub(crate) fn here(bless: bool) -> Result<Conversation> {
    let (typed, answered) = (folder_of("expected").join("talk.in.txt"), folder_of("expected").join("talk.txt"));
    let output = Command::new(format!("{}/release/host", target_folder("host")))
        .arg("talk")
        .stdin(fs::File::open(&typed)?)
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "`talk` fails:\n{printed}");
    if bless {
        fs::write(&answered, &printed)?;
    }
    let kept = fs::read_to_string(answered)?;
    ensure!(kept == printed, "`talk` prints:\n{printed}but should print:\n{kept}");
    Ok(Conversation { typed: fs::read_to_string(typed)?, answered: kept })
}

impl Conversation {
    /// The input to type into a serial line, which echoes it, and the output to expect.
    pub(crate) fn over_a_line(&self) -> (String, String) {
        const BACKSPACE: &str = "\u{8}";
        const END: &str = "\u{4}";
        // Also types a character and deletes it, which changes the echo but not the answer.
        let typed = self.typed.replacen('\n', &format!("x{BACKSPACE}\n"), 1) + END;
        let shown = self.typed.replacen('\n', &format!("x{BACKSPACE} {BACKSPACE}\n"), 1);
        let mut answers = self.answered.lines();
        let mut wanted = answers.next().map_or_else(String::new, |greeting| greeting.to_owned() + "\n");
        for (line, answer) in shown.lines().zip(answers) {
            wanted += &format!("{line}\n{answer}\n");
        }
        (typed, wanted)
    }
}

/// The conversation over a core's serial line.
pub(crate) fn on_core(core: &Core, program: &Path, conversation: &Conversation) -> Result<()> {
    let (typed, wanted) = conversation.over_a_line();
    let input = target_folder("talk.in.txt");
    fs::write(&input, typed)?;
    let mut emulator = emulator(core, program);
    let output = emulator.args(["-monitor", "none", "-serial", "stdio"]).stdin(fs::File::open(input)?).output()?;
    let printed = String::from_utf8(output.stdout).context("the output over the serial line is not UTF-8")?;
    ensure!(output.status.success(), "`talk` on {} fails:\n{printed}", core.name);
    let found = printed.replace("\r\n", "\n");
    ensure!(found == wanted, "{} prints over the serial line:\n{found}but should print:\n{wanted}", core.name);
    Ok(())
}
