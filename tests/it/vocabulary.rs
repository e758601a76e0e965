//! Vocabularies cut to the tokens of given texts: these texts keep their tokens, and all other
//! texts decode to themselves.

use std::collections::BTreeSet;

use kinglet::format::spec::{OutputProjection, Task};
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet::{AlignedVec, MemoryPlan, Model, Session};
use kinglet_convert::convert::convert;
use kinglet_convert::fidelity::run;
use kinglet_convert::opened::Source;
use kinglet_convert::tokenizer::{Kept, build, decode, encode, spelling};
use kinglet_convert::vocabulary::{Vocabulary, Wish};
use kinglet_tests::{Expected, golden_cases};

use crate::tokenizer::{corpus, each, folder};

fn ids(tokenizer: &Tokenizer<'_>, text: &str) -> Vec<u32> {
    let tokens = encode(tokenizer, text, None, &EncodeOptions::default()).expect("tokens");
    tokens.iter().map(|token| token.id).collect()
}

fn section(name: &str) -> Vec<u8> {
    build(&folder().join(name)).expect("it is read").expect("a tokenizer")
}

fn cut(name: &str, full: &Tokenizer<'_>, wish: &Wish) -> Vocabulary {
    Vocabulary::choose(&folder().join(name), full, wish, None).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// A wish for the tokens of one text.
fn wish(text: &str) -> Wish {
    Wish { texts: vec![(text.to_owned(), None)], ..Wish::default() }
}

#[test]
fn texts_that_are_kept_stay_their_tokens_and_all_others_their_text() {
    let texts = corpus();
    let kept: Vec<_> = texts.iter().step_by(10).filter(|text| !text.is_empty()).collect();
    let wish = Wish { texts: kept.iter().map(|&text| (text.clone(), None)).collect(), ..Wish::default() };
    each(|name, full, _| {
        let vocabulary = cut(name, full, &wish);
        let small = Tokenizer::from_bytes(&vocabulary.section).expect("a tokenizer");
        assert_eq!(small.vocab_size() as usize, vocabulary.kept.old_ids().len(), "{name}");
        for text in &kept {
            let renumbered: Option<Vec<u32>> =
                ids(full, text).into_iter().map(|id| vocabulary.kept.new_id(id)).collect();
            assert_eq!(renumbered.as_ref(), Some(&ids(&small, text)), "{name}: {text:?}");
        }
        for text in &texts {
            let (before, after) = (ids(full, text), ids(&small, text));
            for skip in [true, false] {
                assert_eq!(decode(&small, &after, skip), decode(full, &before, skip), "{name}: {text:?}");
            }
        }
    });
}

#[test]
fn a_vocabulary_is_as_large_as_its_texts_or_its_size_ask_for() {
    let text = "turn the lamp in the kitchen on";
    for (name, most) in [("bert_uncased", 560), ("gpt2", 300), ("llama2", 560), ("t5", 440), ("llama3", 300)] {
        let section = section(name);
        let full = Tokenizer::from_bytes(&section).expect("a tokenizer");
        let by_text = cut(name, &full, &wish(text));
        let count = by_text.kept.old_ids().len();
        assert!(count <= most && by_text.section.len() < section.len(), "{name}: {count}");
        // The tokens of the text are kept first, then the first tokens of the vocabulary.
        let larger = cut(name, &full, &Wish { size: Some(count + 20), ..wish(text) });
        // A token whose merge needs another missing token is not kept if there is room for only
        // one.
        let found = larger.kept.old_ids().len();
        assert!((count + 19..=count + 20).contains(&found), "{name}: {found} of {}", count + 20);
        assert!(by_text.kept.old_ids().iter().all(|&id| larger.kept.new_id(id).is_some()), "{name}");
        assert!(larger.notes.is_empty(), "{name}: {:?}", larger.notes);
        let without = cut(name, &full, &Wish { size: Some(count), ..Wish::default() });
        let found = without.kept.old_ids().len();
        assert!((count - 1..=count).contains(&found), "{name}: {found} of {count}");
        let smaller = cut(name, &full, &Wish { size: Some(count - 1), ..wish(text) });
        assert!(smaller.notes[0].contains("do not fit a vocabulary"), "{name}: {:?}", smaller.notes);
        let none = Vocabulary::choose(&folder().join(name), &full, &Wish { size: Some(3), ..wish(text) }, None);
        let said = none.expect_err("three tokens are too few").to_string();
        assert!(said.contains("--vocabulary-size") && said.lines().count() == 2, "{name}: {said}");
    }
}

#[test]
fn tokens_are_named_by_id_or_as_the_vocabulary_writes_them() {
    for (name, text) in
        [("bert_uncased", "kitchen"), ("gpt2", " kitchen"), ("albert", "kitchen"), ("llama2", "kitchen")]
    {
        let section = section(name);
        let full = Tokenizer::from_bytes(&section).expect("a tokenizer");
        let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
        let tokens = encode(&full, text, None, &options).expect("tokens");
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let named = Wish { tokens: ids.iter().map(|&id| spelling(&full, id)).collect(), ..Wish::default() };
        let kept = cut(name, &full, &named).kept;
        assert_eq!(kept, cut(name, &full, &Wish { ids, ..Wish::default() }).kept, "{name}");
        assert_eq!(kept, cut(name, &full, &wish(text)).kept, "{name}");
        let refused = |wish: Wish, named: &str| {
            let error = Vocabulary::choose(&folder().join(name), &full, &wish, None).expect_err("it is refused");
            assert!(error.to_string().contains(named) && error.to_string().lines().count() == 2, "{name}: {error}");
        };
        refused(Wish { tokens: vec!["none such".to_owned()], ..Wish::default() }, "none such");
        refused(Wish { ids: vec![1 << 20], ..Wish::default() }, "1048576");
    }
}

/// The results of a blob for an input.
fn rows(source: &Source, input: &Expected) -> Vec<Vec<i32>> {
    let blob = convert(source, &[], None, &|| ()).expect("a blob").blob;
    let model = Model::from_bytes(&blob).expect("a model");
    let longest = input.ids.len().max(input.decoder_ids.len());
    let plan = MemoryPlan::standard(model.spec(), longest).expect("a plan");
    let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes()).expect("bytes"));
    let mut session = Session::new(&model, &mut arena, longest).expect("a session");
    let types: Vec<u8> = input.token_types.iter().map(|&kind| kind as u8).collect();
    run(&mut session, &input.ids, &types, &input.decoder_ids).expect("it runs")
}

