//! What headers mean: as a market writes them, or as somebody has chosen.

use domain::fold::fold_header;
use domain::heading::{Heading, MAX_HEADER_BYTES};
use domain::{Column, Market};

use crate::mapping::Mapping;

/// The header of the column that identifies listings of the same car.
pub(crate) const CAR_GROUP: &str = "car_group";
/// The header of the column with the source.
pub(crate) const SOURCE: &str = "source";

/// What a header means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A column of a listing.
    Column(Heading),
    /// What identifies listings of the same car.
    CarGroup,
    /// The source of a row.
    Source,
    /// Nothing that is known.
    Unknown,
}

impl Meaning {
    pub(crate) fn is_of_cars(&self) -> bool {
        matches!(self, Self::Column(heading) if heading.is_of_cars())
    }
}

/// What headers mean: in a market, unless somebody has chosen otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headings<'m> {
    pub(crate) market: &'m Market,
    pub(crate) mapping: &'m Mapping,
}

/// The columns that the recognized headers denote.
pub(crate) fn recognized<'a>(
    headers: impl Iterator<Item = &'a str>,
    headings: Headings<'_>,
) -> impl Iterator<Item = Column> {
    meanings(headers, headings).filter_map(|meaning| match meaning {
        Meaning::Column(heading) => Some(heading.column),
        _ => None,
    })
}

/// What each of the headers means.
pub(crate) fn meanings<'a>(
    headers: impl Iterator<Item = &'a str>,
    headings: Headings<'_>,
) -> impl Iterator<Item = Meaning> {
    headers.enumerate().map(move |(index, header)| meaning(index, header, headings))
}

/// What the header at an index means.
pub(crate) fn meaning(index: usize, header: &str, headings: Headings<'_>) -> Meaning {
    if headings.mapping.has_choice(index, header) {
        return headings.mapping.heading(index, header, headings.market).map_or(Meaning::Unknown, Meaning::Column);
    }
    // A long text is not a header, and folding it is slow.
    if header.len() > MAX_HEADER_BYTES || header.trim().is_empty() {
        return Meaning::Unknown;
    }
    let folded = fold_header(header);
    if folded == fold_header(CAR_GROUP) {
        Meaning::CarGroup
    } else if folded == SOURCE {
        Meaning::Source
    } else {
        Heading::of(header, headings.market).map_or(Meaning::Unknown, Meaning::Column)
    }
}
