//! `kinglet bench`: how fast a blob runs here.

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use kinglet::sample::argmax;
use kinglet::{MemoryPlan, Model, Session};
use kinglet_convert::convert::spread_ids;
use serde::Serialize;

use super::engine::{arena, open, read_blob};
use super::output;

/// Measure how fast a blob runs here, on one thread: medians of several runs.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// The blob.
    model: PathBuf,
    /// Lengths to run; by default 256 tokens of a decoder, and 8, 32, 128 and 256 of an encoder.
    #[arg(long, value_delimiter = ',')]
    lengths: Vec<usize>,
    /// Tokens that go through a layer together.
    #[arg(long, default_value_t = 32)]
    tile: usize,
    /// The kernel set, such as scalar; by default the fastest that this machine has.
    #[arg(long)]
    kernels: Option<String>,
    /// Runs of each.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// One JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Measured {
    what: &'static str,
    tokens: usize,
    milliseconds: f64,
    tokens_per_second: f64,
    arena_bytes: u64,
    kernels: &'static str,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let spec = model.spec();
        let positions = spec.encoder.as_ref().or(spec.decoder.as_ref()).map_or(0, |stack| stack.max_positions as usize);
        let defaults: &[usize] = if spec.encoder.is_some() { &[8, 32, 128, 256] } else { &[256] };
        let wanted = if self.lengths.is_empty() { defaults } else { &self.lengths };
        let lengths: Vec<usize> = wanted.iter().map(|&len| len.clamp(1, positions.max(1))).collect();
        let kinds: &[&str] = if spec.encoder.is_some() { &["encode"] } else { &["generate", "prefill"] };
        let progress = ProgressBar::new((lengths.len() * kinds.len() * self.runs) as u64);
        let mut answers = Vec::new();
        for &tokens in &lengths {
            for &what in kinds {
                answers.push(self.measure(&model, what, tokens, &progress)?);
            }
        }
        progress.finish_and_clear();
        if self.json {
            return output::json(&serde_json::json!({ "bench": answers }));
        }
        for answer in answers {
            output::line(&format!(
                "{} {} tokens: {:.3} ms, {:.0} tokens/s, {} bytes of arena, {} kernels",
                answer.what,
                answer.tokens,
                answer.milliseconds,
                answer.tokens_per_second,
                answer.arena_bytes,
                answer.kernels
            ))?;
        }
        Ok(())
    }

    fn measure(
        &self,
        model: &Model<'_>,
        what: &'static str,
        tokens: usize,
        progress: &ProgressBar,
    ) -> Result<Measured> {
        let spec = model.spec();
        // One token at a time needs no tile.
        let tile = if what == "generate" { 1 } else { self.tile };
        let encoder = spec.encoder.is_some();
        let plan = MemoryPlan::new(spec, if encoder { 1 } else { tokens }, if encoder { tokens } else { 0 }, tile)?;
        let mut arena = arena(&plan)?;
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        if let Some(kernels) = &self.kernels {
            session.set_kernels(kernels)?;
        }
        let stack = spec.encoder.as_ref().or(spec.decoder.as_ref());
        let ids = spread_ids(tokens, stack.map_or(1, |stack| stack.embedding.vocab_size));
        let mut run = || -> Result<Duration> {
            let start = Instant::now();
            match what {
                "encode" => {
                    session.encode(&ids, &[])?;
                    session.logits()?;
                }
                "prefill" => {
                    session.reset();
                    session.prefill(&ids)?;
                    session.logits()?;
                }
                _ => {
                    session.reset();
                    let mut token = ids.first().copied().unwrap_or(0);
                    for _ in 0..tokens {
                        token = argmax(session.step(token)?);
                    }
                }
            }
            progress.inc(1);
            Ok(start.elapsed())
        };
        run()?;
        let mut times = (0..self.runs.max(1)).map(|_| run()).collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64();
        Ok(Measured {
            what,
            tokens,
            milliseconds: median * 1e3,
            tokens_per_second: tokens as f64 / median,
            arena_bytes: plan.bytes(),
            kernels: session.kernels(),
        })
    }
}
