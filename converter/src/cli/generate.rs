//! `kinglet generate`: write on.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet::Session;
use kinglet::format::blob::SpecialTokens;
use kinglet::format::spec::{Direction, ModelSpec, Task};
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::task::{GenerateOptions, Stop, generate};
use kinglet_convert::convert::Source;
use kinglet_convert::reference::Reference;
use serde_json::json;

use super::engine::{Engine, ModelArgs, arena, likeliest, open, plan};
use super::input::{Input, InputArgs};
use super::output;

/// The longest text that one command writes.
const MAX_TEXT: usize = 1 << 15;

/// Write on from a text: greedily, or at random.
#[derive(Args, Debug)]
pub(crate) struct Generate {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Write at most so many tokens; as many as fit if this is not given.
    #[arg(short = 'n', long)]
    max_new_tokens: Option<usize>,
    /// Divides the logits: 0 takes the likeliest token each time.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Keep only the K likeliest tokens; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    /// Keep the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = 1.0)]
    top_p: f32,
    /// Keep tokens with at least this fraction of the likeliest one's probability.
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Make tokens already seen less likely; 1 for no change.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Where the random numbers begin; the same seed gives the same text on every machine.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on after a token that ends a text.
    #[arg(long)]
    ignore_eos: bool,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// What was written, in reading order.
struct Written {
    ids: Vec<u32>,
    stop: Stop,
}

impl Generate {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let (spec, tokens, _) = engine.about()?;
        if spec.head.task != Task::CausalLm || spec.decoder.is_none() {
            bail!(
                "this model does not write: its head does not predict the next token\nuse `kinglet inspect` to see what it is for"
            );
        }
        for input in self.input.read()? {
            let limit = spec.decoder.map_or(0, |stack| stack.max_positions as usize);
            let begun = if spec.encoder.is_some() { input.decoder_ids.len().max(1) } else { input.ids.len() };
            let room = limit.checked_sub(begun).filter(|_| begun > 0).with_context(|| {
                format!("there are {begun} tokens to begin with, and the model has {limit} positions\ngive at least one token and at most {limit}")
            })?;
            // The last token that is written need not be read.
            let max_new_tokens = self.max_new_tokens.unwrap_or(room).min(room + 1);
            let mut written = match &engine {
                Engine::Blob(blob) => self.with_runtime(blob, &tokens, &input, max_new_tokens)?,
                Engine::Checkpoint(source) => self.with_reference(source, &spec, &tokens, &input, max_new_tokens)?,
            };
            if spec.direction == Direction::Backward {
                written.ids.reverse();
            }
            if self.json || self.input.is_many() {
                let stop = match written.stop {
                    Stop::Token => "eos",
                    _ => "length",
                };
                output::json(&json!({ "ids": written.ids, "prompt_ids": input.ids, "stop": stop }))?;
            } else {
                output::line(&output::join(&written.ids, ","))?;
            }
        }
        Ok(())
    }

    /// What the decoder reads first.
    fn begin(input: &Input, spec: &ModelSpec, tokens: &SpecialTokens) -> Result<Vec<u32>> {
        if spec.encoder.is_none() {
            return Ok(input.ids.clone());
        }
        if !input.decoder_ids.is_empty() {
            return Ok(input.decoder_ids.clone());
        }
        let start = tokens.decoder_start.or(tokens.bos);
        Ok(vec![
            start.ok_or_else(|| anyhow!("the model says no token that its output begins with\ngive --decoder-ids"))?,
        ])
    }

    fn with_runtime(
        &self,
        blob: &[u8],
        tokens: &SpecialTokens,
        input: &Input,
        max_new_tokens: usize,
    ) -> Result<Written> {
        let model = open(blob)?;
        let spec = model.spec();
        let mut text = heapless::Vec::<u32, MAX_TEXT>::new();
        let begin = Self::begin(input, spec, tokens)?;
        text.extend_from_slice(&begin).map_err(|_| anyhow!("the text is longer than {MAX_TEXT} tokens\nshorten it"))?;
        let decoder_input = Input { decoder_ids: begin.clone(), ..input.clone() };
        let plan = plan(spec, &decoder_input, max_new_tokens.saturating_sub(1))?;
        let mut arena = arena(&plan)?;
        let mut session = Session::with_plan(&model, &mut arena, plan)?;
        if spec.encoder.is_some() {
            session.encode(&input.ids, &input.token_types)?;
        }
        let mut sampler = Sampler::new(SamplerOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        });
        let stop: &[u32] = if self.ignore_eos { &[] } else { &tokens.eos };
        let options = GenerateOptions {
            stop,
            suppressed: &tokens.suppressed,
            forced_bos: tokens.forced_bos,
            forced_eos: tokens.forced_eos.filter(|_| self.max_new_tokens.is_some()),
            ..GenerateOptions::new(max_new_tokens)
        };
        let stop = generate(&mut session, &mut text, &options, &mut sampler, |_| true)?;
        Ok(Written { ids: text[begin.len()..].to_vec(), stop })
    }

    fn with_reference(
        &self,
        source: &Source,
        spec: &ModelSpec,
        tokens: &SpecialTokens,
        input: &Input,
        max_new_tokens: usize,
    ) -> Result<Written> {
        if self.temperature > 0.0 {
            bail!("the reference writes greedily\nleave out --temperature, or run the blob");
        }
        let mut reference = Reference::new(spec, &source.weights);
        if spec.encoder.is_some() {
            let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
            reference.encode(&input.ids, &types)?;
        }
        let mut next = Self::begin(input, spec, tokens)?;
        if spec.direction == Direction::Backward {
            next.reverse();
        }
        let mut ids = Vec::new();
        while ids.len() < max_new_tokens {
            let hidden = reference.decode(&next)?;
            let mut logits = reference.head(&hidden)?;
            let row = logits.rows_mut().last().context("the model has no logits")?;
            tokens.suppressed.iter().for_each(|&token| row[token as usize] = f32::MIN);
            let last = self.max_new_tokens.is_some() && ids.len() + 1 == max_new_tokens;
            let forced = if ids.is_empty() && tokens.forced_bos.is_some() {
                tokens.forced_bos
            } else {
                tokens.forced_eos.filter(|_| last)
            };
            let token = forced.unwrap_or_else(|| likeliest(row));
            ids.push(token);
            if !self.ignore_eos && tokens.eos.contains(&token) {
                return Ok(Written { ids, stop: Stop::Token });
            }
            next = vec![token];
        }
        Ok(Written { ids, stop: Stop::Length })
    }
}
