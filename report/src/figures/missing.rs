//! Missing values: how often, in which combinations, and how much they leak about the source.

use domain::Column;
use serde::Serialize;
use storage::profile::{Absence, MissingColumns, SourceRows};

use super::information::{Table, cramers_v, uncertainty_coefficient};

/// Missing values.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    /// Every column except the price.
    pub(crate) columns: Vec<MissingColumn>,
    /// Among the listings without the first column, the share without the second. Rows and columns are those of
    /// [`Self::partial`], so no share is NaN.
    pub(crate) together: Vec<Vec<f64>>,
    /// The columns that are missing in some listings and known in others.
    #[serde(rename = "sometimes")]
    pub(crate) partial: Vec<Column>,
    /// The most frequent combinations of missing columns.
    pub(crate) patterns: Vec<Pattern>,
    /// Number of combinations.
    pub(crate) pattern_count: usize,
    /// How well the combination reveals the source; `None` with a single source.
    #[serde(rename = "betrayal")]
    pub(crate) source_leak: Option<SourceLeak>,
}

/// How often a column is missing.
#[derive(Debug, Serialize)]
pub(crate) struct MissingColumn {
    pub(crate) column: Column,
    /// Number of listings without it.
    pub(crate) rows: i64,
    /// Share of listings without it.
    pub(crate) share: f64,
    /// Share by source, in the order of the sources; all other sources last, if any.
    pub(crate) by_source: Vec<Option<f64>>,
    /// Theil's uncertainty coefficient of the absence given the source.
    #[serde(rename = "told_by_source")]
    pub(crate) uncertainty_by_source: f64,
    /// Cramér's V of absence and source.
    pub(crate) cramers_v: f64,
}

/// A combination of missing columns.
#[derive(Debug, Serialize)]
pub(crate) struct Pattern {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: i64,
    /// Share of its listings that come from its largest source.
    pub(crate) largest_source: f64,
}

/// How well the combination of missing columns reveals the source.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SourceLeak {
    /// Share of listings whose source is guessed correctly from the combination.
    #[serde(rename = "guessed")]
    pub(crate) accuracy: f64,
    /// Share guessed correctly without it: that of the largest source.
    #[serde(rename = "by_chance")]
    pub(crate) baseline: f64,
}

/// Number of combinations shown.
const MAX_PATTERNS: usize = 12;

impl Missing {
    pub(crate) fn of(absences: &[Absence], sources: &[SourceRows]) -> Self {
        let source_bins = sources.len() + 1;
        let by_pattern = by_pattern(absences, source_bins);
        let total: i64 = absences.iter().map(|absence| absence.rows).sum();
        let columns: Vec<_> =
            Column::descriptive().iter().map(|column| missing_column(*column, absences, source_bins)).collect();
        let partial: Vec<Column> = columns
            .iter()
            .filter(|missing| missing.rows > 0 && missing.rows < total)
            .map(|missing| missing.column)
            .collect();
        let source_sums: Vec<f64> =
            (0..source_bins).map(|source| by_pattern.iter().map(|(_, counts)| counts[source]).sum()).collect();
        Self {
            together: missing_together(absences, &partial),
            partial,
            columns,
            patterns: by_pattern.iter().take(MAX_PATTERNS).map(|(missing, counts)| pattern(*missing, counts)).collect(),
            pattern_count: by_pattern.len(),
            source_leak: (source_sums.iter().filter(|rows| **rows > 0.0).count() > 1).then(|| SourceLeak {
                accuracy: by_pattern.iter().map(|(_, counts)| largest(counts)).sum::<f64>() / total as f64,
                baseline: largest(&source_sums) / total as f64,
            }),
        }
    }

    pub(crate) fn column(&self, column: Column) -> Option<&MissingColumn> {
        self.columns.iter().find(|missing| missing.column == column)
    }
}

