//! Finds options of a conversion that make a model fit a board, from the specification alone,
//! before anything is trained or converted.

use kinglet::format::layout::roles;
use kinglet::format::spec::{KeyWidth, ModelSpec, PackedSpec};

use serde_json::Value;

use crate::fit::{Board, Fit};
use crate::vocabulary::{resize, vocab_size};
use crate::widths::{Width, Widths};

/// The sizes to which vocabularies are cut, the largest first.
const VOCABULARIES: [u32; 15] =
    [128_000, 64_000, 48_000, 32_000, 24_000, 20_000, 16_000, 12_000, 10_000, 8_000, 6_000, 4_000, 3_000, 2_000, 1_000];

/// The most ways that are listed for a board.
const MOST_WAYS: usize = 3;

/// An option of `kinglet convert` that makes a model smaller.
struct Saving {
    option: &'static str,
    /// Changes a specification as the option does.
    apply: fn(&mut ModelSpec),
}

/// The options, in the order of their cost in accuracy, the cheapest first. An option that does not
/// change a model, or that it cannot have, is not tried.
const SAVINGS: [Saving; 6] = [
    Saving { option: "--target cortex-m", apply: |spec| spec.numerics.tile = spec.numerics.tile.min(2) },
    Saving { option: "--keys 8", apply: |spec| spec.numerics.keys = KeyWidth::K8 },
    Saving { option: "--max-tokens 512", apply: |spec| shorten(spec, 512) },
    Saving { option: "--max-tokens 128", apply: |spec| shorten(spec, 128) },
    Saving { option: "--tables int4", apply: pack_tables },
    Saving { option: "--weights int4", apply: pack_weights },
];

fn pack_tables(spec: &mut ModelSpec) {
    if spec.numerics.packed == PackedSpec::NONE {
        *spec = packed(spec, Width::Int8, Width::Int4);
    }
}

/// Packs the weights, and leaves the width of the tables.
fn pack_weights(spec: &mut ModelSpec) {
    for tables in [Width::Int8, Width::Int4] {
        if *spec == packed(spec, Width::Int8, tables) {
            *spec = packed(spec, Width::Int4, tables);
            return;
        }
    }
}

/// A specification with these widths; unchanged if it cannot have them.
fn packed(spec: &ModelSpec, weights: Width, tables: Width) -> ModelSpec {
    let mut packed = *spec;
    let widths = Widths { weights, tables, ..Widths::default() };
    if widths.apply(&mut packed).is_ok() { packed } else { *spec }
}

fn shorten(spec: &mut ModelSpec, tokens: u32) {
    for stack in [&mut spec.encoder, &mut spec.decoder].into_iter().flatten() {
        stack.max_positions = stack.max_positions.min(tokens);
    }
}

/// A model, before or after its conversion.
pub struct Subject<'a> {
    /// The architecture.
    pub spec: ModelSpec,
    /// The bytes of its tokenizer.
    pub tokenizer: u64,
    /// The bytes of its blob without weights and tokenizer.
    pub rest: u64,
    /// The size of a vocabulary cut to about this many tokens, and the bytes of its tokenizer;
    /// `None` if it cannot be cut so far.
    pub cut: &'a dyn Fn(u32) -> Option<(u32, u64)>,
}

/// Options with which a model fits a board.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The options on the command line of `kinglet convert`.
    pub options: Vec<String>,
    /// The fit with these options.
    pub fit: Fit,
}

impl Way {
    /// The figures as JSON.
    pub fn json(&self) -> Value {
        let mut value = self.fit.json();
        value["options"] = self.options.clone().into();
        value
    }
}

