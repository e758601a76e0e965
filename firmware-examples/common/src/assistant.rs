//! A classifier that a task can own: its session lives as long as the program, and runs step by
//! step.

use heapless::Vec;
use kinglet::sample::argmax;
use kinglet::tokenizer::EncodeOptions;
use kinglet::{Pass, RunError, Session};

use crate::classify::TOKENS;
use crate::models::home_intent;
use crate::text::MAX_TOKENS;

/// A session in a static arena, the current sentence, and the progress of reading it.
pub struct Classifier {
    session: Session<'static, 'static>,
    ids: Vec<u32, MAX_TOKENS>,
    pass: Option<Pass>,
}

impl Classifier {
    /// A classifier in an arena of [`classify::ARENA`](crate::classify::ARENA) bytes.
    pub fn new(arena: &'static mut [u8]) -> Result<Self, RunError> {
        Ok(Self { session: Session::new(&home_intent::MODEL, arena, TOKENS)?, ids: Vec::new(), pass: None })
    }

    /// Tokenizes a sentence, with the arena as scratch memory, and begins to read it.
    pub fn hear(&mut self, sentence: &str) -> Result<(), RunError> {
        let mut ids = [0; MAX_TOKENS];
        let scratch = self.session.scratch();
        let count = home_intent::TOKENIZER.encode_ids(sentence, None, &EncodeOptions::default(), scratch, &mut ids)?;
        self.ids.clear();
        // `ids` has the capacity of the array.
        _ = self.ids.extend_from_slice(ids.get(..count).unwrap_or(&[]));
        self.pass = Some(self.session.begin_encode(&self.ids, &[])?);
        Ok(())
    }

    /// Runs the next step. Returns the intent when the whole sentence was read.
    pub fn step(&mut self) -> Result<Option<&'static str>, RunError> {
        let pass = self.pass.as_mut().ok_or(RunError::NoTokens)?;
        if self.session.advance(pass, &self.ids, &[])? {
            return Ok(None);
        }
        self.pass = None;
        let label = argmax(self.session.logits()?) as usize;
        Ok(Some(home_intent::MODEL.labels().nth(label).unwrap_or("?")))
    }
}
