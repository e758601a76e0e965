//! Properties of all models, tested on tiny models with random weights and inputs.

use kinglet::format::spec::{ActivationWidth, Direction, KeyWidth, ModelSpec};
use kinglet::golden::Fingerprint;
use kinglet::task::score;
use kinglet::{AlignedVec, MemoryPlan, Model, Session};
use kinglet_tests::tiny;
use proptest::prelude::*;

/// Makes calls in a session with a tile size, in an arena that is not initialized to zeros.
fn in_session<T>(model: &Model<'_>, tile: usize, run: impl FnOnce(&mut Session<'_, '_>) -> T) -> T {
    let plan = MemoryPlan::new(model.spec(), 40, 40, tile).expect("a plan");
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    run(&mut Session::with_plan(model, &mut arena, plan).expect("a session"))
}

fn logits_of_each(session: &mut Session<'_, '_>, ids: &[u32]) -> Vec<Vec<i32>> {
    let mut rows = Vec::new();
    session.prefill_each(ids, |_, logits| rows.push(logits.to_vec())).expect("it reads");
    rows
}

fn any_decoder() -> impl Strategy<Value = ModelSpec> {
    let widths = (
        prop_oneof![Just(ActivationWidth::A8), Just(ActivationWidth::A16)],
        prop_oneof![Just(KeyWidth::K8), Just(KeyWidth::K16)],
    );
    let decoders = [tiny::decoder(), tiny::sliding_decoder(), tiny::convolving_decoder()];
    (prop::sample::select(decoders.to_vec()), widths).prop_map(|(mut spec, (activations, keys))| {
        spec.numerics.activations = activations;
        spec.numerics.keys = keys;
        spec
    })
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..tiny::VOCAB_SIZE, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefill_in_any_tiling_equals_stepping(spec in any_decoder(), seed: u64, ids in ids(), tile in 1..40_usize, cut in 0..40_usize) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let stepped = in_session(&model, 1, |session| {
            ids.iter().map(|&id| session.step(id).expect("it steps").to_vec()).collect::<Vec<_>>()
        });
        prop_assert_eq!(&in_session(&model, tile, |session| logits_of_each(session, &ids)), &stepped);
        // Two calls, split at a random position, which are connected by the cache only.
        let (first, second) = ids.split_at(cut.min(ids.len() - 1));
        let joined = in_session(&model, tile, |session| {
            if !first.is_empty() {
                session.prefill(first).expect("it reads");
            }
            logits_of_each(session, second)
        });
        prop_assert_eq!(joined.as_slice(), &stepped[first.len()..]);
    }

    #[test]
    fn a_layer_at_a_time_is_the_same(spec in any_decoder(), seed: u64, ids in ids(), tile in 1..40_usize) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let whole = in_session(&model, tile, |session| logits_of_each(session, &ids)).pop();
        let layers = spec.decoder.as_ref().map_or(0, |stack| stack.num_hidden_layers as usize);
        let (sliced, advances) = in_session(&model, tile, |session| {
            session.set_step(usize::MAX);
            let mut pass = session.begin_prefill(&ids).expect("it begins");
            let mut advances = 1;
            while session.advance(&mut pass, &ids, &[]).expect("it advances") {
                // Logits exist between two tiles, but not between two layers; requesting them must
                // not change anything.
                let logits = session.logits().map(|logits| logits.len());
                assert!(logits.is_ok_and(|len| len == tiny::VOCAB_SIZE as usize) == (advances % layers == 0));
                advances += 1;
            }
            assert!(!session.advance(&mut pass, &ids, &[]).expect("it is done"));
            (session.logits().map(<[i32]>::to_vec).ok(), advances)
        });
        prop_assert_eq!(sliced, whole);
        prop_assert_eq!(advances, layers * ids.len().div_ceil(tile));
    }

    #[test]
    fn steps_of_any_length_are_the_same(
        spec in any_decoder(), seed: u64, ids in ids(), tile in 1..12_usize, length in 1..30_000_usize, kept in 0..9_u32,
    ) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let whole = in_session(&model, tile, |session| logits_of_each(session, &ids)).pop();
        let plan = MemoryPlan::new(&spec, 40, 40, tile).expect("a plan");
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(&model, &mut arena, plan).expect("a session");
        session.set_step(length);
        let mut pass = session.begin_prefill(&ids).expect("it begins");
        let mut steps = 1;
        while session.advance(&mut pass, &ids, &[]).expect("it advances") {
            steps += 1;
            if steps % 8 == kept {
                // A session that was put aside between two steps.
                let aside = session.suspend();
                session = Session::resume(&model, &mut arena, &aside).expect("a session");
            }
        }
        while session.advance_logits().expect("logits") {
            steps += 1;
        }
        prop_assert_eq!(session.logits().map(<[i32]>::to_vec).ok(), whole);
        let layers = spec.decoder.as_ref().map_or(0, |stack| stack.num_hidden_layers as usize) as u32;
        prop_assert!(length > 200 || steps > 5 * layers, "{} steps", steps);
    }

    #[test]
    fn what_comes_later_changes_nothing_before(spec in any_decoder(), seed: u64, ids in ids(), other in 0..tiny::VOCAB_SIZE) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let mut changed = ids.clone();
        *changed.last_mut().expect("a token") = other;
        let before = |ids: &[u32]| in_session(&model, 4, |session| logits_of_each(session, ids))[..ids.len() - 1].to_vec();
        prop_assert_eq!(before(&ids), before(&changed));
    }

    #[test]
    fn a_window_forgets_what_has_left_it(seed: u64, ids in prop::collection::vec(0..tiny::VOCAB_SIZE, 12..40), other in 0..tiny::VOCAB_SIZE) {
        let mut spec = tiny::sliding_decoder();
        // With a window on both layers, tokens more than two windows back have no effect.
        spec.decoder.as_mut().expect("a decoder").block.attention.sliding_layers = 3;
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let last = |ids: &[u32], tile| in_session(&model, tile, |session| logits_of_each(session, ids)).pop();
        let mut changed = ids.clone();
        changed[ids.len() - 10] = other;
        prop_assert_eq!(last(&ids, 1), last(&changed, 7));
    }

    #[test]
    fn a_session_forgets_when_it_is_reset(spec in any_decoder(), seed: u64, ids in ids(), other in ids()) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let fresh = in_session(&model, 3, |session| logits_of_each(session, &ids));
        let reused = in_session(&model, 3, |session| {
            session.prefill(&other).expect("it reads");
            session.reset();
            logits_of_each(session, &ids)
        });
        prop_assert_eq!(fresh, reused);
    }

    #[test]
    fn a_text_that_is_begun_again_has_the_bits_of_one_that_was_not(spec in any_decoder(), seed: u64, ids in ids(), tile in 1..9_usize, cut in 1..40_usize) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let wanted = in_session(&model, tile, |session| logits_of_each(session, &ids)).pop();
        let found = in_session(&model, tile, |session| {
            let (first, then) = ids.split_at(ids.len() / 2);
            if !first.is_empty() {
                session.prefill(first).expect("it reads");
            }
            // A pass that is given up, at any step of any layer.
            session.set_step(64);
            let mut pass = session.begin_prefill(then).expect("it begins");
            for _ in 0..cut {
                if session.position() > first.len() || !session.advance(&mut pass, then, &[]).expect("it advances") {
                    break;
                }
            }
            let read = session.position() - first.len();
            if read < then.len() {
                session.prefill(&then[read..]).expect("it reads");
            }
            session.logits().expect("logits").to_vec()
        });
        prop_assert_eq!(Some(found), wanted);
    }

    #[test]
    fn backward_equals_forward_on_reversed_text(seed: u64, ids in ids()) {
        let forward = tiny::decoder();
        let backward = ModelSpec { direction: Direction::Backward, ..forward };
        let scores = |spec: &ModelSpec, ids: &[u32]| {
            let blob = tiny::blob(spec, seed);
            let model = Model::from_bytes(&blob).expect("a model");
            let mut scores = Vec::new();
            in_session(&model, 4, |session| score(session, ids, |position, log_prob| scores.push((position, log_prob))).expect("it scores"));
            scores
        };
        let reversed: Vec<u32> = ids.iter().rev().copied().collect();
        let mirrored: Vec<_> = scores(&forward, &reversed).into_iter().map(|(at, score)| (ids.len() - 1 - at, score)).collect();
        prop_assert_eq!(scores(&backward, &ids), mirrored);
    }

    #[test]
    fn an_encoder_decoder_is_the_same_in_every_tiling(seed: u64, source in ids(), target in ids(), tile in 1..40_usize) {
        let blob = tiny::blob(&tiny::encoder_decoder(), seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let run = |tile| in_session(&model, tile, |session| {
            session.encode(&source, &[]).expect("it reads");
            (session.encoder_states().to_vec(), logits_of_each(session, &target))
        });
        prop_assert_eq!(run(tile), run(1));
    }

    #[test]
    fn a_written_blob_reads_back(seed: u64) {
        for (name, spec) in tiny::specs() {
            let blob = tiny::blob(&spec, seed);
            let model = Model::from_bytes(&blob).expect("a model");
            prop_assert_eq!(model.spec(), &spec, "{}", name);
            let again = kinglet::format::blob::write(model.manifest(), model.payload(), model.tokenizer_section(), model.golden_section());
            prop_assert!(again.expect("a blob")[..] == blob[..], "{}", name);
        }
    }
}

