//! Tests of suspended sessions and of snapshots, which must continue with equal bits.

use kinglet::format::spec::{KeyWidth, ModelSpec};
use kinglet::{AlignedVec, MemoryPlan, Model, RunError, Session};
use kinglet_tests::tiny;
use proptest::prelude::*;

fn plan(model: &Model<'_>, tokens: usize, tile: usize) -> MemoryPlan {
    MemoryPlan::new(model.spec(), tokens, tokens, tile).expect("a plan")
}

/// An arena that is not initialized to zeros.
fn arena(plan: &MemoryPlan) -> AlignedVec {
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    arena.fill(0xaa);
    arena
}

/// Reads a text with the model's stacks.
fn read(session: &mut Session<'_, '_>, ids: &[u32]) {
    let spec = session.model().spec();
    if spec.encoder.is_some() {
        session.encode(ids, &[]).expect("it encodes");
    }
    if spec.decoder.is_some() {
        session.prefill(ids).expect("it reads");
    }
}

/// The logits of the session's text, and of further tokens of a decoder.
fn go_on(session: &mut Session<'_, '_>, ids: &[u32]) -> Vec<Vec<i32>> {
    let mut rows = vec![session.logits().expect("logits").to_vec()];
    if session.model().spec().decoder.is_some() {
        rows.extend(ids.iter().map(|&id| session.step(id).expect("it steps").to_vec()));
    }
    rows
}

fn any_model() -> impl Strategy<Value = ModelSpec> {
    let model = prop::sample::select(tiny::specs().map(|(_, spec)| spec).to_vec());
    (model, prop_oneof![Just(KeyWidth::K8), Just(KeyWidth::K16)]).prop_map(|(mut spec, keys)| {
        spec.numerics.keys = keys;
        spec
    })
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..tiny::VOCAB_SIZE, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_goes_on_after_the_power_was_off(spec in any_model(), seed: u64, first in ids(), then in ids(), tile in 1..20_usize) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let plan = plan(&model, 40, tile);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        read(&mut session, &first);
        let bytes = session.snapshot_bytes();
        let mut flash = vec![0xff; bytes + 256];
        prop_assert_eq!(session.snapshot(&mut flash), Ok(bytes));
        let wanted = go_on(&mut session, &then);

        let mut memory = arena(&plan);
        let mut other = Session::with_plan(&model, &mut memory, plan).expect("a session");
        other.restore(&flash).expect("it goes on");
        prop_assert_eq!(go_on(&mut other, &then), wanted);
    }

    #[test]
    fn a_session_goes_on_after_its_arena_was_free(spec in any_model(), seed: u64, first in ids(), then in ids(), tile in 1..20_usize) {
        let blob = tiny::blob(&spec, seed);
        let model = Model::from_bytes(&blob).expect("a model");
        let plan = plan(&model, 40, tile);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        read(&mut session, &first);
        let wanted = go_on(&mut session, &then);

        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        read(&mut session, &first);
        let suspended = session.suspend();
        let elsewhere = model.clone();
        let mut session = Session::resume(&elsewhere, &mut memory, &suspended).expect("it goes on");
        prop_assert_eq!(go_on(&mut session, &then), wanted);
    }

    #[test]
    fn a_snapshot_that_was_changed_is_refused_and_changes_nothing(spec in any_model(), first in ids(), bit: prop::sample::Index) {
        let blob = tiny::blob(&spec, 1);
        let model = Model::from_bytes(&blob).expect("a model");
        let plan = plan(&model, 40, 4);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        read(&mut session, &first);
        let mut flash = vec![0; session.snapshot_bytes()];
        session.snapshot(&mut flash).expect("a snapshot");
        let bit = bit.index(8 * flash.len());
        flash[bit / 8] ^= 1 << (bit % 8);
        read(&mut session, &[3, 1]);
        let before = session.logits().expect("logits").to_vec();
        prop_assert!(matches!(session.restore(&flash), Err(RunError::BadSnapshot(_))));
        prop_assert!(matches!(session.restore(&flash[..bit / 8]), Err(RunError::BadSnapshot(_))));
        prop_assert_eq!(session.logits().expect("logits"), before);
    }
}

#[test]
fn a_snapshot_says_what_it_does_not_fit() {
    let blobs = [1, 2].map(|seed| tiny::blob(&tiny::decoder(), seed));
    let [model, other] = blobs.each_ref().map(|blob| Model::from_bytes(blob).expect("a model"));
    let snapshot = {
        let plan = plan(&model, 40, 4);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
        session.prefill(&[1, 2, 3]).expect("it reads");
        let mut flash = vec![0; session.snapshot_bytes()];
        session.snapshot(&mut flash).expect("a snapshot");
        assert!(matches!(session.snapshot(&mut flash[1..]), Err(RunError::BufferTooSmall { .. })));
        flash
    };
    for (model, tokens, snapshot, wanted) in [
        (&other, 40, snapshot.as_slice(), "another blob"),
        (&model, 32, &snapshot, "another memory plan"),
        (&model, 40, &snapshot[..snapshot.len() - 1], "truncated"),
        (&model, 40, &[0xff; 512], "not a snapshot"),
        (&model, 40, &[], "truncated"),
    ] {
        let plan = plan(model, tokens, 4);
        let mut memory = arena(&plan);
        let mut session = Session::with_plan(model, &mut memory, plan).expect("a session");
        let said = session.restore(snapshot).expect_err("it does not fit").to_string();
        assert!(said.contains(wanted), "{said}");
        assert_eq!(session.position(), 0);
    }
}

#[test]
fn a_snapshot_grows_with_the_text() {
    let blob = tiny::blob(&tiny::decoder(), 1);
    let model = Model::from_bytes(&blob).expect("a model");
    let plan = plan(&model, 40, 1);
    let mut memory = arena(&plan);
    let mut session = Session::with_plan(&model, &mut memory, plan).expect("a session");
    let sizes: Vec<usize> = (0..4)
        .map(|id| {
            session.prefill(&[id]).expect("it reads");
            session.snapshot_bytes()
        })
        .collect();
    let step = sizes[1] - sizes[0];
    assert!(step > 0 && sizes.windows(2).all(|pair| pair[1] - pair[0] == step), "{sizes:?}");
    assert!(sizes[3] < plan.bytes() as usize / 2, "{sizes:?} of {}", plan.bytes());
}
