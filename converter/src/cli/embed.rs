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
    /// What stands before each text, by its name in the model: without this option the model's
    /// default, if it has one; "" for none.
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl Embed {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, prompts, .. } = engine.about()?;
        if spec.head.task != Task::Embedding {
            let what = task_name(spec.head.task);
            bail!(
                "this model makes no sentence vectors: it is for {what}\nconvert a sentence-transformers folder, or add --task embed"
            );
        }
        let prompt = prompts.choose(self.prompt.as_deref())?;
        let mut reader = engine.reader()?;
        if let Some((_, text)) = prompt {
            reader.prompt.clone_from(text);
        }
        let inputs = self.input.read(&reader)?;
        if let (true, Some((name, text))) = (inputs.iter().any(|input| !input.texts.is_empty()), prompt) {
            output::note(&format!("each text begins with the prompt {name:?}: {text:?}"));
        } else if self.prompt.is_some() && inputs.iter().any(|input| input.texts.is_empty()) {
            bail!("token ids have no prompt\ngive texts, or leave --prompt out");
        }
        engine.each(&inputs, |_, rows| {
            let vector = rows.real.first().map_or(&[][..], Vec::as_slice);
            if self.json || self.input.is_many() {
                output::json(&json!({ "embedding": vector, "hash": rows.hash() }))
            } else {
                output::line(&output::join(vector, " "))
            }
        })
    }
}
