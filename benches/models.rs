//! Measures the models that ship: generating a token, classifying a sentence, translating a sentence
//! into a command. The times do not include tokenization.
//!
//!     cargo bench -p kinglet-benches --bench models

#![expect(missing_docs, reason = "what the macro makes has none")]

use std::fs;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kinglet::sample::{Sampler, argmax};
use kinglet::task::{GenerateOptions, generate};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{AlignedVec, MemoryPlan, Model, Session, heapless};

/// The maximum number of tokens of a text.
const TOKENS: usize = 128;
/// The maximum number of tokens of a command, which is the model's.
const COMMAND: usize = 48;
const SENTENCE: &str = "turn the lights in the kitchen down to twenty percent";

fn blob(name: &str) -> AlignedVec {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../firmware-examples/common/models").join(name);
    AlignedVec::from(fs::read(file).expect("a blob").as_slice())
}

fn ids(model: &Model<'_>, text: &str) -> Vec<u32> {
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section()).expect("a tokenizer");
    let (mut scratch, mut tokens) = (vec![0; tokenizer.scratch_words(text.len())], [Token::default(); TOKENS]);
    let count = tokenizer.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens).expect("tokens");
    tokens[..count].iter().map(|token| token.id).collect()
}

fn stories(criterion: &mut Criterion) {
    let blob = blob("stories.kinglet");
    let model = Model::from_bytes(&blob).expect("a model");
    let mut arena = AlignedVec::zeroed(kinglet::arena_bytes(&blob, TOKENS));
    let mut session = Session::new(&model, &mut arena, TOKENS).expect("a session");
    let mut group = criterion.benchmark_group("stories");
    group.throughput(Throughput::Elements(TOKENS as u64));
    group.bench_function("128 tokens from an empty cache", |bencher| {
        bencher.iter(|| {
            session.reset();
            let mut token = model.manifest().tokens.bos.unwrap_or(1);
            for _ in 0..TOKENS {
                token = argmax(session.step(token).expect("logits"));
            }
            token
        });
    });
    let text: Vec<u32> = (0..64).map(|position| (37 * position + 1) % 512).collect();
    group.throughput(Throughput::Elements(text.len() as u64));
    group.bench_function("a text of 64 tokens", |bencher| {
        bencher.iter(|| {
            session.reset();
            session.prefill(&text).expect("there is room");
            argmax(session.logits().expect("logits"))
        });
    });
}

fn home(criterion: &mut Criterion) {
    let blob = [blob("home-intent.kinglet"), blob("home-slots.kinglet"), blob("home-command.kinglet")];
    let models = blob.each_ref().map(|blob| Model::from_bytes(blob).expect("a model"));
    let [intent, slots, command] = &models;
    let mut group = criterion.benchmark_group("home");
    for (what, model) in [("intent of a sentence", intent), ("slots of a sentence", slots)] {
        let ids = ids(model, SENTENCE);
        let plan = MemoryPlan::standard(model.spec(), ids.len()).expect("a plan");
        let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
        let mut session = Session::with_plan(model, &mut arena, plan).expect("a session");
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                session.encode(&ids, &[]).expect("there is room");
                session.logits().expect("logits").first().copied()
            });
        });
    }
    let ids = ids(command, SENTENCE);
    let tokens = command.manifest().tokens.clone();
    let start = tokens.decoder_start.expect("what a command begins with");
    let plan = MemoryPlan::standard(command.spec(), COMMAND).expect("a plan");
    let mut arena = AlignedVec::zeroed(plan.bytes() as usize);
    group.bench_function("command of a sentence", |bencher| {
        bencher.iter(|| {
            let mut session = Session::with_plan(command, &mut arena, plan).expect("a session");
            session.encode(&ids, &[]).expect("there is room");
            let mut text = heapless::Vec::<u32, COMMAND>::from_array([start]);
            let options = GenerateOptions { stop: &tokens.eos, ..GenerateOptions::new(COMMAND - 1) };
            generate(&mut session, &mut text, &options, &mut Sampler::greedy(), |_| true).expect("text");
            assert!(text.len() > 2, "a command has more than its ends");
            text.len()
        });
    });
}

criterion_group!(benches, stories, home);
criterion_main!(benches);
