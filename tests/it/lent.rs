//! Tests of the scratch memory that a session lends, and of results that it computes once.

use kinglet::format::spec::KeyWidth;
use kinglet::sample::Sampler;
use kinglet::task::{GenerateOptions, Stop, TokenBuffer, TokenSlice, generate};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{AlignedVec, Model, RunError, Session, arena_bytes};
use kinglet_tests::tiny;

use crate::tasks::with;

#[test]
fn what_is_lent_holds_nothing_that_a_decoder_has_read() {
    for (name, mut spec) in tiny::specs() {
        spec.numerics.keys = KeyWidth::K8;
        let blob = tiny::blob(&spec, 5);
        let model = Model::from_bytes(&blob).expect("a model");
        let mut arena = AlignedVec::zeroed(arena_bytes(&blob, 16));
        let size = arena.len();
        let mut session = Session::new(&model, &mut arena, 16).expect("a session");
        let ids = [3, 1, 4, 1, 5];
        let read = |session: &mut Session<'_, '_>| {
            session.scratch().fill(0xdead_beef);
            if model.spec().encoder.is_some() {
                session.encode(&ids, &[]).expect("it encodes");
            }
            if model.spec().decoder.is_some() {
                let lent = session.scratch();
                lent.fill(0xdead_beef);
                assert!(size < 64 * lent.len(), "{name}: {} words", lent.len());
                session.prefill(&ids).expect("it reads");
            }
            let first = session.logits().expect("logits").to_vec();
            assert_eq!(session.logits().expect("logits"), first, "{name}: a second time");
            session.logits_mut().expect("logits").fill(0);
            assert_eq!(session.logits().expect("logits"), first, "{name}: after a sampler");
            session.scratch().fill(0xdead_beef);
            if model.spec().decoder.is_none() {
                assert_eq!((session.source_len(), session.logits().err()), (0, Some(RunError::NoTokens)), "{name}");
                return (first, Vec::new());
            }
            assert_eq!(session.logits().expect("logits"), first, "{name}: after the memory was lent");
            (first, session.step(2).expect("it steps").to_vec())
        };
        let fresh = read(&mut session);
        session.reset();
        assert!(read(&mut session) == fresh, "{name}: a second text");
    }
}

#[test]
fn logits_that_a_pass_replaces_are_not_the_ones_before() {
    with("gpt2", |session, _, _| {
        let mut alone = |ids: &[u32]| {
            session.reset();
            session.prefill(ids).expect("it reads");
            session.logits().expect("logits").to_vec()
        };
        let (short, long) = (alone(&[3, 4]), alone(&[3, 4, 5]));
        assert_ne!(short, long);
        session.reset();
        session.prefill(&[3, 4]).expect("it reads");
        let mut pass = session.begin_prefill(&[5]).expect("a pass");
        assert!(session.logits().expect("of the tokens before") == short);
        while session.advance(&mut pass, &[5], &[]).expect("it advances") {
            assert_eq!(session.logits().err(), Some(RunError::NoTokens), "in the middle of a token");
        }
        assert!(session.logits().expect("logits") == long);
    });
}

#[test]
fn a_slice_takes_what_a_vector_takes() {
    with("gpt2", |session, _, case| {
        let begin = &case.inputs[2].ids[..3];
        let (options, mut sampler) = (GenerateOptions::new(9), Sampler::greedy());
        let mut vector = heapless::Vec::<u32, 8>::from_slice(begin).expect("room");
        let mut memory = [0; 8];
        memory[..3].copy_from_slice(begin);
        let mut slice = TokenSlice::new(&mut memory, 3).expect("room");
        for _ in 0..2 {
            let stops = [
                generate(session, &mut vector, &options, &mut sampler, |_| true),
                generate(session, &mut slice, &options, &mut sampler, |_| true),
            ];
            assert_eq!(stops, [Ok(Stop::Full); 2]);
            assert_eq!(slice.tokens(), vector.as_slice());
        }
        assert_eq!(slice.tokens().len(), 8);
        slice.truncate(9);
        slice.truncate(2);
        assert_eq!((slice.tokens(), slice.capacity()), (&begin[..2], 8));
        assert_eq!(TokenSlice::new(&mut [0; 3], 4).err(), Some(RunError::TooManyTokens { limit: 3, given: 4 }));
    });
}

#[test]
fn ids_alone_are_those_of_tokens() {
    let blob = std::fs::read("../firmware-examples/common/models/home-intent.kinglet").expect("a blob that ships");
    let blob = AlignedVec::from(&blob[..]);
    let model = Model::from_bytes(&blob).expect("a model");
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section()).expect("a tokenizer");
    let (mut scratch, mut tokens, mut ids) = ([0; 2048], [Token::default(); 32], [0; 32]);
    for (text, pair) in [("Dim the lights.", None), ("", None), ("Dim the lights.", Some("Play some jazz, please"))] {
        for max_length in [None, Some(7)] {
            let options = EncodeOptions { max_length, ..EncodeOptions::default() };
            let count = tokenizer.encode(text, pair, &options, &mut scratch, &mut tokens).expect("tokens");
            assert_eq!(tokenizer.encode_ids(text, pair, &options, &mut scratch, &mut ids), Ok(count));
            assert!(tokens[..count].iter().map(|token| token.id).eq(ids[..count].iter().copied()), "{text} {pair:?}");
            let short = tokenizer.encode_ids(text, pair, &options, &mut scratch, &mut ids[..count - 1]);
            assert_eq!(short, tokenizer.encode(text, pair, &options, &mut scratch, &mut tokens[..count - 1]));
            assert!(short.is_err());
        }
    }
}
