//! Generation beyond the capacity of a session. The oldest tokens are dropped, and each token has
//! the logits of a new session that reads the remaining text.

use kinglet::format::spec::{AttentionPosition, Direction, ModelSpec, PositionTable};
use kinglet::sample::{Sampler, argmax};
use kinglet::task::{Choices, GenerateOptions, Generation, Stop, TokenBuffer, TokenSlice, WhenFull, generate};
use kinglet::{AlignedVec, MemoryPlan, Model, Prefix, RunError, Session};
use kinglet_tests::tiny;

const ROOM: usize = 12;

fn with(spec: ModelSpec, change: impl FnOnce(&mut ModelSpec)) -> ModelSpec {
    let mut spec = spec;
    change(&mut spec);
    spec
}

/// Decoders with every kind of position encoding.
fn specs() -> Vec<ModelSpec> {
    let learned = |spec: &mut ModelSpec| {
        let stack = spec.decoder.as_mut().expect("a decoder");
        stack.embedding.positions = PositionTable::BeforeNorm;
        stack.block.attention.position = AttentionPosition::None;
    };
    let biased = |spec: &mut ModelSpec| {
        let stack = spec.decoder.as_mut().expect("a decoder");
        stack.block.attention.position = AttentionPosition::RelativeBias { distance: 7 };
    };
    let plain = [tiny::decoder(), tiny::sliding_decoder(), tiny::convolving_decoder()];
    plain.into_iter().chain([with(tiny::decoder(), learned), with(tiny::decoder(), biased)]).collect()
}

/// The expected tokens, each computed by a new session that reads the remaining text.
fn wanted(
    model: &Model<'_>,
    before: &[u32],
    begin: &[u32],
    keep: usize,
    drop: usize,
    capacity: usize,
    count: usize,
) -> (Vec<u32>, Vec<u32>) {
    let (mut text, mut written) = (begin.to_vec(), Vec::new());
    for _ in 0..count {
        while text.len() > ROOM || text.len() >= capacity {
            text.drain(keep..keep + drop);
        }
        let plan = MemoryPlan::new(model.spec(), before.len() + ROOM, 0, 3).expect("a plan");
        let mut memory = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(model, &mut memory, plan).expect("a session");
        session.prefill(&[before, &text].concat()).expect("it reads");
        let token = argmax(session.logits().expect("logits"));
        text.push(token);
        written.push(token);
    }
    (text, written)
}

#[test]
fn a_full_session_goes_on_as_one_that_reads_the_shorter_text() {
    let begin = [3, 1, 4, 1, 5, 9, 2, 6];
    for (index, spec) in specs().into_iter().enumerate() {
        for (keep, drop, capacity) in [(0, 1, 40), (3, 4, 40), (2, 6, 13), (10, 1, 40), (4, 3, 9), (0, 11, 12)] {
            for before in [&[][..], &[7, 7, 8]] {
                let blob = tiny::blob(&spec, index as u64);
                let model = Model::from_bytes(&blob).expect("a model");
                let baked = (!before.is_empty()).then(|| {
                    let plan = MemoryPlan::new(model.spec(), before.len(), 0, 3).expect("a plan");
                    let mut memory = AlignedVec::zeroed(plan.bytes() as usize);
                    Session::with_plan(&model, &mut memory, plan)
                        .expect("a session")
                        .make_prefix(before)
                        .expect("a prefix")
                });
                let prefix = baked.as_deref().map(|bytes| Prefix::from_bytes(bytes, &model).expect("a prefix"));
                let plan = MemoryPlan::new(model.spec(), ROOM, 0, 3).expect("a plan").with_prefix(before.len());
                let mut memory = AlignedVec::zeroed(plan.bytes() as usize);
                let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
                session.set_prefix(prefix).expect("it fits");

                let (left, written) = wanted(&model, before, &begin, keep, drop, capacity, 30);
                let mut slots = vec![0; capacity];
                slots[..begin.len()].copy_from_slice(&begin);
                let mut text = TokenSlice::new(&mut slots, begin.len()).expect("room");
                let when_full = WhenFull::DropOldest { keep, drop };
                let options = GenerateOptions { when_full, ..GenerateOptions::new(30) };
                let mut found = Vec::new();
                let stop = generate(&mut session, &mut text, &options, &mut Sampler::greedy(), |token| {
                    found.push(token);
                    true
                });
                assert_eq!(
                    (stop, &found),
                    (Ok(Stop::Length), &written),
                    "{index}: keep {keep}, drop {drop}, {capacity}"
                );
                assert_eq!(text.tokens(), left);
            }
        }
    }
}

#[test]
fn what_is_too_long_to_begin_with_loses_its_oldest_tokens_too() {
    let blob = tiny::blob(&tiny::decoder(), 4);
    let model = Model::from_bytes(&blob).expect("a model");
    let long: Vec<u32> = (0..29).map(|id| id % 7).collect();
    let plan = MemoryPlan::new(model.spec(), ROOM, 0, 3).expect("a plan");
    let mut memory = AlignedVec::zeroed(plan.bytes() as usize);
    let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
    let mut text = heapless::Vec::<u32, 64>::from_slice(&long).expect("room");
    let options = GenerateOptions { when_full: WhenFull::DropOldest { keep: 2, drop: 5 }, ..GenerateOptions::new(4) };
    let mut turn = Generation::new(options, &text);
    while turn.next_token(&mut session, &mut text, &mut Sampler::greedy()).expect("it writes").is_some() {}
    let (left, written) = wanted(&model, &[], &long, 2, 5, 64, 4);
    assert_eq!((&text[..], turn.ended()), (&left[..], Some(Stop::Length)));
    assert!(text.ends_with(&written));
}

#[test]
fn what_would_mean_something_else_is_refused_by_name() {
    let write = |spec: ModelSpec, options: &GenerateOptions<'_>| {
        let blob = tiny::blob(&spec, 4);
        let model = Model::from_bytes(&blob).expect("a model");
        let plan = MemoryPlan::new(model.spec(), ROOM, 0, 3).expect("a plan");
        let mut memory = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        let mut text = heapless::Vec::<u32, 64>::from_array([1, 2]);
        let stop = generate(&mut session, &mut text, options, &mut Sampler::greedy(), |_| true);
        (stop, text.len())
    };
    let when_full = WhenFull::DropOldest { keep: 1, drop: 4 };
    let plain = GenerateOptions { when_full, ..GenerateOptions::new(30) };
    let backward = with(tiny::decoder(), |spec| spec.direction = Direction::Backward);
    let refused = |stop| matches!(stop, Err(RunError::InvalidOption { option: "when_full", .. }));
    assert!(refused(write(backward, &plain).0));
    let long = [[5; 20]];
    let choices = [&long[0][..]];
    let chosen = GenerateOptions { choices: Choices::new(&choices).ok(), ..plain };
    assert!(refused(write(tiny::decoder(), &chosen).0));
    // If too few tokens would remain, the text ends as it does without dropping.
    for when_full in [
        WhenFull::Stop,
        WhenFull::DropOldest { keep: 1, drop: 0 },
        WhenFull::DropOldest { keep: 9, drop: 9 },
        WhenFull::DropOldest { keep: usize::MAX, drop: usize::MAX },
    ] {
        let options = GenerateOptions { when_full, ..plain };
        assert_eq!(write(tiny::decoder(), &options), (Ok(Stop::Full), ROOM + 1), "{when_full:?}");
    }
}
