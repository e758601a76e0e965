//! `kinglet embed`: turn a text into a vector, a vector for each token, or weights of the
//! vocabulary's tokens.

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Task;
use serde_json::json;

use super::engine::{About, ModelArgs, task_name};
use super::input::InputArgs;
use super::output;

/// Turn a text into a vector.
///
/// A ColBERT model gives a vector for each token, and a SPLADE model weights of the vocabulary's
/// tokens.
#[derive(Args, Debug)]
pub(crate) struct Embed {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The prompt to put before each text, by its name in the model; by default the model's default
    /// prompt, if it has one; "" for none.
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// Print the weights of a SPLADE model: an id and a weight per line, the largest first.
    #[arg(long)]
    sparse: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Embed {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, prompts, .. } = engine.about()?;
        let (sparse, each_token) = (self.sparse, spec.head.task == Task::Hidden && spec.head.normalize);
        if sparse && spec.head.task != Task::MaskedLm {
            bail!("this model has no head for masked tokens, which gives the weights\nleave --sparse out");
        }
        if !sparse && !each_token && spec.head.task != Task::Embedding {
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
            if sparse {
                return self.write_weights(&weights(&rows.real));
            }
            if each_token {
                if self.json || self.input.is_many() {
                    return output::json(&json!({ "embeddings": rows.real, "hash": rows.hash() }));
                }
                return rows.real.iter().try_for_each(|vector| output::line(&output::join(vector, " ")));
            }
            let vector = rows.real.first().map_or(&[][..], Vec::as_slice);
            if self.json || self.input.is_many() {
                output::json(&json!({ "embedding": vector, "hash": rows.hash() }))
            } else {
                output::line(&output::join(vector, " "))
            }
        })
    }

    fn write_weights(&self, weights: &[(usize, f32)]) -> Result<()> {
        if self.json || self.input.is_many() {
            return output::json(&json!({ "weights": weights }));
        }
        weights.iter().try_for_each(|(token, weight)| output::line(&format!("{token} {weight}")))
    }
}

/// The nonzero weights, the largest first, each from a token's largest logit, as in
/// [`sparse`](kinglet::task::sparse).
fn weights(rows: &[Vec<f32>]) -> Vec<(usize, f32)> {
    let width = rows.first().map_or(0, Vec::len);
    let most = |token: usize| rows.iter().map(|row| row[token]).fold(0.0, f32::max);
    let mut found: Vec<(usize, f32)> = (0..width).map(|token| (token, most(token).ln_1p())).collect();
    found.retain(|(_, weight)| *weight > 0.0);
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found
}
