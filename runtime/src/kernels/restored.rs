//! Products over weights that are not in tiles of bytes: converts some columns of four rows at a
//! time to tiles, which every set can multiply.

use bytemuck::cast_slice;

use super::scalar::{self, COLUMNS};
use super::table::Product;
use crate::format::places::TILE;

/// Tiles of bytes, a word for each row.
pub(super) type Tiles = [u32; TILE * COLUMNS / 4];

#[repr(align(16))]
struct Restored(Tiles);

/// `out = x * weights^T` over `blocks` blocks of four rows. `restore` converts the given number of
/// columns, continuing after the last call.
///
/// Never inlined: its buffer would otherwise be in the stack frame of every caller.
#[inline(never)]
pub(super) fn multiply<X>(
    out: &mut [i32],
    x: &[X],
    (blocks, cols): (usize, usize),
    tiles: Product<X>,
    restore: &mut dyn FnMut(usize, &mut Tiles),
) {
    let mut restored = Restored([0; TILE * COLUMNS / 4]);
    for block in 0..blocks {
        for start in (0..cols).step_by(COLUMNS) {
            let width = (cols - start).min(COLUMNS);
            restore(width, &mut restored.0);
            let bytes = cast_slice(&restored.0).get(..TILE * width).unwrap_or(&[]);
            for (x, out) in scalar::tokens(x, cols, out, TILE * blocks) {
                let Some(x) = x.get(start..start + width) else { continue };
                let mut sums = [0; TILE];
                tiles(&mut sums, x, bytes, width);
                for (out, sum) in out.iter_mut().skip(TILE * block).zip(sums) {
                    *out = if start == 0 { sum } else { out.wrapping_add(sum) };
                }
            }
        }
    }
}

/// Splits the first `len` values, or all if there are fewer, off a slice. Unlike `chunks`, it does
/// not divide by a size or check that it is not 0.
pub(super) fn first<'a, T>(rest: &mut &'a [T], len: usize) -> &'a [T] {
    let (first, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    *rest = others;
    first
}
