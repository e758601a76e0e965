//! Runs inputs with the integer runtime on a blob, or with the reference on a checkpoint, behind
//! one interface.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use kinglet::format::blob::{GenerationDefaults, SpecialTokens};
use kinglet::format::spec::{Direction, HeadSpec, ModelSpec, Pooling, Task};
use kinglet::golden::Fingerprint;
use kinglet::task::{GenerateOptions, shifted_start};
use kinglet::{AlignedVec, LoadError, MemoryPlan, Model, Session};
use kinglet_convert::checkpoint::Prompts;
use kinglet_convert::convert::special_tokens;
use kinglet_convert::family::Options;
use kinglet_convert::inputs::{Input, Reader};
use kinglet_convert::located::Located;
use kinglet_convert::opened::Source;
use kinglet_convert::reference::Reference;
use kinglet_convert::tokenizer;
use kinglet_convert::{fidelity, files};

use super::{number, output};

/// The options that choose a model and what runs it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// The blob, or with --reference the checkpoint's folder.
    model: Option<PathBuf>,
    /// Run the f32 reference on the checkpoint instead of the blob.
    #[arg(long, num_args = 0..=1, value_name = "SRC")]
    reference: Option<Option<PathBuf>>,
    /// The folder of a `peft` adapter (LoRA) to merge into the checkpoint, for --reference.
    #[arg(long, value_name = "DIR", requires = "reference")]
    adapter: Option<PathBuf>,
    /// The direction in which the checkpoint was trained to read, for --reference; by default what
    /// its folder says, or forward.
    #[arg(long)]
    direction: Option<DirectionArg>,
    /// Threads. With --input each runs texts of its own, otherwise all share the one text. Results
    /// do not depend on the number. Not for --reference.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = number::threads())]
    threads: usize,
}

/// The direction in which a decoder reads.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum DirectionArg {
    /// Left to right.
    Forward,
    /// Right to left: the checkpoint was trained on reversed text.
    Backward,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::Forward => Self::Forward,
            DirectionArg::Backward => Self::Backward,
        }
    }
}

