//! Measures the accuracy of a model on a sample of held-out sentences. A sample has lines of the
//! form `sentence -> answer`.

use kinglet::Error;

use crate::{Board, number};

/// Calls `right` with each sentence and its answer; prints the sentences that were answered
/// wrongly, and the number of correct answers.
pub fn of<B: Board>(
    board: &mut B,
    sample: &str,
    mut right: impl FnMut(&str, &str) -> Result<bool, Error>,
) -> Result<(), Error> {
    let (mut asked, mut correct) = (0, 0);
    let mut rest = sample;
    while let Some((sentence, more)) = split(rest, b" -> ") {
        let (answer, next) = split(more, b"\n").unwrap_or((more, ""));
        rest = next;
        asked += 1;
        if right(sentence, answer)? {
            correct += 1;
        } else {
            board.print("wrong: ");
            board.print(sentence);
            board.print("\n");
        }
    }
    number(board, correct);
    board.print(" of ");
    number(board, asked);
    board.print(" right\n");
    Ok(())
}

/// Splits a text at the first occurrence of a mark. [`str::split_once`] contains a panic that the
/// compiler does not remove.
fn split<'s, const N: usize>(text: &'s str, mark: &[u8; N]) -> Option<(&'s str, &'s str)> {
    let at = text.as_bytes().windows(N.max(1)).position(|window| window == mark)?;
    Some((text.get(..at)?, text.get(at + N..)?))
}
