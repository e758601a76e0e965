//! Cuts a vocabulary to the tokens that some texts use: in the tokenizer, and in every tensor that
//! has a row for each token.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use kinglet::format::layout::{HeadPart, Role, Stack, StackPart, roles};
use kinglet::format::spec::{ModelSpec, OutputProjection, Pooling, StackSpec, Task};
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use serde::Serialize;
use serde_json::Value;

use crate::family::SpecialTokens;
use crate::opened::Source;
use crate::tokenizer::{self, Kept, Wanted, encode, spelling};
use crate::weights::Tensor;
use crate::{files, refuse};

/// The tokens that a user wants to keep.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Texts whose tokens must stay the same, each with the second text of a pair.
    pub texts: Vec<(String, Option<String>)>,
    /// Tokens by id, repeated as often as they are used.
    pub ids: Vec<u32>,
    /// Tokens as the vocabulary spells them.
    pub tokens: Vec<String>,
    /// The number of tokens to keep.
    pub size: Option<usize>,
}

impl Wish {
    /// Reads a file: one text per line; `.jsonl` with a text, a list of ids or an object on each
    /// line; or `.json` with one list of tokens or ids.
    ///
    /// # Errors
    /// When the file cannot be read, and the errors of [`parse`](Self::parse).
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(file, &files::read_text(file).with_context(|| format!("reading {}", file.display()))?)
    }

    /// Reads the content of a file, whose format its name tells.
    ///
    /// # Errors
    /// When the content is empty or has another format; the message names the line.
    pub fn parse(file: &Path, content: &str) -> Result<Self> {
        let mut wish = Self::default();
        let kind = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match kind {
            "json" => wish.add_list(file, content)?,
            "jsonl" => {
                for (number, line) in (1..).zip(content.lines()).filter(|(_, line)| !line.trim().is_empty()) {
                    wish.add_line(line).with_context(|| format!("{} line {number}", file.display()))?;
                }
            }
            _ => {
                let lines = content.lines().filter(|line| !line.trim().is_empty());
                wish.texts.extend(lines.map(|line| (line.to_owned(), None)));
            }
        }
        if wish.texts.is_empty() && wish.ids.is_empty() && wish.tokens.is_empty() {
            return Err(refuse(
                format_args!("{} has no texts and no tokens", file.display()),
                "give a text on each line, or a list of tokens or ids in a `.json` file",
            ));
        }
        Ok(wish)
    }

    fn add_list(&mut self, file: &Path, content: &str) -> Result<()> {
        let wrong = |what: String| refuse(format_args!("{}: {what}", file.display()), "give a list of tokens or ids");
        let value: Value = serde_json::from_str(content).map_err(|error| wrong(error.to_string()))?;
        for item in value.as_array().ok_or_else(|| wrong("it is not a list".to_owned()))? {
            match (item, id(item)) {
                (Value::String(token), _) => self.tokens.push(token.clone()),
                (_, Some(id)) => self.ids.push(id),
                _ => return Err(wrong(format!("{item} is neither a token nor an id"))),
            }
        }
        Ok(())
    }

    fn add_line(&mut self, line: &str) -> Result<()> {
        let action = "each line must be a JSON string, a list of ids, or an object with `text` or `ids`";
        let wrong = |what: &dyn core::fmt::Display| anyhow!("{what}\n{action}");
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(&error))?;
        let ids = |list: &Value| -> Result<Vec<u32>> {
            let list = list.as_array().map_or(&[][..], Vec::as_slice);
            list.iter().map(|item| id(item).ok_or_else(|| wrong(&format_args!("{item} is not a token id")))).collect()
        };
        match &value {
            Value::String(text) => self.texts.push((text.clone(), None)),
            Value::Array(_) => self.ids.extend(ids(&value)?),
            Value::Object(fields) if fields.contains_key("text") || fields.contains_key("ids") => {
                let text = |key: &str| value[key].as_str().map(str::to_owned);
                self.texts.extend(text("text").map(|first| (first, text("pair"))));
                self.ids.extend(ids(&value["ids"])?);
                self.ids.extend(ids(&value["decoder_ids"])?);
            }
            _ => return Err(wrong(&"it is neither a text, a list nor such an object")),
        }
        Ok(())
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A vocabulary after the cut.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The tokens that are kept.
    pub kept: Kept,
    /// The tokenizer's section with these tokens.
    pub section: Vec<u8>,
    /// Notes on the choice for the user.
    pub notes: Vec<String>,
}

/// The savings of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The number of tokens that are kept.
    pub kept: usize,
    /// The number of tokens before the cut.
    pub of: usize,
    /// The bytes of weights and tokenizer that the blob saves.
    pub bytes_saved: usize,
}

