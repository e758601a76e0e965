//! Defines the command line. Each command has a file of its own in this folder.

mod answer;
mod bench;
mod classify;
mod completions;
mod convert;
mod embed;
mod engine;
mod eval;
mod export;
mod fill_mask;
mod fit;
mod generate;
mod grammar;
mod input;
mod inspect;
mod keep;
mod logits;
mod man;
mod number;
pub(crate) mod output;
#[cfg(test)]
mod pages;
mod prefix;
mod score;
mod sign;
mod tag;
mod texts;
mod tokenize;
mod verify;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

/// Small transformers on small machines: convert a Hugging Face checkpoint to one file, and run
/// that file.
#[derive(Debug, Parser)]
#[command(name = "kinglet", version)]
pub(crate) struct Cli {
    /// Print no notes and no progress bars. Warnings and errors stay.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Convert a checkpoint to a blob.
    Convert(convert::Convert),
    /// Print what is in a blob, and how much memory it needs.
    Inspect(inspect::Inspect),
    /// Print the output of the head: logits, hidden states or a vector.
    Logits(logits::Logits),
    /// Continue a text.
    Generate(generate::Generate),
    /// Guess the tokens under masks.
    FillMask(fill_mask::FillMask),
    /// Turn a text into a vector.
    Embed(embed::Embed),
    /// Label a text.
    Classify(classify::Classify),
    /// Label each token of a text.
    Tag(tag::Tag),
    /// Find the answer to a question in a text.
    Answer(answer::Answer),
    /// Say how likely a text is.
    Score(score::Score),
    /// Turn a text into tokens, or tokens into a text.
    Tokenize(tokenize::Tokenize),
    /// Measure a model on examples with known answers.
    Eval(eval::Eval),
    /// Say which boards a blob fits.
    Fit(fit::Fit),
    /// Write a blob as source code for firmware.
    Export(export::Export),
    /// Sign a blob, for updates over the air.
    Sign(sign::Sign),
    /// Compile a grammar to a table over a model's tokens.
    Grammar(grammar::Grammar),
    /// Compute the keys and values of a constant beginning of texts, for flash.
    Prefix(prefix::BakePrefix),
    /// Check a blob, and measure it against its checkpoint.
    Verify(verify::Verify),
    /// Measure how fast a blob runs on this machine.
    Bench(bench::Bench),
    /// Print a script that completes commands and options in a shell.
    Completions(completions::Completions),
    /// Write man pages.
    Man(man::Man),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<()> {
        if self.quiet {
            output::be_quiet();
        }
        match self.command {
            Command::Convert(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Logits(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::FillMask(command) => command.run(),
            Command::Embed(command) => command.run(),
            Command::Classify(command) => command.run(),
            Command::Tag(command) => command.run(),
            Command::Answer(command) => command.run(),
            Command::Score(command) => command.run(),
            Command::Tokenize(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Fit(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Sign(command) => command.run(),
            Command::Grammar(command) => command.run(),
            Command::Prefix(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Completions(command) => command.run(Self::command()),
            Command::Man(command) => command.run(Self::command()),
        }
    }
}

/// A usage error as two lines: what is wrong, and what to do.
pub(crate) fn explain_usage(error: &clap::Error) -> String {
    let said = error.to_string();
    let (what, rest) = said.split_once("\n\n").unwrap_or((&said, ""));
    let what: Vec<&str> = what.lines().map(str::trim).collect();
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let action = tip.unwrap_or("see `kinglet help COMMAND` for its options");
    format!("{}\n  {action}", what.join(" "))
}

/// An error as two lines: what is wrong, with the chain of causes, and what to do.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut what = Vec::new();
    let mut action = None;
    for cause in &causes {
        let mut lines = cause.lines();
        what.push(lines.next().unwrap_or_default());
        action = lines.next().or(action);
    }
    let action = action.unwrap_or("see `kinglet help` for what each command takes");
    format!("{}\n  {action}", what.join(": "))
}
