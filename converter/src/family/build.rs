//! Chooses a model's head by `architectures`, and builds it on the last stack.

use anyhow::Result;
use kinglet::format::layout::{HeadPart, Role, Stack, StackPart};
use kinglet::format::spec::{HeadSpec, OutputProjection, Pooling, StackSpec, Task, TransformSpec};
use serde_json::Value as Json;

use super::draft::{Context, Draft, HIDDEN, Norm};
use super::embedding;
use super::head::{Head, Last, Output, Transform};
use super::options::Options;
use super::source::{Pick, Prefixes, Source, Value, module, prefixed};
use crate::checkpoint::{Checkpoint, Module};
use crate::refuse;

/// The width of a ColBERT vector if there are no tensors to read it from.
const USUAL_VECTOR: u32 = 128;

/// The head of the checkpoint, or the one that the caller asks for, and whether the result is an
/// embedding.
pub(super) fn choose(checkpoint: &Checkpoint, heads: &[Head], options: &Options) -> Result<(Head, bool)> {
    let embedding = match options.task {
        Some(task) => task == Task::Embedding,
        None => checkpoint.modules.iter().any(|module| module.pools()),
    };
    let wanted = if embedding { Some(Task::Hidden) } else { options.task };
    let architecture = checkpoint.config.get(&["architectures"]).and_then(|list| list[0].as_str());
    let by_name = |name: &str| {
        let ends = |head: &Head| head.suffixes.iter().filter(|end| name.ends_with(**end)).map(|end| end.len()).max();
        heads.iter().filter_map(|head| Some((ends(head)?, head))).max_by_key(|(len, _)| *len).map(|(_, head)| head)
    };
    let of_task = |task: Task| heads.iter().find(|head| head.task == general(task));
    let found = match (wanted, architecture) {
        (Some(task), _) => of_task(task),
        (None, Some(name)) => by_name(name),
        (None, None) => {
            return Err(refuse(
                "config.json does not say `architectures`, so the model's head is not known",
                "say what it is for with --task",
            ));
        }
    };
    found.map(|head| (*head, embedding)).ok_or_else(|| {
        let known: Vec<&str> = heads.iter().flat_map(|head| head.suffixes).copied().collect();
        let asked = match (wanted, architecture) {
            (Some(task), _) => format!("the task {task:?} was asked for"),
            (None, name) => format!("config.json says `architectures` = [\"{}\"]", name.unwrap_or_default()),
        };
        refuse(
            format_args!("{asked}, which is not implemented for this family"),
            format_args!("its heads are those of ...{}", known.join(", ...")),
        )
    })
}

/// The task whose heads serve this task, too.
fn general(task: Task) -> Task {
    match task {
        Task::MultiLabelClassification | Task::Regression => Task::Classification,
        task => task,
    }
}

