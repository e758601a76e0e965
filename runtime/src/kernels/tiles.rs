//! Shared code of products over tiled weights on targets with 16-byte vectors, the size of a tile:
//! reorders activations, and blocks the product by tokens and rows.

use crate::format::places::TILE;

/// Columns that are reordered on the stack at a time.
pub(super) const COLUMNS: usize = 512;

/// The bytes of a tile.
pub(super) type Tile = [i8; TILE * TILE];

/// All rows and a range of columns of the weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'m> {
    weights: &'m [i8],
    cols: usize,
    first: usize,
    width: usize,
}

impl<'m> Part<'m> {
    /// Iterates over `B` blocks of four rows at a time: for each, the tiles of the part's columns.
    /// Blocks past the last row are empty.
    #[inline(always)]
    pub(super) fn blocks<const B: usize>(self) -> impl Iterator<Item = [&'m [Tile]; B]> {
        self.weights.chunks((B * TILE * self.cols).max(1)).map(move |weights| {
            let mut blocks = weights.chunks_exact((TILE * self.cols).max(1));
            core::array::from_fn(|_| {
                let block = blocks.next().and_then(|block| block.get(TILE * self.first..)).unwrap_or(&[]);
                block.as_chunks().0.get(..self.width / TILE).unwrap_or(&[])
            })
        })
    }

    /// The number of tiles in a block.
    #[inline(always)]
    pub(super) fn tiles(self) -> usize {
        self.width / TILE
    }

    /// Writes the sums of blocks `B * index` and following to `out`, or adds them after the first
    /// part.
    #[inline(always)]
    pub(super) fn put<const B: usize>(self, out: &mut [i32], index: usize, sums: [[i32; TILE]; B]) {
        let out = out.get_mut(index * B * TILE..).unwrap_or(&mut []);
        for (out, sums) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(sums) {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if self.first > 0 { out.wrapping_add(sum) } else { sum };
            }
        }
    }
}

/// A product over tiled weights.
///
/// `reorder` fills an `R`, initially `empty`, with up to [`COLUMNS`] activations of a row. `one`
/// multiplies one such row, `four` multiplies four.
#[inline(always)]
pub(super) fn multiply<X, R: Copy>(
    (out, x, weights, cols): (&mut [i32], &[X], &[i8], usize),
    empty: R,
    reorder: impl Fn(&[X], &mut R),
    one: impl Fn([&mut [i32]; 1], &[R; 1], Part<'_>),
    four: impl Fn([&mut [i32]; 4], &[R; 4], Part<'_>),
) {
    let cols = cols.max(TILE);
    let rows = (weights.len() / cols).max(1);
    for first in (0..cols).step_by(COLUMNS) {
        let part = Part { weights, cols, first, width: COLUMNS.min(cols - first) };
        let of_part = |x: &[X], to: &mut R| reorder(x.get(first..first + part.width).unwrap_or(&[]), to);
        let (mut x, mut out) = (x.chunks_exact(cols), out.chunks_exact_mut(rows));
        if x.len() >= 4 {
            let mut reordered = [empty; 4];
            while x.len() >= 4 {
                for (to, x) in reordered.iter_mut().zip(x.by_ref()) {
                    of_part(x, to);
                }
                four(core::array::from_fn(|_| out.next().unwrap_or(&mut [])), &reordered, part);
            }
        }
        let mut reordered = [empty];
        for (x, out) in x.zip(out) {
            let [to] = &mut reordered;
            of_part(x, to);
            one([out], &reordered, part);
        }
    }
}
