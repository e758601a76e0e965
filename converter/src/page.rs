//! Renders the report of a conversion as one self-contained HTML page, without scripts, fonts or
//! other files.

use crate::fit::{Board, Fit};
use crate::losses::Loss;
use crate::report::{Memory, Report};

mod charts;
mod text;

use charts::{Bar, bars, heat, share, stacked};
pub use text::grouped;
use text::{Escaped, scientific, size};

/// The beginning of every page.
pub const BEGIN: &str = "<!doctype html>\n<!-- A report of Kinglet -->\n";

const STYLE: &str = include_str!("page/style.css");

/// The most tensors that are shown.
const MOST: usize = 12;

/// Renders the page.
pub fn html(report: &Report) -> String {
    let sections = [figures(report), bytes(report), losses(report), memory(report), boards(report), tensors(report)];
    let (name, version) = (Escaped(&report.name), env!("CARGO_PKG_VERSION"));
    let head = format!(
        "<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>Quantization of {name}</title>\n\
         <style>\n{STYLE}</style>"
    );
    let title = format!(
        "<h1>{name}</h1>\n<p>{} with {} parameters, quantized by Kinglet {version}</p>\n",
        Escaped(&report.model_type),
        grouped(report.parameters as u64)
    );
    format!(
        "{BEGIN}<html lang=\"en\"><head>\n{head}\n</head>\n<body><main>\n{title}{}</main></body></html>\n",
        sections.concat()
    )
}

/// The most important figures.
fn figures(report: &Report) -> String {
    let fidelity = &report.fidelity;
    let total = report.bytes.get("total").copied().unwrap_or(0) as u64;
    let mut figures = vec![
        (size(total), "of flash".to_owned()),
        (format!("{:.5}", fidelity.cosine_mean), "mean cosine to f32".to_owned()),
        (format!("{:.5}", fidelity.cosine_min), "least cosine".to_owned()),
    ];
    if let Some(language) = &fidelity.language {
        figures.push((format!("{:.4}", language.kl), "KL divergence from f32, nats per token".to_owned()));
        figures.push((format!("{:.2} %", 100.0 * language.top1), "top-1 agreement with f32".to_owned()));
    }
    let fitting = report.boards.iter().filter(|fit| fit.fits()).count();
    figures.push((format!("{fitting} of {}", report.boards.len()), "boards that it fits".to_owned()));
    let each =
        |(value, what): &(String, String)| format!("<div class=\"figure\"><b>{value}</b><span>{what}</span></div>\n");
    let measured = format!("Measured on {} {}.", report.texts, report.measured);
    let least = report.least.as_ref().map_or_else(String::new, |text| {
        format!("<p>{measured} The text with the smallest cosine is</p><blockquote>{}</blockquote>\n", Escaped(text))
    });
    let least = if least.is_empty() { format!("<p>{measured}</p>\n") } else { least };
    let cards: String = figures.iter().map(each).collect();
    format!("<div class=\"figures\">\n{cards}</div>\n{}", section("Fidelity", "", &least))
}

fn bytes(report: &Report) -> String {
    let mut parts: Vec<(&str, u64)> = report
        .bytes
        .iter()
        .filter(|(part, bytes)| **part != "total" && **bytes > 0)
        .map(|(part, bytes)| (*part, *bytes as u64))
        .collect();
    parts.sort_by_key(|(_, bytes)| core::cmp::Reverse(*bytes));
    let total = parts.iter().map(|(_, bytes)| bytes).sum::<u64>().max(1);
    let legend = |(at, (part, bytes)): (usize, &(&str, u64))| {
        let percent = 100.0 * *bytes as f64 / total as f64;
        let color = charts::color(at);
        format!("<span><i class=\"{color}\"></i>{} <em>{}, {percent:.1} %</em></span>\n", Escaped(part), size(*bytes))
    };
    let legend: String = parts.iter().enumerate().map(legend).collect();
    let chart = stacked(&parts.iter().map(|(part, bytes)| (*part, *bytes as f64)).collect::<Vec<_>>());
    section("Size by part", "", &format!("{chart}<div class=\"legend\">\n{legend}</div>\n"))
}