/// A loaded model.
pub(crate) enum Engine {
    /// The integer runtime, and the number of its threads.
    Blob(Box<Model<'static>>, usize),
    /// The reference, and the section of its tokenizer.
    Checkpoint(Box<Source>, &'static [u8]),
}

impl ModelArgs {
    /// Loads the model.
    pub(crate) fn load(&self) -> Result<Engine> {
        let missing = || anyhow!("no model was named\ngive a blob, or --reference and a checkpoint's folder");
        match &self.reference {
            None => {
                let path = self.model.as_deref().ok_or_else(missing)?;
                if path.is_dir() {
                    return Err(anyhow!(
                        "{} is a folder, not a blob\nconvert it first, or add --reference to run the checkpoint itself",
                        path.display()
                    ));
                }
                // The program opens and checks one blob, and never frees it.
                let blob = Box::leak(Box::new(read_blob(path)?));
                Ok(Engine::Blob(Box::new(open(blob)?), self.threads))
            }
            Some(source) => {
                let located = locate(source.as_deref().or(self.model.as_deref()).ok_or_else(missing)?)?;
                let adapter = self.adapter.as_deref().map(locate).transpose()?;
                let path = located.dir.as_path();
                let options = Options {
                    direction: self.direction.map(Into::into),
                    adapter: adapter.map(|adapter| adapter.dir),
                    ..Options::default()
                };
                let (section, notes) = tokenizer::build_noted(path)?.unwrap_or_default();
                notes.iter().for_each(|note| output::note(note));
                Ok(Engine::Checkpoint(Box::new(Source::open(path, &options)?), section.leak()))
            }
        }
    }
}

/// Reads a blob into aligned memory.
pub(crate) fn read_blob(path: &Path) -> Result<AlignedVec> {
    let bytes = files::read(path, u64::MAX).with_context(|| format!("reading {}", path.display()))?;
    Ok(AlignedVec::from(bytes.as_slice()))
}

/// Checks and opens a blob.
pub(crate) fn open(blob: &[u8]) -> Result<Model<'_>> {
    let again = |error: LoadError| match error {
        LoadError::UnsupportedVersion { found, supported } => {
            anyhow!(
                "the blob is of format version {found}, and this program reads {supported}\nconvert the checkpoint again"
            )
        }
        _ => anyhow!("{error}\nconvert the checkpoint again"),
    };
    Model::from_bytes(blob).map_err(again)
}

/// An arena for a plan, on the heap.
pub(crate) fn arena(plan: &MemoryPlan) -> Result<AlignedVec> {
    Ok(AlignedVec::zeroed(usize::try_from(plan.bytes())?))
}

/// A plan for an input and `more` generated tokens that runs fast on the desktop: a tile has all
/// tokens, up to 128.
pub(crate) fn plan(spec: &ModelSpec, input: &Input, more: usize) -> Result<MemoryPlan> {
    let target = if spec.encoder.is_some() { input.decoder_ids.len() } else { input.ids.len() } + more;
    Ok(MemoryPlan::new(spec, target, input.ids.len(), target.max(input.ids.len()).clamp(1, 128))?)
}

/// Rows of results as real numbers and, if the runtime computed them, as integers.
pub(crate) struct Rows {
    pub(crate) real: Vec<Vec<f32>>,
    pub(crate) integers: Option<Vec<Vec<i32>>>,
}

impl Rows {
    /// The fingerprint of the rows, as firmware prints it.
    pub(crate) fn hash(&self) -> Option<String> {
        let rows = self.integers.as_ref()?;
        let mut fingerprint = Fingerprint::default();
        rows.iter().for_each(|row| fingerprint.update(row));
        Some(format!("{:08x}", fingerprint.value()))
    }
}

/// The properties of a model.
pub(crate) struct About {
    /// The architecture.
    pub(crate) spec: ModelSpec,
    /// The special tokens.
    pub(crate) tokens: SpecialTokens,
    /// The defaults for generated text.
    pub(crate) generation: GenerationDefaults,
    /// Names of the head's outputs.
    pub(crate) labels: Vec<String>,
    /// The prompts for texts.
    pub(crate) prompts: Prompts,
}

impl About {
    /// The checkpoint's restrictions on a text that begins with `begun` tokens. The limit on new
    /// tokens is the one `asked` for, or the checkpoint's, or the `room` in the model.
    pub(crate) fn restrictions<'o>(
        &'o self,
        bad_words: &'o [&'o [u32]],
        begun: usize,
        asked: Option<usize>,
        room: usize,
    ) -> Result<GenerateOptions<'o>> {
        let (tokens, defaults) = (&self.tokens, &self.generation);
        let said = asked.or_else(|| defaults.max_new_tokens_after(begun));
        if said == Some(0) {
            bail!(
                "there are {begun} tokens to begin with, and the checkpoint's `max_length` allows no more\nsay how many to write with --max-new-tokens"
            );
        }
        Ok(GenerateOptions {
            stop: &tokens.eos,
            suppressed: &tokens.suppressed,
            suppressed_first: &tokens.suppressed_first,
            bad_words,
            min_new_tokens: defaults.min_new_tokens_after(begun),
            no_repeat_ngram_size: defaults.no_repeat_ngram_size.into(),
            forced_bos: tokens.forced_bos,
            // A length that only the room limits is not the text's end.
            forced_eos: tokens.forced_eos.filter(|_| said.is_some()),
            // The last token that is written need not be read.
            ..GenerateOptions::new(said.map_or(room, |said| said.min(room + 1)))
        })
    }
}

impl Engine {
    /// The properties of the model.
    pub(crate) fn about(&self) -> Result<About> {
        match self {
            Self::Blob(model, _) => {
                let manifest = model.manifest();
                Ok(About {
                    spec: *model.spec(),
                    tokens: manifest.tokens.clone(),
                    generation: manifest.generation,
                    labels: model.labels().map(str::to_owned).collect(),
                    prompts: Prompts {
                        default: model.default_prompt().map(str::to_owned),
                        list: model.prompts().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
                    },
                })
            }
            Self::Checkpoint(source, _) => {
                let special = &source.mapping.special;
                Ok(About {
                    spec: *source.spec(),
                    tokens: special_tokens(special, source.spec())?,
                    generation: special.generation,
                    labels: source.mapping.labels.clone(),
                    prompts: source.prompts.clone(),
                })
            }
        }
    }

