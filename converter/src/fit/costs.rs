//! Estimates the cost of a token on a core: the work of a model, times the instructions for each
//! kind of work, which are fitted to counts under emulation, and the weights that are read.

use kinglet::format::layout::{BlockPart, HeadPart, Role, Shape, Stack, StackPart, roles};
use kinglet::format::spec::{ActivationWidth, ModelSpec, OutputProjection, StackSpec, WeightLayout};

use super::boards::{Board, Core};
use super::counts::counted;

/// The time for a token of a text: the mean over all tokens; in an encoder-decoder, that of one
/// token read and one token written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number of instructions.
    pub instructions: f64,
    /// The milliseconds that the core takes for them.
    pub computing: f64,
    /// The bytes of weights that are read.
    pub bytes: f64,
    /// The milliseconds that reading takes, if the flash is a separate chip.
    pub reading: Option<f64>,
}

impl Estimate {
    /// The estimate for a token of a text of `tokens` tokens.
    pub fn of(board: &Board, spec: &ModelSpec, tokens: usize) -> Self {
        let instructions = Costs::of(board.core, spec).instructions(work(spec, tokens));
        let bytes = weight_bytes(spec, tokens);
        let computing = instructions / board.core.per_cycle() / (board.clock * 1000.0);
        Self { instructions, computing, bytes, reading: board.flash_rate.map(|rate| bytes / (rate * 1000.0)) }
    }

    /// The milliseconds for a token. The cache is filled while the core computes, so the slower of
    /// both counts.
    pub fn milliseconds(&self) -> f64 {
        self.computing.max(self.reading.unwrap_or(0.0))
    }
}

/// The instructions that a core took under emulation.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Instructions for one product in "a16, 384 x 384, one token" and "a16, 64 x 64, one token".
    tiles: (f64, f64),
    /// "a16 in pairs", at both sizes.
    pairs: (f64, f64),
    /// "int4, a16", at both sizes.
    packed: (f64, f64),
    /// "a8 in rows, 384 x 384, one token".
    rows: f64,
    /// Instructions of the story teller for "a token, the first 8".
    early: f64,
    /// Instructions for "a token, up to 128", from the 65th on.
    late: f64,
}

impl Counted {
    fn of(core: Core) -> Self {
        let name = core.emulated();
        let product = |what: &str| counted(name, "kernels", &format!("{what}, one token, hundredths of instructions"));
        let both =
            |what: &str| (product(&format!("{what}, 384 x 384")) / 100.0, product(&format!("{what}, 64 x 64")) / 100.0);
        let token = |what: &str| counted(name, "bench", &format!("instructions a token, {what}"));
        Self {
            tiles: both("a16"),
            pairs: both("a16 in pairs"),
            packed: both("int4, a16"),
            rows: product("a8 in rows, 384 x 384") / 100.0,
            early: token("the first 8"),
            late: token("up to 128"),
        }
    }
}

/// The work of a core for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// The number of products in matrices.
    pub(super) products: f64,
    /// The number of outputs of matrices, each of which is requantized, and then quantized,
    /// normalized or activated.
    outputs: f64,
    /// The number of positions that all heads of all layers attend to.
    attended: f64,
    /// The number of head values at these positions.
    values: f64,
}

impl Work {
    /// A matrix that runs `times` times.
    fn matrix(rows: usize, cols: usize, times: usize) -> Self {
        let outputs = (rows * times) as f64;
        Self { products: outputs * cols as f64, outputs, ..Self::default() }
    }

    /// All heads of `layers` layers of a stack attend to `positions` positions.
    fn attention(stack: &StackSpec, layers: usize, positions: f64) -> Self {
        let attention = &stack.block.attention;
        let heads = (layers * usize::from(attention.num_attention_heads)) as f64;
        Self {
            attended: heads * positions,
            values: heads * positions * f64::from(attention.head_dim),
            ..Self::default()
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            products: self.products + other.products,
            outputs: self.outputs + other.outputs,
            attended: self.attended + other.attended,
            values: self.values + other.values,
        }
    }
}

