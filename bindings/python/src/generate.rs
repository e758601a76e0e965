//! Streams generated text from a thread, which waits until each piece is taken.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, bail};
use kinglet::format::spec::{Direction, Task};
use kinglet::heapless;
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::task::{
    BeamOptions, BeamSearch, Choices, GenerateOptions, MAX_BEAMS, Stop, StopText, beam_search, generate,
};
use kinglet::tokenizer::EncodeOptions;
use kinglet::{AlignedVec, MemoryPlan, RunError, Session};
use kinglet_convert::tokenizer;
use pyo3::prelude::*;

use crate::background::{PATIENCE, spawn};
use crate::engine::{Opened, Parts, TILE, no_start};
use crate::error::{mistake, raise};
use crate::text;

/// The longest text, in tokens.
const MAX_TEXT: usize = 1 << 15;

/// The arguments of `Model.generate`. For `None` the checkpoint's default applies.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Request {
    ids: Vec<u32>,
    token_types: Vec<u8>,
    decoder_ids: Vec<u32>,
    max_new_tokens: Option<usize>,
    min_new_tokens: Option<usize>,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: Option<f32>,
    no_repeat_ngram_size: Option<u16>,
    num_beams: Option<usize>,
    seed: u64,
    stop: Vec<String>,
    choices: Vec<String>,
}

enum Message {
    Piece(String),
    Ended(Vec<u32>, &'static str),
    Failed(anyhow::Error),
}

/// An iterator over the pieces of a text that is being generated.
#[pyclass(frozen, module = "kinglet._kinglet")]
pub(crate) struct Generation {
    pieces: Mutex<Option<Receiver<Message>>>,
    /// The generated tokens and the reason for the end, once the text has ended.
    ended: Mutex<Option<(Vec<u32>, &'static str)>>,
}

impl Generation {
    pub(crate) fn begin(opened: Arc<Opened>, request: Request, threads: usize) -> Result<Self> {
        let begun = Begun::new(&opened.parts().model, &request)?;
        // The model writes one piece ahead.
        let (sender, receiver) = sync_channel(1);
        spawn("kinglet generate", move || {
            let last = match begun.write(&opened, &request, threads, &sender) {
                Ok((ids, stop)) => Message::Ended(ids, stop),
                Err(error) => Message::Failed(error),
            };
            // The receiver is gone if the iterator was closed.
            _ = sender.send(last);
        })?;
        Ok(Self { pieces: Mutex::new(Some(receiver)), ended: Mutex::new(None) })
    }

    /// The next message, or a timeout; `None` if the text has ended or was closed.
    fn wait(&self) -> Option<Result<Message, RecvTimeoutError>> {
        let pieces = self.pieces.lock().ok()?;
        Some(pieces.as_ref()?.recv_timeout(PATIENCE))
    }
}

#[pymethods]
impl Generation {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        loop {
            match py.detach(|| self.wait()) {
                None => return Ok(None),
                Some(Ok(Message::Piece(piece))) => return Ok(Some(piece)),
                Some(Ok(Message::Ended(ids, stop))) => {
                    self.close(py);
                    if let Ok(mut ended) = self.ended.lock() {
                        *ended = Some((ids, stop));
                    }
                    return Ok(None);
                }
                Some(Err(RecvTimeoutError::Timeout)) => py.check_signals()?,
                Some(Ok(Message::Failed(error))) => {
                    self.close(py);
                    return Err(raise(py, &error));
                }
                Some(Err(RecvTimeoutError::Disconnected)) => {
                    self.close(py);
                    return Err(raise(py, &mistake()));
                }
            }
        }
    }

    /// The generated tokens; `None` until the text has ended.
    #[getter]
    fn token_ids(&self) -> Option<Vec<u32>> {
        self.ended.lock().ok()?.as_ref().map(|(ids, _)| ids.clone())
    }

    /// The reason for the end: `"stop"` or `"length"`; `None` until the text has ended.
    #[getter]
    fn finish_reason(&self) -> Option<&'static str> {
        self.ended.lock().ok()?.as_ref().map(|(_, stop)| *stop)
    }

