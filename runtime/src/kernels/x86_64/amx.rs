//! Products over tiles of weights with AMX: sixteen tokens by sixteen rows by 64 bytes to an
//! instruction.
//!
//! The weights of 32 rows serve the tokens of a group after each other. A word of four columns of
//! each row must follow another's: so they lie in wide tiles, and those of other tiles are brought
//! into that order, as in `vnni`. Activations of sixteen bits are two planes of bytes, the upper
//! ones signed and the lower ones not, each with sums of its own.
//!
//! The instructions have no stable names in Rust, so the innermost loop is assembly. An operating
//! system lends the registers only to those who ask for them: see [`detected`].
#![allow(unsafe_code)]

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;
use std::sync::LazyLock;

use super::vectors::Shape;
use super::vnni::{AVX512_VNNI, panel, wide};
use crate::format::places::{TILE, wide_tile_place};
use crate::kernels::table::{Kernels, Products};

/// The set, on a processor and an operating system that have it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    static DETECTED: LazyLock<bool> = LazyLock::new(detected);
    DETECTED.then_some(&AMX)
}

/// Private, so that [`kernels`] alone hands it out.
static AMX: Kernels = Kernels {
    name: "amx",
    products8: Products {
        tiles: proven!(|out, x, weights, cols| tiles8(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            wide_tiles8(out, x, weights.bytes, cols);
            true
        })),
        ..AVX512_VNNI.products8
    },
    products16: Products {
        tiles: proven!(|out, x, weights, cols| tiles16(out, x, weights, cols)),
        wide_tiles: Some(proven!(|out, x, weights, cols| {
            wide_tiles16(out, x, weights.bytes, cols);
            true
        })),
        ..AVX512_VNNI.products16
    },
    ..AVX512_VNNI
};

/// Whether the processor has tiles of bytes, and the operating system lends them to this process
/// when it is asked.
fn detected() -> bool {
    /// Of the features of leaf 7: tiles, and their products of bytes.
    const TILES: u32 = 1 << 24 | 1 << 25;
    const XSAVE_IN_USE: u32 = 1 << 27;
    /// Of the registers that the operating system keeps: the tiles' shape and their contents.
    const KEPT: u64 = 0b11 << 17;
    if super::vnni::kernels()[0].is_none() || __cpuid(0).eax < 7 || __cpuid(1).ecx & XSAVE_IN_USE == 0 {
        return false;
    }
    // SAFETY: the processor has XGETBV, as bit 27 said.
    __cpuid_count(7, 0).edx & TILES == TILES && unsafe { _xgetbv(0) } & KEPT == KEPT && lent()
}

/// Asks the operating system for the tiles' contents, 8 KB for each thread that uses them.
#[cfg(target_os = "linux")]
fn lent() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call changes what this process may use, and no memory.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA, out("rcx") _,
            out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn lent() -> bool {
    false
}

/// Rows of a tile, and words of four bytes in each.
const SIDE: usize = 16;
/// Bytes of a row of a tile.
const STEP: usize = 4 * SIDE;
/// Columns that a panel holds.
const COLUMNS: usize = 768;
/// Fewer tokens are not worth the trouble.
const LEAST_TOKENS: usize = 2;
/// Tokens that a panel serves.
const TOGETHER: usize = 128;

/// Tiles' shapes, as the instruction that sets them reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 hold sums, 4 and 5 activations, of `first` and `second` tokens, and 6 and 7
    /// weights. Each tile of activations has two of sums.
    fn new(first: usize, second: usize) -> Self {
        let mut all = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        let tokens = [first, first, second, second, first, second, SIDE, SIDE];
        for (to, rows) in all.rows.iter_mut().zip(tokens) {
            *to = rows as u8;
        }
        all.row_bytes.iter_mut().take(tokens.len()).for_each(|bytes| *bytes = STEP as u16);
        all
    }

    /// Makes this the configuration of the thread's tiles.
    ///
    /// # Safety
    /// The processor has AMX, and the operating system lends its registers.
    unsafe fn set(&self) {
        // SAFETY: 64 bytes are read, and say what the processor can do.
        unsafe { asm!("ldtilecfg [{}]", in(reg) self, options(nostack, readonly)) };
    }
}

/// The weights of 32 rows, a word of four columns each.
#[repr(align(64))]
struct Panel([[[[u8; 4]; SIDE]; 2]; COLUMNS / 4]);

/// The sums of two tiles of activations by two of weights.
#[repr(align(64))]
struct Sums([[[[i32; SIDE]; SIDE]; 2]; 2]);

/// What activations are multiplied from: rows of bytes, one after the other, padded to whole steps.
#[derive(Clone, Copy)]
struct Rows {
    first: *const u8,
    stride: usize,
    /// Rows from a plane to the next one.
    next_plane: usize,
}

