//! Listings as JSON: the schema, derived from the columns, and parsing.

use chrono::{Datelike, NaiveDate};
use domain::cell::{parse_cell, shorten};
use domain::column::MAX_TEXT_CHARS;
use domain::problem::Reason;
use domain::value::single_spaced;
use domain::vocabulary::nearest;
use domain::{Cell, Column, Kind, Listing, Market, Reading, Value};
use serde_json::{Map, Number, Value as Json};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::json::{self, Field};
use crate::http::problem::{FieldError, FieldErrors, Location, MAX_ERRORS, Problem};

/// The schema of a listing in JSON.
pub(crate) struct ListingRequest;

impl ToSchema for ListingRequest {
    fn name() -> std::borrow::Cow<'static, str> {
        "Listing".into()
    }
}

impl PartialSchema for ListingRequest {
    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A car as advertised. Fields with unknown values are omitted or null."))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([example()]);
        for column in Column::descriptive() {
            object = object.property(column.name(), property(*column));
        }
        for column in Column::REQUIRED {
            object = object.required(column.name());
        }
        object.into()
    }
}

/// The schema of a listing with values as people write them.
pub(crate) struct LenientListing;

impl ToSchema for LenientListing {}

impl PartialSchema for LenientListing {
    fn schema() -> RefOr<Schema> {
        let object = lenient_schema()
            .description(Some(
                "A car with values as people write them: \"83 тыс. км\", \"1600 см³\", \"2018 г.\", \"1.6 (106 л.с.)\". They are \
                 read like the cells of a table of the task's market.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([lenient_example()]);
        Column::REQUIRED.iter().fold(object, |object, column| object.required(column.name())).into()
    }
}

/// An example for [`LenientListing`].
pub(crate) fn lenient_example() -> Json {
    serde_json::json!({
        "brand": "Kia", "model": "Rio", "year": "2018 г.", "mileage": "83 тыс. км", "engine_volume": "1600 см³",
        "engine_power": "123 л.с.", "transmission": "АКПП", "listing_date": "17.03.2026",
    })
}

/// The schema of a listing for [`read_leniently`].
pub(crate) fn lenient_schema() -> ObjectBuilder {
    Column::descriptive().iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, column| {
        object.property(column.name(), lenient_property(*column))
    })
}

/// Like the strict schema, but numbers may be strings and strings numbers.
fn lenient_property(column: Column) -> Object {
    let strict = property(column);
    let mut types = match column.kind() {
        Kind::Date => vec![Type::String],
        Kind::Text | Kind::Integer { .. } | Kind::Decimal { .. } => vec![Type::String, Type::Number],
    };
    let mut builder = ObjectBuilder::from(strict);
    if !Column::REQUIRED.contains(&column) {
        types.push(Type::Null);
    }
    if let Kind::Integer { .. } = column.kind() {
        builder = builder.multiple_of(Some(1.0));
    }
    if let Kind::Integer { .. } | Kind::Decimal { .. } = column.kind() {
        // Within the bounds of every column; an empty string is a missing number.
        builder = builder.pattern(Some(match column {
            Column::Year => "^20[01][0-9]$",
            Column::Mileage => "^[0-9]$",
            _ => "^[0-9]?$",
        }));
    }
    builder.schema_type(SchemaType::from_iter(types)).build()
}

/// An example with all columns except the date, so that it is valued as of today.
pub(crate) fn example() -> Json {
    let fields = Column::descriptive().iter().filter(|column| **column != Column::ListingDate);
    Json::Object(fields.map(|column| (column.name().to_owned(), example_of(*column))).collect::<Map<_, _>>())
}

/// A JSON value that should be a listing.
pub(crate) type Item<'a> = json::Value<'a, Column>;

/// Parses a body that should be one listing.
///
/// # Errors
/// [`Problem::MalformedJson`].
pub(crate) fn parse(body: &[u8], max_depth: usize) -> Result<Item<'_>, Problem> {
    json::parse(body, max_depth, column)
}

/// Parses a body that should be a list of listings; see [`json::parse_list`].
///
/// # Errors
/// [`Problem::MalformedJson`].
pub(crate) fn parse_list<'a, T>(
    body: &'a [u8],
    max_depth: usize,
    read: impl FnMut(usize, Item<'a>) -> T,
) -> Result<Option<(Vec<T>, usize)>, Problem> {
    json::parse_list(body, max_depth, column, read)
}

/// A value as in a request.
pub(crate) fn json_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within its column's bounds")]
        Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::Date(date) => date.to_string().into(),
    }
}

