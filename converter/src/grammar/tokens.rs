//! Converts an automaton over bytes to one over tokens.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::{Context, Result, bail, ensure};
use kinglet::task::{GrammarState, MAX_STATES};
use kinglet::tokenizer::Tokenizer;
use kinglet::tokenizer::section::DecoderSpec;

use super::Automaton;

/// The bytes that tokens stand for, in the order of their ids.
pub(super) struct Spellings {
    /// Tokens at the beginning of the generated text.
    first: Vec<(u32, Vec<u8>)>,
    /// Tokens that follow others.
    others: Vec<(u32, Vec<u8>)>,
}

/// Finds the bytes that each token of a tokenizer stands for.
pub(super) fn spellings(tokenizer: &Tokenizer<'_>, begins: bool) -> Result<Spellings> {
    let decoder = tokenizer.header().decoder;
    ensure!(
        !matches!(decoder, DecoderSpec::Suffix { .. }),
        "a token's text depends on the token before it in this tokenizer, whose words end with a mark\nuse `kinglet generate --choices`, which needs no grammar"
    );
    let ids = || (0..tokenizer.vocab_size()).filter(|&id| tokenizer.is_known(id) && !tokenizer.is_special(id));
    let text = |before: Option<u32>, id: u32| {
        let mut decoder = tokenizer.decoder(true);
        let mut text = String::new();
        before.into_iter().for_each(|before| decoder.push(before, &mut |_| ()));
        decoder.push(id, &mut |piece| text += piece);
        text.into_bytes()
    };
    let bytes = |before: Option<u32>, id: u32| {
        let mut pieces = Vec::new();
        tokenizer.pieces(id, &mut |piece| pieces.extend_from_slice(piece));
        match decoder {
            DecoderSpec::ByteLevel => pieces,
            DecoderSpec::ByteFallback { .. } => byte_of(&pieces).map_or_else(|| text(before, id), |byte| vec![byte]),
            _ => text(before, id),
        }
    };
    // A plain word: a token that follows it has the spaces that it has inside a text.
    let before = ids().find(|&id| {
        let text = text(None, id);
        text.first().is_some_and(u8::is_ascii_alphanumeric) && text.iter().all(u8::is_ascii)
    });
    let before = before
        .context("the tokenizer has no token that is a plain word\nconvert a checkpoint with its own tokenizer")?;
    let all = |before: Option<u32>| {
        ids().map(|id| (id, bytes(before, id))).filter(|(_, bytes)| !bytes.is_empty()).collect::<Vec<_>>()
    };
    Ok(Spellings { first: all(if begins { None } else { Some(before) }), others: all(Some(before)) })
}

/// The byte that a token such as `<0x0A>` stands for.
fn byte_of(name: &[u8]) -> Option<u8> {
    let digits = name.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = core::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// Builds the states over tokens. The first one is that of an empty text, and no edge leads to it.
pub(super) fn states(grammar: &Automaton, spellings: &Spellings) -> Result<Vec<GrammarState>> {
    // The edges of reachable states over bytes. The first state is kept apart, because its tokens
    // may differ.
    let edges_of = |state: usize, spellings: &[(u32, Vec<u8>)]| -> Vec<(u32, usize)> {
        spellings.iter().filter_map(|(id, bytes)| Some((*id, grammar.after(state, bytes)?))).collect()
    };
    let first = edges_of(0, &spellings.first);
    let mut reached: HashMap<usize, Vec<(u32, usize)>> = HashMap::new();
    let mut open: Vec<usize> = first.iter().map(|(_, to)| *to).collect();
    while let Some(state) = open.pop() {
        if let Entry::Vacant(place) = reached.entry(state) {
            let edges = place.insert(edges_of(state, &spellings.others));
            open.extend(edges.iter().map(|(_, to)| *to));
        }
    }
    // States from which tokens complete the text, found backwards from the ends.
    let mut whole: Vec<bool> = (0..grammar.states()).map(|state| grammar.may_end(state)).collect();
    loop {
        let more: Vec<usize> = (reached.iter())
            .filter(|(state, edges)| !whole[**state] && edges.iter().any(|(_, to)| whole[*to]))
            .map(|(state, _)| *state)
            .collect();
        if more.is_empty() {
            break;
        }
        more.into_iter().for_each(|state| whole[state] = true);
    }
    let mut kept: Vec<usize> = reached.keys().copied().filter(|&state| whole[state]).collect();
    kept.sort_unstable();
    if kept.len() >= MAX_STATES {
        bail!(
            "the grammar has {} states over tokens, and a table holds {MAX_STATES}\nwrite fewer or shorter choices",
            kept.len() + 1
        );
    }
    let numbers: HashMap<usize, u16> = kept.iter().zip(1..).map(|(&state, number)| (state, number)).collect();
    let named = |edges: &[(u32, usize)]| {
        edges.iter().filter_map(|(token, to)| Some((*token, *numbers.get(to)?))).collect::<Vec<_>>()
    };
    let begin = GrammarState { may_end: grammar.may_end(0), edges: named(&first) };
    ensure!(
        !begin.edges.is_empty(),
        "the tokenizer spells no text of the grammar\nwrite it with characters that the vocabulary has"
    );
    let others =
        kept.iter().map(|state| GrammarState { may_end: grammar.may_end(*state), edges: named(&reached[state]) });
    Ok([begin].into_iter().chain(others).collect())
}
