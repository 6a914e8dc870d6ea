//! Checks by interval arithmetic that all lookups of a graph are in range. The built-in runtime panics on an index out of
//! range, and ort calls it through C functions, where a panic aborts the process. So a graph is only accepted if no input
//! can cause such a lookup.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use crate::error::Error;
use crate::shapes::{Shapes, axis, int};

/// The maximum number of columns with separate ranges. A wider value has a single range.
const MAX_COLUMNS: u64 = 64;
/// The largest integer up to which all are exact in single precision.
const MAX_EXACT: f64 = 16_777_216.0;
/// The maximum size in bytes of a float constant whose range is tracked: bounds and offsets, but not weights.
const MAX_CONSTANT_BYTES: usize = 4096;

/// The element types of casts that are not integers.
const FLOATS: [DataType; 5] =
    [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16, DataType::Bool];

/// The smallest and largest number that a value can have, apart from NaN, which becomes 0 as an integer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    low: f64,
    high: f64,
}

/// The ranges of the values computed so far: one per column (the last dimension) or a single one.
#[derive(Debug, Default)]
pub(crate) struct Ranges<'g> {
    by_name: HashMap<&'g str, Vec<Range>>,
    /// The integer values.
    integers: HashSet<&'g str>,
}

impl Range {
    const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    fn from_numbers(numbers: impl Iterator<Item = f64>) -> Self {
        numbers.map(|number| Self { low: number, high: number }).fold(None, Self::fold_union).unwrap_or(Self::ANY)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as `Iterator::fold` calls it")]
    fn fold_union(ranges: Option<Self>, range: Self) -> Option<Self> {
        Some(ranges.map_or(range, |ranges| ranges.union(range)))
    }

    /// The smallest range that contains both.
    fn union(self, other: Self) -> Self {
        // Bounds are never NaN: see `rounded`.
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }.rounded()
    }

    fn minus(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }.rounded()
    }

    /// The range after `Clip`, including for bounds in the wrong order.
    fn clip(self, bounds: Self) -> Self {
        let clip = |number: f64| number.max(bounds.low).min(bounds.high);
        Self { low: clip(self.low), high: clip(self.high) }
    }

    /// Rounds to single precision, as the graph does, which preserves integers and order. Beyond the exact integers, the range is
    /// unknown.
    fn rounded(self) -> Self {
        if self.low.abs() <= MAX_EXACT && self.high.abs() <= MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "that is what the rounding is")]
            let round = |bound: f64| f64::from(bound as f32);
            Self { low: round(self.low), high: round(self.high) }
        } else {
            Self::ANY
        }
    }
}

impl<'g> Ranges<'g> {
    /// Adds an input of ids with the largest id of each column.
    pub(crate) fn add_ids(&mut self, name: &'g str, largest: &[usize]) {
        self.integers.insert(name);
        #[expect(clippy::cast_precision_loss, reason = "inexact values are handled by `rounded`")]
        let range = |largest: &usize| Range { low: 0.0, high: *largest as f64 }.rounded();
        self.by_name.insert(name, largest.iter().map(range).collect());
    }

