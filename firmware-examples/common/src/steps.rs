//! Measures the longest step of each call, during which nothing else can run: over all models that
//! ship, with texts of maximum length.

use core::hint::black_box;

use heapless::Vec;
use kinglet::golden::Fingerprint;
use kinglet::sample::Sampler;
use kinglet::task::{
    BeamOptions, BeamSearch, GenerateOptions, beam_search, classify, embed, fill_mask, generate, score, tag,
};
use kinglet::tokenizer::EncodeOptions;
use kinglet::{Error, MemoryPlan, Model, RunError, Session, arena_bytes};

use crate::models::{home_command, home_intent, home_slots, home_words, search, stories, stories_backward};
use crate::{Board, bits, count_of, number};

/// The number of tokens in a text; models with fewer positions read fewer.
const TOKENS: usize = 128;
/// The number of tokens to write.
const WRITTEN: usize = 24;
const BEAMS: usize = 4;
/// The bytes that the sessions and a snapshot need.
pub const ARENA: usize = 2 * arena_bytes(stories::BLOB, TOKENS);

/// Texts of about [`TOKENS`] tokens.
const LONG_COMMAND: &str = "could you please turn all lights in the kitchen and in the living room down to thirty percent, \
    close the blinds of the bedroom, start the robot vacuum in the hallway, set an alarm for half past six tomorrow, \
    and tell me whether I need a coat and an umbrella on my way to the station this evening, if you would be so kind";
const LONG_STORY: &str = "Once there was a brave little fox who lived near the river. One evening, the fox had a cookie for \
    lunch. The sun was warm. The fox sat down to eat its cookie. Then the fox saw a big owl. The owl looked very hungry.";

/// The calls, in the order of [`Steps::longest`].
const CALLS: [&str; 19] = [
    "Session::advance, an encoder's token",
    "Session::advance, four of an encoder's tokens",
    "Session::advance, a decoder's token",
    "Session::advance, four of a decoder's tokens",
    "Session::advance_logits",
    "Session::encode",
    "Session::prefill",
    "classify",
    "tag",
    "fill_mask",
    "embed",
    "score",
    "generate",
    "beam_search",
    "Model::self_test_with",
    "Model::from_bytes_with",
    "Tokenizer::encode_ids_with",
    "Session::snapshot",
    "Session::restore",
];

/// The measurements.
struct Steps<'b, B> {
    board: &'b mut B,
    longest: [u32; CALLS.len()],
}

/// The steps of one call.
struct Laps<'b, B> {
    board: &'b mut B,
    since: u64,
    longest: u64,
}

impl<B: Board> Laps<'_, B> {
    /// A step ends, and another one begins.
    fn lap(&mut self) {
        self.longest = self.longest.max(self.board.count().saturating_sub(self.since));
        self.since = self.board.count();
    }
}