#[test]
fn a_model_gives_the_tokens_that_are_kept_the_logits_that_it_gave() {
    for case in golden_cases() {
        let mut source = case.open();
        let spec = *source.spec();
        let input = &case.inputs[0];
        let sizes = [spec.encoder, spec.decoder].map(|stack| stack.map(|stack| stack.embedding.vocab_size));
        let size = sizes[0].or(sizes[1]).expect("a stack");
        let used: BTreeSet<u32> = input.ids.iter().chain(&input.decoder_ids).copied().collect();
        let kept: Kept = (0..size).filter(|id| *id < 8 || id % 3 != 1 || used.contains(id)).collect();
        if sizes[1].is_some_and(|decoder| decoder != size) {
            let said = source.keep(&kept).expect_err("two vocabularies").to_string();
            assert!(said.contains("vocabularies of their own"), "{}: {said}", case.name);
            continue;
        }
        let before = rows(&source, input);
        source.keep(&kept).expect("it is cut");
        let new = |ids: &[u32]| ids.iter().map(|&id| kept.new_id(id).expect("it is kept")).collect();
        let renumbered = Expected {
            ids: new(&input.ids),
            decoder_ids: new(&input.decoder_ids),
            token_types: input.token_types.clone(),
            ..Expected::default()
        };
        let after = rows(&source, &renumbered);
        let by_token =
            matches!(spec.head.task, Task::CausalLm | Task::MaskedLm) && spec.head.output != OutputProjection::None;
        let of_kept = |row: &Vec<i32>| -> Vec<i32> { kept.old_ids().iter().map(|&id| row[id as usize]).collect() };
        let expected: Vec<Vec<i32>> = if by_token { before.iter().map(of_kept).collect() } else { before };
        assert!(after == expected, "{}", case.name);
        let left = kept.old_ids().len() as u32;
        assert!(
            source.spec().last_stack().expect("a stack").embedding.vocab_size == left && left < size,
            "{}",
            case.name
        );
        let special = &source.mapping.special;
        for (old, new) in
            [(case.open().mapping.special.pad, special.pad), (case.open().mapping.special.bos, special.bos)]
        {
            assert_eq!(new, old.and_then(|old| kept.new_id(old)), "{}", case.name);
        }
    }
}
