use std::fs;
use std::path::Path;

use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet::{AlignedVec, Model};

use super::costs::{Costs, reading, writing};
use super::*;
use crate::checkpoint::{Checkpoint, Prompts};
use crate::convert::convert;
use crate::family::{self, Options};
use crate::opened::Source;
use crate::plan::{Subject, Way, payload};
use crate::testing::{checkpoint, random_weights};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn blob(name: &str) -> AlignedVec {
    let path = Path::new(ROOT).join(format!("firmware-examples/common/models/{name}.kinglet"));
    AlignedVec::from(fs::read(path).expect("it ships").as_slice())
}

fn tokens(model: &Model<'_>, text: &str) -> f64 {
    let tokenizer = Tokenizer::from_bytes(model.tokenizer_section()).expect("it has one");
    let (mut scratch, mut tokens) = ([0; 8192], [Token::default(); 128]);
    let options = EncodeOptions::default();
    tokenizer.encode(text, None, &options, &mut scratch, &mut tokens).expect("room") as f64
}

/// The answers of an example in its expected file: texts and results.
fn answers(example: &str) -> Vec<(String, String)> {
    let path = Path::new(ROOT).join(format!("firmware-examples/expected/{example}.txt"));
    let text = fs::read_to_string(path).expect("it is kept");
    let pairs = text.lines().filter_map(|line| line.split_once(" -> "));
    pairs.map(|(text, answer)| (text.to_owned(), answer.to_owned())).collect()
}

/// The value of a key at the beginning of a manifest's line.
fn said<'t>(manifest: &'t str, key: &str) -> &'t str {
    manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn boards_with_a_folder_are_what_the_folder_says() {
    let mut boards = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("firmware-examples")).expect("the folder") {
        let manifest = entry.expect("an entry").path().join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap_or_default();
        let Some((_, manifest)) = manifest.split_once("[package.metadata.kinglet]\n") else { continue };
        let name = said(manifest, "board").trim_matches('"');
        let board = BOARDS.iter().find(|board| board.name == name).unwrap_or_else(|| panic!("no {name}"));
        let kib = |key: &str| said(manifest, key).trim_end_matches(']').rsplit(' ').next().map(str::parse);
        assert_eq!(said(manifest, "chip").trim_matches('"'), board.chip, "{name}");
        assert_eq!(said(manifest, "core").trim_matches('"'), board.core.name(), "{name}");
        assert_eq!(said(manifest, "clock").parse(), Ok(board.clock), "{name}");
        assert_eq!((kib("flash"), kib("ram")), (Some(Ok(board.flash)), Some(Ok(board.ram))), "{name}");
        boards += 1;
    }
    assert_eq!(boards, 11, "folders of boards");
}

#[test]
fn the_readme_has_the_estimates_of_its_boards() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("it is there");
    let blob = blob("stories");
    let spec = *Model::from_bytes(&blob).expect("it is whole").spec();
    let mut found = 0;
    for board in &BOARDS {
        // A row may be about several boards.
        let row =
            readme.lines().find(|line| line.starts_with("| ") && line.contains(board.name.trim_start_matches("BBC ")));
        let Some(row) = row else { continue };
        let answer = Fit::new(board, blob.len() as u64, &spec, None);
        let estimate = format!("| {:.1} ms at {} MHz |", answer.estimate.milliseconds(), board.clock);
        assert!(row.ends_with(&estimate), "{}: {estimate} in place of {row}", board.name);
        found += 1;
    }
    assert_eq!(found, 7, "boards in the table");
}

#[test]
fn the_estimate_is_within_a_seventh_of_what_was_counted() {
    let [stories, intent, command] = ["stories", "home-intent", "home-command"].map(blob);
    let [stories, intent, command] =
        [&stories, &intent, &command].map(|blob| Model::from_bytes(blob).expect("it is whole"));
    let story = writing(stories.spec(), stories.spec().decoder.as_ref().expect("it writes"), 47.5, 0.0);
    let classified: Vec<f64> = answers("classify").iter().map(|(text, _)| tokens(&intent, text)).collect();
    let commanded: Vec<(f64, f64)> =
        answers("command").iter().map(|(text, answer)| (tokens(&command, text), tokens(&command, answer))).collect();
    let programs = fs::read_to_string(Path::new(ROOT).join("firmware-examples/counts.json")).expect("it is there");
    let programs: Value = serde_json::from_str(&programs).expect("counts");
    for core in Core::ALL {
        let take = |model: &Model<'_>, work| Costs::of(core, model.spec()).instructions(work);
        let read = |model: &Model<'_>, tokens: f64| {
            tokens * take(model, reading(model.spec(), model.spec().encoder.as_ref().expect("it reads"), tokens))
        };
        let written = |source: f64, tokens: f64| {
            let spec = command.spec();
            let stack = spec.decoder.as_ref().expect("it writes");
            tokens * take(&command, writing(spec, stack, (tokens + 1.0) / 2.0, source))
        };
        let estimates = [
            take(&stories, story),
            classified.iter().map(|&tokens| read(&intent, tokens)).sum::<f64>() / classified.len() as f64,
            commanded.iter().map(|&(source, target)| read(&command, source) + written(source, target)).sum::<f64>()
                / commanded.len() as f64,
        ];
        for (estimate, (program, unit)) in
            estimates.into_iter().zip([("generate", "token"), ("classify", "sentence"), ("command", "sentence")])
        {
            let counted = programs["cores"][core.emulated()][format!("{program}: instructions a {unit}")].as_f64();
            let counted = counted.expect("it was counted");
            let ratio = estimate / counted;
            assert!((ratio - 1.0).abs() < 1.0 / 7.0, "{core:?}, {program}: {estimate:.0} for {counted:.0}");
        }
    }
}

