//! Follows the instructions of a README in an empty folder.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{kinglet_program, root};

/// Carries out the fenced blocks of a README in order, in a new folder `folder`:
///
/// - a block whose fence names a file after the language, such as `c main.c`, is written to it;
/// - a block `sh` is typed into a shell, with `KINGLET` as the path of the project;
/// - a block `text` must be what the commands before it have printed.
///
/// Other blocks are skipped.
pub(crate) fn follow(readme: &Path, folder: &Path) -> Result<()> {
    let page = fs::read_to_string(readme).with_context(|| format!("reading {}", readme.display()))?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let path = path()?;
    let (mut typed, mut printed) = (0, String::new());
    for (fence, block) in blocks(&page) {
        match fence.split_once(' ') {
            Some((_, file)) => fs::write(folder.join(file), block)?,
            None if fence == "sh" => {
                printed = shell(&block, folder, &path)?;
                typed += 1;
            }
            None if fence == "text" => ensure!(
                printed == block,
                "{} says that its commands print:\n{block}but they print:\n{printed}",
                readme.display()
            ),
            None => {}
        }
    }
    ensure!(typed > 0, "{} has no commands", readme.display());
    Ok(())
}

/// The fenced blocks of a page, each with the text of its fence.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut lines = page.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("```"));
            found.push((fence.trim(), inside.map(|line| format!("{line}\n")).collect()));
        }
    }
    found
}

/// The folders of programs, the one with `kinglet` first.
fn path() -> Result<OsString> {
    let program = kinglet_program()?;
    let programs = program.parent().context("a program lies in a folder")?;
    let others = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&others)))?)
}

/// Types commands into a shell. Returns the output of the last one.
fn shell(commands: &str, folder: &Path, path: &OsStr) -> Result<String> {
    let mut printed = Vec::new();
    for line in commands.lines() {
        eprintln!("$ {line}");
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(folder).env("PATH", path);
        let output = command.env("KINGLET", root()).output().context("running sh")?;
        if !output.status.success() {
            bail!("`{line}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        printed = output.stdout;
    }
    Ok(String::from_utf8(printed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_fence_and_its_lines() {
        let page = "One.\n\n```sh\nls\n\npwd # two\n```\n\n```c main.c\nint main;\n```\nEnd.";
        let found = blocks(page);
        assert_eq!(found, [("sh", "ls\n\npwd # two\n".to_owned()), ("c main.c", "int main;\n".to_owned())]);
    }
}
