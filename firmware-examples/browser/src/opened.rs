//! An opened blob. It is leaked, because it lives as long as its instance; sessions and decoders
//! that borrow it can then be kept between calls.

use anyhow::{Result, anyhow};
use kinglet::format::blob::FORMAT_VERSION;
use kinglet::format::spec::{Direction, Pooling, StackSpec, Task};
use kinglet::golden::Golden;
use kinglet::task::shifted_start;
use kinglet::tokenizer::Tokenizer;
use kinglet::{AlignedVec, LoadError, MemoryPlan, Model, RunError, Session};
use serde_json::{Value, json};

use crate::fit::{BOARDS, Fit};

/// The maximum number of tokens per tile.
const TILE: usize = 32;

/// A model and its tokenizer.
pub(crate) struct Opened {
    bytes: usize,
    pub(crate) model: &'static Model<'static>,
    tokenizer: Option<&'static Tokenizer<'static>>,
    pub(crate) bad_words: &'static [&'static [u32]],
}

impl Opened {
    pub(crate) fn read(blob: AlignedVec) -> Result<Self> {
        // Only a valid blob is leaked.
        Model::from_bytes(&blob)?;
        let blob: &'static [u8] = Box::leak(Box::new(blob));
        let model: &'static Model<'static> = Box::leak(Box::new(Model::from_bytes(blob)?));
        let tokenizer = match Tokenizer::from_bytes(model.tokenizer_section()) {
            Err(LoadError::NoTokenizer) => None,
            tokenizer => Some(&*Box::leak(Box::new(tokenizer?))),
        };
        let bad_words = model.manifest().tokens.each_bad_word().collect::<Vec<_>>().leak();
        Ok(Self { bytes: blob.len(), model, tokenizer, bad_words })
    }

    pub(crate) fn tokenizer(&self) -> Result<&'static Tokenizer<'static>> {
        self.tokenizer.ok_or_else(|| anyhow!("the model has no tokenizer\ngive token ids"))
    }

    /// The properties of the model that the JavaScript code uses.
    pub(crate) fn about(&self) -> Value {
        let (spec, tokens) = (self.model.spec(), &self.model.manifest().tokens);
        json!({
            "task": spec.head.task.pipeline(),
            "head": format!("{:?}", spec.head.task),
            "encoder": spec.encoder.is_some(),
            "decoder": spec.decoder.is_some(),
            "backward": spec.direction == Direction::Backward,
            "positions": self.positions(),
            "fractionBits": spec.numerics.fraction_bits,
            "width": spec.last_stack().map_or(0, |stack| spec.head.output_size(stack)),
            "bytes": self.bytes,
            "mask": tokens.mask,
            "maskText": tokens.mask.and_then(|mask| self.tokenizer.map(|tokenizer| spelling(tokenizer, mask))),
            "tokenizer": self.tokenizer.is_some(),
            "labels": self.model.labels().collect::<Vec<_>>(),
            "prompts": self.model.prompts().map(|(name, text)| (name.to_owned(), text.into())).collect::<serde_json::Map<_, _>>(),
            "defaultPrompt": self.model.default_prompt(),
        })
    }

    pub(crate) fn inspect(&self) -> Value {
        let (model, provenance) = (self.model, &self.model.manifest().provenance);
        let stacks = [model.spec().encoder, model.spec().decoder].into_iter().flatten();
        let stack = |stack: StackSpec| {
            json!({
                "layers": stack.num_hidden_layers, "hiddenSize": stack.hidden_size,
                "heads": stack.block.attention.num_attention_heads, "vocabulary": stack.embedding.vocab_size,
                "positions": stack.max_positions,
            })
        };
        json!({
            "formatVersion": FORMAT_VERSION,
            "bytes": self.bytes,
            "payloadBytes": model.payload().len(),
            "tokenizerBytes": model.tokenizer_section().len(),
            "goldenBytes": model.golden_section().len(),
            "checksum": format!("{:08x}", model.checksum()),
            "stacks": stacks.map(stack).collect::<Vec<_>>(),
            "source": provenance.source,
        })
    }

    /// The maximum number of tokens of a text.
    pub(crate) fn positions(&self) -> usize {
        let stacks = [self.model.spec().encoder, self.model.spec().decoder].into_iter().flatten();
        stacks.map(|stack| stack.max_positions as usize).min().unwrap_or(1)
    }

    pub(crate) fn memory(&self, tokens: usize) -> Result<Value> {
        let spec = self.model.spec();
        let plan = MemoryPlan::standard(spec, tokens)?;
        Ok(json!({ "tokens": tokens, "arena": plan.bytes(), "cache": plan.cache_bytes(spec) }))
    }

