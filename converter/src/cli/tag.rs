//! `kinglet tag`: label each token of a text.

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use kinglet::task::{Aggregation, Entities, Entity, kind};
use kinglet_convert::inputs::Input;
use serde_json::{Value, json};

use super::classify::scores;
use super::engine::{About, ModelArgs, task_name};
use super::input::InputArgs;
use super::output;

/// Label each token of a text: print its likeliest label, and the probability of that label.
///
/// A discriminator gives the probability that the token was replaced.
#[derive(Args, Debug)]
pub(crate) struct Tag {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Merge neighbouring tokens of one kind: each token has its own label, or a word has the label
    /// of its first token, of its tokens' mean, or of its most certain token.
    #[arg(long, value_name = "HOW")]
    group: Option<Group>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// How the tokens of a word agree on its label.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Group {
    Simple,
    First,
    Average,
    Max,
}

impl From<Group> for Aggregation {
    fn from(group: Group) -> Self {
        match group {
            Group::Simple => Self::Simple,
            Group::First => Self::First,
            Group::Average => Self::Average,
            Group::Max => Self::Max,
        }
    }
}

/// The entities in rows of scores.
fn group(labels: &[String], rows: &[Vec<f32>], input: &Input, aggregation: Aggregation) -> Vec<Entity> {
    let (names, mut word) = (labels.join("\n"), vec![0.0; labels.len()]);
    let mut found = Vec::new();
    let mut entities = Entities::new(&names, aggregation, &mut word);
    for (position, scores) in rows.iter().enumerate() {
        // Special tokens belong to no entity.
        if input.tokens.get(position).is_some_and(|token| token.text.is_none()) {
            entities.skip(|entity| found.push(entity));
            continue;
        }
        entities.push(scores, input.continues.get(position).copied().unwrap_or(false), |entity| found.push(entity));
    }
    entities.end(|entity| found.push(entity));
    found
}

impl Tag {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, labels, .. } = engine.about()?;
        let task = spec.head.task;
        if !matches!(task, Task::TokenClassification | Task::ReplacedToken) {
            bail!("this model labels no tokens: it is for {}\nconvert a checkpoint of a tagger", task_name(task));
        }
        let reader = engine.reader()?;
        engine.each(&self.input.read(&reader)?, |input, rows| {
            if let (Some(how), Task::TokenClassification) = (self.group, task) {
                let scores: Vec<Vec<f32>> = rows.real.iter().map(|logits| scores(task, logits)).collect();
                let found = group(&labels, &scores, input, how.into());
                let label = |entity: &Entity| kind(labels.get(entity.label).map_or("", String::as_str)).to_owned();
                if self.json || self.input.is_many() {
                    let entities = found.iter().map(|entity| {
                        let span = input.span(entity.start..entity.end);
                        let (text, offsets) = span.map(|(text, start, end)| (text, [start, end])).unzip();
                        json!({
                            "label": label(entity), "score": entity.score, "start": entity.start, "end": entity.end,
                            "text": text, "offsets": offsets,
                        })
                    });
                    output::json(&json!({ "entities": Value::from_iter(entities), "hash": rows.hash() }))?;
                } else {
                    found.iter().try_for_each(|entity| {
                        let (start, end, score) = (entity.start, entity.end, entity.score);
                        let text = input.span(start..end).map_or(format!("{start}..{end}"), |(text, ..)| text);
                        output::line(&format!("{text} {} {score:.4}", label(entity)))
                    })?;
                }
                return Ok(());
            }
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
                let tokens = reader.spell(&input.ids);
                output::json(&json!({ "labels": Value::from_iter(labels), "tokens": tokens, "hash": rows.hash() }))
            } else {
                found.iter().try_for_each(|(id, label, score)| output::line(&format!("{id} {label} {score:.4}")))
            }
        })
    }
}
