//! `kinglet eval`: measure a model on examples with known answers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet::Session;
use kinglet::format::spec::Task;
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::task::generate;
use kinglet_convert::files::read_text;
use kinglet_convert::inputs::{Input, Reader, json_lines, lines, parse};
use kinglet_convert::tokenizer::decode;
use serde_json::{Value, json};

use super::engine::{About, Engine, ModelArgs, arena, plan, task_name};
use super::output;

/// Measure a model on examples with known answers.
///
/// Each line of the file is an object: `text` with `label` for a classifier, with `labels` (one for
/// each word between spaces) for a tagger, with `target` for an encoder-decoder. For a decoder it
/// is a JSON string, and the result is the perplexity.
#[derive(Args, Debug)]
pub(crate) struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// The examples, as `.jsonl`; `-` reads such lines from standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Also print the examples that the model gets wrong.
    #[arg(long)]
    wrong: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The expected and the found answer of an example.
struct Answer {
    expected: String,
    found: String,
}

impl Eval {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let about = engine.about()?;
        let reader = engine.reader()?;
        let text = read_text(&self.input).with_context(|| format!("reading {}", self.input.display()))?;
        let (mut right, mut examples, mut log_probability, mut tokens) = (0_usize, 0_usize, 0.0, 0_usize);
        let is_piped = self.input == Path::new("-");
        let lines = if is_piped { json_lines(&self.input, &text)? } else { lines(&self.input, &text)? };
        let bar = output::bar(lines.len());
        for (number, line) in lines {
            let place = || format!("{} line {number}", self.input.display());
            let input = parse(&line, &reader).with_context(place)?;
            bar.inc(1);
            examples += 1;
            if line.is_string() {
                let (sum, count) = likelihood(&engine, &about, &input).with_context(place)?;
                log_probability += sum;
                tokens += count;
                continue;
            }
            let answer = answer(&engine, &about, &reader, &input, &line).with_context(place)?;
            right += usize::from(answer.expected == answer.found);
            if self.wrong && answer.expected != answer.found {
                bar.suspend(|| output::say(&format!("{}: {}, not {}", line["text"], answer.found, answer.expected)));
            }
        }
        bar.finish_and_clear();
        if examples == 0 {
            bail!("{} has no examples\ngive one on each line", self.input.display());
        }
        let told = if tokens > 0 {
            let perplexity = libm::exp(-log_probability / tokens as f64);
            (
                json!({ "examples": examples, "tokens": tokens, "perplexity": perplexity }),
                format!("perplexity {perplexity:.4} over {tokens} tokens of {examples} texts"),
            )
        } else {
            let accuracy = right as f64 / examples as f64;
            (
                json!({ "examples": examples, "right": right, "accuracy": accuracy }),
                format!("{right} of {examples} right: {:.1} %", 100.0 * accuracy),
            )
        };
        if self.json { output::json(&told.0) } else { output::line(&told.1) }
    }
}

/// The sum of the log-probabilities of a text's tokens, without the first one that is read, and the
/// number of these tokens.
fn likelihood(engine: &Engine, about: &About, input: &Input) -> Result<(f64, usize)> {
    if about.spec.head.task != Task::CausalLm || about.spec.encoder.is_some() {
        bail!(
            "a text alone says nothing about this model: it is for {}\ngive objects with the answers",
            task_name(about.spec.head.task)
        );
    }
    // The token that ends a text is part of it.
    let mut input = input.clone();
    let backward = about.spec.direction == kinglet::format::spec::Direction::Backward;
    if let Some(&end) = about.tokens.eos.first() {
        input.ids.insert(if backward { 0 } else { input.ids.len() }, end);
    }
    let rows = engine.rows(&input)?;
    // A row predicts the token that is read next: the one after it, or, if the model reads
    // backward, the one before it.
    let (rows, read_next) = if backward {
        (rows.real.get(1..).unwrap_or(&[]), input.ids.as_slice())
    } else {
        (rows.real.as_slice(), input.ids.get(1..).unwrap_or(&[]))
    };
    let log_probs = rows.iter().zip(read_next).map(|(row, &id)| {
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|&x| libm::exp(f64::from(x - largest))).sum();
        f64::from(row.get(id as usize).copied().unwrap_or(f32::MIN) - largest) - libm::log(sum)
    });
    let log_probs: Vec<f64> = log_probs.collect();
    Ok((log_probs.iter().sum(), log_probs.len()))
}

