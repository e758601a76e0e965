//! Text generation, one token per call.

use anyhow::Result;
use kinglet::format::spec::{Direction, Task};
use kinglet::heapless;
use kinglet::sample::{Sampler, SamplerOptions};
use kinglet::task::{GenerateOptions, Generation, Progress, Stop};
use kinglet::tokenizer::Decoder;
use kinglet::{AlignedVec, RunError, Session, Suspended};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::opened::{Opened, arena, no_start};

/// The maximum number of tokens of a text.
const MAX_TEXT: usize = 1 << 15;

/// Sampling options. The checkpoint's defaults apply to missing ones.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Options {
    max_new_tokens: Option<usize>,
    temperature: f32,
    top_k: u32,
    top_p: Option<f32>,
    min_p: f32,
    repetition_penalty: Option<f32>,
    seed: u64,
    decoder_ids: Vec<u32>,
}

/// The state of a text that is being generated.
pub(crate) struct Writing {
    arena: AlignedVec,
    session: Suspended,
    text: Box<heapless::Vec<u32, MAX_TEXT>>,
    begun: usize,
    generation: Generation<'static>,
    sampler: Sampler,
    decoder: Option<Decoder<'static, 'static>>,
}

impl Writing {
    pub(crate) fn begin(opened: &Opened, ids: Vec<u32>, types: &[u8], options: &Options) -> Result<Self> {
        let model = opened.model;
        let (spec, manifest) = (model.spec(), model.manifest());
        let Some(stack) = spec.decoder.filter(|_| spec.head.task == Task::CausalLm) else {
            return Err(RunError::WrongHead("predict the next token").into());
        };
        let (tokens, defaults) = (&manifest.tokens, manifest.generation);
        let begins = match (&spec.encoder, options.decoder_ids.as_slice()) {
            (None, _) => ids.clone(),
            (Some(_), []) => vec![tokens.decoder_start.or(tokens.bos).ok_or_else(no_start)?],
            (Some(_), given) => given.to_vec(),
        };
        if begins.is_empty() {
            return Err(RunError::NoTokens.into());
        }
        let (begun, limit) = (begins.len(), (stack.max_positions as usize).min(MAX_TEXT - 1));
        let room = limit.checked_sub(begun).ok_or(RunError::TooManyTokens { limit, given: begun })?;
        let said = options.max_new_tokens.or_else(|| defaults.max_new_tokens_after(begun));
        // The model does not have to read the last generated token.
        let most = said.map_or(room, |said| said.min(room + 1));
        let rules = GenerateOptions {
            stop: &tokens.eos,
            suppressed: &tokens.suppressed,
            suppressed_first: &tokens.suppressed_first,
            bad_words: opened.bad_words,
            min_new_tokens: defaults.min_new_tokens_after(begun),
            no_repeat_ngram_size: defaults.no_repeat_ngram_size.into(),
            forced_bos: tokens.forced_bos,
            // The end is forced only at a length that was asked for, not where the room ends.
            forced_eos: tokens.forced_eos.filter(|_| said.is_some()),
            ..GenerateOptions::new(most)
        };
        let sampler = Sampler::new(SamplerOptions {
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p.unwrap_or(1.0),
            min_p: options.min_p,
            repetition_penalty: options.repetition_penalty.unwrap_or(defaults.repetition_penalty as f32 / 65536.0),
            seed: options.seed,
        })?;
        let mut text = Box::new(heapless::Vec::new());
        text.extend_from_slice(&begins).map_err(|_| RunError::TooManyTokens { limit: MAX_TEXT, given: begun })?;
        let source = if spec.encoder.is_some() { ids.len() } else { 0 };
        let plan = opened.plan(source, begun + most.saturating_sub(1))?;
        let mut arena = arena(&plan)?;
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        if spec.encoder.is_some() {
            session.encode(&ids, types)?;
        }
        let session = session.suspend();
        let mut decoder = opened.tokenizer().ok().map(|tokenizer| tokenizer.decoder(true));
        if let (Some(decoder), None) = (&mut decoder, spec.encoder) {
            // The text of a token may depend on the tokens before it.
            begins.iter().for_each(|&id| decoder.push(id, &mut |_| ()));
        }
        let generation = Generation::new(rules, &text);
        Ok(Self { arena, session, text, begun, generation, sampler, decoder })
    }

    /// The next token, the text that it completes, and the reason if the text has ended. `logits`
    /// receives the logits that the token was chosen from.
    pub(crate) fn next(&mut self, opened: &Opened, mut logits: Option<&mut Vec<i32>>) -> Result<Value> {
        let mut session = Session::resume(opened.model, &mut self.arena, &self.session)?;
        let token = loop {
            match self.generation.advance(&mut session, &mut *self.text, &mut self.sampler)? {
                Progress::Token(token) => break Some(token),
                Progress::Ended(_) => break None,
                // The session has read the whole text, so the next step chooses a token.
                Progress::Working if session.position() == self.text.len() => {
                    if let Some(logits) = &mut logits {
                        logits.clear();
                        logits.extend_from_slice(session.logits()?);
                    }
                }
                Progress::Working => {}
            }
        };
        self.session = session.suspend();
        let backward = opened.model.spec().direction == Direction::Backward;
        let mut piece = String::new();
        if let (Some(decoder), Some(token), false) = (&mut self.decoder, token, backward) {
            decoder.push(token, &mut |text| piece += text);
        }
        let ended = self.generation.ended();
        if ended.is_some() {
            let decoder = self.decoder.take();
            if backward {
                // The last generated token is the first of the text.
                let read: Vec<u32> = self.text.iter().skip(self.begun).rev().copied().collect();
                piece = decoder
                    .and(opened.tokenizer().ok())
                    .map_or(piece, |tokenizer| tokenizer.decode_to_string(&read, true));
            } else if let Some(decoder) = decoder {
                decoder.finish(&mut |text| piece += text);
            }
        }
        let reason = ended.map(|stop| if stop == Stop::Token { "stop" } else { "length" });
        Ok(json!({ "token": token, "text": piece, "ended": reason }))
    }
}
