//! Numbers the tokens that a folder's files add to a vocabulary.

use std::collections::HashMap;

use serde_json::Value;

use super::settings::Token;

/// The added tokens, which are found before a text is split, in the order in which they get ids.
#[derive(Debug, Default)]
pub(super) struct Added {
    vocabulary: HashMap<String, u64>,
    /// The number of tokens in the model.
    size: u64,
    tokens: Vec<(u64, Token)>,
    moved: Vec<String>,
}

impl Added {
    /// The tokens of `given` keep their ids. Each token of `listed` and `special` gets its id in
    /// the vocabulary, or else the next free id. If a token occurs twice, the flags of its last
    /// entry count.
    pub(super) fn new(
        model: &Value,
        given: &[(u64, Token)],
        listed: impl IntoIterator<Item = (Option<u64>, Token)>,
        special: impl IntoIterator<Item = Token>,
    ) -> Self {
        let vocabulary: HashMap<String, u64> = match &model["vocab"] {
            Value::Object(map) => map.iter().filter_map(|(text, id)| Some((text.clone(), id.as_u64()?))).collect(),
            Value::Array(list) => {
                (0..).zip(list).filter_map(|(id, piece)| Some((piece[0].as_str()?.to_owned(), id))).collect()
            }
            _ => HashMap::new(),
        };
        let size = vocabulary.len().max(model["vocab"].as_array().map_or(0, Vec::len)) as u64;
        let mut added = Self { size, vocabulary, tokens: given.to_vec(), moved: Vec::new() };
        let listed: Vec<(Option<u64>, Token)> = listed.into_iter().collect();
        for (said, token) in &listed {
            added.push(token.clone(), *said);
        }
        for token in special {
            // Tokens that the files list keep the flags of the list.
            if !listed.iter().any(|(_, other)| other.content == token.content) {
                added.push(token, None);
            }
        }
        added
    }

    fn push(&mut self, token: Token, said: Option<u64>) {
        if token.content.is_empty() {
            return;
        }
        let next = self.tokens.iter().map(|(id, _)| id + 1).max().unwrap_or(0).max(self.size);
        let id = self.id(&token.content).unwrap_or(next);
        if said.is_some_and(|said| said != id) {
            self.moved.push(format!(
                "{:?} is token {id}, though the files list it as {}",
                token.content,
                said.unwrap_or(0)
            ));
        }
        self.tokens.retain(|(_, other)| other.content != token.content);
        self.tokens.push((id, token));
    }

    /// The id of a token, added or not.
    pub(super) fn id(&self, content: &str) -> Option<u64> {
        let added = self.tokens.iter().find(|(_, token)| token.content == content);
        added.map(|(id, _)| *id).or_else(|| self.vocabulary.get(content).copied())
    }

    /// Whether the added tokens are exactly these.
    pub(super) fn equals(&self, tokens: &[(u64, Token)]) -> bool {
        let mut own: Vec<&(u64, Token)> = self.tokens.iter().collect();
        let mut others: Vec<&(u64, Token)> = tokens.iter().collect();
        own.sort_by_key(|(id, _)| *id);
        others.sort_by_key(|(id, _)| *id);
        own == others
    }

    pub(super) fn note_moved(&self, notes: &mut Vec<String>) {
        notes.extend(self.moved.iter().cloned());
    }

    /// The added tokens in the format of `tokenizer.json`.
    pub(super) fn json(&self) -> Value {
        let mut tokens = self.tokens.clone();
        tokens.sort_by_key(|(id, _)| *id);
        Value::Array(tokens.iter().map(|(id, token)| token.json(*id)).collect())
    }
}