#[test]
fn a_pass_ends_when_the_session_turns_to_something_else() {
    let spec = tiny::encoder_decoder();
    let blob = tiny::blob(&spec, 3);
    let model = Model::from_bytes(&blob).expect("a model");
    in_session(&model, 4, |session| {
        let (one, two) = ([1, 2, 3], [4, 5, 6]);
        let mut first = session.begin_encode(&one, &[]).expect("it begins");
        assert!(session.advance(&mut first, &one, &[]).expect("it advances"));
        assert!(session.begin_prefill(&two).is_err(), "the encoder is not done");
        let mut second = session.begin_encode(&two, &[]).expect("it begins");
        assert!(session.advance(&mut first, &one, &[]).is_err());
        while session.advance(&mut second, &two, &[]).expect("it advances") {}
        let mut target = session.begin_prefill(&[0]).expect("it begins");
        assert!(session.advance(&mut target, &[0], &[]).expect("it advances"));
        assert!(session.logits().is_err(), "the text is not read yet");
        session.reset();
        assert!(session.advance(&mut target, &[0], &[]).is_err());
        let mut target = session.begin_prefill(&[0]).expect("it begins");
        session.scratch();
        assert!(session.advance(&mut target, &[0], &[]).is_err(), "its memory was lent");
        let mut target = session.begin_prefill(&[0]).expect("it begins");
        session.set_step(100);
        assert!(session.advance(&mut target, &[0], &[]).is_err(), "its steps have another length");
    });
}

