//! Which rows of its tables a graph can look up, found by interval arithmetic without running it. The built-in runtime
//! panics on an index out of range, and ort calls it through C functions, where a panic aborts the process. So a graph
//! is accepted only if no input can make it look up a row that does not exist.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use crate::error::Error;
use crate::sizes::{Sizes, axis, int};

/// The most columns whose ranges are kept apart. A wider value has one range for all of it.
const MAX_COLUMNS: u64 = 64;
/// Whole numbers beyond this are not exact in single precision.
const MAX_EXACT: f64 = 16_777_216.0;
/// Bytes of a constant of floating point whose range may matter: bounds and offsets, not weights.
const MAX_CONSTANT: usize = 4096;

/// The smallest and the largest number that a value can hold. NaN is not counted: as a whole number it is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    low: f64,
    high: f64,
}

/// The ranges of the values so far, in the order of execution: one for each column (the last dimension) or one for all.
#[derive(Debug, Default)]
pub(crate) struct Ranges<'g> {
    of: HashMap<&'g str, Vec<Range>>,
    /// Values of whole numbers.
    whole: HashSet<&'g str>,
}

impl Range {
    const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    fn of_numbers(numbers: impl Iterator<Item = f64>) -> Self {
        numbers.map(|number| Self { low: number, high: number }).fold(None, Self::joined).unwrap_or(Self::ANY)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as `Iterator::fold` calls it")]
    fn joined(ranges: Option<Self>, range: Self) -> Option<Self> {
        Some(ranges.map_or(range, |ranges| ranges.or(range)))
    }

    /// Both.
    fn or(self, other: Self) -> Self {
        // Bounds are never NaN: see `checked`.
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }.checked()
    }

    fn minus(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }.checked()
    }

    /// As `Clip` computes it, also for bounds in the wrong order.
    fn within(self, bounds: Self) -> Self {
        let clip = |number: f64| number.max(bounds.low).min(bounds.high);
        Self { low: clip(self.low), high: clip(self.high) }
    }

    /// Rounded to single precision, as the graph computes it, which keeps integers exact and the order of all others.
    /// Nothing is known of integers beyond the exact ones.
    fn checked(self) -> Self {
        if self.low.abs() <= MAX_EXACT && self.high.abs() <= MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "that is what the rounding is")]
            let rounded = |bound: f64| f64::from(bound as f32);
            Self { low: rounded(self.low), high: rounded(self.high) }
        } else {
            Self::ANY
        }
    }
}

impl<'g> Ranges<'g> {
    /// An input of ids, the largest of each column given.
    pub(crate) fn ids(&mut self, name: &'g str, largest: &[usize]) {
        self.whole.insert(name);
        #[expect(clippy::cast_precision_loss, reason = "what is not exact is given up in `checked`")]
        let range = |largest: &usize| Range { low: 0.0, high: *largest as f64 }.checked();
        self.of.insert(name, largest.iter().map(range).collect());
    }

