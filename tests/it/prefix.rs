//! Tests of prefixes that sessions read in place: the bits equal those of reading the whole text.

use kinglet::format::spec::{AttentionPosition, KeyWidth, ModelSpec, Pooling, PositionTable};
use kinglet::sample::Sampler;
use kinglet::task::{BeamOptions, BeamSearch, GenerateOptions, Stop, beam_search, generate, score};
use kinglet::{AlignedVec, MemoryPlan, Model, Prefix, RunError, Session, arena_bytes, arena_bytes_after};
use kinglet_tests::tiny;
use proptest::prelude::*;

/// Positions of the tiny models.
const POSITIONS: usize = 40;

/// A padding token.
const PAD: u32 = 1;

fn with(spec: ModelSpec, change: impl FnOnce(&mut ModelSpec)) -> ModelSpec {
    let mut spec = spec;
    change(&mut spec);
    spec
}

/// Decoders that differ in the contents of their prefixes.
fn specs() -> Vec<ModelSpec> {
    let biased = |spec: &mut ModelSpec| {
        let stack = spec.decoder.as_mut().expect("a decoder");
        stack.block.attention.position = AttentionPosition::RelativeBias { distance: 7 };
    };
    let padded = |spec: &mut ModelSpec| {
        let stack = spec.decoder.as_mut().expect("a decoder");
        stack.embedding.positions = PositionTable::BeforeNorm;
        stack.embedding.padding = Some(PAD);
        spec.head.pooling = Pooling::LastExcept(PAD);
        spec.head.task = kinglet::format::spec::Task::Classification;
    };
    let wide = |spec: &mut ModelSpec| spec.numerics.keys = KeyWidth::K16;
    vec![
        tiny::decoder(),
        tiny::sliding_decoder(),
        with(tiny::decoder(), biased),
        with(tiny::decoder(), wide),
        with(tiny::sliding_decoder(), wide),
        tiny::convolving_decoder(),
        with(tiny::decoder(), padded),
    ]
}

fn arena(plan: &MemoryPlan) -> AlignedVec {
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    arena
}

fn plan(model: &Model<'_>, tokens: usize, tile: usize) -> MemoryPlan {
    MemoryPlan::new(model.spec(), tokens, 0, tile).expect("a plan")
}

/// The prefix of some tokens.
fn baked(model: &Model<'_>, ids: &[u32]) -> AlignedVec {
    let plan = plan(model, ids.len(), ids.len());
    Session::with_plan(model, &mut arena(&plan), plan).expect("a session").make_prefix(ids).expect("a prefix")
}

/// The logits after a token; after padding only, there are none.
type Logits = Result<Vec<i32>, RunError>;

fn logits(session: &mut Session<'_, '_>) -> Logits {
    session.logits().map(<[i32]>::to_vec)
}