/// Builds the head's specification and sources, and returns it with the names of its labels.
pub(super) fn build(context: &Context<'_>, heads: &[Head], draft: &mut Draft) -> Result<(HeadSpec, Vec<String>)> {
    let head = draft.head;
    let (id, stack) = draft.last()?;
    let stack = *stack;
    let prefixes = draft.prefixes;
    let dismissed = |name: &str| {
        let bare = prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix)).chain([name]);
        bare.into_iter().any(|bare| head.unused.iter().any(|start| bare.starts_with(start)))
    };
    context.checkpoint.dismiss(dismissed);
    if head.task == Task::Hidden {
        // Hidden states do not need the heads that a checkpoint may also have.
        let others: Vec<&str> = heads.iter().flat_map(Head::names).collect();
        let is = |name: &str, other: &str| {
            name.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        context.checkpoint.dismiss(|name| others.iter().any(|other| is(name, other)));
    }
    if context.embedding {
        if head.transform.is_some() {
            return Err(refuse(
                format_args!(
                    "{} models with a projection of their own cannot be pooled into embeddings",
                    context.model_type
                ),
                "convert it with another --task",
            ));
        }
        return Ok((embedding::build(context, draft, &stack)?, Vec::new()));
    }
    let dense = context.checkpoint.modules.iter().any(|module| matches!(module, Module::Dense { .. }));
    if head.task == Task::Hidden && dense {
        return Ok((embedding::of_tokens(context, draft, &stack)?, Vec::new()));
    }
    let mut spec =
        HeadSpec { task: head.task, pooling: pooling(context, &head, stack.embedding.vocab_size)?, ..HIDDEN };
    if let Some(transform) = &head.transform {
        spec.transform = Some(add_transform(draft, &stack, transform));
    }
    let mut labels = Vec::new();
    let mut own = |draft: &mut Draft, name: &str, rows: u32, bias: bool| {
        (spec.output, spec.num_outputs, spec.bias) = (OutputProjection::Own, rows, bias);
        draft.sources.insert(Role::Head(HeadPart::Output), module(prefixes, name, bias));
    };
    match head.output {
        Output::None => {}
        Output::Labels { module, bias } => {
            labels = read_labels(context)?;
            own(draft, module, labels.len() as u32, bias);
        }
        Output::Rows { module, rows } => own(draft, module, rows, true),
        Output::Vectors { module } => {
            let names = prefixed(prefixes, &format!("{module}.weight"));
            let shape = names.iter().find_map(|name| context.checkpoint.shape(name));
            let rows = shape.and_then(|shape| shape.first()).and_then(|&rows| u32::try_from(rows).ok());
            own(draft, module, rows.unwrap_or(USUAL_VECTOR), false);
            spec.normalize = true;
        }
        Output::WidenedVocabulary { rest, bias } => {
            context.config.only("tie_word_embeddings", &[true.into()])?;
            (spec.output, spec.num_outputs, spec.bias) = (OutputProjection::Own, stack.embedding.vocab_size, true);
            let rest = Pick { transposed: true, ..Pick::new(prefixed(prefixes, rest)) };
            let table = draft.sources.get(&Role::Stack(id, StackPart::TokenEmbedding)).map(|source| &source.weight);
            let columns = match table {
                Some(Value::Tensor(table)) => vec![table.clone(), rest],
                _ => vec![rest],
            };
            let bias = Some(Value::Tensor(Pick::new(prefixed(prefixes, bias))));
            draft.sources.insert(Role::Head(HeadPart::Output), Source { weight: Value::Beside(columns), bias });
        }
        Output::Vocabulary { weight, bias } => {
            let bias = (!bias.is_empty()).then(|| Value::Tensor(Pick::new(all_names(prefixes, bias))));
            (spec.num_outputs, spec.bias) = (stack.embedding.vocab_size, bias.is_some());
            match own_matrix(context, draft, id, weight)? {
                Some(weight) => {
                    spec.output = OutputProjection::Own;
                    draft.sources.insert(Role::Head(HeadPart::Output), Source { weight: Value::Tensor(weight), bias });
                }
                None => {
                    spec.output = OutputProjection::Tied;
                    if let Some(bias) = bias {
                        draft.sources.insert(Role::Head(HeadPart::OutputBias), bias.into());
                    }
                }
            }
        }
    }
    if head.task == Task::CausalLm {
        spec.soft_cap = draft.logit_cap;
    }
    if head.task == Task::Classification {
        spec.task = classification(context, labels.len())?;
    }
    Ok((spec, labels))
}

/// The hidden state that a head reads. `config.json` says which tokens decide this, and otherwise
/// the class of its `model_type`.
fn pooling(context: &Context<'_>, head: &Head, vocab_size: u32) -> Result<Pooling> {
    const END: &[(&str, u32)] = &[("bart", 2), ("mbart", 2), ("mt5", 1), ("t5", 1)];
    let config = context.config;
    let default = |list: &[(&str, u32)]| list.iter().find(|(of, _)| *of == context.model_type).map(|(_, id)| *id);
    match head.last {
        Last::Any => Ok(head.pooling),
        Last::NotPadding => {
            let padding = config.get(&["pad_token_id"]).and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok());
            // An id outside of the vocabulary, such as -1, never occurs.
            Ok(padding.filter(|&id| id < vocab_size).map_or(head.pooling, Pooling::LastExcept))
        }
        Last::OfEnd => {
            let end = config.optional_size(&["eos_token_id"])?.or_else(|| default(END));
            end.filter(|&id| id < vocab_size).map(Pooling::AtLast).ok_or_else(|| {
                refuse(
                    "this classifier reads the end token of a text, but config.json says no `eos_token_id` that the vocabulary has",
                    "add it, or take config.json from the checkpoint's page again",
                )
            })
        }
    }
}

fn add_transform(draft: &mut Draft, stack: &StackSpec, transform: &Transform) -> TransformSpec {
    let size = if transform.narrow { stack.embedding.embedding_size } else { stack.hidden_size };
    let size = draft.transform_size.unwrap_or(size);
    let activation = transform.activation.unwrap_or(draft.activation);
    let prefixes = draft.prefixes;
    draft.sources.insert(Role::Head(HeadPart::Transform), module(prefixes, transform.dense, transform.bias));
    draft.sources.insert(Role::Head(HeadPart::ActivationTable), Value::Activation(activation).into());
    let norm = transform.norm.map(|name| {
        let Norm { bias, .. } = draft.norm;
        draft.sources.insert(Role::Head(HeadPart::TransformNorm), module(prefixes, name, bias));
        draft.norm.of(size)
    });
    TransformSpec { size, bias: transform.bias, activation, norm }
}

