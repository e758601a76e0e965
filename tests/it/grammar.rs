//! Tests of grammars: the texts that rules describe, and the tokens allowed after each prefix,
//! compared with an enumeration.

use std::collections::{BTreeSet, HashMap};

use kinglet::sample::{SUPPRESSED, Sampler, SamplerOptions};
use kinglet::task::{GenerateOptions, Grammar, GrammarState, Stop, generate, grammar_table};
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use kinglet::{AlignedVec, Model, RunError, Session, arena_bytes};
use kinglet_convert::grammar::{automaton, compile};
use kinglet_convert::tokenizer::{build, decode, encode};

use crate::tokenizer::folder;

const HOME: &str = "
# What a home understands.
root: set {room} light[s] to {percent} percent[ please] | {room} off
room: kitchen | living room | bath
percent: {0..12}
";

/// All texts of the grammar [`HOME`].
fn home() -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for room in ["kitchen", "living room", "bath"] {
        texts.insert(format!("{room} off"));
        for percent in 0..=12 {
            for (light, please) in [("light", ""), ("lights", ""), ("light", " please"), ("lights", " please")] {
                texts.insert(format!("set {room} {light} to {percent} percent{please}"));
            }
        }
    }
    texts
}

#[test]
fn rules_stand_for_what_they_say() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("root: yes | no", &["yes", "no"], &["", "yes ", "yesno", "yes | no"]),
        ("root: (a|b)*c", &["c", "ac", "babac"], &["", "ab", "cc"]),
        ("root: (ab)+[!]", &["ab", "abab!", "ab!"], &["", "!", "aba"]),
        ("root: {a}{a}\na: x|yy", &["xx", "xyy", "yyx", "yyyy"], &["x", "xxx", "yyy"]),
        ("root: \\ \\{x\\}\\|\\n", &[" {x}|\n"], &["{x}|\n", " {x}|"]),
        ("root: say {a..c}+ end", &["say a end", "say cab end"], &["say  end", "say d end"]),
        ("root: {ä..ü}", &["ä", "ö", "ü"], &["a", "Ä", "\u{e3}"]),
        ("root: a | b \nother: c", &["a", "b"], &["b ", "c"]),
        ("root: [a][b]", &["", "a", "b", "ab"], &["ba"]),
    ];
    for (rules, texts, others) in cases {
        let grammar = automaton(rules).unwrap_or_else(|error| panic!("{rules}: {error:?}"));
        texts.iter().for_each(|text| assert!(grammar.accepts(text.as_bytes()), "{rules}: {text:?}"));
        others.iter().for_each(|text| assert!(!grammar.accepts(text.as_bytes()), "{rules}: {text:?}"));
    }
    let grammar = automaton(HOME).expect("rules");
    assert!(home().iter().all(|text| grammar.accepts(text.as_bytes())));
    assert_eq!(home().len(), 3 + 3 * 13 * 4);
}

#[test]
fn a_range_has_its_numbers_and_no_others() {
    for (from, to) in [(0, 100), (7, 7), (-20, 5), (-130, -9), (95, 1003), (0, 0), (99, 101), (10, 19), (-1, 0)] {
        let grammar = automaton(&format!("root: {{{from}..{to}}}")).expect("a range");
        for number in -1200..=1200_i64 {
            let text = number.to_string();
            assert_eq!(grammar.accepts(text.as_bytes()), (from..=to).contains(&number), "{number} in {from}..{to}");
        }
        for text in ["", "-", "00", "-0", "007", "+5", "5."] {
            assert!(!grammar.accepts(text.as_bytes()), "{text} in {from}..{to}");
        }
    }
}

#[test]
fn rules_that_cannot_be_are_refused_by_what_is_wrong() {
    for (rules, wanted) in [
        ("", "no rules"),
        ("root yes", "line 1 is not a rule"),
        ("root: a\nroot: b", "two rules called root"),
        ("root: {room}", "no rule called room"),
        ("root: {a}\na: {root}", "cycle"),
        ("root: (a", "not closed"),
        ("root: a]", "closes nothing"),
        ("root: *a", "follows no part"),
        ("root: {9..1}", "no numbers"),
        ("root: {9..x1}", "not a range"),
        ("root: {z..a}", "not a range"),
        ("root: a\\", "backslash"),
        ("2x: a", "not the name of a rule"),
    ] {
        let error = automaton(rules).err().unwrap_or_else(|| panic!("{rules} is taken"));
        assert!(format!("{error:#}").contains(wanted), "{rules}: {error:#}");
    }
}

