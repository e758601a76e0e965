//! Draws charts as SVG. Hovering over a mark shows its value.

use super::text::{Escaped, scientific};

/// Widths in units of the drawing: the whole, the labels on the left, and the values on the right.
const WIDTH: f64 = 960.0;
const LABELS: f64 = 190.0;
const VALUES: f64 = 170.0;
/// The height of a row, and of the bar in it.
const ROW: f64 = 28.0;
const BAR: f64 = 16.0;
/// The largest distance between the columns of a heat map.
const COLUMN: f64 = 118.0;

/// A row of a bar chart.
pub(super) struct Bar {
    pub(super) label: String,
    /// The lengths of the bar's parts, in one unit for all rows.
    pub(super) parts: Vec<f64>,
    pub(super) value: String,
}

/// The color class of part `at`.
pub(super) fn color(at: usize) -> &'static str {
    ["c0", "c1", "c2", "c3", "c4", "c5", "c6"][at % 7]
}

/// Draws one bar whose parts are shares of a whole.
pub(super) fn stacked(parts: &[(&str, f64)]) -> String {
    const HEIGHT: f64 = 38.0;
    let total: f64 = parts.iter().map(|(_, value)| value).sum();
    let mut left = 0.0;
    let rects = parts.iter().enumerate().map(|(at, (name, value))| {
        let width = WIDTH * value / total.max(f64::MIN_POSITIVE);
        let title = format!("{}: {:.1} %", Escaped(name), 100.0 * value / total.max(f64::MIN_POSITIVE));
        let shown = (width - 2.0).max(0.5);
        let rect = format!(
            "<rect class=\"{}\" x=\"{left:.1}\" width=\"{shown:.1}\" height=\"{HEIGHT}\" rx=\"4\"><title>{title}</title></rect>",
            color(at)
        );
        left += width;
        rect
    });
    drawing(HEIGHT, &rects.collect::<String>())
}

/// Draws a bar for each row. The longest bar fills the width, and part `n` has color `colors[n]`.
pub(super) fn bars(rows: &[Bar], colors: &[&str]) -> String {
    let longest = rows.iter().map(|row| row.parts.iter().sum()).fold(f64::MIN_POSITIVE, f64::max);
    let room = WIDTH - LABELS - VALUES;
    let each = rows.iter().enumerate().map(|(at, row)| {
        let top = ROW * at as f64 + (ROW - BAR) / 2.0;
        let middle = top + BAR / 2.0;
        let mut left = LABELS;
        let mut drawn = format!(
            "<text x=\"{}\" y=\"{middle}\" dy=\".35em\" class=\"end soft\">{}</text>\
             <rect class=\"track\" x=\"{LABELS}\" y=\"{top}\" width=\"{room}\" height=\"{BAR}\" rx=\"4\"/>",
            LABELS - 12.0,
            Escaped(&row.label)
        );
        for (part, color) in row.parts.iter().zip(colors) {
            let width = room * part / longest;
            let title = format!("{}: {}", Escaped(&row.label), Escaped(&row.value));
            drawn += &format!(
                "<rect class=\"{color}\" x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"4\"><title>{title}</title></rect>",
                width.max(if *part > 0.0 { 1.5 } else { 0.0 })
            );
            left += width;
        }
        drawn += &format!(
            "<text x=\"{}\" y=\"{middle}\" dy=\".35em\">{}</text>",
            WIDTH - VALUES + 12.0,
            Escaped(&row.value)
        );
        drawn
    });
    drawing(ROW * rows.len() as f64, &each.collect::<String>())
}

/// Draws a square for each row and column, the hotter the larger its value, with the value of the
/// whole row beside it. The color scale is logarithmic.
pub(super) fn heat(cells: &[(&str, &str, f64)], whole: &[(&str, f64)]) -> String {
    let mut rows: Vec<&str> = Vec::new();
    let mut columns: Vec<&str> = Vec::new();
    for (row, column, _) in cells {
        if !rows.contains(row) {
            rows.push(row);
        }
        if !columns.contains(column) {
            columns.push(column);
        }
    }
    let values = || cells.iter().map(|cell| cell.2).filter(|value| *value > 0.0);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
    let hotness = |value: f64| {
        let range = libm::log(most / least).max(f64::MIN_POSITIVE);
        if value > 0.0 { (libm::log(value / least) / range).clamp(0.0, 1.0) } else { 0.0 }
    };
    let names = 110.0;
    let step = ((WIDTH - names - VALUES / 2.0) / columns.len().max(1) as f64).min(COLUMN);
    let mut drawn = String::new();
    for (at, column) in columns.iter().enumerate() {
        let x = names + step * (at as f64 + 0.5);
        drawn += &format!("<text x=\"{x:.1}\" y=\"14\" class=\"middle soft\">{}</text>", Escaped(column));
    }
    let end = names + step * columns.len() as f64;
    drawn += &format!("<text x=\"{}\" y=\"14\" class=\"soft\">whole layer</text>", end + 12.0);
    for (at, row) in rows.iter().enumerate() {
        let top = 24.0 + ROW * at as f64;
        let middle = top + ROW / 2.0;
        drawn += &format!(
            "<text x=\"{}\" y=\"{middle}\" dy=\".35em\" class=\"end soft\">layer {}</text>",
            names - 12.0,
            Escaped(row)
        );
        for (_, column, value) in cells.iter().filter(|cell| cell.0 == *row) {
            let x = names + step * columns.iter().position(|one| one == column).unwrap_or(0) as f64;
            let percent = 6.0 + 84.0 * hotness(*value);
            drawn += &format!(
                "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\" rx=\"4\" style=\"fill:color-mix(in oklab,var(--hot) \
                 {percent:.0}%,var(--ground))\"><title>layer {}, {}: {value:.2e}</title></rect>",
                step - 3.0,
                ROW - 3.0,
                Escaped(row),
                Escaped(column)
            );
            if step > 70.0 {
                let class = if percent > 50.0 { "middle inked" } else { "middle" };
                drawn += &format!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" dy=\".35em\" class=\"{class}\">{}</text>",
                    x + (step - 3.0) / 2.0,
                    middle - 1.5,
                    scientific(*value)
                );
            }
        }
        if let Some((_, value)) = whole.iter().find(|(name, _)| name == row) {
            let value = scientific(*value);
            drawn += &format!("<text x=\"{}\" y=\"{middle}\" dy=\".3em\">{value}</text>", end + 12.0);
        }
    }
    drawing(24.0 + ROW * rows.len() as f64, &drawn)
}

/// Draws a bar of the share `taken` of a whole.
pub(super) fn share(taken: f64) -> String {
    let color = if taken > 1.0 { "hot" } else { "c0" };
    format!(
        "<svg viewBox=\"0 0 180 8\" role=\"img\"><rect class=\"track\" width=\"180\" height=\"8\" rx=\"4\"/><rect class=\"{color}\" \
         width=\"{:.1}\" height=\"8\" rx=\"4\"/></svg>",
        180.0 * taken.clamp(0.01, 1.0)
    )
}

fn drawing(height: f64, inside: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">{inside}</svg>\n")
}
