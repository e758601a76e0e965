//! A fuzz target for the lines of JSON that commands read.

use std::path::Path;
use std::str;
use std::sync::OnceLock;

use kinglet::format::spec::ModelSpec;
use kinglet::{AlignedVec, MemoryPlan, Model, Session};
use kinglet_convert::fidelity::run;
use kinglet_convert::inputs::{Input, Reader, char_offsets, lines, parse};
use kinglet_convert::vocabulary::Wish;

use super::tokenizers::all;
use crate::tiny;

/// A model, and a reader of texts for it.
struct Small {
    model: Model<'static>,
    reader: Reader,
}

/// The tiny models, each with a tokenizer of another kind. The last one has none.
fn models() -> &'static [Small] {
    static MODELS: OnceLock<Vec<Small>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let specs = tiny::specs();
        let last = specs.len() - 1;
        let small = |(index, (_, spec)): (usize, (&str, ModelSpec))| {
            let section: &[u8] = if index == last { &[] } else { all()[index * (all().len() / last)].section() };
            let blob: &'static AlignedVec = Box::leak(Box::new(tiny::blob(&spec, 1)));
            let reader = Reader { limit: Some(40), ..Reader::new(section).expect("a valid section") };
            Small { model: Model::from_bytes(blob).expect("a valid blob"), reader }
        };
        specs.into_iter().enumerate().map(small).collect()
    })
}

/// A file of inputs is refused with a message that names the line, or its inputs run. The first
/// byte selects the model.
pub(super) fn json_lines(bytes: &[u8]) {
    let Some((first, Ok(content))) = bytes.split_first().map(|(first, rest)| (first, str::from_utf8(rest))) else {
        return;
    };
    let Small { model, reader } = &models()[usize::from(*first) % models().len()];
    let file = Path::new("inputs.jsonl");
    match lines(file, content) {
        Ok(lines) => {
            for (_, line) in lines {
                match parse(&line, reader) {
                    Ok(input) => use_input(model, reader, &input),
                    Err(error) => assert!(!format!("{error:#}").is_empty()),
                }
            }
        }
        Err(error) => assert!(format!("{error:#}").starts_with("inputs.jsonl line "), "{error:#}"),
    }
    if let Err(error) = Wish::parse(file, content) {
        assert!(format!("{error:#}").starts_with("inputs.jsonl"), "{error:#}");
    }
}

/// Calls what the commands call with an input.
fn use_input(model: &Model<'_>, reader: &Reader, input: &Input) {
    for tokens in [0..input.tokens.len(), 1..2] {
        if let Some((part, start, end)) = input.span(tokens) {
            assert_eq!(part.chars().count(), end - start, "{input:?}");
        }
    }
    assert!(input.texts.iter().all(|text| char_offsets(text).len() == text.len() + 1));
    let pieces = reader.spell(&input.ids);
    assert!(pieces.is_none_or(|pieces| pieces.len() == input.ids.len()));
    let _ = (reader.decode(&input.ids), reader.choice(&format!("{:?}", input.ids)));
    let spec = model.spec();
    let target = if spec.encoder.is_some() { &input.decoder_ids } else { &input.ids };
    let Ok(plan) = MemoryPlan::new(spec, target.len(), input.ids.len(), target.len().clamp(1, 128)) else { return };
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    let mut session = Session::with_plan(model, &mut arena, plan).expect("the arena is that of the plan");
    match run(&mut session, &input.ids, &input.token_types, &input.decoder_ids) {
        Ok(rows) => assert!(rows.iter().all(|row| row.len() == spec.head.num_outputs as usize), "{input:?}"),
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// Files with lines of every kind, for each model.
pub(super) fn files() -> Vec<Vec<u8>> {
    const LINES: [&str; 3] = [
        "\"in the kitchen\"\n[1, 2, 3]\n\n{\"text\": \"Zo\u{eb}\", \"pair\": \"a \\ud83d\\ude00\", \"label\": \"x\"}\n",
        "{\"ids\": [1, 4, 2], \"token_type_ids\": [0, 1, 1], \"decoder_ids\": [0, 5], \"continues\": [0, 1, 0]}\r\n",
        "{\"text\": \"\", \"decoder_ids\": [7], \"labels\": [\"a\", \"b\"], \"target\": \"c\"}\n\"\"\n[]\n[22, 0]",
    ];
    let each = |index| LINES.map(|lines| [&[index], lines.as_bytes()].concat());
    (0..tiny::specs().len() as u8).flat_map(each).collect()
}