/// The text that tokens decode to after the token `before`, without the text of that token.
fn behind(tokenizer: &Tokenizer<'_>, before: &[u32], ids: &[u32]) -> String {
    let whole = decode(tokenizer, &[before, ids].concat(), true);
    whole.strip_prefix(&decode(tokenizer, before, true)).unwrap_or_default().to_owned()
}

/// Enumerates all token sequences that can become a text, and compares the tokens that may follow
/// each with the grammar's table.
struct Enumeration<'t, 'm> {
    tokenizer: &'t Tokenizer<'m>,
    before: Vec<u32>,
    texts: BTreeSet<String>,
    grammar: Grammar<'t>,
    /// Whether the tokens can complete a beginning of a text.
    complete: HashMap<String, bool>,
    seen: usize,
}

impl Enumeration<'_, '_> {
    fn begins(&self, text: &str) -> bool {
        self.texts.range(text.to_owned()..).next().is_some_and(|first| first.starts_with(text))
    }

    /// The tokens that extend a sequence to a longer beginning of a text, with that beginning.
    fn steps(&self, row: &[u32], text: &str) -> Vec<(u32, String)> {
        let ids = (0..self.tokenizer.vocab_size()).filter(|&id| self.tokenizer.is_known(id));
        let all = ids.filter(|&id| !self.tokenizer.is_special(id)).filter_map(|id| {
            let longer = behind(self.tokenizer, &self.before, &[row, &[id]].concat());
            (longer.len() > text.len() && self.begins(&longer)).then_some((id, longer))
        });
        all.collect()
    }

    fn completes(&mut self, row: &[u32], text: &str) -> bool {
        if let Some(&known) = self.complete.get(text) {
            return known;
        }
        let whole = self.texts.contains(text)
            || self.steps(row, text).into_iter().any(|(id, longer)| self.completes(&[row, &[id]].concat(), &longer));
        self.complete.insert(text.to_owned(), whole);
        whole
    }

    fn follow(&mut self, row: &[u32], text: &str, visited: &mut BTreeSet<String>) {
        if !visited.insert(text.to_owned()) {
            return;
        }
        let mut wanted = Vec::new();
        for (id, longer) in self.steps(row, text) {
            let longer_row = [row, &[id]].concat();
            if self.completes(&longer_row, &longer) {
                wanted.push(id);
                self.follow(&longer_row, &longer, visited);
            }
        }
        let state = self.grammar.state_after(row).unwrap_or_else(|| panic!("{text:?} is a beginning"));
        assert_eq!(self.grammar.allowed(state).collect::<Vec<_>>(), wanted, "after {text:?}");
        assert_eq!(self.grammar.may_end(state), self.texts.contains(text), "{text:?}");
        self.seen += 1;
    }
}

#[test]
fn exactly_the_tokens_of_the_grammar_may_follow() {
    let mut followed = 0;
    for name in ["gpt2", "llama2", "llama3", "t5", "albert", "words_level", "bert_uncased", "roberta"] {
        let section = build(&folder().join(name)).expect("a tokenizer").expect("a section");
        let tokenizer = Tokenizer::from_bytes(&section).expect("a tokenizer");
        let plain = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
        let before: Vec<u32> = encode(&tokenizer, "a", None, &plain).expect("a token").iter().map(|t| t.id).collect();
        // These vocabularies can spell the texts, with a space before a word where their tokens
        // have one.
        let rules = "root: \\ the [(big|old) ]{thing} is {8..11}\nthing: house | other";
        let grammar = automaton(rules).expect("rules");
        let Ok(states) = compile(&grammar, &tokenizer, false) else { continue };
        let table = grammar_table(&states, &section);
        let texts: BTreeSet<String> = ["", "big ", "old "]
            .iter()
            .flat_map(|how| ["house", "other"].map(|thing| format!(" the {how}{thing} is ")))
            .flat_map(|text| (8..=11).map(move |number| format!("{text}{number}")))
            .collect();
        let grammar = Grammar::from_bytes(&table, &section).expect("a table");
        let mut all = Enumeration { tokenizer: &tokenizer, before, texts, grammar, complete: HashMap::new(), seen: 0 };
        all.follow(&[], "", &mut BTreeSet::new());
        assert!(all.seen >= 8, "{name}: only {} beginnings", all.seen);
        followed += 1;
    }
    assert!(followed >= 4, "only {followed} tokenizers spell these texts");
}

