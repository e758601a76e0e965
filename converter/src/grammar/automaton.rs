//! Converts a tree of rules to a deterministic automaton over bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, ensure};
use kinglet::task::MAX_STATES;

use super::parse::Part;

/// A deterministic automaton over bytes. From every state some text can be completed.
#[derive(Clone, Debug)]
pub struct Automaton {
    states: Vec<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    may_end: bool,
    next: BTreeMap<u8, usize>,
}

/// The nondeterministic automaton of Thompson's construction.
#[derive(Default)]
struct Choices {
    /// The transitions of each state: the first byte, the last byte, and the next state.
    steps: Vec<Vec<(u8, u8, usize)>>,
    /// The transitions of each state that take no byte.
    free: Vec<Vec<usize>>,
}

impl Choices {
    fn state(&mut self) -> usize {
        self.steps.push(Vec::new());
        self.free.push(Vec::new());
        self.steps.len() - 1
    }

    /// Adds a part that begins in state `from`, and returns the state in which it ends.
    fn add(&mut self, part: &Part, from: usize) -> usize {
        match part {
            Part::Text(bytes) => bytes.iter().fold(from, |from, &byte| self.step(from, byte, byte)),
            Part::Bytes(first, last) => self.step(from, *first, *last),
            Part::Sequence(parts) => parts.iter().fold(from, |from, part| self.add(part, from)),
            Part::Choice(parts) => {
                let end = self.state();
                for part in parts {
                    let begin = self.state();
                    self.free[from].push(begin);
                    let last = self.add(part, begin);
                    self.free[last].push(end);
                }
                end
            }
            Part::Repeat(part) => {
                let (begin, end) = (self.state(), self.state());
                self.free[from].push(begin);
                self.free[begin].push(end);
                let last = self.add(part, begin);
                self.free[last].push(begin);
                end
            }
        }
    }

    fn step(&mut self, from: usize, first: u8, last: u8) -> usize {
        let to = self.state();
        self.steps[from].push((first, last, to));
        to
    }

    /// The states that are reachable without a byte.
    fn closed(&self, mut open: Vec<usize>) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(state) = open.pop() {
            open.extend(self.free[state].iter().filter(|&&next| found.insert(next)));
        }
        found
    }
}

impl Automaton {
    pub(super) fn new(part: &Part) -> Result<Self> {
        let mut choices = Choices::default();
        let begin = choices.state();
        let end = choices.add(part, begin);
        let first = choices.closed(vec![begin]);
        let mut numbers = HashMap::from([(first.clone(), 0)]);
        let mut states = vec![State::default()];
        let mut open = vec![first];
        while let Some(set) = open.pop() {
            let mut reached = BTreeMap::<u8, Vec<usize>>::new();
            for &(first, last, to) in set.iter().flat_map(|&state| &choices.steps[state]) {
                (first..=last).for_each(|byte| reached.entry(byte).or_default().push(to));
            }
            let mut next = BTreeMap::new();
            for (byte, to) in reached {
                let to = choices.closed(to);
                let number = *numbers.entry(to.clone()).or_insert_with(|| {
                    open.push(to);
                    states.push(State::default());
                    states.len() - 1
                });
                next.insert(byte, number);
            }
            ensure!(
                states.len() <= MAX_STATES,
                "the grammar has more than {MAX_STATES} states\nwrite fewer or shorter choices"
            );
            states[numbers[&set]] = State { may_end: set.contains(&end), next };
        }
        // Every part has a text, so every state leads to an end.
        Ok(Self { states }.minimized())
    }

    /// Merges equivalent states (Moore's algorithm).
    fn minimized(&self) -> Self {
        let mut class: Vec<usize> = self.states.iter().map(|state| usize::from(state.may_end)).collect();
        let mut count = 0;
        loop {
            let mut numbers = HashMap::new();
            let refined: Vec<usize> = (self.states.iter().zip(&class))
                .map(|(state, &own)| {
                    let next: Vec<(u8, usize)> = state.next.iter().map(|(&byte, &to)| (byte, class[to])).collect();
                    let fresh = numbers.len();
                    *numbers.entry((own, next)).or_insert(fresh)
                })
                .collect();
            let found = numbers.len();
            class = refined;
            if found == count {
                break;
            }
            count = found;
        }
        // The class of the first state is numbered first.
        let mut states = vec![State::default(); count];
        for (state, &number) in self.states.iter().zip(&class) {
            let next = state.next.iter().map(|(&byte, &to)| (byte, class[to])).collect();
            states[number] = State { may_end: state.may_end, next };
        }
        Self { states }
    }

    /// The number of states. State 0 is that of an empty text.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// The state that some bytes lead to; `None` if no text continues with them.
    pub fn after(&self, state: usize, bytes: &[u8]) -> Option<usize> {
        bytes.iter().try_fold(state, |state, byte| self.states[state].next.get(byte).copied())
    }

    /// Whether a text may end in a state.
    pub fn may_end(&self, state: usize) -> bool {
        self.states[state].may_end
    }

    /// Whether the grammar has this text.
    pub fn accepts(&self, text: &[u8]) -> bool {
        self.after(0, text).is_some_and(|state| self.may_end(state))
    }
}
