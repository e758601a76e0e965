//! Choice among texts that are given.

use crate::error::RunError;

/// A list of texts, as token ids, of which the model is to write one: commands that exist, labels,
/// names.
///
/// It is sorted, so the texts with a common beginning are neighbours, and writing a token narrows a
/// range of the list. Nothing but that range is kept.
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

/// How a beginning of a text stands to a list of choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// The choices that begin so.
    first: usize,
    end: usize,
    /// Tokens of the beginning.
    depth: usize,
}

impl<'c> Choices<'c> {
    /// Texts in ascending order, none of them empty and none twice.
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

    /// Which of the choices a text is.
    pub fn find(&self, text: &[u32]) -> Option<usize> {
        self.texts.binary_search(&text).ok()
    }

    /// The choices that begin with these tokens.
    pub(super) fn narrow(&self, text: &[u32]) -> Narrowed {
        let first = self.texts.partition_point(|choice| *choice < text);
        let begins = |choice: &&[u32]| choice.starts_with(text);
        let len = self.texts.get(first..).unwrap_or(&[]).partition_point(|choice| begins(choice));
        Narrowed { first, end: first + len, depth: text.len() }
    }

    /// The tokens that may follow, ascending, some of them repeated.
    pub(super) fn next(&self, narrowed: Narrowed) -> impl Iterator<Item = u32> + '_ {
        let range = self.texts.get(narrowed.first..narrowed.end).unwrap_or(&[]);
        range.iter().filter_map(move |choice| choice.get(narrowed.depth).copied())
    }
}
