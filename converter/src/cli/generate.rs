//! `kinglet generate`: continue a text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet::format::blob::{EarlyStopping, GenerationDefaults, SpecialTokens};
use kinglet::format::spec::{Direction, ModelSpec, Task};
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::task::{
    BeamOptions, BeamSearch, Choices, GenerateOptions, Grammar, MAX_BEAMS, Stop, StopText, beam_search, generate,
    grammar_table,
};
use kinglet::{Model, Session};
use kinglet_convert::files::read_text;
use kinglet_convert::inputs::{Input, Reader, parse, parse_ids};
use kinglet_convert::reference::{Reference, Written};
use serde_json::{Value, json};

use super::engine::{About, Engine, ModelArgs, arena, plan};
use super::grammar::of_file;
use super::input::InputArgs;
use super::{number, output};

/// The most tokens of a text that one command writes.
const MAX_TEXT: usize = 1 << 15;

/// Continue a text, greedily by default, with the beams, lengths and penalties of
/// `generation_config.json`. Without a text, a decoder starts with the tokens that its texts begin
/// with.
#[derive(Args, Debug)]
pub(crate) struct Generate {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The most tokens to write; by default the checkpoint's number, or as many as fit.
    #[arg(short = 'n', long, allow_negative_numbers = true, value_parser = number::at_least_one())]
    max_new_tokens: Option<usize>,
    /// Divide the logits by this; 0 takes the likeliest token each time.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = number::temperature)]
    temperature: f32,
    /// Keep only the K likeliest tokens; 0 keeps all.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    top_k: u32,
    /// Keep the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = number::top_p)]
    top_p: f32,
    /// Keep tokens with at least this fraction of the likeliest one's probability.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = number::min_p)]
    min_p: f32,
    /// Make tokens already seen less likely; 1 for no change.
    #[arg(long, allow_negative_numbers = true, value_parser = number::repetition_penalty)]
    repetition_penalty: Option<f32>,
    /// The seed of the random numbers; a seed gives one text on every machine.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Search for the best text with N beams; 1 takes the likeliest token each time.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u8).range(1..=MAX_BEAMS as i64))]
    num_beams: Option<u8>,
    /// Divide a text's log-probability by its length to this power.
    #[arg(long, allow_negative_numbers = true, value_parser = number::length_penalty)]
    length_penalty: Option<f32>,
    /// Stop the search once there are as many finished texts as beams; `never` searches until no
    /// beam can become better.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false|never")]
    early_stopping: Option<String>,
    /// Write no run of N tokens twice; 0 allows all.
    #[arg(long, allow_negative_numbers = true)]
    no_repeat_ngram_size: Option<u16>,
    /// The fewest tokens before the text may end; by default the checkpoint's number.
    #[arg(long, allow_negative_numbers = true)]
    min_new_tokens: Option<usize>,
    /// Also stop after this sequence of token ids; may be repeated.
    #[arg(long, value_name = "IDS")]
    stop_ids: Vec<String>,
    /// Also stop after this text; may be repeated.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Write one of the texts in this file and nothing else: each line is a text, or token ids such
    /// as 1,2,3.
    #[arg(long, value_name = "FILE")]
    choices: Option<PathBuf>,
    /// Write a text of the grammar in this file and nothing else; `kinglet help grammar` describes
    /// the format.
    #[arg(long, value_name = "FILE", conflicts_with = "choices")]
    grammar: Option<PathBuf>,
    /// Continue after a token that ends a text.
    #[arg(long)]
    ignore_eos: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let about = engine.about()?;
        let reader = engine.reader()?;
        let spec = &about.spec;
        if spec.head.task != Task::CausalLm || spec.decoder.is_none() {
            bail!(
                "this model does not write: its head does not predict the next token\nuse `kinglet inspect` to see what it is for"
            );
        }
        let choices = self.choices.as_deref().map(|path| read_choices(path, &reader)).transpose()?.unwrap_or_default();
        let choices: Vec<&[u32]> = choices.iter().map(Vec::as_slice).collect();
        let section = engine.tokenizer_section();
        let table = self.grammar.as_deref().map(|path| of_file(path, spec, section)).transpose()?;
        let table = table.map(|states| grammar_table(&states, section));
        let grammar = table.as_deref().map(|table| Grammar::from_bytes(table, section)).transpose()?;
        let stops = self.stop_ids.iter().map(|ids| parse_ids(ids)).collect::<Result<Vec<_>>>()?;
        let stops: Vec<&[u32]> = stops.iter().map(Vec::as_slice).collect();
        let bad_words: Vec<&[u32]> = about.tokens.each_bad_word().collect();
        let inputs = match self.input.read_some(&reader)? {
            Some(inputs) => inputs,
            None => vec![beginning(spec, &about.tokens, &reader)?],
        };
        let bar = output::bar_beside_answers(inputs.len());
        for input in inputs {
            let begin = begin(&input, spec, &about.tokens)?;
            let limit = spec.decoder.map_or(0, |stack| stack.max_positions as usize);
            let room = limit.checked_sub(begin.len()).filter(|_| !begin.is_empty()).with_context(|| {
                let begun = begin.len();
                format!("there are {begun} tokens to begin with, and the model has {limit} positions\ngive at least one token and at most {limit}")
            })?;
            let options = GenerateOptions {
                choices: if choices.is_empty() { None } else { Some(Choices::new(&choices)?) },
                grammar,
                stop_sequences: &stops,
                ..self.options(&about, &bad_words, begin.len(), room)?
            };
            let texts = match &engine {
                Engine::Blob(model, threads) => {
                    self.with_runtime((model, *threads), &about, &reader, &input, &begin, &options)?
                }
                Engine::Checkpoint(source, _) => {
                    let mut reference = Reference::new(spec, &source.weights);
                    self.with_reference(&mut reference, &about, &input, &begin, &options)?
                }
            };
            self.print(spec, &input, &choices, texts, &reader)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The restrictions on the text and its length: the caller's options, or the checkpoint's.
    fn options<'o>(
        &self,
        about: &'o About,
        bad_words: &'o [&'o [u32]],
        begun: usize,
        room: usize,
    ) -> Result<GenerateOptions<'o>> {
        let mut options = about.restrictions(bad_words, begun, self.max_new_tokens, room)?;
        if self.ignore_eos {
            options.stop = &[];
        }
        options.min_new_tokens = self.min_new_tokens.unwrap_or(options.min_new_tokens);
        options.no_repeat_ngram_size = self.no_repeat_ngram_size.map_or(options.no_repeat_ngram_size, usize::from);
        Ok(options)
    }

    /// The options of a beam search; `None` for one token at a time.
    fn beams(&self, defaults: &GenerationDefaults) -> Result<Option<BeamOptions>> {
        let mut beams = BeamOptions::from(*defaults);
        if let Some(num_beams) = self.num_beams {
            beams.num_beams = num_beams.into();
        }
        if beams.num_beams == 1 || (self.temperature > 0.0 && self.num_beams.is_none()) {
            return Ok(None);
        }
        if !self.stop.is_empty() {
            bail!("a beam search does not stop at a text\ngive --stop-ids, or --num-beams 1");
        }
        if self.temperature > 0.0 {
            bail!("a beam search is not random\nleave out --temperature, or give --num-beams 1");
        }
        beams.repetition_penalty = self.repetition_penalty(defaults);
        beams.length_penalty = self.length_penalty.unwrap_or(beams.length_penalty);
        beams.early_stopping = match self.early_stopping.as_deref() {
            None => beams.early_stopping,
            Some("true") => EarlyStopping::Always,
            Some("false") => EarlyStopping::Heuristic,
            Some("never") => EarlyStopping::Never,
            Some(other) => bail!("--early-stopping is \"{other}\"\ngive true, false or never"),
        };
        Ok(Some(beams))
    }

    fn repetition_penalty(&self, defaults: &GenerationDefaults) -> f32 {
        self.repetition_penalty.unwrap_or(defaults.repetition_penalty as f32 / 65536.0)
    }

    /// The texts that the runtime writes, the best first.
    fn with_runtime(
        &self,
        (model, threads): (&Model<'_>, usize),
        about: &About,
        reader: &Reader,
        input: &Input,
        begin: &[u32],
        options: &GenerateOptions<'_>,
    ) -> Result<Vec<Written>> {
        let beams = self.beams(&about.generation)?;
        let mut text = heapless::Vec::<u32, MAX_TEXT>::new();
        text.extend_from_slice(begin).map_err(|_| anyhow!("the text is longer than {MAX_TEXT} tokens\nshorten it"))?;
        let decoder_input = Input { decoder_ids: begin.to_vec(), ..input.clone() };
        let plan = plan(model.spec(), &decoder_input, options.max_new_tokens.saturating_sub(1))?;
        let plan = plan.with_beams(beams.map_or(1, |beams| beams.num_beams));
        let mut arena = arena(&plan)?;
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        session.set_threads(threads)?;
        if model.spec().encoder.is_some() {
            session.encode(&input.ids, &input.token_types)?;
        }
        if let Some(beams) = beams {
            let mut memory = vec![0; BeamSearch::words(beams.num_beams, options.max_new_tokens)];
            let search = beam_search(&mut session, &mut text, options, beams, &mut memory)?;
            let mut found = Vec::new();
            while let Some(score) = search.write_finished(found.len(), &mut text)? {
                let (ids, done) = (text[begin.len()..].to_vec(), options.is_done(&text, begin.len()));
                found.push(Written { ids, done, score: Some(score) });
                text.truncate(begin.len());
            }
            return Ok(found);
        }
        let mut sampler = Sampler::new(SamplerOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty(&about.generation),
            seed: self.seed,
        })?;
        let tokenizer = reader.tokenizer.as_ref();
        if tokenizer.is_none() && !self.stop.is_empty() {
            bail!("the model has no tokenizer, so it writes no text to stop at\ngive --stop-ids");
        }
        let stops: Vec<&str> = self.stop.iter().map(String::as_str).collect();
        let mut stop_text = StopText::new(&stops)?;
        let mut decoder = tokenizer.as_ref().map(|tokenizer| tokenizer.decoder(true));
        let stop = generate(&mut session, &mut text, options, &mut sampler, |token| {
            let mut found = false;
            if let Some(decoder) = &mut decoder {
                decoder.push(token, &mut |piece| found |= stop_text.push(piece));
            }
            !found
        })?;
        let done = matches!(stop, Stop::Token | Stop::Caller);
        Ok(vec![Written { ids: text[begin.len()..].to_vec(), done, score: None }])
    }

    /// The texts that the reference writes, the best first.
    fn with_reference(
        &self,
        reference: &mut Reference<'_>,
        about: &About,
        input: &Input,
        begin: &[u32],
        options: &GenerateOptions<'_>,
    ) -> Result<Vec<Written>> {
        if self.temperature > 0.0 {
            bail!("the reference takes the likeliest token each time\nleave out --temperature, or run the blob");
        }
        if about.spec.encoder.is_some() {
            let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
            reference.encode(&input.ids, &types)?;
        }
        match self.beams(&about.generation)? {
            Some(beams) => reference.beam_search(begin, options, beams),
            None => Ok(vec![reference.generate(begin, options, self.repetition_penalty(&about.generation))?]),
        }
    }

    fn print(
        &self,
        spec: &ModelSpec,
        input: &Input,
        choices: &[&[u32]],
        mut texts: Vec<Written>,
        reader: &Reader,
    ) -> Result<()> {
        if spec.direction == Direction::Backward {
            texts.iter_mut().for_each(|text| text.ids.reverse());
        }
        let best = texts.first().context("nothing was written\nallow more tokens, or fewer restrictions")?;
        if !self.json && !self.input.is_many() {
            let mut whole = vec![best.ids.clone()];
            // A decoder's text continues the input; an encoder-decoder's stands alone.
            if spec.encoder.is_none() {
                let place = if spec.direction == Direction::Backward { 1 } else { 0 };
                whole.insert(place, input.ids.clone());
            }
            let text = reader.decode(&whole.concat());
            return output::line(&text.unwrap_or_else(|| output::join(&best.ids, ",")));
        }
        let stop = |text: &Written| if text.done { "eos" } else { "length" };
        let mut answer = json!({ "ids": best.ids, "prompt_ids": input.ids, "stop": stop(best) });
        answer["text"] = json!(reader.decode(&best.ids));
        if let Some(score) = best.score {
            answer["score"] = json!(score);
            let beams = texts.iter().map(|text| json!({ "ids": text.ids, "score": text.score, "stop": stop(text) }));
            answer["beams"] = Value::from_iter(beams);
        }
        if !choices.is_empty() {
            // The text may go on after a choice that begins others, so the longest choice counts.
            let chosen = choices.iter().filter(|choice| best.ids.starts_with(choice)).max_by_key(|choice| choice.len());
            answer["choice"] = json!(chosen);
        }
        output::json(&answer)
    }
}