/// A listing as in a request.
pub(crate) fn to_json(listing: &Listing) -> Json {
    let stated = Column::descriptive().iter().filter_map(|column| Some((*column, listing.get(*column)?)));
    Json::Object(stated.map(|(column, value)| (column.name().to_owned(), json_value(value))).collect())
}

/// Whether a body is a valid listing, nested at most `max_depth` deep.
#[must_use]
pub fn is_listing(body: &[u8], max_depth: usize, today: NaiveDate) -> bool {
    let item = parse(body, max_depth);
    let reading = Reading { market: Market::russia(), year: today.year() };
    item.is_ok_and(|item| read(&item, reading).is_ok())
}

/// Reads a listing strictly: numbers are numbers and texts are strings; unknown and repeated fields are errors.
///
/// # Errors
/// All invalid fields.
pub(crate) fn read(item: &Item<'_>, reading: Reading<'_>) -> Result<Listing, FieldErrors> {
    read_at(item, &[], reading, MAX_ERRORS)
}

/// The same for a listing at a path in the body, with at most `max_errors` errors.
pub(crate) fn read_at(
    item: &Item<'_>,
    path: &[Location],
    reading: Reading<'_>,
    max_errors: usize,
) -> Result<Listing, FieldErrors> {
    let Item::Object(fields) = item else {
        let found = item.kind();
        let msg = format!("a listing must be an object with fields such as brand, year and mileage, not {found}");
        return Err(FieldError::in_body(path, msg, "not_an_object").into());
    };
    let mut listing = Listing::default();
    let mut errors = FieldErrors::with_limit(max_errors);
    let mut invalid = Vec::new();
    let error = |name: &str, msg, code| FieldError::in_body(&below(path, name), msg, code);
    for field in fields.as_slice() {
        match field {
            Field::Known(column, value) => match read_value(*column, value, reading) {
                Ok(value) => listing.set(*column, value),
                Err(reason) => {
                    invalid.push(*column);
                    let msg = describe(*column, &reason, value);
                    errors.push(|| error(column.name(), msg, reason.code()).because(&reason));
                }
            },
            Field::Repeated(column) => {
                let name = column.name();
                invalid.push(*column);
                errors.push(|| error(name, repeated(name), "duplicate_field"));
            }
            Field::Unknown(name) => errors.push(|| error(name, unknown(name), "unknown_field")),
        }
    }
    errors.omit(fields.omitted());
    for column in Column::REQUIRED {
        if listing.get(column).is_none() && !invalid.contains(&column) {
            let reason = Reason::Missing;
            errors.push(|| error(column.name(), describe(column, &reason, &Item::Null), reason.code()));
        }
    }
    if errors.is_empty() { Ok(listing) } else { Err(errors) }
}

/// What a lenient reader does with fields that are unknown or repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherFields {
    /// They are errors.
    Refused,
    /// They are ignored, as by the predecessor.
    Ignored,
}

/// Reads a listing leniently: values are read like the cells of a table, so numbers may be texts with units and texts numbers.
///
/// # Errors
/// All invalid fields.
pub(crate) fn read_leniently(
    item: &Item<'_>,
    other_fields: OtherFields,
    reading: Reading<'_>,
) -> Result<Listing, FieldErrors> {
    let Item::Object(fields) = item else { return read(item, reading) };
    let mut errors = FieldErrors::default();
    let mut invalid = Vec::new();
    let mut cells = Vec::new();
    let mut texts = Vec::new();
    for field in fields.as_slice() {
        let (column, value) = match field {
            Field::Known(column, value) => (column, value),
            _ if other_fields == OtherFields::Ignored => continue,
            Field::Repeated(column) => {
                let name = column.name();
                errors.push(|| FieldError::in_body(&[name.into()], repeated(name), "duplicate_field"));
                continue;
            }
            Field::Unknown(name) => {
                errors.push(|| FieldError::in_body(&[name.as_str().into()], unknown(name), "unknown_field"));
                continue;
            }
        };
        let mut refuse = |reason: &Reason| {
            invalid.push(*column);
            let msg = describe(*column, reason, value);
            errors.push(|| FieldError::of_reason(&[column.name().into()], msg, reason));
        };
        match value {
            Item::Text(text) => texts.push((*column, single_spaced(text))),
            // As written, since a very small number is long without an exponent.
            Item::Number(number) if column.kind() == Kind::Text && !is_whole(number) => {
                texts.push((*column, number.to_string()));
            }
            Item::Number(number) => {
                cells.push((*column, Cell::Number(number.as_f64().unwrap_or(f64::INFINITY))));
            }
            Item::Null => cells.push((*column, Cell::Empty)),
            Item::Bool(_) | Item::List | Item::Object(_) => {
                refuse(if column.kind() == Kind::Text { &Reason::NotAText } else { &Reason::NotANumber });
            }
        }
    }
    if other_fields == OtherFields::Refused {
        errors.omit(fields.omitted());
    }
    let texts = texts.iter().map(|(column, text)| (*column, Cell::Text(text)));
    let cells = cells.into_iter().chain(texts).map(|(column, cell)| (column, parse_cell(column, &cell, reading)));
    match Listing::from_values(cells) {
        Ok(listing) if errors.is_empty() => Ok(listing),
        Ok(_) => Err(errors),
        Err(problems) => {
            for problem in problems.iter().filter(|problem| !invalid.contains(&problem.column)) {
                let path = [problem.column.name().into()];
                errors.push(|| FieldError::of_reason(&path, problem.to_string(), &problem.reason));
            }
            Err(errors)
        }
    }
}

