//! Groups labelled tokens into entities: spans of words.

/// The rule by which the tokens of a word agree on its label (`aggregation_strategy` of
/// `transformers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Aggregation {
    /// Every token has its own label.
    Simple,
    /// The first token decides.
    First,
    /// The mean of the tokens' scores decides.
    Average,
    /// The token with the highest score decides.
    Max,
}

/// A span of adjacent words with labels of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entity {
    /// The index of the first word's label; [`kind`] of its name is the entity's kind.
    pub label: usize,
    /// The position of the first token.
    pub start: usize,
    /// The position after the last token.
    pub end: usize,
    /// The mean of the words' scores.
    pub score: f32,
}

/// The kind of entity that a label names: the label without its `B-` or `I-` prefix.
///
/// ```
/// assert_eq!(kinglet::task::kind("B-PER"), "PER");
/// assert_eq!(kinglet::task::kind("O"), "O");
/// ```
pub fn kind(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

/// Groups tokens into entities, incrementally. Tokens with the label `O` are outside all entities.
///
/// ```
/// use kinglet::task::{Aggregation, Entities, Entity, kind, tag};
/// use kinglet::{RunError, Session};
///
/// /// Counts the rooms that a text names. Its first and last token are special tokens.
/// fn rooms(session: &mut Session, ids: &[u32]) -> Result<usize, RunError> {
///     let (mut word, mut scores, mut found) = ([0.0; 9], [0.0; 9], 0);
///     let labels = session.model().manifest().labels;
///     let mut entities = Entities::new(labels, Aggregation::Simple, &mut word);
///     let is_room = |label| labels.lines().nth(label).map(kind) == Some("room");
///     let mut each = |entity: Entity| found += usize::from(is_room(entity.label));
///     tag(session, ids, &[], &mut scores, |position, scores| match position {
///         position if position == 0 || position + 1 == ids.len() => entities.skip(&mut each),
///         _ => entities.push(scores, false, &mut each),
///     })?;
///     entities.end(each);
///     Ok(found)
/// }
/// # let _ = rooms;
/// ```
#[derive(Debug)]
pub struct Entities<'l, 's> {
    /// The names of the labels, one per line.
    labels: &'l str,
    aggregation: Aggregation,
    /// The scores of the current word.
    word: &'s mut [f32],
    /// The number of tokens of the current word.
    tokens: usize,
    /// The current entity, with the sum of its words' scores, and the number of its words.
    open: Option<(Entity, u32)>,
    position: usize,
}

impl<'l, 's> Entities<'l, 's> {
    /// An empty grouping. `labels` has one name per line; `word` is working memory with an element
    /// for each label.
    pub const fn new(labels: &'l str, aggregation: Aggregation, word: &'s mut [f32]) -> Self {
        Self { labels, aggregation, word, tokens: 0, open: None, position: 0 }
    }

    /// Adds the next token with its score for each label. `continues` says whether it belongs to
    /// the word of the previous token. Calls `each` with an entity that this token completes.
    pub fn push(&mut self, scores: &[f32], continues: bool, mut each: impl FnMut(Entity)) {
        let continues = continues && self.tokens > 0 && self.aggregation != Aggregation::Simple;
        if !continues {
            self.end_word(&mut each);
        }
        let most = |scores: &[f32]| scores.iter().fold(f32::MIN, |most, &score| most.max(score));
        let surer = most(scores) > most(self.word);
        for (sum, &score) in self.word.iter_mut().zip(scores) {
            match self.aggregation {
                _ if !continues => *sum = score,
                Aggregation::Average => *sum += score,
                Aggregation::Max if surer => *sum = score,
                _ => {}
            }
        }
        self.tokens += 1;
        self.position += 1;
    }

    /// Skips a token outside the text, such as a special token.
    pub fn skip(&mut self, mut each: impl FnMut(Entity)) {
        self.end(&mut each);
        self.position += 1;
    }

    /// Ends the text, and calls `each` with an entity that is still open.
    pub fn end(&mut self, mut each: impl FnMut(Entity)) {
        self.end_word(&mut each);
        self.close(&mut each);
    }

    fn name(&self, label: usize) -> &'l str {
        self.labels.lines().nth(label).unwrap_or("")
    }

    fn end_word(&mut self, each: &mut impl FnMut(Entity)) {
        let tokens = core::mem::take(&mut self.tokens);
        let best = self.word.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (Some((label, &sum)), true) = (best, tokens > 0) else { return };
        let score = if self.aggregation == Aggregation::Average { sum / tokens as f32 } else { sum };
        let name = self.name(label);
        let goes_on = self.open.is_some_and(|(open, _)| kind(self.name(open.label)) == kind(name));
        match &mut self.open {
            Some((open, words)) if goes_on && !name.starts_with("B-") => {
                (open.end, open.score, *words) = (self.position, open.score + score, *words + 1);
            }
            _ => {
                self.close(each);
                let start = self.position - tokens;
                self.open = Some((Entity { label, start, end: self.position, score }, 1)).filter(|_| name != "O");
            }
        }
    }

    fn close(&mut self, each: &mut impl FnMut(Entity)) {
        if let Some((entity, words)) = self.open.take() {
            each(Entity { score: entity.score / words as f32, ..entity });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = "O\nB-PER\nI-PER\nI-LOC";

    fn found(aggregation: Aggregation, tokens: &[([f32; 4], bool)]) -> heapless::Vec<(usize, usize, usize, f32), 8> {
        let mut word = [0.0; 4];
        let mut all = heapless::Vec::new();
        let mut entities = Entities::new(LABELS, aggregation, &mut word);
        let mut each = |entity: Entity| all.push((entity.label, entity.start, entity.end, entity.score)).expect("room");
        for (scores, continues) in tokens {
            entities.push(scores, *continues, &mut each);
        }
        entities.end(each);
        all
    }

    #[test]
    fn neighbours_of_one_kind_are_one_entity_until_another_begins() {
        let (o, b, i, l) = ([1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.25, 0.25], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.25, 0.75]);
        let tokens = [o, b, i, b, i, i, l, o, l].map(|scores| (scores, false));
        let expected = [(1, 1, 3, 0.75), (1, 3, 6, 2.5 / 3.0), (3, 6, 7, 0.75), (3, 8, 9, 0.75)];
        assert_eq!(found(Aggregation::Simple, &tokens), expected);
        assert_eq!(found(Aggregation::First, &tokens), expected);
    }

    #[test]
    fn the_tokens_of_a_word_agree_as_they_are_told_to() {
        let tokens = [([0.0, 0.5, 0.4, 0.1], false), ([0.1, 0.0, 0.0, 0.9], true), ([0.4, 0.3, 0.3, 0.0], true)];
        assert_eq!(found(Aggregation::Simple, &tokens), [(1, 0, 1, 0.5), (3, 1, 2, 0.9)]);
        assert_eq!(found(Aggregation::First, &tokens), [(1, 0, 3, 0.5)]);
        assert_eq!(found(Aggregation::Max, &tokens), [(3, 0, 3, 0.9)]);
        let average = found(Aggregation::Average, &tokens);
        assert_eq!((average[0].0, average[0].1, average[0].2), (3, 0, 3));
        assert!((average[0].3 - 1.0 / 3.0).abs() < 1e-6);
    }
}
