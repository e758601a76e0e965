//! `kinglet answer`: find the answer to a question in a text.

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use kinglet_convert::inputs::Input;
use serde_json::json;

use super::engine::{About, ModelArgs, task_name};
use super::input::InputArgs;
use super::{number, output};

/// Find the span of the context that answers the question. The context is the tokens of type 1, or
/// without types all tokens but the first.
#[derive(Args, Debug)]
pub(crate) struct Answer {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The longest answer, in tokens.
    #[arg(long, default_value_t = 30, allow_negative_numbers = true, value_parser = number::at_least_one())]
    max_answer_len: usize,
    /// Never say that there is no answer.
    #[arg(long)]
    always: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Answer {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, .. } = engine.about()?;
        let reader = engine.reader()?;
        if spec.head.task != Task::QuestionAnswering {
            let what = task_name(spec.head.task);
            bail!(
                "this model answers no questions: it is for {what}\nconvert a checkpoint with a question answering head"
            );
        }
        for input in self.input.read(&reader)? {
            let rows = engine.rows(&input)?.real;
            let context = context(&input);
            let logit = |position: usize, column: usize| rows[position].get(column).copied().unwrap_or(f32::MIN);
            let mut best: Option<(f32, usize, usize)> = None;
            for &start in &context {
                for &end in context.iter().filter(|&&end| end >= start && end - start < self.max_answer_len) {
                    let score = logit(start, 0) + logit(end, 1);
                    if best.is_none_or(|(most, ..)| score > most) {
                        best = Some((score, start, end));
                    }
                }
            }
            let none = logit(0, 0) + logit(0, 1);
            let best = best.filter(|(score, ..)| self.always || *score > none);
            let span = best.and_then(|(_, start, end)| input.span(start..end + 1));
            if self.json || self.input.is_many() {
                let ids = best.map(|(_, start, end)| &input.ids[start..=end]);
                output::json(&json!({
                    "start": best.map(|best| best.1),
                    "end": best.map(|best| best.2),
                    "ids": ids.unwrap_or_default(),
                    "text": span.as_ref().map(|(text, ..)| text),
                    "offsets": span.as_ref().map(|(_, start, end)| [start, end]),
                    "score": best.map(|best| best.0),
                    "no_answer_score": none,
                }))?;
                continue;
            }
            match best {
                Some((score, ..)) if span.is_some() => {
                    let text = span.map(|(text, ..)| text).unwrap_or_default();
                    output::line(&format!("{text} ({score:.4}, none {none:.4})"))?;
                }
                Some((score, start, end)) => {
                    let ids = output::join(&input.ids[start..=end], ",");
                    output::line(&format!("tokens {start} to {end}: {ids} ({score:.4}, none {none:.4})"))?;
                }
                None => output::line(&format!("no answer ({none:.4})"))?,
            }
        }
        Ok(())
    }
}

/// The positions that may be part of an answer.
fn context(input: &Input) -> Vec<usize> {
    let typed = input.token_types.contains(&1);
    let inside = |position: usize| {
        match input.tokens.get(position) {
            // Special tokens are not part of an answer.
            Some(token) => token.text == Some(1) || (input.texts.len() < 2 && token.text.is_some()),
            None if typed => input.token_types.get(position) == Some(&1),
            None => position > 0,
        }
    };
    (0..input.ids.len()).filter(|&position| inside(position)).collect()
}
