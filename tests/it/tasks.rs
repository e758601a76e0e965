//! Tests of tasks on golden checkpoints. The reference uses the blob's quantized weights, so the
//! remaining error is that of integer arithmetic.

use kinglet::format::spec::{KeyWidth, Task};
use kinglet::sample::{Sampler, SamplerOptions, argmax};
use kinglet::task::{
    BeamOptions, BeamSearch, Choices, GenerateOptions, Stop, answer, beam_search, classify, embed, embed_half,
    embed_tokens, fill_in_turn, fill_mask, generate, half_bits, log_probability, pseudo_score, score, sparse, tag,
};
use kinglet::{AlignedVec, Buffer, MemoryPlan, Model, RunError, Session};
use kinglet_convert::family::Options;
use kinglet_convert::opened::Source;
use kinglet_convert::quantize::round_trip;
use kinglet_convert::reference::Reference;
use kinglet_tests::{Expected, Golden, golden_cases};

/// Converts a case, and calls `check` with a session and the checkpoint.
pub(crate) fn with(name: &str, check: impl FnOnce(&mut Session<'_, '_>, &Source, &Golden)) {
    let case = golden_cases().into_iter().find(|case| case.name == name).expect("a case of that name");
    let (mut source, converted) = case.convert(&Options { keys: KeyWidth::K16, ..Options::default() });
    source.weights = round_trip(source.spec(), &source.weights).expect("weights");
    let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
    let plan = MemoryPlan::new(model.spec(), 30, 30, 8).expect("a plan");
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    check(&mut Session::with_plan(&model, &mut arena, plan).expect("a session"), &source, &case);
}

/// The reference's results, row by row.
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
            let mut half = [0; 20];
            assert_eq!(embed_half(session, &input.ids, &[], &mut half), Ok(20));
            near(&half.map(|bits| half::f16::from_bits(bits).to_f32()), &vector, 1e-3);
        }
        let too_small = embed(session, &[3], &[], &mut [0.0; 19]);
        assert_eq!(too_small, Err(RunError::BufferTooSmall { buffer: Buffer::Vector, needed: 20, given: 19 }));
    });
}

#[test]
fn each_token_has_a_vector_of_unit_length() {
    with("hub_colbert", |session, source, case| {
        for input in &case.inputs {
            let expected = exact(source, input);
            let mut seen = 0;
            let mut vector = [0.0; 20];
            let each = |at: usize, vector: &[f32]| {
                near(vector, &expected[at], 0.02);
                assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
                seen += 1;
            };
            assert_eq!(embed_tokens(session, &input.ids, &types(input), &mut vector, each), Ok(()));
            assert_eq!(seen, input.ids.len());
        }
        let too_small = embed_tokens(session, &[3], &[], &mut [0.0; 15], |_, _| {});
        assert_eq!(too_small, Err(RunError::BufferTooSmall { buffer: Buffer::Vector, needed: 16, given: 15 }));
    });
}

#[test]
fn weights_of_tokens_are_of_their_largest_logits() {
    with("bert_masked", |session, source, case| {
        let size = source.spec().head.num_outputs as usize;
        for input in &case.inputs {
            let rows = exact(source, input);
            let most = |token: usize| rows.iter().map(|row| row[token]).fold(0.0, f32::max);
            let expected: Vec<f32> = (0..size).map(|token| most(token).ln_1p()).collect();
            let mut weights = vec![7.0; size];
            assert_eq!(sparse(session, &input.ids, &types(input), &mut weights), Ok(size));
            near(&weights, &expected, 0.05);
            assert!(weights.contains(&0.0) || input.ids.len() > 5);
        }
        let too_small = sparse(session, &[3], &[], &mut [0.0; 5]);
        assert_eq!(too_small, Err(RunError::BufferTooSmall { buffer: Buffer::Vector, needed: size, given: 5 }));
    });
    with("bert_tags", |session, _, _| {
        assert!(matches!(sparse(session, &[3], &[], &mut [0.0; 99]), Err(RunError::WrongHead(_))));
    });
}

