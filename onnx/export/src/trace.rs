//! Records `forward` with two batch sizes and merges the recordings.

use std::collections::{BTreeMap, HashMap};

use burn::backend::ir::{BaseOperationIr, IrVisitorMut, OperationIr, ScalarIr, SliceOpIr, TensorId, TensorIr};
use burn::tensor::{DType, Device, Int, IntDType, Shape, Slice, Tensor, TensorData};
use burn_capture::CaptureBackend;

use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Input, Traced};

/// The batch sizes of the two recordings: primes, so that only batch dimensions are multiples of them; large and close
/// together, since burn selects some matrix multiplication strategies by the number of rows.
const ROWS: (usize, usize) = (1019, 1021);

/// The recorded operations of `forward`. Tensors are numbered in order of appearance, so identical modules have identical
/// traces.
pub(crate) struct Trace {
    pub operations: Vec<OperationIr>,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    /// The values of weights and other tensors that are not computed by an operation.
    pub constants: BTreeMap<TensorId, TensorData>,
    pub dims: HashMap<TensorId, Vec<Dim>>,
}

/// Records `forward` twice and merges the recordings.
pub(crate) fn trace(
    inputs: &[Input<'_>],
    forward: impl Fn(&Device, &[Traced]) -> Tensor<2>,
) -> Result<Trace, ExportError> {
    let device = Device::capture();
    let first = record(&device, inputs, ROWS.0, &forward)?;
    let second = record(&device, inputs, ROWS.1, &forward)?;
    merge(first, &second)
}

/// A trace for a single batch size.
struct Recording {
    operations: Vec<OperationIr>,
    inputs: Vec<TensorId>,
    output: TensorId,
    constants: BTreeMap<TensorId, TensorData>,
}

fn record(
    device: &Device,
    inputs: &[Input<'_>],
    rows: usize,
    forward: &impl Fn(&Device, &[Traced]) -> Tensor<2>,
) -> Result<Recording, ExportError> {
    let mut on_device = true;
    let captured = device.capture_scope(|scope| {
        // Integers that `forward` creates must have the same type as those from a flex device. In the second recording this
        // fails harmlessly, since the device is already configured.
        let _ = device.clone().configure(IntDType::I32);
        let inputs: Vec<Traced> = inputs.iter().map(|input| placeholder(input, rows, device)).collect();
        let output = forward(device, &inputs);
        let ids: Vec<_> = inputs.iter().filter_map(Traced::id).collect();
        let output = Traced::Float(output).id();
        on_device = output.is_some();
        scope.complete(ids, output)
    });
    if !on_device {
        return Err(ExportError::Device);
    }
    let captured = captured.map_err(ExportError::Capture)?;
    let [output] = captured.graph.outputs[..] else { return Err(ExportError::Device) };
    Ok(Recording::renumbered(captured.graph.operations, &captured.graph.inputs, output, captured.values))
}

/// A placeholder for an input. It is created on another device, since one created on this device would be a constant.
fn placeholder(input: &Input<'_>, rows: usize, device: &Device) -> Traced {
    let other_device = Device::flex();
    let shape = [rows, input.columns()];
    match input {
        Input::Int64 { .. } => {
            Traced::Int(Tensor::<2, Int>::zeros(shape, (&other_device, DType::I32)).to_device(device))
        }
        Input::Float32 { .. } => Traced::Float(Tensor::<2>::zeros(shape, &other_device).to_device(device)),
    }
}

impl Traced {
    /// The id of the tensor in the recording; `None` on another device.
    fn id(&self) -> Option<TensorId> {
        match self {
            Self::Int(tensor) => Some(tensor.clone().try_into_primitive::<CaptureBackend>().ok()?.id()),
            Self::Float(tensor) => Some(tensor.clone().try_into_primitive::<CaptureBackend>().ok()?.id()),
        }
    }
}

impl Recording {
    /// Renumbers the tensors from 0, since the recorder numbers them across the whole process.
    fn renumbered(
        mut operations: Vec<OperationIr>,
        inputs: &[TensorId],
        output: TensorId,
        mut values: BTreeMap<TensorId, TensorData>,
    ) -> Self {
        let mut numbers = TensorNumbers::default();
        let inputs = inputs.iter().map(|id| numbers.number(*id)).collect::<Vec<_>>();
        for operation in &mut operations {
            normalize_slices(operation);
            operation.visit_mut(&mut numbers);
        }
        let output = numbers.number(output);
        let constants = numbers
            .0
            .iter()
            .filter(|(_, number)| !inputs.contains(number))
            .filter_map(|(id, number)| Some((*number, values.remove(id)?)))
            .collect();
        Self { operations, inputs, output, constants }
    }
}

#[derive(Default)]
struct TensorNumbers(HashMap<TensorId, TensorId>);

impl TensorNumbers {
    fn number(&mut self, id: TensorId) -> TensorId {
        let next = TensorId::new(self.0.len() as u64);
        *self.0.entry(id).or_insert(next)
    }
}

impl IrVisitorMut for TensorNumbers {
    fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
        tensor.id = self.number(tensor.id);
    }
}

/// Normalizes slices: a range over a whole dimension becomes the full range, which does not depend on the batch, and any
/// other range has both ends.
fn normalize_slices(operation: &mut OperationIr) {
    if let OperationIr::BaseFloat(BaseOperationIr::Slice(slice))
    | OperationIr::BaseInt(BaseOperationIr::Slice(slice))
    | OperationIr::BaseBool(BaseOperationIr::Slice(slice)) = operation
    {
        let SliceOpIr { tensor, ranges, .. } = slice;
        for (range, size) in ranges.iter_mut().zip(tensor.shape.iter()) {
            *range = normalize(*range, size.cast_signed());
        }
    }
}

fn normalize(range: Slice, size: isize) -> Slice {
    let from_start = |index: isize| if index < 0 { index + size } else { index }.clamp(0, size);
    let start = from_start(range.start);
    let end = range.end.map_or(size, from_start);
    match (start, end, range.step) {
        (0, end, 1) if end == size => Slice::full(),
        (start, end, step) => Slice::new(start, Some(end), step),
    }
}

fn merge(first: Recording, second: &Recording) -> Result<Trace, ExportError> {
    let mut dims = HashMap::new();
    for position in 0..first.operations.len().max(second.operations.len()) {
        let (a, b) = (first.operations.get(position), second.operations.get(position));
        let (Some(a), Some(b)) = (a, b) else { return Err(diverged(position, a, b)) };
        if skeleton(a) != skeleton(b) {
            return Err(diverged(position, Some(a), Some(b)));
        }
        for (a_tensor, b_tensor) in a.nodes().into_iter().zip(b.nodes()) {
            dims.insert(a_tensor.id, merge_dims(a, a_tensor, b_tensor)?);
        }
    }
    for (id, value) in &first.constants {
        let same = second.constants.get(id).is_some_and(|other| same_value(value, other));
        if !same {
            return Err(ExportError::BatchSized { operation: first_use(&first.operations, *id) });
        }
    }
    let Recording { operations, inputs, output, constants } = first;
    Ok(Trace { operations, inputs, output, constants, dims })
}

fn diverged(position: usize, first: Option<&OperationIr>, second: Option<&OperationIr>) -> ExportError {
    let name = |operation: Option<&OperationIr>| operation.map_or_else(|| "nothing".into(), operation_name);
    ExportError::Diverged { position, first: name(first), second: name(second) }
}

/// The operation without its shapes, which may differ between batches.
fn skeleton(operation: &OperationIr) -> OperationIr {
    struct Skeleton;
    impl IrVisitorMut for Skeleton {
        fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
            tensor.shape = Shape::new([0; 0]);
        }

        fn visit_scalar_mut(&mut self, scalar: &mut ScalarIr) {
            // As bits, since NaN is not equal to itself.
            if let ScalarIr::Float(value) = scalar {
                *scalar = ScalarIr::UInt(value.to_bits());
            }
        }
    }
    let mut skeleton = operation.clone();
    skeleton.visit_mut(&mut Skeleton);
    skeleton
}

