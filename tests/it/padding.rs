//! Tests of texts that contain padding or end tokens: positions that do not count padding, and
//! classifiers that read the state of another token than the last.

use kinglet::format::spec::{ModelSpec, OutputProjection, Pooling, PositionTable, Task};
use kinglet::task::{BeamOptions, BeamSearch, GenerateOptions, beam_search, classify, log_probability, probabilities};
use kinglet::{AlignedVec, LoadError, MemoryPlan, Model, RunError, Session, arena_bytes};
use kinglet_convert::fidelity;
use kinglet_convert::reference::Reference;
use kinglet_tests::{golden_cases, tiny};
use proptest::prelude::*;

/// The padding or end token of the tiny models: one in four tokens of the texts in these tests.
const SPECIAL: u32 = 3;

fn in_session<T>(model: &Model<'_>, tile: usize, run: impl FnOnce(&mut Session<'_, '_>) -> T) -> T {
    let longest = model.spec().last_stack().map_or(0, |stack| stack.max_positions as usize).min(40);
    let plan = MemoryPlan::new(model.spec(), longest, longest, tile).expect("a plan").with_beams(4);
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    run(&mut Session::with_plan(model, &mut arena, plan).expect("a session"))
}

fn classifies(mut spec: ModelSpec, pooling: Pooling) -> ModelSpec {
    (spec.head.task, spec.head.pooling) = (Task::Classification, pooling);
    (spec.head.output, spec.head.num_outputs) = (OutputProjection::Own, 3);
    spec
}

/// Changes each stack so that its positions do not count padding.
fn counts(mut spec: ModelSpec) -> ModelSpec {
    for stack in [&mut spec.encoder, &mut spec.decoder].into_iter().flatten() {
        (stack.embedding.positions, stack.embedding.padding) = (PositionTable::BeforeNorm, Some(SPECIAL));
    }
    spec.check().expect("a specification");
    spec
}

fn last_unpadded() -> ModelSpec {
    classifies(tiny::decoder(), Pooling::LastExcept(SPECIAL))
}

fn ids(len: core::ops::Range<usize>) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(
        prop_oneof![Just(SPECIAL), 0..tiny::VOCAB_SIZE, 0..tiny::VOCAB_SIZE, 0..tiny::VOCAB_SIZE],
        len,
    )
}