/// Whether a number is a whole number of at most 15 digits, written with or without a decimal point.
fn is_whole(number: &Number) -> bool {
    number.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < 1e15)
}

fn column(name: &str) -> Option<Column> {
    Column::from_name(name).filter(|column| !Column::TARGETS.contains(column))
}

fn repeated(name: &str) -> String {
    format!("{name} is specified more than once")
}

fn below(path: &[Location], name: &str) -> Vec<Location> {
    path.iter().cloned().chain([name.into()]).collect()
}

fn unknown(name: &str) -> String {
    match nearest(name, Column::descriptive().iter().map(|column| column.name())) {
        Some(known) => format!("{name} is not a field of a listing; did you mean {known}?"),
        None => format!("{name} is not a field of a listing"),
    }
}

fn describe(column: Column, reason: &Reason, value: &Item<'_>) -> String {
    let got = match value {
        Item::Null => String::new(),
        Item::Bool(value) => format!(" (got {value})"),
        Item::Number(number) => format!(" (got {number})"),
        Item::Text(text) => format!(" (got {})", Json::String(shorten(text))),
        Item::List | Item::Object(_) => format!(" (got {})", value.kind()),
    };
    match (column.kind(), reason) {
        // Strict JSON has one date format.
        (Kind::Date, Reason::NotADate) => format!("{} must be a date such as 2026-03-17{got}", column.name()),
        _ => format!("{} {reason}{got}", column.name()),
    }
}

fn read_value(column: Column, value: &Item<'_>, reading: Reading<'_>) -> Result<Option<Value>, Reason> {
    match (column.kind(), value) {
        (_, Item::Null) => Ok(None),
        // Words such as "unknown" are ordinary values, unlike in a table.
        (Kind::Text, Item::Text(text)) => Value::text(text),
        (Kind::Text, _) => Err(Reason::NotAText),
        (Kind::Date, Item::Text(text)) => read_date(text).map(Some),
        (Kind::Date, _) => Err(Reason::NotADate),
        (Kind::Integer { .. } | Kind::Decimal { .. }, Item::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::INFINITY);
            // Before miles become kilometres, which are rounded.
            if number.is_finite() && number.fract() != 0.0 && matches!(column.kind(), Kind::Integer { .. }) {
                return Err(Reason::NotAnInteger);
            }
            Value::number(column, reading.market.to_stored(column, number), reading).map(Some)
        }
        (Kind::Integer { .. } | Kind::Decimal { .. }, _) => Err(Reason::NotANumber),
    }
}

fn read_date(text: &str) -> Result<Value, Reason> {
    // `%Y-%m-%d` alone would accept 2026-3-7 too.
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    Value::date(date.ok_or(Reason::NotADate)?)
}

fn property(column: Column) -> Object {
    let is_required = Column::REQUIRED.contains(&column);
    let unit = column.unit();
    let description = match column.kind() {
        Kind::Integer { min, max } | Kind::Decimal { min, max } if !unit.is_empty() => {
            format!("{}: {min} to {max} {unit}.", column.description())
        }
        _ => format!("{}.", column.description()),
    };
    let object = ObjectBuilder::new().description(Some(description)).examples([example_of(column)]);
    let object = match column.kind() {
        Kind::Text => object.max_length(Some(MAX_TEXT_CHARS)).pattern(Some(if is_required {
            "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
        } else {
            "^[^\\u0000]*$"
        })),
        Kind::Date => object
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
            .pattern(Some("^(199[0-9]|20[0-9]{2})-[0-9]{2}-[0-9]{2}$")),
        Kind::Integer { min, max } | Kind::Decimal { min, max } => object.minimum(Some(min)).maximum(Some(max)),
    };
    object.schema_type(schema_type(column, is_required)).build()
}