    pub(crate) fn fit(&self, tokens: Option<usize>) -> Result<Value> {
        let spec = self.model.spec();
        Ok(BOARDS.iter().map(|board| Fit::new(board, self.bytes as u64, spec, tokens).json()).collect())
    }

    /// Runs the golden vectors in the blob, and returns their number.
    pub(crate) fn self_test(&self) -> Result<Value> {
        let plan = MemoryPlan::standard(self.model.spec(), self.positions().min(Golden::MAX_TOKENS))?;
        self.model.self_test(&mut arena(&plan)?)?;
        Ok(json!({ "vectors": Golden::all(self.model.golden_section()).count() }))
    }

    /// The memory plan for `source` tokens of the encoder and `target` tokens of the decoder.
    pub(crate) fn plan(&self, source: usize, target: usize) -> Result<MemoryPlan> {
        Ok(MemoryPlan::new(self.model.spec(), target, source, target.max(source).clamp(1, TILE))?)
    }

    /// Calls `run` with a session for a text of `tokens` tokens.
    pub(crate) fn with_session<T>(
        &self,
        tokens: usize,
        run: impl FnOnce(&mut Session<'_, '_>) -> Result<T, RunError>,
    ) -> Result<T> {
        // A missing stack needs no memory.
        let (source, target) = (self.source(tokens), if self.model.spec().decoder.is_some() { tokens } else { 0 });
        let plan = self.plan(source, target)?;
        let mut arena = arena(&plan)?;
        Ok(run(&mut Session::with_plan(self.model, &mut arena, plan)?)?)
    }

    fn source(&self, tokens: usize) -> usize {
        if self.model.spec().encoder.is_some() { tokens } else { 0 }
    }

    /// The head's outputs: one row per token in the order of the text, or a single row if the head
    /// pools. Returns the concatenated rows, and the length of a row.
    pub(crate) fn rows(&self, mut ids: Vec<u32>, types: &[u8], mut decoder_ids: Vec<u32>) -> Result<(Vec<i32>, usize)> {
        let (spec, tokens) = (self.model.spec(), &self.model.manifest().tokens);
        let (pools, backward) = (spec.head.pooling != Pooling::None, spec.direction == Direction::Backward);
        let (reads, writes) = (spec.encoder.is_some(), spec.decoder.is_some());
        if backward {
            ids.reverse();
        }
        if reads && writes && decoder_ids.is_empty() {
            // A generating decoder begins with its start token. The decoder of any other model
            // reads the encoder's text again, shifted right by one token.
            let begins = spec.head.task == Task::CausalLm;
            let start = if begins { tokens.decoder_start.or(tokens.bos) } else { shifted_start(tokens, &ids) };
            decoder_ids.push(start.ok_or_else(no_start)?);
            if let (false, Some((_, rest))) = (begins, ids.split_last()) {
                decoder_ids.extend(rest);
            }
        }
        let target = if reads { &decoder_ids } else { &ids };
        let plan = self.plan(self.source(ids.len()), target.len())?;
        let mut arena = arena(&plan)?;
        let mut session = Session::with_plan(self.model, &mut arena, plan)?;
        let mut rows: Vec<Vec<i32>> = Vec::new();
        if reads {
            session.encode(&ids, types)?;
        }
        match (writes, pools) {
            (false, false) => {
                for position in 0..ids.len() {
                    rows.push(session.logits_at(position)?.to_vec());
                }
            }
            (true, false) => session.prefill_each(target, |_, logits| rows.push(logits.to_vec()))?,
            (writes, true) => {
                if writes {
                    session.prefill(target)?;
                }
                rows.push(session.logits()?.to_vec());
            }
        }
        if backward && !pools {
            rows.reverse();
        }
        let width = rows.first().map_or(0, Vec::len);
        Ok((rows.concat(), width))
    }
}

/// Allocates the memory of a plan.
pub(crate) fn arena(plan: &MemoryPlan) -> Result<AlignedVec> {
    Ok(AlignedVec::zeroed(usize::try_from(plan.bytes())?))
}

pub(crate) fn no_start() -> anyhow::Error {
    anyhow!("the model has no token that its output begins with\ngive `decoderIds`")
}

/// The spelling of a token in the vocabulary.
fn spelling(tokenizer: &Tokenizer<'_>, id: u32) -> String {
    let mut bytes = Vec::new();
    tokenizer.pieces(id, &mut |piece| bytes.extend_from_slice(piece));
    String::from_utf8_lossy(&bytes).into_owned()
}