    /// Adds a tensor of the file, whose size has been checked.
    pub(crate) fn add_constant(&mut self, tensor: &'g TensorProto) {
        let numbers: Vec<f64> = if tensor.data_type == DataType::Int64 as i32 {
            self.integers.insert(&tensor.name);
            #[expect(clippy::cast_precision_loss, reason = "inexact values are handled by `rounded`")]
            let exact = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes) as f64;
            tensor.raw_data.as_chunks().0.iter().map(exact).collect()
        } else if tensor.data_type == DataType::Float as i32 && tensor.raw_data.len() <= MAX_CONSTANT_BYTES {
            tensor.raw_data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        } else {
            return;
        };
        if numbers.is_empty() || numbers.iter().any(|number| number.is_nan()) {
            return;
        }
        let columns = tensor.dims.last().map_or(1, |columns| columns.unsigned_abs());
        let columns = if columns <= MAX_COLUMNS { usize::try_from(columns).unwrap_or(1) } else { 1 };
        let column = |index| Range::from_numbers(numbers.iter().skip(index).step_by(columns).copied()).rounded();
        self.by_name.insert(&tensor.name, (0..columns).map(column).collect());
    }

    /// Adds the output of a node with known shapes.
    ///
    /// # Errors
    /// A lookup may be out of range, or an integer division may be by 0, on which the runtime panics too.
    pub(crate) fn add_node(&mut self, node: &'g NodeProto, shapes: &Shapes<'_>) -> Result<(), Error> {
        match node.op_type.as_str() {
            "Gather" => self.check_lookup(node, shapes)?,
            "Div" | "Pow" | "Reciprocal" if self.is_integer(node) => {
                return Err(Error::graph(format!("the node `{}` divides integers", node.name)));
            }
            _ => {}
        }
        let Some(output) = node.output.first() else { return Ok(()) };
        if self.is_integer(node) {
            self.integers.insert(output);
        }
        if let Some(ranges) = self.output_ranges(node, shapes) {
            self.by_name.insert(output, ranges);
        }
        Ok(())
    }

    /// Whether the output of a node is an integer.
    fn is_integer(&self, node: &NodeProto) -> bool {
        let is_integer =
            |index: usize| node.input.get(index).is_some_and(|input| self.integers.contains(input.as_str()));
        match node.op_type.as_str() {
            "Cast" => !FLOATS.iter().any(|float| int(node, "to") == Some(*float as i64)),
            "Where" => is_integer(1) || is_integer(2),
            _ => is_integer(0),
        }
    }

    fn check_lookup(&self, node: &NodeProto, shapes: &Shapes<'_>) -> Result<(), Error> {
        let [table, rows] = &node.input[..] else {
            return Err(Error::graph(format!("the node `{}` has invalid inputs", node.name)));
        };
        let shape = shapes.of(table).unwrap_or_default();
        let along = axis(int(node, "axis").unwrap_or(0), shape.len());
        let count = along.and_then(|along| shape.get(along)).copied().unwrap_or_default();
        let Range { low, high } = self.total(rows).unwrap_or(Range::ANY);
        #[expect(clippy::cast_precision_loss, reason = "tables are far smaller than 2^53")]
        if low >= 0.0 && high < count as f64 {
            return Ok(());
        }
        Err(Error::graph(format!(
            "the node `{}` may look up rows {low} to {high} of `{table}`, which has {count} rows",
            node.name
        )))
    }

    /// The single range of a value.
    fn total(&self, name: &str) -> Option<Range> {
        self.by_name.get(name)?.iter().copied().fold(None, Range::fold_union)
    }

    /// The ranges of the output of a node; `None` if unknown.
    fn output_ranges(&self, node: &NodeProto, shapes: &Shapes<'_>) -> Option<Vec<Range>> {
        let of = |index: usize| self.by_name.get(node.input.get(index)?.as_str()).cloned();
        let all = |index: usize| self.total(node.input.get(index)?);
        Some(match node.op_type.as_str() {
            "Identity" => of(0)?,
            "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand" | "Tile" => vec![all(0)?],
            "Gather" => self.gather_columns(node, shapes).or_else(|| Some(vec![all(0)?]))?,
            "Add" => combine_columns(&of(0)?, &of(1)?, Range::plus),
            "Sub" => combine_columns(&of(0)?, &of(1)?, Range::minus),
            "Where" => combine_columns(&of(1)?, &of(2)?, Range::union),
            "Clip" => {
                let bounds = Range { low: all(1)?.low, high: all(2)?.high };
                let unbounded = || vec![Range::ANY];
                of(0).unwrap_or_else(unbounded).into_iter().map(|range| range.clip(bounds)).collect()
            }
            "Cast" => {
                // As an integer, NaN becomes 0, and a fraction is truncated towards 0.
                let zero = Range { low: 0.0, high: 0.0 };
                of(0)?.into_iter().map(|range| range.union(zero)).collect()
            }
            "Slice" => self.slice_columns(node, shapes).or_else(|| Some(vec![all(0)?]))?,
            "Concat" => self.concatenate_columns(node, shapes).or_else(|| {
                let ranges = (0..node.input.len()).map(all).collect::<Option<Vec<_>>>()?;
                Some(vec![ranges.into_iter().fold(None, Range::fold_union)?])
            })?,
            _ => return None,
        })
    }

    /// The ranges of a slice of columns.
    fn slice_columns(&self, node: &NodeProto, shapes: &Shapes<'_>) -> Option<Vec<Range>> {
        let ranges = self.by_name.get(node.input.first()?.as_str())?;
        let shape = shapes.of(node.input.first()?)?;
        let list = |index: usize| shapes.list(node.input.get(index)?);
        let (&[start], &[along]) = (list(1)?, list(3)?) else { return None };
        let is_supported = axis(along, shape.len())? + 1 == shape.len() && list(4).is_none_or(|steps| steps == [1]);
        let width = usize::try_from(*shapes.of(node.output.first()?)?.last()?).ok()?;
        let start = usize::try_from(start).ok()?;
        ranges.get(start..start.checked_add(width)?).filter(|_| is_supported).map(<[Range]>::to_vec)
    }

    /// The ranges of columns that are selected by constant indices.
    fn gather_columns(&self, node: &NodeProto, shapes: &Shapes<'_>) -> Option<Vec<Range>> {
        let [table, indices] = &node.input[..] else { return None };
        let (ranges, rank) = (self.by_name.get(table.as_str())?, shapes.of(table)?.len());
        let is_last = axis(int(node, "axis").unwrap_or(0), rank)? + 1 == rank;
        let width = usize::try_from(*shapes.of(table)?.last()?).ok()?;
        let columns = shapes.list(indices)?.iter().map(|index| ranges.get(axis(*index, width)?).copied());
        let columns = columns.collect::<Option<Vec<Range>>>()?;
        (is_last && ranges.len() == width && shapes.of(indices)?.len() <= 1).then_some(columns)
    }

    /// The ranges of a concatenation of columns.
    fn concatenate_columns(&self, node: &NodeProto, shapes: &Shapes<'_>) -> Option<Vec<Range>> {
        let shape = shapes.of(node.output.first()?)?;
        if axis(int(node, "axis")?, shape.len())? + 1 != shape.len() || *shape.last()? > MAX_COLUMNS {
            return None;
        }
        let columns = node.input.iter().map(|input| {
            let (ranges, width) =
                (self.by_name.get(input.as_str())?, usize::try_from(*shapes.of(input)?.last()?).ok()?);
            Some(if ranges.len() == width { ranges.clone() } else { vec![self.total(input)?; width] })
        });
        Some(columns.collect::<Option<Vec<_>>>()?.concat())
    }
}

/// Combines ranges column by column if the numbers of columns match or one has a single range; otherwise combines the total
/// ranges.
fn combine_columns(one: &[Range], other: &[Range], combine: impl Fn(Range, Range) -> Range) -> Vec<Range> {
    match (one, other) {
        ([one], others) => others.iter().map(|other| combine(*one, *other)).collect(),
        (ones, [other]) => ones.iter().map(|one| combine(*one, *other)).collect(),
        (ones, others) if ones.len() == others.len() => {
            ones.iter().zip(others).map(|(one, other)| combine(*one, *other)).collect()
        }
        (ones, others) => {
            let all = |ranges: &[Range]| ranges.iter().copied().fold(None, Range::fold_union).unwrap_or(Range::ANY);
            vec![combine(all(ones), all(others))]
        }
    }
}