fn losses(report: &Report) -> String {
    if report.losses.is_empty() {
        return String::new();
    }
    // The cost is the divergence if the model predicts tokens, and otherwise the distance of the
    // cosine from one.
    let by_kl = report.losses.iter().all(|loss| loss.kl.is_some());
    let cost = |loss: &Loss| loss.kl.filter(|_| by_kl).unwrap_or(loss.cosine).max(0.0);
    let what = if by_kl { "KL divergence from f32 in nats per token" } else { "1 − cosine to f32" };
    let labelled = |label: &str, loss: &Loss| Bar {
        label: label.to_owned(),
        parts: vec![cost(loss)],
        value: format!("{} · {}", scientific(cost(loss)), size(loss.bytes as u64)),
    };
    let mut parts: Vec<(&str, &Loss)> = report
        .losses
        .iter()
        .filter(|loss| loss.layer.is_none())
        .filter_map(|loss| Some((loss.part.as_deref()?, loss)))
        .collect();
    parts.sort_by(|a, b| cost(b.1).total_cmp(&cost(a.1)));
    let parts: Vec<Bar> = parts.into_iter().map(|(part, loss)| labelled(part, loss)).collect();
    let cells: Vec<(&str, &str, f64)> = report
        .losses
        .iter()
        .filter_map(|loss| Some((loss.layer.as_deref()?, loss.part.as_deref()?, cost(loss))))
        .collect();
    let mut page = section(
        "Loss by part",
        &format!("Each part is quantized alone, with everything else in f32: {what}, and the size of the part."),
        &bars(&parts, &["hot"]),
    );
    if !cells.is_empty() {
        let whole: Vec<(&str, f64)> = report
            .losses
            .iter()
            .filter(|loss| loss.part.is_none())
            .filter_map(|loss| Some((loss.layer.as_deref()?, cost(loss))))
            .collect();
        let said = format!(
            "Each square is one part of one layer, quantized alone: {what}. The stronger the color, the larger the loss."
        );
        page += &section("Loss by layer and part", &said, &heat(&cells, &whole));
    }
    page
}

fn memory(report: &Report) -> String {
    let bar = |memory: &Memory| Bar {
        label: format!("{} tokens", grouped(memory.tokens as u64)),
        parts: vec![memory.cache as f64, (memory.arena - memory.cache) as f64],
        value: size(memory.arena),
    };
    let rows: Vec<Bar> = report.memory.iter().map(bar).collect();
    let legend = "<div class=\"legend\"><span><i class=\"c0\"></i>keys and values</span><span><i class=\"c2\"></i>\
                  scratch memory</span></div>\n";
    let said = "RAM of the arena, by the length of the longest text.";
    section("Memory", said, &format!("{}{legend}", bars(&rows, &["c0", "c2"])))
}

fn boards(report: &Report) -> String {
    if report.boards.is_empty() {
        return String::new();
    }
    let row = |fit: &&Fit| {
        let Board { name, chip, core, clock, flash, ram, .. } = fit.board;
        let (class, mark) = if fit.fits() { ("yes", "✓") } else { ("no", "✗") };
        let tokens = fit.tokens.map_or_else(|| "–".to_owned(), |tokens| grouped(tokens as u64));
        let time = if fit.fits() { format!("{:.1} ms", fit.estimate.milliseconds()) } else { "–".to_owned() };
        let cells = [
            format!("<td><b class=\"{class}\">{mark}</b></td>"),
            format!("<td>{} <small>{}, {}, {clock} MHz</small></td>", Escaped(name), Escaped(chip), core.name()),
            format!("<td class=\"bar\">{}<small>", share(fit.blob as f64 / (1024 * flash).max(1) as f64)),
            format!("{} of {}</small></td>", size(fit.blob), size(1024 * flash)),
            format!("<td class=\"number\">{}</td>", size(1024 * ram)),
            format!("<td class=\"number\">{tokens}</td><td class=\"number\">{time}</td>"),
        ];
        format!("<tr{}>{}</tr>\n", if fit.fits() { "" } else { " class=\"lost\"" }, cells.concat())
    };
    let mut sorted: Vec<&Fit> = report.boards.iter().collect();
    sorted.sort_by_key(|fit| !fit.fits());
    let rows: String = sorted.iter().map(row).collect();
    let head = "<tr><th></th><th>board</th><th>flash</th><th class=\"number\">RAM</th><th class=\"number\">longest text, tokens</th>\
                <th class=\"number\">time per token</th></tr>";
    let said = "Times are estimates from the instruction counts of emulated cores and the speed of the flash. \
                kinglet fit lists the options with which it would fit the other boards.";
    section("Boards", said, &format!("<table>\n{head}\n{rows}</table>\n"))
}

fn tensors(report: &Report) -> String {
    let mut worst: Vec<&(String, f64)> = report.tensors.iter().collect();
    worst.sort_by(|a, b| b.1.total_cmp(&a.1));
    let bar = |(name, error): &&(String, f64)| Bar {
        label: name.clone(),
        parts: vec![*error],
        value: format!("{:.3} %", 100.0 * error),
    };
    let rows: Vec<Bar> = worst.iter().take(MOST).map(bar).collect();
    let said = "The tensors with the largest rounding errors: root mean square, relative to that of the tensor.";
    section("Rounding", said, &bars(&rows, &["c3"]))
}

fn section(title: &str, said: &str, body: &str) -> String {
    let said = if said.is_empty() { String::new() } else { format!("<p>{said}</p>\n") };
    format!("<section>\n<h2>{title}</h2>\n{said}{body}</section>\n")
}
