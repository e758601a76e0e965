//! An encoder of any family with a decoder of one in [`DECODERS`] (arXiv 1907.12461). Each half has
//! the configuration and the tensors of its family, under the key and prefix `encoder` or
//! `decoder`.

use anyhow::Result;
use kinglet::format::layout::Stack;
use kinglet::format::spec::Task;

use super::draft::{Context, Draft};
use super::head::{CAUSAL_LM, Head};
use super::{Family, keys};
use crate::config::Config;
use crate::refuse;

/// `EncoderDecoderModel` of `transformers`.
pub(super) const FAMILY: Family = Family {
    model_types: &["encoder-decoder"],
    heads: &[Head { suffixes: &["EncoderDecoderModel"], ..CAUSAL_LM }],
    map,
};

/// The model types whose decoders support cross-attention.
const DECODERS: [&str; 5] = ["bert", "bert-generation", "roberta", "xlm-roberta", "camembert"];

fn map(context: &Context<'_>) -> Result<Draft> {
    context.config.only_ever("tie_encoder_decoder", &[false.into()])?;
    // The decoder's own key decides.
    context.config.get(&["vocab_size"]);
    let mut encoder = half(context, Stack::Encoder)?;
    let mut draft = half(context, Stack::Decoder)?;
    let widths = [encoder.encoder, draft.decoder].map(|stack| stack.map_or(0, |stack| stack.hidden_size));
    if widths[0] != widths[1] {
        return Err(refuse(
            format_args!("the `hidden_size` of the encoder is {}, that of the decoder {}", widths[0], widths[1]),
            "a projection between them is not implemented: both must have one width",
        ));
    }
    draft.encoder = encoder.encoder;
    draft.sources.append(&mut encoder.sources);
    draft.notes.append(&mut encoder.notes);
    draft.prefixes = &["decoder."];
    // The decoder does not read the encoder's pooler.
    context.checkpoint.dismiss(|name| name.starts_with("encoder.pooler."));
    Ok(draft)
}

/// Maps one half, with the names of its tensors in the whole checkpoint.
fn half(context: &Context<'_>, id: Stack) -> Result<Draft> {
    let (side, task) = match id {
        Stack::Encoder => ("encoder", Task::Hidden),
        Stack::Decoder => ("decoder", Task::CausalLm),
    };
    let said = context.config.get(&[side]).cloned().unwrap_or_default();
    let config = Config::new(said)?;
    let family = (context.find)(&config)?;
    let model_type = config.get(&["model_type"]).and_then(serde_json::Value::as_str).unwrap_or_default();
    let crosses = id == Stack::Decoder;
    let head = family.heads.iter().find(|head| head.task == task);
    let Some(head) = head.filter(|_| !crosses || DECODERS.contains(&model_type)) else {
        return Err(refuse(
            format_args!(
                "config.json says `{side}.model_type` = \"{model_type}\", which cannot be the {side} of another"
            ),
            format_args!("only decoders of {} can, and all encoders", DECODERS.join(", ")),
        ));
    };
    config.get(&["tie_word_embeddings"]);
    let own = Context { config: &config, model_type, head: *head, embedding: false, crosses, ..*context };
    let mut draft = (family.map)(&own)?;
    let is_half = match id {
        Stack::Encoder => draft.decoder.is_none(),
        Stack::Decoder => draft.encoder.is_none(),
    };
    if !is_half {
        return Err(refuse(
            format_args!("config.json says `{side}.model_type` = \"{model_type}\", which is not a single {side}"),
            "each half must be one stack",
        ));
    }
    for source in draft.sources.values_mut() {
        for value in core::iter::once(&mut source.weight).chain(source.bias.as_mut()) {
            value.each_pick(&mut |pick| {
                pick.names.iter_mut().for_each(|name| name.insert_str(0, &format!("{side}.")));
            });
        }
    }
    let unread = config.check(keys::HARMLESS, &context.options.ignored_keys)?;
    if !unread.is_empty() {
        let names = unread.join("`, `");
        draft.notes.push(format!("the {side}'s configuration has keys that change nothing in it: `{names}`"));
    }
    Ok(draft)
}