/// Row counts by source for each combination, the most frequent combination first.
fn by_pattern(absences: &[Absence], source_bins: usize) -> Vec<(MissingColumns, Vec<f64>)> {
    let mut counts = std::collections::BTreeMap::new();
    for absence in absences {
        counts.entry(absence.missing).or_insert_with(|| vec![0.0; source_bins])[absence.source] += absence.rows as f64;
    }
    let mut patterns: Vec<_> = counts.into_iter().collect();
    patterns.sort_by(|(_, a), (_, b)| b.iter().sum::<f64>().total_cmp(&a.iter().sum()));
    patterns
}

fn missing_column(column: Column, absences: &[Absence], source_bins: usize) -> MissingColumn {
    let mut table: Table = vec![vec![0.0; source_bins]; 2];
    for absence in absences {
        table[usize::from(absence.missing.contains(column))][absence.source] += absence.rows as f64;
    }
    let rows: f64 = table[1].iter().sum();
    let total = rows + table[0].iter().sum::<f64>();
    let by_source = table[0].iter().zip(&table[1]).map(|(known, missing)| {
        let total = known + missing;
        (total > 0.0).then(|| missing / total)
    });
    MissingColumn {
        column,
        rows: rows as i64,
        share: if total > 0.0 { rows / total } else { 0.0 },
        by_source: by_source.collect(),
        uncertainty_by_source: uncertainty_coefficient(&table),
        cramers_v: cramers_v(&table),
    }
}

fn missing_together(absences: &[Absence], columns: &[Column]) -> Vec<Vec<f64>> {
    let rows = |first: Column, second: Column| -> f64 {
        let both =
            absences.iter().filter(|absence| absence.missing.contains(first) && absence.missing.contains(second));
        both.map(|absence| absence.rows as f64).sum()
    };
    let row = |first: &Column| {
        let alone = rows(*first, *first);
        columns.iter().map(|second| rows(*first, *second) / alone).collect()
    };
    columns.iter().map(row).collect()
}

fn pattern(missing: MissingColumns, counts: &[f64]) -> Pattern {
    let rows: f64 = counts.iter().sum();
    Pattern {
        columns: Column::ALL.into_iter().filter(|column| missing.contains(*column)).collect(),
        rows: rows as i64,
        largest_source: largest(counts) / rows,
    }
}

fn largest(counts: &[f64]) -> f64 {
    counts.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, rows: i64) -> SourceRows {
        SourceRows { source: Some(name.to_owned()), rows, first_day: None, last_day: None, median_price: 1.0 }
    }

    fn absence(source: usize, columns: &[Column], rows: i64) -> Absence {
        Absence { source, missing: columns.iter().copied().collect(), rows }
    }

    #[test]
    fn absence_that_depends_on_the_source_leaks_it() {
        let sources = [source("a", 60), source("b", 40)];
        let absences =
            [absence(0, &[Column::Pts, Column::Customs], 60), absence(1, &[Column::Color], 10), absence(1, &[], 30)];
        let missing = Missing::of(&absences, &sources);
        let pts = missing.column(Column::Pts).unwrap();
        assert_eq!((pts.rows, pts.by_source.clone()), (60, vec![Some(1.0), Some(0.0), None]));
        assert!(pts.uncertainty_by_source > 0.999 && pts.cramers_v > 0.999);
        assert!(missing.column(Column::Color).unwrap().uncertainty_by_source < 0.4);
        assert_eq!(missing.partial, [Column::Pts, Column::Customs, Column::Color]);
        assert_eq!(missing.together[0], [1.0, 1.0, 0.0]);
        let source_leak = missing.source_leak.unwrap();
        assert!(source_leak.accuracy > 0.999 && (source_leak.baseline - 0.6).abs() < 1e-9);
        assert_eq!((missing.patterns[0].rows, missing.pattern_count), (60, 3));
    }

    #[test]
    fn a_single_source_has_no_leak() {
        let missing = Missing::of(&[absence(0, &[Column::Pts], 5)], &[source("a", 5)]);
        assert!(missing.source_leak.is_none() && missing.partial.is_empty());
        assert!(Missing::of(&[], &[]).patterns.is_empty());
    }
}