fn schema_type(column: Column, is_required: bool) -> SchemaType {
    let own = match column.kind() {
        Kind::Text | Kind::Date => Type::String,
        Kind::Integer { .. } => Type::Integer,
        Kind::Decimal { .. } => Type::Number,
    };
    if is_required { SchemaType::new(own) } else { SchemaType::from_iter([own, Type::Null]) }
}

fn example_of(column: Column) -> Json {
    let text = column.example();
    match column.kind() {
        Kind::Text | Kind::Date => text.into(),
        Kind::Integer { .. } | Kind::Decimal { .. } => text.parse::<Number>().map_or(Json::Null, Json::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Item<'_>, Problem> {
        super::parse(text, 16)
    }

    fn reading() -> Reading<'static> {
        Reading { market: Market::russia(), year: today().year() }
    }

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
    }

    fn errors(text: &str) -> Vec<(String, &'static str, String)> {
        let errors = read(&parse(text.as_bytes()).unwrap(), reading()).unwrap_err();
        let errors = errors.as_slice().iter();
        errors.map(|error| (error.pointer.clone().unwrap(), error.r#type, error.msg.clone())).collect()
    }

    #[test]
    fn the_example_is_a_listing() {
        let text = example().to_string();
        let listing = read(&parse(text.as_bytes()).unwrap(), reading()).unwrap();
        assert_eq!(listing.text(Column::Brand), Some("Kia"));
        assert_eq!(listing.number(Column::EngineVolume), Some(1.6));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let found = errors(
            r#"{"brand": 5, "year": "2018", "mileage": -5, "milage": 1, "owners_count": 1.5, "wheel": "a", "wheel": "b", "listing_date": "17.03.2026"}"#,
        );
        let expected = [
            ("/brand", "not_a_text", "brand must be text (got 5)"),
            ("/year", "not_a_number", "year must be a number (got \"2018\")"),
            ("/mileage", "out_of_range", "mileage must be between 0 and 2000000 (got -5)"),
            ("/milage", "unknown_field", "milage is not a field of a listing; did you mean mileage?"),
            ("/owners_count", "not_an_integer", "owners_count must be a whole number (got 1.5)"),
            ("/wheel", "duplicate_field", "wheel is specified more than once"),
            ("/listing_date", "not_a_date", "listing_date must be a date such as 2026-03-17 (got \"17.03.2026\")"),
        ];
        assert_eq!(found, expected.map(|(pointer, code, msg)| (pointer.to_owned(), code, msg.to_owned())));
    }

    #[test]
    fn missing_required_fields_are_errors() {
        let found = errors(r#"{"brand": "  ", "year": null, "price": 5}"#);
        let expected = [
            ("/price", "unknown_field", "price is not a field of a listing"),
            ("/brand", "missing", "brand is required and is missing"),
            ("/year", "missing", "year is required and is missing"),
            ("/mileage", "missing", "mileage is required and is missing"),
        ];
        assert_eq!(found, expected.map(|(pointer, code, msg)| (pointer.to_owned(), code, msg.to_owned())));
    }

    #[test]
    fn whole_numbers_may_have_a_decimal_point_and_null_is_missing() {
        let item = parse(br#"{"brand": "Kia", "year": 1995.0, "mileage": 0, "color": null}"#).unwrap();
        let listing = read(&item, reading()).unwrap();
        assert_eq!(listing.number(Column::Year), Some(1995.0));
        assert_eq!(listing.get(Column::Color), None);
    }

    #[test]
    fn lenient_numbers_may_be_strings_and_unknown_fields_are_ignored() {
        let item = parse(br#"{"brand": "Kia", "year": "1995", "mileage": "96 000", "vin": [1]}"#).unwrap();
        let ignored = OtherFields::Ignored;
        assert_eq!(read_leniently(&item, ignored, reading()).unwrap().number(Column::Mileage), Some(96_000.0));
        let errors = read_leniently(&item, OtherFields::Refused, reading()).unwrap_err();
        assert_eq!(errors.as_slice()[0].r#type, "unknown_field");
        let item = parse(br#"{"brand": true, "year": "x"}"#).unwrap();
        let errors = read_leniently(&item, ignored, reading()).unwrap_err();
        let codes: Vec<_> = errors.as_slice().iter().map(|error| error.r#type).collect();
        assert_eq!(codes, ["not_a_text", "not_a_number", "missing"]);
    }
}
