//! Measures in which direction texts are likelier to a decoder, so that a wrong direction is
//! noticed at the conversion.

use core::fmt;

use anyhow::Result;
use kinglet::format::spec::{Direction, Task};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use serde::Serialize;

use crate::family::direction_name;
use crate::fidelity::log_softmax;
use crate::opened::Source;
use crate::reference::Reference;
use crate::texts::Input;
use crate::tokenizer::encode;

/// Plain sentences, similar to the texts that most models are trained on.
const SENTENCES: [&str; 6] = [
    "Once there was a little girl who lived near the river and liked to play in the garden.",
    "One day the old man went to the market to buy some bread for his family.",
    "The children were very happy because the sun was shining and they could go to the park.",
    "She opened the door, looked out of the window and saw that it was raining.",
    "He did not know what to do, so he asked his friend for help.",
    "In the end they all went home together, and that was the end of the day.",
];

/// The difference in nats per token from which the user is told that the other direction is
/// likelier. Untrained models stay below it.
const FAR: f64 = 1.0;

/// The mean negative log-probability of a token in nats, for texts read in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Losses {
    /// The direction that the model was converted with.
    #[serde(serialize_with = "serialize_name")]
    pub direction: Direction,
    /// The loss of texts read from the beginning to the end.
    pub forward: f64,
    /// The loss of texts read from the end to the beginning.
    pub backward: f64,
}

impl Losses {
    /// Whether the texts are far likelier in the other direction.
    pub fn contradict(&self) -> bool {
        let (own, other) = match self.direction {
            Direction::Forward => (self.forward, self.backward),
            Direction::Backward => (self.backward, self.forward),
        };
        own - other > FAR
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (forward, backward) = (self.forward, self.backward);
        write!(f, "plain texts cost {forward:.2} nats a token read forward, {backward:.2} read backward")?;
        if self.contradict() {
            let other = match self.direction {
                Direction::Forward => Direction::Backward,
                Direction::Backward => Direction::Forward,
            };
            write!(
                f,
                "; if the checkpoint was trained on texts that way, convert it with --direction {}",
                direction_name(other)
            )?;
        }
        Ok(())
    }
}

/// Measures the texts `given` in both directions, or some plain sentences if there are none. `None`
/// if the model does not predict the next token, or has no tokenizer for the sentences.
///
/// # Errors
/// When a text does not fit the model.
pub fn losses(source: &Source, tokenizer: Option<&Tokenizer<'_>>, given: &[Input]) -> Result<Option<Losses>> {
    let spec = source.spec();
    let Some(decoder) = spec.decoder.filter(|_| spec.encoder.is_none() && spec.head.task == Task::CausalLm) else {
        return Ok(None);
    };
    let texts: Vec<Vec<Token>> = if given.is_empty() {
        let Some(tokenizer) = tokenizer else { return Ok(None) };
        let options = EncodeOptions { max_length: Some(decoder.max_positions as usize), ..EncodeOptions::default() };
        SENTENCES.iter().map(|text| encode(tokenizer, text, None, &options)).collect::<Result<_>>()?
    } else {
        let token = |&id: &u32| Token { id, text: Some(0), ..Token::default() };
        let mut texts: Vec<Vec<Token>> = given.iter().map(|text| text.ids.iter().map(token).collect()).collect();
        if spec.direction == Direction::Backward {
            texts.iter_mut().for_each(|text| text.reverse());
        }
        texts
    };
    let mut sums = [(0.0, 0); 2];
    let mut reference = Reference::new(spec, &source.weights);
    for text in texts {
        let reversed: Vec<Token> = text.iter().rev().copied().collect();
        for (read, (sum, count)) in [text, reversed].iter().zip(&mut sums) {
            let ids: Vec<u32> = read.iter().map(|token| token.id).collect();
            let rows = reference.forward(&ids, &[], &[])?;
            // Only tokens of the text count, except its first: special tokens are on one side of
            // the text only.
            let first = read.iter().position(|token| token.text.is_some()).unwrap_or(0);
            for (row, token) in
                rows.rows().zip(read.iter().skip(1)).skip(first).filter(|(_, token)| token.text.is_some())
            {
                let exact: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
                *sum -= log_softmax(&exact)[token.id as usize];
                *count += 1;
            }
        }
    }
    let [forward, backward] = sums.map(|(sum, count)| sum / f64::from(count.max(1)));
    Ok((sums[0].1 > 0).then_some(Losses { direction: spec.direction, forward, backward }))
}

fn serialize_name<S: serde::Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction_name(*direction))
}