    /// The tokenizer's tables; empty without a tokenizer.
    pub(crate) fn tokenizer_section(&self) -> &'static [u8] {
        match self {
            Self::Blob(model, _) => model.tokenizer_section(),
            Self::Checkpoint(_, section) => section,
        }
    }

    /// The reader of texts for the model.
    pub(crate) fn reader(&self) -> Result<Reader> {
        let section = self.tokenizer_section();
        let spec = match self {
            Self::Blob(model, _) => model.spec(),
            Self::Checkpoint(source, _) => source.spec(),
        };
        let limit = spec.encoder.or(spec.decoder).map(|stack| stack.max_positions as usize);
        Ok(Reader { limit, ..Reader::new(section)? })
    }

    /// The output of the head: a row for each token in the order of the text, or one row if the
    /// head pools.
    pub(crate) fn rows(&self, input: &Input) -> Result<Rows> {
        let threads = if let Self::Blob(_, threads) = self { *threads } else { 1 };
        self.rows_in(&mut AlignedVec::zeroed(0), threads, input)
    }

    /// Passes the output of the head for each input to `take`, in order. Each thread runs an input
    /// of its own; all threads share a single input.
    pub(crate) fn each(&self, inputs: &[Input], mut take: impl FnMut(&Input, Rows) -> Result<()>) -> Result<()> {
        let threads = if let Self::Blob(_, threads) = self { *threads } else { 1 };
        if let [input] = inputs {
            return take(input, self.rows(input)?);
        }
        let bar = output::bar_beside_answers(inputs.len());
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads.min(inputs.len()) {
                let (next, sender) = (&next, sender.clone());
                scope.spawn(move || {
                    let mut arena = AlignedVec::zeroed(0);
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(input) = inputs.get(at) else { break };
                        // The receiver is gone once an input has failed.
                        if sender.send((at, self.rows_in(&mut arena, 1, input))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut early = BTreeMap::new();
            let mut taken = 0;
            for (at, rows) in receiver {
                early.insert(at, rows);
                while let Some(rows) = early.remove(&taken) {
                    take(&inputs[taken], rows?)?;
                    taken += 1;
                    bar.inc(1);
                }
            }
            bar.finish_and_clear();
            Ok(())
        })
    }

    /// Like [`rows`](Self::rows), with `threads` threads and in an arena that grows as needed.
    fn rows_in(&self, arena: &mut AlignedVec, threads: usize, input: &Input) -> Result<Rows> {
        let (spec, tokens) = match self {
            Self::Blob(model, _) => (*model.spec(), model.manifest().tokens.clone()),
            Self::Checkpoint(source, _) => (*source.spec(), special_tokens(&source.mapping.special, source.spec())?),
        };
        let mut input = input.clone();
        let backward = spec.direction == Direction::Backward;
        if backward {
            input.ids.reverse();
        }
        if spec.encoder.is_some() && spec.decoder.is_some() && input.decoder_ids.is_empty() {
            // A model that writes starts with a token; any other reads the text again, shifted by a
            // token.
            let writes = spec.head.task == Task::CausalLm;
            let start = if writes { tokens.decoder_start.or(tokens.bos) } else { shifted_start(&tokens, &input.ids) };
            let start =
                start.context("the model does not say which token its output begins with\ngive --decoder-ids")?;
            input.decoder_ids.push(start);
            if let (false, Some((_, rest))) = (writes, input.ids.split_last()) {
                input.decoder_ids.extend(rest);
            }
        }
        let mut rows = match self {
            Self::Blob(model, _) => {
                let plan = plan(&spec, &input, 0)?;
                if (arena.len() as u64) < plan.bytes() {
                    *arena = self::arena(&plan)?;
                }
                let mut session = Session::with_plan(model, arena, plan)?;
                session.set_threads(threads)?;
                let integers = fidelity::run(&mut session, &input.ids, &input.token_types, &input.decoder_ids)?;
                let unit = libm::ldexpf(1.0, -i32::from(spec.numerics.fraction_bits));
                let real = integers.iter().map(|row| row.iter().map(|&x| x as f32 * unit).collect()).collect();
                Rows { real, integers: Some(integers) }
            }
            Self::Checkpoint(source, _) => {
                let types: Vec<u32> = input.token_types.iter().map(|&token_type| token_type.into()).collect();
                let mut reference = Reference::new(&spec, &source.weights);
                let rows = reference.forward(&input.ids, &types, &input.decoder_ids)?;
                Rows { real: rows.rows().map(<[f32]>::to_vec).collect(), integers: None }
            }
        };
        if backward && spec.head.pooling == Pooling::None {
            rows.real.reverse();
            rows.integers.iter_mut().for_each(|rows| rows.reverse());
        }
        if let Self::Blob(..) = self {
            normalize(&spec.head, &mut rows.real);
        }
        Ok(rows)
    }
}

/// Scales vectors to unit length if the head asks for it. The reference has done this already.
fn normalize(head: &HeadSpec, rows: &mut [Vec<f32>]) {
    if head.normalize {
        for row in rows {
            let length = libm::sqrtf(row.iter().map(|x| x * x).sum());
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
    }
}

/// The folder of a checkpoint, or a download of a model of the Hub.
pub(crate) fn locate(named: &Path) -> Result<Located> {
    Located::find(named, !output::is_quiet())
}

/// The name of a task in messages.
pub(crate) fn task_name(task: Task) -> &'static str {
    match task {
        Task::Hidden => "hidden states",
        Task::Embedding => "embedding",
        Task::CausalLm => "causal language model",
        Task::MaskedLm => "masked language model",
        Task::Classification => "classification",
        Task::MultiLabelClassification => "multi-label classification",
        Task::Regression => "regression",
        Task::TokenClassification => "token classification",
        Task::QuestionAnswering => "question answering",
        Task::ReplacedToken => "replaced token detection",
    }
}
