//! A classifier as a field of a task: a session that lives as long as the program, and works a step
//! at a time.

use heapless::Vec;
use kinglet::sample::argmax;
use kinglet::tokenizer::EncodeOptions;
use kinglet::{Pass, RunError, Session};

use crate::classify::TOKENS;
use crate::models::home_intent;
use crate::text::MAX_TOKENS;

/// What a task keeps: a session in an arena of the program's, the sentence, and how far it was
/// read.
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

    /// Takes a sentence. The arena serves the tokenizer until it is read.
    pub fn hear(&mut self, sentence: &str) -> Result<(), RunError> {
        let mut ids = [0; MAX_TOKENS];
        let scratch = self.session.scratch();
        let count = home_intent::TOKENIZER.encode_ids(sentence, None, &EncodeOptions::default(), scratch, &mut ids)?;
        self.ids.clear();
        // There is room for as many ids as were made.
        _ = self.ids.extend_from_slice(ids.get(..count).unwrap_or(&[]));
        self.pass = Some(self.session.begin_encode(&self.ids, &[])?);
        Ok(())
    }

    /// Reads the sentence one step further, and says what it asks for when it was read.
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
