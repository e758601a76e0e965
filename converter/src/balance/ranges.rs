//! Collects the largest magnitudes of a model's numbers from the reference.

use std::collections::BTreeMap;

use kinglet::format::layout::{BlockPart, HeadPart, Role, Shape, Stack};
use kinglet::format::spec::ModelSpec;

use super::flow::{Flow, Site};
use crate::real::Rows;

/// The largest magnitude of each number that the runtime holds in fixed point.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    found: BTreeMap<(Site, Role, Kind), f32>,
    /// The largest attention score, in base two.
    score: f32,
}

/// The largest score with headroom: scores beyond 2^14 count as equal.
const MOST_SCORE: f32 = 8192.0;

/// The relation of numbers to their site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// All numbers at the site: if they are small, precision is lost.
    Whole,
    /// Terms of a sum, or arguments: they only have to fit.
    Part,
    /// Products of the site's numbers, or squares.
    Product,
}

/// The magnitudes at one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The largest magnitude.
    pub(crate) largest: f32,
    /// The tensor that read or wrote it.
    pub(crate) at: Role,
    /// The largest product.
    pub(crate) product: f32,
    /// The largest magnitude in the layer where that is smallest; 0 if every layer is zero.
    pub(crate) smallest: f32,
}

impl Ranges {
    /// Adds the input and the output of a tensor.
    pub(crate) fn add(&mut self, spec: &ModelSpec, role: Role, x: &Rows, out: &Rows) {
        let flow = Flow::of(spec, role);
        let stream = |site| matches!(site, Site::Residual(_) | Site::Narrow(_) | Site::Tokens(_) | Site::Embeddings(_));
        let read = match flow.reads {
            _ if flow.times != Site::Fixed => Kind::Product,
            Site::Fixed => Kind::Part,
            _ => Kind::Whole,
        };
        let is_norm = matches!(role.shape(spec), Some(Shape::Norm { .. }));
        use BlockPart::{Gate, Key, Query, Up, Up1, Up2, Up3};
        let written = match flow.writes {
            // Small arguments of a function, and small factors, give small results.
            Site::Fixed if matches!(role, Role::Block(_, _, Query | Key | Gate | Up | Up1 | Up2 | Up3)) => Kind::Whole,
            Site::Fixed if role == Role::Head(HeadPart::Transform) => Kind::Whole,
            Site::Fixed => Kind::Part,
            // The result of a projection is added to the stream.
            site if stream(site) && !is_norm => Kind::Part,
            _ => Kind::Whole,
        };
        self.keep((flow.reads, role, read), x);
        if read == Kind::Product {
            self.keep((flow.times, role, read), x);
        }
        self.keep((flow.writes, role, written), out);
    }

    /// Adds the results of a model.
    pub(crate) fn add_results(&mut self, results: &Rows) {
        self.keep((Site::Fixed, Role::Head(HeadPart::Output), Kind::Whole), results);
    }

    /// Adds the largest score of a layer.
    pub(crate) fn add_score(&mut self, largest: f32) {
        self.score = self.score.max(if largest.is_nan() { f32::INFINITY } else { largest });
    }

    /// The loss of precision in scores, if there is any.
    pub(crate) fn score_limit(&self) -> Option<String> {
        (self.score > MOST_SCORE)
            .then(|| format!("scores of attention reach {}, and beyond 16384 they count as equal", self.score))
    }

    /// Adds the ranges of another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.score = self.score.max(other.score);
        for (key, &most) in &other.found {
            let largest = self.found.entry(*key).or_insert(0.0);
            *largest = largest.max(most);
        }
    }

    fn keep(&mut self, key: (Site, Role, Kind), rows: &Rows) {
        // NaN counts as infinite.
        let magnitude = |x: &f32| if x.is_nan() { f32::INFINITY } else { x.abs() };
        let found = rows.values.iter().map(magnitude).fold(0.0, f32::max);
        let largest = self.found.entry(key).or_insert(0.0);
        *largest = largest.max(found);
    }

    /// The magnitudes at every site.
    pub(crate) fn sites(&self) -> BTreeMap<Site, Extent> {
        let mut sites = BTreeMap::new();
        for (&(site, role, kind), &most) in &self.found {
            let empty = Extent { largest: 0.0, at: role, product: 0.0, smallest: 0.0 };
            let extent: &mut Extent = sites.entry(site).or_insert(empty);
            if kind == Kind::Product {
                extent.product = extent.product.max(most);
            } else if most > extent.largest {
                (extent.largest, extent.at) = (most, role);
            }
            if kind == Kind::Whole && most > 0.0 && (extent.smallest == 0.0 || most < extent.smallest) {
                extent.smallest = most;
            }
        }
        sites
    }
}

/// The name of a site for people.
pub(crate) fn site_name(site: Site) -> String {
    let stack = |id| if id == Stack::Encoder { "encoder" } else { "decoder" };
    match site {
        Site::Fixed => "results, or arguments of functions,".to_owned(),
        Site::Tokens(id) => format!("{}'s token vectors", stack(id)),
        Site::Embeddings(id) => format!("{}'s embeddings", stack(id)),
        Site::Residual(id) => format!("{}'s residual stream", stack(id)),
        Site::Narrow(id) => format!("{}'s narrow stream", stack(id)),
        Site::Heads(id) => format!("{}'s queries and keys before their norms", stack(id)),
        Site::Queries(id) => format!("{}'s queries", stack(id)),
        Site::Keys(id) => format!("{}'s keys", stack(id)),
        Site::Normed(id, block, part) | Site::Values(id, block, part) | Site::Inner(id, block, part) => {
            format!("results of {}.{block}.{part:?}", stack(id))
        }
    }
}
