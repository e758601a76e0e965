//! Measures the device's tokenizers and the `tokenizers` crate, in bytes of text per second, on prose
//! and on texts of a single kind of character.
//!
//!     cargo bench -p kinglet-benches --bench tokenizer
//!
//! `KINGLET_TOKENIZERS` may list folders with more tokenizers, separated by colons.

#![expect(missing_docs, reason = "what the macro makes has none")]

use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet_convert::tokenizer::build;

/// English prose of `bytes` bytes, which repeats itself.
fn prose(bytes: usize) -> String {
    let sentence = "The lamp in the kitchen is on, and the one in the hall isn't: would you turn it off at 18:30, please? \
                    Weather stays fine until Thursday; after that, 12 degrees and rain. ";
    sentence.chars().cycle().take(bytes).collect()
}

fn folders() -> Vec<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/tokenizers");
    let names = ["bert_uncased", "gpt2", "llama2", "t5", "gpt1"];
    let more = std::env::var("KINGLET_TOKENIZERS").unwrap_or_default();
    let more = more.split(':').filter(|name| !name.is_empty()).map(PathBuf::from);
    names.iter().map(|name| own.join(name)).chain(more.collect::<Vec<_>>()).collect()
}

fn bench(criterion: &mut Criterion) {
    let texts = [
        ("prose", prose(4096)),
        ("prose, a megabyte", prose(1 << 20)),
        ("one word, a megabyte", "a".repeat(1 << 20)),
        ("spaces, a megabyte", " ".repeat(1 << 20)),
        ("marks, a megabyte", "\u{323}\u{301}".repeat(1 << 18)),
    ];
    for folder in folders() {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let section = build(&folder).expect("it is built").expect("a tokenizer");
        let device = Tokenizer::from_bytes(&section).expect("a tokenizer");
        let mut theirs = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).expect("the crate reads it");
        theirs.with_truncation(None).expect("no truncation");
        theirs.with_padding(None);
        let mut group = criterion.benchmark_group(&name);
        group.sample_size(10);
        for (kind, text) in &texts {
            let mut scratch = vec![0; device.scratch_words(text.len())];
            let mut tokens = vec![Token::default(); 2 * text.len() + 16];
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new("device", kind), |bencher| {
                bencher.iter(|| {
                    device.encode(text, None, &EncodeOptions::default(), &mut scratch, &mut tokens).expect("tokens")
                });
            });
            // The crate is measured on prose only.
            if kind.starts_with("prose") {
                group.bench_function(BenchmarkId::new("crate", kind), |bencher| {
                    bencher.iter(|| theirs.encode(text.as_str(), true).expect("tokens").len());
                });
            }
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
