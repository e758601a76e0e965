//! An opened blob, and the calls that run it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use kinglet::format::blob::FORMAT_VERSION;
use kinglet::format::layout::{Role, Shape, roles};
use kinglet::format::spec::{Direction, Pooling, Task};
use kinglet::task::{Aggregation, Entities, Entity, kind, shifted_start};
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet::{AlignedVec, LoadError, MemoryPlan, Model, Session};
use kinglet_convert::fidelity::Fidelity;
use kinglet_convert::fit::{BOARDS, Fit};
use kinglet_convert::located::Located;
use kinglet_convert::quantize::dequantize;
use kinglet_convert::report::memory;
use kinglet_convert::weights::role_name;
use kinglet_convert::{fidelity, samples, tokenizer};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use self_cell::self_cell;
use serde_json::{Value, json};

use crate::background;
use crate::error::raise;
use crate::generate::{Generation, Request};
use crate::text;

/// The maximum number of tokens per tile on a desktop.
pub(crate) const TILE: usize = 128;

/// The parts of a blob that calls use.
pub(crate) struct Parts<'m> {
    pub(crate) model: Model<'m>,
    pub(crate) tokenizer: Option<Tokenizer<'m>>,
}

self_cell! {
    /// A blob's bytes, and the checked view of them.
    pub(crate) struct Opened {
        owner: AlignedVec,
        #[covariant]
        dependent: Parts,
    }
}

impl Opened {
    fn read(bytes: &[u8]) -> Result<Self> {
        Self::try_new(AlignedVec::from(bytes), |blob| {
            let model = Model::from_bytes(blob)?;
            let tokenizer = match Tokenizer::from_bytes(model.tokenizer_section()) {
                Err(LoadError::NoTokenizer) => None,
                tokenizer => Some(tokenizer?),
            };
            Ok(Parts { model, tokenizer })
        })
    }

    pub(crate) fn parts(&self) -> &Parts<'_> {
        self.borrow_dependent()
    }

    /// The head's outputs: one row per token in the order of the text, or a single row if the head
    /// pools. The decoder of an encoder-decoder reads `decoder_ids`, or by default its start token.
    fn rows(&self, input: Input, threads: usize) -> Result<Vec<Vec<i32>>> {
        let Input { mut ids, token_types, mut decoder_ids } = input;
        let model = &self.parts().model;
        let (spec, tokens) = (model.spec(), &model.manifest().tokens);
        let backward = spec.direction == Direction::Backward;
        if backward {
            ids.reverse();
        }
        if spec.encoder.is_some() && spec.decoder.is_some() && decoder_ids.is_empty() {
            // A generating decoder begins with its start token. The decoder of any other model
            // reads the encoder's text again, shifted right by one token.
            let writes = spec.head.task == Task::CausalLm;
            let start = if writes { tokens.decoder_start.or(tokens.bos) } else { shifted_start(tokens, &ids) };
            decoder_ids.push(start.with_context(no_start)?);
            if let (false, Some((_, rest))) = (writes, ids.split_last()) {
                decoder_ids.extend(rest);
            }
        }
        let target = if spec.encoder.is_some() { decoder_ids.len() } else { ids.len() };
        let plan = MemoryPlan::new(spec, target, ids.len(), target.max(ids.len()).clamp(1, TILE))?;
        let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes())?);
        let mut session = Session::with_plan(model, &mut arena, plan)?;
        session.set_threads(threads)?;
        let mut rows = fidelity::run(&mut session, &ids, &token_types, &decoder_ids)?;
        if backward && spec.head.pooling == Pooling::None {
            rows.reverse();
        }
        Ok(rows)
    }

    /// The properties of a model that the Python code uses.
    fn about(&self) -> Value {
        let Parts { model, tokenizer } = self.parts();
        let (spec, tokens) = (model.spec(), &model.manifest().tokens);
        json!({
            "task": spec.head.task.pipeline(),
            "decoder": spec.decoder.is_some(),
            "encoder": spec.encoder.is_some(),
            "backward": spec.direction == Direction::Backward,
            "positions": spec.encoder.or(spec.decoder).map(|stack| stack.max_positions),
            "fraction_bits": spec.numerics.fraction_bits,
            "normalize": spec.head.normalize,
            "width": spec.last_stack().map_or(0, |stack| spec.head.output_size(stack)),
            "mask": tokens.mask,
            "tokenizer": tokenizer.is_some(),
            "labels": model.labels().collect::<Vec<_>>(),
            "prompts": model.prompts().collect::<Vec<_>>(),
            "default_prompt": model.default_prompt(),
        })
    }

    /// Compares the blob with its checkpoint, on texts or on standard inputs.
    fn verify(&self, checkpoint: &Path, adapter: Option<&Path>, texts: &[String]) -> Result<Fidelity> {
        let Parts { model, tokenizer } = self.parts();
        let located = Located::find(checkpoint, true)?;
        let adapter = adapter.map(|adapter| Located::find(adapter, true)).transpose()?;
        let source = fidelity::open_source(&located.dir, adapter.map(|adapter| adapter.dir), model.spec())?;
        fidelity::check_source(&source, &located.dir, model.spec())?;
        let inputs = if texts.is_empty() {
            fidelity::standard_texts(&source, 6, 200, 0)?
        } else {
            let read = samples::read(&source, text::known(tokenizer.as_ref())?, texts.iter().map(String::as_str))?;
            read.into_iter().map(|(input, _)| input).collect()
        };
        let found = fidelity::compare(&source, model, &inputs, TILE, &|| ())?;
        if found.is_broken(&model.spec().numerics) {
            bail!("the blob does not compute what its checkpoint does: {found}\n{}", fidelity::ADVICE);
        }
        Ok(found)
    }

    fn tensor(&self, role: Role, shape: Shape) -> Result<kinglet_convert::weights::Tensor> {
        let model = &self.parts().model;
        let bytes = model.payload().get(model.tensor_offset(role)..).unwrap_or_default();
        let bytes = bytes.get(..usize::try_from(shape.bytes())?).context("the tensor lies in the payload")?;
        dequantize(model.spec(), role, shape, bytes)
    }

    fn inspect(&self) -> Result<Value> {
        let model = &self.parts().model;
        let (spec, manifest) = (model.spec(), model.manifest());
        Ok(json!({
            "format_version": FORMAT_VERSION,
            "bytes": self.borrow_owner().len(),
            "payload_bytes": model.payload().len(),
            "tokenizer_bytes": model.tokenizer_section().len(),
            "checksum": format!("{:08x}", model.checksum()),
            "task": spec.head.task.pipeline(),
            "spec": spec,
            "tokens": manifest.tokens,
            "generation": manifest.generation,
            "labels": model.labels().collect::<Vec<_>>(),
            "provenance": manifest.provenance,
            "memory": memory(spec)?,
        }))
    }
}

