//! Computes the head's result from hidden states.

use super::reading::{HeadWork, Row};
use super::{Session, stack_of};
use crate::block::copy;
use crate::error::RunError;
use crate::fixed::mean;
use crate::format::layout::{HeadPart, Role, Stack, StackPart};
use crate::format::spec::{OutputProjection, Pooling};
use crate::ops::activation::{activate, soft_cap};
use crate::ops::linear::{QuantizedRows, quantize_rows};
use crate::ops::norm::norm;
use crate::step::{Step, VALUE};
use crate::workspace::Workspace;

impl Session<'_, '_> {
    /// Reads one token with the decoder, and returns the logits after it, which a sampler may
    /// change.
    ///
    /// # Errors
    /// The errors of [`prefill`](Self::prefill).
    ///
    /// ```
    /// use kinglet::sample::Sampler;
    /// use kinglet::{RunError, Session};
    ///
    /// /// The token after `id`.
    /// fn next(session: &mut Session, id: u32, sampler: &mut Sampler) -> Result<u32, RunError> {
    ///     let fraction_bits = session.model().spec().numerics.fraction_bits;
    ///     sampler.sample(session.step(id)?, fraction_bits, &[])
    /// }
    /// # let _ = next;
    /// ```
    pub fn step(&mut self, id: u32) -> Result<&mut [i32], RunError> {
        self.prefill(&[id])?;
        self.logits_mut()
    }

    /// The head's result for the whole text: after the decoder's last token, or for the encoder's
    /// pooled state. Fixed point with
    /// [`fraction_bits`](crate::format::spec::NumericsSpec::fraction_bits).
    ///
    /// The first call computes it. Further calls are free, unless its memory was borrowed in
    /// between by [`logits_mut`](Self::logits_mut), [`step`](Self::step) or
    /// [`scratch`](Self::scratch).
    ///
    /// # Errors
    /// [`RunError::NoTokens`] when the decoder has not read a token that the head reads: no token,
    /// only padding since a [`rewind`](Self::rewind), or not yet the token at the position that the
    /// encoder's text marks.
    pub fn logits(&mut self) -> Result<&[i32], RunError> {
        let row = self.row()?;
        self.head_once(row)
    }

    /// The logits, mutable, for samplers that work in place.
    ///
    /// # Errors
    /// The errors of [`logits`](Self::logits).
    pub fn logits_mut(&mut self) -> Result<&mut [i32], RunError> {
        let row = self.row()?;
        self.head_once(row)?;
        self.head = None;
        Ok(self.results())
    }

    /// Takes one step of the head, and returns whether there is more to do. After the last step,
    /// [`logits`](Self::logits) is free. With a small vocabulary, as in the models that ship with
    /// Kinglet, there is one step.
    ///
    /// # Errors
    /// The errors of [`logits`](Self::logits).
    ///
    /// ```
    /// use kinglet::sample::argmax;
    /// use kinglet::{RunError, Session};
    ///
    /// fn next(session: &mut Session, feed_watchdog: impl Fn()) -> Result<u32, RunError> {
    ///     while session.advance_logits()? {
    ///         feed_watchdog();
    ///     }
    ///     Ok(argmax(session.logits()?))
    /// }
    /// # let _ = |session: &mut Session| next(session, || ());
    /// ```
    pub fn advance_logits(&mut self) -> Result<bool, RunError> {
        self.advance_logits_by(false)
    }

    /// [`advance_logits`](Self::advance_logits), or, if `all`, all remaining steps.
    pub(crate) fn advance_logits_by(&mut self, all: bool) -> Result<bool, RunError> {
        let row = self.row()?;
        self.advance_head(row, all)
    }

    /// [`advance_logits`](Self::advance_logits) for
    /// [the logits of an encoder's token](Self::logits_at).
    ///
    /// # Errors
    /// The errors of [`logits_at`](Self::logits_at).
    pub fn advance_logits_at(&mut self, position: usize) -> Result<bool, RunError> {
        let row = self.row_at(position)?;
        self.advance_head(row, false)
    }

    /// The head's result for the encoder's token at `position`.
    ///
    /// # Errors
    /// [`RunError::TooManyTokens`] when the encoder has read fewer tokens; [`RunError::WrongHead`]
    /// when the head reads a decoder.
    pub fn logits_at(&mut self, position: usize) -> Result<&[i32], RunError> {
        let row = self.row_at(position)?;
        self.head_once(row)
    }

    fn row_at(&self, position: usize) -> Result<Row, RunError> {
        if self.model.spec().decoder.is_some() {
            return Err(RunError::WrongHead("read single tokens of an encoder"));
        }
        if position >= self.source {
            return Err(RunError::TooManyTokens { limit: self.source, given: position.saturating_add(1) });
        }
        Ok(Row::At(position))
    }

    /// The state that the head reads for a whole text.
    fn row(&self) -> Result<Row, RunError> {
        Ok(match (&self.model.spec().decoder, self.model.spec().head.pooling) {
            (Some(_), _) => self.reading.row().ok_or(RunError::NoTokens)?,
            (None, Pooling::Mean) => Row::Mean,
            (None, Pooling::Last) => Row::At(self.source.checked_sub(1).ok_or(RunError::NoTokens)?),
            (None, _) => Row::At(0),
        })
    }

    /// The head's result for a state, computed unless the arena still holds it.
    fn head_once(&mut self, row: Row) -> Result<&[i32], RunError> {
        self.head(row)?;
        Ok(self.results())
    }

