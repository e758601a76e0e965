//! Saves and restores a session as bytes, for example across power-off.
//!
//! A snapshot is a header of [`WORDS`] little-endian words, the used parts of the arena, and a
//! CRC-32 of everything before it. Its size grows with the text, not with the arena.

use bytemuck::{Pod, try_cast_slice_mut};

use super::Session;
use super::reading::Reading;
use crate::cache::{KeyValueCache, Keys};
use crate::error::{Buffer, RunError};
use crate::format::checksum::Checksum;
use crate::format::memory::{decoder_layer_bytes, decoder_slots, layer_cache_bytes};
use crate::format::spec::at_least_one;
use crate::workspace::{Workspace, counted};

/// `KSNP`, as a little-endian word.
const MAGIC: u32 = u32::from_le_bytes(*b"KSNP");
/// The version of the snapshot's layout.
const VERSION: u32 = 1;
/// Words of the header: the magic, the version, the checksums of the blob and of the prefix, three
/// words of the memory plan, and seven of the session.
const WORDS: usize = 14;
/// Words of the header that must match when a snapshot is restored.
const FIXED: usize = 7;
const CHECKSUM: usize = 4;

/// Bytes of a snapshot between two calls of the session's pause.
const PIECE: usize = 8 << 10;

/// Receives a part of the arena that belongs to a snapshot.
type Visit<'v> = &'v mut dyn FnMut(&mut [u8]);

impl Session<'_, '_> {
    /// The size in bytes of a [`snapshot`](Self::snapshot).
    pub fn snapshot_bytes(&mut self) -> usize {
        let mut bytes = 4 * WORDS + CHECKSUM;
        self.each_part(&mut |part| bytes = bytes.saturating_add(part.len()));
        bytes
    }

    /// Saves the session's state, from which a session with this model and an equal
    /// [`MemoryPlan`](crate::MemoryPlan) can [continue](Self::restore) with equal bits. Returns the
    /// number of bytes. Of several beams, only the current one is saved.
    ///
    /// # Errors
    /// [`RunError::BufferTooSmall`] when `out` is shorter than
    /// [`snapshot_bytes`](Self::snapshot_bytes).
    ///
    /// ```
    /// use kinglet::{RunError, Session};
    ///
    /// /// Restores the state after the first prompt, or reads the prompt and saves it.
    /// fn begin(session: &mut Session, prompt: &[u32], kept: &mut [u8]) -> Result<(), RunError> {
    ///     if session.restore(kept).is_err() {
    ///         session.prefill(prompt)?;
    ///         session.snapshot(kept)?;
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = begin;
    /// ```
    pub fn snapshot(&mut self, out: &mut [u8]) -> Result<usize, RunError> {
        let (needed, given) = (self.snapshot_bytes(), out.len());
        let short = RunError::BufferTooSmall { buffer: Buffer::Snapshot, needed, given };
        let out = out.get_mut(..needed).ok_or(short)?;
        let (content, sum) = out.split_last_chunk_mut::<CHECKSUM>().ok_or(short)?;
        let (header, mut rest) = content.split_first_chunk_mut::<{ 4 * WORDS }>().ok_or(short)?;
        for (bytes, word) in header.as_chunks_mut().0.iter_mut().zip(self.header()) {
            *bytes = word.to_le_bytes();
        }
        let mut found = Checksum::new();
        found.update(header);
        self.each_piece(&mut |piece| {
            if let Some((to, after)) = core::mem::take(&mut rest).split_at_mut_checked(piece.len()) {
                to.iter_mut().zip(&*piece).for_each(|(to, from)| *to = *from);
                found.update(piece);
                rest = after;
            }
        });
        *sum = found.finish().to_le_bytes();
        Ok(needed)
    }

    /// Restores the state of a [`snapshot`](Self::snapshot). `snapshot` may be longer, as a flash
    /// page is. On an error, the session is unchanged.
    ///
    /// # Errors
    /// [`RunError::BadSnapshot`] when the bytes are not a snapshot, are damaged, or are for another
    /// blob, prefix or memory plan.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), RunError> {
        const SHORT: RunError = RunError::BadSnapshot("it is truncated");
        let (header, rest) = snapshot.split_first_chunk::<{ 4 * WORDS }>().ok_or(SHORT)?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(header.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let mine = self.header();
        let differs = words.iter().zip(&mine).take(FIXED).position(|(word, mine)| word != mine);
        if let Some(place) = differs {
            return Err(RunError::BadSnapshot(match place {
                0 | 1 => "it has another version, or is not a snapshot",
                2 => "it is for another blob",
                3 => "it is from a session with another prefix, or without one",
                _ => "it is from a session with another memory plan",
            }));
        }
        let [.., first, position, source, last_tile, row, kept, marked] = words;
        let (first, position) = (first as usize, position as usize);
        let (source, last_tile) = (source as usize, last_tile as usize);
        let own = position.checked_sub(first).filter(|own| *own <= self.plan.tokens());
        let fits = first <= self.prefix.map_or(0, |prefix| prefix.len())
            && source <= self.plan.source()
            && last_tile <= self.plan.tile();
        if !fits || row as usize > last_tile || own.is_none_or(|own| last_tile > own) {
            return Err(RunError::BadSnapshot("it is damaged"));
        }
        // The parts of the arena depend on the snapshot's position: move the session there, and
        // back if the snapshot is damaged.
        let before = (self.first, self.position, self.source, self.last_tile, self.reading);
        self.first = first;
        self.select(self.beam, position);
        (self.source, self.last_tile, self.reading) = (source, last_tile, Reading::from_words([row, kept, marked]));
        let len = self.snapshot_bytes() - 4 * WORDS - CHECKSUM;
        let found = rest.split_at_checked(len).and_then(|(parts, after)| Some((parts, after.first_chunk()?)));
        let whole = found.filter(|(parts, sum)| {
            let mut found = Checksum::new();
            found.update(header);
            for part in parts.chunks(PIECE) {
                found.update(part);
                self.pause();
            }
            found.finish() == u32::from_le_bytes(**sum)
        });
        let Some((mut parts, _)) = whole else {
            (self.first, self.position, self.source, self.last_tile, self.reading) = before;
            return Err(if found.is_none() { SHORT } else { RunError::BadSnapshot("it is damaged") });
        };
        self.each_piece(&mut |piece| {
            if let Some((from, after)) = parts.split_at_checked(piece.len()) {
                piece.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                parts = after;
            }
        });
        Ok(())
    }