impl Pruned {
    /// Compares a model and its tokenizer's bytes before and after the cut.
    pub fn between(before: (ModelSpec, usize), after: (&ModelSpec, usize)) -> Self {
        let tokens = |spec: &ModelSpec| first(spec).map_or(0, |stack| stack.embedding.vocab_size as usize);
        let bytes = |spec: &ModelSpec| roles(spec).map(|(_, shape)| shape.bytes() as usize).sum::<usize>();
        let bytes_saved = (bytes(&before.0) + before.1).saturating_sub(bytes(after.0) + after.1);
        Self { kept: tokens(after.0), of: tokens(&before.0), bytes_saved }
    }
}

impl Vocabulary {
    /// Chooses the tokens to keep: those of the texts in `wish`, and the tokens that they need.
    /// `full` is the tokenizer of the folder. If `source` is given, its special tokens and prompts
    /// count, too.
    ///
    /// # Errors
    /// When a token does not exist, or the size is too small; the message names it.
    pub fn choose(folder: &Path, full: &Tokenizer<'_>, wish: &Wish, source: Option<&Source>) -> Result<Self> {
        let description = tokenizer::describe(folder)?.context("the folder has no tokenizer")?;
        let prompts: Vec<&str> =
            source.map_or(Vec::new(), |source| source.prompts.list.iter().map(|(_, text)| text.as_str()).collect());
        let mut wanted = Wanted { size: wish.size, ..Wanted::default() };
        wanted.special.extend(source.iter().flat_map(|source| special_ids(source)));
        let texts = || wish.texts.iter().flat_map(|text| prompts.iter().copied().chain([""]).map(move |p| (p, text)));
        for (prompt, text) in texts() {
            tokens(full, prompt, text)?.into_iter().for_each(|id| *wanted.used.entry(id).or_insert(0) += 1);
        }
        for id in named(full, wish, source)? {
            *wanted.used.entry(id).or_insert(0) += 1;
        }
        let choice = tokenizer::choose(&description, full, &wanted)?;
        let section = tokenizer::section_of(&description, Some(&choice.kept))?;
        let cut = Tokenizer::from_bytes(&section)?;
        let mut notes: Vec<String> = choice.note.into_iter().collect();
        if choice.left_out > 0 {
            notes.push(format!(
                "{} of the {} tokens that the texts use do not fit a vocabulary of {}: the texts become other tokens",
                choice.left_out,
                wanted.used.len(),
                choice.kept.old_ids().len()
            ));
        } else {
            for (prompt, text) in texts() {
                let old: Option<Vec<u32>> =
                    tokens(full, prompt, text)?.into_iter().map(|id| choice.kept.new_id(id)).collect();
                if old.as_ref() != Some(&tokens(&cut, prompt, text)?) {
                    bail!(
                        "{:?} becomes other tokens with the smaller vocabulary\nthis is a mistake in Kinglet: please report it",
                        text.0
                    );
                }
            }
        }
        Ok(Self { kept: choice.kept, section, notes })
    }
}

fn tokens(tokenizer: &Tokenizer<'_>, prompt: &str, (text, pair): &(String, Option<String>)) -> Result<Vec<u32>> {
    let text = format!("{prompt}{text}");
    let tokens = encode(tokenizer, &text, pair.as_deref(), &EncodeOptions::default())?;
    Ok(tokens.iter().map(|token| token.id).collect())
}

/// The tokens that the user named, by id.
fn named(full: &Tokenizer<'_>, wish: &Wish, source: Option<&Source>) -> Result<Vec<u32>> {
    let rows = source.and_then(|source| first(source.spec())).map_or(0, |stack| stack.embedding.vocab_size);
    let size = full.vocab_size();
    if let Some(id) = wish.ids.iter().find(|&&id| !full.is_known(id) && id >= rows) {
        let all = size.max(rows);
        return Err(refuse(
            format_args!("the file has the id {id}, and the vocabulary is of {all} tokens"),
            "give ids of the checkpoint's own vocabulary",
        ));
    }
    let by_name: BTreeMap<String, u32> = match wish.tokens.is_empty() {
        true => BTreeMap::new(),
        false => (0..size).filter(|&id| full.is_known(id)).map(|id| (spelling(full, id), id)).collect(),
    };
    let ids = wish.tokens.iter().map(|token| {
        by_name.get(token).copied().ok_or_else(|| {
            refuse(
                format_args!("the file has the token {token:?}, which the vocabulary does not have"),
                "write tokens as the vocabulary does, such as \"##ing\", \"\u{120}the\" or \"\u{2581}the\"; `kinglet tokenize` shows them",
            )
        })
    });
    wish.ids.iter().copied().map(Ok).chain(ids).collect()
}

fn first(spec: &ModelSpec) -> Option<&StackSpec> {
    spec.encoder.as_ref().or(spec.decoder.as_ref())
}

/// The size of a model's vocabulary: of its encoder's, if it has two.
pub fn vocab_size(spec: &ModelSpec) -> u32 {
    first(spec).map_or(0, |stack| stack.embedding.vocab_size)
}