impl Rows {
    fn row(self, row: usize) -> *const u8 {
        self.first.wrapping_add(self.stride * row)
    }
}

/// The weights of 32 rows, sixteen from each of `halves` on. Words of four columns of sixteen rows
/// follow each other, `apart` bytes from word to word.
#[derive(Clone, Copy)]
struct Weights {
    halves: [*const u8; 2],
    apart: usize,
}

/// Activations of either width.
trait Activations: bytemuck::Pod {
    /// Tokens whose sums are in tiles at a time: with two planes each has two tiles.
    const GROUP: usize;

    /// Rows as they lie in `x`, `cols` apart, where the products can read them there.
    fn as_they_lie(x: &[Self], cols: usize, columns: &Range<usize>) -> Option<Rows>;

    /// Writes rows of columns to the planes that they are multiplied from.
    fn fill<const TOKENS: usize>(planes: &mut Planes<TOKENS>, x: &[Self], cols: usize, columns: &Range<usize>);

    /// Where the two tiles of activations of a group begin, and how many tokens each has, at least
    /// one. The group begins with row `first`, and `left` rows are left.
    fn tiles(rows: Rows, first: usize, left: usize) -> [(*const u8, usize); 2];

    /// # Safety
    /// The tiles are configured. `x` points to the first rows of two tiles; the others follow
    /// `stride` bytes apart, each of `steps` steps. There are weights for `steps` steps.
    unsafe fn multiply(sums: &mut Sums, x: [*const u8; 2], stride: usize, weights: Weights, steps: usize);
}

/// Defines the innermost loop: the instruction for the second tile of activations is named.
macro_rules! multiply {
    ($second:literal) => {
        unsafe fn multiply(sums: &mut Sums, [x, y]: [*const u8; 2], stride: usize, weights: Weights, steps: usize) {
            // SAFETY: what is read is there, as the caller says, and each tile of sums has a
            // kilobyte.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "tileloadd tmm6, [{a} + {apart}]",
                    "tileloadd tmm4, [{x} + {stride}]",
                    "tileloadd tmm7, [{b} + {apart}]",
                    "tdpbssd tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{y} + {stride}]",
                    "tdpbssd tmm1, tmm4, tmm7",
                    concat!($second, " tmm2, tmm5, tmm6"),
                    concat!($second, " tmm3, tmm5, tmm7"),
                    "add {x}, 64",
                    "add {y}, 64",
                    "add {a}, {step}",
                    "add {b}, {step}",
                    "sub {steps}, 1",
                    "jnz 2b",
                    "tilestored [{sums} + {line}], tmm0",
                    "tilestored [{sums} + {line} + 1024], tmm1",
                    "tilestored [{sums} + {line} + 2048], tmm2",
                    "tilestored [{sums} + {line} + 3072], tmm3",
                    x = inout(reg) x => _,
                    y = inout(reg) y => _,
                    a = inout(reg) weights.halves[0] => _,
                    b = inout(reg) weights.halves[1] => _,
                    steps = inout(reg) steps => _,
                    stride = in(reg) stride,
                    apart = in(reg) weights.apart,
                    step = in(reg) SIDE * weights.apart,
                    sums = in(reg) sums.0.as_mut_ptr(),
                    line = in(reg) 64_usize,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

impl Activations for i8 {
    const GROUP: usize = 2 * SIDE;

    fn as_they_lie(x: &[Self], cols: usize, columns: &Range<usize>) -> Option<Rows> {
        let whole = columns.len().is_multiple_of(STEP);
        whole.then(|| Rows { first: x.as_ptr().wrapping_add(columns.start).cast(), stride: cols, next_plane: 0 })
    }

    fn fill<const TOKENS: usize>(planes: &mut Planes<TOKENS>, x: &[Self], cols: usize, columns: &Range<usize>) {
        for (x, to) in x.chunks_exact(cols).zip(&mut planes.0[0]) {
            let x = x.get(columns.clone()).unwrap_or(&[]);
            to.iter_mut().zip(x).for_each(|(to, x)| _ = to.write(x.cast_unsigned()));
            to.iter_mut().skip(x.len()).take(STEP).for_each(|to| _ = to.write(0));
        }
    }

    fn tiles(rows: Rows, first: usize, left: usize) -> [(*const u8, usize); 2] {
        let second = if left > SIDE { (rows.row(first + SIDE), left - SIDE) } else { (rows.row(first), 1) };
        [(rows.row(first), left.min(SIDE)), second]
    }

    multiply!("tdpbssd");
}

impl Activations for i16 {
    const GROUP: usize = SIDE;

    fn as_they_lie(_: &[Self], _: usize, _: &Range<usize>) -> Option<Rows> {
        None
    }

    fn fill<const TOKENS: usize>(planes: &mut Planes<TOKENS>, x: &[Self], cols: usize, columns: &Range<usize>) {
        let [upper, lower] = &mut planes.0;
        for ((x, upper), lower) in x.chunks_exact(cols).zip(upper).zip(lower) {
            let x = x.get(columns.clone()).unwrap_or(&[]);
            for ((x, upper), lower) in x.iter().zip(&mut *upper).zip(&mut *lower) {
                let [low, high] = x.to_le_bytes();
                upper.write(high);
                lower.write(low);
            }
            for rest in [upper, lower] {
                rest.iter_mut().skip(x.len()).take(STEP).for_each(|to| _ = to.write(0));
            }
        }
    }

    fn tiles(rows: Rows, first: usize, left: usize) -> [(*const u8, usize); 2] {
        [(rows.row(first), left), (rows.row(rows.next_plane + first), left)]
    }

    multiply!("tdpbusd");
}

/// Bytes of activations: of those of sixteen bits the upper ones, then the lower ones.
#[repr(align(64))]
struct Planes<const TOKENS: usize>([[[MaybeUninit<u8>; COLUMNS]; TOKENS]; 2]);

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    if x.len() < LEAST_TOKENS * cols {
        return (AVX512_VNNI.products8.tiles)(out, x, weights, cols);
    }
    products::<_, false>(out, x, weights, cols);
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if x.len() < LEAST_TOKENS * cols {
        return (AVX512_VNNI.products16.tiles)(out, x, weights, cols);
    }
    products::<_, false>(out, x, weights, cols);
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn wide_tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    if x.len() < LEAST_TOKENS * cols {
        return wide::tiles8(out, x, weights, cols);
    }
    products::<_, true>(out, x, weights, cols);
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn wide_tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if x.len() < LEAST_TOKENS * cols {
        return wide::tiles16(out, x, weights, cols);
    }
    products::<_, true>(out, x, weights, cols);
}

/// Weights are multiplied as they lie, or from a panel.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn products<X: Activations, const WIDE: bool>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if WIDE && cols.is_multiple_of(STEP) {
        by_columns::<X, WIDE>(out, x, weights, shape, None);
    } else {
        from_panel::<X, WIDE>(out, x, weights, shape);
    }
}

