//! `kinglet embed`: turn a text into a vector.

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use serde_json::json;

use super::engine::{About, ModelArgs, task_name};
use super::input::InputArgs;
use super::output;

/// Turn a text into a vector.
#[derive(Args, Debug)]
pub(crate) struct Embed {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl Embed {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, .. } = engine.about()?;
        if spec.head.task != Task::Embedding {
            let what = task_name(spec.head.task);
            bail!(
                "this model makes no sentence vectors: it is for {what}\nconvert a sentence-transformers folder, or add --task embed"
            );
        }
        for input in self.input.read(&engine.reader()?)? {
            let rows = engine.rows(&input)?;
            let vector = rows.real.first().map_or(&[][..], Vec::as_slice);
            if self.json || self.input.is_many() {
                output::json(&json!({ "embedding": vector, "hash": rows.hash() }))?;
            } else {
                output::line(&output::join(vector, " "))?;
            }
        }
        Ok(())
    }
}