/// The instructions of a core for each kind of work, fitted to the counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    product: f64,
    output: f64,
    attended: f64,
    value: f64,
}

impl Costs {
    /// The work of the story teller: 5 layers of width 64 with 8 heads of width 8, half as many key
    /// heads, a feed-forward width of 172, 512 tokens.
    const STORY: Work = Work { products: 259_328.0, outputs: 3512.0, attended: 40.0, values: 320.0 };
    /// The mean number of positions that the first eight tokens of `bench` attend to, and those
    /// from the 65th to the 128th.
    const POSITIONS: (f64, f64) = (4.5, 96.5);

    pub(super) fn of(core: Core, spec: &ModelSpec) -> Self {
        let counted = Counted::of(core);
        // A product costs `product + row / columns`.
        let slope = |(wide, narrow): (f64, f64)| (384.0 * wide - 64.0 * narrow) / (384.0 - 64.0);
        let product = slope(counted.tiles);
        let position = (counted.late - counted.early) / (Self::POSITIONS.1 - Self::POSITIONS.0);
        // Each head value is multiplied once with a key, and once with a weight.
        let value = 2.0 * product;
        let attended = (position - value * Self::STORY.values) / Self::STORY.attended;
        let rest = counted.early - position * Self::POSITIONS.0 - product * Self::STORY.products;
        let as_they_lie = match (spec.numerics.weights, spec.numerics.activations) {
            (WeightLayout::RowMajor, ActivationWidth::A8) | (WeightLayout::WideTiled, _) => counted.rows,
            (WeightLayout::Paired, _) => slope(counted.pairs),
            _ => product,
        };
        let share = packed_share(spec);
        let as_they_lie = share * slope(counted.packed) + (1.0 - share) * as_they_lie;
        Self { product: as_they_lie, output: rest / Self::STORY.outputs, attended, value }
    }

    pub(super) fn instructions(&self, work: Work) -> f64 {
        self.product * work.products
            + self.output * work.outputs
            + self.attended * work.attended
            + self.value * work.values
    }
}

/// The share of the blocks' weights that have four bits.
fn packed_share(spec: &ModelSpec) -> f64 {
    let (mut packed, mut all) = (0, 0);
    for (role, shape) in roles(spec) {
        if let (Role::Block(..), Shape::Matrix { rows, cols, layout, .. }) = (role, shape) {
            all += rows * cols;
            packed += if matches!(layout, WeightLayout::Packed { .. }) { rows * cols } else { 0 };
        }
    }
    packed as f64 / all.max(1) as f64
}

/// The bytes of weights that are read for a token of a text of `tokens` tokens: an encoder's once
/// for each tile, a decoder's for each token. Rows of lookup tables are left out, and so is a
/// classifier's head, which runs once per text.
fn weight_bytes(spec: &ModelSpec, tokens: usize) -> f64 {
    let together = usize::from(spec.numerics.tile).min(tokens).max(1) as f64;
    let writes = spec.decoder.is_some();
    let times = |role: Role| match role {
        Role::Block(id, _, part) => {
            let stored = matches!(part, BlockPart::CrossKey | BlockPart::CrossValue);
            let runs = spec.stack(id).map_or(1.0, repeats);
            if id == Stack::Encoder || stored { runs / together } else { runs }
        }
        Role::Head(HeadPart::Output) if writes => 1.0,
        Role::Stack(id, StackPart::TokenEmbedding)
            if writes && id == table(spec) && spec.head.output == OutputProjection::Tied =>
        {
            1.0
        }
        _ => 0.0,
    };
    roles(spec).map(|(role, shape)| shape.bytes() as f64 * times(role)).sum()
}

/// The number of times that each block of a stack runs.
fn repeats(stack: &StackSpec) -> f64 {
    f64::from(stack.num_hidden_layers) / stack.num_blocks().max(1) as f64
}

/// The stack whose token table the head of a decoder may be tied to.
fn table(spec: &ModelSpec) -> Stack {
    if spec.decoder.is_some_and(|stack| stack.embedding.shared) { Stack::Encoder } else { Stack::Decoder }
}