fn merge_dims(operation: &OperationIr, first: &TensorIr, second: &TensorIr) -> Result<Vec<Dim>, ExportError> {
    let sizes = first.shape.iter().copied().zip(second.shape.iter().copied());
    let dims: Option<Vec<_>> = sizes.map(|sizes| Dim::infer(sizes, ROWS)).collect();
    dims.ok_or_else(|| ExportError::Dimension {
        operation: operation_name(operation),
        first: first.shape.to_vec(),
        second: second.shape.to_vec(),
    })
}

fn same_value(first: &TensorData, second: &TensorData) -> bool {
    (first.shape(), first.dtype(), first.as_bytes()) == (second.shape(), second.dtype(), second.as_bytes())
}

/// The first operation that uses the tensor.
fn first_use(operations: &[OperationIr], id: TensorId) -> String {
    operations
        .iter()
        .find(|operation| operation.inputs().any(|tensor| tensor.id == id))
        .map_or_else(|| "forward".into(), operation_name)
}

/// The name of an operation for messages, such as `NumericFloat::Sort`.
pub(crate) fn operation_name(operation: &OperationIr) -> String {
    // The `Debug` output starts with the names of the variants, followed by that of a struct:
    // `NumericFloat(F32, Sort(SortOpIr { …`.
    let text = format!("{operation:?}");
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let kind = words.next().unwrap_or_default();
    words.take_while(|word| !word.ends_with("Ir")).last().map_or_else(|| kind.into(), |name| format!("{kind}::{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_over_a_whole_dimension_is_full() {
        for range in [Slice::new(0, Some(7), 1), Slice::new(0, None, 1), Slice::new(-7, None, 1), Slice::full()] {
            assert_eq!(normalize(range, 7), Slice::full());
        }
    }

    #[test]
    fn other_ranges_have_both_ends() {
        assert_eq!(normalize(Slice::new(2, None, 1), 7), Slice::new(2, Some(7), 1));
        assert_eq!(normalize(Slice::new(-3, Some(-1), 1), 7), Slice::new(4, Some(6), 1));
        assert_eq!(normalize(Slice::new(0, Some(7), 2), 7), Slice::new(0, Some(7), 2));
    }
}
