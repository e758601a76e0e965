//! Runs complete tasks on a [`Session`](crate::Session): generation, classification, embedding.
//!
//! Only this module returns floating point: probabilities, log-probabilities and sentence vectors.

mod answer;
mod beam;
mod buffer;
mod choices;
mod classify;
mod embed;
mod entities;
mod fill_mask;
mod generate;
mod grammar;
mod half;
mod restrict;
mod score;
mod sparse;
mod stop_text;

pub use answer::{Answer, answer};
pub use beam::{BeamOptions, BeamSearch, EarlyStopping, MAX_BEAMS, beam_search};
pub use buffer::{TokenBuffer, TokenSlice};
pub use choices::Choices;
pub use classify::{classify, probabilities, tag};
pub use embed::{embed, embed_half, embed_tokens};
pub use entities::{Aggregation, Entities, Entity, kind};
pub use fill_mask::{fill_in_turn, fill_mask};
pub use generate::{GenerateOptions, Generation, Progress, Stop, WhenFull, generate};
pub use grammar::{Grammar, MAX_STATES};
#[cfg(feature = "alloc")]
pub use grammar::{GrammarState, grammar_table};
pub use half::half_bits;
pub use score::{log_probability, pseudo_score, score};
pub use sparse::sparse;

pub use crate::session::shifted_start;
pub use stop_text::{MAX_STOP, StopText};

pub(crate) use score::log_normalizer;