/// The specification of a configuration without weights.
fn planned(config: &Path) -> ModelSpec {
    family::map(&Checkpoint::without_weights(config).expect("it is whole"), &Options::default())
        .expect("it is known")
        .spec
}

#[test]
fn a_configuration_alone_has_the_bytes_of_what_it_becomes() {
    for (checkpoint, name) in [("stories", "stories"), ("home/intent", "home-intent"), ("home/command", "home-command")]
    {
        let spec = planned(&Path::new(ROOT).join(format!("models/{checkpoint}/config.json")));
        let blob = blob(name);
        let model = Model::from_bytes(&blob).expect("it is whole");
        assert_eq!(payload(&spec), model.payload().len() as u64, "{name}");
    }
}

/// A conversion records golden vectors, for which the runtime runs texts of one token and of
/// twelve.
#[test]
fn public_checkpoints_convert_with_random_weights_to_the_bytes_that_were_planned() {
    let files = fs::read_dir(Path::new(ROOT).join("tests/works-with")).expect("it is in the repository");
    let all = files.map(|file| fs::read_to_string(file.expect("an entry").path()).expect("it can be read"));
    let said = all.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
    let mut converted = 0;
    for said in said.filter(|said| said["converted"] == true) {
        let dir = checkpoint(&said["config"], &[]);
        let checkpoint = Checkpoint::without_weights(&dir.path().join("config.json")).expect("it is whole");
        let mapping = family::map(&checkpoint, &Options::default()).expect("it is known");
        let weights = random_weights(&mapping.spec, 7);
        let source = Source { mapping, weights, name: "random".to_owned(), prompts: Prompts::default() };
        let blob = convert(&source, &[], None, &|| ()).expect("it converts").blob;
        let model = Model::from_bytes(&blob).expect("it is whole");
        assert_eq!(model.payload().len() as u64, payload(source.spec()), "{}", said["checkpoint"]);
        converted += 1;
    }
    assert!(converted >= 4, "only {converted} were converted");
}

/// A BERT of two layers of width 128 with BERT's vocabulary: nine tenths of its weights are the
/// token table.
fn small_bert() -> ModelSpec {
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 128, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 30522, "max_position_embeddings": 512,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", "type_vocab_size": 2, "pad_token_id": 0
    });
    planned(&checkpoint(&config, &[]).path().join("config.json"))
}

#[test]
fn what_does_not_fit_gets_options_with_which_it_does_and_no_option_too_many() {
    let spec = small_bert();
    let in_proportion = |size: u32| Some((size, 300_000 * u64::from(size) / 30_522));
    let subject = Subject { spec, tokenizer: 300_000, rest: 400, cut: &in_proportion };
    let mut found = 0;
    for board in BOARDS.iter().filter(|board| !subject.fit(board, None).fits()) {
        let ways = subject.ways(board, None);
        for (at, way) in ways.iter().enumerate() {
            assert!(way.fit.fits() && way.fit.blob < subject.blob(), "{}: {way:?}", board.name);
            let has = |other: &Way| other.options.iter().all(|option| way.options.contains(option));
            assert!(!ways.iter().enumerate().any(|(one, other)| one != at && has(other)), "{}: {ways:?}", board.name);
        }
        found += ways.len();
        let flash = 1024 * board.flash - CODE;
        let vocabulary = |way: &&Way| way.options.len() == 1 && way.options[0].starts_with("--vocabulary-size");
        if let Some(way) = ways.iter().find(vocabulary) {
            // Twice as many tokens would be too large.
            let size: u32 = way.options[0].rsplit(' ').next().and_then(|size| size.parse().ok()).expect("a size");
            assert!(way.fit.blob <= flash && way.fit.blob + u64::from(size) * 140 > flash, "{}: {way:?}", board.name);
        }
    }
    assert!(found > 10, "{found} ways in all");
}

#[test]
fn the_slower_of_instructions_and_reading_is_the_estimate() {
    let blob = blob("stories");
    let spec = *Model::from_bytes(&blob).expect("it is whole").spec();
    let of = |chip: &str| BOARDS.iter().find(|board| board.chip == chip).expect("it is known");
    let fit = Fit::new(of("RP2350"), blob.len() as u64, &spec, None);
    let reading = fit.estimate.reading.expect("its flash is a chip of its own");
    assert!(reading > fit.estimate.computing && fit.estimate.milliseconds() == reading);
    // A token reads each weight of the layers and of the head once: most of the blob.
    assert!((0.8..1.0).contains(&(fit.estimate.bytes / blob.len() as f64)), "{:?}", fit.estimate);
    let fit = Fit::new(of("STM32F446RE"), blob.len() as u64, &spec, None);
    assert_eq!((fit.estimate.reading, fit.estimate.milliseconds()), (None, fit.estimate.computing));
    // Eight tokens of an encoder share one reading of its weights.
    let (one, eight) = (Estimate::of(of("RP2350"), &small_bert(), 1), Estimate::of(of("RP2350"), &small_bert(), 8));
    assert!((one.bytes / eight.bytes - 8.0).abs() < 1e-9);
}