/// The input of a text that begins with nothing: the checkpoint's first token, or the special
/// tokens that its tokenizer puts around an empty text.
fn beginning(spec: &ModelSpec, tokens: &SpecialTokens, reader: &Reader) -> Result<Input> {
    if spec.encoder.is_some() {
        bail!("there is no text to write from\ngive one with --text, token ids with --ids, or a file with --input");
    }
    let ids = match (tokens.bos, &reader.tokenizer) {
        (Some(bos), _) => vec![bos],
        (None, Some(_)) => parse(&"".into(), reader)?.ids,
        (None, None) => Vec::new(),
    };
    if ids.is_empty() {
        bail!(
            "the checkpoint does not say which token texts begin with\ngive a text with --text, or token ids with --ids"
        );
    }
    Ok(Input { ids, ..Input::default() })
}

/// The tokens that the decoder reads first.
fn begin(input: &Input, spec: &ModelSpec, tokens: &SpecialTokens) -> Result<Vec<u32>> {
    if spec.encoder.is_none() {
        return Ok(input.ids.clone());
    }
    if !input.decoder_ids.is_empty() {
        return Ok(input.decoder_ids.clone());
    }
    let start = tokens.decoder_start.or(tokens.bos);
    Ok(vec![
        start
            .ok_or_else(|| anyhow!("the model does not say which token its output begins with\ngive --decoder-ids"))?,
    ])
}

/// Reads choices, one per line, as lists of token ids, sorted and without duplicates.
fn read_choices(path: &Path, reader: &Reader) -> Result<Vec<Vec<u32>>> {
    let text = read_text(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut choices = lines
        .map(|(number, line)| reader.choice(line).with_context(|| format!("{} line {}", path.display(), number + 1)))
        .collect::<Result<Vec<_>>>()?;
    if choices.is_empty() {
        bail!("{} has no choices\ngive a text, or token ids such as 1,2,3, on each line", path.display());
    }
    choices.sort();
    choices.dedup();
    Ok(choices)
}
