//! From a hidden state to the result.

use super::{Row, Session, stack_of};
use crate::block::copy;
use crate::error::RunError;
use crate::fixed::mean;
use crate::format::layout::{HeadPart, Role, Stack, StackPart};
use crate::format::spec::OutputProjection;
use crate::ops::activation::{activate, soft_cap};
use crate::ops::linear::{QuantizedRows, linear, quantize_rows};
use crate::ops::norm::norm;
use crate::workspace::Workspace;

impl Session<'_, '_> {
    /// The head's result for a row: pools, transforms and projects.
    pub(super) fn head(&mut self, row: Row) -> Result<&mut [i32], RunError> {
        let model = self.model;
        let (spec, head) = (model.spec(), &model.spec().head);
        let (id, decodes) = if spec.decoder.is_some() { (Stack::Decoder, true) } else { (Stack::Encoder, false) };
        let stack = stack_of(model, id)?;
        let (hidden_size, bits) = (stack.hidden_size(), spec.numerics.fraction_bits);
        let (width, kernels) = (spec.numerics.activations, self.kernels);
        let Workspace { hidden, kept, states, scratch, .. } = &mut self.workspace;
        let (states, read) = if decodes { (&*hidden, self.last_tile) } else { (&*states, self.source) };
        let states = states.get(..read * hidden_size).unwrap_or(&[]);
        // `normed` holds the input and, once that is quantized, the output.
        let mut len = hidden_size;
        let pooled = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        match row {
            _ if read == 0 => return Err(RunError::NoTokens),
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
        if let Some(transform) = &head.transform {
            quantize_rows(kernels, width, pooled, len, scratch.quantized, scratch.scales);
            len = transform.size as usize;
            let out = scratch.normed.get_mut(..len).unwrap_or(&mut []);
            let x = QuantizedRows::new(width, 1, hidden_size, scratch.quantized, scratch.scales);
            linear(kernels, &x, &model.head_matrix(HeadPart::Transform), out);
            activate(kernels, transform.activation, model.halfwords(Role::Head(HeadPart::ActivationTable)), bits, out);
            if let Some(spec) = &transform.norm {
                norm(kernels, spec, &model.norm(Role::Head(HeadPart::TransformNorm)), bits, out);
            }
        }
        let input = scratch.normed.get_mut(..len).unwrap_or(&mut []);
        let matrix = match head.output {
            OutputProjection::None => return Ok(input),
            OutputProjection::Own => model.head_matrix(HeadPart::Output),
            OutputProjection::Tied => stack.token_table(),
        };
        let bias = match head.output {
            OutputProjection::Tied => model.words(Role::Head(HeadPart::OutputBias)),
            _ => matrix.bias,
        };
        let out = scratch.wide.get_mut(..head.num_outputs as usize).unwrap_or(&mut []);
        quantize_rows(kernels, width, input, input.len(), scratch.quantized, scratch.scales);
        let x = QuantizedRows::new(width, 1, input.len(), scratch.quantized, scratch.scales);
        self.threads.beside(1).linear_with_bias(kernels, &x, &matrix, bias, out);
        if let Some(cap) = head.soft_cap {
            soft_cap(cap, model.halfwords(Role::Head(HeadPart::TanhTable)), bits, out);
        }
        Ok(out)
    }
}
