//! Tests of generation on golden checkpoints: the end of texts, and the allowed tokens.

use kinglet::RunError;
use kinglet::sample::Sampler;
use kinglet::task::{BeamOptions, Choices, GenerateOptions, Generation, Progress, Stop, beam_search, generate};
use kinglet_convert::reference::Reference;

use crate::tasks::with;

#[test]
fn a_text_goes_on_from_where_the_session_stands_a_step_at_a_time() {
    with("gpt2", |session, _, case| {
        let begin = &case.inputs[2].ids[..3];
        let (options, mut sampler) = (GenerateOptions::new(4), Sampler::greedy());
        // Two turns of a chat; the second reads the last token of the first, and two more.
        let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
        let stop = generate(session, &mut text, &options, &mut sampler, |_| true);
        assert_eq!((stop, text.len(), session.position()), (Ok(Stop::Length), 7, 6), "the last token is not read");
        text.extend_from_slice(&begin[..2]).expect("room");
        let mut turn = Generation::new(options, &text);
        let (mut tokens, mut steps) = (Vec::new(), 0);
        let stop = loop {
            match turn.advance(session, &mut text, &mut sampler).expect("it advances") {
                Progress::Working => steps += 1,
                Progress::Token(token) => tokens.push(token),
                Progress::Ended(stop) => break stop,
            }
        };
        assert_eq!((stop, turn.ended(), tokens.len()), (Stop::Length, Some(Stop::Length), 4));
        assert_eq!(text[9..], tokens);
        let layers = session.model().spec().decoder.map_or(0, |stack| stack.num_hidden_layers as usize);
        assert!(steps >= 4 * layers, "{steps} steps for {layers} layers");
        // The continuation of the whole text, read at once.
        let mut whole = heapless::Vec::<u32, 40>::from_slice(&text[..9]).expect("room");
        generate(session, &mut whole, &options, &mut sampler, |_| true).expect("it writes");
        assert_eq!(whole, text);
        // A session that has read more tokens than the text has belongs to another text.
        let mut short = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
        let refused = Generation::new(options, &short).next_token(session, &mut short, &mut sampler);
        assert_eq!(refused, Err(RunError::TooManyTokens { limit: 3, given: session.position() }));
    });
}

#[test]
fn each_sees_every_token_that_the_text_gets_whatever_ends_it() {
    with("gpt2", |session, _, case| {
        let begin = &case.inputs[2].ids[..3];
        let mut write = |options: &GenerateOptions<'_>, capacity: usize, patience: usize| {
            let mut text = heapless::Vec::<u32, 40>::from_slice(begin).expect("room");
            // In a smaller buffer the tokens already present count.
            let mut small = heapless::Vec::<u32, 8>::from_slice(begin).expect("room");
            let mut seen = Vec::new();
            let each = |token| {
                seen.push(token);
                seen.len() < patience
            };
            let mut sampler = Sampler::greedy();
            let stop = if capacity == 8 {
                generate(session, &mut small, options, &mut sampler, each)
            } else {
                generate(session, &mut text, options, &mut sampler, each)
            };
            let text = if capacity == 8 { small[3..].to_vec() } else { text[3..].to_vec() };
            assert_eq!(seen, text, "{options:?}");
            (stop, text)
        };
        let plain = GenerateOptions::new(9);
        let (stop, free) = write(&plain, 40, 99);
        assert_eq!((stop, free.len()), (Ok(Stop::Length), 9));
        let nothing = write(&GenerateOptions::new(0), 40, 99);
        assert_eq!(nothing, (Ok(Stop::Length), Vec::new()));
        // If a stop token arrives and the caller stops as well, the stop token is the reason.
        let options = GenerateOptions { stop: &free[..1], ..plain };
        assert_eq!(write(&options, 40, 1), (Ok(Stop::Token), free[..1].to_vec()));
        let options = GenerateOptions { stop_sequences: &[&free[..4]], ..plain };
        assert_eq!(write(&options, 40, 99), (Ok(Stop::Token), free[..4].to_vec()));
        let choice = [7, 8, 9];
        let choices = [&choice[..]];
        let options = GenerateOptions { choices: Choices::new(&choices).ok(), ..plain };
        assert_eq!(write(&options, 40, 99), (Ok(Stop::Token), choice.to_vec()));
        assert_eq!(write(&plain, 40, 2), (Ok(Stop::Caller), free[..2].to_vec()));
        assert_eq!(write(&plain, 8, 99), (Ok(Stop::Full), free[..5].to_vec()));
        // The session holds thirty tokens; one more can be generated, which it need not read.
        let (stop, long) = write(&GenerateOptions::new(99), 40, 99);
        assert_eq!((stop, long.len()), (Ok(Stop::Full), 28));
        // No token may follow the first new one; the given tokens count as its predecessors.
        let all: Vec<u32> = (0..53).collect();
        let words: Vec<Vec<u32>> = all.iter().map(|&token| vec![begin[2], free[0], token]).collect();
        let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
        let options = GenerateOptions { bad_words: &words, ..plain };
        assert_eq!(write(&options, 40, 99), (Err(RunError::AllSuppressed), free[..1].to_vec()));
        assert_eq!(
            write(&GenerateOptions { suppressed: &all, ..plain }, 40, 99),
            (Err(RunError::AllSuppressed), vec![])
        );
    });
}