    /// A tensor of the file, checked to hold as many bytes as it says.
    pub(crate) fn constant(&mut self, tensor: &'g TensorProto) {
        let numbers: Vec<f64> = if tensor.data_type == DataType::Int64 as i32 {
            self.whole.insert(&tensor.name);
            #[expect(clippy::cast_precision_loss, reason = "what is not exact is given up in `checked`")]
            let exact = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes) as f64;
            tensor.raw_data.as_chunks().0.iter().map(exact).collect()
        } else if tensor.data_type == DataType::Float as i32 && tensor.raw_data.len() <= MAX_CONSTANT {
            tensor.raw_data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        } else {
            return;
        };
        if numbers.is_empty() || numbers.iter().any(|number| number.is_nan()) {
            return;
        }
        let columns = tensor.dims.last().map_or(1, |columns| columns.unsigned_abs());
        let columns = if columns <= MAX_COLUMNS { usize::try_from(columns).unwrap_or(1) } else { 1 };
        let column = |place| Range::of_numbers(numbers.iter().skip(place).step_by(columns).copied()).checked();
        self.of.insert(&tensor.name, (0..columns).map(column).collect());
    }

    /// Adds what a node computes, whose sizes are known.
    ///
    /// # Errors
    /// It looks rows up in a table, and it is not certain that the table has them; or it divides whole numbers, maybe
    /// by 0, over which the runtime panics as well.
    pub(crate) fn node(&mut self, node: &'g NodeProto, sizes: &Sizes<'_>) -> Result<(), Error> {
        match node.op_type.as_str() {
            "Gather" => self.check_look_up(node, sizes)?,
            "Div" | "Pow" | "Reciprocal" if self.is_whole(node) => {
                return Err(Error::graph(format!("its node `{}` divides whole numbers", node.name)));
            }
            _ => {}
        }
        let Some(output) = node.output.first() else { return Ok(()) };
        if self.is_whole(node) {
            self.whole.insert(output);
        }
        if let Some(ranges) = self.ranges_of(node, sizes) {
            self.of.insert(output, ranges);
        }
        Ok(())
    }

    /// Whether a node computes with whole numbers, or chooses among them.
    fn is_whole(&self, node: &NodeProto) -> bool {
        let is_whole = |place: usize| node.input.get(place).is_some_and(|input| self.whole.contains(input.as_str()));
        match node.op_type.as_str() {
            "Cast" => int(node, "to") == Some(DataType::Int64 as i64),
            "Where" => is_whole(1) || is_whole(2),
            _ => is_whole(0),
        }
    }

    fn check_look_up(&self, node: &NodeProto, sizes: &Sizes<'_>) -> Result<(), Error> {
        let [table, rows] = &node.input[..] else {
            return Err(Error::graph(format!("`{}` looks nothing up", node.name)));
        };
        let shape = sizes.of(table).unwrap_or_default();
        let along = axis(int(node, "axis").unwrap_or(0), shape.len());
        let count = along.and_then(|along| shape.get(along)).copied().unwrap_or_default();
        let Range { low, high } = self.all(rows).unwrap_or(Range::ANY);
        #[expect(clippy::cast_precision_loss, reason = "tables are far smaller than 2^53")]
        if low >= 0.0 && high < count as f64 {
            return Ok(());
        }
        Err(Error::graph(format!(
            "its node `{}` may look up rows {low} to {high} of `{table}`, which has {count}",
            node.name
        )))
    }

    /// One range for all of a value.
    fn all(&self, name: &str) -> Option<Range> {
        self.of.get(name)?.iter().copied().fold(None, Range::joined)
    }

    /// `None` where nothing is known.
    fn ranges_of(&self, node: &NodeProto, sizes: &Sizes<'_>) -> Option<Vec<Range>> {
        let of = |place: usize| self.of.get(node.input.get(place)?.as_str()).cloned();
        let all = |place: usize| self.all(node.input.get(place)?);
        Some(match node.op_type.as_str() {
            "Identity" => of(0)?,
            "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand" | "Tile" | "Gather" => vec![all(0)?],
            "Add" => pairs(&of(0)?, &of(1)?, Range::plus),
            "Sub" => pairs(&of(0)?, &of(1)?, Range::minus),
            "Where" => pairs(&of(1)?, &of(2)?, Range::or),
            "Clip" => {
                let bounds = Range { low: all(1)?.low, high: all(2)?.high };
                let unbounded = || vec![Range::ANY];
                of(0).unwrap_or_else(unbounded).into_iter().map(|range| range.within(bounds)).collect()
            }
            "Cast" => {
                // As a whole number NaN is 0, and a fraction is cut towards it.
                let zero = Range { low: 0.0, high: 0.0 };
                of(0)?.into_iter().map(|range| range.or(zero)).collect()
            }
            "Slice" => self.columns_of_slice(node, sizes).or_else(|| Some(vec![all(0)?]))?,
            "Concat" => self.joined_columns(node, sizes).or_else(|| {
                let ranges = (0..node.input.len()).map(all).collect::<Option<Vec<_>>>()?;
                Some(vec![ranges.into_iter().fold(None, Range::joined)?])
            })?,
            _ => return None,
        })
    }

    /// The columns that a slice takes out, where it takes nothing but columns.
    fn columns_of_slice(&self, node: &NodeProto, sizes: &Sizes<'_>) -> Option<Vec<Range>> {
        let ranges = self.of.get(node.input.first()?.as_str())?;
        let shape = sizes.of(node.input.first()?)?;
        let list = |place: usize| sizes.list(node.input.get(place)?);
        let (&[start], &[along]) = (list(1)?, list(3)?) else { return None };
        let is_plain = axis(along, shape.len())? + 1 == shape.len() && list(4).is_none_or(|steps| steps == [1]);
        let width = usize::try_from(*sizes.of(node.output.first()?)?.last()?).ok()?;
        let start = usize::try_from(start).ok()?;
        ranges.get(start..start.checked_add(width)?).filter(|_| is_plain).map(<[Range]>::to_vec)
    }

    /// The columns of values that are joined column by column.
    fn joined_columns(&self, node: &NodeProto, sizes: &Sizes<'_>) -> Option<Vec<Range>> {
        let shape = sizes.of(node.output.first()?)?;
        if axis(int(node, "axis")?, shape.len())? + 1 != shape.len() || *shape.last()? > MAX_COLUMNS {
            return None;
        }
        let columns = node.input.iter().map(|input| {
            let (ranges, width) = (self.of.get(input.as_str())?, usize::try_from(*sizes.of(input)?.last()?).ok()?);
            Some(if ranges.len() == width { ranges.clone() } else { vec![self.all(input)?; width] })
        });
        Some(columns.collect::<Option<Vec<_>>>()?.concat())
    }
}

/// Column by column where both have as many or one has the same for all; otherwise the widest of any pair.
fn pairs(one: &[Range], other: &[Range], combine: impl Fn(Range, Range) -> Range) -> Vec<Range> {
    match (one, other) {
        ([one], others) => others.iter().map(|other| combine(*one, *other)).collect(),
        (ones, [other]) => ones.iter().map(|one| combine(*one, *other)).collect(),
        (ones, others) if ones.len() == others.len() => {
            ones.iter().zip(others).map(|(one, other)| combine(*one, *other)).collect()
        }
        (ones, others) => {
            let all = |ranges: &[Range]| ranges.iter().copied().fold(None, Range::joined).unwrap_or(Range::ANY);
            vec![combine(all(ones), all(others))]
        }
    }
}
