//! `kinglet tag`: label each token of a text.

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use serde_json::{Value, json};

use super::classify::scores;
use super::engine::{ModelArgs, task_name};
use super::input::InputArgs;
use super::output;

/// Label each token of a text: its likeliest label and that one's probability.
///
/// Of a discriminator, the probability that the token was replaced.
#[derive(Args, Debug)]
pub(crate) struct Tag {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl Tag {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let (spec, _, labels) = engine.about()?;
        let task = spec.head.task;
        if !matches!(task, Task::TokenClassification | Task::ReplacedToken) {
            bail!("this model labels no tokens: it is for {}\nconvert a checkpoint of a tagger", task_name(task));
        }
        for input in self.input.read()? {
            let rows = engine.rows(&input)?;
            let mut found = Vec::new();
            for (id, logits) in input.ids.iter().zip(&rows.real) {
                let scores = scores(task, logits);
                let best = (0..scores.len()).reduce(|best, next| if scores[next] > scores[best] { next } else { best });
                let best = best.unwrap_or(0);
                let unnamed = || if task == Task::ReplacedToken { "replaced".into() } else { format!("LABEL_{best}") };
                let label = labels.get(best).cloned().filter(|_| task != Task::ReplacedToken).unwrap_or_else(unnamed);
                found.push((*id, label, scores.get(best).copied().unwrap_or(0.0)));
            }
            if self.json || self.input.is_many() {
                let labels = found.iter().map(|(id, label, score)| json!({ "id": id, "label": label, "score": score }));
                output::json(&json!({ "labels": Value::from_iter(labels), "hash": rows.hash() }))?;
            } else {
                found.iter().try_for_each(|(id, label, score)| output::line(&format!("{id} {label} {score:.4}")))?;
            }
        }
        Ok(())
    }
}