/// The logits after each of some tokens, read one by one.
fn step_through(session: &mut Session<'_, '_>, ids: &[u32]) -> Vec<Logits> {
    ids.iter().map(|&id| session.step(id).map(|logits| logits.to_vec())).collect()
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..tiny::VOCAB_SIZE, 1..18)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_follows_a_prefix_has_the_bits_of_a_whole_text(
        spec in prop::sample::select(specs()), seed: u64, before in ids(), then in ids(), tile in 1..20_usize, threads in 1..3_usize, cut: prop::sample::Index,
    ) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let bytes = baked(&model, &before);
        let prefix = Prefix::from_bytes(&bytes, &model).expect("a prefix");
        prop_assert_eq!(prefix.ids().collect::<Vec<_>>(), before.clone());
        prop_assert_eq!(prefix.len(), before.len());

        let whole_plan = plan(&model, POSITIONS, tile);
        let mut memory = arena(&whole_plan);
        let mut whole = Session::with_plan(&model, &mut memory, whole_plan).expect("a session");
        whole.prefill(&before).expect("it reads");
        let at_the_end = logits(&mut whole);
        let steps = step_through(&mut whole, &then);

        let plan = plan(&model, then.len(), tile).with_prefix(before.len());
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        session.set_threads(threads).expect("memory for them");
        session.set_prefix(Some(prefix)).expect("it fits");
        prop_assert_eq!((session.position(), session.prefix_len(), session.remaining()), (before.len(), before.len(), then.len()));
        prop_assert_eq!(logits(&mut session), at_the_end.clone());
        session.prefill(&then).expect("it reads");
        prop_assert_eq!(logits(&mut session), steps[then.len() - 1].clone());
        // Rewinding to the end of the prefix leaves no trace of later tokens.
        session.rewind(before.len()).expect("it goes back");
        prop_assert_eq!(logits(&mut session), at_the_end.clone());
        prop_assert_eq!(step_through(&mut session, &then), steps.clone());
        // A part of the prefix is a prefix, too.
        let part = cut.index(before.len());
        if part > 0 && spec.decoder.is_some_and(|stack| stack.convolution.short().is_some()) {
            prop_assert_eq!(session.rewind(part), Err(RunError::CannotRewind));
            return Ok(());
        }
        session.rewind(part).expect("it goes back");
        prop_assert_eq!((session.position(), session.prefix_len(), session.remaining()), (part, part, then.len()));
        prop_assert_eq!(session.logits().err(), Some(RunError::NoTokens));
        whole.reset();
        let fits = part + then.len() <= POSITIONS;
        prop_assert!(fits);
        if part > 0 {
            whole.prefill(&before[..part]).expect("it reads");
        }
        let mut wanted = step_through(&mut whole, &then);
        // A session that has gone back, but not to the beginning, has no logits until it reads a
        // token besides padding.
        let padding = spec.decoder.as_ref().and_then(|stack| stack.embedding.padding);
        let only_padding = then.iter().take_while(|&&id| Some(id) == padding).count();
        wanted[..if part > 0 { only_padding } else { 0 }].fill(Err(RunError::NoTokens));
        prop_assert_eq!(step_through(&mut session, &then), wanted);
        session.reset();
        prop_assert_eq!(step_through(&mut session, &then), steps);
    }

    #[test]
    fn a_session_with_a_prefix_is_put_aside_and_written_down(
        spec in prop::sample::select(specs()), seed: u64, before in ids(), first in ids(), then in ids(), tile in 1..20_usize,
    ) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let bytes = baked(&model, &before);
        let prefix = Prefix::from_bytes(&bytes, &model).expect("a prefix");
        let room = POSITIONS - before.len();
        let (first, then) = (&first[..first.len().min(room - 1)], &then[..then.len().min(room - first.len().min(room - 1))]);
        let plan = plan(&model, room, tile).with_prefix(before.len());
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        session.set_prefix(Some(prefix)).expect("it fits");
        let none = session.snapshot_bytes();
        let mut empty = vec![0; none];
        session.snapshot(&mut empty).expect("a snapshot");
        session.prefill(first).expect("it reads");
        let mut flash = vec![0; session.snapshot_bytes()];
        prop_assert!(flash.len() > none, "the prefix is in no snapshot");
        session.snapshot(&mut flash).expect("a snapshot");
        let suspended = session.suspend();
        prop_assert!(Session::resume(&model, &mut memory, &suspended).is_err());
        let mut session = Session::resume_after(&model, prefix, &mut memory, &suspended).expect("it goes on");
        let wanted = step_through(&mut session, then);

        let mut memory = arena(&plan);
        let mut other = Session::with_plan(&model, &mut memory, plan).expect("a session");
        prop_assert!(other.restore(&flash).expect_err("no prefix").to_string().contains("another prefix"));
        other.set_prefix(Some(prefix)).expect("it fits");
        other.restore(&flash).expect("it goes on");
        prop_assert_eq!(step_through(&mut other, then), wanted);
        other.restore(&empty).expect("it goes back");
        prop_assert_eq!(other.position(), before.len());
        let at_the_end = logits(&mut other);
        other.reset();
        prop_assert_eq!(logits(&mut other), at_the_end);
    }

    #[test]
    fn a_prefix_that_was_changed_is_refused(spec in prop::sample::select(specs()), before in ids(), bit: prop::sample::Index) {
        let blob = tiny::blob(&spec, 1);
        let model = Model::from_bytes(&blob).expect("a model");
        let mut bytes = baked(&model, &before);
        let bit = bit.index(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(Prefix::from_bytes(&bytes, &model).err(), Some(RunError::BadPrefix(_))));
        prop_assert!(matches!(Prefix::from_bytes(&bytes[..bit / 8], &model).err(), Some(RunError::BadPrefix(_))));
    }
}

#[test]
fn the_memory_of_a_prefix_is_that_of_its_scores() {
    let blob = tiny::blob(&tiny::decoder(), 3);
    let model = Model::from_bytes(&blob).expect("a model");
    let bytes = baked(&model, &[1, 2, 3, 4, 5]);
    assert_eq!(arena_bytes_after(&blob, &bytes, 20), arena_bytes(&blob, 20) + 4 * 16);
    let prefix = Prefix::from_bytes(&bytes, &model).expect("a prefix");
    let mut exact = AlignedVec::zeroed(arena_bytes_after(&blob, &bytes, 20));
    assert!(Session::after(&model, prefix, &mut exact, 20).is_ok());
    let one_less = exact.len() - 1;
    assert!(matches!(
        Session::after(&model, prefix, &mut exact[..one_less], 20).err(),
        Some(RunError::ArenaTooSmall { .. })
    ));
    assert_eq!(arena_bytes_after(&blob, &[0; 64], 20), usize::MAX);
    assert_eq!(arena_bytes_after(&blob, &[], 20), usize::MAX);
}

