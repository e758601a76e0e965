use kinglet::format::spec::{AttentionPosition, Task};
use serde_json::Value;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::family::{self, Options};
use crate::testing::{ONE, checkpoint, random_weights, tiny_bert, tiny_llama};

fn spec(config: &Value) -> ModelSpec {
    let dir = checkpoint(config, &[]);
    family::map(&Checkpoint::open(dir.path()).unwrap(), &Options::default()).unwrap().spec
}

/// An encoder-decoder from the stacks of the tiny BERT and the tiny Llama.
fn encoder_decoder() -> ModelSpec {
    let mut spec = spec(&tiny_llama());
    spec.encoder = crate::reference::tests::spec(&tiny_bert()).encoder;
    spec.decoder.as_mut().unwrap().block.cross_attention = true;
    spec.check().unwrap();
    spec
}

#[test]
fn stepping_equals_going_through_at_once() {
    let mut windowed = spec(&tiny_llama());
    let attention = &mut windowed.decoder.as_mut().unwrap().block.attention;
    (attention.window, attention.sliding_layers) = (3, 0b10);
    for (spec, source) in [(spec(&tiny_llama()), None), (windowed, None), (encoder_decoder(), Some([4, 5, 6]))] {
        let weights = random_weights(&spec, 5);
        let ids = [1, 9, 2, 2, 7, 10, 3, 0];
        let mut at_once = Reference::new(&spec, &weights);
        let mut stepping = Reference::new(&spec, &weights);
        if let Some(source) = source {
            at_once.encode(&source, &[]).unwrap();
            stepping.encode(&source, &[]).unwrap();
        }
        let all = at_once.decode(&ids).unwrap();
        for (id, row) in ids.iter().zip(all.rows()) {
            assert_eq!(stepping.decode(&[*id]).unwrap().values, row);
        }
        stepping.reset();
        assert_eq!(stepping.decode(&ids).unwrap(), all);
    }
}

#[test]
fn a_decoder_does_not_see_what_follows_and_an_encoder_does() {
    let spec_of = [spec(&tiny_llama()), spec(&tiny_bert())];
    for (spec, changes) in spec_of.iter().zip([false, true]) {
        let weights = random_weights(spec, 6);
        let mut reference = Reference::new(spec, &weights);
        let a = reference.forward(&[1, 2, 3, 4], &[], &[]).unwrap();
        let b = reference.forward(&[1, 2, 3, 9], &[], &[]).unwrap();
        assert_eq!(a.rows().next() != b.rows().next(), changes);
        assert_ne!(a.rows().next_back(), b.rows().next_back());
    }
}

#[test]
fn a_window_hides_what_is_further_away() {
    let mut decoder = spec(&tiny_llama());
    // One layer that sees two tokens: the third last token cannot matter.
    let stack = decoder.decoder.as_mut().unwrap();
    (stack.num_hidden_layers, stack.num_hidden_groups) = (1, 1);
    stack.block.attention.position = AttentionPosition::None;
    (stack.block.attention.window, stack.block.attention.sliding_layers) = (2, 1);
    let mut encoder = spec(&tiny_bert());
    let stack = encoder.encoder.as_mut().unwrap();
    (stack.num_hidden_layers, stack.num_hidden_groups) = (1, 1);
    (stack.block.attention.window, stack.block.attention.sliding_layers) = (1, 1);
    for spec in [decoder, encoder] {
        let weights = random_weights(&spec, 8);
        let mut reference = Reference::new(&spec, &weights);
        let last = |reference: &mut Reference<'_>, ids: &[u32]| {
            reference.forward(ids, &[], &[]).unwrap().rows().next_back().unwrap().to_vec()
        };
        let base = last(&mut reference, &[1, 2, 3]);
        assert_eq!(base, last(&mut reference, &[7, 2, 3]));
        assert_ne!(base, last(&mut reference, &[1, 7, 3]));
    }
}

#[test]
fn heads_pool_cap_and_normalize() {
    let mut spec = spec(&tiny_bert());
    let weights = random_weights(&spec, 2);
    let hidden = Rows { width: 8, values: (0..24).map(|i| i as f32).collect() };
    let result = |spec: &ModelSpec| Reference::new(spec, &weights).head(&hidden).unwrap();
    assert_eq!(result(&spec), hidden);
    spec.head.task = Task::Embedding;
    for (pooling, first) in [(Pooling::First, 0.0), (Pooling::Last, 16.0), (Pooling::Mean, 8.0)] {
        spec.head.pooling = pooling;
        assert_eq!(result(&spec).values, (0..8).map(|i| first + i as f32).collect::<Vec<_>>());
    }
    spec.head.normalize = true;
    let length: f32 = result(&spec).values.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-6);
    (spec.head.normalize, spec.head.soft_cap) = (false, Some(ONE));
    assert!(result(&spec).values.iter().all(|x| x.abs() <= 1.0));
}

#[test]
fn input_out_of_range_is_refused_with_the_bounds() {
    let (llama, bert) = (spec(&tiny_llama()), spec(&tiny_bert()));
    let refused = |spec: &ModelSpec, ids: &[u32], types: &[u32], wanted: &str| {
        let weights = random_weights(spec, 1);
        let error = Reference::new(spec, &weights).forward(ids, types, &[]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    refused(&llama, &[11], &[], "token 11");
    refused(&llama, &[], &[], "no tokens");
    refused(&llama, &[1; 17], &[], "17 tokens");
    refused(&bert, &[1, 2], &[0, 2], "token type 2");
    refused(&bert, &[1, 2], &[1], "1 token types for 2");
    let both = encoder_decoder();
    let weights = random_weights(&both, 1);
    assert!(Reference::new(&both, &weights).decode(&[1]).is_err());
}