#[test]
fn half_precision_is_that_of_the_crate_half() {
    let mut ties = 0;
    for bits in 0..=u16::MAX {
        let exact = half::f16::from_bits(bits).to_f32();
        // Between this number and the next: the number, the tie, and both neighbours of the tie.
        let next = half::f16::from_bits(bits.wrapping_add(1)).to_f32();
        let tie = ((f64::from(exact) + f64::from(next)) / 2.0) as f32;
        ties += usize::from(tie.is_finite() && tie != exact && tie != next);
        for value in [exact, exact.next_up(), exact.next_down(), tie, tie.next_up(), tie.next_down()] {
            assert_eq!(half_bits(value), half::f16::from_f32(value).to_bits(), "{value:e}, {:#010x}", value.to_bits());
        }
    }
    assert!(ties > 63_000, "{ties}");
    for value in [65_519.998, 65_520.0, 65_536.0, f32::MAX, f32::MIN_POSITIVE, 1e-45, -1e-45] {
        assert_eq!(half_bits(value), half::f16::from_f32(value).to_bits(), "{value:e}");
    }
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
        let refused = classify(session, &input.ids, &[], &mut buffer);
        assert_eq!(refused, Err(RunError::WrongHead("classify texts")));
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
        // When both masks are filled together, the one with the more certain token is filled first,
        // and the other is predicted again.
        assert!(filled.iter().any(|&(at, token)| in_turn[at] == token));
        assert_eq!(fill_mask(session, &[2, 3], &[], MASK, |_, _| {}), Err(RunError::NothingToFill));
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
            // The integers may choose another span only if its score is about equal.
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
        assert!(matches!(outside, Err(RunError::InvalidOption { option: "context", .. })));
        let small = answer(session, &input.ids, &[], context.clone(), 3, &mut [[0; 2]; 2]);
        assert_eq!(small, Err(RunError::BufferTooSmall { buffer: Buffer::Spans, needed: context.len(), given: 2 }));
    });
}

#[test]
fn tokens_are_forced_suppressed_and_stopped_at() {
    with("gpt2", |session, _, case| {
        let mut write = |options: &GenerateOptions<'_>| {
            let mut text = heapless::Vec::<u32, 30>::from_slice(&case.inputs[1].ids).expect("room");
            let stop = generate(session, &mut text, options, &mut Sampler::greedy(), |_| true);
            (text[2..].to_vec(), stop.expect("it writes"))
        };
        let plain = GenerateOptions::new(8);
        let (free, stop) = write(&plain);
        assert_eq!((free.len(), stop), (8, Stop::Length));
        // The first token is forced only after one decoder token, and here are two.
        let (forced, _) = write(&GenerateOptions { forced_bos: Some(9), forced_eos: Some(11), ..plain });
        assert_eq!((&forced[..7], forced[7]), (&free[..7], 11));
        let (without, _) = write(&GenerateOptions { suppressed: &free[..1], ..plain });
        assert!(!without.contains(&free[0]));
        let first = free.iter().position(|token| *token == free[2]).expect("it is there");
        assert_eq!(write(&GenerateOptions { stop: &free[2..3], ..plain }), (free[..=first].to_vec(), Stop::Token));
    });
}

/// A beam search with the runtime's bookkeeping, which reads every text from its beginning in each
/// step.
fn search_from_scratch(
    session: &mut Session<'_, '_>,
    begin: &[u32],
    options: &GenerateOptions<'_>,
    beams: BeamOptions,
) -> Vec<(Vec<u32>, f32)> {
    let bits = session.model().spec().numerics.fraction_bits;
    let mut memory = vec![0; BeamSearch::words(beams.num_beams, options.max_new_tokens)];
    let mut search = BeamSearch::new(beams, options.max_new_tokens, options.stop.len(), &mut memory).expect("a search");
    let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
    loop {
        for beam in 0..search.parents().len() {
            search.write_open(beam, &mut text).expect("room");
            session.reset();
            session.prefill(&text).expect("it reads");
            let logits = session.logits().expect("logits");
            for token in 0..logits.len() as u32 {
                search.offer(beam, token, log_probability(logits, token, bits));
            }
            text.truncate(begin.len());
        }
        if !search.advance(|_, _, token| options.stop.contains(&token)) {
            break;
        }
    }
    let mut found = Vec::new();
    while let Some(score) = search.write_finished(found.len(), &mut text).expect("room") {
        found.push((text[begin.len()..].to_vec(), score));
        text.truncate(begin.len());
    }
    found
}