#[test]
fn a_prefix_says_what_it_does_not_fit() {
    let blobs =
        [tiny::blob(&tiny::decoder(), 1), tiny::blob(&tiny::decoder(), 2), tiny::blob(&tiny::encoder_decoder(), 1)];
    let [model, other, both] = blobs.each_ref().map(|blob| Model::from_bytes(blob).expect("a model"));
    let bytes = baked(&model, &[1, 2, 3, 4, 5]);
    for (model, bytes, wanted) in [
        (&other, &bytes[..], "another blob"),
        (&both, &bytes[..], "attends to an encoder"),
        (&model, &bytes[..bytes.len() - 1], "truncated"),
        (&model, &[0xff; 512], "not a prefix"),
        (&model, &[], "not a prefix"),
    ] {
        let said = Prefix::from_bytes(bytes, model).expect_err("it does not fit").to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let mut longer = AlignedVec::zeroed(bytes.len() + 100);
    longer[..bytes.len()].copy_from_slice(&bytes);
    let prefix = Prefix::from_bytes(&longer, &model).expect("a page of flash");
    let mut moved = AlignedVec::zeroed(bytes.len() + 4);
    moved[4..].copy_from_slice(&bytes);
    assert!(Prefix::from_bytes(&moved[4..], &model).expect_err("not aligned").to_string().contains("16-byte"));

    let refused = |model: &Model<'_>, tokens, room| {
        let plan = plan(model, tokens, 4).with_prefix(room);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(model, &mut memory, plan).expect("a session");
        session.set_prefix(Some(prefix)).err()
    };
    assert_eq!(refused(&model, 35, 5), None);
    assert_eq!(refused(&model, 36, 5), Some(RunError::TooManyTokens { limit: 4, given: 5 }));
    assert_eq!(refused(&model, 20, 4), Some(RunError::TooManyTokens { limit: 4, given: 5 }));
    assert!(matches!(refused(&other, 20, 5), Some(RunError::BadPrefix(_))));
    let plan = MemoryPlan::new(both.spec(), 8, 8, 4).expect("a plan");
    let made = Session::with_plan(&both, &mut arena(&plan), plan).expect("a session").make_prefix(&[1]).err();
    assert!(matches!(made, Some(RunError::BadPrefix(_))));
}

#[test]
fn tasks_go_on_after_a_prefix_and_scores_do_without() {
    for seed in 0..4 {
        let blob = tiny::blob(&tiny::decoder(), seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let (before, user) = ([3, 1, 4, 1, 5, 9], [2, 6]);
        let bytes = baked(&model, &before);
        let prefix = Prefix::from_bytes(&bytes, &model).expect("a prefix");
        let plan = plan(&model, POSITIONS - 6, 3).with_prefix(6).with_beams(2);
        let (mut memory, mut memory_of_whole) = (arena(&plan), arena(&plan));
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        let mut whole = Session::with_plan(&model, &mut memory_of_whole, plan).expect("a session");
        session.set_prefix(Some(prefix)).expect("it fits");
        let options = GenerateOptions::new(7);
        let write = |session: &mut Session<'_, '_>, begin: &[u32]| {
            let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
            let stop = generate(session, &mut text, &options, &mut Sampler::greedy(), |_| true);
            assert_eq!(stop, Ok(Stop::Length));
            text[begin.len()..].to_vec()
        };
        let together = [&before[..], &user].concat();
        assert_eq!(write(&mut session, &user), write(&mut whole, &together), "seed {seed}");
        assert_eq!(write(&mut session, &[]), write(&mut whole, &before), "right after the prefix");
        let search = |session: &mut Session<'_, '_>, begin: &[u32]| {
            let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
            let mut nodes = [0; BeamSearch::words(2, 7)];
            let found =
                beam_search(session, &mut text, &options, BeamOptions::new(2), &mut nodes).expect("it searches");
            let score = found.write_finished(0, &mut text).expect("room").expect("a text");
            (score.to_bits(), text[begin.len()..].to_vec())
        };
        assert_eq!(search(&mut session, &user), search(&mut whole, &together), "seed {seed}");
        let scores = |session: &mut Session<'_, '_>| {
            let mut found = Vec::new();
            score(session, &together, |position, score| found.push((position, score.to_bits()))).expect("it scores");
            found
        };
        assert_eq!(scores(&mut session), scores(&mut whole));
        assert_eq!((session.prefix_len(), session.position()), (0, 8));
        session.reset();
        assert_eq!((session.prefix_len(), session.position()), (6, 6));
        assert_eq!(write(&mut session, &user), write(&mut whole, &together));
        session.set_prefix(None).expect("none");
        assert_eq!(write(&mut session, &together), write(&mut whole, &together));
    }
}