/// An architecture with a vocabulary of another size.
pub fn resize(spec: &ModelSpec, vocab_size: u32) -> ModelSpec {
    let mut resized = *spec;
    for stack in [&mut resized.encoder, &mut resized.decoder].into_iter().flatten() {
        stack.embedding.vocab_size = vocab_size;
    }
    if is_by_token(spec, Role::Head(HeadPart::Output)) || spec.head.output == OutputProjection::Tied {
        resized.head.num_outputs = vocab_size;
    }
    resized
}

/// The tokens that the model itself uses.
fn special_ids(source: &Source) -> Vec<u32> {
    let spec = source.spec();
    let special = &source.mapping.special;
    let SpecialTokens { bos, eos, pad, mask, cls, sep, decoder_start, forced_bos, forced_eos, .. } = special;
    let pooled = match spec.head.pooling {
        Pooling::LastExcept(id) | Pooling::AtLast(id) => Some(id),
        _ => None,
    };
    let padding = [spec.encoder, spec.decoder].into_iter().flatten().filter_map(|stack| stack.embedding.padding);
    let named = [*bos, *pad, *mask, *cls, *sep, *decoder_start, *forced_bos, *forced_eos, pooled];
    let all = named.into_iter().flatten().chain(eos.iter().copied()).chain(padding);
    let rows = first(spec).map_or(0, |stack| stack.embedding.vocab_size);
    all.filter(|&id| id < rows).collect()
}

impl Source {
    /// Keeps only these tokens, under their new ids, in every tensor with a row for each token and
    /// in every list of tokens.
    ///
    /// # Errors
    /// When the model has two vocabularies.
    pub fn keep(&mut self, kept: &Kept) -> Result<()> {
        let spec = self.mapping.spec;
        let Some(before) = first(&spec).map(|stack| stack.embedding.vocab_size) else { return Ok(()) };
        if spec.decoder.is_some_and(|decoder| decoder.embedding.vocab_size != before) {
            return Err(refuse(
                "the encoder and the decoder have vocabularies of their own, and the folder's tokenizer is the encoder's",
                "convert it without --keep-vocabulary and --vocabulary-size",
            ));
        }
        // Tokens without a row in the model come last, and get none.
        let rows: Vec<u32> = kept.old_ids().iter().copied().filter(|&id| id < before).collect();
        let shapes: Vec<Role> = roles(&spec).map(|(role, _)| role).filter(|&role| is_by_token(&spec, role)).collect();
        for role in shapes {
            if let Some(tensor) = self.weights.get_mut(role) {
                take(tensor, &rows, before as usize);
            }
        }
        let count = rows.len() as u32;
        let new = |id: u32| kept.new_id(id).filter(|&id| id < count);
        let spec = &mut self.mapping.spec;
        *spec = resize(spec, count);
        for stack in [&mut spec.encoder, &mut spec.decoder].into_iter().flatten() {
            stack.embedding.padding = stack.embedding.padding.and_then(new);
        }
        spec.head.pooling = match spec.head.pooling {
            Pooling::LastExcept(id) => new(id).map_or(Pooling::Last, Pooling::LastExcept),
            Pooling::AtLast(id) => Pooling::AtLast(new(id).unwrap_or(id)),
            pooling => pooling,
        };
        renumber(&mut self.mapping.special, new);
        self.name = format!("{}, {count} of {before} tokens", self.name);
        Ok(())
    }
}

/// Whether a tensor has a row for each token.
fn is_by_token(spec: &ModelSpec, role: Role) -> bool {
    let predicts = matches!(spec.head.task, Task::CausalLm | Task::MaskedLm);
    match role {
        Role::Stack(Stack::Encoder | Stack::Decoder, StackPart::TokenEmbedding) => true,
        Role::Head(HeadPart::OutputBias) => true,
        Role::Head(HeadPart::Output) => predicts && spec.head.output == OutputProjection::Own,
        _ => false,
    }
}

/// Takes rows of a tensor that has `before` rows, and of its biases.
fn take(tensor: &mut Tensor, rows: &[u32], before: usize) {
    for values in [&mut tensor.weight, &mut tensor.bias] {
        let width = values.len() / before;
        *values = rows.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect();
    }
}

/// Gives the special tokens their new ids. Tokens that are not kept are dropped even from the lists
/// of forbidden tokens, because the model cannot write them.
fn renumber(special: &mut SpecialTokens, new: impl Fn(u32) -> Option<u32>) {
    let SpecialTokens {
        bos,
        eos,
        pad,
        mask,
        cls,
        sep,
        decoder_start,
        forced_bos,
        forced_eos,
        suppressed,
        suppressed_first,
        bad_words,
        generation: _,
    } = special;
    for one in [bos, pad, mask, cls, sep, decoder_start, forced_bos, forced_eos] {
        *one = one.and_then(&new);
    }
    for list in [eos, suppressed, suppressed_first] {
        *list = list.iter().filter_map(|&id| new(id)).collect();
    }
    *bad_words = bad_words.iter().filter_map(|word| word.iter().map(|&id| new(id)).collect()).collect();
}
