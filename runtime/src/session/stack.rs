//! Tokens through one layer of a stack.

use super::embedding::{convolve, embed};
use super::positions::count;
use super::{Pass, Session, Trace};
use crate::block::Block;
use crate::cache::KeyValueCache;
use crate::features;
use crate::format::error::Error;
use crate::format::layout::{Stack, StackPart};
use crate::format::memory::{decoder_slots, layer_cache_bytes};
use crate::model::StackView;
use crate::ops::norm::norm;
use crate::threads::Others;
use crate::workspace::{Workspace, counted};

impl<'s, 'm> Session<'s, 'm> {
    /// All tokens through one layer of the encoder.
    pub(super) fn advance_encoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass<'_>,
        trace: Trace<'_>,
    ) -> Result<bool, Error> {
        let (ids, layer) = (pass.ids, pass.layer);
        let text = (ids, pass.token_types);
        let hidden_size = stack.hidden_size();
        let (tile, threads) = (self.plan.tile(), &mut self.threads);
        let plan = (self.model.spec(), &self.plan);
        let Workspace { states, encoder_cache, scratch, .. } = &mut self.workspace;
        let states = states.get_mut(..ids.len() * hidden_size).ok_or(Error::NoTokens)?;
        if layer == 0 {
            for (at, row) in states.chunks_exact_mut(hidden_size).enumerate() {
                embed(stack, self.kernels, text, at, 0, row, scratch);
            }
            trace(0, states);
        }
        let block = Block::new(*stack, layer, self.kernels, threads.beside(ids.len()));
        let keys = self.model.spec().numerics.keys;
        let slots = encoder_cache.len() / layer_cache_bytes(stack.spec, keys, 1).max(1);
        let mut cache = KeyValueCache::new(encoder_cache, stack.spec, keys, slots)?;
        // A tile for each thread at a time.
        let together = tile * threads.count();
        for (index, x) in states.chunks_mut((together * hidden_size).max(1)).enumerate() {
            let cache = (stack.spec, &mut cache, index * together);
            threads.fill(plan, x, hidden_size, cache, scratch, |start, x, cache, scratch| {
                block.prepare(x, scratch);
                block.store(x, start, cache, scratch);
            });
        }
        threads.run(plan, states, hidden_size, scratch, |first, states, scratch| {
            for (index, x) in states.chunks_mut((tile * hidden_size).max(1)).enumerate() {
                block.prepare(x, scratch);
                block.forward(x, first + index * tile, ids.len(), &cache, None, scratch);
            }
        });
        let convolution = stack.spec.convolution.as_ref().filter(|_| features::CONVOLUTIONS && layer == 0);
        if let Some(convolution) = convolution {
            for (at, row) in states.chunks_exact_mut(hidden_size).enumerate() {
                convolve(stack, convolution, self.kernels, text, at, row, scratch);
            }
        }
        trace(layer + 1, states);
        pass.layer += 1;
        if pass.layer < stack.spec.num_hidden_layers as usize {
            return Ok(true);
        }
        if let Some(spec) = &stack.spec.final_norm {
            let numbers = stack.norm(StackPart::FinalNorm);
            for row in states.chunks_exact_mut(hidden_size) {
                norm(self.kernels, spec, &numbers, self.model.spec().numerics.fraction_bits, row);
            }
        }
        pass.read = ids.len();
        self.source = ids.len();
        self.store_cross()?;
        Ok(false)
    }

    /// Keys and values of the encoder's output go to the decoder's cross-attention, once.
    pub(super) fn store_cross(&mut self) -> Result<(), Error> {
        let Some(stack) = self.model.stack(Stack::Decoder).filter(|_| features::CROSS_ATTENTION) else { return Ok(()) };
        let workspace = &mut self.workspace;
        let hidden_size = stack.hidden_size();
        let states = workspace.states.get(..self.source * hidden_size).unwrap_or(&[]);
        let layers = stack.spec.num_hidden_layers as usize;
        let region = workspace.cross_cache.len() / layers.max(1);
        let keys = self.model.spec().numerics.keys;
        let slots = region / layer_cache_bytes(stack.spec, keys, 1).max(1);
        for (layer, region) in workspace.cross_cache.chunks_exact_mut(region.max(1)).enumerate() {
            let mut cache = KeyValueCache::new(region, stack.spec, keys, slots)?;
            for (index, x) in states.chunks((self.plan.tile() * hidden_size).max(1)).enumerate() {
                let block = Block::new(stack, layer, self.kernels, Others::default());
                block.store_cross(x, index * self.plan.tile(), &mut cache, &mut workspace.scratch);
            }
        }
        Ok(())
    }

    /// One tile through one layer of the decoder.
    pub(super) fn advance_decoder(
        &mut self,
        stack: &StackView<'s, 'm>,
        pass: &mut Pass<'_>,
        trace: Trace<'_>,
    ) -> Result<bool, Error> {
        let keys = self.model.spec().numerics.keys;
        let (hidden_size, start, layer) = (stack.hidden_size(), self.position, pass.layer);
        let rest = pass.ids.get(pass.read..).unwrap_or(&[]);
        let ids = rest.get(..self.plan.tile()).unwrap_or(rest);
        let Workspace { hidden, kept, cache, cross_cache, scratch, .. } = &mut self.workspace;
        let of_one = cache.len() / self.plan.beams().max(1);
        let cache = cache.get_mut(self.beam * of_one..(self.beam + 1) * of_one).ok_or(Error::BadLayout("cache"))?;
        if layer == 0 {
            self.reading.keep(hidden, hidden_size, kept);
        }
        let x = hidden.get_mut(..ids.len() * hidden_size).ok_or(Error::NoTokens)?;
        if layer == 0 {
            let first = count(stack.spec, counted(stack.spec, &self.plan, cache), start, ids);
            for (at, row) in x.chunks_exact_mut(hidden_size).enumerate() {
                embed(stack, self.kernels, (ids, &[]), at, first, row, scratch);
            }
            trace(0, x);
        }
        let layers = stack.spec.num_hidden_layers as usize;
        let bytes_of = |layer| layer_cache_bytes(stack.spec, keys, decoder_slots(stack.spec, layer, &self.plan));
        let first = (0..layer).map(bytes_of).sum::<usize>();
        let region = cache.get_mut(first..first + bytes_of(layer)).ok_or(Error::BadLayout("cache"))?;
        let mut own = KeyValueCache::new(region, stack.spec, keys, decoder_slots(stack.spec, layer, &self.plan))?;
        let cross = if stack.spec.block.cross_attention && features::CROSS_ATTENTION {
            let size = cross_cache.len() / layers.max(1);
            let region = cross_cache.get_mut(layer * size..(layer + 1) * size).ok_or(Error::BadLayout("cache"))?;
            let slots = size / layer_cache_bytes(stack.spec, keys, 1).max(1);
            Some(KeyValueCache::new(region, stack.spec, keys, slots)?)
        } else {
            None
        };
        let (plan, threads, source) = ((self.model.spec(), &self.plan), &mut self.threads, self.source);
        let block = Block::new(*stack, layer, self.kernels, threads.beside(ids.len()));
        threads.fill(plan, x, hidden_size, (stack.spec, &mut own, start), scratch, |start, x, own, scratch| {
            block.prepare(x, scratch);
            block.store(x, start, own, scratch);
        });
        threads.run(plan, x, hidden_size, scratch, |first, x, scratch| {
            let cross = cross.as_ref().map(|cache| (cache, source));
            block.forward(x, start + first, start + ids.len(), &own, cross, scratch);
        });
        trace(layer + 1, x);
        pass.layer += 1;
        if pass.layer == layers {
            pass.layer = 0;
            pass.read += ids.len();
            self.position += ids.len();
            self.last_tile = ids.len();
            self.reading.end(self.model.spec().head.pooling, start, ids);
        }
        Ok(pass.read < pass.ids.len())
    }
}
