//! `kinglet fill-mask`: guess the tokens under masks.

use anyhow::{Context, Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use kinglet_convert::inputs::{Input, Reader};
use kinglet_convert::tokenizer::spelling;
use serde_json::{Value, json};

use super::engine::{About, Engine, ModelArgs, task_name};
use super::input::InputArgs;
use super::{number, output};

/// Guess the tokens under masks: each by itself, or one after the other.
#[derive(Args, Debug)]
pub(crate) struct FillMask {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The mask's token id, if the model does not say it.
    #[arg(long)]
    mask_id: Option<u32>,
    /// Guesses to print for each mask.
    #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_parser = number::at_least_one())]
    top_k: usize,
    /// Fill one mask at a time, the most certain first, and guess the others in the filled text.
    #[arg(long)]
    in_turn: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The guesses for one mask, the likeliest first.
struct Guesses {
    position: usize,
    candidates: Vec<(u32, f32)>,
}

impl FillMask {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, tokens, .. } = engine.about()?;
        if spec.head.task != Task::MaskedLm {
            bail!(
                "this model fills no masks: it is for {}\nconvert a checkpoint with a masked language model's head",
                task_name(spec.head.task)
            );
        }
        let mask = self
            .mask_id
            .or(tokens.mask)
            .context("the model does not say which token is the mask\ngive its id with --mask-id")?;
        let reader = engine.reader()?;
        for mut input in self.input.read(&reader)? {
            if !input.ids.contains(&mask) {
                bail!("the text has no mask to fill\nput the token {mask} where the words are to be guessed");
            }
            let mut masks = Vec::new();
            loop {
                let mut guesses = self.guess(&engine, &input, mask)?;
                if !self.in_turn {
                    masks = guesses;
                    for guess in &masks {
                        input.ids[guess.position] = guess.candidates.first().map_or(mask, |(token, _)| *token);
                    }
                    break;
                }
                let certainty = |guesses: &Guesses| guesses.candidates.first().map_or(0.0, |(_, score)| *score);
                guesses.sort_by(|a, b| certainty(b).total_cmp(&certainty(a)).then(a.position.cmp(&b.position)));
                let Some(surest) = guesses.into_iter().next() else { break };
                input.ids[surest.position] = surest.candidates.first().map_or(mask, |(token, _)| *token);
                masks.push(surest);
            }
            masks.sort_by_key(|guesses| guesses.position);
            self.print(&masks, &input, &reader)?;
        }
        Ok(())
    }

    /// The guesses for every mask. The mask token itself is not a guess.
    fn guess(&self, engine: &Engine, input: &Input, mask: u32) -> Result<Vec<Guesses>> {
        if !input.ids.contains(&mask) {
            return Ok(Vec::new());
        }
        let rows = engine.rows(input)?;
        let masked = input.ids.iter().zip(&rows.real).enumerate().filter(|(_, (id, _))| **id == mask);
        Ok(masked
            .map(|(position, (_, logits))| {
                let largest = logits.iter().copied().fold(f32::MIN, f32::max);
                let sum: f32 = logits.iter().map(|x| libm::expf(x - largest)).sum();
                let mut candidates: Vec<(u32, f32)> =
                    (0..).zip(logits.iter().map(|x| libm::expf(x - largest) / sum)).collect();
                candidates.retain(|(token, _)| *token != mask);
                candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                candidates.truncate(self.top_k);
                Guesses { position, candidates }
            })
            .collect())
    }

    fn print(&self, masks: &[Guesses], filled: &Input, reader: &Reader) -> Result<()> {
        let tokenizer = reader.tokenizer.as_ref();
        let spelt = |id: u32| tokenizer.as_ref().map(|tokenizer| spelling(tokenizer, id));
        if self.json || self.input.is_many() {
            let candidates = |guesses: &Guesses| {
                Value::from_iter(
                    guesses
                        .candidates
                        .iter()
                        .map(|(id, score)| json!({ "id": id, "token": spelt(*id), "score": score })),
                )
            };
            let masks: Vec<Value> = masks
                .iter()
                .map(|guesses| json!({ "position": guesses.position, "candidates": candidates(guesses) }))
                .collect();
            return output::json(&json!({ "masks": masks, "ids": filled.ids, "text": reader.decode(&filled.ids) }));
        }
        for guesses in masks {
            let candidates: Vec<String> = guesses
                .candidates
                .iter()
                .map(|(id, score)| {
                    let token = spelt(*id).unwrap_or_else(|| id.to_string());
                    format!("{token} ({score:.3})")
                })
                .collect();
            output::line(&format!("position {}: {}", guesses.position, candidates.join(", ")))?;
        }
        output::line(&reader.decode(&filled.ids).unwrap_or_else(|| output::join(&filled.ids, ",")))
    }
}
