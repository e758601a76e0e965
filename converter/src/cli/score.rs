//! `kinglet score`: print how likely a text is.

use anyhow::{Context, Result, bail};
use clap::Args;
use kinglet::format::spec::{Direction, Task};
use kinglet_convert::inputs::Input;
use serde_json::json;

use super::engine::{About, Engine, ModelArgs, task_name};
use super::input::InputArgs;
use super::output;

/// Print how likely each token of a text is, given the tokens read before it or, for an encoder,
/// all others.
#[derive(Args, Debug)]
pub(crate) struct Score {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The mask's token id, if an encoder does not say it.
    #[arg(long)]
    mask_id: Option<u32>,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Score {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, tokens, .. } = engine.about()?;
        let reader = engine.reader()?;
        for input in self.input.read(&reader)? {
            let log_probs = match spec.head.task {
                Task::CausalLm if spec.encoder.is_none() => left_to_right(&engine, &input, spec.direction)?,
                Task::CausalLm => target(&engine, &input)?,
                Task::MaskedLm => {
                    let mask = self
                        .mask_id
                        .or(tokens.mask)
                        .context("the model does not say which token is the mask\ngive its id with --mask-id")?;
                    pseudo(&engine, &input, mask)?
                }
                task => bail!("this model predicts no tokens: it is for {}\nconvert a language model", task_name(task)),
            };
            let known: Vec<f64> = log_probs.iter().flatten().copied().collect();
            let total: f64 = known.iter().sum();
            let perplexity = (!known.is_empty()).then(|| libm::exp(-total / known.len() as f64));
            let ids = if spec.encoder.is_some() && spec.decoder.is_some() { &input.decoder_ids } else { &input.ids };
            if self.json || self.input.is_many() {
                output::json(
                    &json!({ "ids": ids, "tokens": reader.spell(ids), "log_probs": log_probs, "log_prob": total, "perplexity": perplexity }),
                )?;
                continue;
            }
            for (id, log_prob) in ids.iter().zip(&log_probs) {
                output::line(&log_prob.map_or_else(|| format!("{id} -"), |log_prob| format!("{id} {log_prob:.4}")))?;
            }
            if let Some(perplexity) = perplexity {
                output::line(&format!("log-probability {total:.4}, perplexity {perplexity:.4}"))?;
            }
        }
        Ok(())
    }
}

/// The log-probability of each token given the tokens read before it; `None` for the first one
/// read.
fn left_to_right(engine: &Engine, input: &Input, direction: Direction) -> Result<Vec<Option<f64>>> {
    let rows = engine.rows(input)?.real;
    let read_before = |position: usize| match direction {
        Direction::Forward => position.checked_sub(1),
        Direction::Backward => Some(position + 1),
    };
    let each = input.ids.iter().enumerate().map(|(position, &id)| {
        let row = rows.get(read_before(position)?)?;
        Some(log_probability(row, id))
    });
    Ok(each.collect())
}

/// The log-probability of each token of an encoder-decoder's output, given the source and the
/// tokens before it.
fn target(engine: &Engine, input: &Input) -> Result<Vec<Option<f64>>> {
    if input.decoder_ids.is_empty() {
        bail!("there is no output to score\ngive it with --decoder-ids, the start token first");
    }
    let rows = engine.rows(input)?.real;
    let next = input.decoder_ids.iter().skip(1).zip(&rows).map(|(&id, row)| Some(log_probability(row, id)));
    Ok([None].into_iter().chain(next).collect())
}

/// The log-probability of each token under a mask, given all others (arXiv 1910.14659); `None` for
/// the first and the last token, which frame the text.
fn pseudo(engine: &Engine, input: &Input, mask: u32) -> Result<Vec<Option<f64>>> {
    let mut masked = input.clone();
    let mut log_probs = vec![None; input.ids.len()];
    let inside = log_probs.len().saturating_sub(1);
    for (position, log_prob) in log_probs.iter_mut().enumerate().take(inside).skip(1) {
        let token = core::mem::replace(&mut masked.ids[position], mask);
        let rows = engine.rows(&masked)?.real;
        masked.ids[position] = token;
        *log_prob = rows.get(position).map(|row| log_probability(row, token));
    }
    Ok(log_probs)
}

fn log_probability(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| libm::exp(f64::from(x - largest))).sum();
    logits.get(token as usize).map_or(f64::NEG_INFINITY, |&x| f64::from(x - largest) - libm::log(sum))
}