#[test]
fn whatever_a_model_writes_is_a_text_of_the_grammar() {
    let blob = std::fs::read("../firmware-examples/common/models/stories.kinglet").expect("a blob that ships");
    let blob = AlignedVec::from(&blob[..]);
    let model = Model::from_bytes(&blob).expect("a model");
    let section = model.tokenizer_section();
    let tokenizer = Tokenizer::from_bytes(section).expect("a tokenizer");
    let states = compile(&automaton(HOME).expect("rules"), &tokenizer, false).expect("a grammar");
    let table = grammar_table(&states, section);
    let grammar = Grammar::from_bytes(&table, section).expect("a table");
    let mut arena = AlignedVec::zeroed(arena_bytes(&blob, 128));
    let mut session = Session::new(&model, &mut arena, 128).expect("a session");
    let (texts, mut found) = (home(), BTreeSet::new());
    let before = [1, 365];
    for seed in 0..60 {
        let warm = SamplerOptions { temperature: 2.5, seed, ..SamplerOptions::GREEDY };
        let mut sampler = Sampler::new(warm).expect("options");
        let mut text = heapless::Vec::<u32, 128>::from_array(before);
        let options = GenerateOptions { grammar: Some(grammar), stop: &[2], ..GenerateOptions::new(100) };
        let stop = generate(&mut session, &mut text, &options, &mut sampler, |_| true);
        assert_eq!(stop, Ok(Stop::Token));
        let said = behind(&tokenizer, &before, &text[2..]);
        assert!(texts.contains(&said), "{said:?}");
        found.insert(said);
    }
    assert!(found.len() > 8, "{found:?}");
}

#[test]
fn a_table_of_another_tokenizer_or_with_a_changed_bit_is_refused() {
    let [gpt2, llama] = ["gpt2", "llama2"].map(|name| build(&folder().join(name)).expect("one").expect("a section"));
    let states = vec![
        GrammarState { may_end: false, edges: vec![(3, 1), (7, 1)] },
        GrammarState { may_end: true, edges: vec![(5, 1)] },
    ];
    let table = grammar_table(&states, &gpt2);
    let grammar = Grammar::from_bytes(&table, &gpt2).expect("a table");
    assert_eq!((grammar.states(), grammar.state_after(&[3, 5, 5])), (2, Some(1)));
    assert_eq!((grammar.state_after(&[5]), grammar.state_after(&[3, 3])), (None, None));
    let suppressed = |written: &[u32], stop: &[u32]| {
        let mut logits = [0; 9];
        let options = GenerateOptions { grammar: Some(grammar), stop, ..GenerateOptions::new(9) };
        options.suppress(written, 0, &mut logits);
        (0..9).filter(|&token: &u32| logits[token as usize] != SUPPRESSED).collect::<Vec<_>>()
    };
    assert_eq!(suppressed(&[], &[8]), [3, 7]);
    assert_eq!(suppressed(&[7], &[8]), [5, 8]);
    assert_eq!(suppressed(&[7, 5], &[]), [5]);
    assert!(suppressed(&[8], &[8]).is_empty());
    let refused = |bytes: &[u8], section: &[u8]| match Grammar::from_bytes(bytes, section) {
        Err(RunError::BadGrammar(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(&table, &llama).contains("another tokenizer"));
    for bit in 0..8 * table.len() {
        let mut changed = table.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed, &gpt2);
        refused(&table[..bit / 8], &gpt2);
    }
    let longer = [&table[..], &[0xff; 100]].concat();
    assert!(Grammar::from_bytes(&longer, &gpt2).is_ok(), "a page of flash");
}
