//! Fixed and batch-dependent dimensions.

/// One dimension of a traced tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// A multiple of the number of rows.
    Rows(usize),
}

impl Dim {
    /// Infers the dimension from its sizes for batches of `rows.0` and `rows.1` rows.
    pub fn infer(sizes: (usize, usize), rows: (usize, usize)) -> Option<Self> {
        if sizes.0 == sizes.1 {
            return Some(Self::Fixed(sizes.0));
        }
        let times = sizes.0 / rows.0;
        (sizes == (times * rows.0, times * rows.1)).then_some(Self::Rows(times))
    }
}

/// The axes of size 1 that are inserted in `to`, if that is the only difference from `from`.
pub(crate) fn inserted_axes(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
    let mut rest = from.iter().peekable();
    let mut axes = Vec::new();
    for (axis, dim) in (0..).zip(to) {
        if rest.next_if_eq(&dim).is_some() {
            continue;
        }
        if *dim != Dim::Fixed(1) {
            return None;
        }
        axes.push(axis);
    }
    rest.next().is_none().then_some(axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dim::{Fixed, Rows};

    #[test]
    fn a_dimension_is_fixed_or_a_multiple_of_the_rows() {
        assert_eq!(Dim::infer((3, 3), (7, 11)), Some(Fixed(3)));
        assert_eq!(Dim::infer((7, 11), (7, 11)), Some(Rows(1)));
        assert_eq!(Dim::infer((28, 44), (7, 11)), Some(Rows(4)));
    }

    #[test]
    fn a_dimension_not_proportional_to_the_rows_is_neither() {
        assert_eq!(Dim::infer((8, 12), (7, 11)), None);
        assert_eq!(Dim::infer((49, 121), (7, 11)), None);
        assert_eq!(Dim::infer((7, 3), (7, 11)), None);
    }

    #[test]
    fn inserted_axes_are_ones_only() {
        assert_eq!(inserted_axes(&[Rows(1), Fixed(3)], &[Rows(1), Fixed(3), Fixed(1)]), Some(vec![2]));
        assert_eq!(inserted_axes(&[Fixed(3)], &[Fixed(1), Fixed(3), Fixed(1)]), Some(vec![0, 2]));
        assert_eq!(inserted_axes(&[Fixed(1), Fixed(3)], &[Fixed(1), Fixed(1), Fixed(3)]), Some(vec![1]));
        assert_eq!(inserted_axes(&[Rows(1), Fixed(6)], &[Rows(1), Fixed(2), Fixed(3)]), None);
        assert_eq!(inserted_axes(&[Rows(1), Fixed(3)], &[Rows(1)]), None);
    }
}