#[test]
fn a_search_that_may_write_nothing_says_so_and_leaves_no_logits() {
    with("gpt2", |session, _, _| {
        let all: Vec<u32> = (0..53).collect();
        let mut text = heapless::Vec::<u32, 30>::from_array([3, 4]);
        let mut memory = [0; 5];
        let options = GenerateOptions { suppressed: &all, ..GenerateOptions::new(5) };
        let found = beam_search(session, &mut text, &options, BeamOptions::new(1), &mut memory).err();
        assert_eq!((found, &text[..]), (Some(RunError::AllSuppressed), &[3, 4][..]));
        beam_search(session, &mut text, &GenerateOptions::new(5), BeamOptions::new(1), &mut memory).expect("a text");
        assert_eq!((session.logits().err(), session.position()), (Some(RunError::NoTokens), 0));
        for beams in [
            BeamOptions { length_penalty: f32::NAN, ..BeamOptions::new(1) },
            BeamOptions { length_penalty: 1e9, ..BeamOptions::new(1) },
            BeamOptions { repetition_penalty: 0.0, ..BeamOptions::new(1) },
            BeamOptions { repetition_penalty: f32::INFINITY, ..BeamOptions::new(1) },
            BeamOptions::new(9),
        ] {
            let refused = beam_search(session, &mut text, &options, beams, &mut memory).err();
            assert!(matches!(refused, Some(RunError::InvalidOption { .. })), "{beams:?}");
        }
        let none = beam_search(session, &mut text, &GenerateOptions::new(0), BeamOptions::new(1), &mut memory).err();
        assert!(matches!(none, Some(RunError::InvalidOption { option: "max_new_tokens", .. })));
    });
}

#[test]
fn a_search_weighs_repetitions_as_the_reference_does() {
    let (mut same, mut tried) = (0, 0);
    for name in ["gpt2", "llama"] {
        with(name, |session, source, case| {
            for input in &case.inputs {
                for (repetition_penalty, renormalize_logits) in [(1.3, false), (2.5, true), (0.8, true)] {
                    let beams = BeamOptions { repetition_penalty, renormalize_logits, ..BeamOptions::new(1) };
                    let bad: &[&[u32]] = &[&[29, 29], &[16]];
                    let options = GenerateOptions { bad_words: bad, ..GenerateOptions::new(8) };
                    let mut text = heapless::Vec::<u32, 40>::from_slice(&input.ids).expect("room");
                    let mut memory = [0; 8];
                    let search = beam_search(session, &mut text, &options, beams, &mut memory).expect("it searches");
                    let score = search.write_finished(0, &mut text).expect("room").expect("a text");
                    let mut reference = Reference::new(source.spec(), &source.weights);
                    let wanted = &reference.beam_search(&input.ids, &options, beams).expect("it searches")[0];
                    tried += 1;
                    if text[input.ids.len()..] == wanted.ids[..] {
                        same += 1;
                        let off = (score - wanted.score.expect("a score")).abs();
                        assert!(off < 0.03, "{name}: the score is off by {off}");
                    }
                }
            }
        });
    }
    // If two tokens are almost equally likely, rounding may choose the other one.
    assert!(tried == 24 && same >= 20, "{same} of {tried}");
}
