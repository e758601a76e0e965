//! Runs a task in a process of its own while this one goes on.

use std::env;
use std::fs::{self, File};
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

use crate::cargo::target_folder;

/// A running task, whose output is in a file. Dropping it before its end stops it.
pub(crate) struct Beside {
    task: &'static str,
    process: Child,
}

impl Beside {
    /// Starts `cargo xtask TASK`.
    pub(crate) fn start(task: &'static str) -> Result<Self> {
        let output = File::create(output_of(task))?;
        let mut command = Command::new(env::current_exe()?);
        let process = command.arg(task).stderr(output.try_clone()?).stdout(output).spawn();
        Ok(Self { task, process: process.with_context(|| format!("starting cargo xtask {task}"))? })
    }

    /// Waits for the end of the task, and prints its output.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.process.wait()?;
        eprintln!("$ cargo xtask {}\n{}", self.task, fs::read_to_string(output_of(self.task))?);
        ensure!(status.success(), "cargo xtask {}: {status}", self.task);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Both calls fail if the process has ended, and then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn output_of(task: &str) -> String {
    target_folder(&format!("{task}.txt"))
}
