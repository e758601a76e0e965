//! Where a weight lies in the payload, for each layout of a matrix.

use super::spec::at_least_one;

/// Rows and columns of a tile.
pub const TILE: usize = 4;

/// Where a weight of a tiled matrix lies: tiles along the columns, then along the rows; in a tile
/// row after row, and of each row the columns 0, 2, 1, 3, of which `SXTB16` makes pairs of
/// neighbours.
pub const fn tile_place(row: usize, col: usize, cols: usize) -> usize {
    const ORDER: [usize; TILE] = [0, 2, 1, 3];
    (row / TILE * cols + col / TILE * TILE) * TILE + row % TILE * TILE + ORDER[col % TILE]
}

/// Where a weight lies whose matrix has its rows in pairs: tiles along the columns, then along the
/// rows, as [`tile_place`] has them; in a tile two rows and then two, of both column after column,
/// the upper row's weight below the other's in a halfword.
///
/// Weights of upper rows are raised by 128 ([`pair_byte`]): so a halfword is the upper row's, which
/// is not negative then, and 256 times the other's.
pub const fn pair_place(row: usize, col: usize, cols: usize) -> usize {
    (row / TILE * cols + col / TILE * TILE) * TILE + row % TILE / 2 * 2 * TILE + col % TILE * 2 + row % 2
}

/// The byte that a weight of a row is where rows are in pairs, and the weight that such a byte is.
pub const fn pair_byte(row: usize, weight: i8) -> i8 {
    if row.is_multiple_of(2) { weight ^ i8::MIN } else { weight }
}

/// Rows of a wide tile; it has as many columns as others.
pub const WIDE_TILE_ROWS: usize = 16;

/// Where a weight lies in a matrix of whole wide tiles: tiles along the columns, then along the
/// rows; in a tile row after row, with the columns in order.
pub const fn wide_tile_place(row: usize, col: usize, cols: usize) -> usize {
    let tile = row / WIDE_TILE_ROWS * cols + col / TILE * TILE;
    tile * WIDE_TILE_ROWS + row % WIDE_TILE_ROWS * TILE + col % TILE
}

/// Columns of a tile of packed weights.
pub const PACKED_COLS: usize = 8;
/// The largest scale of a group: times -8 it is the least that eight bits hold.
pub const MAX_GROUP_SCALE: u8 = 16;
/// Columns that a group may have.
pub const GROUP_SIZES: [u8; 2] = [32, 64];

/// Where a packed weight lies: the byte, and by how much it is raised in it. Tiles of four rows and
/// eight columns along the columns, then along the rows; in a tile a word for each row, with column
/// `2 s` in its bits from `4 s` on, and column `2 s + 1` sixteen bits above: shifted by `4 s`, the
/// word has two neighbours in its halves. Weights are raised by 8, so that none is negative.
pub const fn packed_place(row: usize, col: usize, cols: usize) -> (usize, u32) {
    let word = (row / TILE * cols + col / PACKED_COLS * PACKED_COLS) / PACKED_COLS * TILE + row % TILE;
    let (pair, high) = (col % PACKED_COLS / 2, col % 2);
    (4 * word + 2 * high + pair / 2, 4 * (pair as u32 % 2))
}

/// Columns of a group of a table in four bits.
pub const TABLE_GROUP: usize = 32;

/// Where a weight of a table in four bits lies: the byte, and by how much it is raised in it. Of a
/// row, neighbours share a byte.
pub const fn table_place(row: usize, col: usize, cols: usize) -> (usize, u32) {
    (row * (cols / 2) + col / 2, 4 * (col as u32 % 2))
}

/// What the scale of a table's group stands for: four bits after a leading one, and above them a
/// power of two.
pub const fn table_scale(scale: u8) -> i32 {
    (16 + (scale as i32 & 15)) << (scale >> 4)
}

/// A weight of a table, in multiples of what the table's multiplier stands for: `zero` is in
/// sixteenths of a step. It has at most 28 bits besides its sign.
pub const fn table_weight(nibble: u8, scale: u8, zero: u8) -> i32 {
    (16 * (nibble as i32 & 15) - zero as i32) * table_scale(scale)
}

/// Where the scale of a packed weight's group lies: the scales of four rows are neighbours, group
/// after group.
pub const fn group_place(row: usize, col: usize, cols: usize, group: usize) -> usize {
    let groups = cols.div_ceil(at_least_one(group));
    (row / TILE * groups + col / at_least_one(group)) * TILE + row % TILE
}
