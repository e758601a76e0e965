//! The tasks of the runtime, with results in JSON.

use anyhow::{Context, Result};
use kinglet::format::spec::Task;
use kinglet::sample::top;
use kinglet::task::{self, Aggregation, Entities, Entity, kind, log_probability};
use kinglet::{RunError, Session};
use serde_json::{Value, json};

use crate::opened::Opened;
use crate::request::read;
use crate::text::{Places, ids, types};

/// The name of an output of the head.
fn label(opened: &Opened, index: usize) -> String {
    opened.model.labels().nth(index).map_or_else(|| format!("LABEL_{index}"), str::to_owned)
}

fn outputs(opened: &Opened) -> usize {
    opened.model.spec().head.num_outputs as usize
}

/// All labels with their scores, the largest first; the numbers of a regression in their order.
pub(crate) fn classify(opened: &Opened, text: &str, pair: Option<&str>) -> Result<Value> {
    let tokens = read(opened, text, pair)?;
    let mut scores = vec![0.0; outputs(opened)];
    opened.with_session(tokens.len(), |session| {
        task::classify(session, &ids(&tokens), &types(&tokens), &mut scores).map(|_| ())
    })?;
    let mut found: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
    if opened.model.spec().head.task != Task::Regression {
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    Ok(found.into_iter().map(|(index, score)| json!({ "label": label(opened, index), "score": score })).collect())
}

/// The tokens with their likeliest labels, and the entities that these form.
pub(crate) fn tag(opened: &Opened, text: &str) -> Result<Value> {
    let tokens = read(opened, text, None)?;
    let places = Places::new(text, None);
    let mut scores = vec![0.0; outputs(opened)];
    let mut rows: Vec<Vec<f32>> = Vec::new();
    opened.with_session(tokens.len(), |session| {
        task::tag(session, &ids(&tokens), &types(&tokens), &mut scores, |_, scores| rows.push(scores.to_vec()))
    })?;
    let names = opened.model.manifest().labels;
    let (mut word, mut found) = (vec![0.0; outputs(opened)], Vec::new());
    let mut each = |entity: Entity| found.push(entity);
    let mut entities = Entities::new(names, Aggregation::First, &mut word);
    let mut labels = Vec::new();
    for (token, scores) in tokens.iter().zip(&rows) {
        if token.text.is_some() {
            entities.push(scores, token.continues, &mut each);
        } else {
            entities.skip(&mut each);
        }
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let (index, score) = best.map_or((0, 0.0), |(index, score)| (index, *score));
        let mut of = places.json(token);
        of["label"] = label(opened, index).into();
        of["score"] = score.into();
        labels.push(of);
    }
    entities.end(&mut each);
    let entity = |entity: &Entity| {
        let first = tokens.get(entity.start).map_or((0, 0), |token| places.of(token));
        let last = entity.end.checked_sub(1).and_then(|last| tokens.get(last)).map_or((0, 0), |token| places.of(token));
        let group = label(opened, entity.label);
        json!({ "entity": kind(&group), "score": entity.score, "start": first.0, "end": last.1 })
    };
    Ok(json!({ "tokens": labels, "entities": found.iter().map(entity).collect::<Vec<_>>() }))
}

/// The likeliest tokens for each mask of a text.
pub(crate) fn fill_mask(opened: &Opened, text: &str, top_k: usize) -> Result<Value> {
    let tokenizer = opened.tokenizer()?;
    let spec = opened.model.spec();
    let mask = opened.model.manifest().tokens.mask.context("the model has no token for a mask")?;
    let tokens = read(opened, text, None)?;
    let mut masks = Vec::new();
    opened.with_session(tokens.len(), |session| {
        task::fill_mask(session, &ids(&tokens), &types(&tokens), mask, |position, logits| {
            let mut best = vec![0; top_k.min(logits.len())];
            top(logits, &mut best);
            let guess = |&token: &u32| {
                let score = log_probability(logits, token, spec.numerics.fraction_bits).exp();
                json!({ "token": token, "text": tokenizer.decode_to_string(&[token], true), "score": score })
            };
            masks.push(json!({ "position": position, "guesses": best.iter().map(guess).collect::<Vec<_>>() }));
        })
    })?;
    Ok(masks.into())
}

/// The span of the context that answers a question; null if "no answer" is likelier.
pub(crate) fn answer(opened: &Opened, question: &str, context: &str, max_length: usize) -> Result<Value> {
    let tokens = read(opened, question, Some(context))?;
    let places = Places::new(question, Some(context));
    let first = tokens.iter().position(|token| token.text == Some(1)).context("the context has no tokens")?;
    let len = tokens[first..].iter().take_while(|token| token.text == Some(1)).count();
    let mut scratch = vec![[0; 2]; len];
    let found = opened.with_session(tokens.len(), |session| {
        task::answer(session, &ids(&tokens), &types(&tokens), first..first + len, max_length, &mut scratch)
    })?;
    let unit = 0.5f64.powi(opened.model.spec().numerics.fraction_bits.into());
    Ok(found.span().map_or(Value::Null, |span| {
        let (start, end) = (places.of(&tokens[*span.start()]).0, places.of(&tokens[*span.end()]).1);
        json!({ "start": start, "end": end, "margin": f64::from(found.score - found.none) * unit })
    }))
}

/// The vector of a text after `prompt`, or after the model's default prompt.
pub(crate) fn embed(opened: &Opened, text: &str, prompt: Option<&str>) -> Result<Value> {
    let default = || opened.model.prompts().find(|(name, _)| Some(*name) == opened.model.default_prompt());
    let before = prompt.or_else(|| default().map(|(_, text)| text)).unwrap_or_default();
    let tokens = read(opened, &format!("{before}{text}"), None)?;
    let spec = opened.model.spec();
    let mut vector = vec![0.0; spec.last_stack().map_or(0, |stack| spec.head.output_size(stack))];
    if spec.head.task != Task::Embedding {
        return Err(RunError::WrongHead("make sentence vectors").into());
    }
    opened.with_session(tokens.len(), |session| {
        task::embed(session, &ids(&tokens), &types(&tokens), &mut vector).map(|_| ())
    })?;
    Ok(vector.into())
}

/// The log-probability of each token in nats, or null for tokens without one.
pub(crate) fn score(opened: &Opened, text: &str) -> Result<Value> {
    let tokens = read(opened, text, None)?;
    let places = Places::new(text, None);
    let mut all = ids(&tokens);
    let mut found = vec![None; all.len()];
    let mut each = |position: usize, value: f32| {
        if let Some(place) = found.get_mut(position) {
            *place = Some(value);
        }
    };
    let run = |session: &mut Session<'_, '_>| match opened.model.manifest().tokens.mask {
        Some(mask) if opened.model.spec().head.task == Task::MaskedLm => {
            let frame = 1..all.len().saturating_sub(1);
            task::pseudo_score(session, &mut all, &types(&tokens), mask, frame, &mut each)
        }
        _ => task::score(session, &all, &mut each),
    };
    opened.with_session(tokens.len(), run)?;
    let token = |(token, value): (&kinglet::tokenizer::Token, &Option<f32>)| {
        let mut of = places.json(token);
        of["logProb"] = (*value).into();
        of
    };
    Ok(tokens.iter().zip(&found).map(token).collect())
}
