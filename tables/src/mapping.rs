//! Which column a header means, decided by hand.

use std::collections::BTreeMap;

use domain::fold::fold_header;
use domain::heading::Heading;
use domain::{Column, Market};

/// The headers whose meaning somebody has chosen, by their folded form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping(BTreeMap<String, Choice>);

/// What somebody has chosen for a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Column(Column),
    Ignore,
}

/// The word for a column that is not to be used.
pub const IGNORE: &str = "ignore";

/// The number of columns of a sheet of Excel.
const MAX_PLACE: usize = 16_384;

/// A choice that is neither a column nor [`IGNORE`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{choice:?} is not a column; choose one of {}, or \"{IGNORE}\"", names().join(", "))]
pub struct UnknownColumn {
    /// The header.
    pub header: String,
    /// What was chosen for it.
    pub choice: String,
}

fn names() -> Vec<&'static str> {
    Column::ALL.into_iter().map(Column::name).collect()
}

impl Mapping {
    /// A mapping from headers, in any case and spacing, to names of columns or [`IGNORE`]. `#4` stands for the fourth column,
    /// whatever its header, and precedes a choice for the header.
    ///
    /// # Errors
    /// A choice is neither.
    pub fn new<'a>(choices: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, UnknownColumn> {
        let read = |(header, choice): (&str, &str)| {
            let meaning = match Column::from_name(choice) {
                Some(column) => Choice::Column(column),
                None if choice == IGNORE => Choice::Ignore,
                None => return Err(UnknownColumn { header: header.to_owned(), choice: choice.to_owned() }),
            };
            Ok((fold_header(header), meaning))
        };
        choices.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The meaning of the header at an index: the chosen one, or else that in the market. A chosen column keeps the unit of its
    /// header.
    pub(crate) fn heading(&self, index: usize, header: &str, market: &Market) -> Option<Heading> {
        match self.choice(index, header) {
            Some(Choice::Column(column)) => Some(Heading::chosen(header, column, market)),
            Some(Choice::Ignore) => None,
            None => Heading::of(header, market),
        }
    }

    /// The number of the last column that is chosen by its place; 0 if none is.
    pub(crate) fn last_place(&self) -> usize {
        let places = self.0.keys().filter_map(|key| key.strip_prefix('#')?.parse().ok());
        places.filter(|place| *place <= MAX_PLACE).max().unwrap_or(0)
    }

    /// Whether somebody has chosen what the header at an index means.
    pub(crate) fn has_choice(&self, index: usize, header: &str) -> bool {
        self.choice(index, header).is_some()
    }

    fn choice(&self, index: usize, header: &str) -> Option<Choice> {
        if self.0.is_empty() {
            return None;
        }
        let of_place = self.0.get(&format!("#{}", index + 1));
        of_place.or_else(|| self.0.get(&fold_header(header))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_can_be_chosen_by_their_place() {
        let mapping = Mapping::new([("#2", "price"), ("Цена", "ignore")]).unwrap();
        let column = |index, header| mapping.heading(index, header, Market::russia()).map(|it| it.column);
        assert_eq!(
            (column(0, "Цена"), column(1, "Цена"), column(1, "")),
            (None, Some(Column::Price), Some(Column::Price))
        );
    }

    #[test]
    fn choices_precede_the_markets_headers_and_keep_units() {
        let choices = [("Пр-г по панели, тыс. км", "mileage"), ("Модель", "ignore"), ("цена ЗАКУПКИ", "price")];
        let mapping = Mapping::new(choices).unwrap();
        let heading = |header| mapping.heading(0, header, Market::russia()).map(|it| (it.column, it.unit));
        assert_eq!(heading("пр-г  по панели, ТЫС. КМ"), Some((Column::Mileage, Some("тыс. км".to_owned()))));
        assert_eq!(heading("Модель"), None);
        assert_eq!(heading("Цена закупки"), Some((Column::Price, None)));
        assert_eq!(heading("Марка"), Some((Column::Brand, None)));
        let error = Mapping::new([("Марка", "make")]).unwrap_err();
        assert!(error.to_string().starts_with("\"make\" is not a column; choose one of brand, model"), "{error}");
    }
}