fn all_names(prefixes: Prefixes, names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| prefixed(prefixes, name)).collect()
}

/// The output matrix, if it is not the token table: it is in the file, and not a copy of the table.
fn own_matrix(context: &Context<'_>, draft: &Draft, id: Stack, names: &[&str]) -> Result<Option<Pick>> {
    let names = all_names(draft.prefixes, names);
    let shared = if id == Stack::Decoder && draft.decoder.is_some_and(|stack| stack.embedding.shared) {
        Stack::Encoder
    } else {
        id
    };
    let table = match draft.sources.get(&Role::Stack(shared, StackPart::TokenEmbedding)) {
        Some(Source { weight: Value::Tensor(table), .. }) => {
            table.names.iter().find(|name| context.checkpoint.shape(name).is_some())
        }
        _ => None,
    };
    let Some(found) = names.iter().find(|name| context.checkpoint.shape(name).is_some()) else {
        let tied = context.config.flag_or(&["tie_word_embeddings"], true)?;
        if !context.checkpoint.has_weights && !tied {
            return Ok((!names.is_empty()).then(|| Pick::new(names)));
        }
        if !tied && !draft.tied && !names.is_empty() {
            return Err(refuse(
                format_args!(
                    "config.json says `tie_word_embeddings` = false, but the checkpoint has no `{}`",
                    names.join("` or `")
                ),
                "the checkpoint lacks its language-model head: convert it with --task hidden, or find the complete checkpoint",
            ));
        }
        if let Some(table) = table.filter(|table| context.checkpoint.parts(table)) {
            return Err(refuse(
                format_args!("the adapter changes `{table}`, which the model's head is tied to"),
                "merge the adapter with `merge_and_unload()` of peft, which decides for both, and convert what was saved",
            ));
        }
        return Ok(None);
    };
    context.config.get(&["tie_word_embeddings"]);
    if table.is_some_and(|table| context.checkpoint.same(table, found)) {
        context.checkpoint.dismiss(|name| name == found);
        return Ok(None);
    }
    Ok(Some(Pick::new(vec![found.clone()])))
}

fn classification(context: &Context<'_>, labels: usize) -> Result<Task> {
    if let Some(task @ (Task::Regression | Task::MultiLabelClassification)) = context.options.task {
        return Ok(task);
    }
    match context.config.get(&["problem_type"]).and_then(Json::as_str) {
        Some("regression") => Ok(Task::Regression),
        Some("multi_label_classification") => Ok(Task::MultiLabelClassification),
        Some("single_label_classification") => Ok(Task::Classification),
        None if labels == 1 => one_label(context),
        None => Ok(Task::Classification),
        Some(other) => Err(refuse(
            format_args!("config.json says `problem_type` = \"{other}\", which is not implemented"),
            "only regression, single_label_classification and multi_label_classification are implemented",
        )),
    }
}

/// The task of a single label: a regression, or a probability if sentence-transformers says so
/// about a cross-encoder.
fn one_label(context: &Context<'_>) -> Result<Task> {
    let own = context.config.get(&["sentence_transformers"]).and_then(|own| own.get("activation_fn"));
    let said = own.or_else(|| context.config.get(&["sbert_ce_default_activation_function"])).and_then(Json::as_str);
    match said.map(|said| said.rsplit('.').next().unwrap_or_default()) {
        None | Some("Identity") => Ok(Task::Regression),
        Some("Sigmoid") => Ok(Task::MultiLabelClassification),
        Some(other) => Err(refuse(
            format_args!("config.json says `activation_fn` = \"{other}\" of a cross-encoder, which is not implemented"),
            "only Identity and Sigmoid are implemented: remove the key to get the number without an activation",
        )),
    }
}

/// The labels in `id2label`, in the order of their ids.
fn read_labels(context: &Context<'_>) -> Result<Vec<String>> {
    let config = context.config;
    let Some(map) = config.get(&["id2label"]) else {
        let usual = if context.model_type == "bart" { 3 } else { 2 };
        let number = config.optional_size(&["num_labels"])?.unwrap_or(usual);
        return Ok((0..number).map(|id| format!("LABEL_{id}")).collect());
    };
    let named = |id: usize| match map {
        Json::Array(list) => list.get(id),
        map => map.get(id.to_string()),
    };
    let count = map.as_object().map_or_else(|| map.as_array().map_or(0, Vec::len), serde_json::Map::len);
    let text = |label: &Json| label.as_str().map_or_else(|| label.to_string(), str::to_owned);
    let labels: Option<Vec<String>> = (0..count).map(|id| named(id).map(text)).collect();
    labels.filter(|labels| !labels.is_empty()).ok_or_else(|| {
        refuse(format_args!("config.json says `id2label` = {map}"), "it must give a label for each id from 0 on")
    })
}
