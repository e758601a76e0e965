//! Takes the steps of a pass: a tile of tokens through one layer of a stack.

use super::embedding::{convolve, embed};
use super::positions::count;
use super::prefix::Prefix;
use super::{Pass, Session, Stage, Trace};
use crate::block::Block;
use crate::cache::KeyValueCache;
use crate::error::RunError;
use crate::features;
use crate::format::layout::{Stack, StackPart};
use crate::format::memory::{decoder_layer_bytes, decoder_slots, layer_cache_bytes};
use crate::format::spec::{StackSpec, at_least_one};
use crate::model::StackView;
use crate::ops::norm::norm;
use crate::step::{Step, VALUE};
use crate::threads::Others;
use crate::workspace::{Workspace, counted};

impl<'s, 'm> Session<'s, 'm> {
    /// Takes one step of the encoder: tokens through a stage, or through parts of it. Returns
    /// whether there is more to do.
    // Not inlined into its only caller in firmware, which would take 250 bytes more.
    #[inline(never)]
    pub(super) fn advance_encoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass,
        text: (&[u32], &[u8]),
        all: bool,
        trace: Trace<'_>,
    ) -> Result<bool, RunError> {
        self.head = None;
        let (tokens, layer, stage) = (pass.tokens, pass.layer, pass.stage);
        let convolves = self.convolves(layer);
        let hidden_size = stack.hidden_size();
        let threads = &mut self.threads;
        let plan = (self.model.spec(), &self.plan);
        // A tile for each thread, or all tokens in a stage in which threads are independent.
        let together = self.plan.tile().saturating_mul(threads.count()).max(1);
        let step = if stage == Stage::Forward && threads.count() > 1 { tokens } else { together };
        let (start, end) = (pass.read, pass.read.saturating_add(step).min(tokens));
        let Workspace { states, encoder_cache, cross_cache, scratch, .. } = &mut self.workspace;
        let states = states.get_mut(..tokens * hidden_size).ok_or(RunError::NoTokens)?;
        let rows = start * hidden_size..end * hidden_size;
        let x = states.get_mut(rows.clone()).ok_or(RunError::NoTokens)?;
        let keys = self.model.spec().numerics.keys;
        // With several threads, a tile takes one step.
        scratch.step = if threads.count() > 1 { Step::WHOLE } else { Step::after(pass.parts, self.step, all) };
        match stage {
            Stage::Embed => {
                for (at, row) in (start..).zip(x.chunks_exact_mut(hidden_size)) {
                    embed(stack, self.kernels, text, at, 0, row, scratch);
                }
            }
            Stage::Store | Stage::Forward => {
                let block = Block::new(*stack, layer, self.kernels, threads.beside(end - start));
                let slots = encoder_cache.len() / layer_cache_bytes(stack.spec, keys, 1).max(1);
                let mut cache = KeyValueCache::new(encoder_cache, stack.spec, keys, slots)?;
                if stage == Stage::Store {
                    // The keys of a dynamic convolution depend on the tokens around a tile.
                    let states = &*states;
                    let x = states.get(rows.clone()).unwrap_or(&[]);
                    let cache = (stack.spec, layer, &mut cache, start);
                    threads.fill(plan, x, hidden_size, cache, scratch, |start, x, cache, scratch| {
                        block.prepare(x, scratch);
                        block.store(x, start, cache, scratch);
                        if block.has_span() {
                            block.store_span(states, start, x.len(), cache, scratch);
                        }
                    });
                } else {
                    let tile = self.plan.tile();
                    threads.run(plan, x, hidden_size, scratch, |first, x, scratch| {
                        for (index, x) in x.chunks_mut((tile * hidden_size).max(1)).enumerate() {
                            block.prepare(x, scratch);
                            block.forward(x, start + first + index * tile, tokens, &cache, None, scratch);
                        }
                    });
                }
            }
            Stage::Convolve => {
                if let Some(convolution) = stack.spec.convolution.parallel().filter(|_| features::CONVOLUTIONS) {
                    for (at, row) in (start..).zip(x.chunks_exact_mut(hidden_size)) {
                        let seen = usize::from(convolution.kernel_size);
                        if scratch.step.takes(seen * hidden_size * hidden_size) {
                            convolve(stack, convolution, self.kernels, text, at, row, scratch);
                        }
                    }
                }
            }
            Stage::FinalNorm => {
                if let Some(spec) = &stack.spec.final_norm {
                    let numbers = stack.norm(StackPart::FinalNorm);
                    let bits = self.model.spec().numerics.fraction_bits;
                    x.chunks_exact_mut(hidden_size).for_each(|row| norm(self.kernels, spec, &numbers, bits, row));
                }
            }
            Stage::StoreCross => {
                let decoder = self.model.stack(Stack::Decoder).filter(|_| features::CROSS_ATTENTION);
                if let Some(stack) = decoder {
                    let region = cross_cache.len() / at_least_one(stack.spec.num_hidden_layers as usize);
                    let slots = region / layer_cache_bytes(stack.spec, keys, 1).max(1);
                    let region = cross_cache.get_mut(layer * region..(layer + 1) * region);
                    let region = region.ok_or(RunError::WrongPlan)?;
                    let mut cache = KeyValueCache::new(region, stack.spec, keys, slots)?;
                    let block = Block::new(stack, layer, self.kernels, Others::default());
                    for (index, x) in x.chunks((self.plan.tile() * hidden_size).max(1)).enumerate() {
                        block.store_cross(x, start + index * self.plan.tile(), &mut cache, scratch);
                    }
                }
            }
            Stage::Done => {}
        }
        pass.parts = scratch.step.left_after().unwrap_or(0);
        if pass.parts > 0 {
            return Ok(true);
        }
        let x = states.get(rows).unwrap_or(&[]);
        match stage {
            Stage::Embed => trace(0, x),
            Stage::Forward if !convolves => trace(layer + 1, x),
            Stage::Convolve => trace(layer + 1, x),
            _ => {}
        }
        pass.read = end;
        if end < tokens {
            return Ok(true);
        }
        self.next_stage(pass);
        if pass.stage == Stage::Done {
            self.source = tokens;
            return Ok(false);
        }
        pass.read = 0;
        Ok(true)
    }

    /// Whether a convolution follows a layer of the encoder.
    fn convolves(&self, layer: usize) -> bool {
        let convolution = self.model.spec().encoder.as_ref().and_then(|stack| stack.convolution.parallel());
        features::CONVOLUTIONS && layer == 0 && convolution.is_some()
    }

    /// Advances a pass to the next stage, after all tokens have completed one.
    fn next_stage(&self, pass: &mut Pass) {
        let spec = self.model.spec();
        let layers = |stack: &Option<StackSpec>| stack.as_ref().map_or(0, |stack| stack.num_hidden_layers as usize);
        let crosses = features::CROSS_ATTENTION && layers(&spec.decoder) > 0;
        let after_layers = || match &spec.encoder {
            Some(stack) if stack.final_norm.is_some() => Stage::FinalNorm,
            _ if crosses => Stage::StoreCross,
            _ => Stage::Done,
        };
        let more = |layer: usize| layer < layers(&spec.encoder);
        (pass.stage, pass.layer) = match pass.stage {
            Stage::Embed if more(0) => (Stage::Store, 0),
            Stage::Embed => (after_layers(), 0),
            Stage::Store => (Stage::Forward, pass.layer),
            Stage::Forward if self.convolves(pass.layer) => (Stage::Convolve, pass.layer),
            Stage::Forward | Stage::Convolve if more(pass.layer + 1) => (Stage::Store, pass.layer + 1),
            Stage::Forward | Stage::Convolve => (after_layers(), 0),
            Stage::FinalNorm if crosses => (Stage::StoreCross, 0),
            Stage::StoreCross if pass.layer + 1 < layers(&spec.decoder) => (Stage::StoreCross, pass.layer + 1),
            Stage::FinalNorm | Stage::StoreCross | Stage::Done => (Stage::Done, 0),
        };
    }

    /// Takes one step of the decoder: a tile through a layer, or through parts of it. Returns
    /// whether there is more to do.
    pub(super) fn advance_decoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass,
        ids: &[u32],
        all: bool,
        trace: Trace<'_>,
    ) -> Result<bool, RunError> {
        // Until the tile has completed all layers, there is no state for the head.
        self.last_tile = 0;
        self.head = None;
        let keys = self.model.spec().numerics.keys;
        let (hidden_size, start, layer) = (stack.hidden_size(), self.position, pass.layer);
        let rest = ids.get(pass.read..).unwrap_or(&[]);
        let ids = rest.get(..self.plan.tile()).unwrap_or(rest);
        let Workspace { hidden, kept, cache, cross_cache, scratch, .. } = &mut self.workspace;
        let of_one = cache.len() / self.plan.beams().max(1);
        let cache = cache.get_mut(self.beam * of_one..(self.beam + 1) * of_one).ok_or(RunError::WrongPlan)?;
        scratch.step = if self.threads.count() > 1 { Step::WHOLE } else { Step::after(pass.parts, self.step, all) };
        if layer == 0 && pass.parts == 0 {
            let state = self.prefix.as_ref().map_or(&[][..], |prefix| prefix.state(stack.spec));
            self.reading.keep(hidden, hidden_size, kept, state);
        }
        let x = hidden.get_mut(..ids.len() * hidden_size).ok_or(RunError::NoTokens)?;
        if layer == 0 && scratch.step.takes(x.len() * VALUE) {
            let before = self.prefix.iter().flat_map(Prefix::ids).take(self.first);
            let first = count(stack.spec, counted(stack.spec, &self.plan, cache), start - self.first, before, ids);
            for (at, row) in x.chunks_exact_mut(hidden_size).enumerate() {
                embed(stack, self.kernels, (ids, &[]), at, first, row, scratch);
            }
            trace(0, x);
        }
        let layers = stack.spec.num_hidden_layers as usize;
        let slots_of = |layer| decoder_slots(stack.spec, layer, &self.plan);
        let (slots, slot_bytes) = (slots_of(layer), layer_cache_bytes(stack.spec, keys, 1));
        // The slots of all layers have one size, unless some layers have convolutions.
        let (before, len) = if stack.spec.convolution.short().is_some() {
            let bytes_of = |layer| decoder_layer_bytes(stack.spec, layer, keys, slots_of(layer));
            ((0..layer).map(bytes_of).sum::<usize>(), bytes_of(layer))
        } else {
            ((0..layer).map(slots_of).sum::<usize>() * slot_bytes, slots * slot_bytes)
        };
        let region = cache.get_mut(before..before + len).ok_or(RunError::WrongPlan)?;
        let mut own = KeyValueCache::of_layer(region, stack.spec, layer, keys, slots)?;
        let prefix = self.prefix.as_ref().map(|prefix| prefix.layer(self.model, stack.spec, layer));
        (own.first, own.prefix) = (self.first, prefix.as_ref());
        let cross = if stack.spec.block.cross_attention && features::CROSS_ATTENTION {
            let size = cross_cache.len() / layers.max(1);
            let region = cross_cache.get_mut(layer * size..(layer + 1) * size).ok_or(RunError::WrongPlan)?;
            let slots = size / layer_cache_bytes(stack.spec, keys, 1).max(1);
            Some(KeyValueCache::new(region, stack.spec, keys, slots)?)
        } else {
            None
        };
        let (plan, threads, source) = ((self.model.spec(), &self.plan), &mut self.threads, self.source);
        let block = Block::new(*stack, layer, self.kernels, threads.beside(ids.len()));
        threads.fill(plan, x, hidden_size, (stack.spec, layer, &mut own, start), scratch, |start, x, own, scratch| {
            block.prepare(x, scratch);
            block.store(x, start, own, scratch);
        });
        threads.run(plan, x, hidden_size, scratch, |first, x, scratch| {
            let cross = cross.as_ref().map(|cache| (cache, source));
            block.forward(x, start + first, start + ids.len(), &own, cross, scratch);
        });
        pass.parts = scratch.step.left_after().unwrap_or(0);
        if pass.parts > 0 {
            return Ok(true);
        }
        trace(layer + 1, x);
        pass.layer += 1;
        if pass.layer == layers {
            pass.layer = 0;
            pass.read += ids.len();
            self.position += ids.len();
            self.last_tile = ids.len();
            self.reading.end(self.model.spec().head.pooling, start, ids);
        }
        Ok(pass.read < pass.tokens)
    }
}