#[test]
fn beams_keep_their_caches_apart() {
    for name in ["gpt2", "marian", "mt5", "mistral"] {
        let case = golden_cases().into_iter().find(|case| case.name == name).expect("a case of that name");
        let (_, converted) = case.convert(&Options::default());
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        let plan = MemoryPlan::new(model.spec(), 30, 30, 3).expect("a plan");
        for input in &case.inputs {
            let begin = if input.decoder_ids.is_empty() { &input.ids } else { &input.decoder_ids };
            for num_beams in [2, 5, 8] {
                let plan = plan.with_beams(num_beams);
                let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
                let mut session = Session::with_plan(&model, &mut arena, plan).expect("a session");
                if model.spec().encoder.is_some() {
                    session.encode(&input.ids, &[]).expect("the source is encoded");
                }
                let options = GenerateOptions { stop: &[29, 46, 14], ..GenerateOptions::new(8) };
                let beams = BeamOptions { num_beams, ..BeamOptions::new(num_beams) };
                let expected = search_from_scratch(&mut session, begin, &options, beams);
                let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
                let mut memory = [0; BeamSearch::words(8, 8)];
                let search = beam_search(&mut session, &mut text, &options, beams, &mut memory).expect("it searches");
                for (rank, (ids, score)) in expected.iter().enumerate() {
                    assert_eq!(search.write_finished(rank, &mut text), Ok(Some(*score)), "{name}");
                    assert_eq!(text[begin.len()..], ids[..], "{name}");
                    text.truncate(begin.len());
                }
                assert_eq!(search.write_finished(expected.len(), &mut text), Ok(None), "{name}");
            }
        }
    }
}

#[test]
fn a_search_needs_the_memory_of_its_beams() {
    with("gpt2", |session, _, _| {
        let mut text = heapless::Vec::<u32, 30>::from_array([3, 4]);
        let (options, mut memory) = (GenerateOptions::new(5), [0; 10]);
        let short = beam_search(session, &mut text, &options, BeamOptions::new(2), &mut memory[..9]).err();
        assert_eq!(short, Some(RunError::BufferTooSmall { buffer: Buffer::Beams, needed: 10, given: 9 }));
        let caches = beam_search(session, &mut text, &options, BeamOptions::new(2), &mut memory).err();
        assert_eq!(caches, Some(RunError::TooManyBeams { limit: 1, given: 2 }));
        let none = beam_search(session, &mut text, &options, BeamOptions::new(0), &mut memory).err();
        assert!(matches!(none, Some(RunError::InvalidOption { option: "num_beams", .. })));
        // A search with one beam equals greedy decoding.
        let search = beam_search(session, &mut text, &options, BeamOptions::new(1), &mut memory).expect("it searches");
        search.write_finished(0, &mut text).expect("room");
        let mut greedy = heapless::Vec::<u32, 30>::from_array([3, 4]);
        generate(session, &mut greedy, &options, &mut Sampler::greedy(), |_| true).expect("it writes");
        assert_eq!(text, greedy);
    });
}

