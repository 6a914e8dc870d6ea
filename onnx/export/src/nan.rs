//! Finds the tensors that may have NaN, which marks a missing number.
//!
//! burn and ONNX Runtime preserve NaN in a clamp, but tract replaces it by a bound. So a clamp of a tensor that may have NaN
//! needs two more nodes, which other clamps avoid.

use std::collections::{HashMap, HashSet};

use burn::backend::ir::{BaseOperationIr, OperationIr, ScalarIr, TensorId, TensorIr};

use crate::trace::Trace;

/// The float tensors to which NaN from an input or constant can propagate. NaN from a computation, such as the logarithm of
/// -1, is not considered.
pub(crate) fn may_have_nan(trace: &Trace) -> HashSet<TensorId> {
    let missing_constants = trace.constants.iter().filter_map(|(id, data)| {
        let nan = data.dtype().is_float() && data.iter::<f32>().any(f32::is_nan);
        nan.then_some(*id)
    });
    let mut candidates: HashSet<_> = trace.inputs.iter().copied().chain(missing_constants).collect();
    let mut masks = HashMap::new();
    for operation in &trace.operations {
        if let Some((mask, tensor)) = nan_mask(operation) {
            masks.insert(mask, tensor);
        } else if propagates_nan(operation, &candidates, &masks) {
            candidates.extend(operation.outputs().filter(is_float).map(|out| out.id));
        }
    }
    candidates
}

/// The mask and the tensor, if the operation is a NaN test, which burn records as `x != x`.
fn nan_mask(operation: &OperationIr) -> Option<(TensorId, TensorId)> {
    match operation {
        OperationIr::BaseFloat(BaseOperationIr::NotEqual(op)) if op.lhs.id == op.rhs.id => Some((op.out.id, op.lhs.id)),
        _ => None,
    }
}

/// Whether NaN propagates to the output. Filling a tensor where it is NaN removes it; any other operation propagates NaN from
/// its inputs.
fn propagates_nan(
    operation: &OperationIr,
    candidates: &HashSet<TensorId>,
    masks: &HashMap<TensorId, TensorId>,
) -> bool {
    let may_have_nan = |tensor: &TensorIr| is_float(&tensor) && candidates.contains(&tensor.id);
    let masks_own_nan = |mask: &TensorIr, tensor: &TensorIr| masks.get(&mask.id) == Some(&tensor.id);
    match operation {
        OperationIr::BaseFloat(BaseOperationIr::MaskFill(op)) => {
            let fills_with_nan = matches!(op.value, ScalarIr::Float(value) if value.is_nan());
            fills_with_nan || (may_have_nan(&op.tensor) && !masks_own_nan(&op.mask, &op.tensor))
        }
        OperationIr::BaseFloat(BaseOperationIr::MaskWhere(op)) => {
            may_have_nan(&op.value) || (may_have_nan(&op.tensor) && !masks_own_nan(&op.mask, &op.tensor))
        }
        operation => operation.inputs().any(may_have_nan),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as `Iterator::filter` calls it")]
fn is_float(tensor: &&TensorIr) -> bool {
    tensor.dtype.is_float()
}
