//! Computes the offset of a weight in its matrix, for each layout.

use super::spec::at_least_one;

/// Rows and columns of a tile.
pub const TILE: usize = 4;

/// The offset of a weight in a tiled matrix. Tiles run along the columns, then along the rows; in a
/// tile, rows follow each other, with their columns in the order 0, 2, 1, 3: `SXTB16` extracts
/// bytes 0 and 2 of a word, which are then neighbouring columns.
pub const fn tile_place(row: usize, col: usize, cols: usize) -> usize {
    const ORDER: [usize; TILE] = [0, 2, 1, 3];
    (row / TILE * cols + col / TILE * TILE) * TILE + row % TILE * TILE + ORDER[col % TILE]
}

/// The offset of a weight in a matrix whose rows are interleaved in pairs. Tiles are ordered as in
/// [`tile_place`]; in a tile, two rows precede the other two, and each column of a pair is a
/// halfword with the even row's weight in its low byte.
///
/// Weights of even rows carry an offset of 128 ([`pair_byte`]), which makes them unsigned: a
/// halfword is then `even + 256 * odd` without a borrow.
pub const fn pair_place(row: usize, col: usize, cols: usize) -> usize {
    (row / TILE * cols + col / TILE * TILE) * TILE + row % TILE / 2 * 2 * TILE + col % TILE * 2 + row % 2
}

/// Adds the offset of 128 to a weight of an even row of a row-interleaved matrix. Applied twice, it
/// returns the weight.
pub const fn pair_byte(row: usize, weight: i8) -> i8 {
    if row.is_multiple_of(2) { weight ^ i8::MIN } else { weight }
}

/// Rows of a wide tile, which has [`TILE`] columns.
pub const WIDE_TILE_ROWS: usize = 16;

/// The offset of a weight in a matrix of wide tiles. Tiles run along the columns, then along the
/// rows; a tile is row-major.
pub const fn wide_tile_place(row: usize, col: usize, cols: usize) -> usize {
    let tile = row / WIDE_TILE_ROWS * cols + col / TILE * TILE;
    tile * WIDE_TILE_ROWS + row % WIDE_TILE_ROWS * TILE + col % TILE
}

/// Columns of a tile of packed weights.
pub const PACKED_COLS: usize = 8;
/// The largest scale of a group: `-8 * 16` is the least value of an `i8`.
pub const MAX_GROUP_SCALE: u8 = 16;
/// The supported numbers of columns in a group.
pub const GROUP_SIZES: [u8; 2] = [32, 64];

/// The offset of a packed weight's byte, and its shift in that byte. Tiles of four rows and eight
/// columns run along the columns, then along the rows. A tile has a word for each row, with column
/// `2 s` in the four bits from bit `4 s` on, and column `2 s + 1` sixteen bits above: shifted right
/// by `4 s`, the word has two neighbouring columns in its halves. Weights carry an offset of 8,
/// which makes them unsigned.
pub const fn packed_place(row: usize, col: usize, cols: usize) -> (usize, u32) {
    let word = (row / TILE * cols + col / PACKED_COLS * PACKED_COLS) / PACKED_COLS * TILE + row % TILE;
    let (pair, high) = (col % PACKED_COLS / 2, col % 2);
    (4 * word + 2 * high + pair / 2, 4 * (pair as u32 % 2))
}

/// Columns in a group of a 4-bit table.
pub const TABLE_GROUP: usize = 32;

/// The offset of a 4-bit table weight's byte, and its shift in that byte. Neighbouring columns
/// share a byte.
pub const fn table_place(row: usize, col: usize, cols: usize) -> (usize, u32) {
    (row * (cols / 2) + col / 2, 4 * (col as u32 % 2))
}

/// Decodes the scale of a table's group: the low four bits are a mantissa with an implicit leading
/// one, the high four bits an exponent.
pub const fn table_scale(scale: u8) -> i32 {
    (16 + (scale as i32 & 15)) << (scale >> 4)
}

/// Dequantizes a weight of a table, up to the table's multiplier. `zero` is in sixteenths of a
/// quantization step. The result has at most 28 bits and a sign.
pub const fn table_weight(nibble: u8, scale: u8, zero: u8) -> i32 {
    (16 * (nibble as i32 & 15) - zero as i32) * table_scale(scale)
}

/// The offset of the scale of a packed weight's group. The scales of four rows are neighbours,
/// group after group.
pub const fn group_place(row: usize, col: usize, cols: usize, group: usize) -> usize {
    let groups = cols.div_ceil(at_least_one(group));
    (row / TILE * groups + col / at_least_one(group)) * TILE + row % TILE
}