fn logits_of_each(session: &mut Session<'_, '_>, ids: &[u32]) -> Vec<Vec<i32>> {
    let mut rows = Vec::new();
    session.prefill_each(ids, |_, logits| rows.push(logits.to_vec())).expect("it reads");
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_classifier_reads_the_last_token_that_is_not_padding(seed: u64, ids in ids(1..30), tile in 1..30_usize, threads in 1..4_usize) {
        let blob = tiny::blob(&last_unpadded(), seed);
        let model = Model::from_bytes(&blob).expect("a model");
        // Padding after a token must not change the head's result.
        let ends = |len: usize| ids[..len].iter().rposition(|&id| id != SPECIAL).unwrap_or(0) + 1;
        let plain = classifies(tiny::decoder(), Pooling::Last);
        let plain = tiny::blob(&plain, seed);
        let plain = Model::from_bytes(&plain).expect("a model");
        let wanted: Vec<Vec<i32>> = in_session(&plain, 1, |session| {
            let rows = logits_of_each(session, &ids);
            (1..=ids.len()).map(|len| rows[ends(len) - 1].clone()).collect()
        });
        let found = in_session(&model, tile, |session| {
            session.set_threads(threads).expect("memory for them");
            logits_of_each(session, &ids)
        });
        prop_assert_eq!(&found, &wanted);
        let stepped = in_session(&model, 1, |session| {
            ids.iter().map(|&id| session.step(id).expect("it steps").to_vec()).collect::<Vec<_>>()
        });
        prop_assert_eq!(&stepped, &wanted);
        // Abandoning a text keeps what was read before it.
        let again = in_session(&model, tile, |session| {
            session.prefill(&ids).expect("it reads");
            let mut given_up = session.begin_prefill(&ids[..1]).expect("it begins");
            assert!(session.advance(&mut given_up, &ids[..1], &[]).expect("it advances"));
            assert_eq!(session.logits().err(), Some(RunError::NoTokens));
            session.step(SPECIAL).expect("it steps").to_vec()
        });
        prop_assert_eq!(Some(&again), wanted.last());
    }

    #[test]
    fn positions_do_not_count_padding_however_a_text_is_read(
        seed: u64, source in ids(1..30), ids in ids(1..30), other in ids(1..10), tile in 1..30_usize, cut in 0..30_usize, threads in 1..4_usize,
    ) {
        let blob = tiny::blob(&counts(tiny::encoder_decoder()), seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let run = |tile, threads| in_session(&model, tile, |session| {
            session.set_threads(threads).expect("memory for them");
            session.encode(&source, &[]).expect("it reads");
            (session.encoder_states().to_vec(), logits_of_each(session, &ids))
        });
        let (states, rows) = run(1, 1);
        prop_assert_eq!(&run(tile, threads), &(states, rows.clone()));
        // Another text is read, and rewound to a random position.
        let cut = cut.min(ids.len() - 1);
        let joined = in_session(&model, tile, |session| {
            session.encode(&source, &[]).expect("it reads");
            session.prefill(&[&ids[..cut], &other].concat()).expect("it reads");
            session.rewind(cut).expect("it forgets");
            logits_of_each(session, &ids[cut..])
        });
        prop_assert_eq!(joined.as_slice(), &rows[cut..]);
    }

    #[test]
    fn beams_keep_their_positions_apart(seed: u64, source in ids(1..8)) {
        // Padding is not suppressed, because these texts contain it.
        let blob = tiny::blob(&counts(tiny::encoder_decoder()), seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let begin = [5, SPECIAL];
        let found = in_session(&model, 4, |session| {
            session.encode(&source, &[]).expect("it reads");
            let mut text = heapless::Vec::<u32, 16>::from_slice(&begin).expect("room");
            let mut memory = [0; BeamSearch::words(4, 6)];
            let options = GenerateOptions::new(6);
            let search = beam_search(session, &mut text, &options, BeamOptions::new(4), &mut memory).expect("it searches");
            let mut found = Vec::new();
            while let Some(score) = search.write_finished(found.len(), &mut text).expect("room") {
                found.push((text.to_vec(), score));
                text.truncate(begin.len());
            }
            found
        });
        prop_assert_eq!(found.len(), 4);
        for (text, score) in found {
            let rows = in_session(&model, 1, |session| {
                session.encode(&source, &[]).expect("it reads");
                logits_of_each(session, &text)
            });
            let written = begin.len()..text.len();
            let sum: f32 = written.clone().map(|at| log_probability(&rows[at - 1], text[at], 16)).sum();
            prop_assert!((sum / written.len() as f32 - score).abs() < 1e-4, "{:?}: {} is not {}", text, sum, score);
        }
    }
}

#[test]
fn a_classifier_of_two_stacks_reads_the_text_with_both() {
    let mut read = 0;
    for case in golden_cases() {
        let (source, converted) = case.convert(&case.options());
        let Pooling::AtLast(end) = source.spec().head.pooling else { continue };
        let model = Model::from_bytes(&converted.blob).expect("the blob is valid");
        in_session(&model, 3, |session| {
            for input in &case.inputs {
                // By default `transformers` gives the decoder the shifted text.
                let rows = fidelity::run(session, &input.ids, &[], &input.decoder_ids).expect("it runs");
                let (mut wanted, mut found) = ([0.0; 3], [0.0; 3]);
                probabilities(Task::Classification, &rows[0], 16, &mut wanted).expect("three labels");
                classify(session, &input.ids, &[], &mut found).expect("it classifies");
                assert_eq!(found, wanted, "{}: {:?}", case.name, input.ids);
                // Before the position of the end token the head has no result.
                session.encode(&input.ids, &[]).expect("it reads");
                let place = input.ids.iter().rposition(|&id| id == end).expect("it ends");
                for (at, &id) in input.decoder_ids.iter().enumerate() {
                    let logits = session.step(id).map(|logits| logits.to_vec());
                    let wanted = if at < place { Err(RunError::NoTokens) } else { Ok(rows[0].clone()) };
                    assert_eq!(logits, wanted, "{}: {:?} at {at}", case.name, input.ids);
                    read += 1;
                }
            }
            assert_eq!(session.encode(&[5, 6], &[]), Err(RunError::TokenMissing { token: end }), "{}", case.name);
        });
        let mut reference = Reference::new(source.spec(), &source.weights);
        let mut refused = |ids: &[u32], decoder_ids: &[u32], wanted: &str| {
            let error = reference.forward(ids, &[], decoder_ids).expect_err("it is refused").to_string();
            assert!(error.contains(wanted), "{error}");
        };
        refused(&[5, 6], &[2, 5], &format!("lacks token {end}"));
        refused(&[5, end], &[2], "1 tokens for the decoder, but 2");
    }
    assert!(read > 100, "only {read} tokens were read");
}

#[test]
fn what_was_read_before_a_rewind_is_not_read_after_it() {
    let blob = tiny::blob(&last_unpadded(), 4);
    let model = Model::from_bytes(&blob).expect("a model");
    in_session(&model, 2, |session| {
        session.prefill(&[1, 2, SPECIAL, 4, SPECIAL]).expect("it reads");
        let known = session.logits().expect("logits").to_vec();
        session.rewind(5).expect("nothing is forgotten");
        assert_eq!(session.step(SPECIAL).expect("the same state"), known);
        session.rewind(3).expect("it forgets");
        assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        session.prefill(&[SPECIAL, SPECIAL]).expect("it reads");
        assert_eq!(session.logits().err(), Some(RunError::NoTokens), "what it reads is forgotten");
        let found = session.step(7).expect("a token to read").to_vec();
        session.reset();
        session.prefill(&[1, 2, SPECIAL, SPECIAL, SPECIAL, 7]).expect("it reads");
        assert_eq!(session.logits().expect("logits"), found);
    });
}

#[test]
fn a_specification_that_passes_over_tokens_is_checked() {
    let refused = |change: &dyn Fn(&mut ModelSpec), mut spec: ModelSpec, wanted: &str| {
        assert_eq!(spec.check(), Ok(()));
        change(&mut spec);
        let Err(LoadError::InvalidSpec(said)) = spec.check() else { panic!("{:?}", spec.check()) };
        assert!(said.contains(wanted), "{said}");
    };
    let padding =
        |id| move |spec: &mut ModelSpec| spec.encoder.as_mut().expect("an encoder").embedding.padding = Some(id);
    refused(&padding(tiny::VOCAB_SIZE), counts(tiny::encoder_decoder()), "padding");
    refused(&padding(SPECIAL), tiny::encoder_decoder(), "padding");
    let pools = |pooling| move |spec: &mut ModelSpec| spec.head.pooling = pooling;
    refused(&pools(Pooling::LastExcept(tiny::VOCAB_SIZE)), last_unpadded(), "pooling except a token");
    refused(&pools(Pooling::LastExcept(SPECIAL)), tiny::encoder(), "pooling except a token");
    refused(&pools(Pooling::LastExcept(SPECIAL)), tiny::encoder_decoder(), "pooling except a token");
    let ended = classifies(tiny::encoder_decoder(), Pooling::AtLast(SPECIAL));
    refused(&pools(Pooling::AtLast(tiny::VOCAB_SIZE)), ended, "pooling at a token");
    refused(&pools(Pooling::AtLast(SPECIAL)), tiny::encoder(), "pooling at a token");
    refused(&pools(Pooling::AtLast(SPECIAL)), tiny::decoder(), "pooling at a token");
}

#[test]
fn what_padding_needs_is_in_the_memory_plan() {
    let ended = classifies(tiny::encoder_decoder(), Pooling::AtLast(SPECIAL));
    for spec in [counts(tiny::encoder_decoder()), last_unpadded(), ended] {
        let blob = tiny::blob(&spec, 1);
        let model = Model::from_bytes(&blob).expect("a model");
        let mut arena = AlignedVec::zeroed(arena_bytes(&blob, 20));
        assert_eq!(arena.len() as u64, MemoryPlan::standard(&spec, 20).expect("a plan").bytes());
        Session::new(&model, &mut arena, 20).expect("a session");
    }
}
