//! Which tensors may hold NaN, the mark of a missing number.
//!
//! burn and ONNX Runtime keep NaN in a clamp, tract turns it into one of the bounds. So a clamp of a tensor that may
//! hold NaN needs two more nodes, which a clamp of any other tensor should not pay for.

use std::collections::{HashMap, HashSet};

use burn::backend::ir::{BaseOperationIr, OperationIr, ScalarIr, TensorId, TensorIr};

use crate::trace::Trace;

/// The float tensors into which a NaN of an input or a constant can get. A NaN that arises on the way, such as the
/// logarithm of -1, is not foreseen.
pub(crate) fn may_hold_nan(trace: &Trace) -> HashSet<TensorId> {
    let missing_constants = trace.constants.iter().filter_map(|(id, data)| {
        let nan = data.dtype().is_float() && data.iter::<f32>().any(f32::is_nan);
        nan.then_some(*id)
    });
    let mut suspects: HashSet<_> = trace.inputs.iter().copied().chain(missing_constants).collect();
    let mut masks = HashMap::new();
    for operation in &trace.operations {
        if let Some((mask, tensor)) = nan_mask(operation) {
            masks.insert(mask, tensor);
        } else if lets_nan_through(operation, &suspects, &masks) {
            suspects.extend(operation.outputs().filter(is_float).map(|out| out.id));
        }
    }
    suspects
}

/// The mask and the tensor, if the operation asks where a tensor is NaN; burn records that as `x != x`.
fn nan_mask(operation: &OperationIr) -> Option<(TensorId, TensorId)> {
    match operation {
        OperationIr::BaseFloat(BaseOperationIr::NotEqual(op)) if op.lhs.id == op.rhs.id => Some((op.out.id, op.lhs.id)),
        _ => None,
    }
}

/// A tensor filled where it is NaN itself holds what it is filled with; any other result is as good as its inputs.
fn lets_nan_through(
    operation: &OperationIr,
    suspects: &HashSet<TensorId>,
    masks: &HashMap<TensorId, TensorId>,
) -> bool {
    let suspect = |tensor: &TensorIr| is_float(&tensor) && suspects.contains(&tensor.id);
    let own = |mask: &TensorIr, tensor: &TensorIr| masks.get(&mask.id) == Some(&tensor.id);
    match operation {
        OperationIr::BaseFloat(BaseOperationIr::MaskFill(op)) => {
            let filled_with_nan = matches!(op.value, ScalarIr::Float(value) if value.is_nan());
            filled_with_nan || (suspect(&op.tensor) && !own(&op.mask, &op.tensor))
        }
        OperationIr::BaseFloat(BaseOperationIr::MaskWhere(op)) => {
            suspect(&op.value) || (suspect(&op.tensor) && !own(&op.mask, &op.tensor))
        }
        operation => operation.inputs().any(suspect),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as `Iterator::filter` calls it")]
fn is_float(tensor: &&TensorIr) -> bool {
    tensor.dtype.is_float()
}