/// Not inlined, as most products need no panel, which takes a page of stack after the other.
#[inline(never)]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn from_panel<X: Activations, const WIDE: bool>(out: &mut [i32], x: &[X], weights: &[i8], shape: Shape) {
    let mut panel = Panel([[[[0; 4]; SIDE]; 2]; COLUMNS / 4]);
    by_columns::<X, WIDE>(out, x, weights, shape, Some(&mut panel));
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn by_columns<X: Activations, const WIDE: bool>(
    out: &mut [i32],
    x: &[X],
    weights: &[i8],
    shape: Shape,
    mut panel: Option<&mut Panel>,
) {
    let Shape { tokens, rows, cols, .. } = shape;
    let mut tiles = Tiles { configured: 0, sums: Sums([[[[0; SIDE]; SIDE]; 2]; 2]) };
    for start in (0..cols).step_by(COLUMNS) {
        let columns = start..cols.min(start + COLUMNS);
        for first in (0..tokens).step_by(TOGETHER) {
            let tokens = TOGETHER.min(tokens - first);
            let x = x.get(first * cols..(first + tokens) * cols).unwrap_or(&[]);
            let out = out.get_mut(first * rows..(first + tokens) * rows).unwrap_or(&mut []);
            let part = Part { weights, columns: columns.clone(), shape: Shape { tokens, ..shape } };
            let panel = panel.as_deref_mut();
            match X::as_they_lie(x, cols, &columns) {
                Some(rows) => tiles.blocks::<X, WIDE>(out, rows, &part, panel),
                None if tokens <= SIDE => tiles.by_planes::<X, WIDE, SIDE>(out, x, &part, panel),
                None => tiles.by_planes::<X, WIDE, TOGETHER>(out, x, &part, panel),
            }
        }
    }
    // SAFETY: nothing is left in the tiles.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// Some columns of all rows of weights, and how many tokens meet them.
struct Part<'w> {
    weights: &'w [i8],
    columns: Range<usize>,
    shape: Shape,
}