    /// Stops the generation.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.pieces.lock().map(|mut pieces| pieces.take())));
    }
}

/// The tokens that the decoder reads first, and how many more fit.
struct Begun {
    ids: Vec<u32>,
    room: usize,
}

impl Begun {
    fn new(model: &kinglet::Model<'_>, request: &Request) -> Result<Self> {
        let (spec, tokens) = (model.spec(), &model.manifest().tokens);
        let Some(decoder) = spec.decoder.filter(|_| spec.head.task == Task::CausalLm) else {
            return Err(RunError::WrongHead("predict the next token").into());
        };
        let ids = match (&spec.encoder, request.decoder_ids.as_slice()) {
            (None, _) => request.ids.clone(),
            (Some(_), []) => vec![tokens.decoder_start.or(tokens.bos).with_context(no_start)?],
            (Some(_), given) => given.to_vec(),
        };
        if ids.is_empty() {
            return Err(RunError::NoTokens.into());
        }
        let limit = (decoder.max_positions as usize).min(MAX_TEXT - 1);
        let too_many = RunError::TooManyTokens { limit, given: ids.len() };
        let room = limit.checked_sub(ids.len()).ok_or(too_many)?;
        Ok(Self { ids, room })
    }

    /// Generates the text. Returns its tokens and the reason for its end.
    fn write(
        &self,
        opened: &Opened,
        request: &Request,
        threads: usize,
        sender: &SyncSender<Message>,
    ) -> Result<(Vec<u32>, &'static str)> {
        let Parts { model, tokenizer } = opened.parts();
        let (spec, manifest) = (model.spec(), model.manifest());
        let (defaults, begun) = (manifest.generation, self.ids.len());
        let backward = spec.direction == Direction::Backward;
        let said = request.max_new_tokens.or_else(|| defaults.max_new_tokens_after(begun));
        if said == Some(0) {
            bail!("`max_new_tokens` is 0\ngive at least 1");
        }
        let choices = choices(opened, &request.choices)?;
        let choices: Vec<&[u32]> = choices.iter().map(Vec::as_slice).collect();
        let bad_words: Vec<&[u32]> = manifest.tokens.each_bad_word().collect();
        let options = GenerateOptions {
            stop: &manifest.tokens.eos,
            suppressed: &manifest.tokens.suppressed,
            suppressed_first: &manifest.tokens.suppressed_first,
            bad_words: &bad_words,
            min_new_tokens: request.min_new_tokens.unwrap_or_else(|| defaults.min_new_tokens_after(begun)),
            no_repeat_ngram_size: request.no_repeat_ngram_size.unwrap_or(defaults.no_repeat_ngram_size.into()).into(),
            forced_bos: manifest.tokens.forced_bos,
            // The end is forced only at a length that was asked for, not where the room ends.
            forced_eos: manifest.tokens.forced_eos.filter(|_| said.is_some()),
            choices: if choices.is_empty() { None } else { Some(Choices::new(&choices)?) },
            // The model does not have to read the last generated token.
            ..GenerateOptions::new(said.map_or(self.room, |said| said.min(self.room + 1)))
        };
        let beams = self.beams(request, BeamOptions::from(defaults))?;

        let (source, target) = (request.ids.len(), begun + options.max_new_tokens.saturating_sub(1));
        let plan = MemoryPlan::new(spec, target, source, target.max(source).clamp(1, TILE))?;
        let plan = plan.with_beams(beams.map_or(1, |beams| beams.num_beams));
        let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes())?);
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        session.set_threads(threads)?;
        if spec.encoder.is_some() {
            session.encode(&request.ids, &request.token_types)?;
        }
        let mut written = heapless::Vec::<u32, MAX_TEXT>::new();
        let too_many = RunError::TooManyTokens { limit: MAX_TEXT, given: begun };
        written.extend_from_slice(&self.ids).map_err(|_| too_many)?;
        let whole = |ids: &[u32]| tokenizer.as_ref().map(|tokenizer| tokenizer::decode(tokenizer, ids, true));

        if let Some(beams) = beams {
            let mut memory = vec![0; BeamSearch::words(beams.num_beams, options.max_new_tokens)];
            let search = beam_search(&mut session, &mut written, &options, beams, &mut memory)?;
            search.write_finished(0, &mut written)?.context("nothing was written\nallow more tokens")?;
            let ids = written[begun..].to_vec();
            whole(&ids).map(|text| sender.send(Message::Piece(text)));
            return Ok((ids, if options.is_done(&written, begun) { "stop" } else { "length" }));
        }

        let mut sampler = Sampler::new(SamplerOptions {
            temperature: request.temperature,
            top_k: request.top_k,
            top_p: request.top_p,
            min_p: request.min_p,
            repetition_penalty: request.repetition_penalty.unwrap_or(defaults.repetition_penalty as f32 / 65536.0),
            seed: request.seed,
        })?;
        let stops: Vec<&str> = request.stop.iter().map(String::as_str).collect();
        let mut stop_text = StopText::new(&stops)?;
        let mut decoder = tokenizer.as_ref().map(|tokenizer| tokenizer.decoder(true));
        if let (Some(decoder), None) = (&mut decoder, spec.encoder) {
            // The text of a token may depend on the tokens before it.
            self.ids.iter().for_each(|&id| decoder.push(id, &mut |_| ()));
        }
        let mut stopped = false;
        let ended = generate(&mut session, &mut written, &options, &mut sampler, |token| {
            let mut piece = String::new();
            if let Some(decoder) = &mut decoder {
                decoder.push(token, &mut |text| stopped |= !stopped && stop_text.write(text, |text| piece += text));
            }
            let taken = backward || piece.is_empty() || sender.send(Message::Piece(piece)).is_ok();
            taken && !stopped
        })?;
        let mut ids = written[begun..].to_vec();
        let mut rest = String::new();
        if backward {
            // The last generated token is the first of the text.
            ids.reverse();
            rest.extend(whole(&ids));
        } else if !stopped {
            if let Some(decoder) = decoder {
                decoder.finish(&mut |text| stopped |= !stopped && stop_text.write(text, |text| rest += text));
            }
            if !stopped {
                stop_text.finish(|text| rest += text);
            }
        }
        if !rest.is_empty() {
            // The receiver is gone if the iterator was closed.
            _ = sender.send(Message::Piece(rest));
        }
        Ok((ids, if matches!(ended, Stop::Token | Stop::Caller) { "stop" } else { "length" }))
    }

    /// The options of a beam search, or `None` for sampling.
    fn beams(&self, request: &Request, defaults: BeamOptions) -> Result<Option<BeamOptions>> {
        let num_beams = request.num_beams.unwrap_or(defaults.num_beams);
        if num_beams == 1 || (request.temperature > 0.0 && request.num_beams.is_none()) {
            return Ok(None);
        }
        if !(1..=MAX_BEAMS).contains(&num_beams) {
            bail!("`num_beams` is {num_beams}\ngive 1 to {MAX_BEAMS}");
        }
        if request.temperature > 0.0 || !request.stop.is_empty() {
            bail!(
                "a beam search neither samples nor stops at a text\nleave out `temperature` and `stop`, or give `num_beams=1`"
            );
        }
        let repetition_penalty = request.repetition_penalty.unwrap_or(defaults.repetition_penalty);
        Ok(Some(BeamOptions { num_beams, repetition_penalty, ..defaults }))
    }
}

/// The tokens of each choice, sorted and without duplicates.
fn choices(opened: &Opened, texts: &[String]) -> Result<Vec<Vec<u32>>> {
    let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
    let mut choices = Vec::new();
    for choice in texts {
        let tokens = text::encode(opened.parts().tokenizer.as_ref(), choice, None, &options)?;
        if tokens.is_empty() {
            return Err(anyhow!("the choice {choice:?} has no tokens\ngive texts that are not empty"));
        }
        choices.push(tokens.iter().map(|token| token.id).collect());
    }
    choices.sort();
    choices.dedup();
    Ok(choices)
}
