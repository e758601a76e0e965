//! Runs a program of the Raspberry Pi Pico, as the image that is flashed, in an emulator of its chip:
//! with its boot code, its clocks and its serial line.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::target_folder;
use crate::programs::{build, folder_of};
use crate::talk::Conversation;

const FOLDER: &str = "raspberry-pi-pico";
const TARGET: &str = "thumbv6m-none-eabi";
/// The emulator, a package of npm.
const EMULATOR: &str = "rp2040js@1.4.1";

/// Holds a conversation with the board's program over its serial line.
pub(crate) fn check(conversation: &Conversation) -> Result<()> {
    let release = build(&folder_of(FOLDER), TARGET, "", &[])?;
    let emulator = emulator()?;
    let (typed, wanted) = conversation.over_a_line();
    let input = target_folder("talk.in.txt");
    fs::write(&input, typed)?;
    // A program that hangs must not stop the checks.
    let output = Command::new("timeout")
        .args(["300", "node"])
        .arg(folder_of(FOLDER).join("emulated.mjs"))
        .args([Path::new(&emulator), &release.join("talk"), Path::new(&input)])
        .arg(wanted.lines().count().to_string())
        .output()
        .context("running node: is it installed?")?;
    let printed = String::from_utf8(output.stdout).context("the output over the serial line is not UTF-8")?;
    let found = printed.replace("\r\n", "\n");
    ensure!(found == wanted, "{FOLDER} prints over the serial line:\n{found}but should print:\n{wanted}");
    eprintln!("{FOLDER}: its image holds the conversation in an emulator of the RP2040");
    Ok(())
}

/// The folder of the emulator, which is downloaded once.
fn emulator() -> Result<String> {
    let folder = target_folder(&EMULATOR.replace('@', "-"));
    let module = format!("{folder}/node_modules/rp2040js");
    if !Path::new(&module).exists() {
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", &folder, EMULATOR];
        let status = Command::new("npm").args(options).status().context("running npm: is it installed?")?;
        ensure!(status.success(), "npm install {EMULATOR}: {status}");
    }
    Ok(module)
}
