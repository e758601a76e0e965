//! `kinglet fit`: which boards a blob fits.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use kinglet_convert::fit::{BOARDS, Board, Fit as Answer, products_per_token};
use serde_json::{Value, json};

use super::engine::{open, read_blob};
use super::{number, output};

/// Say which boards a blob fits, with what left over, and about how long a token takes there: the
/// mean of a text of that length.
#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// The blob.
    model: PathBuf,
    /// Only the boards whose name or chip contains this.
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// The longest text; by default the longest that fits.
    #[arg(long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    tokens: Option<usize>,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl Fit {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let wanted = self.board.as_deref().unwrap_or_default().to_lowercase();
        let named = |board: &&Board| format!("{} {}", board.name, board.chip).to_lowercase().contains(&wanted);
        let boards: Vec<&Board> = BOARDS.iter().filter(named).collect();
        if boards.is_empty() {
            let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
            bail!("no board is called \"{wanted}\"\nthere are {}", names.join(", "));
        }
        let answers = boards.into_iter().map(|board| Answer::new(board, blob.len(), spec, self.tokens));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        if self.json {
            let boards: Vec<Value> = answers.iter().map(Answer::json).collect();
            return output::json(&json!({ "boards": boards, "products_per_token": products_per_token(spec) }));
        }
        answers.iter().try_for_each(|answer| output::line(&answer.to_string()))
    }
}
