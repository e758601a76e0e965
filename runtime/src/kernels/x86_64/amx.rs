//! Products over tiled weights with AMX: sixteen tokens by sixteen rows by 64 bytes per
//! instruction.
//!
//! The weights of 32 rows are multiplied by one group of tokens after another. AMX wants, for
//! sixteen rows, one word of four columns after another: wide tiles are stored so; other tiles are
//! copied into a panel, as in `vnni`. 16-bit activations are split into two planes, signed high
//! bytes and unsigned low bytes, with separate sums.
//!
//! AMX has no stable intrinsics in Rust, so the innermost loop is assembly. A process must request
//! the tile registers from the operating system: see [`detected`].
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

/// The set, if the processor and the operating system support it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    static DETECTED: LazyLock<bool> = LazyLock::new(detected);
    DETECTED.then_some(&AMX)
}

/// Private: only [`kernels`] hands it out.
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

/// Whether the processor has AMX with INT8, and the operating system grants the tile registers to
/// this process. Requests them.
fn detected() -> bool {
    /// AMX-TILE and AMX-INT8, in EDX of CPUID leaf 7.
    const TILES: u32 = 1 << 24 | 1 << 25;
    const XSAVE_IN_USE: u32 = 1 << 27;
    /// XTILECFG and XTILEDATA, in XCR0: the operating system saves the tiles' configuration and
    /// contents.
    const KEPT: u64 = 0b11 << 17;
    if super::vnni::kernels()[0].is_none() || __cpuid(0).eax < 7 || __cpuid(1).ecx & XSAVE_IN_USE == 0 {
        return false;
    }
    // SAFETY: the processor has XGETBV, because bit 27 of ECX is set.
    __cpuid_count(7, 0).edx & TILES == TILES && unsafe { _xgetbv(0) } & KEPT == KEPT && lent()
}

/// Requests the tile registers from the operating system, which saves 8 KB for each thread that
/// uses them. Returns whether they were granted.
#[cfg(target_os = "linux")]
fn lent() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call changes a permission of this process, and no memory.
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

/// Rows of a tile register, and 4-byte words per row.
const SIDE: usize = 16;
/// Bytes of a row of a tile register: the columns of a step.
const STEP: usize = 4 * SIDE;
/// Columns of a panel.
const COLUMNS: usize = 768;
/// The fewest tokens for which AMX pays off.
const LEAST_TOKENS: usize = 2;
/// Tokens that are multiplied by one panel.
const TOGETHER: usize = 128;

/// The operand of `LDTILECFG`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 hold sums, two for each tile of activations; tiles 4 and 5 hold activations of
    /// `first` and `second` tokens; tiles 6 and 7 hold weights.
    fn new(first: usize, second: usize) -> Self {
        let mut all = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        let tokens = [first, first, second, second, first, second, SIDE, SIDE];
        for (to, rows) in all.rows.iter_mut().zip(tokens) {
            *to = rows as u8;
        }
        all.row_bytes.iter_mut().take(tokens.len()).for_each(|bytes| *bytes = STEP as u16);
        all
    }

    /// Configures the thread's tile registers.
    ///
    /// # Safety
    /// The processor has AMX, and the operating system has granted its registers.
    unsafe fn set(&self) {
        // SAFETY: 64 bytes are read, and they are a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) self, options(nostack, readonly)) };
    }
}

/// The weights of 32 rows, a word of four columns each.
#[repr(align(64))]
struct Panel([[[[u8; 4]; SIDE]; 2]; COLUMNS / 4]);

/// The sums of two tiles of activations by two tiles of weights.
#[repr(align(64))]
struct Sums([[[[i32; SIDE]; SIDE]; 2]; 2]);

/// Activations: rows of bytes, one after the other, padded to whole steps.
#[derive(Clone, Copy)]
struct Rows {
    first: *const u8,
    stride: usize,
    /// Rows from one plane to the next.
    next_plane: usize,
}

impl Rows {
    fn row(self, row: usize) -> *const u8 {
        self.first.wrapping_add(self.stride * row)
    }
}

/// The weights of 32 rows, sixteen at each of `halves`: the words of four columns of sixteen rows,
/// with a stride of `apart` bytes between groups of columns.
#[derive(Clone, Copy)]
struct Weights {
    halves: [*const u8; 2],
    apart: usize,
}

