//! `kinglet bench`: measure how fast a blob runs on this machine.

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use kinglet::format::spec::Pooling;
use kinglet::sample::argmax;
use kinglet::{MemoryPlan, Model, Session};
use kinglet_convert::texts::spread_ids;
use serde::Serialize;

use super::engine::{arena, open, read_blob};
use super::{number, output};

/// Measure how fast a blob runs on this machine. Prints medians of several runs, which are
/// interleaved.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// The blob.
    model: PathBuf,
    /// The lengths to run; by default 256 tokens for a decoder, and 8, 32, 128 and 256 for an
    /// encoder.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true, value_parser = number::at_least_one())]
    lengths: Vec<usize>,
    /// The work of a decoder: generate without a prompt, or read a prompt; by default both.
    #[arg(long, value_delimiter = ',')]
    run: Vec<What>,
    /// Tokens that go through a layer together.
    #[arg(long, default_value_t = 128, allow_negative_numbers = true, value_parser = number::tile())]
    tile: usize,
    /// Kernel sets, such as scalar; by default the fastest that this machine has.
    #[arg(long, value_delimiter = ',')]
    kernels: Vec<String>,
    /// The numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1", allow_negative_numbers = true, value_parser = number::threads())]
    threads: Vec<usize>,
    /// Runs of each measurement.
    #[arg(long, default_value_t = 9, allow_negative_numbers = true, value_parser = number::at_least_one())]
    runs: usize,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The kinds of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum What {
    /// Greedy generation, one token at a time.
    Generate,
    /// A prompt, and the logits after it.
    Prefill,
    /// A text, and the output of the head.
    #[value(skip)]
    Encode,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Prefill => "prefill",
            Self::Encode => "encode",
        }
    }
}

/// One thing to measure.
#[derive(Clone, Copy)]
struct Case<'a> {
    what: What,
    tokens: usize,
    kernels: Option<&'a str>,
    threads: usize,
}

#[derive(Debug, Serialize)]
struct Measured {
    what: What,
    tokens: usize,
    threads: usize,
    /// The median.
    milliseconds: f64,
    milliseconds_best: f64,
    tokens_per_second: f64,
    arena_bytes: u64,
    kernels: &'static str,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let blob = read_blob(&self.model)?;
        let model = open(&blob)?;
        let cases = self.cases(&model)?;
        let mut arenas = cases
            .iter()
            .map(|case| {
                let plan = self.plan(&model, case)?;
                Ok((plan, arena(&plan)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut sessions = Vec::new();
        for (case, (plan, arena)) in cases.iter().zip(&mut arenas) {
            let mut session = Session::with_plan(&model, arena, *plan)?;
            if let Some(kernels) = case.kernels {
                session.set_kernels(kernels)?;
            }
            session.set_threads(case.threads)?;
            sessions.push((case, session, plan.bytes(), Vec::new()));
        }
        let runs = self.runs;
        let progress = output::bar(cases.len() * (runs + 1));
        for run in 0..=runs {
            for (case, session, _, times) in &mut sessions {
                let time = time(&model, session, case)?;
                // The first run only fills the caches.
                times.extend((run > 0).then_some(time));
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        let answers: Vec<Measured> = sessions
            .into_iter()
            .map(|(case, session, arena_bytes, mut times)| {
                times.sort_unstable();
                let median = times[times.len() / 2].as_secs_f64();
                Measured {
                    what: case.what,
                    tokens: case.tokens,
                    threads: case.threads,
                    milliseconds: median * 1e3,
                    milliseconds_best: times[0].as_secs_f64() * 1e3,
                    tokens_per_second: case.tokens as f64 / median,
                    arena_bytes,
                    kernels: session.kernels(),
                }
            })
            .collect();
        if self.json {
            return output::json(&serde_json::json!({ "bench": answers }));
        }
        for answer in answers {
            output::line(&format!(
                "{} {} tokens: {:.3} ms ({:.3} at best), {:.0} tokens/s, {} bytes of arena, {} kernels, {} thread{}",
                answer.what.name(),
                answer.tokens,
                answer.milliseconds,
                answer.milliseconds_best,
                answer.tokens_per_second,
                answer.arena_bytes,
                answer.kernels,
                answer.threads,
                if answer.threads == 1 { "" } else { "s" }
            ))?;
        }
        Ok(())
    }

    /// The measurements: each length in each way.
    fn cases(&self, model: &Model<'_>) -> Result<Vec<Case<'_>>> {
        let spec = model.spec();
        let positions = spec.encoder.as_ref().or(spec.decoder.as_ref()).map_or(0, |stack| stack.max_positions as usize);
        let defaults: &[usize] = if spec.encoder.is_some() { &[8, 32, 128, 256] } else { &[256] };
        if let Some(long) = self.lengths.iter().find(|&&length| length > positions) {
            bail!("--lengths has {long}, and the model has {positions} positions\ngive lengths up to that");
        }
        let lengths: Vec<usize> = match self.lengths.as_slice() {
            [] => defaults.iter().map(|&length| length.min(positions)).collect(),
            given => given.to_vec(),
        };
        let whats: &[What] = match (&spec.encoder, self.run.as_slice()) {
            (Some(_), _) => &[What::Encode],
            (None, []) => &[What::Generate, What::Prefill],
            (None, run) => run,
        };
        let kernels =
            || self.kernels.iter().map(|name| Some(name.as_str())).chain(self.kernels.is_empty().then_some(None));
        let mut cases = Vec::new();
        for tokens in lengths {
            for &what in whats {
                for kernels in kernels() {
                    cases.extend(self.threads.iter().map(|&threads| Case { what, tokens, kernels, threads }));
                }
            }
        }
        Ok(cases)
    }

    fn plan(&self, model: &Model<'_>, case: &Case<'_>) -> Result<MemoryPlan> {
        // Generation runs one token at a time.
        let tile = if case.what == What::Generate { 1 } else { self.tile };
        let (target, source) = if case.what == What::Encode { (1, case.tokens) } else { (case.tokens, 0) };
        Ok(MemoryPlan::new(model.spec(), target, source, tile)?)
    }
}

/// The duration of one run.
fn time(model: &Model<'_>, session: &mut Session<'_, '_>, case: &Case<'_>) -> Result<Duration> {
    let spec = model.spec();
    let stack = spec.encoder.as_ref().or(spec.decoder.as_ref());
    let mut ids = spread_ids(case.tokens, stack.map_or(1, |stack| stack.embedding.vocab_size));
    if let (Pooling::AtLast(end), Some(last)) = (spec.head.pooling, ids.last_mut()) {
        *last = end;
    }
    let start = Instant::now();
    match case.what {
        What::Encode => {
            session.encode(&ids, &[])?;
            if spec.decoder.is_none() {
                session.logits()?;
            }
        }
        What::Prefill => {
            session.reset();
            session.prefill(&ids)?;
            session.logits()?;
        }
        What::Generate => {
            session.reset();
            let mut token = ids.first().copied().unwrap_or(0);
            for _ in 0..case.tokens {
                token = argmax(session.step(token)?);
            }
        }
    }
    Ok(start.elapsed())
}
