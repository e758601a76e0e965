//! How often a model is right on a sample of the sentences that its training held out, each
//! followed by ` -> ` and the answer.

use kinglet::Error;

use crate::{Board, number};

/// Asks for every sentence's answer, and prints the wrong answers and the number of right ones.
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

/// What is before a mark and what is behind it. What [`str`] has for it could panic, as far as the
/// linker sees.
fn split<'s, const N: usize>(text: &'s str, mark: &[u8; N]) -> Option<(&'s str, &'s str)> {
    let at = text.as_bytes().windows(N.max(1)).position(|window| window == mark)?;
    Some((text.get(..at)?, text.get(at + N..)?))
}
