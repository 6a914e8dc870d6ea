//! Encodes listings as model inputs: texts as ids, numbers unchanged.

use domain::column::Column;
use domain::feature::FeatureSchema;
use domain::fold::fold;
use domain::identity::days_since_epoch;
use domain::vocabulary::write_key;
use domain::{Listing, Value};
use rustc_hash::FxHashMap;

use crate::error::Error;

/// The lookup tables of a feature schema.
#[derive(Debug)]
pub struct Encoder {
    categorical: Vec<Lookup>,
    numeric: Vec<Column>,
    synonyms: FxHashMap<Column, FxHashMap<String, String>>,
}

/// A categorical feature: its columns and the id of each known key.
#[derive(Debug)]
struct Lookup {
    columns: Vec<Column>,
    ids: FxHashMap<String, i64>,
}

impl Encoder {
    /// Builds the lookup tables of a schema.
    ///
    /// # Errors
    /// The schema has an unknown column.
    pub fn new(schema: &FeatureSchema) -> Result<Self, Error> {
        let categorical = schema
            .categorical
            .iter()
            .map(|feature| {
                let columns = feature.columns.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
                Ok(Lookup { columns, ids: assign_ids(&feature.values) })
            })
            .collect::<Result<_, Error>>()?;
        let numeric = schema.numeric.iter().map(|feature| column(&feature.name)).collect::<Result<_, _>>()?;
        let synonyms = schema
            .synonyms
            .iter()
            .map(|(name, table)| {
                Ok((
                    column(name)?,
                    table.iter().map(|(synonym, canonical)| (synonym.clone(), canonical.clone())).collect(),
                ))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { categorical, numeric, synonyms })
    }

    /// The number of ids per listing.
    #[must_use]
    pub fn categorical_width(&self) -> usize {
        self.categorical.len()
    }

    /// The number of numbers per listing.
    #[must_use]
    pub fn numeric_width(&self) -> usize {
        self.numeric.len()
    }

    /// Appends the ids and numbers of a listing, whose texts may have any spelling.
    pub fn encode(&self, listing: &Listing, ids: &mut Vec<i64>, numbers: &mut Vec<f32>) {
        let texts = self.canonical_texts(listing);
        self.encode_ids(|column| texts.get(&column).map(String::as_str), |id| ids.push(id));
        self.encode_numbers(
            |column| match listing.get(column) {
                #[expect(clippy::cast_possible_truncation, reason = "the model sees single precision")]
                Some(Value::Number(number)) => Some(*number as f32),
                #[expect(clippy::cast_possible_truncation, reason = "days are exact in single precision")]
                Some(Value::Date(date)) => Some(days_since_epoch(*date) as f32),
                _ => None,
            },
            numbers,
        );
    }

    /// Passes the ids of a listing with these canonical texts to `take`: 0 if a text is missing or the key is unknown.
    pub fn encode_ids<'a>(&self, text: impl Fn(Column) -> Option<&'a str>, mut take: impl FnMut(i64)) {
        let mut key = String::new();
        for lookup in &self.categorical {
            let is_complete = write_key(&mut key, lookup.columns.iter().map(|column| text(*column)));
            take(if is_complete { lookup.ids.get(&key).copied().unwrap_or(0) } else { 0 });
        }
    }

    /// Appends the numbers of a listing, NaN if missing.
    pub fn encode_numbers(&self, number: impl Fn(Column) -> Option<f32>, numbers: &mut Vec<f32>) {
        numbers.extend(self.numeric.iter().map(|column| number(*column).unwrap_or(f32::NAN)));
    }

    /// The texts of a listing in canonical form: folded, with synonyms resolved.
    pub(crate) fn canonical_texts(&self, listing: &Listing) -> FxHashMap<Column, String> {
        let columns = Column::descriptive().iter();
        columns.filter_map(|column| Some((*column, self.canonical_text(listing, *column)?))).collect()
    }

    /// The same for one column.
    pub(crate) fn canonical_text(&self, listing: &Listing, column: Column) -> Option<String> {
        let folded = fold(listing.text(column)?);
        let canonical = self.synonyms.get(&column).and_then(|table| table.get(&folded));
        Some(canonical.cloned().unwrap_or(folded))
    }

    /// Whether a canonical text has an id of its own, in the category of this column alone.
    pub(crate) fn knows(&self, column: Column, text: &str) -> bool {
        let lookup = self.categorical.iter().find(|lookup| lookup.columns == [column]);
        lookup.is_some_and(|lookup| lookup.ids.contains_key(text))
    }

    /// The columns of each categorical feature, in input order.
    pub(crate) fn categorical_columns(&self) -> impl Iterator<Item = &[Column]> {
        self.categorical.iter().map(|lookup| lookup.columns.as_slice())
    }

    /// The columns of the numeric features, in input order.
    pub(crate) fn numeric_columns(&self) -> &[Column] {
        &self.numeric
    }
}

fn assign_ids(values: &[Vec<String>]) -> FxHashMap<String, i64> {
    let mut ids = FxHashMap::default();
    let mut key = String::new();
    for (texts, id) in values.iter().zip(1..) {
        if write_key(&mut key, texts.iter().map(|text| Some(text.as_str()))) {
            ids.insert(key.clone(), id);
        }
    }
    ids
}

fn column(name: &str) -> Result<Column, Error> {
    Column::from_name(name).ok_or_else(|| Error::Metadata {
        key: "probeg.schema",
        reason: format!("the column `{name}` is unknown to this version of Probeg"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::feature::CATEGORICAL;
    use domain::{Cell, Market};

    fn encoder() -> Encoder {
        let keys = |feature: &str| match feature {
            "brand" => vec![vec!["kia"], vec!["lada (ваз)"]],
            "model" => vec![vec!["kia", "ceed"], vec!["kia", "rio"], vec!["lada (ваз)", "2114"]],
            _ => Vec::new(),
        };
        let owned = |key: Vec<&str>| key.into_iter().map(str::to_owned).collect();
        let vocabularies = CATEGORICAL.iter().map(|feature| keys(feature.name).into_iter().map(owned).collect());
        Encoder::new(&FeatureSchema::new(vocabularies.collect(), Market::russia())).unwrap()
    }

    fn encode(cells: &[(Column, Cell<'static>)]) -> (Vec<i64>, Vec<f32>) {
        let today = chrono::NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
        let mut required = vec![
            (Column::Brand, Cell::Empty),
            (Column::Year, Cell::Number(2018.0)),
            (Column::Mileage, Cell::Number(1.0)),
        ];
        required.retain(|(column, _)| !cells.iter().any(|(present, _)| present == column));
        let listing =
            Listing::from_cells(required.into_iter().chain(cells.iter().cloned()), Market::russia(), today).unwrap();
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        encoder().encode(&listing.with_default_date(today), &mut ids, &mut numbers);
        (ids, numbers)
    }

    #[test]
    fn ids_start_at_one_in_vocabulary_order() {
        let (ids, numbers) = encode(&[(Column::Brand, Cell::Text("Лада")), (Column::Model, Cell::Number(2114.0))]);
        assert_eq!(ids[..3], [2, 3, 0]);
        assert_eq!(numbers[0].to_bits(), 2018.0_f32.to_bits());
        assert!(numbers[2].is_nan());
        assert_eq!(numbers[5].to_bits(), 20_529.0_f32.to_bits());
    }

    #[test]
    fn a_model_of_another_brand_is_unknown() {
        let (ids, _) = encode(&[(Column::Brand, Cell::Text("KIA")), (Column::Model, Cell::Text("2114"))]);
        assert_eq!(ids[..3], [1, 0, 0]);
    }
}