/// The mean work for a token of a text of `tokens` tokens; an encoder-decoder reads one token and
/// writes one. The few instructions of a tokenizer are left out, and so is a classifier's head,
/// which runs once per text.
pub(super) fn work(spec: &ModelSpec, tokens: usize) -> Work {
    let writing = spec.decoder.as_ref().map_or(Work::default(), |stack| {
        let attention = &stack.block.attention;
        // On average half of the text precedes a token, or the window.
        let half = (tokens as f64 + 1.0) / 2.0;
        let seen = if attention.sliding_layers == 0 { half } else { half.min(f64::from(attention.window)) };
        let sliding = f64::from(attention.sliding_layers.count_ones()) / stack.attending_layers().max(1) as f64;
        writing(spec, stack, seen * sliding + half * (1.0 - sliding), tokens as f64)
    });
    spec.encoder.as_ref().map_or(writing, |stack| reading(spec, stack, tokens as f64).and(writing))
}

/// The work of an encoder for a token of a text of `tokens` tokens.
pub(super) fn reading(spec: &ModelSpec, stack: &StackSpec, tokens: f64) -> Work {
    let crossed = spec.decoder.as_ref().filter(|decoder| decoder.block.cross_attention);
    let stored = crossed.map_or(Work::default(), |decoder| {
        let width = decoder.block.attention.key_value_size();
        Work::matrix(width, decoder.hidden_size as usize, 2 * decoder.num_hidden_layers as usize)
    });
    blocks(stack).and(Work::attention(stack, stack.attending_layers(), tokens)).and(stored)
}

/// The work of a decoder for a token that attends to `positions` positions, and to `source`
/// positions of the encoder.
pub(super) fn writing(spec: &ModelSpec, stack: &StackSpec, positions: f64, source: f64) -> Work {
    let hidden = stack.hidden_size as usize;
    let crossing = if stack.block.cross_attention {
        let (queries, layers) = (stack.block.attention.query_size(), stack.num_hidden_layers as usize);
        let around = Work::matrix(queries, hidden, layers).and(Work::matrix(hidden, queries, layers));
        around.and(Work::attention(stack, layers, source))
    } else {
        Work::default()
    };
    let head = Work::matrix(spec.head.num_outputs as usize, hidden, 1);
    blocks(stack).and(Work::attention(stack, stack.attending_layers(), positions)).and(crossing).and(head)
}

/// The matrices of a stack's blocks, except those of cross-attention.
fn blocks(stack: &StackSpec) -> Work {
    let (attention, network) = (&stack.block.attention, &stack.block.feed_forward);
    let (hidden, layers) = (stack.hidden_size as usize, stack.num_hidden_layers as usize);
    let size = stack.block.inner_size(stack.hidden_size) as usize;
    let (queries, keys, inner) =
        (attention.query_size(), attention.key_value_size(), network.intermediate_size as usize);
    let networks = layers * usize::from(network.networks);
    let around = if stack.block.bottleneck.is_some() {
        Work::matrix(size, hidden, layers).and(Work::matrix(hidden, size, layers))
    } else {
        Work::default()
    };
    let convolution = stack.convolution.span().map_or(Work::default(), |span| {
        let (kernel, heads) = (usize::from(span.kernel_size), usize::from(attention.num_attention_heads));
        Work::matrix(size, kernel, layers)
            .and(Work::matrix(2 * queries, size, layers))
            .and(Work::matrix(heads * kernel, queries, layers))
            .and(Work::matrix(queries, kernel, layers))
            .and(Work::matrix(size, queries, layers))
    });
    let attending = stack.attending_layers();
    let convolving = layers - attending;
    // A short convolution has few products: those of its outputs are counted.
    let mixing = Work::matrix(4 * hidden, hidden, convolving).and(Work::matrix(hidden, 0, convolving));
    Work::matrix(queries + 2 * keys, size, attending)
        .and(Work::matrix(size, queries, attending))
        .and(mixing)
        .and(convolution)
        .and(Work::matrix(inner, size, networks * if network.gated { 2 } else { 1 }))
        .and(Work::matrix(size, inner, networks))
        .and(around)
}
