//! The tasks, on golden checkpoints: what the runtime hands out against what the reference computes from the same
//! quantized weights, so that only what the integers add is left.

use kinglet::format::spec::{KeyWidth, Task};
use kinglet::sample::{Sampler, SamplerOptions, argmax};
use kinglet::task::{
    GenerateOptions, Stop, answer, classify, embed, embed_half, fill_in_turn, fill_mask, generate, pseudo_score, score,
    tag,
};
use kinglet::{AlignedVec, Error, MemoryPlan, Model, Session};
use kinglet_convert::convert::Source;
use kinglet_convert::family::Options;
use kinglet_convert::quantize::round_trip;
use kinglet_convert::reference::Reference;
use kinglet_tests::{Expected, Golden, golden_cases};

/// Converts a case and hands a session and the checkpoint to `check`.
fn with(name: &str, check: impl FnOnce(&mut Session<'_, '_>, &Source, &Golden)) {
    let case = golden_cases().into_iter().find(|case| case.name == name).expect("a case of that name");
    let (mut source, converted) = case.convert(&Options { keys: KeyWidth::K16, ..Options::default() });
    source.weights = round_trip(source.spec(), &source.weights).expect("weights");
    let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
    let plan = MemoryPlan::new(model.spec(), 30, 30, 8).expect("a plan");
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    check(&mut Session::with_plan(&model, &mut arena, plan).expect("a session"), &source, &case);
}

/// The reference's result, row after row.
fn exact(source: &Source, input: &Expected) -> Vec<Vec<f32>> {
    let mut reference = Reference::new(source.spec(), &source.weights);
    let rows = reference.forward(&input.ids, &input.token_types, &input.decoder_ids).expect("the reference runs");
    rows.rows().map(<[f32]>::to_vec).collect()
}

fn near(found: &[f32], expected: &[f32], tolerance: f32) {
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.len() == expected.len() && off <= tolerance, "{found:?} is not {expected:?}");
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let powers: Vec<f32> = logits.iter().map(|x| x.exp()).collect();
    powers.iter().map(|power| power / powers.iter().sum::<f32>()).collect()
}

fn types(input: &Expected) -> Vec<u8> {
    input.token_types.iter().map(|&token_type| token_type as u8).collect()
}

#[test]
fn a_sentence_vector_is_the_references_and_of_unit_length() {
    with("bert_sentences", |session, source, case| {
        for input in &case.inputs {
            let mut vector = [0.0; 20];
            assert_eq!(embed(session, &input.ids, &[], &mut vector), Ok(20));
            near(&vector, &exact(source, input)[0], 0.02);
            assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
            let mut half = [half::f16::ZERO; 20];
            assert_eq!(embed_half(session, &input.ids, &[], &mut half), Ok(20));
            near(&half.map(f32::from), &vector, 1e-3);
        }
        let too_small = embed(session, &[3], &[], &mut [0.0; 19]);
        assert_eq!(too_small, Err(Error::BufferTooSmall { needed: 20, given: 19 }));
    });
}

#[test]
fn labels_have_the_references_probabilities() {
    with("bert_classifier", |session, source, case| {
        assert_eq!(session.model().labels().collect::<Vec<_>>(), ["no", "perhaps", "yes"]);
        for input in &case.inputs {
            let mut found = [0.0; 3];
            assert_eq!(classify(session, &input.ids, &types(input), &mut found), Ok(3));
            near(&found, &softmax(&exact(source, input)[0]), 0.01);
        }
    });
    with("bert_multi_label", |session, source, case| {
        let mut found = [0.0; 4];
        assert_eq!(classify(session, &case.inputs[1].ids, &[], &mut found), Ok(4));
        let expected: Vec<f32> = exact(source, &case.inputs[1])[0].iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        near(&found, &expected, 0.01);
    });
    with("bert_regression", |session, source, case| {
        let mut found = [0.0];
        assert_eq!(classify(session, &case.inputs[2].ids, &[], &mut found), Ok(1));
        near(&found, &exact(source, &case.inputs[2])[0], 0.02);
    });
    with("llama_classifier", |session, source, case| {
        let mut found = [0.0; 3];
        assert_eq!(classify(session, &case.inputs[2].ids, &[], &mut found), Ok(3));
        near(&found, &softmax(&exact(source, &case.inputs[2])[0]), 0.01);
    });
}

#[test]
fn every_token_gets_its_own_label() {
    with("bert_tags", |session, source, case| {
        let input = &case.inputs[2];
        let (mut buffer, mut rows) = ([0.0; 5], Vec::new());
        tag(session, &input.ids, &types(input), &mut buffer, |position, scores| rows.push((position, scores.to_vec())))
            .expect("labels");
        assert_eq!(rows.len(), input.ids.len());
        let expected = exact(source, input);
        for (at, (position, scores)) in rows.iter().enumerate() {
            assert_eq!(*position, at);
            near(scores, &softmax(&expected[at]), 0.01);
        }
        assert!(matches!(classify(session, &input.ids, &[], &mut buffer), Err(Error::NotSupported(_))));
    });
}

