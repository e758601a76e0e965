//! Applies a `peft` adapter to a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::adapter::{Adapter, CONFIG, FILES, Settings, Update};
use super::array::{Array, decode};
use super::entry::Entry;
use super::tensors::Tensors;
use super::{Checkpoint, is_there};
use crate::{json, refuse};

/// Class name suffixes by `task_type`.
const TASKS: [(&str, &str); 3] = [
    ("SEQ_CLS", "ForSequenceClassification"),
    ("TOKEN_CLS", "ForTokenClassification"),
    ("QUESTION_ANS", "ForQuestionAnswering"),
];

/// Matrices with a row for each label.
const LABELS: [&str; 3] = ["classifier.weight", "classifier.out_proj.weight", "score.weight"];

impl Checkpoint {
    /// Applies a `peft` adapter to the model, as `merge_and_unload` does.
    ///
    /// # Errors
    /// When the adapter is not LoRA, has an option that is not implemented, or does not fit the
    /// model.
    pub fn adapt(&mut self, dir: &Path) -> Result<()> {
        let config = json::required(&dir.join(CONFIG))?;
        let settings = Settings::read(&config)?;
        let mut own = Tensors::default();
        let file = FILES.into_iter().find(|name| is_there(&dir.join(name))).unwrap_or(FILES[0]);
        own.read_file(dir, file, "")?;
        let mut whole = Vec::new();
        let mut halves: BTreeMap<String, [Option<Array>; 2]> = BTreeMap::new();
        for (stored, entry) in &own.entries {
            let Some(name) = stored.strip_prefix("base_model.model.") else {
                return Err(refuse(
                    format_args!("{file} has tensor `{stored}`, whose name does not begin with `base_model.model.`"),
                    "save the adapter with `save_pretrained` of peft",
                ));
            };
            let Some((module, part)) = name.split_once(".lora_") else {
                whole.push((name.to_owned(), stored.clone()));
                continue;
            };
            let (half, table) = match part {
                "A.weight" => (0, false),
                "B.weight" => (1, false),
                "embedding_A" => (0, true),
                "embedding_B" => (1, true),
                _ => {
                    return Err(refuse(
                        format_args!("{file} has tensor `{stored}`, and `lora_{part}` is not implemented"),
                        "merge the adapter with `merge_and_unload()` of peft, save that, and convert what was saved",
                    ));
                }
            };
            let values = decode(entry.dtype, &own.bytes(entry)).filter(|values| values.iter().all(|x| x.is_finite()));
            let Some(values) = values.filter(|_| entry.shape.len() == 2) else {
                return Err(refuse(
                    format_args!("tensor `{stored}` in {file} is not a matrix of finite numbers"),
                    "the adapter is broken: download it again",
                ));
            };
            let key = if table { format!("{module}/") } else { module.to_owned() };
            halves.entry(key).or_default()[half] = Some(Array { shape: entry.shape.clone(), values });
        }
        let mut adapter = Adapter { tied: config["ensure_weight_tying"] == true, ..Adapter::default() };
        for (key, halves) in halves {
            let module = key.trim_end_matches('/');
            let update = update(file, module, halves, &settings, key.ends_with('/'))?;
            let wanted = format!("{module}.weight");
            let Some(name) = self.place_of(&wanted) else {
                return Err(refuse(
                    format_args!("{file} updates `{wanted}`, which the model does not have"),
                    format_args!("the adapter is of another model{}", self.nearest(&wanted)),
                ));
            };
            adapter.updates.insert(name, update);
        }
        self.take_whole(own, &whole, &mut adapter);
        self.take_task(&config);
        self.adapter = adapter;
        Ok(())
    }

    /// The name in this checkpoint of a tensor that may lack the base model's prefix, here or
    /// there.
    fn place_of(&self, name: &str) -> Option<String> {
        let exact = self.find(name).or_else(|| self.find(name.split_once('.')?.1));
        let prefixed = || {
            let mut ends = self.names().filter(|other| other.split_once('.').is_some_and(|(_, rest)| rest == name));
            ends.next().filter(|_| ends.next().is_none())
        };
        exact.map(|(found, _)| found).or_else(prefixed).map(str::to_owned)
    }

    /// Adds the adapter's whole tensors, in place of the model's where it has them.
    fn take_whole(&mut self, own: Tensors, whole: &[(String, String)], adapter: &mut Adapter) {
        let mut places = BTreeMap::new();
        for (name, stored) in whole.iter().filter(|(name, _)| !name.contains(".original_module.")) {
            let plain = name.replace(".base_layer.", ".").replace(".modules_to_save.", ".");
            // `peft` loads the copy that is saved under the plain name.
            if plain != *name && whole.iter().any(|(other, _)| *other == plain) {
                continue;
            }
            let place = self.place_of(&plain).unwrap_or(plain);
            adapter.replaced.insert(place.clone());
            places.insert(place, stored.clone());
        }
        self.tensors.adopt(own, places);
    }

    /// Gives the model the head that the adapter was trained with, if its own is another.
    fn take_task(&mut self, config: &Value) {
        let Some((_, class)) = TASKS.iter().find(|(task, _)| config["task_type"] == *task) else { return };
        let rows = LABELS
            .iter()
            .find_map(|name| self.tensors.entries.get(*name))
            .and_then(|entry: &Entry| entry.shape.first());
        let said = self.config.peek("architectures").and_then(|list| list[0].as_str());
        if said.is_none_or(|said| !said.ends_with(class)) {
            self.config.set("architectures", Value::from(vec![format!("Adapted{class}")]));
        }
        let labels = self.config.peek("id2label").and_then(Value::as_object).map(serde_json::Map::len);
        if let Some(rows) = rows.copied().filter(|rows| labels != Some(*rows)) {
            let named = (0..rows).map(|id| (id.to_string(), Value::from(format!("LABEL_{id}"))));
            self.config.set("id2label", Value::Object(named.collect()));
        }
    }
}

fn update(file: &str, module: &str, halves: [Option<Array>; 2], settings: &Settings, table: bool) -> Result<Update> {
    let [Some(a), Some(b)] = halves else {
        return Err(refuse(
            format_args!("{file} has one of the two matrices of `{module}`"),
            "the adapter is broken: download it again",
        ));
    };
    let (r, scale) = settings.scale(module);
    if !settings.is_target(module) || a.shape[0] as u64 != r || b.shape[1] as u64 != r {
        return Err(refuse(
            format_args!(
                "{file} updates `{module}` by {:?} times {:?}, which is not what `target_modules`, `r` and `rank_pattern` say",
                b.shape, a.shape
            ),
            format_args!("{CONFIG} and {file} are of different adapters: download them again"),
        ));
    }
    Ok(Update { a, b, scale, table })
}