    /// The buffer with the result of [`head`](Self::head).
    pub(super) fn results(&mut self) -> &mut [i32] {
        let (spec, scratch) = (self.model.spec(), &mut self.workspace.scratch);
        let stack = spec.decoder.as_ref().or(spec.encoder.as_ref());
        let size = stack.map_or(0, |stack| spec.head.output_size(stack));
        let buffer = if spec.head.output == OutputProjection::None { &mut scratch.normed } else { &mut scratch.wide };
        buffer.get_mut(..size).unwrap_or(&mut [])
    }

    /// Computes the head's result for a state, unless the arena still holds it.
    pub(super) fn head(&mut self, row: Row) -> Result<(), RunError> {
        if matches!(self.head, Some(HeadWork { row: of, parts: None }) if of == row) {
            return Ok(());
        }
        loop {
            self.pause();
            if !self.advance_head(row, !self.pauses())? {
                return Ok(());
            }
        }
    }

    /// Takes one step of the head for a state, or, if `all`, all remaining steps. Returns whether
    /// there is more to do.
    fn advance_head(&mut self, row: Row, all: bool) -> Result<bool, RunError> {
        let parts = match self.head.take() {
            Some(HeadWork { row: of, parts }) if of == row => match parts {
                Some(parts) => parts,
                None => {
                    self.head = Some(HeadWork { row, parts });
                    return Ok(false);
                }
            },
            _ => 0,
        };
        self.workspace.scratch.step = Step::after(parts, self.step, all);
        self.head_parts(row)?;
        let parts = self.workspace.scratch.step.left_after();
        self.head = Some(HeadWork { row, parts });
        Ok(parts.is_some())
    }

    /// Runs the parts of the head for a state: pools, transforms and projects.
    fn head_parts(&mut self, row: Row) -> Result<(), RunError> {
        let model = self.model;
        let (spec, head) = (model.spec(), &model.spec().head);
        let (id, decodes) = if spec.decoder.is_some() { (Stack::Decoder, true) } else { (Stack::Encoder, false) };
        let stack = stack_of(model, id)?;
        let (hidden_size, bits) = (stack.hidden_size(), spec.numerics.fraction_bits);
        let (width, kernels) = (spec.numerics.activations, self.kernels);
        let Workspace { hidden, kept, states, scratch, .. } = &mut self.workspace;
        let (states, read) = if decodes { (&*hidden, self.last_tile) } else { (&*states, self.source) };
        let states = states.get(..read * hidden_size).unwrap_or(&[]);
        if read == 0 && row != Row::Prefix {
            return Err(RunError::NoTokens);
        }
        let (others, step) = (self.threads.beside(1), &mut scratch.step);
        // `normed` holds the input and, once that is quantized, the output.
        let mut len = hidden_size;
        let pooled = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        if step.takes(if row == Row::Mean { states.len() } else { len * VALUE }) {
            match row {
                Row::Prefix => copy(pooled, self.prefix.as_ref().map_or(&[], |prefix| prefix.state(stack.spec))),
                Row::At(row) => copy(pooled, states.get(row * hidden_size..).unwrap_or(&[])),
                Row::Kept => copy(pooled, kept),
                Row::Mean => {
                    for (column, out) in pooled.iter_mut().enumerate() {
                        let values = states.iter().skip(column).step_by(hidden_size);
                        *out = mean(values.map(|&x| i64::from(x)).sum(), read as u32);
                    }
                }
            }
            if let (true, Some(spec)) = (decodes, &stack.spec.final_norm) {
                norm(kernels, spec, &stack.norm(StackPart::FinalNorm), bits, pooled);
            }
        }
        if let Some(transform) = &head.transform {
            if step.takes(len * VALUE) {
                quantize_rows(kernels, width, pooled, len, scratch.quantized, scratch.scales);
            }
            len = transform.size as usize;
            let out = scratch.normed.get_mut(..len).unwrap_or(&mut []);
            let x = QuantizedRows::new(width, 1, hidden_size, scratch.quantized, scratch.scales);
            let matrix = model.head_matrix(HeadPart::Transform);
            others.linear_in_parts(kernels, &x, &matrix, step, scratch.wide, out);
            if step.takes(2 * len * VALUE) {
                let table = model.halfwords(Role::Head(HeadPart::ActivationTable));
                activate(kernels, transform.activation, table, bits, out);
                if let Some(spec) = &transform.norm {
                    norm(kernels, spec, &model.norm(Role::Head(HeadPart::TransformNorm)), bits, out);
                }
            }
        }
        let input = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        let mut matrix = match head.output {
            OutputProjection::None => return Ok(()),
            OutputProjection::Own => model.head_matrix(HeadPart::Output),
            OutputProjection::Tied => stack.token_table(),
        };
        if head.output == OutputProjection::Tied {
            matrix.bias = model.words(Role::Head(HeadPart::OutputBias));
        }
        let out = scratch.wide.get_mut(..head.num_outputs as usize).unwrap_or(&mut []);
        if step.takes(len * VALUE) {
            quantize_rows(kernels, width, input, input.len(), scratch.quantized, scratch.scales);
        }
        let x = QuantizedRows::new(width, 1, len, scratch.quantized, scratch.scales);
        others.linear_in_parts(kernels, &x, &matrix, step, scratch.normed, out);
        if let Some(cap) = head.soft_cap
            && step.takes(out.len() * VALUE)
        {
            soft_cap(cap, model.halfwords(Role::Head(HeadPart::TanhTable)), bits, out);
        }
        Ok(())
    }
}
