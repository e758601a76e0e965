//! `kinglet logits`: print the output of the head.

use anyhow::Result;
use clap::Args;
use kinglet::format::spec::Task;
use serde_json::{Map, Value, json};

use super::engine::{About, ModelArgs};
use super::input::InputArgs;
use super::output;

/// Print the output of the head: logits, hidden states or a vector.
#[derive(Args, Debug)]
pub(crate) struct Logits {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Also print the exact integers and their binary point.
    #[arg(long)]
    integers: bool,
    /// Print one JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Logits {
    pub(crate) fn run(self) -> Result<()> {
        let engine = self.model.load()?;
        let About { spec, .. } = engine.about()?;
        engine.each(&self.input.read(&engine.reader()?)?, |_, rows| {
            if !(self.json || self.input.is_many()) {
                for row in &rows.real {
                    output::line(&output::join(row, " "))?;
                }
                if let Some(hash) = rows.hash() {
                    output::line(&format!("hash {hash}"))?;
                }
                return Ok(());
            }
            let mut answer = Map::new();
            match spec.head.task {
                Task::Hidden => drop(answer.insert("hidden".into(), json!(rows.real))),
                Task::Embedding => drop(answer.insert("embedding".into(), json!(rows.real.first()))),
                Task::QuestionAnswering => {
                    let column =
                        |index: usize| Value::from_iter(rows.real.iter().filter_map(|row| row.get(index)).copied());
                    answer.insert("start_logits".into(), column(0));
                    answer.insert("end_logits".into(), column(1));
                }
                _ => drop(answer.insert("logits".into(), json!(rows.real))),
            }
            if let Some(hash) = rows.hash() {
                answer.insert("hash".into(), json!(hash));
            }
            if let (true, Some(integers)) = (self.integers, &rows.integers) {
                answer.insert("integers".into(), json!(integers));
                answer.insert("fraction_bits".into(), json!(spec.numerics.fraction_bits));
            }
            output::json(&answer)
        })
    }
}