#[test]
fn an_encoder_step_by_step_gives_the_same_bits_whatever_becomes_of_its_text() {
    let ids: Vec<u32> = (0..11).map(|n| n * 7 % tiny::VOCAB_SIZE).collect();
    let mut tried = 0;
    for (name, spec) in tiny::specs() {
        let Some(encoder) = &spec.encoder else { continue };
        tried += 1;
        let blob = tiny::blob(&spec, 5);
        let model = Model::from_bytes(&blob).expect("a model");
        for tile in [1, 3, 16] {
            let whole = in_session(&model, tile, |session| {
                session.encode(&ids, &[]).expect("it reads");
                session.encoder_states().to_vec()
            });
            let (stepped, steps) = in_session(&model, tile, |session| {
                let mut pass = session.begin_encode(&ids, &[]).expect("it begins");
                let mut steps = 1;
                while session.advance(&mut pass, &ids, &[]).expect("it advances") {
                    steps += 1;
                }
                assert!(!session.advance(&mut pass, &ids, &[]).expect("it is done"));
                (session.encoder_states().to_vec(), steps)
            });
            assert_eq!(stepped, whole, "{name}, tiles of {tile}");
            let layers = encoder.num_hidden_layers as usize;
            assert!(steps >= (1 + 2 * layers) * ids.len().div_ceil(tile), "{name}: {steps} steps");
            for length in [1, 100, 999, 5000, usize::MAX] {
                let (shorter, more) = in_session(&model, tile, |session| {
                    session.set_step(length);
                    let mut pass = session.begin_encode(&ids, &[]).expect("it begins");
                    let mut steps = 1;
                    while session.advance(&mut pass, &ids, &[]).expect("it advances") {
                        steps += 1;
                    }
                    (session.encoder_states().to_vec(), steps)
                });
                assert_eq!(shorter, whole, "{name}, tiles of {tile}, steps of {length}");
                assert!(length > 100 || more > 2 * steps, "{name}: {more} steps of {length}");
            }
            let mut pauses = 0;
            let plan = MemoryPlan::new(&spec, 40, 40, tile).expect("a plan");
            let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
            let mut count = || pauses += 1;
            let mut session = Session::with_plan(&model, &mut arena, plan).expect("a session");
            session.set_pause(&mut count);
            session.encode(&ids, &[]).expect("it reads");
            drop(session);
            assert_eq!(pauses + 1, steps, "{name}, tiles of {tile}");
            in_session(&model, tile, |session| {
                let mut pass = session.begin_encode(&ids, &[]).expect("it begins");
                assert!(session.advance(&mut pass, &ids[1..], &[]).is_err(), "another length");
                // Other tokens and types than when the pass began.
                while session.advance(&mut pass, &[u32::MAX; 11], &[255; 11]).expect("it advances") {}
            });
        }
    }
    assert_eq!(tried, 2);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let ids: Vec<u32> = (0..37).map(|n| n * 11 % tiny::VOCAB_SIZE).collect();
    for (name, spec) in tiny::specs() {
        let blob = tiny::blob(&spec, 5);
        let model = Model::from_bytes(&blob).expect("a model");
        let run = |threads, tile| {
            in_session(&model, tile, |session| {
                session.set_threads(threads).expect("memory for them");
                if spec.encoder.is_some() {
                    session.encode(&ids, &[]).expect("it reads");
                }
                let logits = if spec.decoder.is_some() { logits_of_each(session, &ids) } else { Vec::new() };
                (session.encoder_states().to_vec(), logits)
            })
        };
        let alone = run(1, 1);
        assert!(!alone.0.is_empty() || alone.1.len() == ids.len(), "{name}");
        for (threads, tile) in [(1, 40), (2, 40), (3, 40), (2, 7), (3, 2), (5, 1), (40, 40)] {
            assert!(run(threads, tile) == alone, "{name}: {threads} threads, tiles of {tile}");
        }
    }
}

