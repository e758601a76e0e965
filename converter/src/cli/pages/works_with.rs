//! Generates the page of public checkpoints, each of which is planned from its configuration alone.

use std::fs;
use std::path::PathBuf;

use kinglet::MemoryPlan;
use kinglet::format::spec::{Pooling, Task};
use kinglet_convert::checkpoint::{Checkpoint, Module};
use kinglet_convert::family::{self, Mapping, Options};
use kinglet_convert::fit::{BOARDS, Board};
use kinglet_convert::page::grouped;
use kinglet_convert::plan::{Subject, Way};
use kinglet_convert::vocabulary::vocab_size;
use rayon::prelude::*;
use serde_json::Value;

use super::{GENERATED, hold, root, told};
use crate::cli::fit::{BYTES_PER_TOKEN, Given};

/// The length of texts in the plans, in tokens.
const TOKENS: usize = 128;

/// The smallest vocabulary of a plan.
const LEAST_VOCABULARY: u32 = 4000;

/// A public checkpoint.
struct Known {
    file: PathBuf,
    said: Value,
    mapping: Mapping,
}

impl Known {
    fn read(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).expect("it can be read");
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let dir = tempfile::tempdir().expect("disk");
        let config = dir.path().join("config.json");
        fs::write(&config, said["config"].to_string()).expect("disk");
        let mut checkpoint = Checkpoint::without_weights(&config).expect("it is an object");
        if let Some(sentences) = said["sentences"].as_object() {
            let pooling = match sentences["pooling"].as_str() {
                Some("mean") => Pooling::Mean,
                Some("cls") => Pooling::First,
                other => panic!("{}: pooling {other:?}", file.display()),
            };
            checkpoint.modules = vec![Module::Transformer { folder: None }, Module::Pooling(pooling)];
            checkpoint.modules.extend((sentences["normalize"] == true).then_some(Module::Normalize));
            checkpoint.max_seq_length =
                sentences["max_seq_length"].as_u64().and_then(|length| u32::try_from(length).ok());
        }
        let options = Options { ignored_keys: ignored_keys(&said).collect(), ..Options::default() };
        let mapping =
            family::map(&checkpoint, &options).unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        Self { file, said, mapping }
    }

    fn text(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap_or_else(|| panic!("{}: no {key}", self.file.display()))
    }

    fn parameters(&self) -> u64 {
        self.said["parameters"].as_u64().unwrap_or_else(|| panic!("{}: no parameters", self.file.display()))
    }

    fn says(&self, key: &str) -> bool {
        self.said[key] == true
    }

    /// The checkpoint's row of the table.
    fn row(&self, boards: &[&Board]) -> String {
        let spec = self.mapping.spec;
        let given = Given::without_tokenizer(spec);
        let plan = MemoryPlan::standard(&spec, TOKENS).expect("texts of this length are read");
        let uncut = |_: u32| None;
        let cut = |size: u32| given.cut(size).filter(|_| size >= LEAST_VOCABULARY);
        let subject = |cut| Subject { spec, tokenizer: given.tokenizer, rest: given.rest, cut };
        let whole = subject(&uncut);
        let smallest = |subject: Subject<'_>| {
            let way = subject.first_way(boards.iter().copied(), Some(TOKENS));
            way.map_or_else(|| "none".to_owned(), |way| told_way(&way))
        };
        let flash = whole.blob();
        let cells = [
            format!(
                "`{}`{}",
                self.text("checkpoint"),
                ignored_keys(&self.said).map(|key| format!(" `--ignore-key {key}`")).collect::<String>()
            ),
            told(&self.said["config"]),
            task(&self.mapping).to_owned(),
            format!("{}, {}", self.text("tokenizer"), grouped(vocab_size(&spec).into())),
            format!("{:.1} M", self.parameters() as f64 / 1e6),
            format!("{:.1} MB", flash as f64 / 1e6),
            format!("{} KB", grouped(plan.bytes().div_ceil(1000))),
            if self.says("run") { "yes" } else { "" }.to_owned(),
            smallest(whole),
            smallest(subject(&cut)),
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

fn told_way(way: &Way) -> String {
    let options = if way.options.is_empty() { String::new() } else { format!(": `{}`", way.options.join(" ")) };
    format!("{}{options}", way.fit.board.name)
}

fn task(mapping: &Mapping) -> &'static str {
    match mapping.spec.head.task {
        Task::CausalLm => "next token",
        Task::MaskedLm => "masked token",
        Task::Classification | Task::MultiLabelClassification => "text labels",
        Task::Regression => "a number",
        Task::TokenClassification | Task::ReplacedToken => "token labels",
        Task::QuestionAnswering => "answers",
        Task::Hidden => "hidden states",
        Task::Embedding => "sentence vectors",
    }
}

/// The keys of the configuration that need `--ignore-key`.
fn ignored_keys(said: &Value) -> impl Iterator<Item = String> {
    said["ignored_keys"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// All checkpoints, the smallest first.
fn known() -> Vec<Known> {
    let folder = root().join("tests/works-with");
    let files = fs::read_dir(&folder).expect("it is in the repository").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<Known> = files.map(Known::read).collect();
    all.sort_by_key(|known| (known.parameters(), known.text("checkpoint").to_owned()));
    all
}

#[test]
fn the_page_of_public_checkpoints_is_what_is_planned() {
    let mut boards: Vec<&Board> = BOARDS.iter().collect();
    boards.sort_by_key(|board| (board.flash, board.ram));
    let all = known();
    let that = |says: &str| all.iter().filter(|known| known.says(says)).count();
    let (count, run, converted) = (all.len(), that("run"), that("converted"));
    assert!(count >= 60 && all.iter().all(|known| known.parameters() <= 150_000_000));
    let rows: Vec<String> = all.par_iter().map(|known| known.row(&boards)).collect();
    let page = format!(
        "{GENERATED}# Works with\n\n\
         {count} public checkpoints of up to 150 million parameters, the smallest first. Each was **planned** from what its published `config.json` says of shapes, types and heads \
         ([tests/works-with](../tests/works-with)): the family that maps it, the bytes of its blob, the memory it needs. A test maps all of them and \
         makes this page, and another converts the {converted} smallest with **random weights** of their shapes and runs them. Only the \
         {run} with a *yes* were also converted and run with their **real weights**; what the others' texts come out like was not seen. \
         That a family computes what `transformers` does is tested on small checkpoints of it ([families](families.md)).\n\n\
         *Parameters* are those of the checkpoint without what is tied. *Flash* is the blob without options, with weights of eight bits, and {} bytes \
         for each token in place of the tokenizer, which is not there to be measured. *RAM* is the arena for a text of {TOKENS} tokens. *Smallest board* is \
         the board with the least flash, of the boards in `kinglet fit`, that has room for both at {TOKENS} tokens, with the options of `kinglet convert` that it \
         takes; the last column may also cut the vocabulary to the {} or more tokens that one's texts use. What an option costs in accuracy depends \
         on the weights, and only a conversion tells.\n\n\
         | checkpoint | `model_type` | task | tokenizer, vocabulary | parameters | flash | RAM | real weights | smallest board | with a smaller vocabulary |\n\
         |{}\n{}",
        BYTES_PER_TOKEN,
        grouped(LEAST_VOCABULARY.into()),
        "---|".repeat(10),
        rows.concat()
    );
    hold("works-with.md", &page);
}