/// The name of a tensor, its number of columns (0 if it is not a matrix), and its values as
/// little-endian `f32`.
type Numbers<'py> = (String, usize, Bound<'py, PyByteArray>);

pub(crate) fn no_start() -> anyhow::Error {
    anyhow!("the model has no token that its output begins with\ngive `decoder_ids`")
}

/// The input of a model.
struct Input {
    ids: Vec<u32>,
    token_types: Vec<u8>,
    decoder_ids: Vec<u32>,
}

/// Converts a JSON value to a Python object.
fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (value.to_string(),))
}

/// A model behind the Python class `Model`.
#[pyclass(frozen, module = "kinglet._kinglet")]
pub(crate) struct Engine {
    opened: Arc<Opened>,
    threads: usize,
}

/// For each token its id, type, spelling, offsets in characters, its text (first or second), and
/// whether it continues the word of the previous token.
type Tokens = (Vec<u32>, Vec<u32>, Vec<String>, Vec<(usize, usize)>, Vec<Option<u8>>, Vec<bool>);

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, blob: &[u8], threads: usize) -> PyResult<Self> {
        let opened = py.detach(|| Opened::read(blob)).map_err(|error| raise(py, &error))?;
        Ok(Self { opened: Arc::new(opened), threads })
    }

    fn about<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.opened.about())
    }

    fn inspect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.opened.inspect().map_err(|error| raise(py, &error))?)
    }

    /// The fit of the blob for each known board.
    fn fit<'py>(&self, py: Python<'py>, tokens: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        let spec = self.opened.parts().model.spec();
        let bytes = self.opened.borrow_owner().len() as u64;
        let boards: Value = BOARDS.iter().map(|board| Fit::new(board, bytes, spec, tokens).json()).collect();
        object(py, &boards)
    }

    /// The dequantized weights that the runtime uses, and their biases.
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<Numbers<'py>>> {
        let model = &self.opened.parts().model;
        let numbers = |name: String, cols: usize, values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, cols, PyByteArray::new(py, &bytes))
        };
        let mut found = Vec::new();
        for (role, shape) in roles(model.spec()) {
            let tensor = self.opened.tensor(role, shape).map_err(|error| raise(py, &error))?;
            let cols = if let Shape::Matrix { cols, .. } = shape { cols } else { 0 };
            found.push(numbers(role_name(role), cols, &tensor.weight));
            if !tensor.bias.is_empty() {
                found.push(numbers(format!("{}.bias", role_name(role)), 0, &tensor.bias));
            }
        }
        Ok(found)
    }

    fn self_test(&self, py: Python<'_>) -> PyResult<()> {
        let test = || {
            let model = &self.opened.parts().model;
            let spec = model.spec();
            let stacks = [spec.encoder, spec.decoder].into_iter().flatten();
            let positions = stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(1);
            let plan = MemoryPlan::standard(spec, positions.min(kinglet::golden::Golden::MAX_TOKENS))?;
            let mut arena = AlignedVec::zeroed(usize::try_from(plan.bytes())?);
            Ok(model.self_test(&mut arena)?)
        };
        py.detach(test).map_err(|error: anyhow::Error| raise(py, &error))
    }

    /// The agreement of the blob with its checkpoint.
    fn verify<'py>(
        &self,
        py: Python<'py>,
        checkpoint: PathBuf,
        adapter: Option<PathBuf>,
        texts: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened.clone();
        let found = background::run(py, move |_| opened.verify(&checkpoint, adapter.as_deref(), &texts))?;
        object(py, &json!(found))
    }

    /// The head's outputs as little-endian 32-bit integers, and the number of rows.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        ids: Vec<u32>,
        token_types: Vec<u8>,
        decoder_ids: Vec<u32>,
    ) -> PyResult<(Bound<'py, PyByteArray>, usize)> {
        let (opened, threads) = (self.opened.clone(), self.threads);
        let run = move || {
            let rows = opened.rows(Input { ids, token_types, decoder_ids }, threads)?;
            Ok((rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(), rows.len()))
        };
        let (bytes, count) = py.detach(run).map_err(|error: anyhow::Error| raise(py, &error))?;
        Ok((PyByteArray::new(py, &bytes), count))
    }

    fn tokenize(
        &self,
        py: Python<'_>,
        text: &str,
        pair: Option<&str>,
        add_special_tokens: bool,
        max_length: Option<usize>,
    ) -> PyResult<Tokens> {
        let options = EncodeOptions { add_special_tokens, max_length };
        let run = || {
            let tokenizer = text::known(self.opened.parts().tokenizer.as_ref())?;
            let tokens = text::encode(Some(tokenizer), text, pair, &options)?;
            Ok((
                tokens.iter().map(|token| token.id).collect(),
                tokens.iter().map(|token| token.type_id.into()).collect(),
                tokens.iter().map(|token| tokenizer::spelling(tokenizer, token.id)).collect(),
                text::offsets(&tokens, text, pair),
                tokens.iter().map(|token| token.text).collect(),
                tokens.iter().map(|token| token.continues).collect(),
            ))
        };
        py.detach(run).map_err(|error: anyhow::Error| raise(py, &error))
    }

    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        let run = || {
            let tokenizer = text::known(self.opened.parts().tokenizer.as_ref())?;
            Ok(tokenizer::decode(tokenizer, &ids, skip_special_tokens))
        };
        py.detach(run).map_err(|error: anyhow::Error| raise(py, &error))
    }

    /// Groups labelled tokens into entities: kind, score, first token, and the token after the
    /// last. `scores` is `None` for special tokens.
    fn entities(
        &self,
        scores: Vec<Option<Vec<f32>>>,
        continues: Vec<bool>,
        how: &str,
    ) -> PyResult<Vec<(String, f32, usize, usize)>> {
        let aggregation = match how {
            "simple" => Aggregation::Simple,
            "first" => Aggregation::First,
            "average" => Aggregation::Average,
            _ => Aggregation::Max,
        };
        let names = self.opened.parts().model.manifest().labels;
        let (mut word, mut found) = (vec![0.0; names.lines().count()], Vec::new());
        let mut each = |entity: Entity| found.push(entity);
        let mut entities = Entities::new(names, aggregation, &mut word);
        for (scores, continues) in scores.iter().zip(continues) {
            match scores {
                Some(scores) => entities.push(scores, continues, &mut each),
                None => entities.skip(&mut each),
            }
        }
        entities.end(&mut each);
        let named = |label: usize| kind(names.lines().nth(label).unwrap_or_default()).to_owned();
        Ok(found.into_iter().map(|entity| (named(entity.label), entity.score, entity.start, entity.end)).collect())
    }

    fn generate(&self, py: Python<'_>, request: Request) -> PyResult<Generation> {
        let (opened, threads) = (self.opened.clone(), self.threads);
        Generation::begin(opened, request, threads).map_err(|error| raise(py, &error))
    }
}