#[test]
fn only_one_of_the_choices_is_written() {
    const CHOICES: [&[u32]; 6] = [&[3, 9], &[3, 9, 4, 4], &[3, 11, 5], &[17], &[40, 1], &[52, 52, 52, 52]];
    with("gpt2", |session, source, _| {
        let choices = Choices::new(&CHOICES).expect("they are sorted");
        let mut chosen = std::collections::BTreeSet::new();
        for begin in 0..50 {
            let options = GenerateOptions { choices: Some(choices), stop: &[7], ..GenerateOptions::new(12) };
            let mut text = heapless::Vec::<u32, 30>::from_array([begin]);
            let mut sampler = Sampler::new(SamplerOptions {
                temperature: if begin % 2 == 0 { 0.0 } else { 3.0 },
                seed: begin.into(),
                ..SamplerOptions::GREEDY
            })
            .expect("options in range");
            assert_eq!(generate(session, &mut text, &options, &mut sampler, |_| true), Ok(Stop::Token));
            let written: Vec<u32> = text[1..].iter().copied().filter(|&token| token != 7).collect();
            chosen.insert(choices.find(&written).unwrap_or_else(|| panic!("{written:?} is none of the choices")));
            let mut reference = Reference::new(source.spec(), &source.weights);
            for found in reference.beam_search(&[begin], &options, BeamOptions::new(3)).expect("it searches") {
                let written: Vec<u32> = found.ids.into_iter().filter(|&token| token != 7).collect();
                assert!(choices.find(&written).is_some(), "{written:?}");
            }
        }
        assert!(chosen.len() >= 3, "{chosen:?}");
    });
    assert!(Choices::new(&[]).is_err() && Choices::new(&[&[1], &[1]]).is_err() && Choices::new(&[&[]]).is_err());
}

#[test]
fn a_stop_sequence_ends_the_text_where_it_is_complete() {
    with("gpt2", |session, _, case| {
        let mut write = |options: &GenerateOptions<'_>| {
            let mut text = heapless::Vec::<u32, 30>::from_slice(&case.inputs[3].ids[..9]).expect("room");
            let stop = generate(session, &mut text, options, &mut Sampler::greedy(), |_| true);
            (text[9..].to_vec(), stop.expect("it writes"))
        };
        let plain = GenerateOptions { no_repeat_ngram_size: 2, ..GenerateOptions::new(9) };
        let (free, _) = write(&plain);
        for pair in free.windows(2) {
            assert_eq!(free.windows(2).filter(|other| *other == pair).count(), 1, "{free:?}");
        }
        let (cut, stop) = write(&GenerateOptions { stop_sequences: &[&[60], &free[3..5]], ..plain });
        assert_eq!((&cut[..], stop), (&free[..5], Stop::Token));
    });
}

#[test]
fn logits_are_of_what_the_session_holds_or_there_are_none() {
    with("gpt2", |session, _, case| {
        let ids = &case.inputs[3].ids;
        let mut after = |count: usize| {
            session.reset();
            session.prefill(&ids[..count]).expect("it reads");
            session.logits().expect("logits").to_vec()
        };
        let (two, six) = (after(2), after(6));
        session.reset();
        assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        session.prefill(&ids[..6]).expect("it reads");
        // A refused text changes neither the session nor its logits.
        for refused in [&[][..], &[53], &[3; 25]] {
            assert!(session.prefill(refused).is_err());
            assert_eq!(session.logits().map(<[i32]>::to_vec), Ok(six.clone()));
        }
        session.rewind(1).expect("it forgets");
        assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        assert_eq!(session.rewind(2).err(), Some(RunError::TooManyTokens { limit: 1, given: 2 }));
        session.prefill(&ids[1..2]).expect("it reads");
        assert_eq!(session.logits().map(<[i32]>::to_vec), Ok(two));
        // A text that is not yet read to its end has no logits, nor has it after it was abandoned.
        let mut pass = session.begin_prefill(&ids[2..6]).expect("it begins");
        assert_eq!(session.advance(&mut pass, &ids[2..6], &[]), Ok(true));
        assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        session.rewind(2).expect("it forgets");
        assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        session.prefill(&ids[2..6]).expect("it reads");
        assert_eq!(session.logits().map(<[i32]>::to_vec), Ok(six));
    });
}
