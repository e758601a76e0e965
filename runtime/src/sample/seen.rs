//! Changes the logits of tokens that a text already has.

/// The logit of a suppressed token, which is never chosen.
pub const SUPPRESSED: i32 = i32::MIN;

/// Logits per pass over the text: their bit set takes 512 bytes of stack.
const WINDOW: usize = 4096;

/// Changes the logit of each distinct token in `seen`, except suppressed logits.
///
/// Takes a pass over `seen` for every 4,096 logits, up to the largest token in `seen`.
pub(crate) fn change_seen(logits: &mut [i32], seen: &[u32], change: impl Fn(i32) -> i64) {
    let Some(last) = seen.iter().copied().max() else { return };
    for (index, window) in logits.chunks_mut(WINDOW).take(last as usize / WINDOW + 1).enumerate() {
        change_in_window(window, index * WINDOW, seen, &change);
    }
}

/// Changes the logits of a window that begins at token `first`.
fn change_in_window(window: &mut [i32], first: usize, seen: &[u32], change: &impl Fn(i32) -> i64) {
    let mut changed = [0_u32; WINDOW / 32];
    for &token in seen {
        let token = (token as usize).wrapping_sub(first);
        let Some(logit) = window.get_mut(token) else { continue };
        let Some(word) = changed.get_mut(token / 32) else { continue };
        let bit = 1 << (token % 32);
        if *word & bit == 0 && *logit != SUPPRESSED {
            *logit = change(*logit).clamp(i64::from(SUPPRESSED + 1), i64::from(i32::MAX)) as i32;
        }
        *word |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_changed_once_in_every_window() {
        let mut logits = [0; 2 * WINDOW + 5];
        let edges = [0, 1, WINDOW - 1, WINDOW, WINDOW + 31, 2 * WINDOW, 2 * WINDOW + 4];
        let mut seen = [0; 14];
        for (index, slot) in seen.iter_mut().enumerate() {
            *slot = edges[index % 7] as u32;
        }
        change_seen(&mut logits, &seen, |logit| i64::from(logit) + 1);
        for (token, &logit) in logits.iter().enumerate() {
            assert_eq!(logit, i32::from(edges.contains(&token)), "token {token}");
        }
    }

    #[test]
    fn tokens_beyond_the_logits_and_suppressed_ones_change_nothing() {
        let mut logits = [SUPPRESSED, 7];
        change_seen(&mut logits, &[0, 2, u32::MAX, 1], |_| i64::MAX);
        assert_eq!(logits, [SUPPRESSED, i32::MAX]);
        change_seen(&mut logits, &[], |_| 0);
        assert_eq!(logits, [SUPPRESSED, i32::MAX]);
    }
}
