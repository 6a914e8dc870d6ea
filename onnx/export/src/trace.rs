//! Records `forward` at two batch sizes and merges the recordings.

use std::collections::{BTreeMap, HashMap};

use burn::backend::ir::{BaseOperationIr, IrVisitorMut, OperationIr, ScalarIr, SliceOpIr, TensorId, TensorIr};
use burn::tensor::{DType, Device, Int, IntDType, Shape, Slice, Tensor, TensorData};
use burn_capture::CaptureBackend;

use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Input, Traced};

/// The batch sizes of the two recordings. Primes, so that nothing but the batch is a multiple of them; large and close
/// together, since burn chooses some ways of multiplying by the number of rows.
const ROWS: (usize, usize) = (1019, 1021);

/// The recorded operations of a `forward`. Tensors are numbered in order of appearance, so equal modules have equal
/// traces.
pub(crate) struct Trace {
    pub operations: Vec<OperationIr>,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    /// The values of weights and of other tensors that no operation computes.
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

/// One recording: a trace for a single batch size.
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
        // Integers that `forward` makes must have the type of those that it brings along from a flex device. The second
        // recording finds the device configured and is refused, which changes nothing.
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

/// A tensor that stands for an input; it is made elsewhere, since one made on the device would be a constant.
fn placeholder(input: &Input<'_>, rows: usize, device: &Device) -> Traced {
    let elsewhere = Device::flex();
    let shape = [rows, input.columns()];
    match input {
        Input::Int64 { .. } => Traced::Int(Tensor::<2, Int>::zeros(shape, (&elsewhere, DType::I32)).to_device(device)),
        Input::Float32 { .. } => Traced::Float(Tensor::<2>::zeros(shape, &elsewhere).to_device(device)),
    }
}

impl Traced {
    /// The recorder's name for the tensor; none on another device.
    fn id(&self) -> Option<TensorId> {
        match self {
            Self::Int(tensor) => Some(tensor.clone().try_into_primitive::<CaptureBackend>().ok()?.id()),
            Self::Float(tensor) => Some(tensor.clone().try_into_primitive::<CaptureBackend>().ok()?.id()),
        }
    }
}

impl Recording {
    /// The recorder numbers tensors through the whole process; this numbers them from 0.
    fn renumbered(
        mut operations: Vec<OperationIr>,
        inputs: &[TensorId],
        output: TensorId,
        mut values: BTreeMap<TensorId, TensorData>,
    ) -> Self {
        let mut numbers = Numbers::default();
        let inputs = inputs.iter().map(|id| numbers.of(*id)).collect::<Vec<_>>();
        for operation in &mut operations {
            simplify_slices(operation);
            operation.visit_mut(&mut numbers);
        }
        let output = numbers.of(output);
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
struct Numbers(HashMap<TensorId, TensorId>);

impl Numbers {
    fn of(&mut self, id: TensorId) -> TensorId {
        let next = TensorId::new(self.0.len() as u64);
        *self.0.entry(id).or_insert(next)
    }
}

impl IrVisitorMut for Numbers {
    fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
        tensor.id = self.of(tensor.id);
    }
}

/// Writes a range over all of a dimension as the full range, which is the same for every batch, and any other range
/// with both ends.
fn simplify_slices(operation: &mut OperationIr) {
    if let OperationIr::BaseFloat(BaseOperationIr::Slice(slice))
    | OperationIr::BaseInt(BaseOperationIr::Slice(slice))
    | OperationIr::BaseBool(BaseOperationIr::Slice(slice)) = operation
    {
        let SliceOpIr { tensor, ranges, .. } = slice;
        for (range, size) in ranges.iter_mut().zip(tensor.shape.iter()) {
            *range = simplified(*range, size.cast_signed());
        }
    }
}

fn simplified(range: Slice, size: isize) -> Slice {
    let from_the_front = |index: isize| if index < 0 { index + size } else { index }.clamp(0, size);
    let start = from_the_front(range.start);
    let end = range.end.map_or(size, from_the_front);
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

/// The operation without what may differ between two batches: the shapes.
fn skeleton(operation: &OperationIr) -> OperationIr {
    struct Skeleton;
    impl IrVisitorMut for Skeleton {
        fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
            tensor.shape = Shape::new([0; 0]);
        }

        fn visit_scalar_mut(&mut self, scalar: &mut ScalarIr) {
            // By its bits, since NaN differs from itself.
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
    let dims: Option<Vec<_>> = sizes.map(|sizes| Dim::between(sizes, ROWS)).collect();
    dims.ok_or_else(|| ExportError::Dimension {
        operation: operation_name(operation),
        first: first.shape.to_vec(),
        second: second.shape.to_vec(),
    })
}

fn same_value(first: &TensorData, second: &TensorData) -> bool {
    (first.shape(), first.dtype(), first.as_bytes()) == (second.shape(), second.dtype(), second.as_bytes())
}

/// The operation that first computes with the tensor.
fn first_use(operations: &[OperationIr], id: TensorId) -> String {
    operations
        .iter()
        .find(|operation| operation.inputs().any(|tensor| tensor.id == id))
        .map_or_else(|| "forward".into(), operation_name)
}

/// What messages call an operation: its kind and name, such as `NumericFloat::Sort`.
pub(crate) fn operation_name(operation: &OperationIr) -> String {
    // The derived text begins with the names of the variants and goes on with the name of a struct:
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
    fn a_range_over_everything_is_full_however_it_is_written() {
        for range in [Slice::new(0, Some(7), 1), Slice::new(0, None, 1), Slice::new(-7, None, 1), Slice::full()] {
            assert_eq!(simplified(range, 7), Slice::full());
        }
    }

    #[test]
    fn other_ranges_have_both_ends() {
        assert_eq!(simplified(Slice::new(2, None, 1), 7), Slice::new(2, Some(7), 1));
        assert_eq!(simplified(Slice::new(-3, Some(-1), 1), 7), Slice::new(4, Some(6), 1));
        assert_eq!(simplified(Slice::new(0, Some(7), 2), 7), Slice::new(0, Some(7), 2));
    }
}
