//! Grammars of answers: a few rules as text, compiled to a table over a tokenizer's tokens.
//!
//! The rules describe a regular language. They become an automaton over bytes, and that becomes one
//! over tokens: a token may follow where its bytes lead to a state from which the text can be
//! completed with tokens.

mod automaton;
mod parse;
mod tokens;

use anyhow::Result;
use kinglet::task::GrammarState;
use kinglet::tokenizer::Tokenizer;

pub use automaton::Automaton;

/// The automaton over bytes of a grammar's rules.
///
/// A rule is a line `name: what it stands for`; the first one stands for the whole text. Lines that
/// begin with `#` say nothing.
///
/// | written | stands for |
/// |---|---|
/// | `text` | itself, spaces included; none at the ends of a line or beside a bar |
/// | `{name}` | what the rule of this name stands for |
/// | `{0..100}` | a whole number of this range, without leading zeros |
/// | `{a..z}` | a character of this range |
/// | `one \| other` | one of them |
/// | `(…)` | what is inside, as one part |
/// | `[…]` | what is inside, or nothing |
/// | `…*`, `…+` | any number of the part before: `{name}`, `(…)` or `[…]`; at least one of it |
/// | `\x` | the character `x` itself; `\n` is the end of a line |
///
/// # Errors
/// The line that is no rule and why, a name without a rule, or rules that name each other in a
/// circle.
///
/// ```
/// use kinglet_convert::grammar::automaton;
///
/// let light = automaton("root: set {room} light to {0..100} percent\nroom: kitchen | living room\n")?;
/// assert!(light.accepts(b"set living room light to 30 percent"));
/// assert!(!light.accepts(b"set living room light to 030 percent"));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn automaton(rules: &str) -> Result<Automaton> {
    Automaton::new(&parse::parse(rules)?)
}

/// The states of a grammar over a tokenizer's tokens, of which the first is that of an empty text.
/// `begins` says that what is written begins a text, as an encoder-decoder's does: many tokenizers
/// write the first token without the space before it.
///
/// # Errors
/// A tokenizer whose tokens do not become text one by one, one that cannot spell any text of the
/// grammar, and a grammar with more states than a table has.
pub fn compile(grammar: &Automaton, tokenizer: &Tokenizer<'_>, begins: bool) -> Result<Vec<GrammarState>> {
    tokens::states(grammar, &tokens::spellings(tokenizer, begins)?)
}
