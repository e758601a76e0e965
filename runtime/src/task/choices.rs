//! Constrains generation to a list of texts.

use crate::error::RunError;

/// A list of texts, as token ids, one of which the model must generate: commands, labels, names.
///
/// The list is sorted, so that texts with a common prefix are neighbours and each generated token
/// narrows a range of the list, which a binary search finds.
///
/// ```
/// use kinglet::task::Choices;
/// let choices = Choices::new(&[&[3, 5], &[3, 7, 7], &[9]])?;
/// assert_eq!(choices.find(&[3, 7, 7]), Some(1));
/// assert!(Choices::new(&[&[9], &[3]]).is_err());
/// # Ok::<(), kinglet::RunError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Choices<'c> {
    texts: &'c [&'c [u32]],
}

/// The choices that begin with a given prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// The range `first..end` of the list.
    first: usize,
    end: usize,
    /// The length of the prefix in tokens.
    depth: usize,
}

impl<'c> Choices<'c> {
    /// A list of choices. `texts` must be strictly ascending, without an empty text.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] when they are not.
    pub fn new(texts: &'c [&'c [u32]]) -> Result<Self, RunError> {
        let ascending = texts.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let filled = texts.first().is_some_and(|text| !text.is_empty());
        if ascending && filled {
            Ok(Self { texts })
        } else {
            Err(RunError::InvalidOption { option: "choices", wanted: "sorted texts of tokens, each once" })
        }
    }

    /// The index of the choice that equals `text`.
    pub fn find(&self, text: &[u32]) -> Option<usize> {
        self.texts.binary_search(&text).ok()
    }

    /// The choices that begin with `text`.
    pub(super) fn narrow(&self, text: &[u32]) -> Narrowed {
        let first = self.texts.partition_point(|choice| *choice < text);
        let begins = |choice: &&[u32]| choice.starts_with(text);
        let len = self.texts.get(first..).unwrap_or(&[]).partition_point(|choice| begins(choice));
        Narrowed { first, end: first + len, depth: text.len() }
    }

    /// The tokens that may follow the prefix, ascending, possibly repeated.
    pub(super) fn next(&self, narrowed: Narrowed) -> impl Iterator<Item = u32> + '_ {
        let range = self.texts.get(narrowed.first..narrowed.end).unwrap_or(&[]);
        range.iter().filter_map(move |choice| choice.get(narrowed.depth).copied())
    }
}