impl Part<'_> {
    /// The weights of 32 rows, of which there may be but sixteen, from a block of four on. From a
    /// panel of theirs, if there is one.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    fn weights<const WIDE: bool>(&self, block: usize, panel: Option<&mut Panel>) -> Option<Weights> {
        let Self { weights, columns, shape } = self;
        let Some(panel) = panel else {
            let half = |row: usize| {
                let from = wide_tile_place(row, columns.start, shape.cols);
                weights.get(from..from + SIDE * columns.len()).map(|half| half.as_ptr().cast())
            };
            let first = half(TILE * block)?;
            return Some(Weights { halves: [first, half(TILE * block + SIDE).unwrap_or(first)], apart: STEP });
        };
        let (words, rest) = panel.0.split_at_mut(columns.len() / 4);
        // What follows the last column to the end of a step is zero.
        rest.iter_mut().take(SIDE).for_each(|word| *word = [[[0; 4]; SIDE]; 2]);
        let weights = weights.get(TILE * shape.cols * block..)?;
        panel::avx512::fill_with::<1, WIDE>(words, weights, shape.cols, columns, 0);
        let first = panel.0.as_ptr().cast();
        Some(Weights { halves: [first, first.wrapping_add(STEP)], apart: 2 * STEP })
    }
}

/// The registers, and what is moved out of them.
struct Tiles {
    /// Tokens that they have been configured for.
    configured: usize,
    sums: Sums,
}

impl Tiles {
    /// Activations are written to planes first. Not inlined, because planes take a page of stack
    /// after the other.
    #[inline(never)]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    fn by_planes<X: Activations, const WIDE: bool, const TOKENS: usize>(
        &mut self,
        out: &mut [i32],
        x: &[X],
        part: &Part<'_>,
        panel: Option<&mut Panel>,
    ) {
        let mut planes = Planes([[[MaybeUninit::uninit(); COLUMNS]; TOKENS]; 2]);
        X::fill(&mut planes, x, part.shape.cols, &part.columns);
        let rows = Rows { first: planes.0.as_ptr().cast(), stride: COLUMNS, next_plane: TOKENS };
        self.blocks::<X, WIDE>(out, rows, part, panel);
    }

    /// All rows of weights, 32 at a time.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    fn blocks<X: Activations, const WIDE: bool>(
        &mut self,
        out: &mut [i32],
        x: Rows,
        part: &Part<'_>,
        mut panel: Option<&mut Panel>,
    ) {
        let Shape { tokens, blocks, rows, .. } = part.shape;
        let steps = part.columns.len().div_ceil(STEP);
        for block in (0..blocks).step_by(2 * SIDE / TILE) {
            let Some(weights) = part.weights::<WIDE>(block, panel.as_deref_mut()) else { return };
            for group in (0..tokens).step_by(X::GROUP) {
                let left = X::GROUP.min(tokens - group);
                let [(first_tile, first_rows), (second_tile, second_rows)] = X::tiles(x, group, left);
                if left != self.configured {
                    // SAFETY: only the entries of this set's table come here, so AMX was detected
                    // and is lent.
                    unsafe { Configuration::new(first_rows, second_rows).set() };
                    self.configured = left;
                }
                // SAFETY: the tiles were configured for as many tokens as are left; their
                // activations have as many steps, and so have the weights.
                unsafe { X::multiply(&mut self.sums, [first_tile, second_tile], x.stride, weights, steps) };
                let to = out.get_mut(group * rows + TILE * block..).unwrap_or(&mut []);
                let shape = (left, rows, TILE * (blocks - block));
                store(to, shape, &self.sums, X::GROUP == SIDE, part.columns.start > 0);
            }
        }
    }
}

/// Stores sums, or adds them to those in `to`, which begins with the first token's; the next
/// token's follow `rows` later. `rows_left` rows are left of each.
#[target_feature(enable = "avx512f")]
fn store(
    to: &mut [i32],
    (tokens, rows, rows_left): (usize, usize, usize),
    Sums([first, second]): &Sums,
    planes: bool,
    add: bool,
) {
    for (token, to) in to.chunks_mut(rows).take(tokens).enumerate() {
        let (to, _) = to.split_at_mut(to.len().min(rows_left).min(2 * SIDE));
        for (half, to) in to.chunks_mut(SIDE).enumerate() {
            let tile = if token < SIDE { &first[half] } else { &second[half] };
            let mut sums = load(&tile[token % SIDE]);
            if planes {
                sums = _mm512_add_epi32(_mm512_slli_epi32::<8>(sums), load(&second[half][token]));
            }
            let lanes = ((1_u32 << to.len()) - 1) as u16;
            // SAFETY: as many lanes are read and written as there are.
            unsafe {
                let before = if add { _mm512_maskz_loadu_epi32(lanes, to.as_ptr()) } else { _mm512_setzero_si512() };
                _mm512_mask_storeu_epi32(to.as_mut_ptr(), lanes, _mm512_add_epi32(before, sums));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[i32; SIDE]) -> __m512i {
    // SAFETY: 64 bytes are read, at any alignment.
    unsafe { _mm512_loadu_epi32(words.as_ptr()) }
}
