//! Normalizations. A linear layer needs no lowering of its own: burn records it as a product and a sum.

use burn::backend::ir::{BatchNormOpIr, LayerNormOpIr};

use super::Lowering;
use crate::ExportError;
use crate::proto::{float, int};

impl Lowering<'_> {
    pub(super) fn layer_norm(&mut self, op: &LayerNormOpIr) -> Result<(), ExportError> {
        let mut inputs = vec![&op.input, &op.gamma];
        inputs.extend(&op.beta);
        let attributes = vec![int("axis", -1), float("epsilon", op.epsilon.elem())];
        self.emit_with("LayerNormalization", &inputs, attributes, &op.out)
    }

    /// With the statistics that training left.
    pub(super) fn batch_norm(&mut self, op: &BatchNormOpIr) -> Result<(), ExportError> {
        let inputs = [&op.x, &op.gamma, &op.beta, &op.mean, &op.variance];
        self.emit_with("BatchNormalization", &inputs, vec![float("epsilon", op.epsilon.elem())], &op.out)
    }
}
