//! `kinglet classify`: label a text.

use std::io::{self, IsTerminal};

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use serde_json::json;

use super::engine::{About, ModelArgs, task_name};
use super::input::InputArgs;
use super::{number, output};

/// Label a text: print the probabilities of its labels, the likeliest first, or the numbers of a
/// regression.
#[derive(Args, Debug)]
pub(crate) struct Classify {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The most labels to print, the likeliest first; by default all with --json or in a file of
    /// JSON, and otherwise five.
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = number::at_least_one())]
    top_k: Option<usize>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The number of labels that a person is shown.
const SHOWN: usize = 5;

impl Classify {
    /// The most labels to print.
    fn most(&self) -> usize {
        let read_by_program = self.json || (self.input.is_many() && !io::stdout().is_terminal());
        self.top_k.unwrap_or(if read_by_program { usize::MAX } else { SHOWN })
    }

    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, labels, .. } = engine.about()?;
        let task = spec.head.task;
        if !matches!(task, Task::Classification | Task::MultiLabelClassification | Task::Regression) {
            bail!(
                "this model does not classify texts: it is for {}\nconvert a checkpoint of a classifier",
                task_name(task)
            );
        }
        engine.each(&self.input.read(&engine.reader()?)?, |_, rows| {
            let logits = rows.real.first().map_or(&[][..], Vec::as_slice);
            let mut scores: Vec<(String, f32)> = scores(task, logits)
                .into_iter()
                .enumerate()
                .map(|(index, score)| (labels.get(index).cloned().unwrap_or_else(|| format!("LABEL_{index}")), score))
                .collect();
            if task != Task::Regression {
                scores.sort_by(|a, b| b.1.total_cmp(&a.1));
                scores.truncate(self.most());
            }
            if self.json || self.input.is_many() {
                let labels: Vec<_> =
                    scores.iter().map(|(label, score)| json!({ "label": label, "score": score })).collect();
                output::json(&json!({ "labels": labels, "hash": rows.hash() }))
            } else {
                scores.iter().try_for_each(|(label, score)| output::line(&format!("{score:.4} {label}")))
            }
        })
    }
}

/// The values of the logits for a task: probabilities, or the numbers of a regression.
pub(crate) fn scores(task: Task, logits: &[f32]) -> Vec<f32> {
    match task {
        Task::Regression => logits.to_vec(),
        Task::MultiLabelClassification => logits.iter().map(|&x| 1.0 / (1.0 + libm::expf(-x))).collect(),
        Task::ReplacedToken => scores(Task::MultiLabelClassification, logits),
        _ => {
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            let powers: Vec<f32> = logits.iter().map(|&x| libm::expf(x - largest)).collect();
            let sum: f32 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        }
    }
}