    fn header(&self) -> [u32; WORDS] {
        let plan = &self.plan;
        let [row, kept, marked] = self.reading.to_words();
        let sizes = [plan.tokens(), plan.source(), plan.tile(), self.first, self.position, self.source, self.last_tile];
        let [tokens, sources, tile, first, position, source, last_tile] = sizes.map(|size| size as u32);
        let (model, prefix) = (self.model.checksum(), self.prefix_checksum());
        [MAGIC, VERSION, model, prefix, tokens, sources, tile, first, position, source, last_tile, row, kept, marked]
    }

    /// Calls `visit` with all used parts of the arena, in order and divided where they are long, and
    /// the pause after each [`PIECE`] bytes.
    fn each_piece(&mut self, visit: Visit<'_>) {
        let (mut pause, mut room) = (self.pause.take(), PIECE);
        self.each_part(&mut |mut part| {
            while !part.is_empty() {
                let len = room.min(part.len());
                let Some((piece, rest)) = core::mem::take(&mut part).split_at_mut_checked(len) else { return };
                visit(piece);
                part = rest;
                room -= len;
                if room == 0 {
                    room = PIECE;
                    pause.iter_mut().for_each(|pause| pause());
                }
            }
        });
        self.pause = pause;
    }

    /// Calls `visit` with each used part of the arena, in order.
    fn each_part(&mut self, visit: Visit<'_>) {
        let spec = self.model.spec();
        let width = spec.numerics.keys;
        let Workspace { hidden, kept, states, cache, cross_cache, .. } = &mut self.workspace;
        if let Some(stack) = &spec.encoder {
            visit(bytes(states, self.source * stack.hidden_size as usize));
        }
        let Some(stack) = &spec.decoder else { return };
        let hidden_size = stack.hidden_size as usize;
        visit(bytes(hidden, self.last_tile * hidden_size));
        visit(bytes(kept, if self.reading.keeps() { hidden_size } else { 0 }));
        let of_one = cache.len() / self.plan.beams().max(1);
        let cache = cache.get_mut(self.beam * of_one..).and_then(|cache| cache.get_mut(..of_one)).unwrap_or(&mut []);
        let counts = counted(stack, &self.plan, cache);
        let own = self.position - self.first;
        let counted = own.min(counts.len());
        visit(bytes(counts, counted));
        let mut rest = cache;
        for layer in 0..stack.num_hidden_layers as usize {
            let slots = decoder_slots(stack, layer, &self.plan);
            let size = decoder_layer_bytes(stack, layer, width, slots);
            let Some((region, after)) = core::mem::take(&mut rest).split_at_mut_checked(size) else { return };
            rest = after;
            if let Ok(mut cache) = KeyValueCache::of_layer(region, stack, layer, width, slots) {
                each_run(&mut cache, own, visit);
            }
        }
        let region = cross_cache.len() / at_least_one(stack.num_hidden_layers as usize);
        if region > 0 {
            let slots = region / layer_cache_bytes(stack, width, 1).max(1);
            for region in cross_cache.chunks_exact_mut(region) {
                if let Ok(mut cache) = KeyValueCache::new(region, stack, width, slots) {
                    each_run(&mut cache, self.source, visit);
                }
            }
        }
    }
}

/// Calls `visit` with the keys, values and scales of the first `tokens` slots of each head, or of
/// all slots if there are fewer.
fn each_run(cache: &mut KeyValueCache<'_>, tokens: usize, visit: Visit<'_>) {
    let (slots, used) = (cache.slots.max(1), tokens.min(cache.slots));
    let heads = cache.key_scales.len() / slots;
    let rows = cache.key_count() / heads.max(1);
    let run = rows / slots * used;
    match &mut cache.keys {
        Keys::K8(keys) => prefixes(keys, rows, run, visit),
        Keys::K16(keys) => prefixes(keys, rows, run, visit),
    }
    prefixes(cache.values, rows, run, visit);
    prefixes(cache.key_scales, slots, used, visit);
    prefixes(cache.value_scales, slots, used, visit);
}

/// Calls `visit` with the first `used` elements of every `len`.
fn prefixes<T: Pod>(all: &mut [T], len: usize, used: usize, visit: Visit<'_>) {
    for head in all.chunks_exact_mut(len.max(1)) {
        visit(bytes(head, used));
    }
}

/// The first `len` numbers as bytes; empty if there are fewer.
fn bytes<T: Pod>(all: &mut [T], len: usize) -> &mut [u8] {
    all.get_mut(..len).and_then(|numbers| try_cast_slice_mut(numbers).ok()).unwrap_or(&mut [])
}