impl<B: Board + Send> Steps<'_, B> {
    /// Runs a call, which is told what it calls between two steps.
    #[inline(never)]
    fn call<T>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut (dyn FnMut() + Send)) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let since = self.board.count();
        let mut laps = Laps { board: self.board, since, longest: 0 };
        let result = call(&mut || laps.lap());
        laps.lap();
        let longest = count_of(laps.longest);
        for (most, _) in self.longest.iter_mut().zip(CALLS).filter(|(_, call)| *call == name) {
            *most = longest.max(*most);
        }
        result
    }

    /// A call of a session with a model, for up to `tokens` tokens.
    fn session(
        &mut self,
        name: &str,
        (model, tokens): (&Model<'_>, usize),
        arena: &mut [u8],
        call: impl FnOnce(&mut Session<'_, '_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let plan =
            MemoryPlan::standard(model.spec(), tokens)?.with_beams(if name == "beam_search" { BEAMS } else { 1 });
        self.call(name, |pause| {
            let mut session = Session::with_plan(model, arena, plan)?;
            session.set_pause(pause);
            call(&mut session)
        })
    }

    /// A text read step by step, with a tile of some tokens, and its logits.
    #[inline(never)]
    fn read(
        &mut self,
        model: &Model<'_>,
        ids: &[u32],
        (tile, name): (usize, &str),
        arena: &mut [u8],
        fingerprint: &mut Fingerprint,
    ) -> Result<(), RunError> {
        let plan = MemoryPlan::new(model.spec(), ids.len(), ids.len(), tile)?;
        let mut session = Session::with_plan(model, arena, plan)?;
        if model.spec().encoder.is_some() {
            let mut pass = session.begin_encode(ids, &[])?;
            while self.call(name, |_| session.advance(&mut pass, ids, &[]))? {}
        }
        if model.spec().decoder.is_some() {
            let name = if tile == 1 { CALLS[2] } else { CALLS[3] };
            let mut pass = session.begin_prefill(ids)?;
            while self.call(name, |_| session.advance(&mut pass, ids, &[]))? {}
        }
        while self.call("Session::advance_logits", |_| session.advance_logits())? {}
        fingerprint.update(session.logits()?);
        let stepped = Fingerprint::of(session.logits()?);
        // In one call, without a pause, nothing stops within a layer.
        session.reset();
        if model.spec().encoder.is_some() {
            session.encode(ids, &[])?;
        }
        if model.spec().decoder.is_some() {
            session.prefill(ids)?;
        }
        if Fingerprint::of(session.logits()?) != stepped {
            self.board.print("FAILED: other bits in steps than in one call\n");
        }
        Ok(())
    }
}

pub fn run(board: &mut (impl Board + Send), arena: &mut [u8]) -> Result<(), Error> {
    let mut steps = Steps { board, longest: [0; CALLS.len()] };
    let mut fingerprint = Fingerprint::default();
    let models = [
        (&home_intent::MODEL, home_intent::BLOB),
        (&home_slots::MODEL, home_slots::BLOB),
        (&home_words::MODEL, home_words::BLOB),
        (&home_command::MODEL, home_command::BLOB),
        (&search::MODEL, search::BLOB),
        (&stories::MODEL, stories::BLOB),
        (&stories_backward::MODEL, stories_backward::BLOB),
    ];
    for (model, blob) in models {
        let ids = ids_for(model);
        for tile in [(1, CALLS[0]), (4, CALLS[1])] {
            steps.read(model, &ids, tile, arena, &mut fingerprint)?;
        }
        steps.call("Model::self_test_with", |pause| model.self_test_with(arena, pause))?;
        let blob = black_box(blob);
        // The only error is one of a blob that is none, and this is a model's.
        let checked = steps.call("Model::from_bytes_with", |pause| {
            Ok(Model::from_bytes_with(blob, pause).map(|model| model.checksum()).ok())
        })?;
        if checked != Some(model.checksum()) {
            steps.board.print("FAILED: a blob is refused\n");
        }
    }
    tasks(&mut steps, arena)?;
    for (tokenizer, text) in [(&home_intent::TOKENIZER, LONG_COMMAND), (&stories::TOKENIZER, LONG_STORY)] {
        let mut session =
            Session::with_plan(&stories::MODEL, arena, MemoryPlan::standard(stories::MODEL.spec(), TOKENS)?)?;
        let (scratch, options) = (session.scratch(), EncodeOptions::default());
        steps.call("Tokenizer::encode_ids_with", |pause| {
            tokenizer.encode_ids_with(text, None, &options, scratch, &mut [0; TOKENS], pause)
        })?;
    }
    snapshots(&mut steps, arena)?;
    bits(steps.board, fingerprint);
    for (call, longest) in CALLS.iter().zip(steps.longest) {
        steps.board.print("# instructions of the longest step, ");
        steps.board.print(call);
        steps.board.print(": ");
        number(steps.board, longest);
        steps.board.print("\n");
    }
    Ok(())
}

/// A text as long as a model takes.
fn ids_for(model: &Model<'_>) -> Vec<u32, TOKENS> {
    let stacks = [&model.spec().encoder, &model.spec().decoder].into_iter().flatten();
    let tokens = stacks.map(|stack| stack.max_positions as usize).fold(TOKENS, usize::min);
    let mut ids = Vec::new();
    for position in 0..tokens as u32 {
        // There is room for as many.
        _ = ids.push((position * 37 + 1) % 400);
    }
    ids
}

/// The tasks, each with its model.
#[inline(never)]
fn tasks<B: Board + Send>(steps: &mut Steps<'_, B>, arena: &mut [u8]) -> Result<(), RunError> {
    let mut scores = [0.0; 128];
    let (intent, slots, words) = (&home_intent::MODEL, &home_slots::MODEL, &home_words::MODEL);
    let ids = ids_for(intent);
    steps.session("Session::encode", (intent, ids.len()), arena, |session| session.encode(&ids, &[]))?;
    steps.session("classify", (intent, ids.len()), arena, |session| {
        classify(session, &ids, &[], &mut scores).map(|_| ())
    })?;
    let ids = ids_for(slots);
    steps.session("tag", (slots, ids.len()), arena, |session| tag(session, &ids, &[], &mut scores, |_, _| ()))?;
    let ids = ids_for(words);
    steps.session("fill_mask", (words, ids.len()), arena, |session| fill_mask(session, &ids, &[], 1, |_, _| ()))?;
    let ids = ids_for(&search::MODEL);
    steps.session("embed", (&search::MODEL, ids.len()), arena, |session| {
        embed(session, &ids, &[], &mut scores).map(|_| ())
    })?;
    let ids = ids_for(&stories_backward::MODEL);
    steps.session("score", (&stories_backward::MODEL, ids.len()), arena, |session| score(session, &ids, |_, _| ()))?;
    let ids = ids_for(&stories::MODEL);
    steps.session("Session::prefill", (&stories::MODEL, ids.len()), arena, |session| session.prefill(&ids))?;
    steps.session("generate", (&stories::MODEL, TOKENS), arena, |session| {
        let (mut text, mut sampler) = (Vec::<u32, TOKENS>::new(), Sampler::greedy());
        _ = text.extend_from_slice(ids.get(..TOKENS - WRITTEN).unwrap_or(&[]));
        generate(session, &mut text, &GenerateOptions::new(WRITTEN), &mut sampler, |_| true).map(|_| ())
    })?;
    steps.session("beam_search", (&home_command::MODEL, WRITTEN), arena, |session| {
        session.encode(ids.get(..WRITTEN).unwrap_or(&[]), &[])?;
        let (mut text, mut memory) = (Vec::<u32, TOKENS>::new(), [0; BeamSearch::words(BEAMS, WRITTEN)]);
        _ = text.push(0);
        let options = GenerateOptions { stop: &[1], ..GenerateOptions::new(WRITTEN - 1) };
        beam_search(session, &mut text, &options, BeamOptions::new(BEAMS), &mut memory).map(|_| ())
    })
}

/// A session after a prefix that is kept, and taken up again.
#[inline(never)]
fn snapshots<B: Board + Send>(steps: &mut Steps<'_, B>, arena: &mut [u8]) -> Result<(), RunError> {
    let (arena, flash) = arena.split_at_mut_checked(arena.len() / 2).unwrap_or((&mut [], &mut []));
    let mut session = Session::new(&stories::MODEL, arena, TOKENS)?;
    session.prefill(&ids_for(&stories::MODEL))?;
    let suspended = session.suspend();
    steps.call("Session::snapshot", |pause| {
        let mut session = Session::resume(&stories::MODEL, arena, &suspended)?;
        session.set_pause(pause);
        session.snapshot(flash)
    })?;
    steps.call("Session::restore", |pause| {
        let mut session = Session::resume(&stories::MODEL, arena, &suspended)?;
        session.set_pause(pause);
        session.restore(flash)
    })
}
