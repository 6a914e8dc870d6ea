//! Which dimensions depend on the batch.

/// One dimension of a traced tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    /// The same for every batch.
    Fixed(usize),
    /// So many times the number of rows.
    Rows(usize),
}

impl Dim {
    /// The dimension that is `sizes.0` for a batch of `rows.0` rows and `sizes.1` for one of `rows.1`.
    pub fn between(sizes: (usize, usize), rows: (usize, usize)) -> Option<Self> {
        if sizes.0 == sizes.1 {
            return Some(Self::Fixed(sizes.0));
        }
        let times = sizes.0 / rows.0;
        (sizes == (times * rows.0, times * rows.1)).then_some(Self::Rows(times))
    }
}

/// The axes of `to` that are 1 and missing in `from`, if that is all in which they differ.
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
        assert_eq!(Dim::between((3, 3), (7, 11)), Some(Fixed(3)));
        assert_eq!(Dim::between((7, 11), (7, 11)), Some(Rows(1)));
        assert_eq!(Dim::between((28, 44), (7, 11)), Some(Rows(4)));
    }

    #[test]
    fn a_dimension_out_of_proportion_is_neither() {
        assert_eq!(Dim::between((8, 12), (7, 11)), None);
        assert_eq!(Dim::between((49, 121), (7, 11)), None);
        assert_eq!(Dim::between((7, 3), (7, 11)), None);
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
