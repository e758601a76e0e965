//! How large the numbers of a model get: gathered from the reference.

use std::collections::BTreeMap;

use kinglet::format::layout::{BlockPart, HeadPart, Role, Shape, Stack};
use kinglet::format::spec::ModelSpec;

use super::flow::{Flow, Site};
use crate::real::Rows;

/// The largest magnitude of everything that the runtime holds in fixed point.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    found: BTreeMap<(Site, Role, Kind), f32>,
    /// The largest score of attention, base two.
    score: f32,
}

/// Scores beyond 2^14 count as equal; half of that is the headroom.
const MOST_SCORE: f32 = 8192.0;

/// What numbers are to the site that they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// All that is read there: their smallness costs precision.
    Whole,
    /// A term, or an argument: they must fit.
    Part,
    /// Squares of what was written.
    Square,
}

/// What one site met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The largest magnitude.
    pub(crate) largest: f32,
    /// The tensor that read or wrote it.
    pub(crate) at: Role,
    /// The largest square.
    pub(crate) square: f32,
    /// The largest magnitude of the layer where it is smallest; 0 where every layer is zero.
    pub(crate) smallest: f32,
}

impl Ranges {
    /// Takes in what a tensor reads and what it makes of it.
    pub(crate) fn add(&mut self, spec: &ModelSpec, role: Role, x: &Rows, out: &Rows) {
        let flow = Flow::of(spec, role);
        let stream = |site| matches!(site, Site::Residual(_) | Site::Narrow(_) | Site::Tokens(_) | Site::Embeddings(_));
        let read = match flow.reads {
            _ if flow.squared => Kind::Square,
            Site::Fixed => Kind::Part,
            _ => Kind::Whole,
        };
        let is_norm = matches!(role.shape(spec), Some(Shape::Norm { .. }));
        use BlockPart::{Gate, Up, Up1, Up2, Up3};
        let written = match flow.writes {
            // Small arguments of a function make small results.
            Site::Fixed if matches!(role, Role::Block(_, _, Gate | Up | Up1 | Up2 | Up3)) => Kind::Whole,
            Site::Fixed if role == Role::Head(HeadPart::Transform) => Kind::Whole,
            Site::Fixed => Kind::Part,
            // A projection's result is added to the stream.
            site if stream(site) && !is_norm => Kind::Part,
            _ => Kind::Whole,
        };
        self.keep((flow.reads, role, read), x);
        self.keep((flow.writes, role, written), out);
    }

    /// Takes in what a model answers.
    pub(crate) fn add_results(&mut self, results: &Rows) {
        self.keep((Site::Fixed, Role::Head(HeadPart::Output), Kind::Whole), results);
    }

    /// Takes in the largest score of a layer.
    pub(crate) fn add_score(&mut self, largest: f32) {
        self.score = self.score.max(if largest.is_nan() { f32::INFINITY } else { largest });
    }

    /// What is lost of scores, if anything is.
    pub(crate) fn score_limit(&self) -> Option<String> {
        (self.score > MOST_SCORE)
            .then(|| format!("scores of attention reach {}, and beyond 16384 they count as equal", self.score))
    }

    /// Takes in what another run found.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.score = self.score.max(other.score);
        for (key, &most) in &other.found {
            let largest = self.found.entry(*key).or_insert(0.0);
            *largest = largest.max(most);
        }
    }

    fn keep(&mut self, key: (Site, Role, Kind), rows: &Rows) {
        // What is not a number is larger than any.
        let magnitude = |x: &f32| if x.is_nan() { f32::INFINITY } else { x.abs() };
        let found = rows.values.iter().map(magnitude).fold(0.0, f32::max);
        let largest = self.found.entry(key).or_insert(0.0);
        *largest = largest.max(found);
    }

    /// Every site with what it met.
    pub(crate) fn sites(&self) -> BTreeMap<Site, Extent> {
        let mut sites = BTreeMap::new();
        for (&(site, role, kind), &most) in &self.found {
            let empty = Extent { largest: 0.0, at: role, square: 0.0, smallest: 0.0 };
            let extent: &mut Extent = sites.entry(site).or_insert(empty);
            if kind == Kind::Square {
                extent.square = extent.square.max(most);
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

/// How a site is named to people.
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
