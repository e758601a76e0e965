//! `kinglet_generate` writes only texts of the grammar in its options.

use core::ptr::null_mut;

use kinglet::task::{GrammarState, grammar_table};
use kinglet::{AlignedVec, Model, RunError};
use kinglet_c::*;

const TOKENS: usize = 32;

/// Generates greedily, and returns the status and the new tokens.
fn generated(blob: &[u8], table: &[u8]) -> (kinglet_status, Vec<u32>) {
    // SAFETY: all pointers are those of slices and values that outlive the calls.
    unsafe {
        let mut memory = AlignedVec::zeroed(kinglet_memory_bytes(blob.as_ptr(), blob.len(), TOKENS));
        let mut engine = null_mut();
        let opened = kinglet_open(blob.as_ptr(), blob.len(), memory.as_mut_ptr(), memory.len(), TOKENS, &mut engine);
        assert_eq!(opened, KINGLET_OK);
        let mut options = kinglet_generate_options_default(engine, 8);
        (options.grammar, options.grammar_bytes) = (table.as_ptr(), table.len());
        let (mut text, mut count) = ([1; TOKENS], 1);
        let (mut sampling, mut stop) = (kinglet_sampling_greedy(), kinglet_stop::KINGLET_STOP_FULL);
        let status = kinglet_generate(
            engine,
            text.as_mut_ptr(),
            TOKENS,
            &mut count,
            &options,
            &mut sampling,
            None,
            null_mut(),
            &mut stop,
        );
        assert_eq!(kinglet_close(engine), KINGLET_OK);
        (status, text[1..count].to_vec())
    }
}

#[test]
fn a_text_follows_its_grammar() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware-examples/common/models/stories.kinglet");
    let blob = AlignedVec::from(&std::fs::read(shipped).expect("the blob")[..]);
    let model = Model::from_bytes(&blob).expect("a model");
    let state = |may_end, edges: &[(u32, u16)]| GrammarState { may_end, edges: edges.to_vec() };
    let states = [state(false, &[(300, 1), (301, 1)]), state(false, &[(302, 2)]), state(true, &[])];
    let table = grammar_table(&states, model.tokenizer_section());
    let (status, written) = generated(&blob, &table);
    assert_eq!(status, KINGLET_OK);
    assert!(matches!(written[..], [300 | 301, 302]), "{written:?}");

    let foreign = grammar_table(&states, b"another tokenizer");
    let refused = kinglet_status::from(RunError::BadGrammar("").code());
    assert_eq!(generated(&blob, &foreign), (refused, Vec::new()));
    assert_eq!(generated(&blob, &table[..20]), (refused, Vec::new()));
}
