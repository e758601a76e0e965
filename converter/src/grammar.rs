//! Compiles grammars for generated text: rules are text, and become a table over a tokenizer's
//! tokens.
//!
//! The rules describe a regular language. They become an automaton over bytes, and then one over
//! tokens: a token may follow if its bytes lead to a state from which tokens can complete the text.

mod automaton;
mod parse;
mod tokens;

use anyhow::Result;
use kinglet::task::GrammarState;
use kinglet::tokenizer::Tokenizer;

pub use automaton::Automaton;

/// Compiles the rules of a grammar to an automaton over bytes.
///
/// A rule is a line `name: expression`. The first rule describes the whole text. Lines that begin
/// with `#` are comments.
///
/// | written | stands for |
/// |---|---|
/// | `text` | itself, with its spaces, except at the ends of a line and beside a bar |
/// | `{name}` | the expression of the rule of this name |
/// | `{0..100}` | a whole number in this range, without leading zeros |
/// | `{a..z}` | a character in this range |
/// | `one \| other` | one of them |
/// | `(…)` | what is inside, as one part |
/// | `[…]` | what is inside, or nothing |
/// | `…*`, `…+` | the part before (`{name}`, `(…)` or `[…]`) any number of times; at least once |
/// | `\x` | the character `x` itself; `\n` is the end of a line |
///
/// # Errors
/// When a line is not a rule, a name has no rule, or rules refer to each other in a cycle; the
/// message names the line or the rules.
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

/// Compiles an automaton to states over a tokenizer's tokens. The first state is that of an empty
/// text. `begins` means that the generated text begins a text, as an encoder-decoder's does: many
/// tokenizers write the first token without the space before it.
///
/// # Errors
/// When the text of a token depends on the tokens before it, when the tokenizer cannot spell any
/// text of the grammar, and when the grammar has more states than a table can hold.
pub fn compile(grammar: &Automaton, tokenizer: &Tokenizer<'_>, begins: bool) -> Result<Vec<GrammarState>> {
    tokens::states(grammar, &tokens::spellings(tokenizer, begins)?)
}