#[test]
fn masks_are_filled_as_the_reference_would() {
    const MASK: u32 = 4;
    with("bert_masked", |session, source, _| {
        assert_eq!(source.spec().head.task, Task::MaskedLm);
        let text = [2, MASK, 30, 41, MASK, 12, 3];
        let exact =
            Reference::new(source.spec(), &source.weights).forward(&text, &[], &[]).expect("the reference runs");
        let mut filled = Vec::new();
        fill_mask(session, &text, &[], MASK, |position, logits| filled.push((position, argmax(logits))))
            .expect("guesses");
        let best = |row: &[f32]| {
            (0..row.len()).reduce(|best, at| if row[at] > row[best] { at } else { best }).map(|at| at as u32)
        };
        let expected: Vec<_> =
            [1, 4].map(|at| (at, best(exact.rows().nth(at).expect("a row")).expect("a token"))).into();
        assert_eq!(filled, expected);

        let mut in_turn = text;
        fill_in_turn(session, &mut in_turn, &[], MASK).expect("guesses");
        assert!(!in_turn.contains(&MASK));
        assert_eq!([in_turn[2], in_turn[3], in_turn[5]], [30, 41, 12]);
        // Filling both at once, the surer one gets the same token; the other sees it.
        assert!(filled.iter().any(|&(at, token)| in_turn[at] == token));
        assert!(matches!(fill_mask(session, &[2, 3], &[], MASK, |_, _| {}), Err(Error::NotSupported(_))));
    });
}

#[test]
fn scores_are_log_probabilities_of_each_token_given_those_before() {
    with("gpt2", |session, source, case| {
        let input = &case.inputs[3];
        let mut found = Vec::new();
        score(session, &input.ids, |position, log_prob| found.push((position, log_prob))).expect("scores");
        assert_eq!(found.len(), input.ids.len() - 1);
        let rows = exact(source, input);
        for (position, log_prob) in found {
            let expected = softmax(&rows[position - 1])[input.ids[position] as usize].ln();
            assert!((log_prob - expected).abs() < 0.05, "{log_prob} for {expected} at {position}");
        }
    });
}

#[test]
fn the_pseudo_score_masks_each_token_and_puts_it_back() {
    const MASK: u32 = 4;
    with("bert_masked", |session, source, _| {
        let text = [2, 17, 30, 41, 3];
        let mut changed = text;
        let mut found = Vec::new();
        pseudo_score(session, &mut changed, &[], MASK, 1..4, |position, log_prob| found.push((position, log_prob)))
            .expect("scores");
        assert_eq!(changed, text);
        assert_eq!(found.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3]);
        for (position, log_prob) in found {
            let mut masked = text;
            masked[position] = MASK;
            let exact =
                Reference::new(source.spec(), &source.weights).forward(&masked, &[], &[]).expect("the reference runs");
            let expected = softmax(exact.rows().nth(position).expect("a row"))[text[position] as usize].ln();
            assert!((log_prob - expected).abs() < 0.05, "{log_prob} for {expected} at {position}");
        }
    });
}

#[test]
fn the_answer_is_the_best_span_of_the_context() {
    with("bert_answers", |session, source, case| {
        let input = &case.inputs[3];
        let rows = exact(source, input);
        let context = input.ids.len() / 2..input.ids.len();
        let mut scratch = [[0; 2]; 32];
        for max_len in [1, 3, 32] {
            let found =
                answer(session, &input.ids, &types(input), context.clone(), max_len, &mut scratch).expect("an answer");
            assert!(context.contains(&found.start) && found.start <= found.end && found.end < found.start + max_len);
            // The integers may prefer another span only if it is as good.
            let score = |start: usize, end: usize| rows[start][0] + rows[end][1];
            let spans = context
                .clone()
                .flat_map(|start| (start..(start + max_len).min(context.end)).map(move |end| (start, end)));
            let best = spans.map(|(start, end)| score(start, end)).fold(f32::MIN, f32::max);
            assert!((score(found.start, found.end) - best).abs() < 0.05, "{found:?}");
            assert!(
                (found.score as f32 / 65536.0 - best).abs() < 0.05
                    && (found.none as f32 / 65536.0 - score(0, 0)).abs() < 0.05
            );
            assert_eq!(found.span().is_some(), found.score > found.none);
        }
        let outside = answer(session, &input.ids, &[], 5..99, 3, &mut scratch);
        assert!(matches!(outside, Err(Error::NotSupported(_))));
        let small = answer(session, &input.ids, &[], context.clone(), 3, &mut [[0; 2]; 2]);
        assert_eq!(small, Err(Error::BufferTooSmall { needed: context.len(), given: 2 }));
    });
}

#[test]
fn tokens_are_forced_suppressed_and_stopped_at() {
    with("gpt2", |session, _, case| {
        let mut write = |options: &GenerateOptions<'_>| {
            let mut text = heapless::Vec::<u32, 30>::from_slice(&case.inputs[1].ids).expect("room");
            let stop = generate(session, &mut text, options, &mut Sampler::new(SamplerOptions::GREEDY), |_| true);
            (text[2..].to_vec(), stop.expect("it writes"))
        };
        let plain = GenerateOptions::new(8);
        let (free, stop) = write(&plain);
        assert_eq!((free.len(), stop), (8, Stop::Length));
        let (forced, _) = write(&GenerateOptions { forced_bos: Some(9), forced_eos: Some(11), ..plain });
        assert_eq!((forced.len(), forced[0], forced[7]), (8, 9, 11));
        let (without, _) = write(&GenerateOptions { suppressed: &free[..1], ..plain });
        assert!(!without.contains(&free[0]));
        let first = free.iter().position(|token| *token == free[2]).expect("it is there");
        assert_eq!(write(&GenerateOptions { stop: &free[2..3], ..plain }), (free[..=first].to_vec(), Stop::Token));
    });
}