#[test]
fn threads_that_share_a_matrix_give_the_same_bits() {
    let mut spec = tiny::decoder();
    let network = &mut spec.decoder.as_mut().expect("a decoder").block.feed_forward;
    // A matrix is shared if each thread gets at least 131,072 weights; a row has twelve.
    network.intermediate_size = 4 * 131_072 / 12;
    let blob = tiny::blob(&spec, 9);
    let model = Model::from_bytes(&blob).expect("a model");
    let run = |threads| {
        in_session(&model, 1, |session| {
            session.set_threads(threads).expect("memory for them");
            logits_of_each(session, &[3, 14, 15, 9])
        })
    };
    let alone = run(1);
    assert!(alone.windows(2).all(|logits| logits[0] != logits[1]));
    for threads in [2, 3, 5] {
        assert!(run(threads) == alone, "{threads} threads");
    }
}

/// These bits do not depend on compiler settings or on the machine. A change requires a new version
/// of the numerics.
#[test]
fn the_bits_are_the_ones_written_down() {
    let expected = [
        ("decoder", 2483411948),
        ("sliding", 2761383987),
        ("packed", 2951110981),
        ("encoder", 3556638392),
        ("encoder-decoder", 3305717577),
        ("convolving", 2741789631),
    ];
    let found = tiny::specs().map(|(name, spec)| {
        let blob = tiny::blob(&spec, 42);
        let model = Model::from_bytes(&blob).expect("a model");
        let ids: Vec<u32> = (0..20).map(|n| n * 7 % tiny::VOCAB_SIZE).collect();
        let fingerprint = in_session(&model, 8, |session| {
            if spec.encoder.is_some() {
                session.encode(&ids, &[]).expect("it reads");
            }
            if spec.decoder.is_some() {
                session.prefill(&ids).expect("it reads");
            }
            Fingerprint::of(session.logits().expect("logits")).value()
        });
        (name, fingerprint)
    });
    assert_eq!(found, expected);
}