/// 8-bit or 16-bit activations.
trait Activations: bytemuck::Pod {
    /// Tokens whose sums are in tiles at a time. With two planes, each token has sums in two tiles.
    const GROUP: usize;

    /// The rows in `x`, with stride `cols`, if they can be multiplied in place.
    fn as_they_lie(x: &[Self], cols: usize, columns: &Range<usize>) -> Option<Rows>;

    /// Copies the columns of all rows to planes.
    fn fill<const TOKENS: usize>(planes: &mut Planes<TOKENS>, x: &[Self], cols: usize, columns: &Range<usize>);

    /// The addresses of a group's two tiles of activations, and the number of tokens of each, at
    /// least one. The group begins with row `first`, and `left` rows are left.
    fn tiles(rows: Rows, first: usize, left: usize) -> [(*const u8, usize); 2];

    /// Multiplies two tiles of activations by two tiles of weights, over `steps` steps.
    ///
    /// # Safety
    /// The tiles are configured. `x` points to the first rows of two tiles; the other rows follow
    /// at a stride of `stride` bytes, each of `steps` steps. `weights` has `steps` steps.
    unsafe fn multiply(sums: &mut Sums, x: [*const u8; 2], stride: usize, weights: Weights, steps: usize);
}

/// Defines the innermost loop. `$second` is the instruction for the second tile of activations.
macro_rules! multiply {
    ($second:literal) => {
        unsafe fn multiply(sums: &mut Sums, [x, y]: [*const u8; 2], stride: usize, weights: Weights, steps: usize) {
            // SAFETY: the caller guarantees what is read, and each tile of sums has a kilobyte.
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

/// The planes of activations: one of bytes, or the high bytes and the low bytes.
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

/// Multiplies weights in place, or from a panel.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
fn products<X: Activations, const WIDE: bool>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if WIDE && cols.is_multiple_of(STEP) {
        by_columns::<X, WIDE>(out, x, weights, shape, None);
    } else {
        from_panel::<X, WIDE>(out, x, weights, shape);
    }
}

/// Not inlined: most products need no panel, whose stack is probed page by page.
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
    // SAFETY: the contents of the tiles are not needed any more.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// A range of columns of all rows of weights, and the shape of the product.
struct Part<'w> {
    weights: &'w [i8],
    columns: Range<usize>,
    shape: Shape,
}

impl Part<'_> {
    /// The weights of 32 rows from block `block` on, or of sixteen if there are no more. Copies
    /// them to `panel` if there is one.
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
        // Pad the last step with zeros.
        rest.iter_mut().take(SIDE).for_each(|word| *word = [[[0; 4]; SIDE]; 2]);
        let weights = weights.get(TILE * shape.cols * block..)?;
        panel::avx512::fill_with::<1, WIDE>(words, weights, shape.cols, columns, 0);
        let first = panel.0.as_ptr().cast();
        Some(Weights { halves: [first, first.wrapping_add(STEP)], apart: 2 * STEP })
    }
}

/// The state of the tile registers.
struct Tiles {
    /// The number of tokens that they are configured for.
    configured: usize,
    sums: Sums,
}

impl Tiles {
    /// Multiplies activations that are copied to planes first. Not inlined, because the planes'
    /// stack is probed page by page.
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

    /// Multiplies all rows of weights, 32 at a time.
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
                    // SAFETY: only the entries of this set's table call this, so AMX was detected
                    // and its registers granted.
                    unsafe { Configuration::new(first_rows, second_rows).set() };
                    self.configured = left;
                }
                // SAFETY: the tiles are configured for the tokens that are left; activations and
                // weights have `steps` steps.
                unsafe { X::multiply(&mut self.sums, [first_tile, second_tile], x.stride, weights, steps) };
                let to = out.get_mut(group * rows + TILE * block..).unwrap_or(&mut []);
                let shape = (left, rows, TILE * (blocks - block));
                store(to, shape, &self.sums, X::GROUP == SIDE, part.columns.start > 0);
            }
        }
    }
}

/// Stores sums to `to`, or adds them if `add`. `to` begins with the first token's sums, and tokens
/// have a stride of `rows`. Each token has `rows_left` rows left.
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
            // SAFETY: the mask limits reads and writes to `to`.
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