impl Subject<'_> {
    /// The bytes of its blob.
    pub fn blob(&self) -> u64 {
        payload(&self.spec) + self.tokenizer + self.rest
    }

    /// Its fit on a board, for texts of `wanted` tokens, or of the longest that fit.
    pub fn fit(&self, board: &Board, wanted: Option<usize>) -> Fit {
        Fit::new(board, self.blob(), &self.spec, wanted)
    }

    /// The shortest lists of options with which it fits a board: no option in a list is
    /// superfluous.
    pub fn ways(&self, board: &Board, wanted: Option<usize>) -> Vec<Way> {
        let mut sets: Vec<u32> = (0..1 << SAVINGS.len()).collect();
        sets.sort_by_key(|set: &u32| (set.count_ones(), *set));
        let mut found: Vec<(u32, Option<u32>, Way)> = Vec::new();
        for set in sets {
            let Some(spec) = self.saved(set) else { continue };
            let Some((vocabulary, fit)) = self.largest_vocabulary(board, &spec, wanted) else { continue };
            let size = |vocabulary: Option<u32>| vocabulary.unwrap_or(u32::MAX);
            if found.iter().any(|(less, larger, _)| set & less == *less && size(*larger) >= size(vocabulary)) {
                continue;
            }
            let cut = vocabulary.map(|size| format!("--vocabulary-size {size}"));
            let options = (0..SAVINGS.len()).filter(|at| set >> at & 1 == 1).map(|at| SAVINGS[at].option.to_owned());
            found.push((set, vocabulary, Way { options: cut.into_iter().chain(options).collect(), fit }));
        }
        found.sort_by_key(|(_, _, way)| way.options.len());
        found.into_iter().map(|(_, _, way)| way).take(MOST_WAYS).collect()
    }

    /// The fit on the first of `boards` that the model can fit, with the shortest list of options
    /// for it.
    pub fn first_way<'b>(&self, boards: impl IntoIterator<Item = &'b Board>, wanted: Option<usize>) -> Option<Way> {
        let (least, bytes) = self.least();
        boards.into_iter().filter(|board| Fit::new(board, bytes, &least, wanted).fits()).find_map(|board| {
            let fit = self.fit(board, wanted);
            if fit.fits() {
                Some(Way { options: Vec::new(), fit })
            } else {
                self.ways(board, wanted).into_iter().next()
            }
        })
    }

    /// The specification with all savings, and the bytes of its blob. If this does not fit a board,
    /// the model cannot.
    fn least(&self) -> (ModelSpec, u64) {
        let mut least = self.spec;
        for saving in &SAVINGS {
            let mut saved = least;
            (saving.apply)(&mut saved);
            if saved.check().is_ok() {
                least = saved;
            }
        }
        let whole = vocab_size(&self.spec);
        let smallest = VOCABULARIES.into_iter().rev().filter(|&size| size < whole).find_map(|size| (self.cut)(size));
        let (kept, tokenizer) = smallest.unwrap_or((whole, self.tokenizer));
        let least = resize(&least, kept);
        (least, payload(&least) + tokenizer + self.rest)
    }

    /// The specification with a set of savings; `None` if one of them changes nothing.
    fn saved(&self, set: u32) -> Option<ModelSpec> {
        let mut spec = self.spec;
        for saving in SAVINGS.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, saving)| saving) {
            let before = spec;
            (saving.apply)(&mut spec);
            if spec == before || spec.check().is_err() {
                return None;
            }
        }
        Some(spec)
    }

    /// The whole vocabulary (`None`), or else the largest one with which `spec` fits.
    fn largest_vocabulary(&self, board: &Board, spec: &ModelSpec, wanted: Option<usize>) -> Option<(Option<u32>, Fit)> {
        let uncut = Fit::new(board, payload(spec) + self.tokenizer + self.rest, spec, wanted);
        if uncut.fits() {
            return Some((None, uncut));
        }
        let whole = vocab_size(&self.spec);
        // A smaller vocabulary saves RAM only in the logits.
        let smaller = VOCABULARIES.into_iter().filter(|&size| size < whole);
        smaller.filter_map(|size| Some((size, (self.cut)(size)?))).find_map(|(size, (kept, tokenizer))| {
            let spec = resize(spec, kept);
            let fit = Fit::new(board, payload(&spec) + tokenizer + self.rest, &spec, wanted);
            fit.fits().then_some((Some(size), fit))
        })
    }
}

/// The bytes of a model's tensors.
pub fn payload(spec: &ModelSpec) -> u64 {
    roles(spec).map(|(_, shape)| shape.bytes()).sum()
}
