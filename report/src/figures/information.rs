//! Measures of association, from contingency tables.

use domain::stability::population_stability_index;

/// A contingency table of two variables: `table[a][b]`.
pub(crate) type Table = Vec<Vec<f64>>;

/// Entropy of counts, in nats (Shannon 1948).
pub(crate) fn entropy(counts: impl IntoIterator<Item = f64>) -> f64 {
    let counts: Vec<f64> = counts.into_iter().filter(|count| *count > 0.0).collect();
    let total: f64 = counts.iter().sum();
    counts.iter().map(|count| -(count / total) * (count / total).ln()).sum()
}

/// Mutual information of the two variables, in nats, and the entropies of the first and the second.
pub(crate) fn mutual_information(table: &Table) -> (f64, f64, f64) {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let first = entropy(table.iter().map(|row| row.iter().sum()));
    let second = entropy((0..columns).map(|column| table.iter().filter_map(|row| row.get(column)).sum()));
    let joint = entropy(table.iter().flatten().copied());
    ((first + second - joint).max(0.0), first, second)
}

/// The uncertainty coefficient of the first variable given the second (Theil 1970); 0 where the first is constant.
pub(crate) fn uncertainty_coefficient(table: &Table) -> f64 {
    let (both, first, _) = mutual_information(table);
    if first > 1e-9 { (both / first).min(1.0) } else { 0.0 }
}

/// Cramér's V of two variables (Cramér 1946); 0 where one of them is constant.
pub(crate) fn cramers_v(table: &Table) -> f64 {
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum()).collect();
    let width = table.iter().map(Vec::len).max().unwrap_or(0);
    let columns: Vec<f64> = (0..width).map(|column| table.iter().filter_map(|row| row.get(column)).sum()).collect();
    let total: f64 = rows.iter().sum();
    let occurring = |sums: &[f64]| sums.iter().filter(|sum| **sum > 0.0).count();
    let smaller = occurring(&rows).min(occurring(&columns));
    if smaller < 2 {
        return 0.0;
    }
    let mut chi_square = 0.0;
    for (row, row_sum) in table.iter().zip(&rows) {
        for (column, column_sum) in columns.iter().enumerate() {
            let expected = row_sum * column_sum / total;
            if expected > 0.0 {
                chi_square += (row.get(column).copied().unwrap_or(0.0) - expected).powi(2) / expected;
            }
        }
    }
    (chi_square / (total * (smaller - 1) as f64)).sqrt().min(1.0)
}

/// The population stability index of two sets of counts over the same bins. Half a row is added to every bin, so that
/// the logarithm of an empty one is finite.
pub(crate) fn stability_index(old: &[f64], new: &[f64]) -> f64 {
    let total = |counts: &[f64]| counts.iter().map(|count| count + 0.5).sum::<f64>();
    let (old_total, new_total) = (total(old), total(new));
    population_stability_index(old.iter().zip(new).map(|(old, new)| ((old + 0.5) / old_total, (new + 0.5) / new_total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn association_is_one_for_a_function_and_zero_for_independence() {
        let determined = vec![vec![10.0, 0.0, 5.0], vec![0.0, 10.0, 0.0]];
        assert!(near(uncertainty_coefficient(&determined), 1.0));
        assert!(near(cramers_v(&determined), 1.0));
        let independent = vec![vec![10.0, 20.0], vec![30.0, 60.0]];
        assert!(near(uncertainty_coefficient(&independent), 0.0) && near(cramers_v(&independent), 0.0));
        let constant = vec![vec![10.0, 20.0], vec![0.0, 0.0]];
        assert!(near(uncertainty_coefficient(&constant), 0.0) && near(cramers_v(&constant), 0.0));
        assert!(near(uncertainty_coefficient(&Vec::new()), 0.0) && near(cramers_v(&Vec::new()), 0.0));
    }

    #[test]
    fn the_stability_index_is_zero_for_equal_shares() {
        assert!(stability_index(&[50.0, 50.0], &[50.0, 50.0]) < 1e-9);
        assert!(stability_index(&[1000.0, 0.0], &[0.0, 1000.0]) > 5.0);
    }
}