fn answer(engine: &Engine, about: &About, reader: &Reader, input: &Input, line: &Value) -> Result<Answer> {
    let expected = |key: &str| {
        let value = line.get(key).and_then(Value::as_str).map(str::to_owned);
        value.ok_or_else(|| anyhow!("it has no \"{key}\"\n{} is measured by that", task_name(about.spec.head.task)))
    };
    let likeliest = |row: &Vec<f32>| {
        let best = (0..row.len()).reduce(|best, next| if row[next] > row[best] { next } else { best });
        best.and_then(|best| about.labels.get(best)).cloned().unwrap_or_default()
    };
    match about.spec.head.task {
        Task::Classification => {
            let rows = engine.rows(input)?;
            Ok(Answer { expected: expected("label")?, found: rows.real.first().map(likeliest).unwrap_or_default() })
        }
        Task::TokenClassification => {
            let labels =
                line.get("labels").and_then(Value::as_array).context("it has no \"labels\"\ngive one for each word")?;
            let expected: Vec<&str> = labels.iter().filter_map(Value::as_str).collect();
            let rows = engine.rows(input)?;
            let text = line.get("text").and_then(Value::as_str).unwrap_or_default();
            // A word has the label of its first token.
            let starts = text.split_inclusive(' ').scan(0, |at, word| Some(core::mem::replace(at, *at + word.len())));
            let found = starts.map(|start| {
                let token = input.tokens.iter().position(|token| token.text.is_some() && token.start as usize == start);
                token.and_then(|token| rows.real.get(token)).map(likeliest).unwrap_or_default()
            });
            Ok(Answer { expected: expected.join(" "), found: found.collect::<Vec<_>>().join(" ") })
        }
        Task::CausalLm if about.spec.encoder.is_some() => {
            Ok(Answer { expected: expected("target")?, found: write(engine, about, reader, input)? })
        }
        task => bail!("models for {} are not measured yet\nuse `kinglet verify`", task_name(task)),
    }
}

/// The longest answer, in tokens.
const MAX_TEXT: usize = 256;

/// The output of an encoder-decoder, with the likeliest token at each step.
fn write(engine: &Engine, about: &About, reader: &Reader, input: &Input) -> Result<String> {
    let Engine::Blob(model, threads) = engine else {
        bail!("the reference writes one text at a time\ngive a blob");
    };
    let start = about
        .tokens
        .decoder_start
        .or(about.tokens.bos)
        .context("the model does not say which token its output begins with\nconvert it again")?;
    let decoder_input = Input { decoder_ids: vec![start], ..input.clone() };
    let room = about.spec.decoder.map_or(1, |stack| stack.max_positions as usize).min(MAX_TEXT) - 1;
    let plan = plan(model.spec(), &decoder_input, room)?;
    let mut arena = arena(&plan)?;
    let mut session = Session::with_plan(model, &mut arena, plan)?;
    session.set_threads(*threads)?;
    session.encode(&input.ids, &input.token_types)?;
    let mut text = heapless::Vec::<u32, MAX_TEXT>::from_array([start]);
    let bad_words: Vec<&[u32]> = about.tokens.each_bad_word().collect();
    let options = about.restrictions(&bad_words, text.len(), None, room)?;
    let repetition_penalty = about.generation.repetition_penalty as f32 / 65536.0;
    let mut sampler = Sampler::new(SamplerOptions { repetition_penalty, ..SamplerOptions::GREEDY })?;
    generate(&mut session, &mut text, &options, &mut sampler, |_| true)?;
    let tokenizer = reader.tokenizer.as_ref().context("the model has no tokenizer\nconvert it with one")?;
    Ok(decode(tokenizer, &text[1..], true))
}
